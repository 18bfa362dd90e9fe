// One message through the Anthropic Node SDK: anthropic_sdk.mjs whole|stream MODEL [PROMPT].
// Prints the answer's text and nothing else. Retries, time-outs and proxies are left as the SDK has them.

import { installed } from "./installed.mjs";

const { default: Anthropic } = await installed("@anthropic-ai/sdk");
const [delivery, model, prompt = "Say hi."] = process.argv.slice(2);
const request = { model, max_tokens: 1024, messages: [{ role: "user", content: prompt }] };
const client = new Anthropic();

try {
  if (delivery === "stream") {
    for await (const event of client.messages.stream(request)) {
      if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
        process.stdout.write(event.delta.text);
      }
    }
  } else {
    const message = await client.messages.create(request);
    for (const block of message.content) if (block.type === "text") process.stdout.write(block.text);
  }
} catch (error) {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exitCode = 1;
}
