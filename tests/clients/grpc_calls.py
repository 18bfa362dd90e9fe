"""gRPC on both ends, with messages of plain bytes.

grpc_calls.py serve CERTIFICATE KEY   serves over TLS; prints its port
grpc_calls.py MODE TARGET             makes calls, prints what came of them; proxy and CA are left to the environment
"""

import json
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "hudson.tests.Calls"
# Whether the client of the call that hangs has left it.
LEFT = threading.Event()


def unary(request, context):
    context.send_initial_metadata((("x-initial", "1"),))
    context.set_trailing_metadata((("x-sum", "42"), ("x-bytes-bin", b"\x00\xff")))
    return b"echo " + request


def down(request, context):
    for number in range(3):
        yield b"%s %d" % (request, number)


def up(requests, context):
    return b", ".join(requests)


def both(requests, context):
    for request in requests:
        yield b"echo " + request


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100 %")


def hang(request, context):
    context.add_callback(LEFT.set)
    yield b"begun"
    LEFT.wait(60)


def left(request, context):
    return b"yes" if LEFT.wait(1) else b"no"


def serve(certificate, key):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Hang": grpc.unary_stream_rpc_method_handler(hang),
        "Left": grpc.unary_unary_rpc_method_handler(left),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    with open(certificate, "rb") as chain, open(key, "rb") as private:
        credentials = grpc.ssl_server_credentials([(private.read(), chain.read())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def calls(channel):
    """One call of each kind; in the last, a message is sent only when the answer to the one before is there."""
    answer, call = channel.unary_unary(f"/{SERVICE}/Unary").with_call(b"hello", timeout=20)
    trailing = {item.key: item.value for item in call.trailing_metadata()}
    initial = {item.key: item.value for item in call.initial_metadata()}
    large = channel.unary_unary(f"/{SERVICE}/Unary")(b"x" * 3_000_000, timeout=20)
    answered = threading.Semaphore(1)

    def ask():
        for number in range(4):
            if not answered.acquire(timeout=20):
                return
            yield b"%d" % number

    exchanged = []
    for message in channel.stream_stream(f"/{SERVICE}/Both")(ask(), timeout=20):
        exchanged.append(message.decode())
        answered.release()
    return {
        "unary": answer.decode(),
        "initial": initial.get("x-initial"),
        "trailing": [trailing.get("x-sum"), list(trailing.get("x-bytes-bin", b""))],
        "large": len(large),
        "down": [message.decode() for message in channel.unary_stream(f"/{SERVICE}/Down")(b"n", timeout=20)],
        "up": channel.stream_unary(f"/{SERVICE}/Up")(iter([b"a", b"b", b"c"]), timeout=20).decode(),
        "both": exchanged,
    }


def error(channel, method):
    """The error that a call ends with."""
    try:
        channel.unary_unary(f"/{SERVICE}/{method}")(b"hello", timeout=20)
    except grpc.RpcError as raised:
        return {"code": raised.code().name, "details": raised.details()}
    return {"code": "OK"}


def leave(channel, timeout):
    """Leaves a call that has begun, by its deadline or else by cancelling it, and asks on the same channel whether the
    server was told."""
    call = channel.unary_stream(f"/{SERVICE}/Hang")(b"", timeout=timeout)
    begun = next(call).decode()
    if timeout is None:
        call.cancel()
    code = "OK"
    try:
        next(call)
    except grpc.RpcError as raised:
        code = raised.code().name
    told = channel.unary_unary(f"/{SERVICE}/Left")(b"", timeout=20)
    return {"begun": begun, "code": code, "told": told.decode()}


if sys.argv[1] == "serve":
    serve(*sys.argv[2:])
else:
    mode, target = sys.argv[1:]
    with grpc.secure_channel(target, grpc.ssl_channel_credentials()) as opened:
        modes = {
            "calls": lambda: calls(opened),
            "error": lambda: error(opened, "Fail"),
            "unary": lambda: error(opened, "Unary"),
            "deadline": lambda: leave(opened, 1),
            "cancel": lambda: leave(opened, None),
        }
        print(json.dumps(modes[mode]()))
