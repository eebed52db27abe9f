import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Check, Circle, LoaderCircle } from "lucide-react";
import { useState } from "react";
import { answer, api } from "@/api/client.ts";
import { keepCommand, keptCommand } from "@/app/commands.ts";
import { Age } from "@/components/age.tsx";
import { Snippet } from "@/components/copy.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card } from "@/components/ui/card.tsx";
import { fromServer } from "@/lib/server-time.ts";
import { duration } from "@/lib/state.ts";
import type { Toolbox } from "@/lib/states.ts";
import { useNow } from "@/lib/use-now.ts";
import { cn } from "@/lib/utils.ts";

/** What is under way with the machine of a toolbox, or what it waits for. One may leave and come back. */
export function Joining({ toolbox }: { toolbox: Toolbox }) {
  if (toolbox.status.startsWith("error_")) return <Failed toolbox={toolbox} />;
  if (toolbox.status === "unresponsive" && !toolbox.progress) return <Silent toolbox={toolbox} />;
  if (toolbox.kind === "byo") return <OwnMachine toolbox={toolbox} />;
  return toolbox.progress ? <Steps toolbox={toolbox} /> : null;
}

/** The steps of an order as the control plane names them, in their order. */
const MAKING = [
  ["firewall", "Firewall"],
  ["machine", "Machine ordered"],
  ["boot", "Machine started"],
  ["agent", "Agent joined"],
] as const;

function Steps({ toolbox }: { toolbox: Toolbox }) {
  const { progress } = toolbox;
  const now = useNow();
  if (!progress) return null;
  const at = MAKING.findIndex(([step]) => step === progress.step);
  const since = fromServer(progress.since);
  return (
    <Card className="grid gap-3 p-4 text-[13px]">
      <p className="flex flex-wrap items-center gap-2 font-medium">
        <LoaderCircle aria-hidden className="size-4 animate-spin text-moving" />
        <span role="status">{progress.message}</span>
        <span className="font-normal text-ink-3">for {duration((now - since) / 1000)}</span>
      </p>
      {progress.problem && <p className="text-warn">{progress.problem}</p>}
      {at >= 0 && (
        <ol className="grid gap-1.5 sm:grid-cols-4">
          {MAKING.map(([step, label], index) => (
            <li
              key={step}
              className={cn(
                "flex items-center gap-2",
                index > at && "text-ink-3",
                index === at && "font-medium text-moving",
              )}
            >
              {index < at
                ? <Check aria-label="done" className="size-4 text-ok" />
                : <Circle aria-label={index === at ? "under way" : "to come"} className="size-4" />}
              {label}
            </li>
          ))}
        </ol>
      )}
      {progress.next && <p className="text-ink-2">Then: {progress.next}</p>}
      <p className="text-xs text-ink-3">It goes on without this page: you may leave and come back.</p>
    </Card>
  );
}

function Failed({ toolbox }: { toolbox: Toolbox }) {
  const client = useQueryClient();
  const retry = useMutation({
    mutationFn: () =>
      answer(api().toolboxes.POST("/{toolboxId}/retry", { params: { path: { toolboxId: toolbox.id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["toolboxes"] }),
  });
  const what = toolbox.status === "error_deprovisioning" ? "removed" : "made";
  return (
    <Card className="grid gap-3 border-bad/40 bg-bad-soft p-4 text-[13px]" role="alert">
      <p className="font-medium">
        The machine could not be {what}: {toolbox.provisioning_error_message ?? "no reason is known"}
      </p>
      {retry.isError && <ErrorPanel error={retry.error} />}
      <div>
        <Button onClick={() => retry.mutate()} busy={retry.isPending && "Asking…"}>Try again</Button>
      </div>
    </Card>
  );
}

/** Nothing was heard of the machine for long: how to find out why, and how to have it back. */
function Silent({ toolbox }: { toolbox: Toolbox }) {
  const [joins, setJoins] = useState(false);
  const client = useQueryClient();
  const now = useNow();
  const reboot = useMutation({
    mutationFn: () =>
      answer(api().toolboxes.POST("/{toolboxId}/reboot", { params: { path: { toolboxId: toolbox.id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["toolboxes"] }),
  });
  if (joins) return <OwnMachine toolbox={toolbox} />;
  const since = fromServer(toolbox.last_heartbeat_at ?? toolbox.status_changed_at);
  return (
    <Card className="grid gap-3 border-bad/40 bg-bad-soft p-4 text-[13px]">
      <p>
        {/* The age is left out of it: it changes, and would be read out each time. */}
        <span className="font-medium">
          <span role="alert">Nothing was heard of the machine</span> for {duration((now - since) / 1000)}.
        </span>{" "}
        Its tools may run on. A diagnosis says what does not work; {toolbox.kind === "byo"
          ? "if the agent was removed there, let the machine join again."
          : "a restart of the machine starts its agent, too."}
      </p>
      {reboot.isError && <ErrorPanel error={reboot.error} />}
      <div className="flex flex-wrap gap-2">
        <Button asChild>
          <Link to="/toolboxes/$toolboxId/system" params={{ toolboxId: toolbox.id }}>Diagnose</Link>
        </Button>
        {toolbox.kind === "byo"
          ? <Button onClick={() => setJoins(true)}>Let it join again</Button>
          : <Button onClick={() => reboot.mutate()} busy={reboot.isPending && "Asking…"}>Restart the machine</Button>}
      </div>
    </Card>
  );
}

function OwnMachine({ toolbox }: { toolbox: Toolbox }) {
  const client = useQueryClient();
  const [kept, setKept] = useState(() => keptCommand(toolbox.id));
  const now = useNow();
  const renew = useMutation({
    mutationFn: () =>
      answer(api().toolboxes.POST("/{toolboxId}/enrolment", { params: { path: { toolboxId: toolbox.id } } })),
    onSuccess: (made) => {
      keepCommand(toolbox.id, made.enrolment);
      setKept(made.enrolment);
      return client.invalidateQueries({ queryKey: ["toolboxes", toolbox.id] });
    },
  });
  const left = kept === undefined ? 0 : (fromServer(kept.expires_at) - now) / 1000;
  return (
    <Card className="grid gap-3 p-4 text-[13px]">
      <h2 className="text-sm font-semibold">Connect your machine</h2>
      {kept !== undefined && left > 0
        ? (
          <>
            <p>Run this as root on the machine. It installs the agent, which then reports here.</p>
            <Snippet text={kept.command} what="the command" />
            <p className="text-xs text-ink-3">
              Good once, for another {duration(left)}. It holds a token: show it to nobody.
            </p>
          </>
        )
        : (
          <p>
            {kept === undefined
              ? "The command is shown only when it is made. Make a new one to connect the machine; earlier ones end."
              : "The command is too old to be used. Make a new one."}
          </p>
        )}
      {renew.isError && <ErrorPanel error={renew.error} />}
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p className="flex items-center gap-2">
          <LoaderCircle aria-hidden className="size-4 animate-spin text-moving" />
          <span>
            {typeof toolbox.last_heartbeat_at === "string" ? "Last heard " : "Made "}
            <Age at={fromServer(toolbox.last_heartbeat_at ?? toolbox.created_at)} />, waiting for the machine. This page
            greets it when it comes.
          </span>
        </p>
        <Button onClick={() => renew.mutate()} busy={renew.isPending && "Making it…"}>New command</Button>
      </div>
    </Card>
  );
}
