// What happened, in words: who, what, from what to what, and why. Pure.

import type { ToolboxEvent, ToolEvent } from "../api/queries.ts";

export interface Told {
  key: string;
  at: string;
  who: string;
  what: string;
  why: string | null;
  bad: boolean;
  request: string | null;
  /** A look at a machine that changes nothing, as a page that is open repeats it: of which machine, whose, by what, with which result. */
  look: string | null;
}

/** Events that are one line of a list: the newest of them, how many there are, and when the oldest was. */
export interface Line extends Told {
  count: number;
  since: string;
}

const WHO: Record<string, string> = {
  operator: "Operator",
  agent: "Agent",
  control_plane: "Control plane",
  database: "Control plane",
};

/** Whoever did it, as `me` reads it. */
export function who(kind: string, actor: string | null, me: string | null): string {
  if (kind === "user") return actor !== null && actor === me ? "You" : "A user";
  return WHO[kind] ?? kind;
}

const words = (code: string) => code.replaceAll("_", " ");
/** What is asked by SSH to see how a machine is. */
const LOOKS = new Set<unknown>(["agent-status", "host-health"]);
const WELL = new Set(["succeeded", "accepted", "begun"]);

export function toldOfToolbox(
  event: ToolboxEvent & { account_tool_environment_id?: string },
  me: string | null,
): Told {
  const detail = Object.entries(event.detail).filter(([, value]) => typeof value !== "object")
    .map(([name, value]) => `${words(name)} ${String(value)}`).join(", ");
  const { operation } = event.detail as { operation?: unknown };
  const isLook = event.kind === "ssh_command" && LOOKS.has(operation);
  return {
    key: `toolbox-${event.id}`,
    at: event.occurred_at,
    who: who(event.actor_kind, event.actor_id, me),
    what: isLook
      ? `looked by SSH how the machine is (${words(event.result)})`
      : `${words(event.kind)} (${words(event.result)})`,
    why: detail === "" ? null : detail,
    bad: !WELL.has(event.result),
    request: event.request_id,
    look: isLook
      ? [event.account_tool_environment_id, event.actor_kind, event.actor_id, operation, event.result].join(" ")
      : null,
  };
}

export function toldOfTool(event: ToolEvent, name: string | undefined, me: string | null): Told {
  const { from_status: from, to_status: to } = event;
  const change = from === to || to === null
    ? ""
    : from === null
    ? `, now ${words(to)}`
    : `, ${words(from)} → ${words(to)}`;
  return {
    key: `tool-${event.id}`,
    at: event.occurred_at,
    who: who(event.actor_kind, event.actor_id, me),
    what: `${name ?? `tool ${event.tool_instance_id.slice(0, 8)}`}: ${words(event.action)}${change}`,
    why: event.reason,
    bad: to === "error",
    request: event.request_id,
    look: null,
  };
}

/** Both histories in one, the newest first. */
export function eventsOf(
  history: { toolbox: ToolboxEvent[]; tools: ToolEvent[] },
  names: Map<string, string>,
  me: string | null,
): Told[] {
  const told = [
    ...history.toolbox.map((event) => toldOfToolbox(event, me)),
    ...history.tools.map((event) => toldOfTool(event, names.get(event.tool_instance_id), me)),
  ];
  return told.toSorted((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
}

/** Looks that follow each other are one line, which says how many they are; whatever else happened is a line of its own. */
export function linesOf(events: Told[]): Line[] {
  const lines: Line[] = [];
  for (const event of events) {
    const last = lines.at(-1);
    if (last && event.look !== null && last.look === event.look) {
      last.count++;
      last.since = event.at;
      // The first one's, so that the line stays the same when another look comes.
      last.key = event.key;
    } else lines.push({ ...event, count: 1, since: event.at });
  }
  return lines;
}
