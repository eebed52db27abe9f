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

/** What the last question that was answered, or not, says of the connection. */
queryClient.getQueryCache().subscribe((event) => {
  if (event.type !== "updated" || !navigator.onLine) return;
  // What an MCP server answers, or not, says nothing of ours.
  if (event.query.queryKey[0] === MCP_TOOLS) return;
  if (event.action.type === "success") set("live");
  // An error that the server answered is an answer.
  if (event.action.type === "error") set(toApiError(event.action.error).status === null ? "silent" : "live");
});

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, () => current);
}
