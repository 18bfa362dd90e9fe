// Imports a package from where `tests/clients/install` has put it.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.HUDSON_CLIENTS}/npm/`);

export async function installed(name) {
  return import(pathToFileURL(require.resolve(name)).href);
}
