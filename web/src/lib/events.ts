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
const WELL = new Set(["succeeded", "accepted", "begun"]);

export function toldOfToolbox(event: ToolboxEvent, me: string | null): Told {
  const detail = Object.entries(event.detail).filter(([, value]) => typeof value !== "object")
    .map(([name, value]) => `${words(name)} ${String(value)}`).join(", ");
  return {
    key: `toolbox-${event.id}`,
    at: event.occurred_at,
    who: who(event.actor_kind, event.actor_id, me),
    what: `${words(event.kind)} (${words(event.result)})`,
    why: detail === "" ? null : detail,
    bad: !WELL.has(event.result),
    request: event.request_id,
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
