import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { toast } from "sonner";
import { catalogQuery } from "@/api/catalog.ts";
import { answer, api } from "@/api/client.ts";
import { ChangeList, Replaced } from "@/components/change-list.tsx";
import { Copy } from "@/components/copy.tsx";
import { AdvancedFields, Pairs, ResourceFields } from "@/components/deployment-fields.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { SchemaFields } from "@/components/schema-fields.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Facts, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input } from "@/components/ui/field.tsx";
import { transportInWords } from "@/lib/catalog.ts";
import { type ConfigOverride, type Draft, EMPTY, overrideOf } from "@/lib/deployment.ts";
import { changesOf } from "@/lib/diff.ts";
import { propertiesOf } from "@/lib/schema.ts";
import type { Tool } from "@/lib/states.ts";
import { useTool } from "./layout.tsx";
import { Versions } from "./versions.tsx";

export function ConfigurationTab() {
  const { toolboxId, tool } = useTool();
  const data = tool.data?.tool_instance;
  if (data === undefined) return <Skeleton className="h-60 w-full" />;
  return (
    <div className="grid items-start gap-6 lg:grid-cols-[minmax(0,1fr)_20rem]">
      <div className="grid gap-8">
        <Edit tool={data} toolboxId={toolboxId} />
        <Versions tool={data} toolboxId={toolboxId} />
      </div>
      <Card className="p-4 lg:order-last">
        <Section title="As it is">
          <Facts
            items={[
              ["Image", <Copy key="image" text={data.image} what="the image" />],
              [
                "Content",
                data.image_digest ? <Copy key="digest" text={data.image_digest} what="the digest" /> : "not known",
              ],
              ["Spoken to by", transportInWords(data.transport)],
              ["Path", data.endpoint_path ?? "none"],
              [
                "Ports",
                data.ports.length === 0
                  ? "none"
                  : data.ports.map((port) => `${port.container_port} as ${port.host_ip}:${port.host_port}`).join(", "),
              ],
              ["Container", <Copy key="container" text={data.container_name} what="the name of the container" />],
              ["Generation", String(data.generation)],
              ["Id", <Copy key="id" text={data.id} what="the id" />],
            ]}
          />
          <p className="text-xs text-ink-3">
            Variables, headers and limits are not read back: what you leave empty stays as it is. A list that you fill
            in takes the place of the whole list that was there.
          </p>
        </Section>
      </Card>
    </div>
  );
}

function Edit({ tool, toolboxId }: { tool: Tool; toolboxId: string }) {
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [removed, setRemoved] = useState("");
  const [looking, setLooking] = useState(false);
  const catalog = useQuery(catalogQuery());
  const entry = catalog.data?.find(({ id }) => id === tool.tool_catalog_id);
  const client = useQueryClient();
  const change = (part: Partial<Draft>) => {
    setLooking(false);
    setDraft((before) => ({ ...before, ...part }));
  };
  const set = (key: string, value: string) => change({ settings: { ...draft.settings, [key]: value } });
  const sent: ConfigOverride = overrideOf(draft);
  const gone = removed.split(/[\s,]+/).filter((name) => name !== "");
  if (gone.length > 0) {
    sent.environmentVariables = {
      ...sent.environmentVariables,
      ...Object.fromEntries(gone.map((name) => [name, null])),
    };
  }
  const changes = changesOf(tool, sent);
  const update = useMutation({
    mutationFn: () =>
      answer(
        api().tools.PATCH("/{toolboxId}/tools/{instance}", {
          params: { path: { toolboxId, instance: tool.id } },
          body: { baseConfigOverrideJson: sent },
        }),
      ),
    onSuccess: () => {
      toast(`Asked for an update of ${tool.instance_name_on_toolbox}`);
      setDraft(EMPTY);
      setRemoved("");
      setLooking(false);
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "tools"] }),
  });
  const optional = (schema: unknown) => propertiesOf(schema).map((each) => ({ ...each, required: false }));
  return (
    <form
      noValidate
      className="grid max-w-2xl gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        setLooking(true);
      }}
    >
      <Field label="Image (optional)" hint="The version before it comes back if the new one does not start">
        {(tied) => (
          <Input
            {...tied}
            className="font-mono"
            autoComplete="off"
            spellCheck={false}
            placeholder={tool.image}
            value={draft.image}
            onChange={(event) => change({ image: event.target.value })}
          />
        )}
      </Field>
      {entry && (
        <>
          <SchemaFields
            secret
            properties={optional(entry.required_secrets_schema)}
            typed={draft.settings}
            wrong={{}}
            onChange={set}
          />
          <SchemaFields
            properties={optional(entry.required_config_schema)}
            typed={draft.settings}
            wrong={{}}
            onChange={set}
          />
        </>
      )}
      <Pairs
        label="Environment variables"
        hint="Set or replaced; others stay as they are"
        what="variable"
        pairs={draft.variables}
        onChange={(variables) => change({ variables })}
      />
      <details className="rounded-md border border-line">
        <summary className="cursor-pointer px-3 py-2 text-[13px] text-ink-2">Limits, volumes, ports, advanced</summary>
        <div className="grid gap-5 border-t border-line p-3">
          <Field label="Variables to remove (optional)" hint="Their names">
            {(tied) => (
              <Input
                {...tied}
                className="font-mono"
                autoComplete="off"
                spellCheck={false}
                value={removed}
                onChange={(event) => {
                  setLooking(false);
                  setRemoved(event.target.value);
                }}
              />
            )}
          </Field>
          <ResourceFields draft={draft} onChange={change} spec={null} />
          <AdvancedFields draft={draft} onChange={change} spec={null} />
        </div>
      </details>
      {update.isError && <ErrorPanel error={update.error} title="It was not updated" />}
      {looking && changes.length > 0
        ? (
          <Card className="grid gap-3 p-4" aria-label="What changes" role="region">
            <h2 className="text-sm font-semibold">What changes</h2>
            <ChangeList changes={changes} />
            <Replaced />
            <div className="flex justify-end gap-2">
              <Button onClick={() => setLooking(false)}>Back</Button>
              <Button
                variant="primary"
                busy={update.isPending && "Asking the machine…"}
                onClick={() => update.mutate()}
              >
                Apply
              </Button>
            </div>
          </Card>
        )
        : (
          <div className="flex items-center gap-3">
            <Button type="submit" variant="primary" disabled={changes.length === 0}>See what changes</Button>
            {changes.length === 0 && <span className="text-xs text-ink-3">Nothing is changed yet</span>}
          </div>
        )}
    </form>
  );
}
