// How an MCP server was used, by day: what the rows of the API make together. Pure.

import type { components } from "../api/generated/toolbox-tools.ts";

export type Usage = components["schemas"]["McpUsage"];

/** The API gives no more rows than this, the newest. */
export const MOST_ROWS = 1000;

export interface Day {
  /** When it begins in UTC, in seconds since 1970. */
  at: number;
  calls: number;
  errors: number;
}

const DAY = 86_400;

/** Each of the last days until `now` (in milliseconds), also those without a call. */
export function byDay(usage: Usage[], days: number, now: number): Day[] {
  const today = Math.floor(now / 1000 / DAY) * DAY;
  const list = Array.from({ length: days }, (_, index): Day => ({
    at: today - (days - 1 - index) * DAY,
    calls: 0,
    errors: 0,
  }));
  const of = new Map(list.map((day) => [day.at, day]));
  for (const each of usage) {
    const day = of.get(Date.parse(`${each.day}T00:00:00Z`) / 1000);
    if (day === undefined) continue;
    day.calls += each.calls;
    day.errors += each.errors;
  }
  return list;
}

/** "25 ms", "2.5 s", "5 min", "a day", of the few bounds by which calls are counted. */
export function boundInWords(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  if (ms <= 60_000) return `${ms / 1000} s`;
  return ms < 86_400_000 ? `${ms / 60_000} min` : "a day";
}
