"""A server of PyPI fastmcp: the argument is its transport, `stdio`, `http` or `sse`. Serves at port 8000."""

import asyncio
import sys

from fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent

server = FastMCP("matrix")


@server.tool
def echo(text: str) -> str:
    return f"Echo: {text}"


@server.tool(output_schema=None)
def large() -> str:
    return "x" * 8_000_000


@server.tool
async def count(ctx: Context) -> str:
    for number in range(3):
        await ctx.report_progress(number + 1, 3)
        # Clients forget who waits for progress as soon as they see the answer.
        await asyncio.sleep(0.1)
    return "counted"


@server.tool
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("What is your name?", response_type=str)
    return f"Hello, {answer.data}!"


@server.tool
async def think(ctx: Context) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text="Say something"))
    answer = await ctx.session.create_message(messages=[message], max_tokens=10)
    return f"It said: {answer.content.text}"


transport = sys.argv[1]
if transport == "stdio":
    server.run(transport="stdio", show_banner=False)
else:
    server.run(transport=transport, host="0.0.0.0", port=8000, show_banner=False)
