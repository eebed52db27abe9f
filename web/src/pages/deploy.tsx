import { Validator } from "@cfworker/json-schema";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { catalogQuery } from "@/api/catalog.ts";
import { answer, api } from "@/api/client.ts";
import { ApiError } from "@/api/error.ts";
import { toolboxesQuery, type ToolRow, toolRowsQuery } from "@/api/queries.ts";
import { AdvancedFields, Pairs, ResourceFields } from "@/components/deployment-fields.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { SchemaFields } from "@/components/schema-fields.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Facts, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select } from "@/components/ui/field.tsx";
import { type CatalogEntry, freeName, takesAnyImage, wrongName } from "@/lib/catalog.ts";
import { type Draft, EMPTY, isMcpServer, overrideOf, whatRuns } from "@/lib/deployment.ts";
import { type JsonSchema, propertiesOf } from "@/lib/schema.ts";
import type { Toolbox } from "@/lib/states.ts";

export function DeployPage() {
  const { catalogId } = useParams({ from: "/signed-in/marketplace/$catalogId/deploy" });
  const catalog = useQuery(catalogQuery());
  const toolboxes = useQuery(toolboxesQuery());
  const tools = useQuery(toolRowsQuery());
  const entry = catalog.data?.find(({ id }) => id === catalogId);
  const title = entry === undefined ? "Deploy" : `Deploy ${entry.name}`;
  const failed = [catalog, toolboxes, tools].find((each) => each.isError && each.data === undefined);
  if (failed !== undefined) {
    return (
      <Page title={title}>
        <ErrorPanel error={failed.error} retry={() => void failed.refetch()} />
      </Page>
    );
  }
  if (catalog.data === undefined || toolboxes.data === undefined || tools.data === undefined) {
    return (
      <Page title="…">
        <Skeleton className="h-64 w-full" />
      </Page>
    );
  }
  if (entry === undefined) {
    return (
      <Page title={title}>
        <ErrorPanel
          error={new ApiError("catalog_tool_not_found", "The catalog has no such entry", 404)}
          action={
            <Button asChild size="sm">
              <Link to="/marketplace">To the marketplace</Link>
            </Button>
          }
        />
      </Page>
    );
  }
  const ready = toolboxes.data.filter(({ status }) => status === "active");
  if (ready.length === 0) {
    return (
      <Page title={title}>
        <NoMachine all={toolboxes.data} />
      </Page>
    );
  }
  return (
    <Page title={title}>
      <p className="max-w-2xl text-[13px] text-ink-2">{entry.description}</p>
      <Form entry={entry} toolboxes={ready} tools={tools.data} />
    </Page>
  );
}

function NoMachine({ all }: { all: Toolbox[] }) {
  const first = all[0];
  return first === undefined
    ? (
      <Empty
        title="There is no machine to run it on yet"
        action={
          <Button asChild variant="primary">
            <Link to="/toolboxes/new">New toolbox</Link>
          </Button>
        }
      >
        A tool runs on a toolbox: a machine of yours, or one that we buy for you. Make one first, then come back.
      </Empty>
    )
    : (
      <Empty
        title="No toolbox is ready"
        action={
          <Button asChild variant="primary">
            <Link to="/toolboxes/$toolboxId" params={{ toolboxId: first.id }}>Look at {first.name}</Link>
          </Button>
        }
      >
        A tool is deployed to a machine that answers. None of your {all.length} does now.
      </Empty>
    );
}

/** What is wrong with what was typed, by the schemas of the entry. Their expressions are the operator's own. */
function wrongSettings(entry: CatalogEntry, settings: Record<string, string>): Record<string, string> {
  const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ""));
  const wrong: Record<string, string> = {};
  for (const schema of [entry.required_config_schema, entry.required_secrets_schema]) {
    for (const { name, required } of propertiesOf(schema)) {
      if (required && given[name] === undefined) wrong[name] = "This is needed";
    }
    const own = Object.fromEntries(Object.entries(given).filter(([name]) => schema.properties?.[name] !== undefined));
    const { errors } = new Validator(asTyped(schema), "2020-12", false).validate(own);
    for (const { instanceLocation, error } of errors) {
      const name = instanceLocation.split("/")[1];
      if (name !== undefined && wrong[name] === undefined) wrong[name] = error;
    }
  }
  return wrong;
}

/** Environment variables are texts, whatever the schema says they mean. */
function asTyped(schema: JsonSchema): object {
  const properties = Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([name, each]) => [name, { ...each, type: "string" }]),
  );
  return { ...schema, required: [], properties };
}

function Form({ entry, toolboxes, tools }: { entry: CatalogEntry; toolboxes: Toolbox[]; tools: ToolRow[] }) {
  const search = useSearch({ from: "/signed-in/marketplace/$catalogId/deploy" });
  const navigate = useNavigate();
  const client = useQueryClient();
  const [toolboxId, setToolboxId] = useState(() =>
    (toolboxes.find(({ id }) => id === search.toolbox) ?? toolboxes[0])?.id ?? ""
  );
  const taken = new Set(
    tools.filter((tool) => tool.account_tool_environment_id === toolboxId).map((tool) => tool.instance_name_on_toolbox),
  );
  const [typedName, setName] = useState<string | null>(null);
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [pins, setPins] = useState(false);
  const [tried, setTried] = useState(false);
  // As long as nobody typed a name, it is one that is free.
  const name = typedName ?? freeName(entry.tool_name, taken);
  const change = (part: Partial<Draft>) => setDraft((before) => ({ ...before, ...part }));
  const set = (key: string, value: string) => change({ settings: { ...draft.settings, [key]: value } });

  const config = propertiesOf(entry.required_config_schema);
  const secrets = propertiesOf(entry.required_secrets_schema);
  const needsImage = takesAnyImage(entry);
  const isMcp = isMcpServer(entry, draft);
  const wrong = tried ? wrongSettings(entry, draft.settings) : {};
  const deploy = useMutation({
    mutationFn: () =>
      answer(
        api().tools.POST("/{toolboxId}/tools", {
          params: { path: { toolboxId } },
          body: {
            toolCatalogId: entry.id,
            instanceNameOnToolbox: name,
            baseConfigOverrideJson: overrideOf(draft),
            // What was ticked before it became no MCP server is not asked for.
            pinTools: pins && isMcp,
          },
        }),
      ),
    onSuccess: async ({ instanceId }) => {
      void client.invalidateQueries({ queryKey: ["tool-rows"] });
      void client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "tools"] });
      await navigate({
        to: "/toolboxes/$toolboxId/tools/$instanceId",
        params: { toolboxId, instanceId },
        replace: true,
      });
    },
  });
  const submit = () => {
    setTried(true);
    const nothingWrong = wrongName(name, taken) === undefined && (!needsImage || draft.image.trim() !== "") &&
      Object.keys(wrongSettings(entry, draft.settings)).length === 0;
    if (nothingWrong) deploy.mutate();
  };
  const git = search.source === "git";
  const toolbox = toolboxes.find(({ id }) => id === toolboxId);
  return (
    <div className="grid items-start gap-6 lg:grid-cols-[minmax(0,1fr)_20rem]">
      <form
        noValidate
        className="grid max-w-2xl gap-5"
        onSubmit={(event) => {
          event.preventDefault();
          if (!deploy.isPending) submit();
        }}
      >
        {toolboxes.length > 1 && (
          <Field label="Toolbox" hint="Where it runs">
            {(tied) => (
              <Select {...tied} value={toolboxId} onChange={(event) => setToolboxId(event.target.value)}>
                {toolboxes.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
              </Select>
            )}
          </Field>
        )}
        <Field label="Name" hint="By which you know it in its toolbox" error={wrongName(name, taken)}>
          {(tied) => (
            <Input
              {...tied}
              autoComplete="off"
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        {needsImage && (
          <Field
            label={git ? "Repository" : "Image"}
            hint={git
              ? "A public Git URL, or a GitHub link to a Dockerfile; it is built on your machine"
              : "Such as mcp/time:latest or ghcr.io/owner/image@sha256:…"}
            error={tried && draft.image.trim() === "" ? "This is needed" : undefined}
          >
            {(tied) => (
              <Input
                {...tied}
                className="font-mono"
                autoComplete="off"
                spellCheck={false}
                value={draft.image}
                onChange={(event) => change({ image: event.target.value })}
              />
            )}
          </Field>
        )}
        <SchemaFields properties={secrets} typed={draft.settings} wrong={wrong} onChange={set} secret />
        <SchemaFields properties={config} typed={draft.settings} wrong={wrong} onChange={set} />
        {needsImage && (
          <>
            <Variables draft={draft} change={change} />
            <ResourceFields draft={draft} onChange={change} spec={entry.default_spec} />
          </>
        )}
        <details className="rounded-md border border-line">
          <summary className="cursor-pointer px-3 py-2 text-[13px] text-ink-2">
            {needsImage ? "Advanced" : "Image, variables, limits, volumes, ports, advanced"}
          </summary>
          <div className="grid gap-5 border-t border-line p-3">
            {!needsImage && (
              <>
                <Field label="Image (optional)" hint="Another version, or one of yours with the same program">
                  {(tied) => (
                    <Input
                      {...tied}
                      className="font-mono"
                      spellCheck={false}
                      autoComplete="off"
                      placeholder={entry.docker_image_url ?? ""}
                      value={draft.image}
                      onChange={(event) => change({ image: event.target.value })}
                    />
                  )}
                </Field>
                <Variables draft={draft} change={change} />
                <ResourceFields draft={draft} onChange={change} spec={entry.default_spec} />
              </>
            )}
            <AdvancedFields draft={draft} onChange={change} spec={entry.default_spec} />
          </div>
        </details>
        {isMcp && (
          <label className="flex items-start gap-2 text-[13px]">
            <input
              type="checkbox"
              className="mt-0.5"
              checked={pins}
              onChange={(event) => setPins(event.target.checked)}
            />
            <span>
              Pin its tools
              <span className="block text-xs text-ink-3">
                Those of its first answer; while it lists others, clients are held back until you accept them
              </span>
            </span>
          </label>
        )}
        {deploy.isError && <ErrorPanel error={deploy.error} title="It was not deployed" />}
        <div>
          <Button type="submit" variant="primary" size="lg" busy={deploy.isPending && "Asking the machine…"}>
            Deploy{toolbox === undefined ? "" : ` to ${toolbox.name}`}
          </Button>
        </div>
      </form>
      <Card className="p-4 lg:sticky lg:top-16">
        <Section title="What will run">
          <Facts items={whatRuns(entry, draft)} />
        </Section>
      </Card>
    </div>
  );
}

function Variables({ draft, change }: { draft: Draft; change: (part: Partial<Draft>) => void }) {
  return (
    <Pairs
      label="Environment variables"
      hint="Stored and never read back"
      what="variable"
      pairs={draft.variables}
      onChange={(variables) => change({ variables })}
    />
  );
}
