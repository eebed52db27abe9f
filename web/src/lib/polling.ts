// How often a page asks. Pure: the one place that decides it.

/** While an operation is under way, at rest, while somebody is there who looks at a live machine; in milliseconds. */
export const MOVING = 1_500;
export const AT_REST = 30_000;
export const LIVE = 10_000;
/** An answer that takes longer is missed: until it comes, nothing is known. */
export const SLOW = 3_000;
/** For what comes along with something livelier. */
export const BESIDE = 60_000;
/** At most, after failures. */
const MOST = 60_000;

export interface Situation {
  /** Something was asked for and is not seen yet. */
  moving: boolean;
  /** Failures in a row. */
  failures: number;
  /** Somebody is at the page. */
  attended: boolean;
}

/** Milliseconds until the next request. Hidden tabs do not ask at all; the query client sees to that. */
export function pollAfter({ moving, failures, attended }: Situation, rest = AT_REST): number {
  const usual = moving ? MOVING : attended ? rest : Math.max(rest, AT_REST);
  return failures === 0 ? usual : Math.min(MOST, Math.max(usual, 2_000) * 2 ** Math.min(failures, 6));
}
