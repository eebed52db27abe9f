import { LogView } from "@/components/log-view.tsx";
import { useLines } from "@/lib/use-lines.ts";

const asText = (text: string) => ({ text });

export function AgentLog({ toolboxId }: { toolboxId: string }) {
  const route = `toolbox-dtma-console/${toolboxId}/logs?follow=true`;
  const lines = useLines(`${route}&tail=500`, `${route}&tail=1`, asText);
  return <LogView of={lines} name="Log of the agent" />;
}
