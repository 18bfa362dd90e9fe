"""A real MCP client: mcp_client.py MODE URL STEPS.

MODE is `auto`, `legacy` (the SDK's words for how it begins) or `sse` (the older transport). STEPS is a JSON array, each
step `"list"` or `[tool, arguments]`. Prints a JSON line a step: the names that are listed, what a tool returned, or the
error that the SDK raises. Proxies and certificates are left as the SDK has them.
"""

import asyncio
import json
import sys

from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

mode, url, steps = sys.argv[1:4]


async def take(client, step):
    try:
        if step == "list":
            tools = (await client.list_tools()).tools
            return {"tools": sorted(tool.name for tool in tools)}
        tool, arguments = step
        result = await client.call_tool(tool, arguments)
        return {"text": "".join(part.text for part in result.content), "is_error": bool(result.is_error)}
    except MCPError as error:
        return {"error": {"code": error.code, "message": error.message, "data": error.data}}


async def main():
    server = sse_client(url) if mode == "sse" else url
    async with Client(server, mode="legacy" if mode == "sse" else mode, read_timeout_seconds=20) as client:
        for step in json.loads(steps):
            print(json.dumps(await take(client, step)), flush=True)


asyncio.run(main())
