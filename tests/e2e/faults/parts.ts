/** The processes of the stack: stopped, suspended, killed and started one by one. */
import { eventually, sleep, type World } from "../lib/mod.ts";
import { snapshot } from "./truth.ts";

/** A service of the stack, by the name its state goes by. */
export type Service = "postgres" | "postgrest" | "toolbox-tools";

/** Stops a service in order, does `work`, and starts it again whatever came of that. */
export async function whileStopped<T>(world: World, service: Service, work: () => Promise<T>): Promise<T> {
  await world.stack.control("stop", service);
  try {
    return await work();
  } finally {
    await world.stack.control("start", service);
  }
}

/** Suspends a service (it accepts connections and answers none), does `work`, and resumes it. */
export async function whilePaused<T>(world: World, service: Service, work: () => Promise<T>): Promise<T> {
  await world.stack.control("pause", service);
  try {
    return await work();
  } finally {
    await world.stack.control("resume", service);
  }
}

/** SIGKILL out of nowhere; the stack starts the service again as its supervisor would, and this waits for it. */
export async function killed(world: World, service: Service): Promise<void> {
  const { pid } = (await world.stack.state())[service];
  if (pid === null) throw new Error(`${service} does not run`);
  Deno.kill(pid, "SIGKILL");
  await eventually(`${service} serves again`, async () => {
    const now = (await world.stack.state())[service];
    return now.ready && now.pid !== pid ? true : undefined;
  }, { ms: 30_000, everyMs: 25 });
}

/** Where PostgREST listens while it runs, and where something else can while it is stopped. */
export async function postgrestPort(world: World): Promise<number> {
  const { pid } = (await world.stack.state()).postgrest;
  const environment = await Deno.readTextFile(`/proc/${pid}/environ`);
  const port = /(?:^|\0)PGRST_SERVER_PORT=(\d+)/.exec(environment)?.[1];
  if (!port) throw new Error("PostgREST runs without PGRST_SERVER_PORT");
  return Number(port);
}

/** Lets time pass for the leases of operations in progress; of those with the ids, where given. */
export async function expireLeases(world: World, ids?: string[]): Promise<void> {
  await world.db.execute(
    `update public.tool_instance_operations set lease_expires_at = clock_timestamp()
     where state = 'in_progress' and (:'ids' = '' or id::text = any (string_to_array(:'ids', ',')))`,
    { ids: ids?.join(",") ?? "" },
  );
}

/** Lets the leases of those operations run out that the agent never heard of: nobody can know how they end. */
export async function expireUnheard(world: World): Promise<void> {
  // What was sent before is handled within this time.
  await sleep(200);
  const { tools } = (await world.agent.call("/tools")).json;
  const held = new Map<string, number>(
    tools.map((tool: { id: string; generation: number }) => [tool.id, tool.generation]),
  );
  const { operations } = await snapshot(world);
  const unheard = operations.filter((operation) => {
    if (operation.state !== "in_progress") return false;
    const generation = held.get(operation.tool_instance_id as string);
    return generation === undefined ? operation.action !== "delete" : generation < operation.generation;
  });
  if (unheard.length) await expireLeases(world, unheard.map((operation) => operation.id));
}
