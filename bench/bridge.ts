// The MCP bridge beside direct stdio and the Rust crate mcp-proxy, and as it is reached on a machine: through DTMA's TLS
// and Docker's attach.

import { onCleanup, withFile } from "./cleanup.ts";
import { startAgent, stdioTool } from "./dtma.ts";
import { freePort, kill } from "./host.ts";
import { type Load, loadBy } from "./load.ts";
import { echoCall, type Endpoint, openSession } from "./mcp.ts";
import { compared, type Line } from "./report.ts";

export interface Programs {
  /** The static release binaries of DTMA and of the sample server. */
  dtma: string;
  sample: string;
  /** toolbox-mcp's examples and its fixture. */
  measure: string;
  bridge: string;
  fixture: string;
  /** mcp-proxy of crates.io. */
  peer: string;
  /** The bridge and DTMA of another checkout, measured in the same rounds. */
  before?: { bridge: string; dtma: string };
}

export interface BridgeSetting {
  rounds: number;
  /** Seconds of each load. */
  seconds: number;
}

const CALLERS = 16;
/** Clients that vanish. */
const VANISH = 1000;

interface Measured {
  rps: number;
  p50_us: number;
  p99_us: number;
}

interface Way {
  name: "direct" | "bridge" | "before" | "peer";
  rounds: { single: Measured; sixteen: Measured; sessions?: Measured }[];
  /** Processes. */
  left?: number;
  /** Bytes. */
  rss?: { idle: number; busy: number; after: number };
}

export async function benchBridge(
  programs: Programs,
  setting: BridgeSetting,
  progress: (text: string) => void,
): Promise<Line[]> {
  progress("the bridge, mcp-proxy and direct stdio");
  const alone = await sideBySide(programs, setting);
  progress("the bridge through DTMA");
  return [...alone, ...await throughAgent(programs, setting, progress)];
}

/** The same echo server behind each, loaded in turn by crates/toolbox-mcp/examples/bench_bridge.rs. */
async function sideBySide(programs: Programs, { rounds, seconds }: BridgeSetting): Promise<Line[]> {
  const numbers = [["--rounds", rounds], ["--seconds", seconds], ["--vanish", VANISH]].flat().map(String);
  const paths = ["--server", programs.fixture, "--bridge", programs.bridge, "--peer", programs.peer];
  if (programs.before) paths.push("--before", programs.before.bridge);
  const child = new Deno.Command(programs.measure, {
    args: [...numbers, ...paths],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const stop = onCleanup(() => kill(child, "SIGKILL"));
  const { success, stdout } = await child.output();
  await stop();
  if (!success) throw new Error(`${programs.measure} failed`);
  const ways: Way[] = JSON.parse(new TextDecoder().decode(stdout)).ways;
  const way = (name: Way["name"]) => ways.find((one) => one.name === name)!;
  const [direct, ours, peer, before] = [way("direct"), way("bridge"), way("peer"), way("before")];

  const against = (
    measure: string,
    unit: string,
    other: Way,
    value: (round: Way["rounds"][0]) => number,
    target?: Line["target"],
  ): Line => ({
    ...compared(measure, unit, ours.rounds.map((round, n) => [value(round), value(other.rounds[n])])),
    target,
  });
  const megabytes = (measure: string, key: "idle" | "busy" | "after", limit?: number): Line => ({
    ...compared(measure, "MB", [[ours.rss![key] / 1e6, peer.rss![key] / 1e6]]),
    target: limit === undefined ? undefined : { limit, of: "value", better: "less" },
  });
  return [
    against("bridge / direct stdio: 1 caller, p50", "µs", direct, ({ single }) => single.p50_us),
    against(
      `bridge: ${CALLERS} callers / direct stdio: ${CALLERS} calls in one write`,
      "req/s",
      direct,
      ({ sixteen }) => sixteen.rps,
    ),
    against("bridge / mcp-proxy: 1 caller, p50", "µs", peer, ({ single }) => single.p50_us, {
      limit: 1,
      of: "ratio",
      better: "less",
    }),
    against("bridge / mcp-proxy: 1 caller", "req/s", peer, ({ single }) => single.rps),
    // 10,000 where mcp-proxy answers 7,800, on any machine.
    against(`bridge / mcp-proxy: ${CALLERS} callers, 1 session`, "req/s", peer, ({ sixteen }) => sixteen.rps, {
      limit: 1.28,
      of: "ratio",
      better: "more",
    }),
    against(`bridge / mcp-proxy: ${CALLERS} callers, p99`, "µs", peer, ({ sixteen }) => sixteen.p99_us),
    against(`bridge / mcp-proxy: ${CALLERS} sessions`, "req/s", peer, ({ sessions }) => sessions!.rps),
    megabytes("bridge / mcp-proxy: resident, idle", "idle"),
    megabytes("bridge / mcp-proxy: resident, after the load", "busy", 15),
    megabytes(`bridge / mcp-proxy: resident, after ${VANISH} clients vanished`, "after", 15),
    {
      ...compared(`bridge / mcp-proxy: processes left by ${VANISH} clients that vanished`, "", [[
        ours.left!,
        peer.left!,
      ]]),
      ratio: undefined,
      target: { limit: 0, of: "value", better: "less" },
    },
    ...(before
      ? [
        against("bridge / bridge before: 1 caller, p50", "µs", before, ({ single }) => single.p50_us),
        against(`bridge / bridge before: ${CALLERS} callers, 1 session`, "req/s", before, ({ sixteen }) => sixteen.rps),
        against(`bridge / bridge before: ${CALLERS} callers, p99`, "µs", before, ({ sixteen }) => sixteen.p99_us),
        against(`bridge / bridge before: ${CALLERS} sessions`, "req/s", before, ({ sessions }) => sessions!.rps),
      ]
      : []),
  ];
}

/** The sample server in a container behind DTMA, against the same server as the bridge's own child over plain HTTP. */
async function throughAgent(
  programs: Programs,
  setting: BridgeSetting,
  progress: (text: string) => void,
): Promise<Line[]> {
  const secured = await startAgent(programs.dtma, { tls: true });
  const plain = await startAgent(programs.dtma, { tls: false });
  const before = programs.before && await startAgent(programs.before.dtma, { tls: true });
  const bare = await startBare(programs);
  const peer = await startPeer(programs);
  try {
    const ends: Record<string, Endpoint> = { bare: bare.endpoint, peer: peer.endpoint };
    for (const [name, agent] of Object.entries({ secured, plain, ...(before && { before }) })) {
      const id = crypto.randomUUID();
      const { phase } = await agent.call("PUT", `/tools/${id}`, stdioTool(id));
      if (phase !== "running") throw new Error(`the sample server is "${phase}" instead of "running"`);
      ends[name] = {
        url: `${agent.url}/mcp/${id}`,
        client: agent.client,
        headers: { authorization: `Bearer ${agent.key}` },
        echo: "echo",
      };
    }
    const loads: Record<string, Record<number, Load[]>> = {};
    for (const [name, endpoint] of Object.entries(ends)) {
      loads[name] = { 1: [], [CALLERS]: [] };
      await call(endpoint, await openSession(endpoint), 4, 1);
    }
    for (let round = 0; round < setting.rounds; round++) {
      progress(`the bridge through DTMA, round ${round + 1} of ${setting.rounds}`);
      const names = Object.keys(ends);
      for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
        const session = await openSession(ends[name]);
        for (const callers of [1, CALLERS]) {
          loads[name][callers].push(await call(ends[name], session, callers, setting.seconds));
        }
      }
    }
    const against = (
      measure: string,
      [ours, other]: [string, string],
      callers: number,
      unit: string,
      value: (load: Load) => number,
    ) => compared(measure, unit, loads[ours][callers].map((load, n) => [value(load), value(loads[other][callers][n])]));
    return [
      ["DTMA with TLS / mcp-proxy", "secured", "peer"],
      ["DTMA with TLS / the bridge alone", "secured", "bare"],
      ["DTMA without TLS / the bridge alone", "plain", "bare"],
      ...(before ? [["DTMA with TLS / DTMA before", "secured", "before"]] : []),
    ].flatMap(([title, ours, other]) => [
      against(`${title}: 1 caller, p50`, [ours, other], 1, "µs", (load) => load.p50),
      against(`${title}: ${CALLERS} callers`, [ours, other], CALLERS, "req/s", (load) => load.requestsPerSecond),
    ]);
  } finally {
    for (const started of [peer, bare, before, plain, secured]) await started?.stop();
  }
}

interface Started {
  endpoint: Endpoint;
  stop(): Promise<void>;
}

/** The bridge as a program, with a child instead of a container. */
async function startBare({ bridge, sample }: Programs): Promise<Started> {
  const address = `127.0.0.1:${freePort()}`;
  const endpoint = { url: `http://${address}/mcp`, headers: {}, echo: "echo" };
  return await started(bridge, ["--listen", address, "--", sample, "--stdio"], endpoint);
}

async function startPeer({ peer, sample }: Programs): Promise<Started> {
  const port = freePort();
  const config = await Deno.makeTempFile({ prefix: "toolbox-bench-", suffix: ".toml" });
  const remove = onCleanup(() => Deno.remove(config));
  const backend = `name = "b"\ntransport = "stdio"\ncommand = ${JSON.stringify(sample)}\nargs = ["--stdio"]\n`;
  const listen = `[proxy.listen]\nhost = "127.0.0.1"\nport = ${port}\n`;
  await Deno.writeTextFile(config, `[proxy]\nname = "bench"\nseparator = "_"\n${listen}[[backends]]\n${backend}`);
  const endpoint = { url: `http://127.0.0.1:${port}/`, headers: {}, echo: "b_echo" };
  const child = await started(peer, ["--config", config], endpoint);
  return {
    endpoint,
    stop: async () => {
      await child.stop();
      await remove();
    },
  };
}

/** Starts a program that ends with the bench, and waits at most ten seconds until a session opens. */
async function started(program: string, args: string[], endpoint: Endpoint): Promise<Started> {
  const child = new Deno.Command("/usr/bin/setpriv", {
    args: ["--pdeathsig", "KILL", "--", program, ...args],
    env: { RUST_LOG: "error" },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const stop = onCleanup(() => kill(child, "SIGKILL"));
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      await openSession(endpoint);
      return { endpoint, stop };
    } catch (error) {
      if (performance.now() > deadline) {
        await stop();
        throw new Error(`${program} opens no session`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Callers of the echo tool in one session. */
async function call(
  endpoint: Endpoint,
  session: Record<string, string>,
  callers: number,
  seconds: number,
): Promise<Load> {
  const headers = Object.entries({ ...endpoint.headers, ...session }).map(([name, value]) => `${name}:${value}`);
  const path = new URL(endpoint.url).pathname;
  return await withFile(`${headers.join(";")}\t${path}\t${echoCall(endpoint)}\n`, (file) => {
    // What every answer repeats, with the number of its request in between.
    const env = { BENCH_REQUESTS: file, BENCH_EXPECT: '"text":"m' };
    return loadBy("each.lua", env, endpoint.url, callers, seconds);
  });
}
