import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ApiError } from "@/api/error.ts";
import { toolboxesQuery } from "@/api/queries.ts";
import { beginRollout, type Rollout, rolloutsQuery, stopRollout } from "@/api/rollouts.ts";
import { Age } from "@/components/age.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { State } from "@/components/state.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select } from "@/components/ui/field.tsx";
import { fromServer } from "@/lib/server-time.ts";
import { type Toolbox, toolboxState } from "@/lib/states.ts";
import { usePolling } from "@/lib/use-polling.ts";

/** The agents of one's machines, and their replacement in waves. */
export function RolloutsPage() {
  const toolboxes = usePolling(toolboxesQuery());
  const rollouts = usePolling(rolloutsQuery(), (list) => list.some(({ state }) => state === "running"));
  const joined = (toolboxes.data ?? []).filter(({ last_heartbeat_at }) => last_heartbeat_at);
  return (
    <Page title="Rollouts">
      {toolboxes.isError && (
        <ErrorPanel
          error={toolboxes.error}
          title="The toolboxes could not be read"
          retry={() => void toolboxes.refetch()}
        />
      )}
      {rollouts.isError && (
        <ErrorPanel
          error={rollouts.error}
          title="The rollouts could not be read"
          retry={() => void rollouts.refetch()}
        />
      )}
      {(toolboxes.isPending || rollouts.isPending) && <Skeleton className="h-40 w-full" />}
      {toolboxes.isSuccess && joined.length === 0 && (
        <Empty title="No machine has joined yet">
          On each machine an agent runs the tools. Here the agents of many machines are replaced, a few at a time.
        </Empty>
      )}
      {joined.length > 0 && rollouts.data !== undefined && <Begin toolboxes={joined} last={rollouts.data[0]} />}
      {rollouts.data?.map((each) => <One key={each.id} rollout={each} />)}
    </Page>
  );
}

function Begin({ toolboxes, last }: { toolboxes: Toolbox[]; last: Rollout | undefined }) {
  const [version, setVersion] = useState("");
  const [wave, setWave] = useState("1");
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const client = useQueryClient();
  const chosen = toolboxes.filter(({ id }) => !left.has(id));
  const begin = useMutation({
    mutationFn: () => beginRollout(version.trim(), Number(wave), chosen.map(({ id }) => id)),
    onSettled: () => client.invalidateQueries({ queryKey: ["rollouts"] }),
  });
  const running = last?.state === "running";
  return (
    <Section title="Replace agents">
      <form
        className="grid gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (!begin.isPending) begin.mutate();
        }}
      >
        <Card>
          <ul className="divide-y divide-line">
            {toolboxes.map((toolbox) => (
              <li key={toolbox.id} className="flex flex-wrap items-center gap-x-4 gap-y-1 px-3 py-2 text-[13px]">
                <label className="flex min-w-40 flex-1 items-center gap-2">
                  <input
                    type="checkbox"
                    checked={!left.has(toolbox.id)}
                    onChange={(event) => {
                      const next = new Set(left);
                      if (event.target.checked) {
                        next.delete(toolbox.id);
                      } else next.add(toolbox.id);
                      setLeft(next);
                    }}
                  />
                  <span className="break-words">{toolbox.name}</span>
                </label>
                <span className="font-mono text-xs text-ink-2">
                  {toolbox.dtma_last_known_version ?? "version not known"}
                </span>
                <State of={toolboxState(toolbox)} />
              </li>
            ))}
          </ul>
        </Card>
        <div className="flex flex-wrap items-end gap-2">
          <div className="w-56">
            <Field label="Version" hint="Empty: the one that the operator wants">
              {(tied) => (
                <Input
                  {...tied}
                  placeholder="1.2.3"
                  autoComplete="off"
                  value={version}
                  onChange={(event) => setVersion(event.target.value)}
                />
              )}
            </Field>
          </div>
          <div className="w-40">
            <Field label="At a time" hint="The first failure stops it">
              {(tied) => (
                <Select {...tied} value={wave} onChange={(event) => setWave(event.target.value)}>
                  {[1, 2, 5, 10].map((each) => <option key={each} value={each}>{each}</option>)}
                </Select>
              )}
            </Field>
          </div>
          <Button
            type="submit"
            variant="primary"
            className="mb-5.5"
            disabled={chosen.length === 0 || running}
            busy={begin.isPending && "Beginning…"}
          >
            Replace {chosen.length} {chosen.length === 1 ? "agent" : "agents"}
          </Button>
        </div>
        {running && <p className="text-xs text-ink-3">One rollout runs at a time: wait for its end, or stop it.</p>}
        {begin.isError && <ErrorPanel error={begin.error} title="It was not begun" />}
      </form>
    </Section>
  );
}

/** How it was when it ended is nothing that is so now, and no green. */
const STATES: Record<string, [string, string]> = {
  healthy: ["was healthy afterwards", "text-ink-2"],
  asked: ["asked", "text-moving"],
  failed: ["failed", "text-bad"],
};

function One({ rollout }: { rollout: Rollout }) {
  const client = useQueryClient();
  const stop = useMutation({
    mutationFn: () => stopRollout(rollout.id),
    onSettled: () => client.invalidateQueries({ queryKey: ["rollouts"] }),
  });
  const done = rollout.toolboxes.filter(({ state }) => state === "healthy").length;
  return (
    <Section
      title={`To ${rollout.version}: ${rollout.state}, ${done} of ${rollout.toolboxes.length} replaced`}
      aside={
        <span className="flex items-center gap-2 text-xs text-ink-3">
          <Age at={fromServer(rollout.created_at)} />
          {rollout.state === "running" && (
            <Button
              size="sm"
              variant="danger"
              busy={stop.isPending && "Stopping…"}
              onClick={() => stop.mutate()}
            >
              Stop
            </Button>
          )}
        </span>
      }
    >
      {stop.isError && <ErrorPanel error={stop.error} title="It was not stopped" />}
      {rollout.reason && <ErrorPanel error={new ApiError(rollout.reason.code, rollout.reason.message, null)} />}
      <Card>
        <ul className="divide-y divide-line">
          {rollout.toolboxes.map(({ id, name, state, message }) => (
            <li key={id} className="flex flex-wrap items-center gap-x-4 gap-y-1 px-3 py-2 text-[13px]">
              <Link to="/toolboxes/$toolboxId/system" params={{ toolboxId: id }} className="min-w-40 hover:underline">
                {name}
              </Link>
              <span className={STATES[state]?.[1] ?? "text-ink-3"}>{STATES[state]?.[0] ?? state}</span>
              {message && <span className="min-w-0 break-words text-ink-2">{message}</span>}
            </li>
          ))}
        </ul>
      </Card>
    </Section>
  );
}
