import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { ChevronRight } from "lucide-react";
import { useEffect, useState } from "react";
import { toast } from "sonner";
import { callTool, closeMcp, type McpResult, type McpTool, mcpToolsQuery } from "@/api/mcp.ts";
import { useToolAction } from "@/api/tool-actions.ts";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { McpContent, Text } from "@/components/mcp-content.tsx";
import { SchemaFields } from "@/components/schema-fields.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Textarea } from "@/components/ui/field.tsx";
import { propertiesOf, typedDefault, valuesOf } from "@/lib/schema.ts";
import { isHeld, isIdle, speaksMcp, type Tool } from "@/lib/states.ts";
import { cn } from "@/lib/utils.ts";
import { useTool } from "./layout.tsx";
import { PinPending, ToolPin } from "./pin.tsx";

export function McpToolsTab() {
  const { toolboxId, tool } = useTool();
  const data = tool.data?.tool_instance;
  const runs = data?.status_on_toolbox === "running";
  return (
    <div className="grid gap-4">
      {runs && speaksMcp(data) && <ToolPin toolboxId={toolboxId} tool={data} />}
      {!runs && data?.mcp_pin_pending && <PinPending tool={data} />}
      {data === undefined || !isHeld(data) ? <Offered /> : !runs && <Held toolboxId={toolboxId} tool={data} />}
    </div>
  );
}

/** Its tools changed, and it does not run, so that nobody can ask what they are now. */
function Held({ toolboxId, tool }: { toolboxId: string; tool: Tool }) {
  const act = useToolAction(toolboxId, tool.id, () => toast(`Asked for: start ${tool.instance_name_on_toolbox}`));
  const canStart = ["stopped", "error"].includes(tool.status_on_toolbox);
  return (
    <>
      <Empty
        title={canStart ? "Start it to see what changed" : "What changed shows when it runs"}
        action={canStart && (
          <Button
            variant="primary"
            busy={act.isPending && "Asking…"}
            onClick={() => act.mutate("start")}
          >
            Start it
          </Button>
        )}
      >
        {isIdle(tool) ? "Its server is idle" : "Its server does not run"}, and its tools changed since you accepted
        them. Clients are held back until you accept what changed.
      </Empty>
      {act.isError && <ErrorPanel error={act.error} title="It was not started" />}
    </>
  );
}

/** What the server offers, as a client of it is told. */
function Offered() {
  const { instanceId, tool } = useTool();
  const { name } = useSearch({ from: "/signed-in/toolboxes/$toolboxId/tools/$instanceId/tools" });
  const navigate = useNavigate();
  const [search, setSearch] = useState("");
  const status = tool.data?.tool_instance.status_on_toolbox;
  const tools = useQuery({ ...mcpToolsQuery(instanceId), enabled: status === "running" });
  useEffect(() => () => closeMcp(instanceId), [instanceId]);
  if (status !== undefined && status !== "running" && tools.data === undefined) {
    const idle = tool.data !== undefined && isIdle(tool.data.tool_instance);
    return (
      <Empty title={idle ? "Its server is idle" : "Its server does not run"}>
        Start the tool to see what it offers, and to try it.
      </Empty>
    );
  }
  if (tools.data === undefined) {
    return tools.isError
      ? (
        <ErrorPanel
          error={tools.error}
          title="Its tools could not be listed"
          retry={() => void tools.refetch()}
        />
      )
      : <Skeleton className="h-60 w-full" />;
  }
  if (tools.data.length === 0) {
    return <Empty title="It offers no tool">The server runs, answers, and lists no tool. Its log may say why.</Empty>;
  }
  const words = search.trim().toLowerCase();
  const found = tools.data.filter((each) =>
    `${each.name} ${each.title ?? ""} ${each.description ?? ""}`.toLowerCase()
      .includes(words)
  );
  const open = tools.data.find((each) => each.name === name);
  const data = tool.data?.tool_instance;
  // Of pinned tools, those that are shown were accepted.
  const changed = data?.mcp_pinned_fingerprint ? undefined : data?.mcp?.tools_changed;
  const choose = (next: string) =>
    void navigate({
      to: "/toolboxes/$toolboxId/tools/$instanceId/tools",
      params: (before) => before as { toolboxId: string; instanceId: string },
      search: { name: next },
      replace: open !== undefined,
    });
  return (
    <div className="grid gap-4">
      {changed && (
        <p className="rounded-md border border-warn/50 bg-warn-soft p-3 text-[13px] break-words">
          <span className="font-medium">The tools changed.</span>{" "}
          {([["added", changed.added], ["removed", changed.removed], ["changed", changed.changed]] as const)
            .filter(([, names]) => names.length > 0).map(([what, names]) => `${what}: ${names.join(", ")}`).join("; ")}
        </p>
      )}
      <div className="grid items-start gap-4 md:grid-cols-[18rem_minmax(0,1fr)]">
        <div className={cn("grid gap-2", open !== undefined && "hidden md:grid")}>
          <Input
            type="search"
            aria-label="Search the tools"
            placeholder={`Search ${tools.data.length} tools`}
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
          <Card>
            <ul className="max-h-[70vh] divide-y divide-line overflow-y-auto" aria-label="Tools of the server">
              {found.map((each) => (
                <li key={each.name}>
                  <button
                    type="button"
                    aria-current={each.name === name}
                    onClick={() => choose(each.name)}
                    className="flex w-full items-center gap-2 px-3 py-2 text-left text-[13px] hover:bg-muted/50 aria-[current=true]:bg-muted"
                  >
                    <span className="min-w-0 flex-1">
                      <span className="block truncate font-mono text-xs font-medium">{each.name}</span>
                      <span className="line-clamp-1 text-xs text-ink-3">{each.description}</span>
                    </span>
                    <ChevronRight aria-hidden className="size-3.5 shrink-0 text-ink-3" />
                  </button>
                </li>
              ))}
              {found.length === 0 && <li className="px-3 py-2 text-[13px] text-ink-3">No tool has this text</li>}
            </ul>
          </Card>
        </div>
        {open === undefined
          ? (
            <Empty title="Try a tool">
              Choose one to see what it takes, and to call it as an MCP client does: by the public URL, as you.
            </Empty>
          )
          : (
            <div className="grid gap-3">
              <Button
                size="sm"
                variant="ghost"
                className="justify-self-start md:hidden"
                onClick={() =>
                  void navigate({
                    to: "/toolboxes/$toolboxId/tools/$instanceId/tools",
                    params: (before) => before as { toolboxId: string; instanceId: string },
                    search: {},
                  })}
              >
                All tools
              </Button>
              <Try key={open.name} tool={open} instanceId={instanceId} />
            </div>
          )}
      </div>
    </div>
  );
}

/** What the server says that a call does; it is believed by nobody but shown. */
const HINTS: [string, string, string][] = [
  ["readOnlyHint", "only reads", "may change things"],
  ["destructiveHint", "may destroy", "destroys nothing"],
  ["idempotentHint", "safe to repeat", "not safe to repeat"],
  ["openWorldHint", "reaches others", "reaches nobody else"],
];

function Try({ tool, instanceId }: { tool: McpTool; instanceId: string }) {
  const properties = propertiesOf(tool.inputSchema);
  const [typed, setTyped] = useState<Record<string, string>>(() =>
    Object.fromEntries(properties.map(({ name, schema }) => [name, typedDefault(schema)]))
  );
  const [json, setJson] = useState<string | null>(null);
  const [wrong, setWrong] = useState<Record<string, string>>({});
  const [wrongJson, setWrongJson] = useState<string>();
  const call = useMutation({
    mutationFn: (args: Record<string, unknown>) => callTool(instanceId, tool.name, args),
    gcTime: 0,
  });
  const run = () => {
    if (json === null) {
      const { values, wrong: found } = valuesOf(properties, typed);
      setWrong(found);
      if (Object.keys(found).length === 0) call.mutate(values);
      return;
    }
    let args: unknown;
    try {
      args = JSON.parse(json);
    } catch {
      return setWrongJson("This is no JSON");
    }
    if (typeof args !== "object" || args === null || Array.isArray(args)) return setWrongJson("This is no JSON object");
    setWrongJson(undefined);
    call.mutate(args as Record<string, unknown>);
  };
  const hints = HINTS.filter(([key]) => typeof tool.annotations[key] === "boolean")
    .map(([key, yes, no]) => (tool.annotations[key] === true ? yes : no));
  return (
    <Card className="grid gap-4 p-4">
      <div className="grid gap-1">
        <h2 className="font-mono text-sm font-semibold break-all">{tool.name}</h2>
        {tool.title && <p className="text-[13px] font-medium">{tool.title}</p>}
        {tool.description && (
          <p className="max-h-40 overflow-y-auto text-[13px] break-words whitespace-pre-wrap text-ink-2">
            {tool.description}
          </p>
        )}
        {hints.length > 0 && <p className="text-xs text-ink-3">The server says: {hints.join(", ")}</p>}
      </div>
      <form
        noValidate
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!call.isPending) run();
        }}
      >
        {json === null
          ? properties.length === 0 ? <p className="text-[13px] text-ink-3">It takes nothing.</p> : (
            <SchemaFields
              properties={properties}
              typed={typed}
              wrong={wrong}
              onChange={(name, value) => setTyped((before) => ({ ...before, [name]: value }))}
            />
          )
          : (
            <Field label="Arguments as JSON" error={wrongJson}>
              {(tied) => (
                <Textarea
                  {...tied}
                  spellCheck={false}
                  className="min-h-40 font-mono text-xs"
                  value={json}
                  onChange={(event) => setJson(event.target.value)}
                />
              )}
            </Field>
          )}
        <div className="flex flex-wrap items-center gap-2">
          <Button type="submit" variant="primary" busy={call.isPending && "Calling…"}>Call</Button>
          <Button
            variant="ghost"
            onClick={() => setJson(json === null ? JSON.stringify(valuesOf(properties, typed).values, null, 2) : null)}
          >
            {json === null ? "As JSON" : "As a form"}
          </Button>
        </div>
      </form>
      {call.isError && <ErrorPanel error={call.error} title="The call failed" />}
      {call.data !== undefined && <Result of={call.data} />}
      <details className="text-[13px]">
        <summary className="cursor-pointer text-ink-2">Schema</summary>
        <div className="mt-2 grid gap-2">
          <Text text={JSON.stringify(tool.inputSchema, null, 2)} what="the schema of what it takes" />
          {tool.outputSchema && (
            <Text text={JSON.stringify(tool.outputSchema, null, 2)} what="the schema of what it answers" />
          )}
        </div>
      </details>
    </Card>
  );
}

/** What the tool answered, as a model gets it. */
function Result({ of }: { of: McpResult }) {
  return (
    <section
      aria-label="Result"
      className={cn("grid gap-2 border-l-2 pl-3", of.isError ? "border-bad" : "border-line-strong")}
    >
      <p role="status" className="text-[13px]">
        <span className={cn("font-medium", of.isError && "text-bad")}>
          {of.isError ? "The tool says that it failed" : "The tool answered"}
        </span>{" "}
        <span className="text-ink-3">in {of.ms} ms</span>
      </p>
      {/* The parts have no names; the list is shown once and never changes. */}
      {/* oxlint-disable-next-line react/no-array-index-key */}
      {of.content.map((part, index) => <McpContent key={index} of={part} />)}
      {of.structured !== null && (
        <>
          <h3 className="text-[13px] font-medium">Structured</h3>
          <Text text={JSON.stringify(of.structured, null, 2)} what="the structured result" />
        </>
      )}
      {of.content.length === 0 && of.structured === null && (
        <p className="text-[13px] text-ink-3">It answered with nothing in it.</p>
      )}
    </section>
  );
}
