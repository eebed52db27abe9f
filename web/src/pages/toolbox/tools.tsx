import { Link, useParams } from "@tanstack/react-router";
import { Ellipsis } from "lucide-react";
import { useState } from "react";
import { toast } from "sonner";
import { ApiError } from "@/api/error.ts";
import { toolsQuery } from "@/api/queries.ts";
import { useToolAction } from "@/api/tool-actions.ts";
import { Confirm } from "@/components/confirm.tsx";
import { Copy } from "@/components/copy.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { State } from "@/components/state.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Menu, MenuItem } from "@/components/ui/menu.tsx";
import { LIVE } from "@/lib/polling.ts";
import { isHeard, isHeld, isIdle, isUnderWay, mcpState, type Tool, toolFacts, toolState } from "@/lib/states.ts";
import { useFromNow } from "@/lib/use-now.ts";
import { useMissed, usePolling } from "@/lib/use-polling.ts";

export function ToolsTab() {
  const { toolboxId } = useParams({ from: "/signed-in/toolboxes/$toolboxId" });
  const tools = usePolling(
    toolsQuery(toolboxId),
    (list) => list.tool_instances.some((tool) => isUnderWay(tool)),
    LIVE,
  );
  const missed = useMissed([toolsQuery(toolboxId).queryKey]);
  const asked = tools.data?.agent;
  const heard = useFromNow((now) => asked !== undefined && isHeard(asked, missed, now));
  if (tools.data === undefined) {
    return tools.isError
      ? <ErrorPanel error={tools.error} title="The tools could not be read" retry={() => void tools.refetch()} />
      : <Skeleton className="h-40 w-full" />;
  }
  const { tool_instances: list, foreign_containers: foreign, orphan_tools: orphans, agent } = tools.data;
  return (
    <div className="grid gap-6">
      {tools.isError && (
        <ErrorPanel
          error={tools.error}
          title="What is shown may be old"
          retry={() => void tools.refetch()}
        />
      )}
      {!agent.reachable && agent.code && (
        <ErrorPanel
          title="The agent does not answer, so this is what was last known"
          error={new ApiError(agent.code, agent.message ?? "no reason is known", null, tools.data.request_id)}
          retry={() => void tools.refetch()}
        />
      )}
      {list.length === 0
        ? (
          <Empty
            title="No tool runs here yet"
            action={
              <Button asChild variant="primary">
                <Link to="/marketplace" search={{ toolbox: toolboxId }}>Deploy a tool</Link>
              </Button>
            }
          >
            A tool is a container: an MCP server, or anything else that has an image.
          </Empty>
        )
        : (
          <Card>
            <ul className="divide-y divide-line">
              {list.map((tool) => <Row key={tool.id} tool={tool} toolboxId={toolboxId} heard={heard} />)}
            </ul>
          </Card>
        )}
      {foreign.length + orphans.length > 0 && (
        <Section title="Other containers on this machine">
          <p className="text-[13px] text-ink-2">
            They are not managed here: Toolbox starts, stops and removes none of them.
          </p>
          <Card>
            <ul className="divide-y divide-line text-[13px]">
              {foreign.map((container) => (
                <li key={container.container_id} className="flex flex-wrap items-center gap-x-4 gap-y-1 px-3 py-2">
                  <span className="min-w-40 font-medium break-all">{container.name}</span>
                  <span className="text-ink-2">{container.state}</span>
                  <Copy text={container.image} what={`the image of ${container.name}`} />
                </li>
              ))}
              {orphans.map((tool) => (
                <li key={tool.id} className="flex flex-wrap items-center gap-x-4 gap-y-1 px-3 py-2">
                  <span className="min-w-40 font-medium break-all">{tool.name}</span>
                  <span className="text-ink-2">{tool.phase}, known to the agent only</span>
                  <Copy text={tool.image} what={`the image of ${tool.name}`} />
                </li>
              ))}
            </ul>
          </Card>
        </Section>
      )}
    </div>
  );
}

function Row({ tool, toolboxId, heard }: { tool: Tool; toolboxId: string; heard: boolean }) {
  const [deleting, setDeleting] = useState(false);
  const name = tool.instance_name_on_toolbox;
  const act = useToolAction(toolboxId, tool.id, (action) => {
    setDeleting(false);
    toast(`Asked for: ${action} ${name}`);
  });
  const state = toolState(toolFacts(tool, heard));
  const running = tool.status_on_toolbox === "running";
  const ask = () => {
    act.reset();
    setDeleting(true);
  };
  return (
    <li className="grid gap-1.5 px-3 py-2.5 text-[13px]">
      <div className="flex items-center gap-3">
        <div className="grid min-w-0 flex-1 grid-cols-1 items-center gap-x-4 gap-y-1 md:grid-cols-[minmax(10rem,1.2fr)_minmax(8rem,1fr)_minmax(9rem,1fr)_minmax(8rem,1.2fr)]">
          <Link
            to="/toolboxes/$toolboxId/tools/$instanceId"
            params={{ toolboxId, instanceId: tool.id }}
            className="truncate font-medium hover:underline"
          >
            {name}
          </Link>
          <State of={state} />
          {tool.mcp
            ? <State of={mcpState(tool.mcp, heard, isHeld(tool))} />
            : <span className="text-ink-3">{tool.transport ? "MCP not asked yet" : "no MCP server"}</span>}
          <Copy text={tool.image} what={`the image of ${name}`} />
        </div>
        <Menu
          trigger={
            <Button variant="ghost" size="icon" aria-label={`Actions of ${name}`}>
              <Ellipsis aria-hidden />
            </Button>
          }
        >
          <MenuItem disabled={running} onSelect={() => act.mutate("start")}>Start</MenuItem>
          <MenuItem
            disabled={tool.status_on_toolbox === "stopped" && !isIdle(tool)}
            onSelect={() => act.mutate("stop")}
          >
            Stop
          </MenuItem>
          <MenuItem onSelect={() => act.mutate("restart")}>Restart</MenuItem>
          <MenuItem danger onSelect={ask}>Delete…</MenuItem>
        </Menu>
      </div>
      {tool.error && <p className="break-words text-bad">{tool.error.message}</p>}
      {tool.live?.update_failed && (
        <p className="text-warn">The last update did not start; the version before it runs.</p>
      )}
      {act.isError && !deleting && <ErrorPanel error={act.error} />}
      <Confirm
        open={deleting}
        onOpenChange={setDeleting}
        title={`Delete ${name}`}
        name={name}
        action="Delete the tool"
        busy={act.isPending}
        error={act.error}
        onConfirm={() => act.mutate("delete")}
      >
        Its container and its volumes are removed with all that is in them, and so are its settings and secrets. Clients
        that are connected to it lose it. This cannot be undone.
      </Confirm>
    </li>
  );
}
