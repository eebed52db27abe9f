/**
 * Records the traffic between the agent and the control plane as they are now into `api-N.json`. Run it before
 * API_VERSION is raised, and when the traffic of the version has changed (see docs/CONTRIBUTING.md):
 *
 *   source scripts/lib.sh && "$TOOLBOX_DENO" run --allow-all tests/e2e/versions/record.ts
 */
import { enrolmentToken, startStack } from "../../lib/stack.ts";
import { Database, describe, Docker, eventually, signIn, startWorld } from "../lib/mod.ts";
import { type Exchange, fileOf, type Json, parsed, type Part, type Recording } from "./recording.ts";
import { scenario } from "./scenario.ts";

const TARGET = Deno.env.get("CARGO_TARGET_DIR") ?? new URL("../../../target", import.meta.url).pathname;
const DTMA = `${TARGET}/${Deno.build.arch}-unknown-linux-musl/release/dtma`;

/** Hands everything on to `upstream`, and remembers it. */
class Tap implements AsyncDisposable {
  readonly seen: Exchange[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(readonly upstream: string) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => this.#pass(request));
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async #pass(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const body = await request.text();
    const reply = await fetch(this.upstream + url.pathname + url.search, {
      method: request.method,
      headers: request.headers,
      body: body === "" ? undefined : body,
      signal: AbortSignal.timeout(90_000),
    });
    const text = await reply.text();
    this.seen.push({
      method: request.method,
      path: url.pathname + url.search,
      prefer: request.headers.get("prefer"),
      request: parsed(body),
      status: reply.status,
      type: reply.headers.get("content-type"),
      answer: parsed(text),
    });
    const headers = new Headers(reply.headers);
    headers.delete("content-length");
    return new Response(text === "" ? null : text, { status: reply.status, headers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

async function recordCommands(): Promise<Part> {
  await using world = await startWorld({ dtmaHttp: true });
  await using tap = new Tap(world.agent.url);
  await world.db.execute(
    "update public.account_tool_environments set dtma_port = :'port' where id = :'id'",
    { id: world.toolboxId, port: String(tap.port) },
  );
  const instance = await scenario(world);
  return { toolbox: world.toolboxId, instance, exchanges: tap.seen };
}

async function recordReports(): Promise<Part> {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-record-" });
  await using _folder = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await using stack = await startStack({ dtma: false });
  const { ready } = stack;
  const docker = new Docker(ready.toolbox_id);
  await using _containers = { [Symbol.asyncDispose]: () => docker.cleanUp() };
  await using tap = new Tap(ready.url);
  const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = probe.addr;
  probe.close();
  await new Database(ready.admin_db_url).execute(
    "update public.account_tool_environments set dtma_port = :'port' where id = :'id'",
    { id: ready.toolbox_id, port: String(port) },
  );
  await Deno.writeTextFile(`${folder}/token`, await enrolmentToken(ready), { mode: 0o600 });
  const start = () =>
    new Deno.Command(DTMA, {
      args: ["agent"],
      env: {
        DTMA_LISTEN: `127.0.0.1:${port}`,
        DTMA_TOOLBOX_ID: ready.toolbox_id,
        DTMA_STATE_DIR: `${folder}/state`,
        DTMA_CONTROL_URL: `http://127.0.0.1:${tap.port}/functions/v1/heartbeat`,
        DTMA_ENROLMENT_TOKEN_FILE: `${folder}/token`,
        DTMA_HEARTBEAT_INTERVAL: "10",
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  const end = async () => {
    agent.kill("SIGTERM");
    await agent.status;
  };
  let agent = start();
  try {
    const { tools } = await signIn(ready, ready.demo.email, ready.demo.password);
    const deployed = await eventually("a tool is deployed", async () => {
      const reply = await tools.deploy("reported", {}, { wait: 60 });
      if (reply.status !== 201) throw new Error(describe(reply));
      return reply;
    });
    const instance = deployed.json.tool_instance.id;
    const fromNow = () => {
      const before = tap.seen.length;
      return (what: string, wanted: (one: Exchange) => boolean) =>
        eventually(what, () => tap.seen.slice(before).some(wanted) ? true : undefined);
    };
    const runs = ({ request }: Exchange) =>
      request?.full === true && request.instances.some((one: Json) => one.id === instance && one.phase === "running");
    await fromNow()("it is told to run", runs);
    // An agent that has lost the instance asks for it.
    await end();
    await docker.removeBehindItsBack(instance);
    await Deno.remove(`${folder}/state/instances/${instance}.json`);
    const seen = fromNow();
    agent = start();
    await seen("it asks what should run", ({ answer }) => answer?.instances?.length === 1);
    await seen("it is told to run again", runs);
    const exchanges = tap.seen.map((one) => ({ ...one, path: one.path.replace("/functions/v1/heartbeat", "") }));
    return { toolbox: ready.toolbox_id, instance, exchanges };
  } finally {
    await end();
  }
}

/** Keys of stacks that are gone open nothing, but look as if they did. */
function withoutKeys(text: string): string {
  return text.replaceAll(/tbk_[0-9a-f]{64}/g, `tbk_${"0".repeat(64)}`);
}

const commands = await recordCommands();
const reports = await recordReports();
const list = commands.exchanges.find(({ answer }) => answer?.api_version !== undefined);
const recording: Recording = { api_version: list!.answer.api_version, commands, reports };
await Deno.writeTextFile(fileOf(recording.api_version), withoutKeys(JSON.stringify(recording, null, 1)) + "\n");
console.log(
  `version ${recording.api_version}: ${commands.exchanges.length} commands, ${reports.exchanges.length} reports`,
);
