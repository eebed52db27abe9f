import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Access, applicationAccessQuery, revokeAccess } from "@/api/access.ts";
import { type Application, disconnect, grantsQuery, type McpServer, mcpServersQuery } from "@/api/applications.ts";
import { Age } from "@/components/age.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Skeleton } from "@/components/ui/card.tsx";
import { fromServer } from "@/lib/server-time.ts";

/** Applications that act for the user, and what each may use. */
export function ApplicationsTab() {
  const grants = useQuery(grantsQuery());
  const access = useQuery(applicationAccessQuery());
  const servers = useQuery(mcpServersQuery());
  const known = new Map<string, Application>();
  for (const { client_id: id, name } of access.data ?? []) if (id != null) known.set(id, { id, name });
  for (const client of grants.data ?? []) known.set(client.id, { ...client, name: client.name || client.id });
  const isRead = access.data !== undefined && servers.data !== undefined && !grants.isPending;
  return (
    <div className="grid gap-4">
      {grants.isError && (
        <ErrorPanel
          error={grants.error}
          title="What sign-in knows of applications could not be read"
          retry={() => void grants.refetch()}
        />
      )}
      {access.isError && (
        <ErrorPanel
          error={access.error}
          title="What they may use could not be read"
          retry={() => void access.refetch()}
        />
      )}
      {servers.isError && (
        <ErrorPanel
          error={servers.error}
          title="Your servers could not be read"
          retry={() => void servers.refetch()}
        />
      )}
      {!isRead && !access.isError && !servers.isError && <Skeleton className="h-20" />}
      {isRead && known.size === 0 && (
        <Empty title="No application is connected">
          Add the URL of an MCP server to Claude, Cursor, VS Code or another application: it sends you here to sign in.
        </Empty>
      )}
      <div className="grid gap-3">
        {isRead && [...known.values()].map((client) => (
          <Connected
            key={client.id}
            client={client}
            access={access.data.filter((each) => each.client_id === client.id)}
            servers={servers.data}
          />
        ))}
      </div>
    </div>
  );
}

function Connected({ client, access, servers }: { client: Application; access: Access[]; servers: McpServer[] }) {
  const queries = useQueryClient();
  const again = () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) => queryKey[0] === "applications" || queryKey.includes("access"),
    });
  const [sure, setSure] = useState(false);
  const gone = useMutation({ mutationFn: () => disconnect(client.id), onSettled: again });
  const revoke = useMutation({ mutationFn: revokeAccess, onSettled: again });
  return (
    <Card className="grid gap-3 p-4">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <h2 className="min-w-0 text-sm font-semibold break-words">{client.name}</h2>
        {sure
          ? (
            <div className="flex flex-wrap items-center gap-2 text-[13px]">
              It has to sign in anew afterwards.
              <Button onClick={() => setSure(false)}>Keep it</Button>
              <Button variant="danger" busy={gone.isPending && "Disconnecting…"} onClick={() => gone.mutate()}>
                Disconnect {client.name}
              </Button>
            </div>
          )
          : <Button variant="danger" onClick={() => setSure(true)}>Disconnect</Button>}
      </div>
      {gone.isError && <ErrorPanel error={gone.error} />}
      {revoke.isError && <ErrorPanel error={revoke.error} />}
      {access.length === 0 && <p className="text-[13px] text-ink-2">It may use no server.</p>}
      <ul className="grid gap-1 text-[13px]">
        {access.map((each) => (
          <li key={each.id} className="flex flex-wrap items-center justify-between gap-2">
            <span className="min-w-0 break-words">
              {nameOf(each, servers)}
              <span className="text-ink-3">
                {each.allowed_tools == null ? " · all tools" : ` · ${each.allowed_tools.join(", ") || "no tool"}`}
                {each.read_only && " · read-only"}
                {each.expires_at != null && ` · until ${new Date(each.expires_at).toLocaleDateString()}`}
                {each.last_used_at == null ? " · not used yet" : (
                  <>
                    {" · used "}
                    <Age at={fromServer(each.last_used_at)} />
                  </>
                )}
              </span>
            </span>
            <Button size="sm" disabled={revoke.isPending} onClick={() => revoke.mutate(each)}>Take back</Button>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function nameOf({ toolbox_id, instance_id }: Access, servers: McpServer[]): string {
  const server = servers.find((each) =>
    instance_id == null ? each.toolbox_id === toolbox_id : each.instance_id === instance_id
  );
  if (server === undefined) return "A server that is not shared with you any more";
  return instance_id == null ? `All servers of ${server.toolbox}` : `${server.name} (${server.toolbox})`;
}
