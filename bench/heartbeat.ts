// What a heartbeat costs as toolboxes grow: the edge function against the bare call of its RPC, and the database's own
// part against that with the fewest toolboxes. Real Postgres that writes to the disk, real PostgREST.

import { newCertificate } from "../tests/e2e/lib/machine.ts";
import { Database } from "../tests/e2e/lib/db.ts";
import { type Stack, startStack } from "../tests/lib/stack.ts";
import { onCleanup, withFile } from "./cleanup.ts";
import { SPEC } from "./fixtures.ts";
import { type Load, loadBy } from "./load.ts";
import { compared, type Line, samples } from "./report.ts";

export interface HeartbeatSetting {
  /** Numbers of toolboxes, growing; the first is what the others are compared with. */
  toolboxes: number[];
  rounds: number;
  /** Seconds of each load. */
  seconds: number;
}

const CALLERS = 16;
/** Toolboxes that are driven; the others only are there. */
const DRIVEN = 2000;
/** Heartbeats whose cost Postgres is asked for, one after the other. */
const EXPLAINED = 200;

/** One toolbox's heartbeat, with @ for what grows. */
interface Beat {
  id: string;
  key: string;
  body: string;
}

/** What one number of toolboxes costs the database. */
interface Cost {
  millis: number;
  buffers: number;
  walBytes: number;
  bytesPerToolbox: number;
  /** Of the updates that heartbeats make, those that touched no index, in percent. */
  hot: number;
  /** Milliseconds of one run of the scheduled job, and microseconds of it. */
  silence: number;
  silencePerToolbox: number;
}

export async function benchHeartbeats(
  setting: HeartbeatSetting,
  progress: (text: string) => void,
): Promise<Line[]> {
  const { stack, stop } = await startDurable();
  try {
    const db = new Database(stack.ready.admin_db_url);
    const lines: Line[] = [];
    let base: Cost | undefined;
    for (const count of setting.toolboxes) {
      progress(`heartbeats: ${count} toolboxes`);
      const beats = await seed(stack, db, count);
      const before = await tableStatistics(db);
      const rates = await rate(stack, beats, setting);
      const cost = await databaseCost(stack, db, beats, count, before);
      lines.push(...edgeLines(count, rates), ...costLines(count, cost, base, setting.toolboxes[0]));
      base ??= cost;
    }
    return lines;
  } finally {
    await stop();
  }
}

/** A stack whose Postgres flushes what it commits, as a real one does; an ephemeral one does not. */
async function startDurable(): Promise<{ stack: Stack; stop: () => Promise<void> }> {
  const dataDir = await Deno.makeTempDir({ prefix: "toolbox-bench-" });
  // Postgres runs as another user, inside this folder.
  await Deno.chmod(dataDir, 0o755);
  const remove = onCleanup(() => Deno.remove(dataDir, { recursive: true }));
  try {
    const stack = await startStack({ dataDir, port: freePorts(), dtma: false });
    const end = onCleanup(async () => void await stack.stop());
    const stop = async () => {
      await end();
      await remove();
    };
    return { stack, stop };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** The first of four free ports in a row. */
function freePorts(): number {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = 20_000 + Math.floor(Math.random() * 2_000) * 4;
    const held: Deno.Listener[] = [];
    try {
      for (let port = first; port < first + 4; port++) held.push(Deno.listen({ hostname: "127.0.0.1", port }));
      return first;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    } finally {
      for (const listener of held) listener.close();
    }
  }
  throw new Error("found no four free ports in a row");
}

let certificate: string | undefined;

/** Adds toolboxes until there are `count`; heartbeats of some of them, in no order. */
async function seed({ ready }: Stack, db: Database, count: number): Promise<Beat[]> {
  certificate ??= await newCertificate();
  await db.execute(await Deno.readTextFile(new URL("toolboxes.sql", import.meta.url)), {
    n: String(count),
    user: ready.demo.user_id,
    pem: certificate,
    root_id: await rootId(ready.agent_root),
    spec: JSON.stringify({ ...SPEC, transport: "stdio", stdin_open: true, ports: [] }),
  });
  const rows = await db.rows<{ id: string; sha256: string; instances: Record<string, unknown>[] }>(
    `select e.id, e.dtma_certificate_sha256 as sha256, (
       select json_agg(json_build_object('id', i.id, 'container_id', i.container_id, 'image_digest', i.image_digest) order by i.id)
       from public.account_tool_instances i where i.account_tool_environment_id = e.id
     ) as instances
     from (
       select * from public.account_tool_environments where name like 'bench %' order by random() limit ${DRIVEN}
     ) e`,
  );
  return await Promise.all(rows.map(async ({ id, sha256, instances }) => ({
    id,
    key: `tbk_${await sha256Hex(id)}`,
    body: heartbeat(sha256, instances),
  })));
}

/** A full heartbeat of a machine whose servers were all asked again since the one before: the dearest without news. */
function heartbeat(certificateSha256: string, instances: Record<string, unknown>[]): string {
  const gigabyte = 2 ** 30;
  return JSON.stringify({
    boot: Date.now(),
    sequence: "@",
    version: "1.0.0",
    api_version: 2,
    certificate_sha256: certificateSha256,
    interval_seconds: 300,
    system_metrics: {
      cpu_load_percent: 12.5,
      memory: {
        total_bytes: 2 * gigabyte,
        used_bytes: gigabyte,
        free_bytes: gigabyte / 2,
        active_bytes: gigabyte / 2,
      },
      disk: { mount: "/", total_bytes: 50 * gigabyte, used_bytes: 10 * gigabyte, free_bytes: 40 * gigabyte },
      uptime_seconds: 86_400,
    },
    docker_reachable: true,
    full: true,
    instances: instances.map((instance) => ({
      ...instance,
      generation: 3,
      phase: "running",
      settled: true,
      ports: [],
      observed_at: "2026-11-21T09:30:00Z",
      mcp: {
        state: "healthy",
        evidence: "tools/list was answered: 4 tools",
        since: "2026-11-21T08:00:00Z",
        checked_at: "2026-11-21T09:30:00.@Z",
        last_success_at: "2026-11-21T09:30:00.@Z",
        latency_ms: 3,
        protocol_version: "2025-11-25",
        server_name: "context7",
        server_version: "1.4.2",
        tool_count: 4,
      },
    })),
  }).replace('"@"', "@");
}

type Rates = { ours: Load[]; bare: Load[] };

async function rate(stack: Stack, beats: Beat[], setting: HeartbeatSetting): Promise<Rates> {
  const rates: Rates = { ours: [], bare: [] };
  const { ready } = stack;
  const root_id = await rootId(ready.agent_root);
  const edge = async (seconds: number) => {
    const url = new URL(ready.functions.heartbeat);
    const lines = renewed(beats).map(({ id, key, body }) =>
      `authorization:Bearer ${key}\t${url.pathname}/${id}\t${body}`
    );
    return await drive(url, lines, seconds);
  };
  const bare = async (seconds: number) => {
    const url = new URL(`${ready.url}/rest/v1/rpc/record_heartbeat`);
    const lines = await Promise.all(
      renewed(beats).map(async ({ id, key, body }) => {
        const head = JSON.stringify({ toolbox_id: id, token_hash: await sha256Hex(key), root_id, request_id: "bench" });
        return `apikey:${ready.secret_key}\t${url.pathname}\t{"p":${head.slice(0, -1)},"heartbeat":${body}}}`;
      }),
    );
    return await drive(url, lines, seconds);
  };
  await bare(1);
  await edge(1);
  for (let round = 0; round < setting.rounds; round++) {
    if (round % 2 === 1) rates.bare.push(await bare(setting.seconds));
    rates.ours.push(await edge(setting.seconds));
    if (round % 2 === 0) rates.bare.push(await bare(setting.seconds));
  }
  return rates;
}

let boots = Date.now();

/** The same heartbeats as of agents that were started anew, so that they count again from 1. */
function renewed(beats: Beat[]): Beat[] {
  boots += 1;
  return beats.map((beat) => ({ ...beat, body: beat.body.replace(/"boot":\d+/, `"boot":${boots}`) }));
}

async function drive(url: URL, lines: string[], seconds: number): Promise<Load> {
  return await withFile(lines.join("\n") + "\n", (file) => {
    // Only a heartbeat that was recorded is answered with it.
    const env = { BENCH_REQUESTS: file, BENCH_EXPECT: '"desired_digest"' };
    return loadBy("each.lua", env, url.href, CALLERS, seconds);
  });
}

/** Asks Postgres itself: one heartbeat after the other in one session, whose plans are kept as PostgREST's are. */
async function databaseCost(
  stack: Stack,
  db: Database,
  beats: Beat[],
  count: number,
  before: Statistics,
): Promise<Cost> {
  const root_id = await rootId(stack.ready.agent_root);
  const explain = "explain (analyze, buffers, wal, format json)";
  const statements = await Promise.all(
    renewed(beats).slice(0, EXPLAINED).map(async ({ id, key, body }, n) => {
      const p = JSON.stringify({
        toolbox_id: id,
        token_hash: await sha256Hex(key),
        root_id,
        request_id: "bench",
        heartbeat: JSON.parse(body.replaceAll("@", String(n + 1))),
      });
      return `${explain} select public.record_heartbeat('${p.replaceAll("'", "''")}');`;
    }),
  );
  const plans = await explained(db, statements);
  const silence = await explained(db, Array(7).fill(`${explain} select private.mark_silent_toolboxes();`));
  const { bytes, updates, hot } = await tableStatistics(db);
  const median = (plans: Plan[], value: (plan: Plan) => number) => samples(plans.map(value)).median;
  const { recorded } = await db.row<{ recorded: number }>(
    "select count(*)::int as recorded from public.account_tool_environments where dtma_boot = :'boots'::bigint",
    { boots: `${boots}` },
  );
  if (recorded !== new Set(beats.slice(0, EXPLAINED).map(({ id }) => id)).size) {
    throw new Error(`only ${recorded} toolboxes had their heartbeats recorded by Postgres itself`);
  }
  // The first ones make the session's plans.
  const settled = plans.slice(20);
  const ofSilence = median(silence.slice(2), (plan) => plan["Execution Time"]);
  return {
    millis: median(settled, (plan) => plan["Execution Time"]),
    buffers: median(settled, ({ Plan }) => Plan["Shared Hit Blocks"] + Plan["Shared Read Blocks"]),
    walBytes: median(settled, ({ Plan }) => Plan["WAL Bytes"]),
    bytesPerToolbox: bytes / count,
    hot: 100 * (hot - before.hot) / (updates - before.updates),
    silence: ofSilence,
    silencePerToolbox: ofSilence * 1000 / count,
  };
}

/** Of the two tables that heartbeats write. */
interface Statistics {
  /** With indexes. */
  bytes: number;
  updates: number;
  /** Updates that touched no index. */
  hot: number;
}

async function tableStatistics(db: Database): Promise<Statistics> {
  // Sessions tell what they did with a delay.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  return await db.row<Statistics>(
    `select sum(pg_total_relation_size(relid)) as bytes, sum(n_tup_upd) as updates, sum(n_tup_hot_upd) as hot
     from pg_stat_user_tables where relname in ('account_tool_environments', 'account_tool_instances')`,
  );
}

interface Plan {
  "Execution Time": number;
  Plan: { "Shared Hit Blocks": number; "Shared Read Blocks": number; "WAL Bytes": number };
}

async function explained(db: Database, statements: string[]): Promise<Plan[]> {
  // From a file: psql would answer the first ones before it has read the last.
  return await withFile(statements.join("\n\\echo ---\n"), async (file) => {
    const output = await db.execute(`\\i ${file}`);
    return output.split("---").map((text) => JSON.parse(text)[0]);
  });
}

function edgeLines(count: number, { ours, bare }: Rates): Line[] {
  const pairs = (value: (load: Load) => number) =>
    ours.map((load, n): [number, number] => [value(load), value(bare[n])]);
  const title = `heartbeats, ${grouped(count)} toolboxes, ${CALLERS} callers`;
  const rates = samples(ours.map((load) => load.requestsPerSecond));
  return [
    compared(`${title}: function / bare RPC`, "beats/s", pairs((load) => load.requestsPerSecond)),
    compared(`${title}, p50: function / bare RPC`, "ms", pairs((load) => load.p50 / 1000)),
    compared(`${title}, p99: function / bare RPC`, "ms", pairs((load) => load.p99 / 1000)),
    {
      measure: `heartbeats, ${grouped(count)} toolboxes: toolboxes this machine carries`,
      note: "one beat a minute each",
      unit: "",
      ours: samples([rates.median * 60]),
    },
  ];
}

function costLines(count: number, cost: Cost, base: Cost | undefined, first: number): Line[] {
  const line = (what: string, unit: string, value: (cost: Cost) => number, limit?: number): Line => {
    const measure = `${what}, ${grouped(count)} toolboxes`;
    if (!base) return { measure, unit, ours: samples([value(cost)]) };
    return {
      ...compared(`${measure} / ${grouped(first)}`, unit, [[value(cost), value(base)]]),
      target: limit === undefined ? undefined : { limit, of: "ratio", better: "less" },
    };
  };
  return [
    line("one heartbeat in Postgres", "ms", ({ millis }) => millis, 1.5),
    line("its buffers", "pages", ({ buffers }) => buffers, 1.5),
    line("its WAL", "bytes", ({ walBytes }) => walBytes, 1.5),
    line("rows and indexes of a toolbox", "bytes", ({ bytesPerToolbox }) => bytesPerToolbox, 1.5),
    line("updates that touch no index", "%", ({ hot }) => hot),
    line("silence job", "ms", ({ silence }) => silence),
    line("silence job per toolbox", "µs", ({ silencePerToolbox }) => silencePerToolbox),
  ];
}

function grouped(count: number): string {
  return count.toLocaleString("en");
}

/** Names the root secret as crates/toolbox-domain does. */
async function rootId(root: string): Promise<string> {
  return (await sha256Hex(`toolbox/v1/root-id/${root}`)).slice(0, 8);
}

async function sha256Hex(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
