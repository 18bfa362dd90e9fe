"""Two answers over one WebSocket of the OpenAI Python SDK: openai_socket.py sync|async responses|realtime MODEL.

Prints the text of each answer on a line. An error event ends it as the SDK tells it; time-outs and proxies are left as
the SDK has them.
"""

import asyncio
import sys

import openai

kind, api, model = sys.argv[1:4]
ENDS = ("response.completed", "response.done", "response.incomplete")
text = ""


def ask(connection, turn):
    """What asks for an answer: nothing to wait for, or coroutines."""
    if api == "responses":
        return [connection.response.create(model=model, max_output_tokens=1024, input=f"Turn {turn}.")]
    content = [{"type": "input_text", "text": f"Turn {turn}."}]
    item = {"type": "message", "role": "user", "content": content}
    quiet = {"type": "realtime", "output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}
    return [
        connection.session.update(session=quiet),
        connection.conversation.item.create(item=item),
        connection.response.create(),
    ]


def take(event):
    """Whether an answer is over."""
    global text
    if event.type == "error":
        sys.exit(f"error: {getattr(event, 'error', event)}")
    if event.type == "response.output_text.delta":
        text += event.delta
    if event.type in ENDS:
        print(text, flush=True)
        text = ""
        return True
    return False


def socket(client):
    return client.realtime.connect(model=model) if api == "realtime" else client.responses.connect()


def sync():
    with socket(openai.OpenAI()) as connection:
        for turn in (1, 2):
            ask(connection, turn)
            while not take(connection.recv()):
                pass


async def asynchronous():
    async with openai.AsyncOpenAI() as client, socket(client) as connection:
        for turn in (1, 2):
            # Each is sent when it is awaited, one after the other.
            for sent in ask(connection, turn):
                await sent
            while not take(await connection.recv()):
                pass


sync() if kind == "sync" else asyncio.run(asynchronous())
