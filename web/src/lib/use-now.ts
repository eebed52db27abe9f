import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

/** One clock for all ages on a page: they change together, once a second, and not at all where nobody looks. */
export function useNow(): number {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    timer ??= setInterval(() => {
      if (document.hidden) return;
      now = Date.now();
      for (const each of listeners) each();
    }, 1000);
    now = Date.now();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
    };
  }, () => now);
}
