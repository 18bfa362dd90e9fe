// One answer through the Google GenAI Node SDK: google_sdk.mjs whole|stream MODEL [PROMPT].
// Prints the answer's text and nothing else. Retries, time-outs and proxies are left as the SDK has them.

import { installed } from "./installed.mjs";

const { GoogleGenAI } = await installed("@google/genai");
const [delivery, model, prompt = "Say hi."] = process.argv.slice(2);
const { models } = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });
const request = { model, contents: prompt, config: { maxOutputTokens: 1024 } };

try {
  if (delivery === "stream") {
    for await (const chunk of await models.generateContentStream(request)) process.stdout.write(chunk.text ?? "");
  } else {
    process.stdout.write((await models.generateContent(request)).text);
  }
} catch (error) {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exitCode = 1;
}
