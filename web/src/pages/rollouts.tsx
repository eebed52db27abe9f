import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { toolboxesQuery } from "@/api/queries.ts";
import { beginRollout, type Rollout, rolloutsQuery, stopRollout } from "@/api/rollouts.ts";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { RolloutCard } from "@/components/rollout-card.tsx";
import { State } from "@/components/state.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select } from "@/components/ui/field.tsx";
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
      {rollouts.data?.map((each) => <RolloutCard key={each.id} rollout={each} stop={stopRollout} canOpen />)}
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
            <Field label="At a time" hint="A failure stops it">
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
