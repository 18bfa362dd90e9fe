// One answer through the OpenAI Node SDK: openai_sdk.mjs whole|stream chat|responses MODEL [PROMPT].
// Prints the answer's text and nothing else. Retries, time-outs and proxies are left as the SDK has them.

import { installed } from "./installed.mjs";

const { default: OpenAI } = await installed("openai");
const [delivery, api, model, prompt = "Say hi."] = process.argv.slice(2);
const chat = api === "chat";
const request = chat
  ? { model, max_completion_tokens: 1024, messages: [{ role: "user", content: prompt }] }
  : { model, max_output_tokens: 1024, input: prompt };
const client = new OpenAI();
const endpoint = chat ? client.chat.completions : client.responses;

try {
  if (delivery === "stream") {
    for await (const event of await endpoint.create({ ...request, stream: true })) {
      // A chunk without a choice is the usage chunk, which this client has not asked for.
      if (chat) process.stdout.write(event.choices[0].delta.content ?? "");
      else if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
      else if (event.type === "error" || event.type === "response.failed") throw new Error(JSON.stringify(event));
    }
  } else {
    const answer = await endpoint.create(request);
    process.stdout.write(chat ? answer.choices[0].message.content : answer.output_text);
  }
} catch (error) {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exitCode = 1;
}
