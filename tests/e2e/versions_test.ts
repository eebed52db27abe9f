/**
 * Agents of recorded versions of the agent's API against the control plane of now. Those of the version before and of
 * this one report, and those of this one are commanded; what is too old is refused by name. The other way round is
 * crates/dtma/tests/it/versions.rs. How to record: docs/CONTRIBUTING.md.
 */
import assert from "node:assert/strict";
import { enrolmentToken, startStack } from "../lib/stack.ts";
import {
  codeOf,
  Console,
  Database,
  describe,
  eventually,
  Machine,
  send,
  signIn,
  startWorld,
  type World,
} from "./lib/mod.ts";
import { type Exchange, type Json, type Part, recordings, renamed, unknown } from "./versions/recording.ts";
import { scenario } from "./versions/scenario.ts";

const all = await recordings();
/** The version of now is recorded, or this test says so. */
const current = all.at(-1)!;

/** An agent that answers as the recorded one did. */
class Recorded implements AsyncDisposable {
  /** What it was sent that the recorded one was not, and could not know. */
  readonly unknown: string[] = [];
  readonly #left: Exchange[];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #instance: string | undefined;

  constructor(readonly part: Part, readonly toolbox: string) {
    this.#left = [...part.exchanges];
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const text = await request.text();
    this.#instance ??= url.pathname.match(/^\/tools\/([0-9a-f-]{36})/)?.[1];
    const names: [string, string][] = [[this.part.toolbox, this.toolbox]];
    if (this.#instance) names.push([this.part.instance, this.#instance]);
    const path = url.pathname + url.search;
    const same = (one: Exchange) => one.method === request.method && renamed(one.path, names) === path;
    const at = this.#left.findIndex(same);
    if (at < 0) {
      this.unknown.push(`${request.method} ${path}`);
      return new Response(null, { status: 404 });
    }
    const exchange = this.#left[at];
    // The last answer stands for as long as it is asked for.
    if (this.#left.some((one, i) => i > at && same(one))) this.#left.splice(at, 1);
    if (text !== "") this.unknown.push(...unknown(JSON.parse(text), exchange.request, `${request.method} ${path} `));
    const answer = exchange.answer === null ? "" : JSON.stringify(renamed(exchange.answer, names));
    return new Response(answer, { status: exchange.status, headers: { "content-type": exchange.type ?? "" } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

Deno.test("the version of now is recorded", async () => {
  await using stack = await startStack({ dtmaHttp: true });
  const reply = await send(`${stack.ready.dtma.url}/health`);
  assert.equal(reply.json.api_version, current.api_version, "record it: see docs/CONTRIBUTING.md");
});

Deno.test(`an agent of version ${current.api_version} is sent nothing but what it knows`, async () => {
  await using world = await startWorld({ dtmaHttp: true });
  await using agent = new Recorded(current.commands, world.toolboxId);
  await world.db.execute(
    "update public.account_tool_environments set dtma_port = :'port' where id = :'id'",
    { id: world.toolboxId, port: String(agent.port) },
  );
  await scenario(world);
  assert.deepEqual(agent.unknown, [], "this takes another version of the agent's API");
});

// The version before and this one, as far as they are recorded.
for (const recording of all.filter(({ api_version: version }) => version >= current.api_version - 1)) {
  Deno.test(`an agent of version ${recording.api_version} enrols, reports and asks what should run`, async () => {
    await using stack = await startStack({ dtma: false });
    const { ready } = stack;
    const db = new Database(ready.admin_db_url);
    const { toolbox, instance, exchanges } = recording.reports;
    const machine = new Machine({ ready, db } as World, ready.toolbox_id, "");
    const wanted = exchanges.find(({ path }) => path.endsWith("/desired"))!.answer.instances[0];
    await db.execute(
      `insert into public.account_tool_instances
         (id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, desired_status, status_on_toolbox)
       values (:'id', :'toolbox', (select id from public.tool_catalog limit 1), 'A tool', 'tool-1', :'spec', 'running', 'deploying')`,
      { id: instance, toolbox: ready.toolbox_id, spec: JSON.stringify(wanted.spec) },
    );
    let told: Json;
    for (const { method, path, request, status, answer } of exchanges) {
      const rest = path.replace(`/${toolbox}`, "");
      const key = rest === "/enrol" ? await enrolmentToken(ready) : machine.key;
      const reply = await machine.call(rest, { method, key, json: request ?? undefined });
      assert.equal(reply.status, status, describe(reply));
      if (rest === "/enrol") machine.key = reply.json.keys.agent_to_control;
      // What the agent read then is there now, and what it reads strictly has nothing else.
      assert.deepEqual(unknown(answer, reply.json), [], describe(reply));
      if (rest === "/desired") assert.deepEqual(unknown(reply.json.instances[0], wanted), []);
      told = request?.instances?.find((one: Json) => one.id === instance) ?? told;
    }
    const row = await db.row<Json>(
      `select i.status_on_toolbox as status, i.container_id as container, e.dtma_last_known_version as version
       from public.account_tool_instances i join public.account_tool_environments e on e.id = i.account_tool_environment_id
       where i.id = :'id'`,
      { id: instance },
    );
    const beat = exchanges.find(({ path, request }) => path === `/${toolbox}` && request?.version)!;
    assert.deepEqual(row, { status: "running", container: told.container_id, version: beat.request.version });
  });
}

Deno.test("an agent that does not know a limit of an access is too old for it, and for nothing else", async () => {
  await using world = await startWorld({ dtmaHttp: true });
  const deployed = await world.owner.tools.deploy("a tool", { transport: "stdio", command: ["--stdio"] }, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  // What the first agents with this route know of a caller, and how they refuse what they do not know.
  const known = ["who", "tools", "read_only", "client"];
  await using agent = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const caller = JSON.parse(decodeURIComponent(request.headers.get("x-toolbox-mcp-caller")!));
    if (Object.keys(caller).every((name) => known.includes(name))) {
      return Response.json({ jsonrpc: "2.0", id: 0, result: {} });
    }
    const problem = {
      type: "about:blank",
      title: "x",
      status: 400,
      detail: "x",
      code: "invalid_body",
      retryable: false,
    };
    return Response.json(problem, { status: 400, headers: { "content-type": "application/problem+json" } });
  });
  await world.db.execute(
    "update public.account_tool_environments set dtma_port = :'port' where id = :'id'",
    { id: world.toolboxId, port: String(agent.addr.port) },
  );
  for (const [limits, status] of [[{}, 200], [{ requestsPerMinute: 3 }, 502]] as const) {
    const given = await world.owner.tools.request(`/${world.toolboxId}/mcp-access`, {
      method: "POST",
      json: { name: "laptop", instanceId: deployed.json.tool_instance.id, ...limits },
    });
    const { url, token } = given.json;
    const reply = await send(url, {
      method: "POST",
      json: { jsonrpc: "2.0", id: 0, method: "initialize", params: {} },
      headers: { accept: "application/json, text/event-stream", authorization: `Bearer ${token}` },
    });
    assert.equal(reply.status, status, describe(reply));
    if (status === 502) assert.equal(reply.json.error.data.code, "agent_too_old", describe(reply));
  }
});

Deno.test("an agent of an earlier version than can be commanded is seen, and refused by name", async () => {
  await using stack = await startStack({ dtma: false });
  const { ready } = stack;
  const db = new Database(ready.admin_db_url);
  const machine = new Machine({ ready, db } as World, ready.toolbox_id, "");
  const { toolbox, exchanges } = current.reports;
  for (const { method, path, request } of exchanges) {
    if (request === null) continue;
    const rest = path.replace(`/${toolbox}`, "");
    const json = { ...request, api_version: current.api_version - 1, version: "0.0.1" };
    if (json.instances) json.instances = [];
    const key = rest === "/enrol" ? await enrolmentToken(ready) : machine.key;
    const reply = await machine.call(rest, { method, key, json });
    assert.equal(reply.status, 200, describe(reply));
    if (rest === "/enrol") machine.key = reply.json.keys.agent_to_control;
  }
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const refused = await owner.tools.deploy("a tool", {}, { wait: 5 });
  assert.deepEqual([refused.status, codeOf(refused)], [502, "agent_too_old"], describe(refused));
  assert.match(refused.json.error.message, /too old; redeploy it/);
  await eventually("its version is seen", async () => {
    const { json } = await new Console(ready, owner.token).get("status");
    return json.last_heartbeat.version === "0.0.1" ? true : undefined;
  });
});
