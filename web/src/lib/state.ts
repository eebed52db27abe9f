// What is shown of something that was observed, and for how long it may be shown. Pure: the one place that decides it.

/** ok: observed and good. moving: asked for, not yet seen. off: wished so. unknown: nobody knows now. */
export type Tone = "ok" | "moving" | "warn" | "bad" | "off" | "unknown";

/** Something that was observed at a moment of this browser's clock. */
export interface Observed {
  word: string;
  tone: Tone;
  /** When it was last seen to be so, in milliseconds since 1970; null if nobody ever saw it. */
  asOf: number | null;
  /** For how many seconds that counts. Null for what does not wear out: what somebody decided or asked for. */
  goodFor: number | null;
  /** Why it is so, in a sentence. */
  evidence?: string | null;
}

export interface Shown {
  word: string;
  tone: Tone;
  ageSeconds: number | null;
  /** What it was before it became too old to be believed. */
  last: string | null;
}

/** What may be said at `now`: what is older than it is good for is unknown, whatever it was. */
export function shown(observed: Observed, now: number): Shown {
  const { word, tone, asOf, goodFor } = observed;
  // A clock that was set back does not make an observation come from the future.
  const ageSeconds = asOf === null ? null : Math.max(0, (now - asOf) / 1000);
  if (goodFor === null || tone === "unknown") return { word, tone, ageSeconds, last: null };
  if (asOf === null || ageSeconds === null) return { word: "Unknown", tone: "unknown", ageSeconds, last: null };
  if (ageSeconds > goodFor) return { word: `Unknown since ${clock(asOf)}`, tone: "unknown", ageSeconds, last: word };
  return { word, tone, ageSeconds, last: null };
}

/** "12:04", with the date if it is not of today. */
export function clock(moment: number): string {
  const date = new Date(moment);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const today = new Date().toDateString() === date.toDateString();
  return today ? time : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/** "just now", "8 s ago". */
export function ago(seconds: number): string {
  return seconds < 1 ? "just now" : `${duration(seconds)} ago`;
}

/** "8 s", "4 min", "3 h", "2 d". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}
