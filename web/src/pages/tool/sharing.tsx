import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { accessQuery } from "@/api/access.ts";
import { answer, api } from "@/api/client.ts";
import { closeMcp, mcpToolsQuery } from "@/api/mcp.ts";
import { AccessList } from "@/components/access-list.tsx";
import { Snippet } from "@/components/copy.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select } from "@/components/ui/field.tsx";
import { usePolling } from "@/lib/use-polling.ts";
import { useTool } from "./layout.tsx";

const ENDS: [string, string][] = [
  ["", "when I revoke it"],
  ["3600", "in an hour"],
  ["86400", "in a day"],
  ["2592000", "in 30 days"],
  ["31536000", "in a year"],
];

export function SharingTab() {
  const { toolboxId, instanceId, tool } = useTool();
  const access = usePolling(accessQuery(toolboxId));
  if (access.data === undefined) {
    return access.isError
      ? <ErrorPanel error={access.error} title="Who has access could not be read" retry={() => void access.refetch()} />
      : <Skeleton className="h-40 w-full" />;
  }
  const list = access.data.filter((each) => each.instance_id === instanceId || !each.instance_id);
  const name = tool.data?.tool_instance.instance_name_on_toolbox ?? "this tool";
  return (
    <div className="grid gap-6">
      <Give toolboxId={toolboxId} instanceId={instanceId} name={name} />
      <Section title="Who has access">
        {access.isError && (
          <ErrorPanel
            error={access.error}
            title="What is shown may be old"
            retry={() => void access.refetch()}
          />
        )}
        {list.length === 0
          ? (
            <Empty title="Nobody but you">
              You use this server by signing in. Clients that cannot sign in need a token; other users need your leave.
            </Empty>
          )
          : (
            <AccessList
              list={list}
              where={new Map(list.map((each) => [each.id, each.instance_id ? name : "all servers of the toolbox"]))}
            />
          )}
      </Section>
    </div>
  );
}

function Give({ toolboxId, instanceId, name }: { toolboxId: string; instanceId: string; name: string }) {
  const [to, setTo] = useState<"token" | "user">("token");
  const [label, setLabel] = useState("");
  const [user, setUser] = useState("");
  const [whole, setWhole] = useState(false);
  const [readOnly, setReadOnly] = useState(false);
  const [ends, setEnds] = useState("");
  const [aMinute, setAMinute] = useState("");
  const [atOnce, setAtOnce] = useState("");
  const [some, setSome] = useState<Set<string> | null>(null);
  const tools = useQuery({ ...mcpToolsQuery(instanceId), enabled: some !== null });
  useEffect(() => () => closeMcp(instanceId), [instanceId]);
  const client = useQueryClient();
  const give = useMutation({
    mutationFn: () =>
      answer(
        api().tools.POST("/{toolboxId}/mcp-access", {
          params: { path: { toolboxId } },
          body: {
            name: label.trim(),
            ...(!whole && { instanceId }),
            ...(to === "user" && { userId: user.trim() }),
            ...(some !== null && { allowedTools: [...some] }),
            ...(readOnly && { readOnly: true }),
            ...(ends !== "" && { expiresInSeconds: Number(ends) }),
            ...(aMinute !== "" && { requestsPerMinute: Number(aMinute) }),
            ...(atOnce !== "" && { concurrentRequests: Number(atOnce) }),
          },
        }),
      ),
    gcTime: 0,
    onSettled: () => client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "access"] }),
  });
  return (
    <Section title="Give access">
      <Card className="p-4">
        <form
          className="grid max-w-2xl gap-4"
          onSubmit={(event) => {
            event.preventDefault();
            if (!give.isPending) give.mutate();
          }}
        >
          <div className="grid gap-4 sm:grid-cols-2">
            <Field label="To">
              {(tied) => (
                <Select
                  {...tied}
                  value={to}
                  onChange={(event) => setTo(event.target.value as "token" | "user")}
                >
                  <option value="token">Whoever holds a new token</option>
                  <option value="user">A user of this project</option>
                </Select>
              )}
            </Field>
            <Field label="Name" hint="By which you know it again">
              {(tied) => (
                <Input
                  {...tied}
                  required
                  maxLength={255}
                  autoComplete="off"
                  value={label}
                  onChange={(event) => setLabel(event.target.value)}
                />
              )}
            </Field>
            {to === "user" && (
              <Field label="The user's id" hint="They find it in their settings">
                {(tied) => (
                  <Input
                    {...tied}
                    required
                    className="font-mono"
                    autoComplete="off"
                    spellCheck={false}
                    value={user}
                    onChange={(event) => setUser(event.target.value)}
                  />
                )}
              </Field>
            )}
            <Field label="For">
              {(tied) => (
                <Select
                  {...tied}
                  value={whole ? "all" : "one"}
                  onChange={(event) => {
                    setWhole(event.target.value === "all");
                    setSome(null);
                  }}
                >
                  <option value="one">{name}</option>
                  <option value="all">All servers of the toolbox</option>
                </Select>
              )}
            </Field>
            <Field label="It ends">
              {(tied) => (
                <Select {...tied} value={ends} onChange={(event) => setEnds(event.target.value)}>
                  {ENDS.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
                </Select>
              )}
            </Field>
            <Limit label="Requests a minute" most={600} value={aMinute} onChange={setAMinute}>
              More are refused for a while.
            </Limit>
            <Limit label="Requests at once" most={64} value={atOnce} onChange={setAtOnce}>
              A client that listens holds one.
            </Limit>
          </div>
          <div className="grid gap-2 text-[13px]">
            <label className="flex items-center gap-2">
              <input type="checkbox" checked={readOnly} onChange={(event) => setReadOnly(event.target.checked)} />
              Only tools that the server says only read
            </label>
            {!whole && (
              <label className="flex items-center gap-2">
                <input
                  type="checkbox"
                  checked={some !== null}
                  onChange={(event) => setSome(event.target.checked ? new Set() : null)}
                />
                Only tools that I choose
              </label>
            )}
            {some !== null && (
              <fieldset className="grid max-h-60 gap-1 overflow-y-auto rounded-md border border-line p-3">
                <legend className="sr-only">Tools</legend>
                {tools.isError && <ErrorPanel error={tools.error} title="Its tools could not be listed" />}
                {tools.isPending && <Skeleton className="w-40" />}
                {tools.data?.map((each) => (
                  <label key={each.name} className="flex items-center gap-2 font-mono text-xs">
                    <input
                      type="checkbox"
                      checked={some.has(each.name)}
                      onChange={(event) => {
                        const next = new Set(some);
                        if (event.target.checked) next.add(each.name);
                        else next.delete(each.name);
                        setSome(next);
                      }}
                    />
                    <span className="break-all">{each.name}</span>
                  </label>
                ))}
              </fieldset>
            )}
          </div>
          {give.isError && <ErrorPanel error={give.error} title="No access was given" />}
          {give.data?.token && (
            <div className="grid gap-2">
              <p className="text-[13px]">The token of “{give.data.access.name}”, shown this once:</p>
              <Snippet text={give.data.token} what="the token" />
            </div>
          )}
          <div>
            <Button type="submit" variant="primary" busy={give.isPending && "Giving it…"}>Give access</Button>
          </div>
        </form>
      </Card>
    </Section>
  );
}

/** A bound that may be left as it is for anybody. */
function Limit(
  { label, most, value, onChange, children }: {
    label: string;
    most: number;
    value: string;
    onChange: (value: string) => void;
    children: string;
  },
) {
  return (
    <Field label={label} hint={`Up to ${most}, as for anybody, if left empty. ${children}`}>
      {(tied) => (
        <Input
          {...tied}
          type="number"
          min={1}
          max={most}
          step={1}
          placeholder={String(most)}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}
