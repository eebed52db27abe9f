import { useSyncExternalStore } from "react";
import { toApiError } from "@/api/error.ts";
import { MCP_TOOLS } from "@/api/mcp.ts";
import { queryClient } from "@/lib/query-client.ts";

export interface Connection {
  state: "live" | "offline" | "silent";
  /** Since when it is so, in milliseconds of this browser's clock. */
  since: number;
}

let current: Connection = { state: navigator.onLine ? "live" : "offline", since: Date.now() };
const listeners = new Set<() => void>();

function set(state: Connection["state"]): void {
  if (state === current.state) return;
  current = { state, since: Date.now() };
  for (const listener of listeners) listener();
}

addEventListener("online", () => {
  set("live");
  void queryClient.refetchQueries({ type: "active" });
});
addEventListener("offline", () => set("offline"));

/** Whether a question of this page was not answered when it was asked last. An error that the server answered is an answer. */
function isMissed(): boolean {
  return queryClient.getQueryCache().findAll({ type: "active" }).some(({ queryKey, state }) =>
    // What an MCP server answers, or not, says nothing of ours.
    queryKey[0] !== MCP_TOOLS && state.status === "error" && toApiError(state.error).status === null
  );
}

queryClient.getQueryCache().subscribe((event) => {
  const tells = event.type === "observerRemoved" ||
    (event.type === "updated" && (event.action.type === "success" || event.action.type === "error"));
  if (tells && navigator.onLine) set(isMissed() ? "silent" : "live");
});

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, () => current);
}
