// What an update changes, and how tools differ from those that were accepted, field by field. Pure.

import type { components } from "../api/generated/toolbox-tools.ts";
import { bytesInWords } from "./bytes.ts";
import type { ConfigOverride } from "./deployment.ts";
import { transportInWords } from "./catalog.ts";
import type { Tool } from "./states.ts";

export type ToolVersion = components["schemas"]["ToolVersion"];

export interface Change {
  field: string;
  /** Null where nobody can read what it is now. */
  before: string | null;
  after: string;
}

/** What is sent of a list is all that there is of it afterwards. */
const ALL = ", all of them";

const list = (values: readonly string[]) => (values.length === 0 ? "none" : values.join("\n"));

/** Values of variables and headers are secrets: only their names are told. */
export function changesOf(tool: Tool, sent: ConfigOverride): Change[] {
  const changes: Change[] = [];
  const add = (field: string, before: string | null, after: string) => {
    if (before !== after) changes.push({ field, before, after });
  };
  if (sent.dockerImage) add("Image", tool.image, sent.dockerImage);
  if (sent.transport) add("Spoken to by", transportInWords(tool.transport), transportInWords(sent.transport));
  if (sent.endpointPath) add("Path of the endpoint", tool.endpoint_path ?? null, sent.endpointPath);
  for (const [what, map] of [["Variable", sent.environmentVariables], ["Header", sent.upstreamHeaders]] as const) {
    for (const [name, value] of Object.entries(map ?? {})) {
      changes.push({ field: `${what} ${name}`, before: null, after: value === null ? "removed" : "a new value" });
    }
  }
  for (const [name, value] of Object.entries(sent.resources ?? {})) {
    if (value !== null && value !== undefined) {
      changes.push({ field: `Limit of ${name}`, before: null, after: String(value) });
    }
  }
  if (sent.portMappings) {
    add(
      `Ports${ALL}`,
      list(tool.ports.map((port) => `${port.container_port} as ${port.host_port}`)),
      list(sent.portMappings.map(({ containerPort, hostPort }) => `${containerPort} as ${hostPort ?? "any"}`)),
    );
  }
  if (sent.volumes) add(`Volumes${ALL}`, null, list(sent.volumes.map(({ name, path }) => `${name} at ${path}`)));
  const rest: [string, string[] | null | undefined][] = [
    ["Command", sent.command],
    ["Entry point", sent.entrypoint],
    [`Capabilities${ALL}`, sent.capabilities],
    [`Networks${ALL}`, sent.networks],
    [`Ports of the machine${ALL}`, sent.hostAccess],
  ];
  for (const [field, values] of rest) if (values) add(field, null, list(values));
  if (sent.user) add("User", null, sent.user);
  if (sent.callTimeoutSeconds) add("Time for a call", null, `${sent.callTimeoutSeconds} s`);
  if (sent.startTimeoutSeconds) add("Time to start", null, `${sent.startTimeoutSeconds} s`);
  if (sent.idleMinutes !== null && sent.idleMinutes !== undefined) {
    add("Stopped when unused", null, sent.idleMinutes === 0 ? "never" : `for ${sent.idleMinutes} min`);
  }
  if (sent.statelessProtocol) add("Stateless revision first", null, "yes");
  return changes;
}

const WORDS: Record<string, string> = {
  capabilities: "Capabilities",
  callTimeoutSeconds: "Time for a call",
  command: "Command",
  endpointPath: "Path of the endpoint",
  entrypoint: "Entry point",
  hostAccess: "Ports of the machine",
  networks: "Networks",
  portMappings: "Ports",
  startTimeoutSeconds: "Time to start",
  statelessProtocol: "Stateless revision first",
  stdinOpen: "Standard input open",
  transport: "Spoken to by",
  user: "User",
  volumes: "Volumes",
};

/** What a rollback changes of what is asked for now. */
export function changesBack(version: ToolVersion, current: ToolVersion): Change[] {
  const changes = version.differences.filter(({ field }) => field !== "dockerImage").map((each): Change => ({
    field: nameOf(each.field),
    before: each.change === "removed" ? NONE : each.hidden ? null : valueOf(each.field, each.now),
    after: each.change === "added" ? NONE : each.hidden ? "the one of that version" : valueOf(each.field, each.then),
  }));
  if (version.rollback_image !== current.image) {
    changes.unshift({ field: "Image", before: current.image, after: version.rollback_image });
  }
  return changes.length > 0 ? changes : [{ field: "Settings", before: "as they are", after: "the same" }];
}

const NONE = "none";

function nameOf(field: string): string {
  const [group = "", ...rest] = field.split(".");
  const own = rest.join(".");
  if (group === "environmentVariables") return `Variable ${own}`;
  if (group === "upstreamHeaders") return `Header ${own}`;
  if (group === "resources") return `Limit of ${own}`;
  return WORDS[field] ?? field;
}

function valueOf(field: string, value: unknown): string {
  if (Array.isArray(value)) return list(value.map(itemOf));
  if (typeof value === "number" && ["resources.memory", "resources.disk"].includes(field)) return bytesInWords(value);
  if (field === "transport") return transportInWords(String(value));
  return value === true ? "yes" : value === null || value === undefined ? NONE : String(value);
}

/** A port, a volume, or what is a text already. */
function itemOf(item: unknown): string {
  if (typeof item !== "object" || item === null) return String(item);
  const { container_port, protocol, host_port, name, path } = item as Record<string, unknown>;
  return container_port === undefined
    ? `${String(name)} at ${String(path)}`
    : `${String(container_port)}/${String(protocol)} as ${String(host_port ?? "any")}`;
}

/** What counts of a tool's definition, and how it is called here. */
const PARTS = [
  ["title", "Title"],
  ["description", "Description"],
  ["inputSchema", "What it takes"],
  ["outputSchema", "What it answers"],
  ["annotations", "What it says of itself"],
] as const;

/** As somebody has to see it who judges it: what has no look of its own is written out. */
export function inPlainSight(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return text.replaceAll(
    /[\p{C}\p{Default_Ignorable_Code_Point}\u2028\u2029\u2800]/gu,
    (char) => char === "\n" ? char : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** What differs in the definition of a tool; of a tool that is new or gone, all of it. */
export function changesOfTool(before: Record<string, unknown>, after: Record<string, unknown>): Change[] {
  const text = (value: unknown) => (value === undefined || value === null ? "none" : inPlainSight(value));
  return PARTS.map(([key, field]) => ({ field, before: text(before[key]), after: text(after[key]) }))
    .filter(({ before, after }) => before !== after);
}
