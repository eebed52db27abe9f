import { Plus, X } from "lucide-react";
import type { ReactNode } from "react";
import { Secret } from "@/components/secret.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Field, Input, Select, Textarea } from "@/components/ui/field.tsx";
import { bytesInWords } from "@/lib/bytes.ts";
import { type Spec, transportInWords } from "@/lib/catalog.ts";
import type { Draft, Pair } from "@/lib/deployment.ts";

interface Props {
  draft: Draft;
  onChange: (change: Partial<Draft>) => void;
  /** What holds where nothing is typed; null where the console cannot know it. */
  spec: Spec | null;
}

/** Of an update, a list takes the place of the one that was there, which nobody can read back. */
const whole = (spec: Spec | null, hint: string) =>
  spec === null ? `Instead of all that are there: name each that is to stay. ${hint}` : hint;

/** Limits, volumes and ports. */
export function ResourceFields({ draft, onChange, spec }: Props) {
  const { resources } = spec ?? {};
  const as = (value: string | undefined) => value ?? "as it is";
  return (
    <>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="Memory (optional)" hint="Such as 256Mi or 1g">
          {(tied) => (
            <Input
              {...tied}
              value={draft.memory}
              placeholder={as(resources?.memory_bytes ? bytesInWords(resources.memory_bytes) : undefined)}
              onChange={(event) => onChange({ memory: event.target.value })}
            />
          )}
        </Field>
        <Field label="CPU (optional)" hint="Such as 0.5 or 250m">
          {(tied) => (
            <Input
              {...tied}
              value={draft.cpu}
              placeholder={as(resources?.cpus?.toString())}
              onChange={(event) => onChange({ cpu: event.target.value })}
            />
          )}
        </Field>
      </div>
      <List
        label="Volumes"
        hint={whole(spec, "What is in them stays until the tool is deleted")}
        rows={draft.volumes}
        add={() => onChange({ volumes: [...draft.volumes, { name: "", path: "" }] })}
        remove={(index) => onChange({ volumes: draft.volumes.filter((_, each) => each !== index) })}
      >
        {(row, index) => {
          const set = (change: Partial<typeof row>) =>
            onChange({ volumes: draft.volumes.map((each, at) => (at === index ? { ...each, ...change } : each)) });
          return (
            <>
              <Input
                aria-label={`Name of volume ${index + 1}`}
                placeholder="data"
                value={row.name}
                onChange={(event) => set({ name: event.target.value })}
              />
              <Input
                aria-label={`Path of volume ${index + 1}`}
                placeholder="/data"
                value={row.path}
                onChange={(event) => set({ path: event.target.value })}
              />
            </>
          );
        }}
      </List>
      <List
        label="Ports"
        hint={whole(
          spec,
          "An MCP server over HTTP needs the one it listens at; no number on the machine lets it choose",
        )}
        rows={draft.ports}
        add={() => onChange({ ports: [...draft.ports, { container: "", host: "" }] })}
        remove={(index) => onChange({ ports: draft.ports.filter((_, each) => each !== index) })}
      >
        {(row, index) => {
          const set = (change: Partial<typeof row>) =>
            onChange({ ports: draft.ports.map((each, at) => (at === index ? { ...each, ...change } : each)) });
          return (
            <>
              <Input
                aria-label={`Port ${index + 1} in the container`}
                placeholder="8080 in the container"
                inputMode="numeric"
                value={row.container}
                onChange={(event) => set({ container: event.target.value })}
              />
              <Input
                aria-label={`Port ${index + 1} on the machine`}
                placeholder="any on the machine"
                inputMode="numeric"
                value={row.host}
                onChange={(event) => set({ host: event.target.value })}
              />
            </>
          );
        }}
      </List>
    </>
  );
}

/** Names with values that are stored and never read back. */
export function Pairs(
  { label, hint, pairs, what, onChange }: {
    label: string;
    hint: string;
    pairs: Pair[];
    /** One of them: "variable". */
    what: string;
    onChange: (pairs: Pair[]) => void;
  },
) {
  return (
    <List
      label={label}
      hint={hint}
      rows={pairs}
      add={() => onChange([...pairs, { name: "", value: "" }])}
      remove={(index) => onChange(pairs.filter((_, each) => each !== index))}
    >
      {(row, index) => {
        const set = (change: Partial<Pair>) =>
          onChange(pairs.map((each, at) => (at === index ? { ...each, ...change } : each)));
        return (
          <>
            <Input
              aria-label={`Name of ${what} ${index + 1}`}
              placeholder="NAME"
              className="font-mono"
              spellCheck={false}
              autoComplete="off"
              value={row.name}
              onChange={(event) => set({ name: event.target.value })}
            />
            <Secret
              aria-label={`Value of ${what} ${index + 1}`}
              value={row.value}
              onChange={(value) => set({ value })}
            />
          </>
        );
      }}
    </List>
  );
}

const TRANSPORTS = ["stdio", "streamable-http", "sse", "none"];

/** What few need. */
export function AdvancedFields({ draft, onChange, spec }: Props) {
  const text = (
    key:
      | "endpointPath"
      | "user"
      | "capabilities"
      | "networks"
      | "hostAccess"
      | "disk"
      | "pids"
      | "callTimeout"
      | "startTimeout"
      | "idleMinutes",
    label: string,
    hint: string,
    placeholder = "",
  ) => (
    <Field label={`${label} (optional)`} hint={hint}>
      {(tied) => (
        <Input
          {...tied}
          value={draft[key]}
          placeholder={placeholder}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => onChange({ [key]: event.target.value })}
        />
      )}
    </Field>
  );
  const none = spec === null ? "as it is" : "none";
  const list = (key: "command" | "entrypoint", label: string, given: string[] | null | undefined) => (
    <Field label={`${label} (optional)`} hint="One word a line, instead of the image's">
      {(tied) => (
        <Textarea
          {...tied}
          className="font-mono text-xs"
          spellCheck={false}
          value={draft[key]}
          placeholder={given?.join("\n")}
          onChange={(event) => onChange({ [key]: event.target.value })}
        />
      )}
    </Field>
  );
  return (
    <div className="grid gap-4">
      <Field label="Spoken to by (optional)" hint="How the MCP server is reached inside its container">
        {(tied) => (
          <Select
            {...tied}
            value={draft.transport}
            onChange={(event) => onChange({ transport: event.target.value })}
          >
            <option value="">{spec === null ? "as it is" : transportInWords(spec.transport)}</option>
            {TRANSPORTS.map((each) => <option key={each} value={each}>{transportInWords(each)}</option>)}
          </Select>
        )}
      </Field>
      {text("endpointPath", "Path of the endpoint", "Of a server that speaks HTTP", spec?.mcp_path ?? "/mcp")}
      {list("command", "Command", spec?.command)}
      {list("entrypoint", "Entry point", spec?.entrypoint)}
      <Pairs
        label="Headers for the MCP server"
        hint="Sent with every request, such as Authorization with its own key; stored and never read back"
        what="header"
        pairs={draft.headers}
        onChange={(headers) => onChange({ headers })}
      />
      <div className="grid gap-4 sm:grid-cols-2">
        {text("disk", "Disk", "What it may keep, such as 20g", "10 GiB")}
        {text("pids", "Processes", "Most processes and threads", spec?.resources?.pids?.toString())}
        {text("startTimeout", "Time to start", "Seconds the MCP server may take", "120")}
        {text("callTimeout", "Time for a call", "Seconds without a sign of progress", "900")}
        {text(
          "idleMinutes",
          "Stop when unused",
          "For so many minutes; the next call of an MCP client starts it. 0 is never",
          spec?.idle_minutes?.toString() ?? (spec === null ? "as it is" : "never"),
        )}
        {text("user", "User", "uid or uid:gid in numbers", "the image's own")}
        {text("capabilities", "Capabilities", whole(spec, "Such as CHOWN SETUID SETGID"), none)}
        {text("networks", "Networks", whole(spec, "Tools that name the same one reach each other"), none)}
        {text("hostAccess", "Ports of the machine", whole(spec, "Such as host:5432"), none)}
      </div>
      <label className="flex items-start gap-2 text-[13px]">
        <input
          type="checkbox"
          className="mt-0.5"
          checked={draft.stateless}
          onChange={(event) => onChange({ stateless: event.target.checked })}
        />
        <span>
          It speaks the stateless revision 2026-07-28 of the protocol, over standard streams
        </span>
      </label>
    </div>
  );
}

interface ListProps<Row> {
  label: string;
  hint: string;
  rows: Row[];
  add: () => void;
  remove: (index: number) => void;
  children: (row: Row, index: number) => ReactNode;
}

function List<Row>({ label, hint, rows, add, remove, children }: ListProps<Row>) {
  return (
    <fieldset className="grid gap-1.5">
      <legend className="mb-1.5 text-[13px] font-medium">{label} (optional)</legend>
      {rows.map((row, index) => (
        // Rows have no names of their own; one that is removed takes its place along.
        // oxlint-disable-next-line react/no-array-index-key
        <div key={index} className="flex gap-1.5">
          <div className="grid min-w-0 flex-1 gap-1.5 sm:grid-cols-2">{children(row, index)}</div>
          <Button
            size="icon"
            variant="ghost"
            aria-label={`Remove row ${index + 1} of ${label}`}
            onClick={() => remove(index)}
          >
            <X aria-hidden />
          </Button>
        </div>
      ))}
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <Button size="sm" onClick={add} aria-label={`Add to ${label}`}>
          <Plus aria-hidden /> Add
        </Button>
        <span className="text-xs text-ink-3">{hint}</span>
      </div>
    </fieldset>
  );
}
