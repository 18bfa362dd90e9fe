"""A real MCP server on a free port of loopback: mcp_server.py TRANSPORT READY LOG.

TRANSPORT is `events` (streamable HTTP that answers in events), `json` (streamable HTTP that answers in JSON) or `sse` (the
older HTTP with SSE). The port is written to the file READY once it listens, and each tool that runs writes its name and
arguments to the file LOG as a JSON line.
"""

import asyncio
import json
import socket
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

transport, ready, log = sys.argv[1:4]
server = MCPServer("shop")


def ran(tool, **arguments):
    with open(log, "a", encoding="utf-8") as lines:
        lines.write(json.dumps({"tool": tool, "arguments": arguments}) + "\n")


@server.tool()
def look(item: str) -> str:
    """Look at an item."""
    ran("look", item=item)
    return f"{item} costs 5"


@server.tool()
def pay(amount: int, to: str = "shop") -> str:
    """Pay an amount."""
    ran("pay", amount=amount, to=to)
    return f"paid {amount} to {to}"


@server.tool()
def fail(why: str) -> str:
    """Fail, as tools do: with a result that says so."""
    ran("fail", why=why)
    raise ValueError(why)


@server.tool()
def delete_shop() -> str:
    """Delete the shop."""
    ran("delete_shop")
    return "deleted"


@server.tool()
def admin_reset() -> str:
    """Reset everything."""
    ran("admin_reset")
    return "reset"


class Ready(uvicorn.Server):
    """Says where it listens once it does."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        with open(ready, "w", encoding="utf-8") as file:
            file.write(str(sockets[0].getsockname()[1]))


# The proxy's Host is that of the route, not that of this socket.
anybody = TransportSecuritySettings(enable_dns_rebinding_protection=False)
if transport == "sse":
    app = server.sse_app(transport_security=anybody)
else:
    app = server.streamable_http_app(json_response=transport == "json", transport_security=anybody)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
asyncio.run(Ready(config).serve(sockets=[listener]))
