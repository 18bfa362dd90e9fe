// Two answers over one WebSocket of the OpenAI Node SDK, which stands on `ws`: openai_socket.mjs responses|realtime MODEL.
// Prints the text of each on a line. `ws` reads no proxy variables: it is given the agent that does.

import { globalAgent } from "node:https";
import { installed } from "./installed.mjs";

const [api, model] = process.argv.slice(2);
const realtime = api === "realtime";
const options = { agent: globalAgent, createConnection: undefined };
const { default: OpenAI } = await installed("openai");
const module = await installed(realtime ? "openai/realtime/ws" : "openai/resources/responses/ws");
const socket = realtime
  ? new module.OpenAIRealtimeWS({ model, options }, new OpenAI())
  : new module.ResponsesWS(new OpenAI(), options);

let turn = 1;
let text = "";
function ask() {
  if (!realtime) return socket.send({ type: "response.create", model, max_output_tokens: 1024, input: `Turn ${turn}.` });
  const content = [{ type: "input_text", text: `Turn ${turn}.` }];
  const quiet = { type: "realtime", output_modalities: ["text"], audio: { input: { turn_detection: null } } };
  socket.send({ type: "session.update", session: quiet });
  socket.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
  socket.send({ type: "response.create" });
}
function over() {
  console.log(text);
  [text, turn] = ["", turn + 1];
  if (turn > 2) socket.close();
  else ask();
}
socket.on("error", (error) => {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exitCode = 1;
  socket.close();
});
socket.on("response.output_text.delta", (event) => (text += event.delta));
for (const end of ["response.completed", "response.incomplete", "response.done"]) socket.on(end, over);
if (realtime) socket.on("session.created", ask);
else socket.socket.on("open", ask);
