import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { wholeHistoryQuery } from "@/api/history.ts";
import { toolboxesQuery, toolRowsQuery } from "@/api/queries.ts";
import { useSession } from "@/app/session.ts";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { EventList } from "@/components/event-list.tsx";
import { Page } from "@/components/page.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { Select } from "@/components/ui/field.tsx";
import { eventsOf } from "@/lib/events.ts";
import { usePolling } from "@/lib/use-polling.ts";

const STEP = 100;
/** Further back one looks in the history of one toolbox or tool. */
const MOST = 1000;

interface Filter {
  toolbox?: string | undefined;
  tool?: string | undefined;
  failed?: true | undefined;
  limit?: number | undefined;
}

export function ActivityPage() {
  const filter: Filter = useSearch({ from: "/signed-in/activity" });
  const { toolbox, tool, failed, limit = STEP } = filter;
  const navigate = useNavigate();
  const { session } = useSession();
  const history = usePolling(wholeHistoryQuery({ toolbox, tool, failed }, limit));
  // For their names alone.
  const toolboxes = useQuery(toolboxesQuery());
  const tools = useQuery(toolRowsQuery());
  const change = (part: Filter) =>
    void navigate({ to: "/activity", search: { ...filter, limit: undefined, ...part }, replace: true });
  const places = new Map((toolboxes.data ?? []).map(({ id, name }) => [id, name]));
  const names = new Map((tools.data ?? []).map(({ id, instance_name_on_toolbox: name }) => [id, name]));
  const known = (tools.data ?? []).filter((each) =>
    toolbox === undefined || each.account_tool_environment_id === toolbox
  );
  const where = new Map([
    ...(history.data?.toolbox ?? []).map((event) =>
      [`toolbox-${event.id}`, event.account_tool_environment_id] as const
    ),
    ...(history.data?.tools ?? []).map((event) => [`tool-${event.id}`, event.account_tool_environment_id] as const),
  ].map(([key, id]) => [
    key,
    <Link
      key={key}
      to="/toolboxes/$toolboxId"
      params={{ toolboxId: id }}
      className="mr-2 rounded bg-muted px-1.5 py-0.5 text-xs text-ink-2 hover:text-ink"
    >
      {places.get(id) ?? id.slice(0, 8)}
    </Link>,
  ]));
  // Both histories have their newest here, so the newest of both together lack nothing.
  const told = history.data === undefined
    ? []
    : eventsOf(history.data, names, session?.user.id ?? null).slice(0, limit);
  const isFiltered = toolbox !== undefined || tool !== undefined || failed === true;
  return (
    <Page title="Activity">
      <div className="flex flex-wrap items-center gap-2">
        <Select
          aria-label="Toolbox"
          className="w-auto max-w-60"
          value={toolbox ?? ""}
          onChange={(event) => change({ toolbox: event.target.value || undefined, tool: undefined })}
        >
          <option value="">All toolboxes</option>
          {[...places].map(([id, name]) => <option key={id} value={id}>{name}</option>)}
        </Select>
        <Select
          aria-label="Tool"
          className="w-auto max-w-60"
          value={tool ?? ""}
          onChange={(event) => change({ tool: event.target.value || undefined })}
        >
          <option value="">Toolboxes and tools</option>
          {known.map((each) => <option key={each.id} value={each.id}>{each.instance_name_on_toolbox}</option>)}
        </Select>
        <label className="flex items-center gap-2 px-1 text-[13px]">
          <input
            type="checkbox"
            checked={failed === true}
            onChange={(event) => change({ failed: event.target.checked ? true : undefined })}
          />
          Only what went wrong
        </label>
      </div>
      {history.isError && (
        <ErrorPanel
          error={history.error}
          title={history.data === undefined ? "The history could not be read" : "What is shown may be old"}
          retry={() => void history.refetch()}
        />
      )}
      {history.isPending && <Skeleton className="h-60 w-full" />}
      {history.isSuccess && told.length === 0 && (
        <Empty
          title={isFiltered ? "Nothing of this kind has happened" : "Nothing has happened yet"}
          action={isFiltered
            ? (
              <Button onClick={() => change({ toolbox: undefined, tool: undefined, failed: undefined })}>
                Show everything
              </Button>
            )
            : undefined}
        >
          What is done with toolboxes and their tools is kept here: who, what, and why.
        </Empty>
      )}
      {told.length > 0 && <EventList events={told} where={where} />}
      {told.length >= limit && limit < MOST && (
        <Button
          className="justify-self-start"
          onClick={() => change({ limit: Math.min(MOST, limit * 2) })}
        >
          Show more
        </Button>
      )}
    </Page>
  );
}
