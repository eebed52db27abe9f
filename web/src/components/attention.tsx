import { Link } from "@tanstack/react-router";
import type { ToolRow } from "@/api/queries.ts";
import { Button } from "@/components/ui/button.tsx";
import { fromServer } from "@/lib/server-time.ts";
import { duration, type Tone } from "@/lib/state.ts";
import type { Toolbox } from "@/lib/states.ts";
import { useNow } from "@/lib/use-now.ts";
import { cn } from "@/lib/utils.ts";

export interface AttentionItem {
  id: string;
  tone: Extract<Tone, "bad" | "warn">;
  text: (now: number) => string;
  action: string;
  to: string;
}

/** What somebody should look at, the worst first; each with the one thing to do about it. */
export function attentionOf(toolboxes: Toolbox[], tools: ToolRow[]): AttentionItem[] {
  const items: AttentionItem[] = [];
  for (const toolbox of toolboxes) {
    const to = `/toolboxes/${toolbox.id}`;
    const silentSince = fromServer(toolbox.last_heartbeat_at ?? toolbox.status_changed_at);
    if (toolbox.status === "unresponsive") {
      items.push({
        id: toolbox.id,
        tone: "bad",
        text: (now) => `${toolbox.name} has been silent for ${duration((now - silentSince) / 1000)}`,
        action: "Diagnose",
        to: `${to}/system`,
      });
    }
    if (toolbox.status === "error_provisioning" || toolbox.status === "error_deprovisioning") {
      const what = toolbox.status === "error_provisioning" ? "made" : "removed";
      const why = toolbox.provisioning_error_message ?? "no reason is known";
      items.push({
        id: toolbox.id,
        tone: "bad",
        text: () => `${toolbox.name} could not be ${what}: ${why}`,
        action: "Look",
        to,
      });
    }
    if (toolbox.progress?.problem) {
      const { problem } = toolbox.progress;
      items.push({ id: toolbox.id, tone: "warn", text: () => `${toolbox.name}: ${problem}`, action: "Look", to });
    }
  }
  const names = new Map(toolboxes.map(({ id, name }) => [id, name]));
  for (const tool of tools) {
    const toolbox = names.get(tool.account_tool_environment_id);
    if (tool.status_on_toolbox !== "error" || toolbox === undefined) continue;
    items.push({
      id: tool.id,
      tone: "bad",
      text: () => `${tool.instance_name_on_toolbox} on ${toolbox}: ${tool.instance_error_message ?? "error"}`,
      action: "Look",
      to: `/toolboxes/${tool.account_tool_environment_id}/tools/${tool.id}`,
    });
  }
  return items;
}

const SHOWN = 5;

export function Attention({ items }: { items: AttentionItem[] }) {
  const now = useNow();
  if (items.length === 0) return null;
  return (
    <section aria-label="Needs attention" className="grid gap-1.5">
      <h2 className="text-sm font-semibold">Needs attention ({items.length})</h2>
      <ul className="divide-y divide-line rounded-md border border-line bg-surface">
        {items.slice(0, SHOWN).map((item) => (
          <li key={item.id} className="flex items-center gap-3 px-3 py-2 text-[13px]">
            <span
              aria-hidden
              className={cn(
                "size-2 shrink-0",
                item.tone === "bad" ? "rounded-[2px] bg-bad" : "rotate-45 rounded-[1px] bg-warn",
              )}
            />
            <span className="line-clamp-2 min-w-0 flex-1 break-words">{item.text(now)}</span>
            <Button asChild size="sm">
              <Link to={item.to}>{item.action}</Link>
            </Button>
          </li>
        ))}
        {items.length > SHOWN && <li className="px-3 py-2 text-xs text-ink-3">and {items.length - SHOWN} more</li>}
      </ul>
    </section>
  );
}
