import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { advice } from "@/api/advice.ts";
import { ApiError } from "@/api/error.ts";
import type { Rollout } from "@/api/rollouts.ts";
import { Age } from "@/components/age.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section } from "@/components/ui/card.tsx";
import { fromServer } from "@/lib/server-time.ts";

/** How it was when it ended is nothing that is so now, and no green. */
const STATES: Record<string, [string, string]> = {
  healthy: ["was healthy afterwards", "text-ink-2"],
  asked: ["asked", "text-moving"],
  failed: ["failed", "text-bad"],
  silent: ["silent, not asked", "text-warn"],
  removed: ["gone", "text-ink-3"],
};

type Counts = Record<Rollout["toolboxes"][number]["state"], number>;

function countsOf(toolboxes: Rollout["toolboxes"]): Counts {
  const counts: Counts = { waiting: 0, asked: 0, healthy: 0, failed: 0, silent: 0, removed: 0 };
  for (const { state } of toolboxes) counts[state]++;
  return counts;
}

/** How many are how far, in words; of a rollout that has ended, who waits is asked no more. */
function progress({ waiting, asked, failed, silent, removed }: Counts, state: Rollout["state"]): string {
  return [
    asked > 0 && `${asked} under way`,
    failed > 0 && `${failed} failed`,
    silent > 0 && `${silent} silent`,
    removed > 0 && `${removed} gone`,
    waiting > 0 && `${waiting} ${state === "running" ? "to come" : "not asked"}`,
  ].filter(Boolean).join(", ");
}

interface Props {
  rollout: Rollout;
  stop: (id: string) => Promise<unknown>;
  /** Its toolboxes are the reader's own, and have a page; those of others are found in the fleet. */
  canOpen?: boolean;
  /** Of all its toolboxes, where `rollout` has some of them only. */
  counts?: Counts;
  /** Who asked for it, where that is not the reader. */
  by?: string;
  /** When this was read, where it is not read all the time. */
  readAt?: number;
  /** What can be done about the list. */
  more?: ReactNode;
}

/** One rollout: whether it goes on, and how far each toolbox is. */
export function RolloutCard({ rollout, stop: stopRollout, canOpen = false, by, readAt, more, ...given }: Props) {
  const client = useQueryClient();
  const stop = useMutation({
    mutationFn: () => stopRollout(rollout.id),
    onSettled: () => client.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes("rollouts") }),
  });
  const counts = given.counts ?? countsOf(rollout.toolboxes);
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
  const far = progress(counts, rollout.state);
  return (
    <Section
      title={`To ${rollout.version}: ${rollout.state}, ${counts.healthy} of ${all} replaced${far && `, ${far}`}`}
      aside={
        <span className="flex flex-wrap items-center gap-2 text-xs text-ink-3">
          <span>
            begun <Age at={fromServer(rollout.created_at)} />
            {by !== undefined && ` by ${by}`}
            {readAt !== undefined && (
              <>
                , read <Age at={readAt} />
              </>
            )}
          </span>
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
      {rollout.toolboxes.length > 0 && (
        <Card>
          <ul className="divide-y divide-line">
            {rollout.toolboxes.map(({ id, name, state, code, message, asked_at, ended_at }) => (
              <li
                key={id}
                className="grid gap-x-4 gap-y-1 px-3 py-2 text-[13px] sm:grid-cols-[minmax(0,1fr)_14rem_minmax(0,2fr)]"
              >
                {canOpen
                  ? (
                    <Link
                      to="/toolboxes/$toolboxId/system"
                      params={{ toolboxId: id }}
                      className="break-words hover:underline"
                    >
                      {name}
                    </Link>
                  )
                  : (
                    <Link to="/operators" search={{ q: id }} className="break-words hover:underline">
                      {name}
                    </Link>
                  )}
                <span className="flex flex-wrap gap-x-2">
                  <span className={STATES[state]?.[1] ?? "text-ink-3"}>{STATES[state]?.[0] ?? state}</span>
                  {(ended_at ?? asked_at) && (
                    <span className="text-xs text-ink-3">
                      <Age at={fromServer(ended_at ?? asked_at ?? null)} />
                    </span>
                  )}
                </span>
                {message && (
                  <span className="break-words text-ink-2">
                    {[message, state === "failed" && code ? advice(code) : null].filter(Boolean).join(". ")}
                  </span>
                )}
              </li>
            ))}
          </ul>
        </Card>
      )}
      {more}
    </Section>
  );
}
