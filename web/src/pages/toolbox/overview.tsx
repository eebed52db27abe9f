import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { RotateCw } from "lucide-react";
import { lazy, Suspense } from "react";
import { machineQuery, toolboxQuery, toolRowsQuery } from "@/api/queries.ts";
import { ApiError } from "@/api/error.ts";
import { Attention, attentionOf } from "@/components/attention.tsx";
import { Age, moment } from "@/components/age.tsx";
import { Copy } from "@/components/copy.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { State } from "@/components/state.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Facts, Section, Skeleton } from "@/components/ui/card.tsx";
import { bytesInWords } from "@/lib/bytes.ts";
import { BESIDE, LIVE } from "@/lib/polling.ts";
import { fromServer } from "@/lib/server-time.ts";
import { duration, shown } from "@/lib/state.ts";
import { FIREWALL, type MachineState, serviceState } from "@/lib/states.ts";
import { useNow } from "@/lib/use-now.ts";
import { usePolling } from "@/lib/use-polling.ts";
import { cn } from "@/lib/utils.ts";

const Series = lazy(() => import("@/components/series.tsx"));

export function OverviewTab() {
  const { toolboxId } = useParams({ from: "/signed-in/toolboxes/$toolboxId" });
  const machine = usePolling(machineQuery(toolboxId), undefined, LIVE);
  const toolbox = useQuery({ ...toolboxQuery(toolboxId), enabled: false });
  const tools = usePolling(toolRowsQuery(), undefined, BESIDE);
  const own = (tools.data ?? []).filter((tool) => tool.account_tool_environment_id === toolboxId);
  const attention = toolbox.data === undefined ? [] : attentionOf([toolbox.data], own);
  if (machine.data?.machine?.docker.reachable === false) {
    attention.unshift({
      id: "docker",
      tone: "bad",
      text: () => "Docker does not answer on this machine: no tool can be started or changed",
      action: "Diagnose",
      to: `/toolboxes/${toolboxId}/system`,
    });
  }
  return (
    <div className="grid gap-6">
      <Attention items={attention} />
      {machine.isError && (
        <ErrorPanel
          error={machine.error}
          title="The machine could not be asked"
          retry={() => void machine.refetch()}
        />
      )}
      {tools.isError && (
        <ErrorPanel
          error={tools.error}
          title="The tools could not be read"
          retry={() => void tools.refetch()}
        />
      )}
      <Section
        title="Health"
        aside={
          <Button
            size="sm"
            variant="ghost"
            onClick={() => void machine.refetch()}
            busy={machine.isFetching && "Asking…"}
          >
            <RotateCw aria-hidden /> Ask now
          </Button>
        }
      >
        {machine.data === undefined ? <Skeleton className="h-44 w-full" /> : <Health of={machine.data} />}
      </Section>
      {machine.data !== undefined && (
        <>
          {machine.data.error && <NoAnswer of={machine.data} toolboxId={toolboxId} />}
          <Host of={machine.data} />
          <Versions of={machine.data} address={toolbox.data?.public_ip_address ?? null} />
        </>
      )}
    </div>
  );
}

const SERVICES: Record<string, string> = { agent: "Agent", companion: "Companion", ssh: "SSH", database: "Database" };

function Health({ of }: { of: MachineState }) {
  const now = useNow();
  return (
    <Card>
      <ul className="divide-y divide-line text-[13px]">
        {of.services.map((service) => (
          <li
            key={service.name}
            className="grid grid-cols-[6rem_1fr] items-baseline gap-x-3 gap-y-0.5 px-3 py-2 sm:grid-cols-[7rem_13rem_1fr_5rem]"
          >
            <span className="font-medium">{SERVICES[service.name] ?? service.name}</span>
            <State of={serviceState(service)} />
            <span
              className={cn(
                "col-span-2 min-w-0 break-words sm:col-span-1",
                shown(serviceState(service), now).last === null ? "text-ink-2" : "text-ink-3",
              )}
            >
              {shown(serviceState(service), now).last !== null && "Then: "}
              {service.evidence}
            </span>
            <span className="text-ink-3 sm:text-right">
              {typeof service.response_time_ms === "number" ? `${Math.round(service.response_time_ms)} ms` : "–"}
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** The machine did not answer: what was tried, one line each. */
function NoAnswer({ of, toolboxId }: { of: MachineState; toolboxId: string }) {
  if (!of.error) return null;
  const { code, message, request_id, details } = of.error;
  return (
    <ErrorPanel
      title="The machine does not answer"
      error={new ApiError(code, message, null, request_id, details ?? null)}
      action={
        <Button asChild size="sm">
          <Link to="/toolboxes/$toolboxId/system" params={{ toolboxId }}>Diagnose</Link>
        </Button>
      }
    />
  );
}

function Host({ of }: { of: MachineState }) {
  const now = of.machine?.host.now ?? of.system_metrics;
  if (!now) return null;
  const samples = of.machine?.host.samples ?? [];
  const at = samples.map((sample) => Date.parse(sample.at) / 1000);
  const disk = now.disk;
  return (
    <Section title="Machine, last hour" aside={<AsOf machine={of} />}>
      <div className="grid gap-3 sm:grid-cols-3">
        <Metric
          title="Processor"
          value={`${Math.round(now.cpu_load_percent)} %`}
          note="of all cores"
          at={at}
          values={samples.map((sample) => sample.cpu_load_percent)}
        />
        <Metric
          title="Memory"
          value={`${bytesInWords(now.memory.used_bytes)} of ${bytesInWords(now.memory.total_bytes)}`}
          note={`${bytesInWords(now.memory.total_bytes - now.memory.used_bytes)} free`}
          at={at}
          values={samples.map((sample) => (100 * sample.memory_used_bytes) / sample.memory_total_bytes)}
        />
        <Metric
          title="Disk"
          value={disk ? `${bytesInWords(disk.used_bytes)} of ${bytesInWords(disk.total_bytes)}` : "not known"}
          note={disk ? `${bytesInWords(disk.free_bytes)} free at ${disk.mount}` : "the agent told nothing of it"}
          at={at}
          values={samples.map(({ disk_free_bytes, disk_total_bytes }) =>
            typeof disk_free_bytes === "number" && typeof disk_total_bytes === "number" && disk_total_bytes > 0
              ? 100 * (1 - disk_free_bytes / disk_total_bytes)
              : null
          )}
        />
      </div>
    </Section>
  );
}

/** When all of it was told. */
function AsOf({ machine }: { machine: MachineState }) {
  return (
    <span className="text-xs text-ink-3">
      as of <Age at={fromServer(machine.last_checked)} />
    </span>
  );
}

interface MetricProps {
  title: string;
  value: string;
  note: string;
  at: number[];
  /** In percent; null where nothing was measured. */
  values: (number | null)[];
}

function Metric({ title, value, note, at, values }: MetricProps) {
  return (
    <Card className="grid content-start gap-1 p-3">
      <h3 className="text-xs font-medium text-ink-3">{title}</h3>
      <p className="text-sm font-medium">{value}</p>
      <p className="text-xs text-ink-3">{note}</p>
      <div className="mt-1 h-24">
        {at.length > 1
          ? (
            <Suspense fallback={<Skeleton className="h-24" />}>
              <Series at={at} values={values} label={`${title} in percent`} />
            </Suspense>
          )
          : <p className="pt-8 text-center text-xs text-ink-3">A line appears after two minutes</p>}
      </div>
    </Card>
  );
}

function Versions({ of, address }: { of: MachineState; address: string | null }) {
  const { machine, last_heartbeat: heartbeat } = of;
  const certificate = machine?.certificate;
  const firewall = machine?.host.now.host_firewall ?? of.system_metrics?.host_firewall;
  const uptime = machine?.agent.uptime_seconds;
  const ends = fromServer(certificate?.not_after);
  return (
    <Section title="What runs there" aside={<AsOf machine={of} />}>
      <Card className="p-4">
        <Facts
          items={[
            [
              "Agent",
              machine?.agent.version ?? (heartbeat.version ? `${heartbeat.version}, as it last reported` : "not known"),
            ],
            ["Running for", typeof uptime === "number" ? duration(uptime) : "not known"],
            [
              "Companion",
              machine?.companion
                ? (machine.companion.reachable ? machine.companion.version ?? "answers" : "does not answer")
                : "not known",
            ],
            [
              "Docker",
              machine
                ? (machine.docker.reachable ? machine.docker.version ?? "answers" : "does not answer")
                : "not known",
            ],
            ["Last heartbeat", <Age key="heartbeat" at={fromServer(heartbeat.at ?? null)} />],
            [
              "Firewall",
              firewall ? `${FIREWALL[firewall.state]}${firewall.detail ? `: ${firewall.detail}` : ""}` : "not known",
            ],
            [
              "Certificate",
              certificate
                ? <Copy key="certificate" text={certificate.sha256} what="the fingerprint of the certificate" />
                : "not known",
            ],
            ...(ends === null ? [] : [["Certificate ends", moment(ends)] as [string, string]]),
            ["Address", address === null ? "not known" : <Copy key="address" text={address} what="the address" />],
            ["Toolbox id", <Copy key="id" text={of.toolbox_id} what="the id of the toolbox" />],
          ]}
        />
      </Card>
    </Section>
  );
}
