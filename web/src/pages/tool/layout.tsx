import { Link, Outlet, useNavigate, useParams } from "@tanstack/react-router";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Ellipsis, RotateCw } from "lucide-react";
import { useState } from "react";
import { toast } from "sonner";
import { ApiError } from "@/api/error.ts";
import { toolboxQuery, toolQuery } from "@/api/queries.ts";
import { useToolAction } from "@/api/tool-actions.ts";
import { Confirm } from "@/components/confirm.tsx";
import { Copy } from "@/components/copy.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { State } from "@/components/state.tsx";
import { TAB, Tabs } from "@/components/tabs.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { Menu, MenuItem } from "@/components/ui/menu.tsx";
import { BESIDE, LIVE } from "@/lib/polling.ts";
import {
  isHeard,
  isHeld,
  isIdle,
  isUnderWay,
  mcpState,
  speaksMcp,
  type Tool,
  toolFacts,
  toolState,
} from "@/lib/states.ts";
import { useFromNow } from "@/lib/use-now.ts";
import { useMissed, usePolling } from "@/lib/use-polling.ts";
import { Steps } from "./steps.tsx";

const MCP_TABS = [
  { to: "/toolboxes/$toolboxId/tools/$instanceId", label: "Connect" },
  { to: "/toolboxes/$toolboxId/tools/$instanceId/tools", label: "Tools" },
] as const;
const TABS = [
  { to: "/toolboxes/$toolboxId/tools/$instanceId/logs", label: "Logs" },
  { to: "/toolboxes/$toolboxId/tools/$instanceId/configuration", label: "Configuration" },
  { to: "/toolboxes/$toolboxId/tools/$instanceId/activity", label: "Activity" },
] as const;
const LAST_MCP_TABS = [
  { to: "/toolboxes/$toolboxId/tools/$instanceId/usage", label: "Usage" },
  { to: "/toolboxes/$toolboxId/tools/$instanceId/sharing", label: "Sharing" },
] as const;

export const FROM = "/signed-in/toolboxes/$toolboxId/tools/$instanceId";

/** The tool of this page, asked often while something is under way; `heard` is whether its agent answers. */
export function useTool() {
  const { toolboxId, instanceId } = useParams({ from: FROM });
  const tool = usePolling(
    toolQuery(toolboxId, instanceId),
    ({ tool_instance: each }) => isUnderWay(each),
    LIVE,
  );
  const missed = useMissed([toolQuery(toolboxId, instanceId).queryKey]);
  const agent = tool.data?.agent;
  const heard = useFromNow((now) => agent === undefined || isHeard(agent, missed, now));
  return { toolboxId, instanceId, tool, heard };
}

export function ToolPage() {
  const { toolboxId, instanceId, tool, heard } = useTool();
  if (tool.data === undefined) {
    const gone = tool.error instanceof ApiError && tool.error.status === 404;
    return (
      <Page title={tool.isError ? "Tool" : "…"}>
        {tool.isError
          ? (
            <ErrorPanel
              error={tool.error}
              retry={gone ? undefined : () => void tool.refetch()}
              action={
                <Button asChild size="sm">
                  <Link to="/toolboxes/$toolboxId/tools" params={{ toolboxId }}>To the tools</Link>
                </Button>
              }
            />
          )
          : <Skeleton className="h-40 w-full" />}
      </Page>
    );
  }
  const { tool_instance: data, agent } = tool.data;
  const gone = tool.error instanceof ApiError && tool.error.status === 404;
  const tabs = [...(speaksMcp(data) ? MCP_TABS : []), ...TABS, ...(speaksMcp(data) ? LAST_MCP_TABS : [])];
  return (
    <Page
      title={data.instance_name_on_toolbox}
      state={
        <>
          <State of={toolState(toolFacts(data, heard))} />
          {data.mcp && !isIdle(data) && <State of={mcpState(data.mcp, heard, isHeld(data))} />}
        </>
      }
      actions={<Actions tool={data} toolboxId={toolboxId} />}
    >
      <Evidence tool={data} toolboxId={toolboxId} heard={heard} />
      {tool.isError && (
        <ErrorPanel
          error={tool.error}
          title={gone ? "It is gone" : "What is shown may be old"}
          retry={gone ? undefined : () => void tool.refetch()}
          action={gone && (
            <Button asChild size="sm">
              <Link to="/toolboxes/$toolboxId/tools" params={{ toolboxId }}>To the tools</Link>
            </Button>
          )}
        />
      )}
      {!agent.reachable && agent.code && (
        <ErrorPanel
          title="The agent does not answer, so this is what was last known"
          error={new ApiError(agent.code, agent.message ?? "no reason is known", null, tool.data.request_id)}
          retry={() => void tool.refetch()}
          action={
            <Button asChild size="sm">
              <Link to="/toolboxes/$toolboxId/system" params={{ toolboxId }}>Diagnose</Link>
            </Button>
          }
        />
      )}
      <Steps tool={data} />
      <Trouble tool={data} toolboxId={toolboxId} />
      <Tabs label="Parts of this tool">
        {tabs.map(({ to, label }) => (
          <Link
            key={to}
            to={to}
            params={{ toolboxId, instanceId }}
            activeOptions={{ exact: label === "Connect", includeSearch: false }}
            {...TAB}
          >
            {label}
          </Link>
        ))}
      </Tabs>
      <Outlet />
    </Page>
  );
}

/** Where it runs, what runs, and from what its health is known. */
function Evidence({ tool, toolboxId, heard }: { tool: Tool; toolboxId: string; heard: boolean }) {
  // For its name alone.
  const toolbox = useQuery({ ...toolboxQuery(toolboxId), staleTime: BESIDE });
  return (
    <p className="-mt-3 flex flex-wrap items-center gap-x-3 gap-y-1 text-[13px] text-ink-2">
      {tool.mcp && !tool.error && heard && <span className="break-words">{tool.mcp.evidence}</span>}
      <Copy text={tool.image} what="the image" />
      <Link to="/toolboxes/$toolboxId" params={{ toolboxId }} className="hover:text-ink hover:underline">
        on {toolbox.data?.name ?? "its toolbox"}
      </Link>
    </p>
  );
}

/** Why it does not run as wished, and the one thing to do. The reason's code brings the cure. */
function Trouble({ tool, toolboxId }: { tool: Tool; toolboxId: string }) {
  const params = { toolboxId, instanceId: tool.id };
  const look = (
    <>
      <Button asChild size="sm">
        <Link to="/toolboxes/$toolboxId/tools/$instanceId/logs" params={params}>Logs</Link>
      </Button>
      <Button asChild size="sm">
        <Link to="/toolboxes/$toolboxId/tools/$instanceId/configuration" params={params}>Edit</Link>
      </Button>
    </>
  );
  if (tool.error) {
    return <ErrorPanel error={new ApiError(tool.error.code, tool.error.message, null)} action={look} />;
  }
  const reason = tool.live?.reason;
  if (tool.live?.update_failed && reason) {
    return (
      <ErrorPanel
        title="The last update did not start; the version before it runs"
        error={new ApiError(reason.code, reason.message, null)}
        action={look}
      />
    );
  }
  return null;
}

function Actions({ tool, toolboxId }: { tool: Tool; toolboxId: string }) {
  const [deleting, setDeleting] = useState(false);
  const navigate = useNavigate();
  const client = useQueryClient();
  const name = tool.instance_name_on_toolbox;
  const act = useToolAction(toolboxId, tool.id, (action) => {
    setDeleting(false);
    toast(`Asked for: ${action} ${name}`);
    if (action === "delete") {
      void navigate({ to: "/toolboxes/$toolboxId/tools", params: { toolboxId } }).then(() =>
        client.removeQueries({ queryKey: ["toolboxes", toolboxId, "tools", tool.id] })
      );
    }
  });
  const ask = () => {
    act.reset();
    setDeleting(true);
  };
  const status = tool.status_on_toolbox;
  const stopped = status === "stopped" || status === "error";
  return (
    <>
      <Button asChild>
        <Link to="/toolboxes/$toolboxId/tools/$instanceId/configuration" params={{ toolboxId, instanceId: tool.id }}>
          Edit
        </Link>
      </Button>
      {stopped
        ? <Button variant="primary" disabled={act.isPending} onClick={() => act.mutate("start")}>Start</Button>
        : (
          <Button disabled={act.isPending} onClick={() => act.mutate("restart")}>
            <RotateCw aria-hidden /> Restart
          </Button>
        )}
      <Menu
        trigger={
          <Button size="icon" aria-label={`More for ${name}`}>
            <Ellipsis aria-hidden />
          </Button>
        }
      >
        <MenuItem disabled={status === "running"} onSelect={() => act.mutate("start")}>Start</MenuItem>
        <MenuItem disabled={status === "stopped" && !isIdle(tool)} onSelect={() => act.mutate("stop")}>Stop</MenuItem>
        <MenuItem onSelect={() => act.mutate("restart")}>Restart</MenuItem>
        <MenuItem danger onSelect={ask}>Delete…</MenuItem>
      </Menu>
      {act.isError && !deleting && <ErrorPanel error={act.error} className="basis-full" />}
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
    </>
  );
}
