/** The processes of the stack, through the stack's private door: stopped, suspended, killed and started one by one. */
import { eventually, send, type World } from "../lib/mod.ts";

/** A service of the stack, by the name its state goes by. */
export type Service = "postgres" | "postgrest" | "toolbox-tools";

/** What the stack says of one service. */
interface ServiceState {
  pid: number | null;
  ready: boolean;
  restarts: number;
}

/** Stops a service in order, does `work`, and starts it again whatever came of that. */
export async function whileStopped<T>(world: World, service: Service, work: () => Promise<T>): Promise<T> {
  await act(world, "stop", service);
  try {
    return await work();
  } finally {
    await act(world, "start", service);
  }
}

/** Suspends a service (it accepts connections and answers none), does `work`, and resumes it. */
export async function whilePaused<T>(world: World, service: Service, work: () => Promise<T>): Promise<T> {
  await act(world, "pause", service);
  try {
    return await work();
  } finally {
    await act(world, "resume", service);
  }
}

/** SIGKILL out of nowhere; the stack starts the service again as its supervisor would, and this waits for it. */
export async function killed(world: World, service: Service): Promise<void> {
  const { pid } = await state(world, service);
  if (pid === null) throw new Error(`${service} does not run`);
  Deno.kill(pid, "SIGKILL");
  await eventually(`${service} serves again`, async () => {
    const now = await state(world, service);
    return now.ready && now.pid !== pid ? true : undefined;
  }, { ms: 30_000, everyMs: 25 });
}

/** Where PostgREST listens while it runs, and where something else can while it is stopped. */
export async function postgrestPort(world: World): Promise<number> {
  const { pid } = await state(world, "postgrest");
  const environment = await Deno.readTextFile(`/proc/${pid}/environ`);
  const port = /(?:^|\0)PGRST_SERVER_PORT=(\d+)/.exec(environment)?.[1];
  if (!port) throw new Error("PostgREST runs without PGRST_SERVER_PORT");
  return Number(port);
}

async function state(world: World, service: Service): Promise<ServiceState> {
  const reply = await send(`${world.ready.control_url}/state`, door(world));
  const found = reply.json?.[service];
  if (!found) throw new Error(`no service ${service} in ${reply.text}`);
  return found;
}

async function act(world: World, action: "start" | "stop" | "pause" | "resume", service: Service): Promise<void> {
  const reply = await send(`${world.ready.control_url}/${action}/${service}`, { method: "POST", ...door(world) });
  if (reply.status !== 204) throw new Error(`${action} ${service}: ${reply.status} ${reply.text}`);
}

function door(world: World): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${world.ready.control_token}` } };
}
