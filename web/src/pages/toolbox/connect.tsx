import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { toolboxConnectionQuery } from "@/api/access.ts";
import { toolsQuery } from "@/api/queries.ts";
import { Connect } from "@/components/connect.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { LIVE } from "@/lib/polling.ts";
import { isHeard, isHeld, isIdle, speaksMcp, type Tool } from "@/lib/states.ts";
import { useFromNow } from "@/lib/use-now.ts";
import { useMissed, usePolling } from "@/lib/use-polling.ts";

/** Every MCP server of the toolbox by one URL. */
export function ToolboxConnectTab() {
  const { toolboxId } = useParams({ from: "/signed-in/toolboxes/$toolboxId" });
  const tools = usePolling(toolsQuery(toolboxId), undefined, LIVE);
  const connection = useQuery(toolboxConnectionQuery(toolboxId));
  const missed = useMissed([toolsQuery(toolboxId).queryKey]);
  const asked = tools.data?.agent;
  const heard = useFromNow((now) => asked !== undefined && isHeard(asked, missed, now));
  if (tools.data === undefined) {
    return tools.isError
      ? <ErrorPanel error={tools.error} title="The tools could not be read" retry={() => void tools.refetch()} />
      : <Skeleton className="h-40 w-full" />;
  }
  if (connection.data === undefined) {
    return connection.isError
      ? (
        <ErrorPanel
          error={connection.error}
          title="Its URL could not be read"
          retry={() => void connection.refetch()}
        />
      )
      : <Skeleton className="h-40 w-full" />;
  }
  const servers = tools.data.tool_instances.filter(speaksMcp);
  const up = servers.filter((each) => each.status_on_toolbox === "running" || isIdle(each));
  const stopped = servers.filter((each) => !up.includes(each));
  const held = up.filter(isHeld);
  const pinned = up.filter((each) => !isHeld(each) && each.mcp_pin_pending);
  const running = up.filter((each) => !isHeld(each) && !each.mcp_pin_pending);
  const problem = !heard
    ? "The agent does not answer, so no client can come in now."
    : running.length + pinned.length === 0
    ? held.length > 0
      ? "Clients are held back until you accept changed tools, so a client finds no tools now."
      : "No MCP server of this toolbox runs, so a client finds no tools now."
    : null;
  return (
    <div className="grid gap-4">
      <p className="max-w-2xl text-[13px] break-words text-ink-2">
        A client that is given this URL has the tools, prompts and resources of every MCP server of the toolbox, also of
        those to come. {heard && running.length > 0 && `Now: ${names(running)}.`}
        {heard && pinned.length > 0 &&
          ` Being pinned, and open only while they list the tools of their first answer: ${names(pinned)}.`}
        {heard && held.length > 0 && ` Held back until you accept their tools: ${names(held)}.`}
        {heard && stopped.length > 0 && ` Not running: ${names(stopped)}.`}
      </p>
      <Connect
        toolboxId={toolboxId}
        instanceId={null}
        url={connection.data.url}
        hosts={connection.data.hosts}
        problem={problem}
      />
    </div>
  );
}

const names = (tools: Tool[]) => tools.map((each) => each.instance_name_on_toolbox).join(", ");
