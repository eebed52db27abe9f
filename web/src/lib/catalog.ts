// What an entry of the catalog says of itself, in words. Pure.

import { bytesInWords } from "./bytes.ts";
import { type JsonSchema, propertiesOf } from "./schema.ts";

/** What a catalog entry tells the agent; only what the console shows. */
export interface Spec {
  image?: string | null;
  transport?: string | null;
  mcp_path?: string | null;
  idle_minutes?: number | null;
  command?: string[] | null;
  entrypoint?: string[] | null;
  ports?: { container_port: number; protocol?: string }[] | null;
  volumes?: { name: string; path: string }[] | null;
  resources?: { memory_bytes?: number; cpus?: number; pids?: number; disk_bytes?: number } | null;
}

export interface CatalogEntry {
  id: string;
  name: string;
  tool_name: string;
  description: string;
  category: string;
  provider: string | null;
  documentation_url: string | null;
  packaging_type: "docker_image" | "git_source";
  docker_image_url: string | null;
  default_spec: Spec;
  required_config_schema: JsonSchema;
  required_secrets_schema: JsonSchema;
  status: string;
  version: string;
}

/** It names no image of its own: any can be given. */
export function takesAnyImage(entry: CatalogEntry): boolean {
  return entry.docker_image_url === null;
}

export function transportInWords(transport: string | null | undefined): string {
  switch (transport) {
    case "stdio":
      return "standard streams";
    case "streamable-http":
      return "streamable HTTP";
    case "sse":
      return "HTTP with events";
    case null:
    case undefined:
    case "none":
      return "no MCP server";
    default:
      return transport;
  }
}

/** What somebody has to have at hand, and what it takes of the machine. */
export function needsOf(entry: CatalogEntry): string[] {
  const needs: string[] = [];
  for (const schema of [entry.required_secrets_schema, entry.required_config_schema]) {
    for (const { name, required, schema: each } of propertiesOf(schema)) {
      if (required) needs.push(each.title ?? name);
    }
  }
  if ((entry.default_spec.volumes ?? []).length > 0) needs.push("a volume");
  const memory = entry.default_spec.resources?.memory_bytes;
  if (memory) needs.push(`${bytesInWords(memory)} memory`);
  return needs;
}

/** Whether `entry` is meant by every word of `search`. */
export function isMeant(entry: CatalogEntry, search: string): boolean {
  const text = [entry.name, entry.tool_name, entry.provider, entry.description, entry.category, entry.docker_image_url]
    .join(" ").toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** A name for an instance that `taken` has not: "context7", "context7-2". */
export function freeName(wanted: string, taken: ReadonlySet<string>): string {
  if (!taken.has(wanted)) return wanted;
  for (let number = 2;; number++) {
    if (!taken.has(`${wanted}-${number}`)) return `${wanted}-${number}`;
  }
}

/** What is wrong with a name; undefined where nothing is. The server decides; this tells while one types. */
export function wrongName(name: string, taken: ReadonlySet<string>): string | undefined {
  const length = [...name].length;
  if (length === 0) return "Give it a name";
  if (length > 255) return "At most 255 characters";
  if (/\p{Cc}/u.test(name)) return "No control characters";
  if (taken.has(name)) return "A tool of this toolbox has this name already";
  return undefined;
}
