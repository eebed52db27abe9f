/** All MCP servers of a toolbox by one URL: each tool, prompt and resource under a name of its own, held to what was given, none hidden by another. */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/types.d.ts"
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
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
const UNAVAILABLE = "toolbox__unavailable_servers";

interface Given {
  token: string;
  url: string;
}

Deno.test("one URL has the tools of every server, and an access holds there as at each server's own", async (t) => {
  const today = () => new Date().toISOString().slice(0, 10);
  const begun = today();
  // A minute without use is three seconds here.
  await using world = await startWorld({ dtmaEnv: { DTMA_IDLE_MINUTE: "3" } });
  const stdio = await deploy(world, "Over stdio", { transport: "stdio", command: ["--stdio"] });
  const http = await deploy(world, "Over http", {});
  const part = (id: string) => `over-${id === stdio ? "stdio" : "http"}-${id.slice(0, 8)}`;
  const url = `${world.ready.url}/functions/v1/mcp/toolbox/${world.toolboxId}`;
  const own = ["add", "echo", "environment", "uptime"];
  const named = (id: string, tools: string[]) => tools.map((tool) => `${part(id)}__${tool}`);

  await t.step("a token of the toolbox lists and calls the tools of both", async () => {
    const given = await give(world.owner, { name: "laptop" });
    assert.equal(given.url, url);
    const { client, transport } = await connect(given);
    assert.match(client.getInstructions()!, new RegExp(`${part(stdio)}.*${part(http)}|${part(http)}.*${part(stdio)}`));
    assert.deepEqual(await tools(client), [...named(stdio, own), ...named(http, own)].sort());
    for (const id of [stdio, http]) {
      const result = await client.callTool({ name: `${part(id)}__add`, arguments: { a: 2, b: 3 } });
      assert.deepEqual(result.content, [{ type: "text", text: "5" }]);
    }
    await assert.rejects(client.callTool({ name: "add", arguments: { a: 2, b: 3 } }), /Unknown tool: add/);
    await transport.terminateSession();
    await client.close();
  });

  await t.step("prompts and resources are those of both, also for who may use one tool, in both eras", async () => {
    const adds = await give(world.owner, { name: "reads", allowedTools: ["add"], readOnly: true });
    const { client } = await connect(adds);
    const prompts = (await client.listPrompts()).prompts.map(({ name }) => name);
    assert.deepEqual(prompts.sort(), [`${part(http)}__greet`, `${part(stdio)}__greet`].sort());
    const home = (id: string) => `toolbox://${part(id)}/sample://`;
    const resources = (await client.listResources()).resources.map(({ uri }) => uri);
    assert.deepEqual(resources.sort(), [`${home(http)}about`, `${home(stdio)}about`].sort());
    const templates = (await client.listResourceTemplates()).resourceTemplates.map(({ uriTemplate }) => uriTemplate);
    assert.deepEqual(templates.sort(), [`${home(http)}echo/{message}`, `${home(stdio)}echo/{message}`].sort());
    for (const id of [stdio, http]) {
      const prompt = { name: `${part(id)}__greet`, arguments: { name: "Ada" } };
      const uri = templates.find((template) => template.startsWith(home(id)))!.replace("{message}", "hej");
      const message = { role: "user", content: { type: "text", text: "Greet Ada" } };
      assert.deepEqual((await client.getPrompt(prompt)).messages, [message]);
      assert.deepEqual((await client.readResource({ uri })).contents, [{ uri, mimeType: "text/plain", text: "hej" }]);
      const got = await alone(adds, "prompts/get", prompt);
      assert.deepEqual(resultOf(got).messages, [message], describe(got));
      const read = await alone(adds, "resources/read", { uri });
      const { contents: [{ text }], resultType, ttlMs } = resultOf(read);
      assert.deepEqual([text, resultType, ttlMs], ["hej", "complete", 0], describe(read));
    }
    await assert.rejects(client.readResource({ uri: "sample://about" }), /Unknown resource: sample:/);
    await client.close();
    const listed = await alone(adds, "resources/list", {});
    assert.equal(listed.json.result.resources.length, 2, describe(listed));
  });

  await t.step("a list of tools, and a token of one server, hold here too, in both eras", async () => {
    const adds = await give(world.owner, { name: "adds", allowedTools: ["add"] });
    const one = await give(world.owner, { name: "one", instanceId: stdio, allowedTools: ["echo"] });
    for (
      const [given, may] of [
        [adds, [...named(http, ["add"]), ...named(stdio, ["add"])].sort()],
        [{ ...one, url }, named(stdio, ["echo"])],
      ] as const
    ) {
      const { client } = await connect(given);
      assert.deepEqual(await tools(client), may);
      await client.close();
      const listed = await alone(given, "tools/list", {});
      assert.deepEqual(listed.json.result.tools.map(({ name }: { name: string }) => name).sort(), may);
      for (const name of [...named(stdio, ["uptime"]), ...named(http, ["uptime"])]) {
        const refused = await alone(given, "tools/call", { name, arguments: {} });
        assert.match(refused.text, /Unknown tool/, describe(refused));
      }
    }
    const called = await alone(adds, "tools/call", { name: `${part(http)}__add`, arguments: { a: 1, b: 1 } });
    assert.match(called.text, /"text":"2"/, describe(called));
  });

  await t.step("a share of one server opens that one alone, and a stranger nothing", async () => {
    const stranger = { token: world.stranger.token, url };
    const refused = await ask(stranger, initialize());
    assert.equal(refused.status, 403, describe(refused));
    await give(world.owner, {
      name: "shared",
      instanceId: http,
      userId: world.stranger.userId,
      allowedTools: ["echo"],
    });
    const { client } = await connect(stranger);
    assert.deepEqual(await tools(client), named(http, ["echo"]));
    await client.close();
    const other = await ask({ ...stranger, url: url.replace(world.toolboxId, crypto.randomUUID()) }, initialize());
    assert.equal(other.status, 403, describe(other));
  });

  await t.step("a server that is stopped hides no other, its absence is said, and so is its return", async () => {
    const { client, listening } = await connect({ token: world.owner.token, url });
    await within(20_000, "its stream of news", listening);
    const changes: number[] = [];
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => void changes.push(Date.now()));
    assert.equal((await world.owner.tools.stop(http, { wait: 30 })).status, 200);
    await eventually("news of the stop", () => changes.length >= 1 || undefined);
    const left = (await client.listTools()).tools;
    assert.deepEqual(left.map(({ name }) => name).sort(), [...named(stdio, own), UNAVAILABLE].sort());
    const notice = left.find(({ name }) => name === UNAVAILABLE)!;
    assert.match(notice.description!, new RegExp(`${part(http)} \\(it is stopped\\)`));
    const uri = `toolbox://${part(http)}/sample://about`;
    assert.equal((await client.listResources()).resources.length, 1);
    await assert.rejects(client.readResource({ uri }), /is not available: it is stopped/);
    const failed = await client.callTool({ name: `${part(http)}__echo`, arguments: { message: "x" } });
    assert.equal(failed.isError, true);
    assert.match(JSON.stringify(failed.content), /is not available: it is stopped/);
    const said = await client.callTool({ name: UNAVAILABLE, arguments: {} });
    assert.match(JSON.stringify(said.content), /it is stopped/);
    assert.equal((await world.owner.tools.start(http, { wait: 30 })).status, 200);
    await eventually("all tools again", async () => (await tools(client)).length === 8 || undefined);
    await eventually("news of the start", () => changes.length >= 2 || undefined);
    await client.close();
  });

  await t.step("what was called is told to the owner by day, tool and client, and to nobody else", async () => {
    const path = `/${world.toolboxId}/tools/${stdio}/mcp/usage`;
    const used = await eventually("a report of the agent", async () => {
      const { json } = await world.owner.tools.request(path);
      return json.usage.find(({ tool }: { tool: string }) => tool === "add");
    }, { ms: 90_000, everyMs: 1000 });
    assert.ok(used.calls >= 1 && used.errors === 0 && used.bytes > 100, JSON.stringify(used));
    assert.ok(used.p50_ms >= 5 && used.p95_ms >= used.p50_ms, JSON.stringify(used));
    assert.ok([begun, today()].includes(used.day), used.day);
    assert.ok(used.client.length > 0 && !used.client.includes("/"), used.client);
    const reply = await world.stranger.tools.request(path);
    assert.equal(reply.status, 404, describe(reply));
    // A heartbeat that tells the same again counts nothing twice.
    const before = (await world.owner.tools.request(path)).json.usage;
    await new Promise((go) => setTimeout(go, 3000));
    assert.deepEqual((await world.owner.tools.request(path)).json.usage, before);
  });

  await t.step("a server that nobody uses is stopped, is there all the same, and a call starts it", async () => {
    const { owner } = world;
    const id = await deploy(world, "Seldom used", { idleMinutes: 1 });
    const name = `seldom-used-${id.slice(0, 8)}__add`;
    const evidence = "stopped after 1 minute without use; the next call starts it";
    const idle = () =>
      eventually("the row says that it is idle", async () => {
        const found = await world.db.instance(id);
        return found?.status_on_toolbox === "stopped" && found.mcp_health?.state === "idle" ? found : undefined;
      });
    const row = await idle();
    assert.equal(row.desired_status, "running");
    assert.equal(row.instance_error_code, null);
    assert.equal(row.mcp_health?.evidence, evidence);
    const seen = (await owner.tools.get(id)).json.tool_instance;
    assert.equal(seen.status_on_toolbox, "stopped");
    assert.equal(seen.mcp.evidence, evidence);

    const { client } = await connect({ token: owner.token, url });
    assert.ok((await tools(client)).includes(name), "it is listed");
    const { prompts, _meta: meta } = await client.listPrompts();
    assert.equal(prompts.length, 2, "its prompts are missing, and it is said");
    const missing = { server: name.split("__")[0], reason: "nobody uses it now; its next call starts it" };
    assert.deepEqual(meta?.["toolbox/unavailable"], [missing]);
    assert.equal((await owner.tools.get(id)).json.tool_instance.mcp.state, "idle", "without its start");
    const begun = performance.now();
    const result = await client.callTool({ name, arguments: { a: 2, b: 3 } });
    console.log(`a call started the sample server and was answered after ${Math.round(performance.now() - begun)} ms`);
    assert.deepEqual(result.content, [{ type: "text", text: "5" }]);
    assert.equal((await client.listPrompts()).prompts.length, 3);
    await client.close();
    const alone = await connect({ token: owner.token, url: `${world.ready.url}/functions/v1/mcp/${id}` });
    assert.deepEqual(await tools(alone.client), own);
    await alone.client.close();

    await idle();
    assert.equal((await owner.tools.stop(id, { wait: 30 })).status, 200);
    const refused = await ask({ token: owner.token, url: `${world.ready.url}/functions/v1/mcp/${id}` }, initialize());
    assert.equal(refused.status, 503, describe(refused));
    assert.match(refused.text, /the tool is stopped/);
    const stopped = (await owner.tools.get(id)).json.tool_instance;
    assert.deepEqual([stopped.status_on_toolbox, stopped.desired_status], ["stopped", "stopped"]);
  });

  await t.step(
    "a deployment pins what its server lists first, and without anybody else nothing in its place",
    async () => {
      const { owner, db } = world;
      // It never answers there.
      await world.stack.control("stop", "clock");
      const id = await deploy(world, "Pinned at first", { endpointPath: "/nowhere" }, true);
      const ownUrl = `${world.ready.url}/functions/v1/mcp/${id}`;
      const caller = { token: owner.token, url: ownUrl };
      const view = async () => (await owner.tools.get(id)).json.tool_instance;
      const pin = async () => (await owner.tools.request(`/${world.toolboxId}/tools/${id}/mcp/pin`)).json.pin;
      const code = async () => {
        const reply = await ask(caller, initialize());
        return reply.status === 200 ? "open" : reply.json.error.data.code;
      };
      assert.equal((await view()).mcp_pin_pending, true);
      assert.equal(await code(), "mcp_tools_unknown", "nobody gets in before its first answer");
      await world.agent.stop("SIGKILL");
      await world.agent.start();
      const updated = await owner.tools.update(id, { endpointPath: "/mcp", command: ["--drift"] }, { wait: 30 });
      assert.equal(updated.status, 200, describe(updated));
      await eventually("its first answer", async () => await code() === "open" || undefined);
      assert.equal((await pin()).pending, true, "the agent alone knows yet what it listed first");
      await alone(caller, "tools/call", { name: "drift", arguments: {} });
      await alone(caller, "tools/list", {});
      await eventually("the change is heard", async () => await code() === "mcp_tools_changed" || undefined);
      await world.agent.stop("SIGKILL");
      await world.agent.start();
      const found: unknown[] = [];
      await eventually("held back by an agent that was started anew", async () => {
        found.push(await code());
        return found.at(-1) === "mcp_tools_changed" || undefined;
      });
      assert.ok(!found.includes("open"), found.join(", "));
      assert.match((await pin()).problem, /lists other tools than those that it listed first/);
      await world.stack.control("start", "clock");
      const pinned = await eventually("the clock pins", async () => {
        const { mcp_pinned_fingerprint: pinned } = await view();
        return pinned ?? undefined;
      }, { ms: 30_000 });
      const seen = await pin();
      assert.notEqual(pinned, seen.current_fingerprint, "not those that came second");
      assert.deepEqual([seen.pending, seen.accepted.tool_count, seen.added.length], [false, null, 5]);
      assert.equal(await code(), "mcp_tools_changed");
      // Started anew it lists again what it listed first.
      assert.equal((await owner.tools.restart(id, { wait: 30 })).status, 200);
      await eventually("it lists the first ones again", async () => await code() === "open" || undefined);
      const told = await db.rows(
        "select action, actor_kind, reason from public.tool_instance_events where tool_instance_id = :'id' and action ~ '^tools_p'",
        { id },
      );
      const reason = "At its first answer, as its deployment asked; it lists others since";
      assert.deepEqual(told, [{ action: "tools_pinned", actor_kind: "user", reason }]);

      const other = await deploy(world, "Pinned at once", { transport: "stdio", command: ["--stdio"] }, true);
      const quick = await eventually("the clock pins", async () => {
        const { json } = await owner.tools.request(`/${world.toolboxId}/tools/${other}/mcp/pin`);
        return json.pin.accepted ?? undefined;
      }, { ms: 30_000 });
      assert.equal(quick.tool_count, 4);
      for (const each of [id, other]) assert.equal((await owner.tools.remove(each, { wait: 30 })).status, 200);
    },
  );

  // Tools that are pinned, on a server whose tools become others when its tool `drift` is called.
  for (const kind of ["http", "stdio"]) {
    const command = kind === "stdio" ? ["--stdio", "--drift"] : ["--drift"];
    const id = await deploy(world, `Drifts ${kind}`, kind === "stdio" ? { transport: "stdio", command } : { command });
    const ownUrl = `${world.ready.url}/functions/v1/mcp/${id}`;
    const owner = { token: world.owner.token, url: ownUrl };
    const pin = (method = "GET", json?: unknown, actor = world.owner) =>
      actor.tools.request(`/${world.toolboxId}/tools/${id}/mcp/pin`, { method, ...(json !== undefined && { json }) });
    const drift = { method: "tools/call", params: { name: "drift", arguments: {} } };
    const isHeld = (reply: Reply) => reply.status === 409 && reply.json.error.data.code === "mcp_tools_changed";

    await t.step(`pinned tools that change in an open session are not shown, then held back: ${kind}`, async () => {
      const first = await pin();
      assert.equal(first.json.pin.accepted, null, describe(first));
      const fingerprint = first.json.pin.current_fingerprint;
      const other = await pin("PUT", { fingerprint: "0".repeat(64) });
      assert.equal(other.status, 409, describe(other));
      assert.equal(other.json.error.code, "mcp_tools_changed");
      for (
        const reply of [await pin("GET", undefined, world.stranger), await pin("DELETE", undefined, world.stranger)]
      ) {
        assert.equal(reply.status, 404, describe(reply));
      }
      assert.equal((await pin("PUT", { fingerprint }, world.stranger)).status, 404);
      const put = await pin("PUT", { fingerprint });
      assert.equal(put.status, 200, describe(put));
      assert.equal(put.json.pin.accepted.tool_count, 5);
      const { client } = await connect(owner);
      assert.deepEqual(await tools(client), ["add", "drift", "echo", "environment", "uptime"]);
      await client.callTool(drift.params);
      const listed = await client.listTools().then(({ tools }) => tools, () => []);
      assert.ok(!JSON.stringify(listed).includes("passwords"), "what was not accepted is not shown");
      await eventually("the change is heard", async () => isHeld(await ask(owner, initialize())) || undefined);
      await assert.rejects(client.callTool({ name: "add", arguments: { a: 1, b: 1 } }), /its tools changed/);
      await assert.rejects(client.listTools(), /its tools changed/);
      await client.close();
    });

    await t.step(`it is held back from everybody who comes by a public URL, in every form: ${kind}`, async () => {
      const given = await give(world.owner, { name: "one", instanceId: id });
      await give(world.owner, { name: "shared", instanceId: id, userId: world.stranger.userId });
      const shared = { token: world.stranger.token, url: ownUrl };
      const list = { jsonrpc: "2.0", id: 8, method: "tools/list" };
      for (const who of [owner, given, shared]) {
        const batch = await ask(who, [list, { jsonrpc: "2.0", id: 9, ...drift }]);
        assert.equal(batch.status, 409, describe(batch));
        assert.deepEqual(batch.json.map(({ id }: { id: number }) => id), [8, 9]);
        for (const reply of [await ask(who, list), await alone(who, "tools/call", drift.params)]) {
          assert.ok(isHeld(reply), describe(reply));
          assert.match(reply.json.error.message, /until its owner has seen the difference/);
        }
        const listening = { accept: "text/event-stream", authorization: `Bearer ${who.token}` };
        assert.ok(isHeld(await send(ownUrl, { headers: listening })));
      }
      const name = `drifts-${kind}-${id.slice(0, 8)}`;
      const { client } = await connect({ token: world.owner.token, url });
      const there = (await client.listTools()).tools;
      assert.ok(!there.some((tool) => tool.name.startsWith(name)), "its tools are not there");
      assert.ok(there.some((tool) => tool.name.startsWith(part(http))), "and hide no others");
      assert.match(
        there.find((tool) => tool.name === UNAVAILABLE)!.description!,
        new RegExp(`${name} \\(its tools changed`),
      );
      const failed = await client.callTool({ name: `${name}__add`, arguments: { a: 1, b: 1 } });
      assert.match(JSON.stringify(failed), /is not available: its tools changed/);
      const greets = (await client.listPrompts()).prompts;
      assert.ok(!greets.some((prompt) => prompt.name.startsWith(name)), "nor are its prompts");
      await assert.rejects(client.readResource({ uri: `toolbox://${name}/sample://about` }), /its tools changed/);
      await client.close();
      const stateless = await alone({ token: world.owner.token, url }, "tools/list", {});
      assert.ok(!stateless.text.includes("passwords"), describe(stateless));
    });

    if (kind === "stdio") continue;
    /** Nobody comes in, neither while it is not known what the server lists, nor then. */
    const heldBack = async (by: string) => {
      const answers: Reply[] = [];
      await eventually(`held back ${by}`, async () => {
        answers.push(await ask(owner, initialize()));
        return isHeld(answers.at(-1)!) || undefined;
      });
      assert.ok(!answers.some(({ status }) => status === 200), answers.map(describe).join("\n"));
    };

    await t.step("the owner sees the difference, accepts it, and it works again", async () => {
      await world.agent.stop("SIGKILL");
      await world.agent.start();
      await heldBack("by an agent that was started anew");
      const { json: { pin: seen } } = await pin();
      assert.deepEqual([seen.added, seen.removed], [[], []]);
      const [{ name, before, after }] = seen.changed;
      assert.equal(name, "echo");
      assert.doesNotMatch(before.description, /passwords/);
      assert.match(after.description, /passwords/);
      const view = (await world.owner.tools.get(id)).json.tool_instance;
      assert.equal(view.mcp_pinned_fingerprint, seen.accepted.fingerprint);
      assert.equal(view.mcp.tools_fingerprint, seen.current_fingerprint);
      const accepted = await pin("PUT", { fingerprint: seen.current_fingerprint });
      assert.equal(accepted.status, 200, describe(accepted));
      const { client } = await connect(owner);
      assert.equal((await client.listTools()).tools.length, 5);
      await client.callTool({ name: "add", arguments: { a: 1, b: 1 } });
      // Started anew, its tools are as they were first: nobody comes in between.
      assert.equal((await world.owner.tools.restart(id, { wait: 30 })).status, 200);
      await heldBack("by a server that was started anew");
      await client.close();
      assert.equal((await pin("DELETE")).status, 200);
      const open = await ask(owner, initialize());
      assert.equal(open.status, 200, describe(open));
      const events = await world.db.rows(
        "select action, actor_kind, reason from public.tool_instance_events where tool_instance_id = :'id' and action ~ '^tools_(p|a|u)' order by id",
        { id },
      );
      assert.deepEqual(events, [
        { action: "tools_pinned", actor_kind: "user", reason: null },
        { action: "tools_accepted", actor_kind: "user", reason: "Changed: echo" },
        { action: "tools_unpinned", actor_kind: "user", reason: null },
      ]);
    });
  }
});

async function deploy(world: World, name: string, override: ConfigOverride, pinTools = false): Promise<string> {
  const reply = await world.owner.tools.deploy(name, override, { wait: 30, pinTools });
  assert.equal(reply.status, 201, describe(reply));
  return reply.json.tool_instance.id;
}

async function give(owner: Actor, json: Record<string, unknown>): Promise<Given> {
  const reply = await owner.tools.request(`/${owner.tools.toolboxId}/mcp-access`, { method: "POST", json });
  assert.equal(reply.status, 201, describe(reply));
  return { token: reply.json.token, url: reply.json.url };
}

async function connect({ url, token }: Given) {
  const client = new Client({ name: "toolbox-e2e", version: "1" });
  const headers = { authorization: `Bearer ${token}` };
  const listening = Promise.withResolvers<void>();
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers },
    fetch: async (address, init) => {
      const answer = await fetch(address, init);
      if ((init as { method?: string } | undefined)?.method === "GET" && answer.ok) listening.resolve();
      return answer;
    },
  });
  await within(20_000, `MCP initialize at ${url}`, client.connect(transport));
  return { client, transport, listening: listening.promise };
}

async function tools(client: Client): Promise<string[]> {
  return (await client.listTools()).tools.map(({ name }) => name).sort();
}

function initialize() {
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  return { jsonrpc: "2.0", id: 0, method: "initialize", params };
}

/** A request of the stateless era. */
function alone(given: Given, method: string, params: Record<string, unknown>): Promise<Reply> {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
  };
  const named = params.name ?? params.uri;
  const name: Record<string, string> = named === undefined ? {} : { "mcp-name": String(named) };
  return ask(given, { jsonrpc: "2.0", id: 3, method, params: { ...params, _meta: meta } }, {
    "mcp-protocol-version": STATELESS,
    "mcp-method": method,
    ...name,
  });
}

/** The result in an answer of either form. */
function resultOf(reply: Reply) {
  const event = reply.text.split("\n").findLast((line) => line.startsWith("data: {"));
  return JSON.parse(event?.slice("data: ".length) ?? reply.text).result;
}

function ask({ url, token }: Given, json: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const accept = "application/json, text/event-stream";
  return send(url, { method: "POST", json, headers: { accept, authorization: `Bearer ${token}`, ...headers } });
}
