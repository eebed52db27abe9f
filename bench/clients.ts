// The function `mcp` between a client and a toolbox's bridge: what it adds to a call, with the query that decides who may and
// with one that is answered at once; streams, memory, and the cold start.

import { agentKey } from "../tests/e2e/lib/keys.ts";
import { type Stack, startStack } from "../tests/lib/stack.ts";
import { onCleanup, withFile } from "./cleanup.ts";
import { startAgent, stdioTool } from "./dtma.ts";
import { CATALOG_ID } from "./fixtures.ts";
import { type Host, peakMb, residentMb, startHost } from "./host.ts";
import { type Load, loadBy } from "./load.ts";
import { echoCall, type Endpoint, openSession, post } from "./mcp.ts";
import { compared, type Line, samples } from "./report.ts";

export interface ClientsSetting {
  rounds: number;
  coldRounds: number;
  /** Seconds of each load. */
  seconds: number;
}

const FUNCTION = new URL("../supabase/functions/mcp/index.ts", import.meta.url).pathname;
const CALLERS = 32;
const STREAMS = 100;
/** Of one call, in its request and in its answer. */
const LARGE = 10_000_000;
/** An agent takes 600 requests a minute of one caller. */
const TOKENS = 200;
const ROOT = "bench".repeat(8);

/** The same server, asked at its bridge and by the function. */
interface Ways {
  direct: Endpoint;
  /** Any number of them: callers of their own. */
  through: Endpoint[];
  host: Host;
  env: Record<string, string>;
  stop(): Promise<void>;
}

export async function benchClients(
  dtma: string,
  setting: ClientsSetting,
  progress: (text: string) => void,
): Promise<Line[]> {
  progress("the function mcp, without the access query");
  const quick = await startWithoutQuery(dtma);
  const lines: Line[] = [];
  try {
    lines.push(...await calls(quick, setting, "without the access query"));
    progress("the function mcp, streams and memory");
    lines.push(...await firstByte(quick), ...await memory(quick), ...await coldStart(quick, setting.coldRounds));
  } finally {
    await quick.stop();
  }
  progress("the function mcp on a whole stack");
  const whole = await startWhole();
  try {
    lines.push(...await calls(whole, setting, "with the access query"));
  } finally {
    await whole.stop();
  }
  return lines;
}

/** An agent, and a database that knows every token at once. */
async function startWithoutQuery(dtma: string): Promise<Ways> {
  const toolboxId = crypto.randomUUID();
  const key = await agentKey(ROOT, toolboxId);
  const agent = await startAgent(dtma, { tls: true, toolboxId, key });
  const id = crypto.randomUUID();
  let asked = 0;
  const database = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () =>
    Response.json({
      outcome: "access",
      who: `access:${asked++ % TOKENS}`,
      allowed_tools: null,
      read_only: false,
      instance: { status: "running", desired: "running", transport: "stdio" },
      toolbox: {
        id: toolboxId,
        status: "active",
        public_ip_address: "127.0.0.1",
        dtma_port: Number(new URL(agent.url).port),
        dtma_certificate_pem: agent.certificate,
        dtma_key_id: null,
        instances_confirmed_at: null,
        unresponsive_since: null,
        dtma_api_version: 6,
        dtma_last_known_version: "1",
      },
    }));
  const env = {
    SUPABASE_URL: `http://127.0.0.1:${database.addr.port}`,
    SUPABASE_JWKS: '{"keys":[]}',
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: "sb_publishable_bench" }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: "sb_secret_bench" }),
    BACKEND_TO_DTMA_API_KEY: ROOT,
  };
  const end = async () => {
    await database.shutdown();
    await agent.stop();
  };
  try {
    const { phase } = await agent.call("PUT", `/tools/${id}`, stdioTool(id));
    if (phase !== "running") throw new Error(`the sample server is "${phase}" instead of "running"`);
    const host = await startHost(FUNCTION, env);
    return {
      direct: {
        url: `${agent.url}/mcp/${id}`,
        client: agent.client,
        headers: { authorization: `Bearer ${key}` },
        echo: "echo",
      },
      through: [through(host, id, `tbx_${"5a".repeat(32)}`)],
      host,
      env,
      stop: async () => {
        await host.stop();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** An ephemeral stack with one server and its tokens. */
async function startWhole(): Promise<Ways> {
  const stack = await startStack();
  const end = onCleanup(async () => await stack[Symbol.asyncDispose]());
  try {
    const { ready } = stack;
    const deployed = await tools(stack, "/tools", {
      toolCatalogId: CATALOG_ID,
      instanceNameOnToolbox: "bench",
      baseConfigOverrideJson: { dockerImage: "toolbox/sample-mcp:dev", transport: "stdio", command: ["--stdio"] },
    });
    const id: string = deployed.tool_instance.id;
    const tokens: string[] = [];
    for (let at = 0; at < TOKENS; at++) {
      tokens.push((await tools(stack, "/mcp-access", { name: `bench ${at}`, instanceId: id })).token);
    }
    const env = {
      SUPABASE_URL: ready.url,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: ready.publishable_key }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: ready.secret_key }),
      BACKEND_TO_DTMA_API_KEY: ready.agent_root,
    };
    const certificate = await Deno.readTextFile(ready.dtma.certificate_file!);
    const client = Deno.createHttpClient({ caCerts: [certificate] });
    const host = await startHost(FUNCTION, env);
    return {
      direct: {
        url: `${ready.dtma.url}/mcp/${id}`,
        client,
        headers: { authorization: `Bearer ${(await Deno.readTextFile(ready.dtma.key_file)).trim()}` },
        echo: "echo",
      },
      through: tokens.map((token) => through(host, id, token)),
      host,
      env,
      stop: async () => {
        client.close();
        await host.stop();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

// deno-lint-ignore no-explicit-any
async function tools({ ready }: Stack, path: string, body: unknown): Promise<any> {
  const answer = await fetch(`${ready.url}/functions/v1/toolbox-tools/${ready.toolbox_id}${path}`, {
    method: "POST",
    headers: {
      apikey: ready.publishable_key,
      authorization: `Bearer ${ready.demo.access_token}`,
      prefer: "wait=30",
      "content-type": "application/json",
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(40_000),
  });
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`${path} answered ${answer.status}: ${text}`);
  return JSON.parse(text);
}

function through(host: Host, id: string, token: string): Endpoint {
  return { url: `${host.url}/mcp/${id}`, headers: { authorization: `Bearer ${token}` }, echo: "echo" };
}

/** Calls of the echo tool: what the function adds to one caller's, and how many there can be. */
async function calls(ways: Ways, { rounds, seconds }: ClientsSetting, which: string): Promise<Line[]> {
  const loads: Record<string, Record<number, Load[]>> = {
    direct: { 1: [], [CALLERS]: [] },
    mcp: { 1: [], [CALLERS]: [] },
  };
  const run = async (endpoints: Endpoint[], callers: number, length: number) => {
    const session = await openSession(endpoints[0]);
    const lines = endpoints.map((endpoint) => {
      const headers = Object.entries({ ...endpoint.headers, ...session }).map(([name, value]) => `${name}:${value}`);
      return `${headers.join(";")}\t${new URL(endpoint.url).pathname}\t${echoCall(endpoint)}\n`;
    });
    return await withFile(lines.join(""), (file) => {
      const env = { BENCH_REQUESTS: file, BENCH_EXPECT: '"text":"m' };
      return loadBy("each.lua", env, endpoints[0].url, callers, length);
    });
  };
  for (const endpoints of [[ways.direct], ways.through]) await run(endpoints, 4, 1);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? ["direct", "mcp"] : ["mcp", "direct"];
    for (const name of order) {
      const endpoints = name === "direct" ? [ways.direct] : ways.through;
      for (const callers of [1, CALLERS]) loads[name][callers].push(await run(endpoints, callers, seconds));
    }
  }
  const pairs = (callers: number, value: (load: Load) => number) =>
    loads.mcp[callers].map((load, at): [number, number] => [value(load), value(loads.direct[callers][at])]);
  const added = pairs(1, (load) => load.p50).map(([through, direct]) => (through - direct) / 1000);
  return [
    { measure: `mcp, added to a call's p50, ${which}`, unit: "ms", ours: samples(added) },
    compared(`mcp / the bridge: 1 caller, p50, ${which}`, "µs", pairs(1, (load) => load.p50)),
    compared(
      `mcp / the bridge: ${CALLERS} callers, ${which}`,
      "req/s",
      pairs(CALLERS, (load) => load.requestsPerSecond),
    ),
  ];
}

/** How soon a stream of events says its first word. */
async function firstByte(ways: Ways): Promise<Line[]> {
  const one = async (endpoint: Endpoint) => {
    const session = await openSession(endpoint);
    const times = [];
    for (let at = 0; at < 40; at++) {
      const body = JSON.parse(echoCall(endpoint).replace('"id":@', `"id":${at}`));
      const begun = performance.now();
      const answer = await post(
        { ...endpoint, headers: { ...endpoint.headers, accept: "text/event-stream" } },
        session,
        body,
      );
      const reader = answer.body!.getReader();
      await reader.read();
      times.push(performance.now() - begun);
      while (!(await reader.read()).done) { /* the rest */ }
    }
    return samples(times).median;
  };
  const direct = await one(ways.direct);
  return [compared("mcp / the bridge: first byte of a stream", "ms", [[await one(ways.through[0]), direct]])];
}

/** The worker's resident memory, of which the platform allows 256 MB. */
async function memory({ host, through: [endpoint] }: Ways): Promise<Line[]> {
  const idle = residentMb(host.pid);
  const ends = new AbortController();
  const open = await Promise.all(Array.from({ length: STREAMS }, async () => {
    const session = await openSession(endpoint);
    const headers = { ...endpoint.headers, ...session, accept: "text/event-stream" };
    const stream = await fetch(endpoint.url, { headers, signal: ends.signal });
    if (stream.status !== 200) throw new Error(`a stream answered ${stream.status}: ${await stream.text()}`);
    return stream;
  }));
  const streams = residentMb(host.pid);
  ends.abort();
  await Promise.all(open.map((stream) => stream.body?.cancel().catch(() => {})));
  const session = await openSession(endpoint);
  const params = { name: endpoint.echo, arguments: { message: "x".repeat(LARGE) } };
  const answer = await post(endpoint, session, { jsonrpc: "2.0", id: 1, method: "tools/call", params });
  const { length } = await answer.text();
  if (length < LARGE) throw new Error(`a large call answered ${answer.status} and ${length} bytes`);
  const line = (measure: string, value: number): Line => ({
    measure: `mcp: resident${measure}`,
    unit: "MB",
    ours: samples([value]),
    target: { limit: 256, of: "value", better: "less" },
  });
  return [
    line(", after the load", idle),
    line(`, ${STREAMS} open streams`, streams),
    line(` at most, with ${LARGE / 1e6} MB to the server and back`, peakMb(host.pid)),
  ];
}

async function coldStart({ env, through: [endpoint] }: Ways, rounds: number): Promise<Line[]> {
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    const host = await startHost(FUNCTION, env);
    await openSession({ ...endpoint, url: `${host.url}${new URL(endpoint.url).pathname}` });
    times.push(performance.now() - begun);
    await host.stop();
  }
  return [{ measure: "mcp: cold start to the first session", unit: "ms", ours: samples(times) }];
}
