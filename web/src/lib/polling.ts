// How often a page asks. Pure: the one place that decides it.

/** While an operation is under way, at rest, while one looks at a live machine, and at most after failures; in milliseconds. */
export const MOVING = 1_500;
export const AT_REST = 30_000;
export const LIVE = 10_000;
/** An answer that takes longer is missed: until it comes, nothing is known. */
export const SLOW = 3_000;
/** For what comes along with something livelier. */
export const BESIDE = 60_000;
const MOST = 120_000;

export interface Situation {
  /** Something was asked for and is not seen yet. */
  moving: boolean;
  /** Failures in a row. */
  failures: number;
}

/** Milliseconds until the next request. Hidden tabs do not ask at all; the query client sees to that. */
export function pollAfter({ moving, failures }: Situation, rest = AT_REST): number {
  const usual = moving ? MOVING : rest;
  return failures === 0 ? usual : Math.min(MOST, Math.max(usual, 2_000) * 2 ** Math.min(failures, 6));
}
