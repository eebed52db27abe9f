import { LogView } from "@/components/log-view.tsx";
import { useLines } from "@/lib/use-lines.ts";

export function AgentLog({ toolboxId }: { toolboxId: string }) {
  const route = `toolbox-dtma-console/${toolboxId}/logs?follow=true`;
  const lines = useLines(`${route}&tail=500`, `${route}&tail=0`, readable);
  return <LogView of={lines} name="Log of the agent" />;
}

/** The agent writes JSON; what people look for comes first. A line that is none stays as it is. */
function readable(text: string): { text: string; stream?: "stderr" } {
  let line: Record<string, unknown>;
  try {
    line = JSON.parse(text);
  } catch {
    return { text };
  }
  const { timestamp, level, message, target: _, ...rest } = line;
  if (typeof message !== "string" || typeof timestamp !== "string") return { text };
  const fields = Object.entries(rest).map(([name, value]) =>
    `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`
  );
  const time = timestamp.slice(0, 19).replace("T", " ");
  const worse = level === "ERROR" || level === "WARN";
  return { text: [time, level, message, ...fields].join("  "), ...(worse ? { stream: "stderr" } : {}) };
}
