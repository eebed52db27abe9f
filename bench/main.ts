// Measures what the functions, DTMA and its MCP bridge cost, as ratios against what the same work costs without them, in
// one run. Started by scripts/bench.

import { gzipSync } from "node:zlib";
import { benchAgent } from "./agent.ts";
import { benchBridge } from "./bridge.ts";
import { endCleanly, failCleanly } from "./cleanup.ts";
import { benchClients } from "./clients.ts";
import { benchFleet } from "./fleet.ts";
import { benchHandlers, countRoundTrips, type Setting } from "./handlers.ts";
import { benchHeartbeats } from "./heartbeat.ts";
import { type Line, meets, samples, table } from "./report.ts";
import { benchSsh } from "./ssh.ts";
import { startUpstream } from "./upstream.ts";
import { benchWeb } from "./web.ts";
import { benchToolboxes, benchZero } from "./zero.ts";
import { functionsOf, packageOf, repository } from "../tests/lib/functions.ts";

const root = new URL("..", import.meta.url).pathname;
const begun = performance.now();
const progress = (text: string) =>
  console.error(`bench ${((performance.now() - begun) / 1000).toFixed(0).padStart(3)} s: ${text}`);

/** The longest a part may take, in seconds, and what it measures. */
const PARTS = {
  handlers: { limit: [120, 360], lines: handlerLines },
  dtma: { limit: [240, 300], lines: agentLines },
  heartbeat: { limit: [180, 420], lines: heartbeatLines },
  bridge: { limit: [180, 300], lines: bridgeLines },
  mcp: { limit: [180, 300], lines: clientsLines },
  ssh: { limit: [120, 300], lines: sshLines },
  zero: { limit: [480, 1500], lines: zeroLines },
  web: { limit: [720, 900], lines: webLines },
};
type Part = keyof typeof PARTS;

const options = parseArgs(Deno.args);
const { quick } = options;

const setting: Setting = {
  ours: `${root}supabase/functions/toolbox-tools/index.ts`,
  floor: `${root}bench/floor.ts`,
  rounds: quick ? 5 : 20,
  coldRounds: quick ? 5 : 20,
  seconds: 1,
};

const parts = (Object.keys(PARTS) as Part[]).filter((part) => options.only === undefined || options.only === part);
endCleanly(parts.reduce((sum, part) => sum + PARTS[part].limit[quick ? 0 : 1], 0));
const lines: Line[] = [];
try {
  for (const part of parts) lines.push(...await PARTS[part].lines());
} catch (error) {
  await failCleanly(error);
}

const missed = lines.filter((line) => meets(line) === false);
console.log(
  `\nToolbox bench: ${new Date().toISOString()}, ${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}, ` +
    `${((performance.now() - begun) / 1000).toFixed(0)} s\n` +
    `measured / reference: toolbox-tools / bench/floor.ts, DTMA / the raw Docker API, and else what the line names.\n` +
    `Median [min–max] of rounds that alternate.\n`,
);
console.log(table(lines));
console.log(
  missed.length === 0
    ? "\nall targets met"
    : `\n${missed.length} of ${lines.filter((line) => line.target).length} targets missed`,
);
if (options.json) {
  const verdicts = lines.map((line) => ({ ...line, meets: meets(line) }));
  await Deno.writeTextFile(
    options.json,
    JSON.stringify({ at: new Date().toISOString(), quick, lines: verdicts }, null, 2) + "\n",
  );
}

interface Options {
  quick: boolean;
  /** Postgres, PostgREST and DTMA of an ephemeral dev stack instead of the stand-in. */
  real: boolean;
  only?: Part;
  /** A checkout whose agent and bridge are measured beside this one's. */
  before?: string;
  /** File for the same numbers as JSON. */
  json?: string;
}

function parseArgs(args: string[]): Options {
  const options: Options = { quick: false, real: false };
  const rest = [...args];
  for (let option = rest.shift(); option !== undefined; option = rest.shift()) {
    const value = option === "--quick" || option === "--real" ? undefined : rest.shift();
    if (option === "--quick") options.quick = true;
    else if (option === "--real") options.real = true;
    else if (option === "--only" && value && value in PARTS) options.only = value as Part;
    else if (option === "--json" && value) options.json = value;
    else if (option === "--before" && value) options.before = value;
    else {
      console.error(`bench: cannot use "${option}"; see scripts/bench --help`);
      Deno.exit(2);
    }
  }
  return options;
}

async function handlerLines(): Promise<Line[]> {
  if (options.real) {
    progress("starting a real stack");
    const { startReal } = await import("./real.ts");
    const real = await startReal();
    try {
      // The targets speak of the handlers; here most of the time is Postgres' and Docker's.
      return (await benchHandlers(setting, real, progress)).map((line) => ({ ...line, target: undefined }));
    } finally {
      await real.stop();
    }
  }
  const upstream = await startUpstream();
  try {
    const measured = await benchHandlers(setting, upstream, progress);
    progress("round trips");
    return [...measured, ...await countRoundTrips(setting, upstream), ...packageSizes()];
  } finally {
    await upstream.stop();
  }
}

async function agentLines(): Promise<Line[]> {
  progress("DTMA against the raw Docker API");
  const before = options.before && program("BEFORE_DTMA");
  const commands = await benchAgent(program("DTMA"), before, quick ? 8 : 24);
  progress("DTMA with fifty MCP servers");
  return [...commands, ...await benchFleet(program("DTMA"))];
}

async function heartbeatLines(): Promise<Line[]> {
  const toolboxes = quick ? [100, 1_000, 10_000] : [100, 1_000, 10_000, 100_000];
  return await benchHeartbeats({ toolboxes, rounds: quick ? 2 : 3, seconds: quick ? 4 : 8 }, progress);
}

async function bridgeLines(): Promise<Line[]> {
  const programs = {
    dtma: program("DTMA"),
    sample: program("SAMPLE_MCP"),
    measure: program("BRIDGE_MEASURE"),
    bridge: program("BRIDGE"),
    fixture: program("MCP_FIXTURE"),
    peer: program("MCP_PROXY"),
    ...(options.before && { before: { bridge: program("BEFORE_BRIDGE"), dtma: program("BEFORE_DTMA") } }),
  };
  return await benchBridge(programs, { rounds: quick ? 2 : 4, seconds: quick ? 2 : 4 }, progress);
}

async function clientsLines(): Promise<Line[]> {
  const rounds = { rounds: quick ? 3 : 8, coldRounds: quick ? 5 : 20, seconds: quick ? 2 : 4 };
  return await benchClients(program("DTMA"), rounds, progress);
}

async function sshLines(): Promise<Line[]> {
  return await benchSsh({ rounds: quick ? 10 : 100, coldRounds: quick ? 3 : 20 }, progress);
}

async function zeroLines(): Promise<Line[]> {
  return [
    ...await benchZero(quick ? 1 : 3, progress),
    ...await benchToolboxes(quick ? [50, 200] : [250, 500, 1000], progress),
  ];
}

async function webLines(): Promise<Line[]> {
  return await benchWeb({ rounds: quick ? 3 : 10, minutes: quick ? 2 : 4 }, progress);
}

/** A program that scripts/bench has built. */
function program(name: string): string {
  const path = Deno.env.get(`BENCH_${name}`);
  if (!path) throw new Error(`start this by scripts/bench: BENCH_${name} is not set`);
  return path;
}

/** What a worker loads for each function: one module, with the wasm in it as base64. */
function packageSizes(): Line[] {
  return functionsOf(repository).flatMap((name) => {
    const module = Deno.readFileSync(`${repository}${packageOf(name)}`);
    const line = (measure: string, bytes: number): Line => ({
      measure: `package of ${name}, ${measure}`,
      unit: "KB",
      ours: samples([bytes / 1000]),
    });
    return [line("raw", module.length), line("gzip", gzipSync(module, { level: 9 }).length)];
  });
}
