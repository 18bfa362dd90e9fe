"""One message through the Anthropic Python SDK: anthropic_sdk.py sync|async whole|stream MODEL [PROMPT].

Prints the answer's text and nothing else. Retries, time-outs and proxies are left as the SDK has them.
"""

import asyncio
import sys

import anthropic

kind, delivery, model = sys.argv[1:4]
prompt = sys.argv[4] if len(sys.argv) > 4 else "Say hi."
request = {"model": model, "max_tokens": 1024, "messages": [{"role": "user", "content": prompt}]}


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def sync():
    client = anthropic.Anthropic()
    if delivery == "stream":
        with client.messages.stream(**request) as stream:
            for text in stream.text_stream:
                say(text)
    else:
        message = client.messages.create(**request)
        say("".join(block.text for block in message.content if block.type == "text"))


async def asynchronous():
    async with anthropic.AsyncAnthropic() as client:
        if delivery == "stream":
            async with client.messages.stream(**request) as stream:
                async for text in stream.text_stream:
                    say(text)
        else:
            message = await client.messages.create(**request)
            say("".join(block.text for block in message.content if block.type == "text"))


try:
    sync() if kind == "sync" else asyncio.run(asynchronous())
except anthropic.APIError as error:
    sys.exit(f"{type(error).__name__}: {error}")
