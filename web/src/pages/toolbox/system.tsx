import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { CircleCheck, CircleDashed, CircleX, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { answer, api } from "@/api/client.ts";
import { ApiError } from "@/api/error.ts";
import { diagnosisQuery, machineQuery, operationQuery } from "@/api/queries.ts";
import { Age } from "@/components/age.tsx";
import { Copy } from "@/components/copy.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { State } from "@/components/state.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Facts, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input } from "@/components/ui/field.tsx";
import type { components } from "@/api/generated/toolbox-dtma-console.ts";
import { keysQuery } from "@/api/keys.ts";
import { BESIDE, LIVE } from "@/lib/polling.ts";
import { fromServer } from "@/lib/server-time.ts";
import { type Observed, shown } from "@/lib/state.ts";
import { FIREWALL, serviceState, type Verdict, verdictState } from "@/lib/states.ts";
import { useNow } from "@/lib/use-now.ts";
import { usePolling } from "@/lib/use-polling.ts";

type Change = components["schemas"]["ConsoleChange"];
type VersionChange = components["schemas"]["VersionChange"];

export function SystemTab() {
  const { toolboxId } = useParams({ from: "/signed-in/toolboxes/$toolboxId" });
  return (
    <div className="grid items-start gap-6 lg:grid-cols-2">
      <div className="grid gap-6">
        <Agent toolboxId={toolboxId} />
        <Keys toolboxId={toolboxId} />
      </div>
      <Diagnosis toolboxId={toolboxId} />
    </div>
  );
}

const ENDED = new Set<VersionChange["phase"]>(["healthy", "rolled_back", "failed"]);

function Agent({ toolboxId }: { toolboxId: string }) {
  const client = useQueryClient();
  const machine = usePolling(machineQuery(toolboxId), undefined, LIVE);
  const operation = usePolling(
    operationQuery(toolboxId),
    (last) => last.operation ? !ENDED.has(last.operation.phase) : false,
    BESIDE,
  );
  const [version, setVersion] = useState("");
  const act = useMutation({
    mutationFn: (action: "restart" | "redeploy" | "rollback"): Promise<Change> => {
      // The answer waits until the agent was seen again, so what it says was observed.
      const params = { path: { toolboxId }, header: { Prefer: "wait=60" } };
      if (action === "restart") return answer(api().machine.POST("/{toolboxId}/restart", { params }));
      if (action === "rollback") return answer(api().machine.POST("/{toolboxId}/rollback", { params }));
      const body = version.trim() === "" ? null : { version: version.trim() };
      return answer(api().machine.POST("/{toolboxId}/redeploy", { params, body }));
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["toolboxes", toolboxId] }),
  });
  const agent = machine.data?.services.find(({ name }) => name === "agent");
  const previous = machine.data?.machine?.agent.previous_version;
  const running = machine.data?.machine?.agent.version ?? machine.data?.last_heartbeat.version;
  const change = operation.data?.operation;
  return (
    <Section title="Agent">
      <Card className="grid gap-4 p-4">
        {machine.data === undefined && !machine.isError && <Skeleton className="h-10" />}
        {machine.isError && <ErrorPanel error={machine.error} retry={() => void machine.refetch()} />}
        {machine.data !== undefined && (
          <Facts
            items={[
              [
                "State",
                agent ? <State key="state" of={serviceState(agent)} /> : "not known",
              ],
              ["Version", running ?? "not known"],
              ["Previous version", previous ?? (machine.data.machine ? "none kept" : "not known")],
              ["Last heartbeat", <Age key="age" at={fromServer(machine.data.last_heartbeat.at ?? null)} />],
            ]}
          />
        )}
        <div className="flex flex-wrap gap-2">
          <Button
            onClick={() => act.mutate("restart")}
            disabled={act.isPending}
            busy={act.isPending && act.variables === "restart" && "Restarting…"}
          >
            Restart the agent
          </Button>
          <Button
            onClick={() => act.mutate("rollback")}
            disabled={act.isPending || !previous}
            title={previous
              ? undefined
              : machine.data?.machine
              ? "No version ran before this one"
              : "The machine does not say which version ran before"}
            busy={act.isPending && act.variables === "rollback" && "Rolling back…"}
          >
            Roll back{previous ? ` to ${previous}` : ""}
          </Button>
        </div>
        <form
          className="grid gap-1.5"
          onSubmit={(event) => {
            event.preventDefault();
            act.mutate("redeploy");
          }}
        >
          <Field
            label="Redeploy to another version"
            hint="Empty is the version that the operator wants. The one before comes back by itself if it fails."
          >
            {(tied) => (
              <span className="flex gap-2">
                <Input
                  {...tied}
                  value={version}
                  placeholder="1.2.3"
                  autoComplete="off"
                  onChange={(event) => setVersion(event.target.value)}
                />
                <Button
                  type="submit"
                  disabled={act.isPending}
                  busy={act.isPending && act.variables === "redeploy" && "Redeploying…"}
                >
                  Redeploy
                </Button>
              </span>
            )}
          </Field>
        </form>
        <p className="text-xs text-ink-3">Containers go on running in all three.</p>
        {act.isPending && (
          <p role="status" className="text-[13px] text-moving">Asked for; waiting until the agent is seen again…</p>
        )}
        {act.isSuccess && <Done of={act.data} />}
        {act.isError && <ErrorPanel error={act.error} />}
        {change && (
          <div className="grid gap-1 border-t border-line pt-3 text-[13px]">
            <p className="flex flex-wrap items-center gap-2">
              <span className="text-ink-3">Last {change.kind}: {change.from ?? "?"} → {change.to}</span>
              <State of={changeState(change)} />
            </p>
            {change.reason && <p className="break-words text-bad">{change.reason.message}</p>}
          </div>
        )}
      </Card>
    </Section>
  );
}

function Done({ of }: { of: Change }) {
  if (of.error) {
    return (
      <ErrorPanel
        error={new ApiError(of.error.code, of.error.message, null, of.request_id, of.error.details ?? null)}
      />
    );
  }
  const by = of.method === "ssh" ? ", by SSH" : of.method === "companion" ? ", by the companion" : "";
  return <p role="status" className="text-[13px]">{of.message}{by}</p>;
}

const PHASES: Record<VersionChange["phase"], [string, Observed["tone"]]> = {
  fetching: ["Fetching…", "moving"],
  candidate: ["Trying it…", "moving"],
  draining: ["Letting calls end…", "moving"],
  starting: ["Starting…", "moving"],
  healthy: ["Healthy when it ended", "off"],
  rolled_back: ["The version before came back", "warn"],
  failed: ["Failed", "bad"],
};

function changeState(change: VersionChange): Observed {
  const [word, tone] = PHASES[change.phase];
  return {
    word,
    tone,
    asOf: fromServer(change.finished_at ?? change.started_at),
    goodFor: null,
    evidence: change.reason?.message ?? null,
  };
}

const ICONS = {
  ok: [CircleCheck, "text-ok", "ok"],
  warning: [TriangleAlert, "text-warn", "warning"],
  failed: [CircleX, "text-bad", "failed"],
  not_checked: [CircleDashed, "text-ink-3", "not checked"],
} as const;

/** What a check found; without its colour once that is too old to count. */
function Found({ verdict, at }: { verdict: Verdict; at: string }) {
  const [Icon, colour, label] = ICONS[verdict];
  const isOld = shown(verdictState(verdict, at), useNow()).last !== null;
  return (
    <Icon
      className={`size-4 ${isOld ? "text-ink-3" : colour}`}
      aria-label={isOld ? `${label} when it was looked` : label}
    />
  );
}

/** What a checklist says as a whole. What was not looked at is no success. */
function inWords(verdicts: Verdict[]): string {
  const count = (of: Verdict) => verdicts.filter((verdict) => verdict === of).length;
  const bad = count("failed") + count("warning");
  const skipped = count("not_checked");
  const rest = skipped === 0 ? "" : `, ${skipped} not checked`;
  if (bad > 0) return `${bad} of ${verdicts.length} checks need a look${rest}; begin with the first`;
  return skipped === 0
    ? `All ${verdicts.length} checks are well`
    : `${count("ok")} of ${verdicts.length} checks are well${rest}`;
}

function Diagnosis({ toolboxId }: { toolboxId: string }) {
  const diagnosis = useQuery({ ...diagnosisQuery(toolboxId), enabled: false, staleTime: Number.POSITIVE_INFINITY });
  const checks = diagnosis.data?.checks ?? [];
  return (
    <Section
      title="Diagnosis"
      aside={
        <Button
          size="sm"
          variant={diagnosis.data ? "secondary" : "primary"}
          onClick={() => void diagnosis.refetch()}
          busy={diagnosis.isFetching && "Looking…"}
        >
          {diagnosis.data ? "Look again" : "Diagnose"}
        </Button>
      }
    >
      {diagnosis.isError && <ErrorPanel error={diagnosis.error} retry={() => void diagnosis.refetch()} />}
      {diagnosis.data === undefined && !diagnosis.isError && (
        <Card className="p-4 text-[13px] text-ink-2">
          Looks at everything between the control plane and the machine, and on it. What is wrong comes with what to do.
        </Card>
      )}
      {diagnosis.data !== undefined && (
        <Card>
          <p className="border-b border-line px-3 py-2 text-[13px] text-ink-2" role="status">
            {inWords(checks.map(({ verdict }) => verdict))}, <Age at={fromServer(diagnosis.data.timestamp)} />
          </p>
          <ul className="divide-y divide-line text-[13px]">
            {checks.map((check) => (
              <li key={check.name} className="grid grid-cols-[1.25rem_1fr] gap-x-2 px-3 py-2">
                <span className="pt-0.5">
                  <Found verdict={check.verdict} at={diagnosis.data.timestamp} />
                </span>
                <div className="min-w-0">
                  <p className="font-medium first-letter:uppercase">{check.name.replaceAll("_", " ")}</p>
                  <p className="break-words text-ink-2">{check.evidence}</p>
                  {check.action && <p className="mt-0.5 break-words">→ {check.action}</p>}
                </div>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </Section>
  );
}

function Keys({ toolboxId }: { toolboxId: string }) {
  const keys = useQuery(keysQuery(toolboxId));
  const machine = useQuery({ ...machineQuery(toolboxId), enabled: false });
  const firewall = machine.data?.machine?.host.now.host_firewall;
  return (
    <Section title="Keys and firewall">
      <Card className="p-4">
        {keys.isPending && <Skeleton className="h-20" />}
        {keys.isError && <ErrorPanel error={keys.error} retry={() => void keys.refetch()} />}
        {keys.isSuccess && (
          <Facts
            items={[
              [
                "Key",
                keys.data?.dtma_key_id
                  ? <Copy key="key" text={keys.data.dtma_key_id} what="the name of the key" />
                  : "none yet",
              ],
              [
                "Certificate",
                keys.data?.dtma_certificate_sha256
                  ? <Copy key="certificate" text={keys.data.dtma_certificate_sha256} what="the pinned fingerprint" />
                  : "none yet",
              ],
              [
                "SSH host key",
                keys.data?.ssh_host_key
                  ? <Copy key="ssh" text={keys.data.ssh_host_key} what="the SSH host key" />
                  : "the machine told none",
              ],
              ["Ports", keys.data ? `agent ${keys.data.dtma_port}, SSH ${keys.data.ssh_port}` : "not known"],
              [
                "Firewall",
                firewall ? `${FIREWALL[firewall.state]}${firewall.detail ? `: ${firewall.detail}` : ""}` : "not known",
              ],
            ]}
          />
        )}
      </Card>
    </Section>
  );
}
