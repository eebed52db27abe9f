/** One schedule: faults and commands as planned, then peace, then the truth. */
import { sleep, within } from "../e2e/lib/mod.ts";
import { command } from "./commands.ts";
import { inflict } from "./faults.ts";
import { describePlan, plan } from "./plan.ts";
import { Random } from "./random.ts";
import { converged, look, untruths } from "./truth.ts";
import type { ChaosWorld } from "./world.ts";

/** After the last fault everything must agree within this time. */
const AGREE_MS = 30_000;

export interface Outcome {
  seed: number;
  faults: string[];
  commands: number;
  answers: string;
  /** From the end of the last fault to agreement. */
  agreedMs: number;
  totalMs: number;
}

/** Runs the schedule of a seed; throws what was not true. */
export async function schedule(world: ChaosWorld, seed: number): Promise<Outcome> {
  const begun = performance.now();
  const { faults, commands } = plan(seed);
  world.answers.clear();
  // Many schedules cause more events than are kept of one toolbox. The log is to be whole here.
  await world.db.execute("delete from private.event_buckets where account_tool_environment_id = :'id';", {
    id: world.toolboxId,
  });
  // What agreed after the last schedule must not have come apart by itself.
  const apart = untruths(world, await look(world));
  if (apart.length) throw new Error(`no agreement before the first fault:\n  ${apart.join("\n  ")}`);

  const at = (ms: number) => sleep(Math.max(0, ms - (performance.now() - begun)));
  const answered = Promise.all(commands.map(async ({ at: ms, what }) => (await at(ms), await command(world, what))));
  await Promise.all(faults.map(async ({ at: ms, what }, n) => {
    await at(ms);
    await inflict(world, what, new Random(seed + n));
  }));
  const peace = performance.now();
  const left = () => Math.max(1_000, AGREE_MS - (performance.now() - peace));
  await within(AGREE_MS, "answers to the commands sent before", answered);
  await converged(world, left());
  const agreedMs = performance.now() - peace;

  const wrong = await world.log.faults(world);
  wrong.push(...world.proxy.acceptedTwice.splice(0));
  if (wrong.length) throw new Error(`wrong in the event log or the heartbeats:\n  ${wrong.join("\n  ")}`);
  return {
    seed,
    faults: faults.map(({ what }) => what.kind),
    commands: commands.length,
    answers: [...world.answers].map(([what, count]) => `${count} × ${what}`).sort().join(", "),
    agreedMs,
    totalMs: performance.now() - begun,
  };
}

/** Everything there is to know about a failure, in a folder of its own, which is returned. */
export async function evidence(world: ChaosWorld, seed: number, error: unknown): Promise<string> {
  const folder = `${Deno.env.get("TMPDIR") ?? "/tmp"}/toolbox-chaos-evidence/${seed}`;
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  const write = async (name: string, text: () => Promise<string> | string) => {
    await Deno.writeTextFile(`${folder}/${name}`, await Promise.resolve().then(text).catch(String));
  };
  const history = (table: string, order: string) => () =>
    world.db.execute(
      `select row_to_json(t) from (select * from public.${table} where account_tool_environment_id = :'toolbox'
       order by ${order} desc limit 400) t;`,
      { toolbox: world.toolboxId },
    );
  await write(
    "schedule.txt",
    () => `${error instanceof Error ? error.message : error}\n\n${describePlan(plan(seed))}\n`,
  );
  await write("rows.jsonl", history("account_tool_instances", "instance_name_on_toolbox"));
  await write("events.jsonl", history("tool_instance_events", "id"));
  await write("operations.jsonl", history("tool_instance_operations", "started_at"));
  await write(
    "toolbox.json",
    () =>
      world.db.execute("select row_to_json(e) from public.account_tool_environments e where id = :'id';", {
        id: world.toolboxId,
      }),
  );
  await write("containers.txt", () => world.droplet.docker("ps", "--all", "--no-trunc"));
  await write("heartbeats.json", () => JSON.stringify(world.proxy.counts, null, 2));
  for (
    const [name, path] of [
      ["dtma.log", `${world.folder}/dtma.log`],
      ["dockerd.log", `${world.folder}/dockerd.log`],
      ["heartbeat.log", `${world.stack.ready.data_dir}/logs/heartbeat.log`],
      ["toolbox-tools.log", `${world.stack.ready.data_dir}/logs/toolbox-tools.log`],
      ["postgres.log", `${world.stack.ready.data_dir}/logs/postgres.log`],
    ]
  ) {
    await write(name, () => Deno.readTextFile(path));
  }
  return folder;
}
