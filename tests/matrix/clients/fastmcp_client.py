"""PyPI fastmcp, whose client asks for revision 2026-07-28 first."""

from contextlib import asynccontextmanager

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

import steps


class Connected:
    def __init__(self, client):
        self.client = client
        self.revision = client.protocol_version

    async def list(self):
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, tool, arguments, progress=None):
        return await self.client.call_tool(tool, arguments, progress_handler=progress)


async def elicited(_message, _response_type, _params, _context):
    return steps.answers


async def sampled(_messages, _params, _context):
    return steps.SAMPLED


@asynccontextmanager
async def connected():
    auth = "oauth" if steps.job.get("signIn") else None
    transport = StreamableHttpTransport(steps.job["url"], headers=steps.job["headers"], auth=auth)
    handlers = {"elicitation_handler": elicited, "sampling_handler": sampled, "roots": [steps.ROOT]}
    async with Client(transport, **handlers) as client:
        yield Connected(client)


steps.run(connected)
