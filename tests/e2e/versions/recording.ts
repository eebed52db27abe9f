/**
 * What an agent and a control plane of one version of the agent's API said to each other, kept in `api-N.json` beside
 * this file. `record.ts` makes it; versions_test.ts and crates/dtma/tests/it/versions.rs replay it.
 */

// deno-lint-ignore no-explicit-any
export type Json = any;

/** A request and its answer. Bodies are JSON, or null where they are something else, such as a log. */
export interface Exchange {
  method: string;
  /** Without the address; a heartbeat's without the function's name. */
  path: string;
  /** The header Prefer. */
  prefer: string | null;
  request: Json;
  status: number;
  /** The answer's content type. */
  type: string | null;
  answer: Json;
}

/** Exchanges about one instance of one toolbox. */
export interface Part {
  toolbox: string;
  instance: string;
  exchanges: Exchange[];
}

export interface Recording {
  api_version: number;
  /** The control plane asks, the agent answers. */
  commands: Part;
  /** The agent asks, the control plane answers. */
  reports: Part;
}

const folder = new URL(".", import.meta.url).pathname;

export const fileOf = (version: number) => `${folder}api-${version}.json`;

/** All that are kept, the earliest first. */
export async function recordings(): Promise<Recording[]> {
  const found: Recording[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (/^api-\d+\.json$/.test(name)) found.push(JSON.parse(await Deno.readTextFile(folder + name)));
  }
  return found.sort((a, b) => a.api_version - b.api_version);
}

/** A body as it is kept. */
export function parsed(text: string): Json {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** The same with other ids. */
export function renamed<T>(value: T, names: [string, string][]): T {
  let text = JSON.stringify(value);
  for (const [from, to] of names) text = text.replaceAll(from, to);
  return JSON.parse(text);
}

/**
 * What `now` has and `then` lacks, or has as another kind of value, by path. Null is no kind; of a list, its first entry
 * counts.
 */
export function unknown(now: Json, then: Json, path = ""): string[] {
  const kind = (value: Json) => Array.isArray(value) ? "list" : typeof value;
  if (now === null || then === null) return [];
  if (then === undefined || kind(now) !== kind(then)) return [`${path || "/"}: ${JSON.stringify(now)}`];
  if (Array.isArray(now)) return now.length && then.length ? unknown(now[0], then[0], `${path}/0`) : [];
  if (kind(now) !== "object") return [];
  return Object.entries(now).flatMap(([key, value]) => unknown(value, then[key], `${path}/${key}`));
}
