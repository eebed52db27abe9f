import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
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
};

interface Props {
  rollout: Rollout;
  stop: (id: string) => Promise<unknown>;
  /** Its toolboxes are the reader's own, and have a page; those of others are found in the fleet. */
  canOpen?: boolean;
}

/** One rollout: whether it goes on, and how far each toolbox is. */
export function RolloutCard({ rollout, stop: stopRollout, canOpen = false }: Props) {
  const client = useQueryClient();
  const stop = useMutation({
    mutationFn: () => stopRollout(rollout.id),
    onSettled: () => client.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes("rollouts") }),
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
            <li
              key={id}
              className="grid gap-x-4 gap-y-1 px-3 py-2 text-[13px] sm:grid-cols-[minmax(0,1fr)_11rem_minmax(0,2fr)]"
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
              <span className={STATES[state]?.[1] ?? "text-ink-3"}>{STATES[state]?.[0] ?? state}</span>
              {message && <span className="break-words text-ink-2">{message}</span>}
            </li>
          ))}
        </ul>
      </Card>
    </Section>
  );
}
