import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { toast } from "sonner";
import { type Entry, type EntryRequest, operatorCatalogQuery, operatorChanges } from "@/api/operators.ts";
import { Confirm } from "@/components/confirm.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select, Textarea } from "@/components/ui/field.tsx";

/** An entry of the catalog, or a new one. */
export function EntryTab() {
  const { catalogId } = useParams({ from: "/signed-in/operators/catalog/$catalogId" });
  const catalog = useQuery(operatorCatalogQuery());
  if (catalogId === "new") return <Form key="new" entry={null} />;
  if (catalog.data === undefined) {
    return catalog.isError
      ? <ErrorPanel error={catalog.error} title="The entry could not be read" retry={() => void catalog.refetch()} />
      : <Skeleton className="h-64 w-full" />;
  }
  const entry = catalog.data.entries.find(({ id }) => id === catalogId);
  if (entry === undefined) {
    return <Empty title="There is no such entry">It may have been removed since this address was made.</Empty>;
  }
  return <Form key={entry.id} entry={entry} />;
}

const STATUSES: Record<Entry["status"], string> = {
  available: "Available",
  beta: "Beta: it may change",
  experimental: "Experimental: it may fail",
  deprecated: "Deprecated: it will go",
  archived: "Archived: nobody deploys it any more",
};

const TEXTS = ["name", "tool_name", "category", "version", "provider", "documentation_url"] as const;
const LABELS: Record<typeof TEXTS[number], [string, string?]> = {
  name: ["Name"],
  tool_name: ["Machine name", "Lower-case words joined by a hyphen"],
  category: ["Category"],
  version: ["Version of the entry"],
  provider: ["Provider (optional)"],
  documentation_url: ["Documentation (optional)", "An address with https://"],
};
const JSONS = ["default_spec", "required_config_schema", "required_secrets_schema"] as const;
const JSON_LABELS: Record<typeof JSONS[number], [string, string]> = {
  default_spec: ["What runs", "A spec: image, transport, ports, resources… Without an image each deployment names one"],
  required_config_schema: ["What users set", "A JSON Schema of variables"],
  required_secrets_schema: ["Secrets that users give", "A JSON Schema of variables"],
};

const SPEC = {
  image: "",
  transport: "stdio",
  stdin_open: true,
  resources: { memory_bytes: 268_435_456, cpus: 0.5, pids: 128 },
};

type Typed = Record<typeof TEXTS[number] | typeof JSONS[number] | "description", string> & {
  status: Entry["status"];
  is_public: boolean;
};

function typedOf(entry: Entry | null): Typed {
  const json = (value: unknown) => JSON.stringify(value, null, 2);
  return {
    name: entry?.name ?? "",
    tool_name: entry?.tool_name ?? "",
    category: entry?.category ?? "mcp",
    version: entry?.version ?? "1.0.0",
    provider: entry?.provider ?? "",
    documentation_url: entry?.documentation_url ?? "",
    description: entry?.description ?? "",
    default_spec: json(entry?.default_spec ?? SPEC),
    required_config_schema: json(entry?.required_config_schema ?? { type: "object", properties: {} }),
    required_secrets_schema: json(entry?.required_secrets_schema ?? { type: "object", properties: {} }),
    status: entry?.status ?? "available",
    is_public: entry?.is_public ?? true,
  };
}

/** Why a text is no object in JSON; undefined where it is one. */
function noObject(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "An object is expected";
  } catch (error) {
    return error instanceof Error ? error.message : "This is no JSON";
  }
}

function requestOf(typed: Typed, entry: Entry | null): EntryRequest {
  const { provider, documentation_url, default_spec, required_config_schema, required_secrets_schema, ...rest } = typed;
  return {
    ...rest,
    provider: provider.trim() === "" ? null : provider.trim(),
    documentation_url: documentation_url.trim() === "" ? null : documentation_url.trim(),
    icon_url: entry?.icon_url ?? null,
    updated_at: entry?.updated_at ?? null,
    packaging_type: entry?.packaging_type ?? "docker_image",
    default_spec: JSON.parse(default_spec),
    required_config_schema: JSON.parse(required_config_schema),
    required_secrets_schema: JSON.parse(required_secrets_schema),
  };
}

function Form({ entry }: { entry: Entry | null }) {
  const [typed, setTyped] = useState(() => typedOf(entry));
  const [asked, setAsked] = useState(false);
  // One id for one entry: trying again after a lost answer makes no second one.
  const id = useRef(entry?.id ?? crypto.randomUUID());
  const client = useQueryClient();
  const navigate = useNavigate();
  const set = (change: Partial<Typed>) => setTyped((before) => ({ ...before, ...change }));
  const wrong = Object.fromEntries(JSONS.map((each) => [each, noObject(typed[each])])) as Record<
    string,
    string | undefined
  >;
  const left = async (said: string) => {
    toast(said);
    await Promise.all([
      client.invalidateQueries({ queryKey: ["operators", "catalog"] }),
      client.invalidateQueries({ queryKey: ["catalog"] }),
    ]);
    await navigate({ to: "/operators/catalog" });
  };
  const save = useMutation({
    mutationFn: () => operatorChanges.putEntry(id.current, requestOf(typed, entry)),
    onSuccess: () => left(entry === null ? "The entry was made" : "The entry was changed"),
  });
  const remove = useMutation({
    mutationFn: () => operatorChanges.deleteEntry(id.current),
    onSuccess: () => left("The entry was removed"),
  });
  return (
    <Section title={entry === null ? "New entry" : entry.name}>
      <form
        className="grid max-w-3xl gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (!save.isPending && JSONS.every((each) => wrong[each] === undefined)) save.mutate();
        }}
      >
        <div className="grid gap-4 sm:grid-cols-2">
          {TEXTS.map((each) => (
            <Field key={each} label={LABELS[each][0]} hint={LABELS[each][1]}>
              {(tied) => (
                <Input
                  {...tied}
                  required={!["provider", "documentation_url"].includes(each)}
                  maxLength={{ documentation_url: 2000, version: 64 }[each as string] ?? 255}
                  autoComplete="off"
                  value={typed[each]}
                  onChange={(event) => set({ [each]: event.target.value })}
                />
              )}
            </Field>
          ))}
        </div>
        <Field label="Description" hint="One or two sentences for the user">
          {(tied) => (
            <Textarea
              {...tied}
              maxLength={2000}
              value={typed.description}
              onChange={(event) => set({ description: event.target.value })}
            />
          )}
        </Field>
        <div className="grid gap-4 sm:grid-cols-2">
          <Field
            label="Status"
            hint={entry !== null && entry.tools > 0
              ? entry.tools === 1
                ? "1 tool was deployed from it, and stays"
                : `${entry.tools} tools were deployed from it, and stay`
              : undefined}
          >
            {(tied) => (
              <Select
                {...tied}
                value={typed.status}
                onChange={(event) => set({ status: event.target.value as Entry["status"] })}
              >
                {Object.entries(STATUSES).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
              </Select>
            )}
          </Field>
          <label className="flex items-center gap-2 self-center text-[13px]">
            <input
              type="checkbox"
              checked={typed.is_public}
              onChange={(event) => set({ is_public: event.target.checked })}
            />
            Users see it
          </label>
        </div>
        {JSONS.map((each) => (
          <Field key={each} label={JSON_LABELS[each][0]} hint={JSON_LABELS[each][1]} error={wrong[each]}>
            {(tied) => (
              <Textarea
                {...tied}
                className="min-h-40 font-mono text-xs"
                spellCheck={false}
                value={typed[each]}
                onChange={(event) => set({ [each]: event.target.value })}
              />
            )}
          </Field>
        ))}
        {save.isError && <ErrorPanel error={save.error} title="It was not saved" />}
        <div className="flex flex-wrap justify-between gap-2">
          <Button
            type="submit"
            variant="primary"
            disabled={JSONS.some((each) => wrong[each] !== undefined)}
            busy={save.isPending && "Saving…"}
          >
            {entry === null ? "Make the entry" : "Save the entry"}
          </Button>
          {entry !== null && (
            <Button
              variant="danger"
              disabled={entry.tools > 0}
              title={entry.tools > 0 ? "Tools were deployed from it: archive it instead" : undefined}
              onClick={() => setAsked(true)}
            >
              Remove…
            </Button>
          )}
        </div>
      </form>
      {entry !== null && (
        <Confirm
          open={asked}
          onOpenChange={setAsked}
          title={`Remove ${entry.name}?`}
          name={entry.name}
          action="Remove the entry"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
        >
          Nobody finds it any more, and operators lose what is written here.
        </Confirm>
      )}
    </Section>
  );
}
