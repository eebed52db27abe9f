// toolbox-tools against the floor: the same host, the same upstream, rounds that alternate.

import { CATALOG_ID, instanceId, INSTANCES, STOPPED } from "./fixtures.ts";
import { cpuMillis, get, type Host, startHost } from "./host.ts";
import { type Load, load } from "./load.ts";
import { compared, type Line, samples } from "./report.ts";
import type { Upstream } from "./upstream.ts";

/** What the handlers talk to: the counting stand-in, or a whole real stack. */
export interface Target {
  /** The function's configuration. */
  env: Record<string, string>;
  /** A signed-in user's access token. */
  token: string;
  /** The user's toolbox, with ten instances. */
  toolboxId: string;
  stop(): Promise<void>;
}

export interface Setting {
  /** Paths of the two handlers. */
  ours: string;
  floor: string;
  rounds: number;
  coldRounds: number;
  /** Seconds of each load. */
  seconds: number;
}

/** One load, and the microseconds of CPU time the host's main thread spent on each request. */
type Run = Load & { cpu: number };

const CONNECTIONS = 32;

export async function benchHandlers(
  setting: Setting,
  target: Target,
  progress: (text: string) => void,
): Promise<Line[]> {
  const list = listOf(target);
  progress("cold start");
  const cold: [number, number][] = [];
  // The first start of each fills the file system's and Deno's caches.
  for (let round = -1; round < setting.coldRounds; round++) {
    const pair = await alternate(
      round,
      () => coldStart(setting.ours, target),
      () => coldStart(setting.floor, target),
    );
    if (round >= 0) cold.push(pair);
  }

  const hosts = {
    ours: await startHost(setting.ours, target.env),
    floor: await startHost(setting.floor, target.env),
  };
  try {
    await sameAnswer(list, target, hosts);
    const run = async (host: Host, connections: number) => {
      const before = cpuMillis(host.pid);
      const result = await load(host.url + list, target.token, connections, setting.seconds);
      return { ...result, cpu: (cpuMillis(host.pid) - before) * 1000 / result.requests };
    };
    progress("warm up");
    for (const host of [hosts.ours, hosts.floor]) for (const n of [CONNECTIONS, 1]) await run(host, n);

    const one: [Run, Run][] = [];
    const many: [Run, Run][] = [];
    for (let round = 0; round < setting.rounds; round++) {
      progress(`round ${round + 1} of ${setting.rounds}`);
      one.push(await alternate(round, () => run(hosts.ours, 1), () => run(hosts.floor, 1)));
      many.push(await alternate(round, () => run(hosts.ours, CONNECTIONS), () => run(hosts.floor, CONNECTIONS)));
    }
    const pairs = (rounds: [Run, Run][], value: (run: Run) => number) =>
      rounds.map(([ours, floor]): [number, number] => [value(ours), value(floor)]);
    const ratio = (limit: number, better: "less" | "more") => ({ limit, of: "ratio", better }) as const;
    return [
      { ...compared("cold start to first answer", "ms", cold), target: ratio(1.4, "less") },
      { ...compared("list, warm p50", "µs", pairs(one, (run) => run.p50)), target: ratio(1.15, "less") },
      compared("list, warm p99", "µs", pairs(one, (run) => run.p99)),
      compared("list, warm, main thread per request", "µs", pairs(one, (run) => run.cpu)),
      {
        ...compared(`list, ${CONNECTIONS} connections`, "req/s", pairs(many, (run) => run.requestsPerSecond)),
        target: ratio(0.75, "more"),
      },
      compared(`list, ${CONNECTIONS} connections, main thread per request`, "µs", pairs(many, (run) => run.cpu)),
    ];
  } finally {
    await hosts.ours.stop();
    await hosts.floor.stop();
  }
}

/** Upstream requests of each action, counted at the upstream. */
export async function countRoundTrips(setting: Setting, upstream: Upstream): Promise<Line[]> {
  const list = listOf(upstream);
  const running = `${list}/${instanceId(0)}`;
  const stopped = `${list}/${instanceId(STOPPED)}`;
  const deploy = { toolCatalogId: CATALOG_ID, instanceNameOnToolbox: `bench ${INSTANCES}` };
  const actions: [name: string, method: string, path: string, limit?: number, body?: unknown][] = [
    ["list", "GET", list, 2],
    ["get", "GET", running],
    ["start", "POST", `${stopped}/start`],
    ["stop", "POST", `${running}/stop`],
    ["deploy", "POST", list, undefined, deploy],
    ["delete", "DELETE", running],
  ];
  const host = await startHost(setting.ours, upstream.env);
  try {
    await get(host.url + list, authorization(upstream));
    const lines: Line[] = [];
    for (const [name, method, path, limit, body] of actions) {
      upstream.take();
      const answer = await fetch(host.url + path, {
        method,
        headers: { ...authorization(upstream), prefer: "wait=10", "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(15_000),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${name} answered ${answer.status}: ${text}`);
      const requests = upstream.take();
      // What the function still does after its answer costs the caller nothing, but is not free either.
      await new Promise((resolve) => setTimeout(resolve, 250));
      const later = upstream.take().length;
      lines.push({
        measure: `${name}: upstream round trips`,
        note: [...requests.map(short), ...(later > 0 ? [`${later} after the answer`] : [])].join(", "),
        unit: "",
        ours: samples([requests.length]),
        target: limit === undefined ? undefined : { limit, of: "value", better: "less" },
      });
    }
    return lines;
  } finally {
    await host.stop();
  }
}

/** `POST /rest/v1/rpc/begin_tool_instance_operation` as `rpc begin`, `GET /tools/{id}` as `GET agent`. */
function short(request: string): string {
  const [method, path] = request.split(" ");
  if (path.startsWith("/rest/v1/rpc/")) return path.slice("/rest/v1/rpc/".length).split("_")[0];
  return `${method} ${path.startsWith("/rest/v1/") ? "rows" : "agent"}`;
}

async function coldStart(module: string, target: Target): Promise<number> {
  const begun = performance.now();
  const host = await startHost(module, target.env);
  try {
    await get(host.url + listOf(target), authorization(target));
    return performance.now() - begun;
  } finally {
    await host.stop();
  }
}

/** Both handlers must answer the same, or the comparison means nothing. */
async function sameAnswer(list: string, target: Target, hosts: { ours: Host; floor: Host }): Promise<void> {
  const answer = async (host: Host) => canonical(JSON.parse(await get(host.url + list, authorization(target))));
  const [ours, floor] = [await answer(hosts.ours), await answer(hosts.floor)];
  if (ours === floor) return;
  const [left, right] = [ours.split("\n"), floor.split("\n")];
  const at = left.findIndex((line, index) => line !== right[index]);
  const lines = `toolbox-tools: ${left[at]?.trim()}, floor: ${right[at]?.trim()}`;
  throw new Error(`bench/floor.ts must answer what toolbox-tools answers; ${lines}`);
}

/** JSON with sorted keys, and with the times of this very request blanked. */
function canonical(value: unknown): string {
  const volatile = new Set(["request_id", "checked_at", "last_checked", "state_observed_at"]);
  return JSON.stringify(value, (key, inner) => {
    if (volatile.has(key)) return "…";
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => a < b ? -1 : 1));
  }, 1);
}

async function alternate<T>(round: number, ours: () => Promise<T>, floor: () => Promise<T>): Promise<[T, T]> {
  if (round % 2 === 0) return [await ours(), await floor()];
  const second = await floor();
  return [await ours(), second];
}

function listOf(target: Target): string {
  return `/toolbox-tools/${target.toolboxId}/tools`;
}

function authorization(target: Target): Record<string, string> {
  return { authorization: `Bearer ${target.token}` };
}
