import { useMutation, useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { type Access, applicationAccessQuery, revokeAccess } from "@/api/access.ts";
import { authorizationQuery, decide, letIn, mcpServersQuery, takeBack } from "@/api/applications.ts";
import { ApiError, isRefused } from "@/api/error.ts";
import { signOut, useSession } from "@/app/session.ts";
import { AccountPage } from "@/components/account-page.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { offered, takenBack } from "@/lib/consent.ts";
import { mayLeaveTo, whoIsAt } from "@/lib/leave.ts";
import { ChooseServers, ChooseTime, type Chosen, keyOf, MayHaveLess, TIMES, USUAL_TIME } from "./choose.tsx";

/** Where sign-in sends a browser when an application wants to act for its user: the user says yes or no, and to what. */
export function ConsentPage() {
  const { authorization_id: id } = useSearch({ from: "/only-signed-in/oauth/consent" });
  if (id === undefined) {
    const missing = new ApiError("authorization_missing", "This address does not say which application asks", null);
    return (
      <AccountPage title="Let an application in">
        <ErrorPanel error={missing} />
      </AccountPage>
    );
  }
  return <Consent id={id} />;
}

/** Sends the browser to the application. */
function leave(to: string): void {
  if (!mayLeaveTo(to)) {
    throw new ApiError("address_refused", "The application's address is none that a browser may be sent to", null);
  }
  location.assign(to);
}

function Consent({ id }: { id: string }) {
  const { session } = useSession();
  const asked = useQuery(authorizationQuery(id));
  const goesOn = useMutation({ mutationFn: async (to: string) => leave(to) });
  const { mutate: goOn } = goesOn;
  const to = asked.data?.kind === "goes-on" ? asked.data.to : null;
  useEffect(() => {
    if (to !== null) goOn(to);
  }, [to, goOn]);

  return (
    <AccountPage title="Let an application in">
      {asked.isPending && <Skeleton className="h-24" />}
      {asked.isError && (
        <ErrorPanel
          error={asked.error}
          title={isRefused(asked.error)
            ? "This request is not open any more, or another account looked at it first: connect again from the application"
            : "What the application asks for could not be read"}
          retry={isRefused(asked.error) ? undefined : () => void asked.refetch()}
        />
      )}
      {goesOn.isError && <ErrorPanel error={goesOn.error} />}
      {to !== null && <p className="text-[13px]">You let this application in before. Going on…</p>}
      {asked.data?.kind === "asks" && (
        <>
          <div className="grid gap-2 text-[13px]">
            <p className="text-sm break-words">
              An application that calls itself <strong className="break-all">“{asked.data.client.name}”</strong>{" "}
              wants to use MCP servers for you.
            </p>
            <p className="text-ink-2">
              Nobody has checked this name. What you allow goes to <strong>{whoIsAt(asked.data.redirectUri)}</strong>
              : go on only if you began this there yourself.
            </p>
            <p className="flex flex-wrap items-center justify-between gap-2 text-ink-2">
              Signed in as {session?.user.email ?? asked.data.email}
              <Button size="sm" variant="link" className="px-0" onClick={() => void signOut()}>
                Use another account, and connect again
              </Button>
            </p>
          </div>
          <Decide id={id} client={asked.data.client} />
        </>
      )}
    </AccountPage>
  );
}

function Decide({ id, client }: { id: string; client: { id: string; name: string } }) {
  const servers = useQuery(mcpServersQuery());
  const access = useQuery(applicationAccessQuery());
  const [touched, setTouched] = useState<Chosen>();
  const [time, setTime] = useState(USUAL_TIME);
  const before = (access.data ?? []).filter((each) => each.client_id === client.id);
  const only = servers.data?.length === 1 ? servers.data[0] : undefined;
  // What it was let in to before, or the one server there is.
  const chosen = touched ?? Object.fromEntries([
    ...offered(before, servers.data ?? []).map((each) => ({
      toolboxId: each.toolbox_id,
      instanceId: each.instance_id ?? null,
      tools: each.allowed_tools ?? null,
      readOnly: each.read_only,
    })),
    ...(only === undefined || before.length > 0
      ? []
      : [{ toolboxId: only.toolbox_id, instanceId: only.instance_id, tools: null, readOnly: false }]),
  ].map((choice) => [keyOf(choice.toolboxId, choice.instanceId), choice]));
  const choices = Object.values(chosen);
  const decision = useMutation({
    mutationFn: async (yes: boolean) => {
      let made: Access[] = [];
      if (yes) {
        // A failure leaves the application with less, never with more: what is taken back goes first, and what was given goes
        // again, with what it had before at these servers.
        for (const each of takenBack(before, choices)) await revokeAccess(each);
        made = await letIn(client, choices, TIMES[time]?.[1] ?? null);
      }
      try {
        leave(await decide(id, yes));
      } catch (error) {
        await takeBack(made);
        throw error;
      }
    },
    onMutate: (yes) => ({ hadSome: yes && before.length > 0 }),
    onError: () => access.refetch(),
  });
  const busy = decision.isPending || decision.isSuccess;
  const isRead = servers.data !== undefined && access.data !== undefined;

  return (
    <form
      className="grid gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        decision.mutate(true);
      }}
    >
      <h2 className="text-sm font-semibold">What it may use</h2>
      {(servers.isPending || access.isPending) && <Skeleton className="h-20" />}
      {servers.isError && (
        <ErrorPanel
          error={servers.error}
          title="Your servers could not be read"
          retry={() => void servers.refetch()}
        />
      )}
      {access.isError && (
        <ErrorPanel
          error={access.error}
          title="What it was let in to before could not be read"
          retry={() => void access.refetch()}
        />
      )}
      {servers.data?.length === 0 && (
        <p className="text-[13px] text-ink-2">You have no MCP server yet. Deploy one first, then connect again.</p>
      )}
      {servers.data !== undefined && isRead && (
        <ChooseServers servers={servers.data} chosen={chosen} onChange={setTouched} />
      )}
      <ChooseTime time={time} onChange={setTime} />
      {decision.isError && <ErrorPanel error={decision.error} />}
      {decision.isError && decision.context?.hadSome && <MayHaveLess />}
      <div className="flex justify-end gap-2">
        <Button size="lg" disabled={busy} onClick={() => decision.mutate(false)}>Refuse</Button>
        <Button
          size="lg"
          variant="primary"
          type="submit"
          disabled={!isRead || choices.length === 0}
          busy={busy && "Going on…"}
        >
          Let it in
        </Button>
      </div>
      {isRead && choices.length === 0 && <p className="text-right text-xs text-ink-3">Choose a server, or refuse.</p>}
    </form>
  );
}
