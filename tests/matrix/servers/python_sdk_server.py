"""A server over standard streams, of PyPI mcp 1.x as it came in 1.6."""

import asyncio

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent

server = FastMCP("matrix")


@server.tool()
def echo(text: str) -> str:
    return f"Echo: {text}"


@server.tool()
def large() -> str:
    return "x" * 8_000_000


@server.tool()
async def count(ctx: Context) -> str:
    for number in range(3):
        await ctx.report_progress(number + 1, 3)
        # Clients forget who waits for progress as soon as they see the answer.
        await asyncio.sleep(0.1)
    return "counted"


@server.tool()
async def think(ctx: Context) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text="Say something"))
    answer = await ctx.session.create_message(messages=[message], max_tokens=10)
    return f"It said: {answer.content.text}"


server.run()
