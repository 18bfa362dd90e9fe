"""One answer through the OpenAI Python SDK: openai_sdk.py sync|async whole|stream chat|responses MODEL [PROMPT].

Prints the answer's text and nothing else. Retries, time-outs and proxies are left as the SDK has them.
"""

import asyncio
import sys

import openai

kind, delivery, api, model = sys.argv[1:5]
prompt = sys.argv[5] if len(sys.argv) > 5 else "Say hi."
if api == "chat":
    request = {"model": model, "max_completion_tokens": 1024, "messages": [{"role": "user", "content": prompt}]}
else:
    request = {"model": model, "max_output_tokens": 1024, "input": prompt}


def say(text):
    sys.stdout.write(text or "")
    sys.stdout.flush()


def chunk(event):
    if api == "chat":
        # A chunk without a choice is the usage chunk, which this client has not asked for.
        say(event.choices[0].delta.content)
    elif event.type == "response.output_text.delta":
        say(event.delta)
    elif event.type in ("error", "response.failed"):
        sys.exit(f"{event.type}: {event}")


def whole(answer):
    say(answer.choices[0].message.content if api == "chat" else answer.output_text)


def endpoint(client):
    return client.chat.completions if api == "chat" else client.responses


def sync():
    answer = endpoint(openai.OpenAI()).create(**request, stream=delivery == "stream")
    if delivery == "stream":
        for event in answer:
            chunk(event)
    else:
        whole(answer)


async def asynchronous():
    async with openai.AsyncOpenAI() as client:
        answer = await endpoint(client).create(**request, stream=delivery == "stream")
        if delivery == "stream":
            async for event in answer:
                chunk(event)
        else:
            whole(answer)


try:
    sync() if kind == "sync" else asyncio.run(asynchronous())
except openai.APIError as error:
    sys.exit(f"{type(error).__name__}: {error}")
