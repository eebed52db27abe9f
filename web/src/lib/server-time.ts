// The servers' clock, as seen from this browser: ages are right also where this computer's clock is wrong.

let offset: number | null = null;

/** Learns from an answer that came at `receivedAt` and said that the server's clock was at `moment`. */
export function learnServerTime(moment: number | string, receivedAt: number): void {
  const server = typeof moment === "string" ? Date.parse(moment) : moment;
  if (!Number.isFinite(server)) return;
  const seen = receivedAt - server;
  // An answer's way makes the offset look larger, so the smallest is the best; one far away says that a clock was set.
  offset = offset === null || Math.abs(seen - offset) > 60_000 ? seen : Math.min(offset, seen);
}

/** A moment of the servers, in milliseconds of this browser's clock. */
export function fromServer(moment: string): number;
export function fromServer(moment: string | null | undefined): number | null;
export function fromServer(moment: string | null | undefined): number | null {
  if (moment === null || moment === undefined) return null;
  const parsed = Date.parse(moment);
  return Number.isFinite(parsed) ? parsed + (offset ?? 0) : null;
}
