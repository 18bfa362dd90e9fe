"""Streams through a provider's own Python SDK: streams.py FAMILY PLAYS.

PLAYS is a file of JSON lines, one stream each: `model`, and where wanted `replay` (sent as `x-hudson-replay`), `http2`,
`include_usage`, `cap`, `url` (another Ollama), `body` (a file with the request's body, for Bedrock's InvokeModel) and
`generate` (Ollama's other endpoint).
Prints one JSON line a stream: the usage as the SDK has it, in Hudson's words, or the error that the SDK raises.
Retries, time-outs, proxies and certificates are left as the SDK has them.
"""

import json
import sys

MESSAGES = [{"role": "user", "content": "Say hi."}]
# A client that was told nothing: the agent holds no key.
NO_KEY = "the-agent-has-no-key"


def headers(play):
    return {"x-hudson-replay": play["replay"]} if play.get("replay") else {}


def cap(play, name):
    return {name: play["cap"]} if play.get("cap") else {}


class Clients:
    """The SDK's own client, and one on a transport that speaks HTTP/2; each is made once."""

    def __init__(self, make):
        self.make = make
        self.made = {}

    def of(self, play):
        http2 = bool(play.get("http2"))
        if http2 not in self.made:
            self.made[http2] = self.make(play)
        return self.made[http2]


# What the transport has spoken, where it is ours.
SPOKEN = []


def http2(library, **options):
    """A transport of `httpx` or its successor that speaks HTTP/2 and keeps everything else."""
    hooks = {"response": [lambda response: SPOKEN.append(response.http_version)]}
    return library.Client(http2=True, event_hooks=hooks, timeout=60, **options)


class ErrorEvent(Exception):
    """What the SDK of Interactions does not raise, but hands to its user as an event."""


def numbers(**named):
    return {name: value for name, value in named.items() if value is not None}


def openai_chat(base_url=None):
    import httpx2
    import openai

    def make(play):
        transport = {"http_client": http2(httpx2)} if play.get("http2") else {}
        return openai.OpenAI(api_key=NO_KEY, base_url=base_url, **transport)

    clients = Clients(make)

    def call(play):
        options = {"stream_options": {"include_usage": True}} if play.get("include_usage") else {}
        stream = clients.of(play).chat.completions.create(
            model=play["model"], messages=MESSAGES, stream=True, extra_headers=headers(play),
            **cap(play, "max_completion_tokens"), **options,
        )
        usage = None
        for chunk in stream:
            usage = chunk.usage or usage
        return usage and numbers(input=usage.prompt_tokens, output=usage.completion_tokens)

    return call


def openai_responses(base_url=None):
    import httpx2
    import openai

    def make(play):
        transport = {"http_client": http2(httpx2)} if play.get("http2") else {}
        return openai.OpenAI(api_key=NO_KEY, base_url=base_url, **transport)

    clients = Clients(make)

    def call(play):
        stream = clients.of(play).responses.create(
            model=play["model"], input="Say hi.", stream=True, extra_headers=headers(play),
            **cap(play, "max_output_tokens"),
        )
        usage = None
        for event in stream:
            if event.type in ("response.completed", "response.incomplete"):
                usage = event.response.usage
        return usage and numbers(input=usage.input_tokens, output=usage.output_tokens)

    return call


def anthropic():
    import anthropic as sdk
    import httpx2

    def make(play):
        transport = {"http_client": http2(httpx2)} if play.get("http2") else {}
        return sdk.Anthropic(api_key=NO_KEY, **transport)

    clients = Clients(make)

    def call(play):
        request = {"model": play["model"], "max_tokens": play.get("cap") or 64, "messages": MESSAGES}
        with clients.of(play).messages.stream(**request, extra_headers=headers(play)) as stream:
            usage = stream.get_final_message().usage
        return numbers(
            input=usage.input_tokens, output=usage.output_tokens,
            cache_read=usage.cache_read_input_tokens, cache_write=usage.cache_creation_input_tokens,
        )

    return call


def google_client(play):
    import httpx2
    from google import genai

    transport = {"httpx_client": http2(httpx2)} if play.get("http2") else {}
    return genai.Client(api_key=NO_KEY, http_options=genai.types.HttpOptions(**transport))


def gemini():
    from google.genai import types

    clients = Clients(google_client)

    def call(play):
        config = types.GenerateContentConfig(
            http_options=types.HttpOptions(headers=headers(play)), **cap(play, "max_output_tokens")
        )
        usage = None
        for chunk in clients.of(play).models.generate_content_stream(
            model=play["model"], contents="Say hi.", config=config
        ):
            usage = chunk.usage_metadata or usage
        return usage and numbers(total=usage.total_token_count)

    return call


def gemini_interactions():
    clients = Clients(google_client)

    def call(play):
        limit = {"generation_config": {"max_output_tokens": play["cap"]}} if play.get("cap") else {}
        stream = clients.of(play).interactions.create(
            model=play["model"], input="Say hi.", stream=True, extra_headers=headers(play), **limit
        )
        usage = None
        for event in stream:
            if event.event_type == "error":
                raise ErrorEvent(event.error.message)
            interaction = getattr(event, "interaction", None)
            usage = getattr(interaction, "usage", None) or usage
        return usage and numbers(input=usage.total_input_tokens, total=usage.total_tokens)

    return call


def cohere():
    import cohere as sdk
    import httpx

    def make(play):
        transport = {"httpx_client": http2(httpx)} if play.get("http2") else {}
        return sdk.ClientV2(api_key=NO_KEY, **transport)

    clients = Clients(make)

    def call(play):
        stream = clients.of(play).chat_stream(
            model=play["model"], messages=MESSAGES, **cap(play, "max_tokens"),
            request_options={"additional_headers": headers(play)},
        )
        usage = None
        for event in stream:
            if event.type == "message-end":
                usage = event.delta.usage
        tokens = usage and usage.tokens
        return tokens and numbers(input=int(tokens.input_tokens), output=int(tokens.output_tokens))

    return call


def mistral():
    import httpx2
    from mistralai.client import Mistral

    def make(play):
        transport = {"client": http2(httpx2, follow_redirects=True)} if play.get("http2") else {}
        return Mistral(api_key=NO_KEY, **transport)

    clients = Clients(make)

    def call(play):
        stream = clients.of(play).chat.stream(
            model=play["model"], messages=MESSAGES, http_headers=headers(play), **cap(play, "max_tokens")
        )
        usage = None
        for event in stream:
            usage = event.data.usage or usage
        return usage and numbers(input=usage.prompt_tokens, output=usage.completion_tokens)

    return call


def groq():
    import groq as sdk
    import httpx

    def make(play):
        transport = {"http_client": http2(httpx)} if play.get("http2") else {}
        return sdk.Groq(api_key=NO_KEY, **transport)

    clients = Clients(make)

    def call(play):
        stream = clients.of(play).chat.completions.create(
            model=play["model"], messages=MESSAGES, stream=True, extra_headers=headers(play),
            **cap(play, "max_completion_tokens"),
        )
        usage = None
        for chunk in stream:
            told = chunk.x_groq.usage if chunk.x_groq else None
            usage = told or getattr(chunk, "usage", None) or usage
        return usage and numbers(input=usage.prompt_tokens, output=usage.completion_tokens)

    return call


# What the next request to Bedrock carries: boto3 takes headers by its hooks alone.
BEDROCK_HEADERS = {}


def bedrock_client(play):
    """Keys come from where boto3 looks for them; it does not speak HTTP/2."""
    import boto3

    client = boto3.client("bedrock-runtime", region_name="us-east-1")
    hook = lambda request, **_: request.headers.update(BEDROCK_HEADERS)
    # It is signed by then, so the signature does not cover them.
    client.meta.events.register("before-send.bedrock-runtime", hook)
    return client


def bedrock_converse():
    clients = Clients(bedrock_client)

    def call(play):
        BEDROCK_HEADERS.clear()
        BEDROCK_HEADERS.update(headers(play))
        answer = clients.of(play).converse_stream(
            modelId=play["model"], messages=[{"role": "user", "content": [{"text": "Say hi."}]}],
            **({"inferenceConfig": {"maxTokens": play["cap"]}} if play.get("cap") else {}),
        )
        usage = None
        for event in answer["stream"]:
            usage = event.get("metadata", {}).get("usage", usage)
        return usage and numbers(input=usage["inputTokens"], output=usage["outputTokens"])

    return call


def bedrock_invoke():
    clients = Clients(bedrock_client)

    def call(play):
        BEDROCK_HEADERS.clear()
        BEDROCK_HEADERS.update(headers(play))
        if play.get("body"):
            with open(play["body"], "rb") as file:
                body = file.read()
        else:
            body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": play.get("cap") or 64}
            body = json.dumps({**body, "messages": MESSAGES})
        answer = clients.of(play).invoke_model_with_response_stream(
            modelId=play["model"], body=body, contentType="application/json"
        )
        told = {}
        for event in answer["body"]:
            told = json.loads(event["chunk"]["bytes"]).get("amazon-bedrock-invocationMetrics", told)
        return told and numbers(input=told["inputTokenCount"], output=told["outputTokenCount"])

    return call


def ollama():
    import ollama as sdk

    def call(play):
        # Its headers are the client's, so each stream has a client of its own.
        hooks = {"response": [lambda response: SPOKEN.append(response.http_version)]}
        options = {"http2": True, "event_hooks": hooks} if play.get("http2") else {}
        client = sdk.Client(host=play.get("url") or "https://ollama.com", headers=headers(play), **options)
        limit = {"options": {"num_predict": play["cap"]}} if play.get("cap") else {}
        request = {"model": play["model"], "stream": True, **limit}
        if play.get("generate"):
            stream = client.generate(prompt="Say hi.", **request)
        else:
            stream = client.chat(messages=MESSAGES, **request)
        last = None
        for part in stream:
            last = part
        return last and last.done and numbers(input=last.prompt_eval_count, output=last.eval_count)

    return call


FAMILIES = {
    "anthropic": anthropic,
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "gemini": gemini,
    "gemini-interactions": gemini_interactions,
    "cohere": cohere,
    "mistral": mistral,
    "groq": groq,
    "deepseek": lambda: openai_chat("https://api.deepseek.com"),
    "openrouter": lambda: openai_chat("https://openrouter.ai/api/v1"),
    "xai": lambda: openai_responses("https://api.x.ai/v1"),
    "bedrock-converse": bedrock_converse,
    "bedrock-invoke": bedrock_invoke,
    "ollama": ollama,
}

family, plays = sys.argv[1:]
call = FAMILIES[family]()
with open(plays, encoding="utf-8") as lines:
    for line in lines:
        told = json.loads(line)
        SPOKEN.clear()
        try:
            told = {"usage": call(told) or None}
        except Exception as error:  # whatever an SDK raises is what its user sees
            kind = type(error)
            told = {"error": f"{kind.__module__}.{kind.__name__}", "text": str(error)}
        print(json.dumps({**told, "spoken": list(SPOKEN)}), flush=True)
