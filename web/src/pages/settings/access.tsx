import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type Access, givenAccessQuery } from "@/api/access.ts";
import { toolboxesQuery, toolRowsQuery } from "@/api/queries.ts";
import { AccessList } from "@/components/access-list.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { usePolling } from "@/lib/use-polling.ts";

export function AccessTab() {
  const { all } = useSearch({ from: "/signed-in/settings/access" });
  const navigate = useNavigate();
  const access = usePolling(givenAccessQuery());
  if (access.data === undefined) {
    return access.isError
      ? <ErrorPanel error={access.error} title="Who has access could not be read" retry={() => void access.refetch()} />
      : <Skeleton className="h-40 w-full" />;
  }
  const list = access.data.filter((each) => all === true || !each.revoked_at);
  return (
    <div className="grid gap-4">
      <p className="max-w-2xl text-[13px] text-ink-2">
        Everybody and everything that may use your MCP servers beside you. More are given on the page of a tool.
      </p>
      <label className="flex items-center gap-2 text-[13px]">
        <input
          type="checkbox"
          checked={all === true}
          onChange={(event) =>
            void navigate({ to: "/settings/access", search: event.target.checked ? { all: true } : {}, replace: true })}
        />
        Also what was revoked
      </label>
      {access.isError && (
        <ErrorPanel
          error={access.error}
          title="What is shown may be old"
          retry={() => void access.refetch()}
        />
      )}
      {list.length === 0
        ? (
          <Empty title="Nobody but you">
            A client that cannot sign in needs an access token: make one on the page of the tool that it is to use.
          </Empty>
        )
        : (
          <AccessList
            list={list}
            where={new Map(list.map((each) => [each.id, <Where key={each.id} of={each} />]))}
          />
        )}
    </div>
  );
}

/** The server that an access opens, or the toolbox whose servers it opens. */
function Where({ of: { toolbox_id: toolboxId, instance_id: instanceId } }: { of: Access }) {
  // For their names alone.
  const toolboxes = useQuery(toolboxesQuery());
  const tools = useQuery(toolRowsQuery());
  const toolbox = toolboxes.data?.find(({ id }) => id === toolboxId)?.name ?? "a toolbox";
  if (!instanceId) return `all servers of ${toolbox}`;
  const tool = tools.data?.find(({ id }) => id === instanceId)?.instance_name_on_toolbox ?? "a tool";
  return (
    <Link
      to="/toolboxes/$toolboxId/tools/$instanceId/sharing"
      params={{ toolboxId, instanceId }}
      className="underline underline-offset-2 hover:text-ink"
    >
      {tool} on {toolbox}
    </Link>
  );
}
