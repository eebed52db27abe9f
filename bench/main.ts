// Measures what toolbox-tools and DTMA cost, as ratios against what the same work costs without them, in one run.
// Started by scripts/bench.

import { brotliCompressSync, gzipSync } from "node:zlib";
import { benchAgent } from "./agent.ts";
import { benchHandlers, countRoundTrips, type Setting } from "./handlers.ts";
import { endCleanly, failCleanly } from "./cleanup.ts";
import { type Line, meets, samples, table } from "./report.ts";
import { startUpstream } from "./upstream.ts";

const root = new URL("..", import.meta.url).pathname;
const options = parseArgs(Deno.args);
const { quick } = options;

const begun = performance.now();
const progress = (text: string) =>
  console.error(`bench ${((performance.now() - begun) / 1000).toFixed(0).padStart(3)} s: ${text}`);

const setting: Setting = {
  ours: `${root}supabase/functions/toolbox-tools/index.ts`,
  floor: `${root}bench/floor.ts`,
  rounds: quick ? 5 : 20,
  coldRounds: quick ? 5 : 20,
  seconds: 1,
};

endCleanly(quick ? 120 : 360);
const lines: Line[] = [];
try {
  if (options.only !== "dtma") lines.push(...await handlerLines());
  if (options.only !== "handlers") {
    progress("DTMA against the raw Docker API");
    lines.push(...await benchAgent(Deno.env.get("BENCH_DTMA")!, quick ? 8 : 24));
  }
} catch (error) {
  await failCleanly(error);
}

const missed = lines.filter((line) => meets(line) === false);
console.log(
  `\nToolbox bench: ${new Date().toISOString()}, ${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}, ` +
    `${setting.rounds} rounds, ${((performance.now() - begun) / 1000).toFixed(0)} s\n` +
    `measured: toolbox-tools or DTMA; reference: bench/floor.ts or the raw Docker API. Median [min–max] of rounds that alternate.\n`,
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
  only?: "handlers" | "dtma";
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
    else if (option === "--only" && (value === "handlers" || value === "dtma")) options.only = value;
    else if (option === "--json" && value) options.json = value;
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
    return [...measured, ...await countRoundTrips(setting, upstream), ...wasmSizes()];
  } finally {
    await upstream.stop();
  }
}

function wasmSizes(): Line[] {
  const weigh = (file: string, part: string, limit?: number): Line[] => {
    const wasm = Deno.readFileSync(`${root}pkg/toolbox-tools/${file}`);
    const size = (measure: string, bytes: number, limit?: number): Line => ({
      measure: `toolbox-tools wasm${part}, ${measure}`,
      unit: "KB",
      ours: samples([bytes / 1000]),
      target: limit === undefined ? undefined : { limit, of: "value", better: "less" },
    });
    return [
      size("raw", wasm.length),
      size("gzip", gzipSync(wasm, { level: 9 }).length, limit),
      size("brotli", brotliCompressSync(wasm).length),
    ];
  };
  return [
    ...weigh("toolbox_tools_bg.wasm", "", 120),
    ...weigh("toolbox_tools_deferred_bg.wasm", " loaded by the first change or log"),
  ];
}
