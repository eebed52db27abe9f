import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { toast } from "sonner";
import {
  operatorChanges,
  type OwnQuota,
  PAGE,
  type QuotaLimits,
  quotasQuery,
  type UserQuota,
} from "@/api/operators.ts";
import { Awaited } from "@/components/awaited.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Paging } from "@/components/paging.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Dialog } from "@/components/ui/dialog.tsx";
import { Field, Input } from "@/components/ui/field.tsx";
import { perMonth } from "@/lib/money.ts";
import { usePolling } from "@/lib/use-polling.ts";
import { useSettled } from "@/lib/use-settled.ts";

/** How much single users may have. */
export function QuotasTab() {
  const { q = "", from = 0 } = useSearch({ from: "/signed-in/operators/quotas" });
  const navigate = useNavigate();
  const search = useSettled(q);
  const quotas = usePolling(quotasQuery(search, from));
  const [changed, setChanged] = useState<UserQuota>();
  if (quotas.data === undefined) {
    return quotas.isError
      ? <ErrorPanel error={quotas.error} title="The quotas could not be read" retry={() => void quotas.refetch()} />
      : <Skeleton className="h-64 w-full" />;
  }
  const { everybody, users, found } = quotas.data;
  return (
    <Section title="How much users may have">
      <p className="max-w-2xl text-[13px] text-ink-2">
        Everybody may have{" "}
        {limitsInWords(everybody)}, as the installation's settings say, unless something else is set here. What a user
        has already stays, also where it is more.
      </p>
      {quotas.isError && (
        <ErrorPanel
          error={quotas.error}
          title="What is shown may be old"
          retry={() => void quotas.refetch()}
        />
      )}
      <Input
        type="search"
        aria-label="Search users"
        placeholder="Address or id of a user"
        value={q}
        onChange={(event) =>
          void navigate({
            to: "/operators/quotas",
            replace: true,
            search: event.target.value === "" ? {} : { q: event.target.value },
          })}
      />
      <Awaited isOther={search !== q || quotas.isPlaceholderData}>
        {users.length === 0
          ? <Empty title="No user is like this">Search for another part of the address, or for the whole id.</Empty>
          : (
            <Card>
              <ul className="divide-y divide-line">
                {users.map((user) => (
                  <li
                    key={user.id}
                    className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-1 px-3 py-2 text-[13px] md:grid-cols-[minmax(0,2fr)_minmax(0,1fr)_minmax(0,2fr)_auto]"
                  >
                    <span className="col-span-2 font-medium break-words md:col-span-1">{user.email ?? user.id}</span>
                    <span className="col-span-2 text-ink-2 md:col-span-1">{hasInWords(user)}</span>
                    <span className={isSet(user.quota) ? "text-ink" : "text-ink-3"}>{mayInWords(user.quota)}</span>
                    <Button
                      size="sm"
                      aria-label={`Change what ${user.email ?? user.id} may have`}
                      onClick={() => setChanged(user)}
                    >
                      Change…
                    </Button>
                  </li>
                ))}
              </ul>
            </Card>
          )}
      </Awaited>
      <Paging to="/operators/quotas" from={from} size={PAGE} found={found} />
      <Dialog
        open={changed !== undefined}
        onOpenChange={(open) => !open && setChanged(undefined)}
        title={`What ${changed?.email ?? changed?.id ?? ""} may have`}
        description="An empty field: as everybody."
      >
        {changed && <Change user={changed} everybody={everybody} onDone={() => setChanged(undefined)} />}
      </Dialog>
    </Section>
  );
}

const isSet = (quota: OwnQuota) => Object.values(quota).some((value) => value !== null && value !== undefined);

function hasInWords({ used: { toolboxes, monthly_usd: price } }: UserQuota): string {
  const cost = price > 0 ? `, ${perMonth(price)} a month` : "";
  return `has ${toolboxes} ${toolboxes === 1 ? "toolbox" : "toolboxes"}${cost}`;
}

function limitsInWords(limits: OwnQuota): string {
  const parts = [
    typeof limits.toolboxes === "number" && (limits.toolboxes === 1 ? "1 toolbox" : `${limits.toolboxes} toolboxes`),
    typeof limits.monthly_usd === "number" && `machines for ${perMonth(limits.monthly_usd)} a month`,
    typeof limits.tools === "number" && (limits.tools === 1 ? "1 tool in each" : `${limits.tools} tools in each`),
  ];
  return parts.filter((part) => part !== false).join(", ");
}

const mayInWords = (quota: OwnQuota) =>
  isSet(quota) ? `may have ${limitsInWords(quota)}` : "may have as much as everybody";

const FIELDS = [
  ["toolboxes", "Toolboxes", 10_000],
  ["monthly_usd", "US dollars a month, for all bought machines", 1_000_000],
  ["tools", "Tools in one toolbox", 10_000],
] as const;

function Change({ user, everybody, onDone }: { user: UserQuota; everybody: QuotaLimits; onDone: () => void }) {
  const [typed, setTyped] = useState<Record<string, string>>(() =>
    Object.fromEntries(FIELDS.map(([field]) => [field, user.quota[field]?.toString() ?? ""]))
  );
  const client = useQueryClient();
  const save = useMutation({
    mutationFn: () => {
      const number = (text = "") => (text.trim() === "" ? null : Number(text));
      return operatorChanges.setQuota(user.id, {
        toolboxes: number(typed.toolboxes),
        monthly_usd: number(typed.monthly_usd),
        tools: number(typed.tools),
      });
    },
    onSuccess: async () => {
      toast("The quota was changed");
      await client.invalidateQueries({ queryKey: ["operators", "quotas"] });
      onDone();
    },
  });
  return (
    <form
      className="grid gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (!save.isPending) save.mutate();
      }}
    >
      {FIELDS.map(([field, label, most]) => (
        <Field key={field} label={label}>
          {(tied) => (
            <Input
              {...tied}
              placeholder={`${everybody[field]}, as everybody`}
              type="number"
              min={0}
              max={most}
              step={1}
              value={typed[field] ?? ""}
              onChange={(event) => setTyped((before) => ({ ...before, [field]: event.target.value }))}
            />
          )}
        </Field>
      ))}
      {save.isError && <ErrorPanel error={save.error} title="It was not saved" />}
      <div className="flex justify-end gap-2">
        <Button onClick={onDone}>Cancel</Button>
        <Button type="submit" variant="primary" busy={save.isPending && "Saving…"}>Save</Button>
      </div>
    </form>
  );
}
