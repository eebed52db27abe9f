/** How each fault is done to the world, and how it ends. */
import { eventually, sleep } from "../e2e/lib/mod.ts";
import type { Fault } from "./plan.ts";
import { Random } from "./random.ts";
import { instanceOf } from "./truth.ts";
import type { ChaosWorld } from "./world.ts";

/**
 * Does one fault and resolves when it is over and what it broke answers again. Two faults of one kind never overlap:
 * the second waits for the first.
 */
export async function inflict(world: ChaosWorld, fault: Fault, random: Random): Promise<void> {
  const before = world.busy.get(fault.kind) ?? Promise.resolve();
  const done = before.catch(() => {}).then(() => act(world, fault, random));
  world.busy.set(fault.kind, done);
  await done;
}

async function act(world: ChaosWorld, fault: Fault, random: Random): Promise<void> {
  const { droplet, stack } = world;
  switch (fault.kind) {
    case "kill-agent":
      return await droplet.killAgent(fault.downMs);
    case "restart-dockerd":
      await droplet.stopDocker(fault.signal);
      await sleep(fault.downMs);
      return await droplet.startDocker();
    case "by-hand":
      return await byHand(world, fault);
    case "cut-network": {
      const mend = await droplet.cut(fault.direction);
      await sleep(fault.ms);
      return await mend();
    }
    case "restart-postgres":
      if (fault.signal === "SIGINT") return await stack.control("restart", "postgres");
      return await killed(world, "postgres");
    case "kill-postgrest":
      return await killed(world, "postgrest");
    case "kill-function":
      return await killed(world, fault.name);
    case "jump-clock":
      await droplet.setClock(fault.seconds);
      await sleep(fault.ms);
      return await droplet.setClock(0);
    case "fill-disk":
      await droplet.fillDisk();
      await sleep(fault.ms);
      return await droplet.emptyDisk();
    case "disturb-heartbeats":
      world.proxy.disturb(random);
      await sleep(fault.ms);
      return await world.proxy.behave();
  }
}

/** A person at the machine. Docker may be down, or the container gone already. */
async function byHand(world: ChaosWorld, { slot, verb }: Extract<Fault, { kind: "by-hand" }>): Promise<void> {
  const id = world.slots[slot].id;
  if (id === undefined) return;
  const containers = await world.droplet.containers().catch(() => []);
  const own = containers.find((container) => instanceOf(container) === id);
  if (!own) return;
  const command = {
    stop: ["stop", "--time", "1", own.Id],
    kill: ["kill", own.Id],
    rm: ["rm", "--force", own.Id],
    pause: ["pause", own.Id],
  }[verb];
  await world.droplet.docker(...command).catch(() => {});
}

/** SIGKILL; the stack starts the service again, and this waits until it serves. */
async function killed(world: ChaosWorld, service: string): Promise<void> {
  const { pid } = (await world.stack.state())[service];
  if (pid !== null) {
    try {
      Deno.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  await eventually(`${service} serves again`, async () => {
    const now = (await world.stack.state())[service];
    return now.ready && now.pid !== pid ? true : undefined;
  }, { ms: 60_000, everyMs: 50 });
}
