import { toolHistoryQuery } from "@/api/history.ts";
import { useSession } from "@/app/session.ts";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { EventList } from "@/components/event-list.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { toldOfTool } from "@/lib/events.ts";
import { usePolling } from "@/lib/use-polling.ts";
import { useTool } from "./layout.tsx";

export function ToolActivityTab() {
  const { instanceId, tool } = useTool();
  const { session } = useSession();
  const history = usePolling(toolHistoryQuery(instanceId));
  if (history.data === undefined) {
    return history.isError
      ? <ErrorPanel error={history.error} title="The history could not be read" retry={() => void history.refetch()} />
      : <Skeleton className="h-40 w-full" />;
  }
  const name = tool.data?.tool_instance.instance_name_on_toolbox;
  const told = history.data.map((event) => toldOfTool(event, name, session?.user.id ?? null));
  return (
    <div className="grid gap-4">
      {history.isError && (
        <ErrorPanel
          error={history.error}
          title="What is shown may be old"
          retry={() => void history.refetch()}
        />
      )}
      {told.length === 0
        ? <Empty title="Nothing has happened yet">What is done with this tool is kept here: who, what, and why.</Empty>
        : <EventList events={told} />}
    </div>
  );
}
