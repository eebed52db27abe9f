import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import {
  type Fleet,
  fleetQuery,
  type FleetRollout,
  fleetRolloutQuery,
  type FleetToolbox,
  isUnderWay,
  operatorChanges,
  PAGE,
} from "@/api/operators.ts";
import { Age } from "@/components/age.tsx";
import { Awaited } from "@/components/awaited.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Paging } from "@/components/paging.tsx";
import { RolloutCard } from "@/components/rollout-card.tsx";
import { State } from "@/components/state.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select } from "@/components/ui/field.tsx";
import { perMonth } from "@/lib/money.ts";
import { AT_REST, LIVE } from "@/lib/polling.ts";
import { fromServer } from "@/lib/server-time.ts";
import { toolboxState } from "@/lib/states.ts";
import { usePolling } from "@/lib/use-polling.ts";
import { useSettled } from "@/lib/use-settled.ts";
import { cn } from "@/lib/utils.ts";

const SHOWN = [[undefined, "All", "all"], ["old", "Old", "old"], ["silent", "Silent", "silent"], [
  "failing",
  "Failing",
  "failing",
]] as const;

/** The toolboxes of all users: which are old, silent or failing, and whether their agents can be replaced. */
export function FleetTab() {
  const { show, q = "", from = 0 } = useSearch({ from: "/signed-in/operators/" });
  const navigate = useNavigate();
  const search = useSettled(q);
  const fleet = usePolling(
    fleetQuery(show ?? "all", search, from),
    undefined,
    // A wave takes minutes, and the whole fleet is read for it.
    (data) => (data?.rollouts.some(isUnderWay) ? LIVE : AT_REST),
  );
  const isOther = search !== q || fleet.isPlaceholderData;
  if (fleet.data === undefined) {
    return fleet.isError
      ? <ErrorPanel error={fleet.error} title="The fleet could not be read" retry={() => void fleet.refetch()} />
      : <Skeleton className="h-64 w-full" />;
  }
  const { counts, toolboxes, found, rollouts } = fleet.data;
  return (
    <div className="grid gap-5">
      {fleet.isError && (
        <ErrorPanel
          error={fleet.error}
          title="What is shown may be old"
          retry={() => void fleet.refetch()}
        />
      )}
      <Agents fleet={fleet.data} />
      {rollouts.slice(0, 1).map((each) => <Last key={each.id} rollout={each} readAt={fleet.dataUpdatedAt} />)}
      <Section title="Toolboxes of all users">
        <div className="flex flex-wrap items-center gap-2">
          <nav aria-label="Which toolboxes" className="flex flex-wrap gap-1">
            {SHOWN.map(([value, label, count]) => (
              <Link
                key={label}
                to="/operators"
                search={{ show: value, q: q === "" ? undefined : q }}
                aria-current={show === value ? "page" : undefined}
                className={cn(
                  "rounded-md px-2.5 py-1.5 text-[13px]",
                  show === value ? "bg-muted font-medium text-ink" : "text-ink-2 hover:bg-muted",
                )}
              >
                {label} <span className="tabular-nums">{counts[count]}</span>
              </Link>
            ))}
          </nav>
          <Input
            type="search"
            aria-label="Search by owner or name"
            placeholder="Owner or toolbox: address, name or id"
            className="min-w-0 flex-1 basis-56"
            value={q}
            onChange={(event) =>
              void navigate({
                to: "/operators",
                replace: true,
                search: { show, q: event.target.value === "" ? undefined : event.target.value },
              })}
          />
        </div>
        <Awaited isOther={isOther}>
          {toolboxes.length === 0
            ? (
              <Empty title={counts.all === 0 ? "There is no toolbox yet" : "No toolbox is like this"}>
                {counts.all === 0
                  ? "What users make shows here: whose it is, how it is, and what its agent last said."
                  : "Choose another part of the fleet, or search for something else."}
              </Empty>
            )
            : <List toolboxes={toolboxes} />}
        </Awaited>
        <Paging to="/operators" from={from} size={PAGE} found={found} />
      </Section>
    </div>
  );
}

/** The last rollout: what is under way and what failed, and on request all of it. */
function Last({ rollout, readAt }: { rollout: FleetRollout; readAt: number }) {
  const [isWhole, setWhole] = useState(false);
  const whole = usePolling(
    { ...fleetRolloutQuery(rollout.id), enabled: isWhole },
    undefined,
    (data) => (data && isUnderWay(data) ? LIVE : AT_REST),
  );
  const isShown = isWhole && whole.data !== undefined;
  const { operator_id, operator_email, counts, ...shown } = isShown ? whole.data : rollout;
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
  return (
    <RolloutCard
      rollout={shown}
      counts={counts}
      by={operator_email ?? `an operator whose account is gone (${operator_id.slice(0, 8)})`}
      readAt={isShown ? whole.dataUpdatedAt : readAt}
      stop={operatorChanges.stopRollout}
      more={
        <>
          {isWhole && whole.isError && (
            <ErrorPanel
              error={whole.error}
              title="Its toolboxes could not be read"
              retry={() => void whole.refetch()}
            />
          )}
          {all > rollout.toolboxes.length && (
            <Button
              size="sm"
              className="justify-self-start"
              aria-expanded={isShown}
              busy={isWhole && whole.isPending && "Reading…"}
              onClick={() => setWhole(!isWhole)}
            >
              {isShown ? "Show what is under way or failed" : `Show all ${all} toolboxes`}
            </Button>
          )}
        </>
      }
    />
  );
}

/** Which version agents should have, and whether those that have another can be replaced. */
function Agents({ fleet: { wanted_version: wanted, counts, rollouts } }: { fleet: Fleet }) {
  const client = useQueryClient();
  const [typed, setTyped] = useState<string>();
  const [wave, setWave] = useState("1");
  const again = () => client.invalidateQueries({ queryKey: ["operators", "fleet"] });
  const save = useMutation({
    mutationFn: (version: string) => operatorChanges.setVersion(version === "" ? null : version),
    onSuccess: () => setTyped(undefined),
    onSettled: again,
  });
  const begin = useMutation({
    mutationFn: (to: string) => operatorChanges.beginRollout(to, Number(wave)),
    onSettled: again,
  });
  const underWay = rollouts.find(isUnderWay);
  const running = underWay !== undefined;
  const version = typed ?? wanted ?? "";
  return (
    <Section title="Agents">
      <Card className="grid gap-3 p-4">
        <form
          className="flex flex-wrap items-end gap-2"
          onSubmit={(event) => {
            event.preventDefault();
            if (!save.isPending) save.mutate(version.trim());
          }}
        >
          <div className="min-w-0 flex-1 sm:max-w-56">
            <Field label="Wanted version" hint="Empty: none is wanted">
              {(tied) => (
                <Input
                  {...tied}
                  placeholder="1.2.3"
                  autoComplete="off"
                  value={version}
                  onChange={(event) => setTyped(event.target.value)}
                />
              )}
            </Field>
          </div>
          <Button
            type="submit"
            className="mb-5.5"
            disabled={version.trim() === (wanted ?? "")}
            busy={save.isPending && "Saving…"}
          >
            Save version
          </Button>
        </form>
        {save.isError && <ErrorPanel error={save.error} title="It was not saved" />}
        <p className="text-[13px] text-ink-2">{canRollOut(wanted ?? null, counts, underWay?.state)}</p>
        {wanted && counts.ready > 0 && !running && (
          <form
            className="flex flex-wrap items-end gap-2"
            onSubmit={(event) => {
              event.preventDefault();
              if (!begin.isPending) begin.mutate(wanted);
            }}
          >
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
              // Those that have another are counted for the version that was saved.
              disabled={version.trim() !== wanted}
              title={version.trim() !== wanted ? "Save the version first" : undefined}
              busy={begin.isPending && "Beginning…"}
            >
              Replace {counts.ready > 500 ? "the first 500 of " : ""}
              {counts.ready} {counts.ready === 1 ? "agent" : "agents"}
            </Button>
          </form>
        )}
        {begin.isError && <ErrorPanel error={begin.error} title="It was not begun" />}
      </Card>
    </Section>
  );
}

function canRollOut(wanted: string | null, counts: Fleet["counts"], underWay?: FleetRollout["state"]): string {
  if (wanted === null) return "No version is wanted yet. Save one, and those that have another can be replaced.";
  if (underWay === "running") return "A rollout runs: it asks the next toolboxes when those before are healthy.";
  if (underWay) return "The last rollout asks no more, and toolboxes that it asked are under way: wait for their end.";
  const silent = counts.silent === 0
    ? "None is silent."
    : counts.silent === 1
    ? "1 is silent and left out."
    : `${counts.silent} are silent and left out.`;
  if (counts.ready === 0) return `Every agent that reports has ${wanted}. ${silent}`;
  const have = counts.ready === 1 ? "toolbox reports and has" : "toolboxes report and have";
  return `${counts.ready} ${have} another version than ${wanted}. ${silent} One that is not healthy afterwards goes back to the version before, and no other is asked; one that is silent when it is its turn is not asked.`;
}

const HEAD = "px-3 py-2 text-left text-xs font-medium text-ink-3";
const CELL = "px-3 py-2 align-middle";

const stateOf = (of: FleetToolbox) =>
  toolboxState({
    ...of,
    dtma_last_known_version: of.version ?? null,
    provisioning_error_message: of.problem ?? null,
    progress: null,
  });

/** A table on wide screens, cards on narrow ones; the facts in the same order. */
function List({ toolboxes }: { toolboxes: FleetToolbox[] }) {
  return (
    <Card className="overflow-hidden">
      <table className="hidden w-full text-[13px] md:table">
        <thead className="border-b border-line bg-muted/50">
          <tr>
            <th scope="col" className={HEAD}>Toolbox</th>
            <th scope="col" className={HEAD}>State</th>
            <th scope="col" className={HEAD}>Agent</th>
            <th scope="col" className={HEAD}>Tools</th>
            <th scope="col" className={HEAD}>Machine</th>
            <th scope="col" className={`${HEAD} text-right`}>Seen</th>
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {toolboxes.map((each) => (
            <tr key={each.id}>
              <th scope="row" className={`${CELL} max-w-80 text-left font-medium`}>
                <span className="block truncate" title={each.name}>{each.name}</span>
                <span className="block truncate text-xs font-normal text-ink-3" title={owner(each)}>{owner(each)}</span>
              </th>
              <td className={`${CELL} max-w-72`}>
                <State of={stateOf(each)} age={false} />
                {each.problem && <span className="block text-xs break-words text-bad">{each.problem}</span>}
              </td>
              <td className={CELL}>
                <Version of={each} />
              </td>
              <td className={CELL}>
                <Tools of={each} />
              </td>
              <td className={`${CELL} text-ink-2`}>{machine(each)}</td>
              <td className={`${CELL} text-right text-ink-2`}>
                <Age at={fromServer(each.last_heartbeat_at ?? null)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <ul className="divide-y divide-line md:hidden">
        {toolboxes.map((each) => (
          <li key={each.id} className="grid gap-1 p-3 text-[13px]">
            <span className="font-medium break-words">{each.name}</span>
            <span className="text-xs break-all text-ink-3">{owner(each)}</span>
            <State of={stateOf(each)} className="justify-self-start" />
            {each.problem && <span className="text-xs break-words text-bad">{each.problem}</span>}
            <span className="flex flex-wrap gap-x-3 text-ink-2">
              <span>
                Agent <Version of={each} />
              </span>
              <Tools of={each} />
              <span>{machine(each)}</span>
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

const owner = (of: FleetToolbox) => of.owner_email ?? of.owner_id ?? "its owner is gone";

function machine(of: FleetToolbox): string {
  if (of.kind === "byo") return "own machine";
  const price = typeof of.price_monthly_usd === "number" ? `${perMonth(of.price_monthly_usd)} a month` : null;
  return [of.region_slug, of.size_slug, price].filter((part) => part).join(" · ");
}

function Version({ of }: { of: FleetToolbox }) {
  return (
    <span className="text-ink-2">
      <span className="font-mono text-xs">{of.version ?? "not known"}</span>
      {of.is_old && <span className="font-medium text-warn">, old</span>}
    </span>
  );
}

function Tools({ of }: { of: FleetToolbox }) {
  return (
    <span className="text-ink-2">
      {of.tools === 0 ? "no tools" : of.tools === 1 ? "1 tool" : `${of.tools} tools`}
      {of.failing_tools > 0 && <span className="font-medium text-bad">, {of.failing_tools} in error</span>}
    </span>
  );
}
