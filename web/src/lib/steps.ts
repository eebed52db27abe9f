// How far a tool is on its way to be used, from what the agent says of it. Pure.

import { progressInWords, type Tool } from "./states.ts";

export interface Step {
  name: string;
  state: "done" | "now" | "next" | "failed";
  detail: string | null;
}

const FETCH = new Set(["pulling", "building"]);

/** The steps of a deployment or a start; null where nothing is under way. */
export function stepsOf(tool: Tool): Step[] | null {
  const { status_on_toolbox: status, live, mcp } = tool;
  const waking = ["pending_deploy", "deploying", "starting"].includes(status);
  const greeting = status === "running" && mcp?.state === "starting";
  if (!waking && !greeting) return null;
  const phase = live?.phase;
  const isMcp = tool.transport !== null && tool.transport !== undefined && tool.transport !== "none";
  const at = greeting
    ? 3
    : phase === "starting" || phase === "running" || status === "starting"
    ? 2
    : phase !== undefined && (FETCH.has(phase) || phase === "creating")
    ? 1
    : 0;
  const image = phase === "building"
    ? ["Building its image", "Its image is built"]
    : ["Fetching its image", "Its image is there"];
  const names = [
    ["Telling the machine", "The machine has the order"],
    image,
    ["Starting its container", "Its container runs"],
    ...(isMcp ? [["Asking its MCP server for its tools", "Its MCP server answers"]] : []),
  ];
  return names.map(([doing = "", done = ""], index) => ({
    name: index < at ? done : doing,
    state: index < at ? "done" : index === at ? "now" : "next",
    detail: index !== at
      ? null
      : index === 1 && live?.progress
      ? progressInWords(live.progress)
      : index === 3
      ? mcp?.evidence ?? null
      : live?.reason?.message ?? null,
  }));
}
