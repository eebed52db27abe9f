"""PyPI mcp, 1.x."""

from contextlib import asynccontextmanager

import mcp.types as types
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

import steps


class Connected:
    def __init__(self, session, revision):
        self.session = session
        self.revision = str(revision)

    async def list(self):
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, tool, arguments, progress=None):
        return await self.session.call_tool(tool, arguments, progress_callback=progress)


async def elicited(_context, _params):
    return types.ElicitResult(action="accept", content=steps.answers)


async def sampled(_context, _params):
    content = types.TextContent(type="text", text=steps.SAMPLED)
    return types.CreateMessageResult(role="assistant", model="matrix", content=content)


async def rooted(_context):
    return types.ListRootsResult(roots=[types.Root(uri=steps.ROOT, name="srv")])


@asynccontextmanager
async def connected():
    callbacks = {"elicitation_callback": elicited, "sampling_callback": sampled, "list_roots_callback": rooted}
    async with streamablehttp_client(steps.job["url"], headers=steps.job["headers"]) as (read, write, _):
        async with ClientSession(read, write, **callbacks) as session:
            yield Connected(session, (await session.initialize()).protocolVersion)


steps.run(connected)
