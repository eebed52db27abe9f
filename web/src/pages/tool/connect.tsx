import { useQuery } from "@tanstack/react-query";
import { connectionQuery } from "@/api/access.ts";
import { Connect } from "@/components/connect.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { isHeld, isIdle, pinInWords, speaksMcp } from "@/lib/states.ts";
import { useTool } from "./layout.tsx";

export function ConnectTab() {
  const { toolboxId, instanceId, tool, heard } = useTool();
  const connection = useQuery(connectionQuery(toolboxId, instanceId));
  const data = tool.data?.tool_instance;
  if (data !== undefined && !speaksMcp(data)) {
    return (
      <Empty title="This tool is no MCP server">
        Clients of MCP cannot use it. {data.ports.length > 0
          ? `It is reached at the ports that it publishes: ${
            data.ports.map((port) => `${port.host_ip}:${port.host_port}`).join(", ")
          }.`
          : "It publishes no port either."}
      </Empty>
    );
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
  const problem = !heard
    ? "The agent does not answer, so no client can come in now."
    : data?.status_on_toolbox !== "running" && !(data && isIdle(data))
    ? "The tool does not run, so no client can use it now."
    : data !== undefined && isHeld(data)
    ? "Its tools changed, so clients are held back. Look at what changed on the page Tools, and accept it there."
    : data?.mcp_pin_pending
    ? pinInWords(data)
    : null;
  return (
    <Connect
      toolboxId={toolboxId}
      instanceId={instanceId}
      url={connection.data.url}
      hosts={connection.data.hosts}
      problem={problem}
    />
  );
}
