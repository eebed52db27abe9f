// From an order to a tool that answers, by steps; and what it costs to make and to remove toolboxes as there are more of them.
// Only DigitalOcean's API is simulated. Postgres, PostgREST, the functions and the servers are real; the one toolbox of the first
// part has a machine that runs its user data, the many of the second have stubs.

import assert from "node:assert/strict";
import { signIn } from "../tests/e2e/lib/mod.ts";
import { Fleet, startServer } from "../tests/digitalocean/fleet.ts";
import { Simulator } from "../tests/digitalocean/simulator.ts";
import { Laps, orderToolbox, useTool } from "../tests/digitalocean/zero.ts";
import { makeRelease } from "../tests/install/machine.ts";
import { type StackOptions, startStack } from "../tests/lib/stack.ts";
import { onCleanup } from "./cleanup.ts";
import { type Line, samples } from "./report.ts";

/** Steps that are the machine's boot and the transfer of an image, and none of ours. */
const OTHERS = ["boot", "image"];
/** Most requests of an hour; the real account's limit is measured against, not waited for. */
const REQUESTS = 1_000_000;
/** Longest wait for all toolboxes of a round, in seconds. */
const LIMIT = 400;

/** Seconds of each step from the order to the answer of the first tool, as medians of some runs. */
export async function benchZero(rounds: number, progress: (text: string) => void): Promise<Line[]> {
  const { stack, stop } = await start({ dtma: false, args: ["--droplets"] });
  try {
    await makeRelease(`${stack.ready.data_dir}/releases`);
    const owner = await signIn(stack.ready, stack.ready.demo.email, stack.ready.demo.password);
    const runs: Laps[] = [];
    for (let round = 1; round <= rounds; round++) {
      progress(`from an order to a tool, ${round} of ${rounds}`);
      const laps = new Laps();
      const made = await orderToolbox(stack.ready, owner, laps);
      assert.deepEqual(await useTool(owner, made, laps), [{ type: "text", text: "5" }]);
      runs.push(laps);
    }
    const steps = [...new Set(runs.flatMap((laps) => [...laps.took.keys()]))];
    const seconds = (of: (laps: Laps) => number) => samples(runs.map((laps) => of(laps) / 1000));
    const sum = (laps: Laps, but: string[]) =>
      [...laps.took].reduce((all, [step, ms]) => but.includes(step) ? all : all + ms, 0);
    return [
      ...steps.map((step): Line => ({
        measure: `order to tool: ${step}`,
        unit: "s",
        ours: seconds((laps) => laps.took.get(step) ?? 0),
      })),
      { measure: "order to tool: all", unit: "s", ours: seconds((laps) => sum(laps, [])) },
      {
        measure: "order to tool: our share",
        unit: "s",
        ours: seconds((laps) => sum(laps, OTHERS)),
        target: { limit: 10, of: "value", better: "less" },
        note: `all but ${OTHERS.join(" and ")}`,
      },
    ];
  } finally {
    await stop();
  }
}

/** What one toolbox costs, of so many. */
interface Cost {
  seconds: number;
  /** Requests to DigitalOcean. */
  requests: number;
  /** Transactions of the database. */
  transactions: number;
}

/** What it costs two servers to make and to remove toolboxes, each time more of them; the first number is the reference. */
export async function benchToolboxes(counts: number[], progress: (text: string) => void): Promise<Line[]> {
  const simulator = await Simulator.open("--stub", `--requests-per-hour=${REQUESTS}`);
  const close = onCleanup(() => simulator[Symbol.asyncDispose]());
  const { stack, stop } = await start({ dtma: false });
  const servers = [startServer(stack, simulator), startServer(stack, simulator)];
  const end = onCleanup(async () => {
    for (const server of servers) {
      server.kill("SIGKILL");
      await server.status;
    }
  });
  try {
    const lines: Line[] = [];
    const first: Partial<Record<string, Cost>> = {};
    for (const count of counts) {
      const fleet = new Fleet(stack, simulator);
      for (const [what, work] of [["made", make], ["removed", remove]] as const) {
        progress(`${count} toolboxes are ${what}`);
        const cost = await measured(fleet, count, () => work(fleet, count));
        first[what] ??= cost;
        lines.push(...costLines(`${count} toolboxes ${what}`, cost, first[what]));
      }
    }
    return lines;
  } finally {
    await end();
    await stop();
    await close();
  }
}

/** Orders toolboxes and waits until all are there, each with one droplet and one firewall. */
async function make(fleet: Fleet, count: number): Promise<void> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await fleet.order(`box ${n}`));
  const rows = await until(fleet, async () => {
    await fleet.report();
    const rows = await fleet.rows();
    const failed = rows.find((row) => row.status.startsWith("error"));
    assert.equal(failed, undefined, JSON.stringify(failed));
    return rows.every((row) => row.status === "active" && row.step === null) ? rows : undefined;
  });
  assert.deepEqual(rows.map((row) => row.id), ids.sort(), "every order is a row");
  const droplets = rows.map((row) => row.droplet!).sort((a, b) => a - b);
  assert.deepEqual(await fleet.paidFor(), { droplets, firewalls: count });
}

/** Removes all toolboxes and waits until nothing is left. */
async function remove(fleet: Fleet, _count: number): Promise<void> {
  // That an order may still come to life is waited for, and costs nothing; here it has passed.
  await fleet.passMinute();
  for (const { id } of await fleet.rows()) await fleet.deprovision(id);
  await until(fleet, async () => (await fleet.rows()).length === 0 || undefined);
  assert.deepEqual(await fleet.paidFor(), { droplets: [], firewalls: 0 });
}

async function until<T>(fleet: Fleet, look: () => Promise<T | undefined>): Promise<T> {
  const begun = performance.now();
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() - begun > LIMIT * 1000) {
      const left = await fleet.db.rows(
        "select status, provisioning_step, provisioning_problem, count(*) from public.account_tool_environments group by 1, 2, 3",
      );
      throw new Error(`not all are done after ${LIMIT} s: ${JSON.stringify(left)}`);
    }
    await new Promise((wake) => setTimeout(wake, 1000));
  }
}

async function measured(fleet: Fleet, count: number, work: () => Promise<void>): Promise<Cost> {
  const before = await meters(fleet);
  const begun = performance.now();
  await work();
  const seconds = (performance.now() - begun) / 1000;
  const after = await meters(fleet);
  return {
    seconds: seconds / count,
    requests: (after.requests - before.requests) / count,
    transactions: (after.transactions - before.transactions) / count,
  };
}

/** How many requests and transactions there were until now; what is asked here and while waiting is a handful of them. */
async function meters({ db, simulator }: Fleet): Promise<{ requests: number; transactions: number }> {
  const { headers } = await simulator.raw("GET", "/v2/account");
  // Sessions tell what they did within a second.
  await new Promise((wake) => setTimeout(wake, 1500));
  const { n } = await db.row<{ n: number }>(
    "select xact_commit + xact_rollback as n from pg_stat_database where datname = current_database()",
  );
  return { requests: REQUESTS - Number(headers.get("ratelimit-remaining")), transactions: n };
}

/** A cost that grows with the number of toolboxes would show as a ratio to the first that is more than one. */
function costLines(what: string, cost: Cost, first: Cost): Line[] {
  const line = (measure: string, unit: string, of: (cost: Cost) => number, limit: number): Line => ({
    measure: `${what}: ${measure} each`,
    unit,
    ours: samples([of(cost)]),
    ...(cost !== first && {
      reference: samples([of(first)]),
      ratio: samples([of(cost) / of(first)]),
      target: { limit, of: "ratio", better: "less" },
    }),
  });
  return [
    line("time", "ms", (cost) => cost.seconds * 1000, 1.5),
    line("requests to DigitalOcean", "", (cost) => cost.requests, 1.25),
    line("transactions of the database", "", (cost) => cost.transactions, 1.25),
  ];
}

/** A stack that is gone at the end, also of a run that is interrupted. */
async function start(options: StackOptions) {
  const stack = await startStack(options);
  return { stack, stop: onCleanup(async () => void await stack.stop()) };
}
