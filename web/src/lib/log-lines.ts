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

/** A line as it is shown: one that was looked for, one near it, or that lines are left out. */
export interface ShownLine extends Line {
  role?: "near" | "left-out";
}

/** Lines on each side of one that was found. */
const AROUND = 2;
/** Numbers from here on downwards are of what stands for lines that are left out. */
const LEFT_OUT = -1000;

/** Finds text wherever it stands, in capitals or not; null for no text. */
export function finder(text: string): RegExp | null {
  return text === "" ? null : new RegExp(text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "i");
}

/** The lines that have what is looked for, with those around them, and how many have it. */
export function find(lines: Line[], wanted: RegExp | null): { shown: ShownLine[]; count: number } {
  if (wanted === null) return { shown: lines, count: lines.length };
  const shown: ShownLine[] = [];
  let count = 0;
  let next = 0;
  lines.forEach((line, at) => {
    if (line.mark || !wanted.test(line.text)) return;
    count++;
    // The one before may have shown this one as near.
    if (at < next) shown.length -= next - at;
    const from = Math.max(Math.min(next, at), at - AROUND);
    if (from > next) {
      const text = `${(from - next).toLocaleString()} ${from - next === 1 ? "line" : "lines"} left out`;
      shown.push({ number: LEFT_OUT - line.number, text, role: "left-out" });
    }
    next = Math.min(lines.length, at + AROUND + 1);
    lines.slice(from, next).forEach((near, index) =>
      shown.push(from + index === at ? near : { ...near, role: "near" })
    );
  });
  return { shown, count };
}

/** Where the first line stands that is not older than a moment; lines are in the order of their times. */
export function firstSince(lines: Line[], moment: number): number {
  let [from, to] = [0, lines.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    let timed = middle;
    while (timed < to && !lines[timed]?.time) timed++;
    const time = timed < to ? lines[timed]?.time : null;
    if (time && Date.parse(time) < moment) from = timed + 1;
    else to = middle;
  }
  return from;
}
