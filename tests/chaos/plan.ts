/** What a schedule does and when: all of it decided by its seed before anything happens. */
import type { Direction } from "./droplet.ts";
import { Random } from "./random.ts";

/** Instances of the world; each slot holds at most one at a time. */
export const SLOTS = 20;
/** Faults begin within this time. */
const WINDOW_MS = 5_000;

/** A fault and its circumstances. Those with `ms` last; the others are over at once. */
export type Fault =
  | { kind: "kill-agent"; downMs: number }
  | { kind: "restart-dockerd"; signal: "SIGTERM" | "SIGKILL"; downMs: number }
  | { kind: "by-hand"; slot: number; verb: "stop" | "kill" | "rm" | "pause" }
  | { kind: "cut-network"; direction: Direction; ms: number }
  | { kind: "restart-postgres"; signal: "SIGINT" | "SIGKILL" }
  | { kind: "kill-postgrest" }
  | { kind: "kill-function"; name: "heartbeat" | "toolbox-tools" }
  | { kind: "jump-clock"; seconds: number; ms: number }
  | { kind: "fill-disk"; ms: number }
  | { kind: "disturb-heartbeats"; ms: number };

export type Verb = "deploy" | "start" | "stop" | "restart" | "update" | "delete";

/** Something that happens `at` milliseconds after the schedule's start. */
export interface Planned<T> {
  at: number;
  what: T;
}

export interface Command {
  slot: number;
  /** What to do to the slot's instance; an empty slot is deployed to instead. */
  verb: Verb;
  /** `Prefer: wait=`; 0 asks for no wait. */
  wait: number;
  /** Which of the two images a deploy or an update names. */
  image: 0 | 1;
}

export interface Plan {
  seed: number;
  faults: Planned<Fault>[];
  commands: Planned<Command>[];
}

/** The plan of a seed. */
export function plan(seed: number): Plan {
  const random = new Random(seed);
  const faults = Array.from({ length: random.int(3, 6) }, () => ({
    at: random.int(0, WINDOW_MS),
    what: fault(random),
  }));
  const commands = Array.from({ length: random.int(12, 24) }, () => ({
    at: random.int(0, WINDOW_MS + 1_000),
    what: command(random),
  }));
  const byTime = (a: Planned<unknown>, b: Planned<unknown>) => a.at - b.at;
  return { seed, faults: faults.sort(byTime), commands: commands.sort(byTime) };
}

function fault(random: Random): Fault {
  const kind = random.weighted<Fault["kind"]>({
    "kill-agent": 3,
    "restart-dockerd": 2,
    "by-hand": 5,
    "cut-network": 3,
    "restart-postgres": 1,
    "kill-postgrest": 1,
    "kill-function": 1,
    "jump-clock": 2,
    "fill-disk": 2,
    "disturb-heartbeats": 3,
  });
  const ms = random.int(500, 5_000);
  switch (kind) {
    case "kill-agent":
      return { kind, downMs: random.int(0, 2_000) };
    case "restart-dockerd":
      return { kind, signal: random.pick(["SIGTERM", "SIGKILL"]), downMs: random.int(0, 1_000) };
    case "by-hand":
      return { kind, slot: random.int(0, SLOTS - 1), verb: random.pick(["stop", "kill", "rm", "pause"]) };
    case "cut-network":
      return { kind, direction: random.pick(["in", "out", "both"]), ms };
    case "restart-postgres":
      return { kind, signal: random.pick(["SIGINT", "SIGKILL"]) };
    case "kill-postgrest":
      return { kind };
    case "kill-function":
      return { kind, name: random.pick(["heartbeat", "toolbox-tools"]) };
    case "jump-clock":
      return { kind, seconds: random.pick([-86_400, -3_600, -90, 90, 3_600, 86_400]), ms };
    case "fill-disk":
      return { kind, ms };
    case "disturb-heartbeats":
      return { kind, ms };
  }
}

function command(random: Random): Command {
  const verb = random.weighted<Verb>({ deploy: 2, start: 4, stop: 4, restart: 3, update: 3, delete: 3 });
  return { slot: random.int(0, SLOTS - 1), verb, wait: random.pick([0, 0, 3]), image: random.pick<0 | 1>([0, 1]) };
}

/** The plan in words, for the report of a failure. */
export function describePlan({ seed, faults, commands }: Plan): string {
  const line = ({ at, what }: Planned<object>) => `  ${String(at).padStart(5)} ms  ${JSON.stringify(what)}`;
  return [`seed ${seed}`, ...faults.map(line), ...commands.map(line)].join("\n");
}
