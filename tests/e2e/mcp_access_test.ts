/** MCP clients come in by the project's own URL: a URL and a token, no certificate; and whoever may not, does not. */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  type Actor,
  type ConfigOverride,
  describe,
  eventually,
  type Reply,
  send,
  startWorld,
  within,
  type World,
} from "./lib/mod.ts";

const STATELESS = "2026-07-28";
const accept = "application/json, text/event-stream";

interface Given {
  id: string;
  token: string;
  url: string;
}

Deno.test("a URL and a token are all that a client needs, and a token opens what it was given for", async (t) => {
  await using world = await startWorld();
  const stdio = await deploy(world, "over stdio", { transport: "stdio", command: ["--stdio"] });
  const http = await deploy(world, "over http", {});
  const url = (id: string) => `${world.ready.url}/functions/v1/mcp/${id}`;

  await t.step("the owner is told the URL, and how hosts are told of it", async () => {
    const { json } = await world.owner.tools.mcp(stdio);
    assert.equal(json.public_url, url(stdio));
    const hosts = json.hosts.map(({ host }: { host: string }) => host);
    for (const host of ["claude-code", "cursor", "vscode", "gemini-cli", "codex", "mcp-remote"]) {
      assert.ok(hosts.includes(host), host);
    }
  });

  for (const id of [stdio, http]) {
    await t.step(`a client lists, calls and ends its session: ${id === stdio ? "stdio" : "http"}`, async () => {
      const given = await give(world.owner, { name: "laptop", instanceId: id });
      assert.equal(given.url, url(id));
      const { client, transport } = await connect(given);
      const tools = (await client.listTools()).tools.map(({ name }) => name);
      assert.deepEqual(tools, ["echo", "add", "environment", "uptime"]);
      const result = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
      assert.deepEqual(result.content, [{ type: "text", text: "5" }]);
      await transport.terminateSession();
      await client.close();
      const listed = await world.owner.tools.request(`/${world.toolboxId}/mcp-access`);
      const seen = listed.json.access.find(({ id }: { id: string }) => id === given.id);
      assert.ok(seen.last_used_at, describe(listed));
      assert.ok(!listed.text.includes(given.token));
    });
  }

  await t.step("a session that ended is over", async () => {
    const given = await give(world.owner, { name: "once", instanceId: stdio });
    const { client, transport } = await connect(given);
    const session = transport.sessionId!;
    await transport.terminateSession();
    await client.close();
    const reply = await ask(given, { jsonrpc: "2.0", id: 1, method: "tools/list" }, { "mcp-session-id": session });
    assert.equal(reply.status, 404, describe(reply));
  });

  await t.step("the owner's own access token is good too, a stranger's is not", async () => {
    const of = (actor: Actor) => ({ id: "", token: actor.token, url: url(stdio) });
    const { client } = await connect(of(world.owner));
    await client.close();
    refused(await ask(of(world.stranger), initialize()), 403, "forbidden");
    await give(world.owner, {
      name: "stranger",
      instanceId: stdio,
      userId: world.stranger.userId,
      allowedTools: ["add"],
    });
    const shared = await connect(of(world.stranger));
    assert.deepEqual((await shared.client.listTools()).tools.map(({ name }) => name), ["add"]);
    await assert.rejects(shared.client.callTool({ name: "echo", arguments: { message: "x" } }), /Unknown tool: echo/);
    await shared.client.close();
  });

  await t.step("a token that is revoked, has expired, or is another instance's opens nothing", async () => {
    const given = await give(world.owner, { name: "short", instanceId: stdio, expiresInSeconds: 60 });
    assert.equal((await ask(given, initialize())).status, 200);
    refused(await ask({ ...given, url: url(http) }, initialize()), 403, "forbidden");
    refused(await ask({ ...given, url: url(crypto.randomUUID()) }, initialize()), 403, "forbidden");
    const forged = given.token.replace(/.$/, (last) => last === "0" ? "1" : "0");
    refused(await ask({ ...given, token: forged }, initialize()), 401, "invalid_token");
    // Time passes where it is kept.
    await world.db.execute("update public.mcp_access set expires_at = now() where id = :'id';", { id: given.id });
    refused(await ask(given, initialize()), 401, "invalid_token");
    const other = await give(world.owner, { name: "revoked", instanceId: stdio });
    const { client } = await connect(other);
    const path = `/${world.toolboxId}/mcp-access/${other.id}`;
    assert.equal((await world.stranger.tools.request(path, { method: "DELETE" })).status, 404);
    assert.equal((await world.owner.tools.request(path, { method: "DELETE" })).status, 200);
    await assert.rejects(client.listTools(), /revoked/);
    await client.close();
    // It is no token of any other function.
    const api = await world.anonymous.request(`/${world.toolboxId}/tools`, {
      headers: { authorization: `Bearer ${given.token}` },
    });
    assert.equal(api.status, 401, describe(api));
  });

  await t.step("a list of tools holds in both eras of the protocol, and in a batch", async () => {
    const given = await give(world.owner, { name: "adds", instanceId: stdio, allowedTools: ["add"] });
    const begun = await ask(given, initialize("2025-03-26"));
    const session = { "mcp-session-id": begun.headers.get("mcp-session-id")! };
    const call = (id: number, name: string) => ({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: { name, arguments: name === "add" ? { a: 1, b: 1 } : {} },
    });
    const list = { jsonrpc: "2.0", id: 9, method: "tools/list" };
    const taken = await ask(given, { jsonrpc: "2.0", method: "notifications/initialized" }, session);
    assert.equal(taken.status, 202, describe(taken));
    const batch = await ask(given, [list, call(1, "add")], session);
    assert.match(batch.text, /"text":"2"/, describe(batch));
    assert.ok(!batch.text.includes("uptime"), describe(batch));
    const bad = await ask(given, [list, call(1, "add"), call(2, "uptime")], session);
    assert.ok(!bad.text.includes('"result"'), describe(bad));
    assert.match(bad.text, /Unknown tool: uptime/);
    // The stateless era: every request stands alone.
    const meta = {
      "io.modelcontextprotocol/protocolVersion": STATELESS,
      "io.modelcontextprotocol/clientCapabilities": {},
      "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
    };
    const alone = (method: string, params: Record<string, unknown>, named = String(params.name ?? "")) =>
      ask(given, { jsonrpc: "2.0", id: 3, method, params: { ...params, _meta: meta } }, {
        "mcp-protocol-version": STATELESS,
        "mcp-method": method,
        ...(named === "" ? {} : { "mcp-name": named }),
      });
    const refusal = await alone("tools/call", { name: "uptime", arguments: {} });
    assert.match(refusal.text, /Unknown tool: uptime/, describe(refusal));
    const forged = await alone("tools/call", { name: "add", arguments: { a: 1, b: 1 } }, "uptime");
    assert.match(forged.text, /Header mismatch/, describe(forged));
    const shown = await alone("tools/list", {});
    assert.ok(!shown.text.includes("uptime"), describe(shown));
  });

  await t.step("a token may be given a limit of its own, and a refusal says when to come again", async () => {
    const given = await give(world.owner, { name: "seldom", instanceId: stdio, requestsPerMinute: 3 });
    for (let i = 0; i < 3; i++) assert.equal((await ask(given, initialize())).status, 200);
    const reply = await ask(given, initialize());
    assert.equal(reply.status, 429, describe(reply));
    assert.match(reply.json.error.message, /3 a minute/);
    const after = Number(reply.headers.get("retry-after"));
    assert.ok(after >= 1 && after <= 20, describe(reply));
    // By the URL of the toolbox it is the same access.
    const all = world.ready.url + `/functions/v1/mcp/toolbox/${world.toolboxId}`;
    assert.equal((await ask({ ...given, url: all }, initialize())).status, 429);
    const other = await give(world.owner, { name: "two at once", instanceId: stdio, concurrentRequests: 2 });
    const sessions = [await ask(other, initialize()), await ask(other, initialize())];
    const streams: Response[] = [];
    for (const begun of sessions) streams.push(await listen(other, begun));
    const refused = await ask(other, initialize());
    assert.equal(refused.status, 429, describe(refused));
    assert.ok(refused.headers.has("retry-after"));
    await Promise.all(streams.map((stream) => stream.body!.cancel()));
    await eventually("room again", async () => (await ask(other, initialize())).status === 200 || undefined);
    const listed = await world.owner.tools.request(`/${world.toolboxId}/mcp-access`);
    const limits = (of: string) => {
      const access = listed.json.access.find(({ id }: { id: string }) => id === of);
      return [access.requests_per_minute, access.concurrent_requests];
    };
    assert.deepEqual([limits(given.id), limits(other.id)], [[3, null], [null, 2]]);
  });

  await t.step("read-only shows and calls what the server calls read-only", async () => {
    const given = await give(world.owner, { name: "reads", instanceId: http, readOnly: true });
    const { client } = await connect(given);
    assert.equal((await client.listTools()).tools.length, 4, "all tools of the sample are read-only");
    assert.ok(await client.callTool({ name: "uptime", arguments: {} }));
    await client.close();
  });

  await t.step("a page of any origin may call, without a certificate", async () => {
    const reply = await send(url(stdio), {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,mcp-protocol-version,mcp-session-id",
      },
    });
    assert.equal(reply.status, 204, describe(reply));
    assert.match(reply.headers.get("access-control-allow-headers")!, /mcp-session-id/);
    assert.equal(reply.headers.get("access-control-allow-origin"), "*");
  });

  await t.step("a tool that is stopped says so", async () => {
    const given = await give(world.owner, { name: "stopped", instanceId: http });
    assert.equal((await world.owner.tools.stop(http, { wait: 30 })).status, 200);
    const reply = await ask(given, initialize());
    assert.equal(reply.status, 503, describe(reply));
    assert.match(reply.json.error.message, /the tool is stopped/);
  });

  await t.step("an agent that is killed in the middle of a stream, or is gone, is an error", async () => {
    const given = await give(world.owner, { name: "listens", instanceId: stdio });
    const stream = await listen(given);
    await world.agent.stop("SIGKILL");
    await assert.rejects(within(20_000, "the end of the stream", stream.text()));
    const reply = await ask(given, initialize());
    assert.equal(reply.status, 503, describe(reply));
    assert.equal(reply.json.error.data.code, "agent_unreachable");
    assert.match(reply.json.error.message, /does not answer/);
    await world.agent.start();
  });

  await t.step("a machine that falls silent in the middle of a stream is an error within a minute", async () => {
    const given = await give(world.owner, { name: "waits", instanceId: stdio });
    const stream = await listen(given);
    const thaw = world.agent.freeze();
    try {
      await assert.rejects(within(60_000, "the end of the stream", stream.text()));
    } finally {
      thaw();
    }
  });
});

async function deploy(world: World, name: string, override: ConfigOverride): Promise<string> {
  const reply = await world.owner.tools.deploy(name, override, { wait: 30 });
  assert.equal(reply.status, 201, describe(reply));
  return reply.json.tool_instance.id;
}

async function give(owner: Actor, json: Record<string, unknown>): Promise<Given> {
  const reply = await owner.tools.request(`/${owner.tools.toolboxId}/mcp-access`, { method: "POST", json });
  assert.equal(reply.status, 201, describe(reply));
  return { id: reply.json.access.id, token: reply.json.token, url: reply.json.url };
}

async function connect({ url, token }: Given) {
  const client = new Client({ name: "toolbox-e2e", version: "1" });
  const headers = { authorization: `Bearer ${token}` };
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await within(20_000, `MCP initialize at ${url}`, client.connect(transport));
  return { client, transport };
}

function initialize(protocolVersion = "2025-11-25") {
  const params = { protocolVersion, capabilities: {}, clientInfo: { name: "t", version: "1" } };
  return { jsonrpc: "2.0", id: 0, method: "initialize", params };
}

function ask({ url, token }: Given, json: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  return send(url, { method: "POST", json, headers: { accept, authorization: `Bearer ${token}`, ...headers } });
}

/** A session's stream of what the server says by itself. */
async function listen(given: Given, begun?: Reply): Promise<Response> {
  begun ??= await ask(given, initialize());
  const headers = {
    accept: "text/event-stream",
    authorization: `Bearer ${given.token}`,
    "mcp-session-id": begun.headers.get("mcp-session-id")!,
  };
  const stream = await fetch(given.url, { headers });
  assert.equal(stream.status, 200, await (stream.ok ? "" : stream.text()));
  return stream;
}

function refused(reply: Reply, status: number, code: string): void {
  assert.equal(reply.status, status, describe(reply));
  assert.equal(reply.json.error.data.code, code, describe(reply));
  assert.equal(reply.headers.has("www-authenticate"), status === 401);
}
