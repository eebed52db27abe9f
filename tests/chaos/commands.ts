/** What the user does meanwhile, and what the answers promise. */
import { GENERIC_CATALOG_ID, type Reply } from "../e2e/lib/mod.ts";
import type { Command } from "./plan.ts";
import type { ChaosWorld } from "./world.ts";

export const IMAGES = ["toolbox/chaos:1", "toolbox/chaos:2"];

/** What a slot holds, as its user remembers it. */
export interface Slot {
  readonly name: string;
  /** The instance; undefined while there is none. */
  id?: string;
  /** What must be desired in the end, as far as the last answers tell; undefined while nobody can know. */
  promised?: "running" | "stopped";
  /** Commands of one slot follow each other. */
  last: Promise<unknown>;
}

export function emptySlots(count: number): Slot[] {
  const name = (at: number) => `slot ${String(at).padStart(2, "0")}`;
  return Array.from({ length: count }, (_, at) => ({ name: name(at), last: Promise.resolve() }));
}

/** Sends one command and remembers what its answer means. Never throws: a lost answer is one of the faults. */
export async function command(world: ChaosWorld, { slot: at, ...what }: Command): Promise<void> {
  const slot = world.slots[at];
  const before = slot.last;
  const run = async () => {
    await before;
    try {
      await send(world, slot, what);
    } catch {
      // No answer at all: whether it was carried out is known at the end.
      slot.promised = undefined;
      world.tally("no answer");
    }
  };
  slot.last = run();
  await slot.last;
}

async function send(world: ChaosWorld, slot: Slot, what: Omit<Command, "slot">): Promise<void> {
  const { tools } = world.owner;
  const { verb, wait } = what;
  const image = IMAGES[what.image];
  const options = { wait, deadlineMs: 60_000 };
  const id = slot.id;
  if (id === undefined) {
    const reply = await tools.deploy(slot.name, { dockerImage: image }, { ...options, catalogId: GENERIC_CATALOG_ID });
    world.tally(`deploy ${reply.status}`);
    // Some failures leave a row that says so, others none; the instance is looked up either way.
    slot.id = reply.json?.instanceId ?? await world.instanceNamed(slot.name);
    slot.promised = accepted(reply) ? "running" : undefined;
    return;
  }
  const reply = await one(tools, id, verb, image, options);
  world.tally(`${verb} ${reply.status}`);
  if (!accepted(reply)) {
    // Refused with certainty, or perhaps carried out: the database says which.
    if (reply.status === 404) slot.id = await world.instanceNamed(slot.name);
    if (reply.status >= 500) slot.promised = undefined;
    return;
  }
  if (verb === "delete") {
    world.deleted.add(id);
    slot.id = undefined;
    slot.promised = undefined;
  } else if (verb !== "update") {
    // An update leaves what is stopped stopped, and runs what is to run.
    slot.promised = verb === "stop" ? "stopped" : "running";
  }
}

function one(
  tools: ChaosWorld["owner"]["tools"],
  id: string,
  verb: Command["verb"],
  image: string,
  options: { wait: number; deadlineMs: number },
): Promise<Reply> {
  switch (verb) {
    case "stop":
      return tools.stop(id, options);
    case "restart":
      return tools.restart(id, options);
    case "update":
      return tools.update(id, { dockerImage: image }, options);
    case "delete":
      return tools.remove(id, options);
    // A slot that is taken has nothing to deploy.
    case "deploy":
    case "start":
      return tools.start(id, options);
  }
}

function accepted(reply: Reply): boolean {
  return reply.status >= 200 && reply.status < 300 && reply.json?.success === true;
}
