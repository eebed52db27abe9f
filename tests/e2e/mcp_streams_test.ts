/** Answers of MCP servers that take longer than the platform lets a stream live, and machines that vanish before they come. */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { type ConfigOverride, describe, startWorld, within, type World } from "./lib/mod.ts";

/** How long a stream may live here, and how long a call takes. */
const STREAM_SECONDS = 4;
const CALL_MS = 14_000;

interface Given {
  token: string;
  url: string;
}

Deno.test("a call outlives the streams in which its answer comes", async (t) => {
  await using world = await startWorld({ functionEnv: { TOOLBOX_MCP_STREAM_SECONDS: `${STREAM_SECONDS}` } });
  const slow = ["--call-ms", `${CALL_MS}`];
  const servers: [string, ConfigOverride][] = [
    ["stdio", { transport: "stdio", command: ["--stdio", ...slow] }],
    ["http", { transport: "streamable-http", command: slow }],
  ];
  const given = new Map<string, Given>();
  for (const [name, override] of servers) given.set(name, await deploy(world, name, override));

  for (const [name] of servers) {
    await t.step(`the SDK's client has its answer: ${name}`, async () => {
      const { client, seen } = await connect(given.get(name)!);
      const begun = Date.now();
      const call = client.callTool({ name: "add", arguments: { a: 2, b: 3 } }, undefined, { timeout: 60_000 });
      const result = await within(60_000, "the call", call);
      assert.deepEqual(result.content, [{ type: "text", text: "5" }]);
      assert.ok(Date.now() - begun >= CALL_MS);
      const resumed = seen.filter((id) => id?.startsWith("toolbox-"));
      assert.ok(resumed.length >= 2, `it went on in ${resumed.length} more streams`);
      assert.equal(new Set(resumed).size, resumed.length, "each stream once");
      assert.ok(seen.filter((id) => id === null).length >= 2, "it listens again where that stream ended");
      await client.close();
    });
  }

  await t.step("nobody else goes on with a call, and nobody later", async () => {
    const { url, token } = given.get("stdio")!;
    const answer = await fetch(url, {
      headers: {
        accept: "text/event-stream",
        authorization: `Bearer ${token}`,
        "last-event-id": `toolbox-${crypto.randomUUID()}`,
      },
    });
    assert.equal(answer.status, 410);
    assert.match((await answer.json()).error.message, /was not asked for in time/);
  });

  await t.step("a machine that vanishes in the middle of a call is an error for the SDK's client", async () => {
    const { client } = await connect(given.get("http")!);
    const call = client.callTool({ name: "uptime", arguments: {} }, undefined, { timeout: 120_000 });
    // It fails, which is what is wanted.
    call.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const thaw = world.agent.freeze();
    try {
      await assert.rejects(within(60_000, "the call", call), /did not begin its answer in time|fallen silent/);
    } finally {
      thaw();
    }
    await client.close().catch(() => {});
  });
});

async function deploy(world: World, name: string, override: ConfigOverride): Promise<Given> {
  const deployed = await world.owner.tools.deploy(name, override, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const json = { name, instanceId: deployed.json.tool_instance.id };
  const given = await world.owner.tools.request(`/${world.toolboxId}/mcp-access`, { method: "POST", json });
  assert.equal(given.status, 201, describe(given));
  return { token: given.json.token, url: given.json.url };
}

/** A client, and where each of its streams began. */
async function connect({ url, token }: Given) {
  const seen: (string | null)[] = [];
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
    fetch: (url, init) => {
      const { method, headers } = (init ?? {}) as { method?: string; headers?: HeadersInit };
      if (method === "GET") seen.push(new Headers(headers).get("last-event-id"));
      return fetch(url, init);
    },
  });
  const client = new Client({ name: "toolbox-e2e", version: "1" });
  await within(20_000, `MCP initialize at ${url}`, client.connect(transport));
  return { client, seen };
}
