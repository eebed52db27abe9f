// Whether somebody is at this page. Pages ask machines less often while nobody is, and again at once when somebody comes back.

import { LIVE } from "./polling.ts";
import { queryClient } from "./query-client.ts";

/** How long after a touch somebody is taken to be there, in milliseconds. */
const STAYS = 60_000;

let touched = Date.now();

export function isAttended(): boolean {
  return Date.now() - touched < STAYS;
}

function touch(): void {
  const wasAttended = isAttended();
  touched = Date.now();
  if (wasAttended) return;
  void queryClient.refetchQueries({
    type: "active",
    stale: true,
    predicate: ({ state }) => Date.now() - state.dataUpdatedAt > LIVE,
  });
}

for (const event of ["pointermove", "pointerdown", "keydown", "wheel", "focus"]) {
  addEventListener(event, touch, { capture: true, passive: true });
}
