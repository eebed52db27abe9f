// What the API says of toolboxes, machines and tools, as something observed. Pure: the words of the console are here.

import type { components as Machine } from "../api/generated/toolbox-dtma-console.ts";
import type { components as Tools } from "../api/generated/toolbox-tools.ts";
import type { components as Toolboxes } from "../api/generated/toolboxes-user.ts";
import type { ToolRow } from "../api/queries.ts";
import { bytesInWords } from "./bytes.ts";
import { AT_REST } from "./polling.ts";
import { fromServer } from "./server-time.ts";
import type { Observed, Tone } from "./state.ts";

export type Toolbox = Toolboxes["schemas"]["ToolboxView"];
export type Tool = Tools["schemas"]["ToolInstanceView"];
export type Service = Machine["schemas"]["ServiceCheck"];
export type MachineState = Machine["schemas"]["ConsoleStatus"];
export type ToolList = Tools["schemas"]["ListResponse"];
export type Verdict = Machine["schemas"]["Verdict"];
export type McpHealth = Tools["schemas"]["McpHealth"];

/** A machine is silent after three of its intervals, as the control plane counts; an interval is a minute unless told otherwise. */
const SILENT_AFTER = 180;
/** What was asked of a machine just now counts until the next answer is due, also where nobody is at the page, and is late. */
const LIVE_FOR = AT_REST / 1000 + 10;
/** Whether SSH greets is looked at once a minute, whoever asks. */
const SSH_FOR = 60 + LIVE_FOR;
/** An MCP server that nobody uses is asked every minute. */
const MCP_FOR = 180;
/** What takes longer than this, in milliseconds, waits for somebody, and is not watched by the second. */
const MOVING_FOR = 10 * 60_000;

/** Of the status of a toolbox: in words, and how it is meant. A status that is new to this page is shown as it is. */
const TOOLBOX: Record<string, [string, Tone]> = {
  pending_provision: ["Waiting for its machine", "moving"],
  provisioning: ["Being made", "moving"],
  awaiting_heartbeat: ["Waiting for its agent", "moving"],
  active: ["Active", "ok"],
  unresponsive: ["Silent", "bad"],
  pending_deprovision: ["Being removed", "moving"],
  deprovisioning: ["Being removed", "moving"],
  deprovisioned: ["Removed", "off"],
  error_provisioning: ["Could not be made", "bad"],
  error_deprovisioning: ["Could not be removed", "bad"],
};

/** Whether a machine answered when it was asked just now. */
export interface Reached {
  /** Null while an answer is missed. */
  reachable: boolean | null;
  /** When it was asked, in milliseconds of this browser's clock. */
  at: number;
  evidence: string;
}

/** The newest answer about a machine, of those that its page asks for; `missed` is since when one is late. */
export function reachedBy(
  machine: MachineState | undefined,
  tools: ToolList | undefined,
  missed: number | null,
): Reached | null {
  if (missed !== null) return { reachable: null, at: missed, evidence: "It was asked, and has not answered yet" };
  const answers: Reached[] = [];
  if (machine !== undefined) {
    // The companion or SSH may have answered in its place; without the agent nothing is done to tools.
    const agent = machine.services.find(({ name }) => name === "agent");
    const reachable = machine.connection_status === "connected" && agent?.verdict !== "failed";
    const evidence = agent?.evidence ?? machine.error?.message ?? "It answers";
    answers.push({ reachable, at: fromServer(machine.last_checked), evidence });
  }
  if (tools !== undefined) {
    const { reachable, checked_at, message } = tools.agent;
    answers.push({ reachable, at: fromServer(checked_at), evidence: message ?? "It answers" });
  }
  return answers.toSorted((a, b) => b.at - a.at)[0] ?? null;
}

/** What is said of a toolbox. */
export type ToolboxFacts =
  & Pick<Toolbox, "status" | "kind" | "status_changed_at" | "last_heartbeat_at" | "dtma_last_known_version">
  & Pick<Toolbox, "provisioning_error_message" | "progress">;

/** What a toolbox is; `reached` is what its machine answered just now, where somebody looks at it. */
export function toolboxState(toolbox: ToolboxFacts, reached: Reached | null = null): Observed {
  const [word, tone] = TOOLBOX[toolbox.status] ?? [toolbox.status, "unknown" as Tone];
  const heard = fromServer(toolbox.last_heartbeat_at);
  if (toolbox.progress) {
    const { message, problem, since } = toolbox.progress;
    const moving = tone === "ok" || tone === "moving";
    return {
      word: moving && tone === "ok" ? message : word,
      tone: moving ? "moving" : tone,
      asOf: fromServer(since),
      goodFor: null,
      evidence: problem ?? message,
    };
  }
  if (toolbox.status === "active") {
    if (reached?.reachable === null) {
      return { word: "No answer yet", tone: "unknown", asOf: reached.at, goodFor: null, evidence: reached.evidence };
    }
    if (reached !== null && !reached.reachable && (heard === null || reached.at > heard)) {
      return { word: "Does not answer", tone: "bad", asOf: reached.at, goodFor: LIVE_FOR, evidence: reached.evidence };
    }
    if (reached !== null && reached.reachable && (heard === null || reached.at > heard)) {
      return { word, tone, asOf: reached.at, goodFor: SILENT_AFTER, evidence: reached.evidence };
    }
    const version = toolbox.dtma_last_known_version;
    const who = version ? `agent ${version}` : "its agent";
    return { word, tone, asOf: heard, goodFor: SILENT_AFTER, evidence: `Last heartbeat of ${who}` };
  }
  if (toolbox.status === "unresponsive") {
    return {
      word,
      tone,
      asOf: heard ?? fromServer(toolbox.status_changed_at),
      goodFor: null,
      evidence: "No heartbeat since",
    };
  }
  const evidence = toolbox.status === "awaiting_heartbeat" && toolbox.kind === "byo"
    ? "Run the command on your machine; it has not reported yet"
    : toolbox.provisioning_error_message;
  return { word, tone, asOf: fromServer(toolbox.status_changed_at), goodFor: null, evidence };
}

/** Of the status of a tool. What is asked for is never shown as what is. */
const TOOL: Record<string, [string, Tone]> = {
  pending_deploy: ["Deploy requested…", "moving"],
  deploying: ["Deploying…", "moving"],
  starting: ["Starting…", "moving"],
  running: ["Running", "ok"],
  stopping: ["Stopping…", "moving"],
  stopped: ["Stopped", "off"],
  pending_delete: ["Delete requested…", "moving"],
  deleting: ["Deleting…", "moving"],
  error: ["Error", "bad"],
};

/** What the list and the page of a tool need of it; rows of the table and answers of the function both have it. */
export interface ToolFacts {
  status_on_toolbox: string;
  /** When the agent was last heard to say so. */
  observed_at: string | null;
  /** From when on nothing is known, because its machine is silent. */
  unknown_since: string | null;
  error: { code: string; message: string } | null;
  /** It comes from a question that was just answered by the agent. */
  live: boolean;
  /** False where the page knows that the agent does not answer. */
  heard?: boolean;
  /** What is going on, in words. */
  progress?: string | null;
  /** Why it is stopped although nobody stopped it, and when it starts again. */
  idle?: string | null;
}

export function toolState(tool: ToolFacts): Observed {
  const [word, tone] = TOOL[tool.status_on_toolbox] ?? [tool.status_on_toolbox, "unknown" as Tone];
  const asOf = fromServer(tool.observed_at);
  if (tool.unknown_since !== null) {
    const since = fromServer(tool.unknown_since);
    return { word, tone, asOf: since, goodFor: 0, evidence: "Its machine is silent; this is what was last known" };
  }
  const evidence = tool.error?.message ?? tool.progress ??
    (tool.live ? "Seen by the agent" : "As the agent last reported");
  if (tone === "moving") return { word, tone, asOf, goodFor: null, evidence };
  if (tool.heard === false) return { word, tone, asOf, goodFor: 0, evidence: UNHEARD };
  if (tool.idle) {
    return { word: "Idle", tone: "off", asOf, goodFor: tool.live ? LIVE_FOR : SILENT_AFTER, evidence: tool.idle };
  }
  const named = tool.error?.code === "crash_loop" ? "Crash loop" : word;
  return { word: named, tone, asOf, goodFor: tool.live ? LIVE_FOR : SILENT_AFTER, evidence };
}

const UNHEARD = "The agent does not answer; this is what was last known";

/** A tool as the function tells of it; `heard` is whether its agent answers. */
export function toolFacts(tool: Tool, heard = true): ToolFacts {
  const progress = tool.live?.progress;
  return {
    status_on_toolbox: tool.status_on_toolbox,
    observed_at: tool.state_observed_at ?? null,
    unknown_since: tool.unknown_since ?? null,
    error: tool.error ?? null,
    live: tool.state_source === "live",
    heard,
    progress: progress ? progressInWords(progress) : null,
    idle: isIdle(tool) ? tool.mcp?.evidence ?? null : null,
  };
}

/** Its server was stopped because nobody used it; whoever calls it starts it. */
export function isIdle(tool: Tool): boolean {
  return tool.status_on_toolbox === "stopped" && tool.desired_status === "running" && tool.mcp?.state === "idle";
}

/** A tool as its row tells of it. */
export function toolRowState(row: ToolRow): Observed {
  const { instance_error_code: code, instance_error_message: message } = row;
  return toolState({
    status_on_toolbox: row.status_on_toolbox,
    observed_at: row.last_observed_at,
    unknown_since: null,
    error: code === null ? null : { code, message: message ?? "error" },
    live: false,
  });
}

/** Whether an agent that was asked answers; `missed` is since when an answer is late. An answer counts as long as a state does. */
export function isHeard(agent: ToolList["agent"], missed: number | null, now: number): boolean {
  return agent.reachable && missed === null && now - fromServer(agent.checked_at) < LIVE_FOR * 1000;
}

export function progressInWords(progress: Tools["schemas"]["Progress"]): string {
  const { stage, layers_done, layers_total, current_bytes, total_bytes } = progress;
  const layers = layers_total > 0 ? `, layer ${layers_done} of ${layers_total}` : "";
  const bytes = current_bytes && total_bytes ? `, ${bytesInWords(current_bytes)} of ${bytesInWords(total_bytes)}` : "";
  return `${stage}${layers}${bytes}`;
}

const HELD = "Clients are held back until you have seen what changed and accept it";

const MCP: Record<McpHealth["state"], [string, Tone]> = {
  starting: ["Starting…", "moving"],
  healthy: ["Healthy", "ok"],
  degraded: ["Degraded", "warn"],
  unhealthy: ["Unhealthy", "bad"],
  unreachable: ["Unreachable", "bad"],
  "not-mcp": ["No MCP server", "off"],
  idle: ["Starts with the next call", "off"],
};

/** Its tools are others than those that its owner accepted, so clients are held back. */
export function isHeld(tool: Tool): boolean {
  const listed = tool.mcp?.tools_fingerprint;
  return !!tool.mcp_pinned_fingerprint && !!listed && listed !== tool.mcp_pinned_fingerprint;
}

/** What becomes of tools that its deployment asked to be pinned: the agent holds clients to them before they are written down. */
export function pinInWords({ mcp }: Tool): string {
  return mcp?.tools_fingerprint
    ? "The tools of its first answer are being pinned: no client is let in while it lists others."
    : "Its tools will be pinned at its first answer. Until then no client is let in.";
}

/** What the agent found counts no longer than the agent is `heard`. Of a server that is `held` back, that comes first. */
export function mcpState(mcp: McpHealth, heard = true, held = false): Observed {
  const [word, tone]: [string, Tone] = held ? ["Tools changed", "warn"] : MCP[mcp.state];
  const asOf = fromServer(mcp.checked_at);
  if (!heard) return { word, tone, asOf, goodFor: 0, evidence: UNHEARD };
  return { word, tone, asOf, goodFor: mcp.state === "not-mcp" ? null : MCP_FOR, evidence: held ? HELD : mcp.evidence };
}

const VERDICT: Record<Verdict, [string, Tone]> = {
  ok: ["Healthy", "ok"],
  warning: ["Needs a look", "warn"],
  failed: ["Failed", "bad"],
  not_checked: ["Not checked", "off"],
};

export function verdictState(verdict: Verdict, checkedAt: string | null, evidence?: string | null): Observed {
  const [word, tone] = VERDICT[verdict];
  return { word, tone, asOf: fromServer(checkedAt), goodFor: verdict === "not_checked" ? null : LIVE_FOR, evidence };
}

export function serviceState({ name, verdict, checked_at: checkedAt, evidence }: Service): Observed {
  const state = verdictState(verdict, checkedAt, evidence);
  return name === "ssh" && state.goodFor !== null ? { ...state, goodFor: SSH_FOR } : state;
}

/** What the machine's firewall does, in words. */
export const FIREWALL: Record<Machine["schemas"]["FirewallState"], string> = {
  verified: "Tools cannot reach the machine; it was tried",
  unverified: "Rules are set, but nobody could try them",
  ineffective: "Tools reach the machine: the rules have no effect",
  unavailable: "Tools reach the machine: rules cannot be set",
};

/** It speaks MCP, as it was deployed. */
export function speaksMcp(tool: Tool): boolean {
  return tool.transport !== null && tool.transport !== undefined && tool.transport !== "none";
}

/** Whether a tool is on its way to what was asked for: in Docker, or until its MCP server was asked. */
export function isUnderWay(tool: Tool, now = Date.now()): boolean {
  if (isMoving(toolState(toolFacts(tool)), now)) return true;
  const asked = tool.mcp?.state === "starting" ? fromServer(tool.mcp.checked_at) : null;
  return asked !== null && now - asked < MCP_FOR * 1000;
}

/** Whether somebody asked for something that is not seen yet. */
export function isMoving({ tone, asOf, goodFor }: Observed, now = Date.now()): boolean {
  // What nobody sees any more does not move, nor what waits for somebody.
  return tone === "moving" && goodFor === null && (asOf === null || now - asOf < MOVING_FOR);
}
