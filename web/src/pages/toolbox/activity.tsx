import { Link, useParams, useSearch } from "@tanstack/react-router";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { EventList } from "@/components/event-list.tsx";
import { AgentLog } from "./agent-log.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { historyQuery } from "@/api/history.ts";
import { eventsOf } from "@/lib/events.ts";
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

/** Most events of each kind. */
const MOST = 200;

function Events({ toolboxId }: { toolboxId: string }) {
  const history = usePolling(historyQuery(toolboxId, MOST));
  const { session } = useSession();
  if (history.data === undefined) {
    return history.isError
      ? <ErrorPanel error={history.error} title="The history could not be read" retry={() => void history.refetch()} />
      : <Skeleton className="h-40 w-full" />;
  }
  const told = eventsOf(history.data, history.data.names, session?.user.id ?? null);
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
        : <EventList events={told} />}
      {history.data.toolbox.length >= MOST || history.data.tools.length >= MOST
        ? (
          <p className="text-[13px] text-ink-2">
            The last {MOST} events are shown. Older ones are in{" "}
            <Link to="/activity" search={{ toolbox: toolboxId }} className="underline">Activity</Link>.
          </p>
        )
        : null}
    </>
  );
}
