import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function tick(): void {
  if (document.hidden) return;
  now = Date.now();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    now = Date.now();
    timer = setInterval(tick, 1000);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) clearInterval(timer);
  };
}

const current = () => now;

/** One clock for all ages on a page: they change together, once a second, and not at all where nobody looks. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, current);
}

/** What follows from the time: a page is drawn anew when that changes, and not each second. */
export function useFromNow<T extends string | number | boolean | null>(of: (now: number) => T): T {
  return useSyncExternalStore(subscribe, () => of(now));
}
