import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { pinQuery } from "@/api/access.ts";
import { answer, api } from "@/api/client.ts";
import type { components } from "@/api/generated/toolbox-tools.ts";
import { MCP_TOOLS } from "@/api/mcp.ts";
import { Age } from "@/components/age.tsx";
import { ChangeList } from "@/components/change-list.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { type Change, changesOfTool, inPlainSight } from "@/lib/diff.ts";
import { fromServer } from "@/lib/server-time.ts";
import { isHeld, pinInWords, type Tool } from "@/lib/states.ts";

type McpPin = components["schemas"]["McpPin"];

/** Whether the tools of a server are pinned; and where they changed since, the difference, and the way to accept it. */
export function ToolPin({ toolboxId, tool }: { toolboxId: string; tool: Tool }) {
  const params = { path: { toolboxId, instance: tool.id } };
  const pin = useQuery(pinQuery(toolboxId, tool));
  const client = useQueryClient();
  const settled = () =>
    Promise.all([
      client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "pin", tool.id] }),
      client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "tools"] }),
      client.invalidateQueries({ queryKey: [MCP_TOOLS, tool.id] }),
    ]);
  const accept = useMutation({
    mutationFn: (fingerprint: string) =>
      answer(api().tools.PUT("/{toolboxId}/tools/{instance}/mcp/pin", { params, body: { fingerprint } })),
    onSettled: settled,
  });
  const unpin = useMutation({
    mutationFn: () => answer(api().tools.DELETE("/{toolboxId}/tools/{instance}/mcp/pin", { params })),
    onSettled: settled,
  });
  // As the agent heard it last.
  const wasHeld = isHeld(tool);
  const pending = tool.mcp_pin_pending;
  if (pin.data === undefined) {
    if (pending) return <PinPending tool={tool} />;
    if (pin.isError) {
      return (
        <ErrorPanel
          error={pin.error}
          title={wasHeld
            ? "The tools changed, and clients are held back. What changed could not be read"
            : "Whether its tools are pinned could not be read"}
          retry={() => void pin.refetch()}
        />
      );
    }
    return wasHeld
      ? (
        <div role="status" className="grid gap-2 text-[13px]">
          <p>The tools changed, and clients are held back. Asking the server what changed…</p>
          <Skeleton className="h-40 w-full" />
        </div>
      )
      : null;
  }
  const { accepted, current_fingerprint: now } = pin.data;
  const error = accept.error ?? unpin.error;
  const { problem } = pin.data;
  // Which tools were to be pinned is known no more, or the server lists others since.
  const lost = pending && !!now && !!problem;
  const held = lost || !!accepted && (now ? accepted.fingerprint !== now : wasHeld);
  const off = (accepted || pending) && (
    <Button
      size="sm"
      variant="ghost"
      busy={unpin.isPending && "Unpinning…"}
      onClick={() => unpin.mutate()}
    >
      {pending ? "Do not pin them" : "Unpin"}
    </Button>
  );
  const button = (text: string, variant: "primary" | "secondary") =>
    now && (
      <Button
        size="sm"
        variant={variant}
        busy={accept.isPending && "Asking the server…"}
        onClick={() => accept.mutate(now)}
      >
        {text}
      </Button>
    );
  return (
    <div className="grid gap-2">
      {held
        ? (
          <section
            aria-label="What changed"
            className="grid gap-3 rounded-md border border-warn/50 bg-warn-soft p-3 text-[13px]"
          >
            <p className="text-pretty break-words">
              <span className="font-medium">
                {accepted?.tool_count == null
                  ? "Look at all of its tools."
                  : "The tools changed since you accepted them."}
              </span>{" "}
              {now
                ? "Clients are held back until you accept these. A description is read by models: it may tell them what to do."
                : `Clients are held back. What changed is not known now, because the server could not be asked: ${
                  problem ?? "no reason is known"
                }.`}
            </p>
            {now && problem && <p className="break-words">{problem}.</p>}
            {now && <Difference of={pin.data} />}
            <div className="flex flex-wrap items-center gap-2">
              {!now && (
                <Button
                  size="sm"
                  busy={pin.isFetching && "Asking the server…"}
                  onClick={() => void pin.refetch()}
                >
                  Ask again
                </Button>
              )}
              {button("Accept these tools", "primary")}
              {off}
            </div>
          </section>
        )
        : (
          <div className="flex flex-wrap items-center gap-2 text-[13px] text-ink-2">
            {accepted
              ? (
                <span>
                  Pinned: {accepted.tool_count === null
                    ? "those of its first answer"
                    : `${accepted.tool_count} ${accepted.tool_count === 1 ? "tool" : "tools"}`}
                  , accepted <Age at={fromServer(accepted.accepted_at)} />
                </span>
              )
              : pending
              ? <PinPending tool={tool} />
              : <span>Not pinned: whatever the server lists is open to its clients.</span>}
            {accepted || pending ? off : button("Pin these tools", "secondary")}
            {problem && !now && <span className="text-ink-3">It cannot be asked now: {problem}</span>}
          </div>
        )}
      {error && <ErrorPanel error={error} title="Nothing was changed" />}
    </div>
  );
}

/** Its deployment asked for it, and nothing is written down yet. */
export function PinPending({ tool }: { tool: Tool }) {
  return <span role="status" className="text-[13px] text-ink-2">{pinInWords(tool)}</span>;
}

function Difference({ of }: { of: McpPin }) {
  const named = (
    what: string,
    tools: Record<string, unknown>[],
    changes: (tool: Record<string, unknown>) => Change[],
  ) => tools.map((tool) => ({ name: String(tool.name), what, changes: changes(tool) }));
  const all = [
    ...of.changed.map(({ name, before, after }) => ({ name, what: "changed", changes: changesOfTool(before, after) })),
    ...named("added", of.added, (tool) => changesOfTool({}, tool)),
    ...named("removed", of.removed, (tool) => changesOfTool(tool, {})),
  ];
  return (
    <ul className="grid max-h-[60vh] gap-3 overflow-y-auto">
      {all.map(({ name, what, changes }) => (
        <li key={`${what} ${name}`} className="grid gap-1 rounded-md border border-line bg-surface p-3">
          <p>
            <span className="font-mono text-xs font-medium break-all">{inPlainSight(name)}</span>{" "}
            <span className="text-ink-3">{what}</span>
          </p>
          <ChangeList changes={changes} />
        </li>
      ))}
    </ul>
  );
}
