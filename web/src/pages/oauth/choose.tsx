import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useId } from "react";
import type { Choice, McpServer } from "@/api/applications.ts";
import { closeMcp, mcpToolsQuery } from "@/api/mcp.ts";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Field, Select } from "@/components/ui/field.tsx";

const DAY = 24 * 3600;
/** How long an application may be let in for, in seconds. */
export const TIMES: [string, number | null][] = [
  ["30 days", 30 * DAY],
  ["90 days", 90 * DAY],
  ["A year", 365 * DAY],
  ["Until I take it back", null],
];
export const USUAL_TIME = 1;

/** What is chosen, by toolbox and instance. */
export type Chosen = Record<string, Choice>;
export const keyOf = (toolboxId: string, instanceId: string | null) => `${toolboxId}/${instanceId ?? ""}`;

const ANY = { tools: null, readOnly: false };

interface Props {
  servers: McpServer[];
  chosen: Chosen;
  onChange: (chosen: Chosen) => void;
}

/** What is said beside the failure to let an application in, which ends more than it makes. */
export function MayHaveLess() {
  return (
    <p className="text-[13px] text-ink-2">
      What the application was let in to before may have ended, too. Try again, or see in your settings what it may use
      now.
    </p>
  );
}

/** The servers of the user, own and shared, and the tools of each that an application may use. */
export function ChooseServers({ servers, chosen, onChange }: Props) {
  const toolboxes = new Map<string, McpServer[]>();
  for (const server of servers) toolboxes.set(server.toolbox_id, [...toolboxes.get(server.toolbox_id) ?? [], server]);
  const put = (choice: Choice, on: boolean) => {
    const key = keyOf(choice.toolboxId, choice.instanceId);
    const { [key]: _, ...others } = chosen;
    onChange(on ? { ...others, [key]: choice } : others);
  };
  return (
    <div className="grid gap-4">
      {[...toolboxes].map(([toolboxId, its]) => {
        const whole = keyOf(toolboxId, null);
        const all = chosen[whole];
        const isAll = all !== undefined;
        const isOwn = its.every((server) => server.is_own);
        return (
          <fieldset key={toolboxId} className="grid gap-1 rounded-md border border-line p-3">
            <legend className="px-1 text-xs text-ink-3">
              {its[0]?.toolbox}
              {!isOwn && " · shared with you"}
            </legend>
            {its.map((server) => {
              const choice = chosen[keyOf(toolboxId, server.instance_id)];
              return (
                <div key={server.instance_id} className="grid gap-1">
                  <Check
                    label={server.name}
                    checked={isAll || choice !== undefined}
                    disabled={isAll}
                    onChange={(on) => put({ ...ANY, toolboxId, instanceId: server.instance_id }, on)}
                  />
                  {!isAll && choice !== undefined && (
                    <ChooseTools
                      server={server}
                      choice={choice}
                      onChange={(changed) => put({ ...choice, ...changed }, true)}
                    />
                  )}
                </div>
              );
            })}
            {isOwn && (
              <Check
                label="All servers of this toolbox, also those to come"
                checked={isAll}
                onChange={(on) => put({ ...ANY, toolboxId, instanceId: null }, on)}
              />
            )}
            {isAll && (
              <div className="ml-6">
                <ReadOnly checked={all.readOnly} onChange={(readOnly) => put({ ...all, readOnly }, true)} />
              </div>
            )}
          </fieldset>
        );
      })}
    </div>
  );
}

function ChooseTools(
  { server, choice: { tools, readOnly }, onChange }: {
    server: McpServer;
    choice: Choice;
    onChange: (changed: Partial<Pick<Choice, "tools" | "readOnly">>) => void;
  },
) {
  const { instance_id: id } = server;
  const listed = useQuery(mcpToolsQuery(id));
  useEffect(() => () => closeMcp(id), [id]);
  const names = (listed.data ?? []).filter(({ annotations }) => !readOnly || annotations.readOnlyHint === true)
    .map(({ name }) => name);
  return (
    <div className="ml-6 grid gap-1">
      <ReadOnly
        checked={readOnly}
        onChange={(on) => onChange({ readOnly: on })}
      />
      <Check
        label={server.allowed_tools == null
          ? "All its tools, also those to come"
          : "All its tools that are shared with you"}
        checked={tools === null}
        // Until they are known there is nothing to choose from.
        disabled={tools === null && !listed.isSuccess}
        onChange={(all) => onChange({ tools: all ? null : names })}
      />
      {/* The line stays, so that nothing below it moves under a pointer. */}
      {tools === null && !listed.isError && (
        <p className="truncate text-xs text-ink-3" title={names.join(", ")}>
          {listed.isPending ? "Asking the server for its tools…" : `Now: ${names.join(", ") || "none"}`}
        </p>
      )}
      {listed.isError && (
        <ErrorPanel
          error={listed.error}
          title="The tools could not be read"
          retry={() => void listed.refetch()}
        />
      )}
      {tools !== null && (
        <div role="group" aria-label={`Tools of ${server.name}`} className="ml-6 grid gap-1">
          {names.map((name) => (
            <Check
              key={name}
              label={<code className="font-mono text-xs">{name}</code>}
              checked={tools.includes(name)}
              onChange={(on) => onChange({ tools: on ? [...tools, name] : tools.filter((each) => each !== name) })}
            />
          ))}
        </div>
      )}
    </div>
  );
}

/** The server says which of its tools are, and is believed. */
function ReadOnly({ checked, onChange }: { checked: boolean; onChange: (on: boolean) => void }) {
  return (
    <Check
      label="Only those that the server calls read-only"
      checked={checked}
      onChange={onChange}
    />
  );
}

function Check(
  { label, checked, disabled, onChange }: {
    label: ReactNode;
    checked: boolean;
    disabled?: boolean;
    onChange: (on: boolean) => void;
  },
) {
  const id = useId();
  return (
    <div className="flex min-h-6 items-center gap-2 text-[13px]">
      <input
        id={id}
        type="checkbox"
        className="size-4 shrink-0 accent-accent"
        checked={checked}
        disabled={disabled}
        onChange={(event) => onChange(event.target.checked)}
      />
      <label htmlFor={id} className="min-w-0 break-words">{label}</label>
    </div>
  );
}

export function ChooseTime({ time, onChange }: { time: number; onChange: (time: number) => void }) {
  return (
    <Field label="For how long">
      {(tied) => (
        <Select {...tied} value={time} onChange={(event) => onChange(Number(event.target.value))}>
          {TIMES.map(([label], index) => <option key={label} value={index}>{label}</option>)}
        </Select>
      )}
    </Field>
  );
}
