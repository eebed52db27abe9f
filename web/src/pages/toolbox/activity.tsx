import { Link, useParams, useSearch } from "@tanstack/react-router";
import { Copy } from "@/components/copy.tsx";
import { Age } from "@/components/age.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { AgentLog } from "./agent-log.tsx";
import { Card, Skeleton } from "@/components/ui/card.tsx";
import { historyQuery, toolRowsQuery } from "@/api/queries.ts";
import { eventsOf, type Told } from "@/lib/events.ts";
import { fromServer } from "@/lib/server-time.ts";
import { usePolling } from "@/lib/use-polling.ts";
import { useSession } from "@/app/session.ts";
import { cn } from "@/lib/utils.ts";

export function ActivityTab() {
  const { toolboxId } = useParams({ from: "/signed-in/toolboxes/$toolboxId" });
  const { show = "events" } = useSearch({ from: "/signed-in/toolboxes/$toolboxId/activity" });
  return (
    <div className="grid gap-4">
      <nav aria-label="What is shown" className="flex gap-1">
        {([["events", "Events"], ["log", "Agent's log"]] as const).map(([each, label]) => (
          <Link
            key={each}
            to="/toolboxes/$toolboxId/activity"
            params={{ toolboxId }}
            search={each === "log" ? { show: "log" } : {}}
            aria-current={show === each ? "page" : undefined}
            className={cn(
              "rounded-md px-2.5 py-1 text-[13px]",
              show === each ? "bg-muted font-medium" : "text-ink-2 hover:text-ink",
            )}
          >
            {label}
          </Link>
        ))}
      </nav>
      {show === "events" ? <Events toolboxId={toolboxId} /> : <AgentLog toolboxId={toolboxId} />}
    </div>
  );
}

function Events({ toolboxId }: { toolboxId: string }) {
  const history = usePolling(historyQuery(toolboxId));
  const tools = usePolling(toolRowsQuery());
  const { session } = useSession();
  if (history.data === undefined) {
    return history.isError
      ? <ErrorPanel error={history.error} title="The history could not be read" retry={() => void history.refetch()} />
      : <Skeleton className="h-40 w-full" />;
  }
  const names = new Map((tools.data ?? []).map((tool) => [tool.id, tool.instance_name_on_toolbox]));
  const told = eventsOf(history.data, names, session?.user.id ?? null);
  return (
    <>
      {history.isError && (
        <ErrorPanel
          error={history.error}
          title="What is shown may be old"
          retry={() => void history.refetch()}
        />
      )}
      {told.length === 0
        ? (
          <Empty title="Nothing has happened yet">
            What is done with this toolbox and its tools is kept here: who, what, and why.
          </Empty>
        )
        : (
          <Card>
            <ul className="divide-y divide-line">{told.map((event) => <Event key={event.key} of={event} />)}</ul>
          </Card>
        )}
    </>
  );
}

function Event({ of }: { of: Told }) {
  return (
    <li className="grid gap-x-4 gap-y-0.5 px-3 py-2 text-[13px] md:grid-cols-[6rem_7rem_1fr_auto]">
      <span className="text-ink-3">
        <Age at={fromServer(of.at)} />
      </span>
      <span className="text-ink-2">{of.who}</span>
      <span className="min-w-0 break-words">
        {of.what}
        {of.why && <span className={of.bad ? "text-bad" : "text-ink-2"}>: {of.why}</span>}
      </span>
      {of.request && (
        <span className="hidden md:inline">
          <Copy text={of.request} label={of.request.slice(0, 8)} what="the request id" />
        </span>
      )}
    </li>
  );
}
