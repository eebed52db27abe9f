// Lines of logs. They are text of others, of any form. Pure.

export interface Line {
  /** Counts up, so that a line keeps its place on the screen. */
  number: number;
  text: string;
  stream?: "stdout" | "stderr";
  /** RFC 3339 in UTC with nine digits of a second, so that texts compare as times do. */
  time?: string | null;
  /** Not of the log itself: says that the stream was begun again, so lines may be missing here. */
  mark?: boolean;
}

/** Whether a line is new to somebody who has all up to `time`. One without a time may be. */
export function isAfter(line: Pick<Line, "time">, time: string | null): boolean {
  return time === null || typeof line.time !== "string" || line.time > time;
}

/** What a line says that is a JSON object, with its level in front; null where it says nothing in words. */
export function saidBy(object: Record<string, unknown>): string | null {
  const said = object.msg ?? object.message ?? object.event;
  if (typeof said !== "string") return null;
  return typeof object.level === "string" ? `${object.level} ${said}` : said;
}
