import { Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { toolboxesQuery, type ToolRow, toolRowsQuery } from "@/api/queries.ts";
import { Age } from "@/components/age.tsx";
import { Attention, attentionOf } from "@/components/attention.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { State } from "@/components/state.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Skeleton } from "@/components/ui/card.tsx";
import { perMonth } from "@/lib/money.ts";
import { fromServer } from "@/lib/server-time.ts";
import { shown } from "@/lib/state.ts";
import { isMoving, type Toolbox, toolboxState, toolRowState } from "@/lib/states.ts";
import { useNow } from "@/lib/use-now.ts";
import { usePolling } from "@/lib/use-polling.ts";

export function ToolboxesPage() {
  const toolboxes = usePolling(toolboxesQuery(), (list) => list.some((each) => isMoving(toolboxState(each))));
  const list = toolboxes.data ?? [];
  const moves = list.some((each) => isMoving(toolboxState(each)));
  const tools = usePolling(toolRowsQuery(), (rows) => moves || rows.some((row) => isMoving(toolRowState(row))));
  const create = (
    <Button asChild variant="primary">
      <Link to="/toolboxes/new">
        <Plus aria-hidden /> New toolbox
      </Link>
    </Button>
  );
  return (
    <Page title="Toolboxes" actions={list.length > 0 ? create : undefined}>
      {toolboxes.isError && (
        <ErrorPanel
          error={toolboxes.error}
          title="The toolboxes could not be read"
          retry={() => void toolboxes.refetch()}
        />
      )}
      {tools.isError && (
        <ErrorPanel
          error={tools.error}
          title="The tools could not be read"
          retry={() => void tools.refetch()}
        />
      )}
      {toolboxes.isPending && <Loading />}
      {toolboxes.isSuccess && list.length === 0 && (
        <Empty title="You have no toolbox yet" action={create}>
          A toolbox is a machine that runs your MCP servers: one of your own, or one that we buy for you. Start with
          either.
        </Empty>
      )}
      {list.length > 0 && (
        <>
          <Attention items={attentionOf(list, tools.data ?? [])} />
          <List toolboxes={list} tools={tools.data} readAt={tools.dataUpdatedAt} />
        </>
      )}
    </Page>
  );
}

function Loading() {
  return (
    <Card className="grid gap-4 p-4" role="status" aria-label="Loading">
      {[0, 1, 2].map((row) => <Skeleton key={row} className="w-full" />)}
    </Card>
  );
}

const HEAD = "px-3 py-2 text-left text-xs font-medium text-ink-3";
const CELL = "px-3 py-2.5 align-middle";

/** A table on wide screens, cards on narrow ones; the facts in the same order. */
function List(
  { toolboxes, ...counted }: { toolboxes: Toolbox[]; tools: ToolRow[] | undefined; readAt: number },
) {
  return (
    <Card className="overflow-hidden">
      <table className="hidden w-full text-[13px] md:table">
        <thead className="border-b border-line bg-muted/50">
          <tr>
            <th scope="col" className={HEAD}>Name</th>
            <th scope="col" className={HEAD}>State</th>
            <th scope="col" className={HEAD}>Tools</th>
            <th scope="col" className={HEAD}>Machine</th>
            <th scope="col" className={HEAD}>Agent</th>
            <th scope="col" className={`${HEAD} text-right`}>Cost a month</th>
            <th scope="col" className={`${HEAD} text-right`}>Seen</th>
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {toolboxes.map((toolbox) => (
            <tr key={toolbox.id} className="relative hover:bg-muted/50">
              <th scope="row" className={`${CELL} max-w-64 text-left font-medium`}>
                <Link
                  to="/toolboxes/$toolboxId"
                  params={{ toolboxId: toolbox.id }}
                  className="block truncate after:absolute after:inset-0"
                >
                  {toolbox.name}
                </Link>
              </th>
              <td className={CELL}>
                <State of={toolboxState(toolbox)} age={false} className="relative" />
              </td>
              <td className={CELL}>
                <ToolCount of={toolbox} {...counted} />
              </td>
              <td className={`${CELL} text-ink-2`}>{machineInWords(toolbox)}</td>
              <td className={`${CELL} font-mono text-xs text-ink-2`}>{toolbox.dtma_last_known_version ?? "–"}</td>
              <td className={`${CELL} text-right`}>
                {toolbox.cost ? perMonth(toolbox.cost.per_month_usd) : <span className="text-ink-3">yours</span>}
              </td>
              <td className={`${CELL} text-right text-ink-2`}>
                <Age at={fromServer(toolbox.last_heartbeat_at ?? null)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <ul className="divide-y divide-line md:hidden">
        {toolboxes.map((toolbox) => (
          <li key={toolbox.id} className="relative grid gap-1 p-3 text-[13px]">
            <Link
              to="/toolboxes/$toolboxId"
              params={{ toolboxId: toolbox.id }}
              className="truncate font-medium after:absolute after:inset-0"
            >
              {toolbox.name}
            </Link>
            <State of={toolboxState(toolbox)} className="relative justify-self-start" />
            <ToolCount of={toolbox} {...counted} />
            <p className="text-ink-2">
              {machineInWords(toolbox)}
              {toolbox.dtma_last_known_version && ` · agent ${toolbox.dtma_last_known_version}`}
              {" · "}
              <span>{toolbox.cost ? `${perMonth(toolbox.cost.per_month_usd)} a month` : "yours"}</span>
            </p>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** How much later than the rows of its tools a toolbox may have been heard for these to count, in milliseconds. */
const BEHIND = 3_000;

/** How many tools run, and how many do not though they should, as of when the toolbox was seen. */
function ToolCount({ of, tools, readAt }: { of: Toolbox; tools: ToolRow[] | undefined; readAt: number }) {
  const now = useNow();
  if (tools === undefined) return <Skeleton className="w-10" />;
  const own = tools.filter((tool) => tool.account_tool_environment_id === of.id);
  if (own.length === 0) return <span className="text-ink-3">no tools</span>;
  const running = own.filter((tool) => tool.status_on_toolbox === "running").length;
  const failed = own.filter((tool) => tool.status_on_toolbox === "error").length;
  const silent = of.status !== "active" || shown(toolboxState(of), now).last !== null ||
    readAt < (fromServer(of.last_heartbeat_at) ?? 0) - BEHIND;
  return (
    <span className={silent ? "text-ink-3" : undefined}>
      {silent ? `${own.length}, last known` : `${running} of ${own.length} running`}
      {failed > 0 && <span className="font-medium text-bad">, {failed} in error</span>}
    </span>
  );
}

function machineInWords(toolbox: Toolbox): string {
  if (toolbox.kind === "byo") return toolbox.public_ip_address ? `own · ${toolbox.public_ip_address}` : "own machine";
  return [toolbox.region_slug, toolbox.size_slug].filter((part) => part).join(" · ");
}
