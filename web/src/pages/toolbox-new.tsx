import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Cloud, Laptop } from "lucide-react";
import { useRef, useState } from "react";
import { answer, api } from "@/api/client.ts";
import { isRefused } from "@/api/error.ts";
import { toolboxOptionsQuery } from "@/api/queries.ts";
import { keepCommand } from "@/app/commands.ts";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { QuotaLeft } from "@/components/quota.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select } from "@/components/ui/field.tsx";
import { perHour, perMonth } from "@/lib/money.ts";
import { cn } from "@/lib/utils.ts";

export function ToolboxNewPage() {
  const { kind } = useSearch({ from: "/signed-in/toolboxes/new" });
  const navigate = useNavigate();
  const choose = (next: "droplet" | "byo") =>
    void navigate({ to: "/toolboxes/new", search: { kind: next }, replace: true });
  return (
    <Page title="New toolbox">
      <div role="radiogroup" aria-label="Which machine" className="grid gap-3 sm:grid-cols-2">
        <Choice
          checked={kind === "byo"}
          onChoose={() => choose("byo")}
          icon={<Laptop aria-hidden />}
          title="A machine of mine"
        >
          Any Linux machine with Docker that you have a root shell on. You run one command there; nothing is bought.
        </Choice>
        <Choice
          checked={kind === "droplet"}
          onChoose={() => choose("droplet")}
          icon={<Cloud aria-hidden />}
          title="A droplet"
        >
          A machine is bought at DigitalOcean and made ready for you. It costs money until you remove it.
        </Choice>
      </div>
      <QuotaLeft />
      {kind === "byo" && <OwnMachine />}
      {kind === "droplet" && <Droplet />}
    </Page>
  );
}

interface ChoiceProps {
  checked: boolean;
  onChoose: () => void;
  icon: React.ReactNode;
  title: string;
  children: React.ReactNode;
}

function Choice({ checked, onChoose, icon, title, children }: ChoiceProps) {
  return (
    <label
      className={cn(
        "flex cursor-pointer items-start gap-3 rounded-md border bg-surface p-4 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent [&_svg]:mt-0.5 [&_svg]:size-5 [&_svg]:shrink-0",
        checked ? "border-accent bg-accent-soft" : "border-line hover:border-line-strong",
      )}
    >
      <input type="radio" name="kind" className="sr-only" checked={checked} onChange={onChoose} />
      {icon}
      <span className="grid gap-1">
        <span className="text-sm font-medium">{title}</span>
        <span className="text-[13px] text-ink-2">{children}</span>
      </span>
    </label>
  );
}

function OwnMachine() {
  const [name, setName] = useState("");
  const [address, setAddress] = useState("");
  const navigate = useNavigate();
  const client = useQueryClient();
  const create = useMutation({
    mutationFn: () =>
      answer(
        api().toolboxes.POST("/", {
          params: {},
          body: { kind: "byo", name: name.trim(), ...(address.trim() === "" ? {} : { address: address.trim() }) },
        }),
      ),
    onSuccess: async (made) => {
      if ("enrolment" in made) keepCommand(made.id, made.enrolment);
      await client.invalidateQueries({ queryKey: ["toolboxes"], exact: true });
      await navigate({ to: "/toolboxes/$toolboxId", params: { toolboxId: made.id }, replace: true });
    },
  });
  return (
    <Form
      onSubmit={() => create.mutate()}
      error={create.error}
      submit={
        <Button type="submit" variant="primary" busy={create.isPending && "Creating…"}>
          Create and show the command
        </Button>
      }
    >
      <Field label="Name" hint="By which you know it again">
        {(tied) => (
          <Input
            {...tied}
            required
            maxLength={255}
            value={name}
            autoComplete="off"
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <Field
        label="Address (optional)"
        hint="A public address of the machine. Without it, the one it calls from counts."
      >
        {(tied) => (
          <Input
            {...tied}
            value={address}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setAddress(event.target.value)}
          />
        )}
      </Field>
    </Form>
  );
}

function Droplet() {
  const options = useQuery(toolboxOptionsQuery());
  const [name, setName] = useState("");
  const [region, setRegion] = useState<string>();
  const [size, setSize] = useState<string>();
  // One key for one order: pressing twice, or trying again after a lost answer, buys one machine. What was refused is over.
  const key = useRef(crypto.randomUUID());
  const navigate = useNavigate();
  const client = useQueryClient();
  const create = useMutation({
    mutationFn: (order: { regionSlug: string; sizeSlug: string }) =>
      answer(
        api().toolboxes.POST("/", {
          params: { header: { "Idempotency-Key": key.current } },
          body: { kind: "droplet", name: name.trim(), ...order },
        }),
      ),
    onSuccess: async (made) => {
      await client.invalidateQueries({ queryKey: ["toolboxes"], exact: true });
      await navigate({ to: "/toolboxes/$toolboxId", params: { toolboxId: made.id }, replace: true });
    },
    onError: (error) => {
      if (isRefused(error)) key.current = crypto.randomUUID();
    },
  });
  if (options.isPending) {
    return (
      <Card className="grid max-w-xl gap-4 p-5">
        <Skeleton className="h-8" />
        <Skeleton className="h-8" />
        <Skeleton className="h-8" />
      </Card>
    );
  }
  if (options.isError) {
    return (
      <ErrorPanel
        error={options.error}
        title="Regions and prices could not be read"
        retry={() => void options.refetch()}
      />
    );
  }
  const { regions, sizes, default_region_slug, default_size_slug } = options.data;
  const chosenRegion = region ?? default_region_slug ?? regions[0]?.slug ?? "";
  const inRegion = sizes.filter((each) => each.regions.includes(chosenRegion));
  const chosen = inRegion.find(({ slug }) => slug === (size ?? default_size_slug)) ?? inRegion[0];
  return (
    <Form
      onSubmit={() => chosen !== undefined && create.mutate({ regionSlug: chosenRegion, sizeSlug: chosen.slug })}
      error={create.error}
      submit={
        <Button type="submit" variant="primary" disabled={chosen === undefined} busy={create.isPending && "Ordering…"}>
          {chosen === undefined
            ? "Nothing can be bought in this region"
            : `Create for ${perMonth(chosen.price_monthly_usd)} a month`}
        </Button>
      }
    >
      <Field label="Name" hint="By which you know it again">
        {(tied) => (
          <Input
            {...tied}
            required
            maxLength={255}
            value={name}
            autoComplete="off"
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <Field label="Region">
        {(tied) => (
          <Select {...tied} value={chosenRegion} onChange={(event) => setRegion(event.target.value)}>
            {regions.map((each) => <option key={each.slug} value={each.slug}>{each.name} ({each.slug})</option>)}
          </Select>
        )}
      </Field>
      <Field
        label="Size"
        hint={chosen &&
          `${perMonth(chosen.price_monthly_usd)} a month, ${
            perHour(chosen.price_hourly_usd)
          } an hour, until you remove it`}
      >
        {(tied) => (
          <Select {...tied} value={chosen?.slug ?? ""} onChange={(event) => setSize(event.target.value)}>
            {inRegion.map((each) => (
              <option key={each.slug} value={each.slug}>
                {each.vcpus} CPU, {each.memory_mib / 1024} GB memory, {each.disk_gib} GB disk:{" "}
                {perMonth(each.price_monthly_usd)}
              </option>
            ))}
          </Select>
        )}
      </Field>
    </Form>
  );
}

interface FormProps {
  onSubmit: () => void;
  error: unknown;
  submit: React.ReactNode;
  children: React.ReactNode;
}

function Form({ onSubmit, error, submit, children }: FormProps) {
  return (
    <form
      className="grid max-w-xl gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      {children}
      {error !== null && <ErrorPanel error={error} />}
      <div>{submit}</div>
    </form>
  );
}
