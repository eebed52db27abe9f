import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { type Application, grantsQuery, letIn, type McpServer, mcpServersQuery } from "@/api/applications.ts";
import { AccountPage } from "@/components/account-page.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { ChooseServers, ChooseTime, type Chosen, keyOf, MayHaveLess, TIMES, USUAL_TIME } from "./choose.tsx";

const TOOLBOX = "toolbox/";

/** Where an application that is connected sends its user when it was refused at a server. */
export function GrantPage() {
  const { client_id: clientId, server } = useSearch({ from: "/only-signed-in/oauth/grant" });
  const grants = useQuery(grantsQuery());
  const servers = useQuery(mcpServersQuery());
  const client = grants.data?.find(({ id }) => id === clientId);
  return (
    <AccountPage title="Let an application in">
      {(grants.isPending || servers.isPending) && <Skeleton className="h-24" />}
      {grants.isError && (
        <ErrorPanel
          error={grants.error}
          title="Your applications could not be read"
          retry={() => void grants.refetch()}
        />
      )}
      {servers.isError && (
        <ErrorPanel
          error={servers.error}
          title="Your servers could not be read"
          retry={() => void servers.refetch()}
        />
      )}
      {grants.data !== undefined && client === undefined && (
        <p className="text-[13px]">
          This application is not connected to your account. Connect it from there: add the server's URL, and sign in
          when it asks you to. If it is connected to another account of yours, sign in with that one.
        </p>
      )}
      {client !== undefined && servers.data !== undefined && (
        <Grant client={client} servers={servers.data} wanted={server} />
      )}
    </AccountPage>
  );
}

function Grant({ client, servers, wanted = "" }: { client: Application; servers: McpServer[]; wanted?: string }) {
  const isOf = wanted.startsWith(TOOLBOX)
    ? (server: McpServer) => server.toolbox_id === wanted.slice(TOOLBOX.length).toLowerCase()
    : (server: McpServer) => server.instance_id === wanted.toLowerCase();
  const server = servers.find(isOf);
  const first: Chosen = {};
  if (server !== undefined) {
    const instanceId = wanted.startsWith(TOOLBOX) && server.is_own ? null : server.instance_id;
    first[keyOf(server.toolbox_id, instanceId)] = {
      toolboxId: server.toolbox_id,
      instanceId,
      tools: null,
      readOnly: false,
    };
  }
  const [chosen, setChosen] = useState(first);
  const [time, setTime] = useState(USUAL_TIME);
  const queries = useQueryClient();
  const granted = useMutation({
    mutationFn: () => letIn(client, Object.values(chosen), TIMES[time]?.[1] ?? null),
    onSuccess: () => queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes("access") }),
  });
  if (granted.isSuccess) {
    return (
      <div role="status" className="grid gap-3 text-[13px]">
        <p>Done. Go back to the application and try again there.</p>
        <p>
          <Link to="/settings/applications" className="text-accent hover:underline">Your connected applications</Link>
        </p>
      </div>
    );
  }
  return (
    <form
      className="grid gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        granted.mutate();
      }}
    >
      <p className="text-sm break-words">
        The application that calls itself <strong className="break-all">“{client.name}”</strong>{" "}
        is connected to your account. Choose what else it may use.
      </p>
      {wanted !== "" && server === undefined && (
        <p className="rounded-md border border-warn/40 bg-warn-soft p-3 text-[13px]">
          The server that it asked for is not yours, and nobody shares it with you.
        </p>
      )}
      <ChooseServers servers={servers} chosen={chosen} onChange={setChosen} />
      <ChooseTime time={time} onChange={setTime} />
      {granted.isError && (
        <>
          <ErrorPanel error={granted.error} />
          <MayHaveLess />
        </>
      )}
      <Button
        size="lg"
        variant="primary"
        type="submit"
        disabled={Object.keys(chosen).length === 0}
        busy={granted.isPending && "Letting it in…"}
      >
        Let it in
      </Button>
    </form>
  );
}
