"""PyPI mcp, 2.x, which asks for revision 2026-07-28 first."""

from contextlib import asynccontextmanager

import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

import steps


class Connected:
    def __init__(self, client):
        self.client = client
        self.revision = client.protocol_version

    async def list(self):
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, tool, arguments, progress=None):
        return await self.client.call_tool(tool, arguments, progress_callback=progress)


async def elicited(_context, _params):
    return types.ElicitResult(action="accept", content=steps.answers)


async def sampled(_context, _params):
    content = types.TextContent(type="text", text=steps.SAMPLED)
    return types.CreateMessageResult(role="assistant", model="matrix", content=content)


async def rooted(_context):
    return types.ListRootsResult(roots=[types.Root(uri=steps.ROOT, name="srv")])


@asynccontextmanager
async def connected():
    async with create_mcp_http_client(headers=steps.job["headers"]) as http:
        client = Client(
            streamable_http_client(steps.job["url"], http_client=http),
            mode="auto",
            elicitation_callback=elicited,
            sampling_callback=sampled,
            list_roots_callback=rooted,
        )
        async with client:
            yield Connected(client)


steps.run(connected)
