import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { usageQuery } from "@/api/access.ts";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Select } from "@/components/ui/field.tsx";
import { bytesInWords } from "@/lib/bytes.ts";
import { BESIDE } from "@/lib/polling.ts";
import { boundInWords, byDay, MOST_ROWS, type Usage } from "@/lib/usage.ts";
import { usePolling } from "@/lib/use-polling.ts";
import { FROM, useTool } from "./layout.tsx";

const DayBars = lazy(() => import("@/components/day-bars.tsx"));

const number = new Intl.NumberFormat();
const count = (of: number, one: string) => `${number.format(of)} ${one}${of === 1 ? "" : "s"}`;

/** Who called which tools, how often, how fast, and how often it failed. */
export function UsageTab() {
  const { toolboxId, instanceId } = useTool();
  const { days = 30 } = useSearch({ from: `${FROM}/usage` });
  const navigate = useNavigate();
  const usage = usePolling(usageQuery(toolboxId, instanceId, days), undefined, BESIDE);
  return (
    <Section
      title="Calls of its tools"
      aside={
        <Select
          className="w-40"
          aria-label="Since when"
          value={days}
          onChange={(event) => {
            const chosen = Number(event.target.value);
            void navigate({
              to: "/toolboxes/$toolboxId/tools/$instanceId/usage",
              params: { toolboxId, instanceId },
              search: chosen === 7 || chosen === 90 ? { days: chosen } : {},
            });
          }}
        >
          {[7, 30, 90].map((each) => <option key={each} value={each}>Last {each} days</option>)}
        </Select>
      }
    >
      {usage.isError && (
        <ErrorPanel
          error={usage.error}
          title={usage.data === undefined ? "The use could not be read" : "What is shown may be old"}
          retry={() => void usage.refetch()}
        />
      )}
      {usage.isPending && <Skeleton className="h-40 w-full" />}
      {usage.data?.length === 0 && (
        <Empty
          title={`No tool was called in the last ${days} days`}
          action={
            <Button asChild>
              <Link to="/toolboxes/$toolboxId/tools/$instanceId" params={{ toolboxId, instanceId }}>
                Connect a client
              </Link>
            </Button>
          }
        >
          Calls are counted on the machine, without what was asked or answered, and told about once a minute.
        </Empty>
      )}
      {usage.data !== undefined && usage.data.length > 0 && (
        <Use usage={usage.data} days={days} now={usage.dataUpdatedAt} />
      )}
    </Section>
  );
}

function Use({ usage, days, now }: { usage: Usage[]; days: number; now: number }) {
  const list = useMemo(() => byDay(usage, days, now), [usage, days, now]);
  const sum = (of: (each: Usage) => number) => usage.reduce((total, each) => total + of(each), 0);
  const text = `${count(sum(({ calls }) => calls), "call")}, ${count(sum(({ errors }) => errors), "error")}, ${
    bytesInWords(sum(({ bytes }) => bytes))
  }`;
  return (
    <>
      <Card className="grid gap-2 p-3">
        <p className="text-[13px] font-medium">{text}</p>
        <Suspense fallback={<Skeleton className="h-24 w-full" />}>
          <DayBars days={list} label={`Calls by day, and in red those that failed: ${text}`} />
        </Suspense>
      </Card>
      <Card className="overflow-hidden">
        <Table usage={usage} />
        <Cards usage={usage} />
      </Card>
      <p className="text-xs text-ink-3">
        Days are in UTC. Half of the calls (p50), and 95 of 100 (p95), took so long at most. The last minute may be
        missing.
        {usage.length >= MOST_ROWS && ` These are the newest ${MOST_ROWS} rows: choose fewer days for whole figures.`}
      </p>
    </>
  );
}

const keyOf = ({ day, tool, client }: Usage) => JSON.stringify([day, tool, client]);
const CELL = "px-3 py-2";

function Table({ usage }: { usage: Usage[] }) {
  return (
    <table className="hidden w-full text-[13px] md:table">
      <thead className="border-b border-line bg-muted/50 text-xs text-ink-3">
        <tr>
          {["Day", "Tool", "Client"].map((each) => (
            <th key={each} scope="col" className={`${CELL} text-left font-medium`}>{each}</th>
          ))}
          {["Calls", "Errors", "p50", "p95", "Bytes"].map((each) => (
            <th key={each} scope="col" className={`${CELL} text-right font-medium`}>{each}</th>
          ))}
        </tr>
      </thead>
      <tbody className="divide-y divide-line">
        {usage.map((each) => (
          <tr key={keyOf(each)}>
            <td className={`${CELL} whitespace-nowrap text-ink-2`}>{each.day}</td>
            <td className={`${CELL} max-w-64 font-mono text-xs break-all`}>{each.tool}</td>
            <td className={`${CELL} max-w-64 break-words`}>{each.client}</td>
            <td className={`${CELL} text-right`}>{number.format(each.calls)}</td>
            <td className={`${CELL} text-right ${each.errors > 0 ? "font-medium text-bad" : "text-ink-3"}`}>
              {number.format(each.errors)}
            </td>
            <td className={`${CELL} text-right whitespace-nowrap`}>{boundInWords(each.p50_ms)}</td>
            <td className={`${CELL} text-right whitespace-nowrap`}>{boundInWords(each.p95_ms)}</td>
            <td className={`${CELL} text-right whitespace-nowrap text-ink-2`}>{bytesInWords(each.bytes)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The same on narrow screens. */
function Cards({ usage }: { usage: Usage[] }) {
  return (
    <ul className="divide-y divide-line md:hidden">
      {usage.map((each) => (
        <li key={keyOf(each)} className="grid gap-0.5 p-3 text-[13px]">
          <span className="text-xs text-ink-3">{each.day}</span>
          <span className="font-mono text-xs font-medium break-all">{each.tool}</span>
          <span className="break-words text-ink-2">{each.client}</span>
          <span>
            {count(each.calls, "call")}
            {each.errors > 0 && <span className="font-medium text-bad">, {count(each.errors, "error")}</span>}
          </span>
          <span className="text-ink-2">
            p50 {boundInWords(each.p50_ms)}, p95 {boundInWords(each.p95_ms)}, {bytesInWords(each.bytes)}
          </span>
        </li>
      ))}
    </ul>
  );
}
