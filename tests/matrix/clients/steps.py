"""What every client of the matrix does with a server, for the clients written in Python; see steps.mjs."""

import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack

ROOT = "file:///srv"
SAMPLED = "a sampled answer"
STEP_SECONDS = 40
# The first revision without sessions.
STATELESS = "2026-07-28"

# The job: `url`, `headers`, and what to do: see servers.ts.
job = json.load(sys.stdin)
answers = (job.get("elicit") or {}).get("content") or {}


async def decided(url):
    """Where the owner's browser is sent back to from `url`."""
    browser = await asyncio.create_subprocess_exec("xdg-open", "--print", url, stdout=asyncio.subprocess.PIPE)
    back, _ = await browser.communicate()
    return back.decode()


def say(**line):
    print(json.dumps(line), flush=True)


def described(error):
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(described(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"[:600]


async def step(name, work):
    begun = time.monotonic()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            await work()
    except TimeoutError:
        error = f"nothing within {STEP_SECONDS} s"
    except Exception as raised:
        error = described(raised)
    else:
        error = None
    say(step=name, ms=int((time.monotonic() - begun) * 1000), **({"error": error} if error else {}))
    return error is None


def said(result):
    """The text of an answer; an answer that says that the tool failed is an error."""
    text = "\n".join(getattr(part, "text", None) or "" for part in result.content)
    if getattr(result, "isError", None) or getattr(result, "is_error", None):
        raise RuntimeError(f"the tool failed: {text[:300]}")
    return text


def expect(text, expected):
    if expected not in text:
        raise RuntimeError(f'expected "{expected}", got "{text[:200]}"')


async def steps(connected):
    """`connected()` is a context with a client: `revision`, `list()`, `call(tool, arguments, progress)`."""
    async with AsyncExitStack() as stack:
        client = None

        async def connect():
            nonlocal client
            client = await stack.enter_async_context(connected())
            say(revision=client.revision)

        if not await step("connect", connect):
            # What is half open may not end.
            os._exit(0)

        async def listed():
            names = await client.list()
            if job["tool"] not in names:
                raise RuntimeError(f"no tool {job['tool']} among {', '.join(names)[:200]}")

        await step("list", listed)
        call = job.get("call")

        async def answered(one):
            if call:
                expect(said(await one.call(job["tool"], call["arguments"])), call["expect"])
            else:
                await one.list()

        if call:
            await step("call", lambda: answered(client))

        async def second():
            async with connected() as another:
                await asyncio.gather(answered(client), answered(another))

        await step("second", second)

        async def progress(todo):
            seen = []

            async def told(*what):
                seen.append(what)

            said(await client.call(todo["tool"], todo["arguments"], told))
            if not seen:
                raise RuntimeError("no progress was told")

        async def cancel(todo):
            """The call ends at once, and the session goes on."""
            call = asyncio.create_task(client.call(todo["tool"], todo["arguments"]))
            await asyncio.sleep(1)
            if call.done():
                raise RuntimeError("the call was answered")
            call.cancel()
            await asyncio.wait([call], timeout=10)
            if not call.done():
                raise RuntimeError("the call does not end")
            await client.list()

        async def large(todo):
            text = said(await client.call(todo["tool"], todo["arguments"]))
            if len(text) < todo["bytes"]:
                raise RuntimeError(f"{len(text)} characters instead of {todo['bytes']}")

        async def asked(todo):
            expect(said(await client.call(todo["tool"], todo["arguments"])), todo["expect"])

        works = {"progress": progress, "cancel": cancel, "large": large, "elicit": asked, "sample": asked, "roots": asked}
        for name, work in works.items():
            todo = job.get(name)
            era = "stateless" if client.revision >= STATELESS else "sessions"
            if todo and job.get("only", {}).get(name, era) == era:
                await step(name, lambda work=work, todo=todo: work(todo))
        await step("close", stack.aclose)


def run(connected):
    asyncio.run(steps(connected))
    # A library's thread must not keep it.
    os._exit(0)
