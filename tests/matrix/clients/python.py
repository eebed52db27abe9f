"""PyPI mcp: `python.py 1` is a client of its generation 1, `python.py 2` of 2, which asks for revision 2026-07-28 first."""

import sys
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import steps

GENERATION = sys.argv[1]
if GENERATION == "1":
    import mcp.types as types
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client
else:
    import mcp_types as types
    from mcp import Client
    from mcp.client.auth import OAuthClientProvider
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client
    from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata


class Connected:
    def __init__(self, client, revision):
        self.client = client
        self.revision = str(revision)

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


CALLBACKS = {"elicitation_callback": elicited, "sampling_callback": sampled, "list_roots_callback": rooted}


@asynccontextmanager
async def generation_1():
    async with streamablehttp_client(steps.job["url"], headers=steps.job["headers"]) as (read, write, _):
        async with ClientSession(read, write, **CALLBACKS) as session:
            yield Connected(session, (await session.initialize()).protocolVersion)


class Kept:
    """What a program keeps of itself: its registration and its tokens."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


kept = Kept()


def signed_in():
    """By a URL alone, where the job says so."""
    if not steps.job.get("signIn"):
        return None
    back = None

    async def redirect(url):
        nonlocal back
        back = await steps.decided(url)

    async def callback():
        told = parse_qs(urlsplit(back).query)
        return AuthorizationCodeResult(**{name: told[name][0] for name in ("code", "state", "iss") if name in told})

    metadata = OAuthClientMetadata(client_name="Python SDK", redirect_uris=["http://localhost:7777/callback"])
    return OAuthClientProvider(steps.job["url"], metadata, kept, redirect, callback)


@asynccontextmanager
async def generation_2():
    async with create_mcp_http_client(headers=steps.job["headers"], auth=signed_in()) as http:
        client = Client(streamable_http_client(steps.job["url"], http_client=http), mode="auto", **CALLBACKS)
        async with client:
            yield Connected(client, client.protocol_version)


steps.run(generation_1 if GENERATION == "1" else generation_2)
