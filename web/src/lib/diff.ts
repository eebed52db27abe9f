// What an update changes, and how tools differ from those that were accepted, field by field. Pure.

import type { ConfigOverride } from "./deployment.ts";
import { transportInWords } from "./catalog.ts";
import type { Tool } from "./states.ts";

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
  if (sent.statelessProtocol) add("Stateless revision first", null, "yes");
  return changes;
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
    /[\p{C}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu,
    (char) => char === "\n" ? char : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** What differs in the definition of a tool; of a tool that is new or gone, all of it. */
export function changesOfTool(before: Record<string, unknown>, after: Record<string, unknown>): Change[] {
  const text = (value: unknown) => (value === undefined || value === null ? "none" : inPlainSight(value));
  return PARTS.map(([key, field]) => ({ field, before: text(before[key]), after: text(after[key]) }))
    .filter(({ before, after }) => before !== after);
}
