import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { answer, api } from "@/api/client.ts";
import { toolboxOptionsQuery } from "@/api/queries.ts";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { Dialog } from "@/components/ui/dialog.tsx";
import { Field, Select } from "@/components/ui/field.tsx";
import { perMonth } from "@/lib/money.ts";
import type { Toolbox } from "@/lib/states.ts";

export function Resize({ toolbox, onClose }: { toolbox: Toolbox; onClose: () => void }) {
  const options = useQuery(toolboxOptionsQuery());
  const [size, setSize] = useState<string>();
  const client = useQueryClient();
  const resize = useMutation({
    mutationFn: (sizeSlug: string) =>
      answer(
        api().toolboxes.POST("/{toolboxId}/resize", {
          params: { path: { toolboxId: toolbox.id } },
          body: { sizeSlug },
        }),
      ),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["toolboxes"] });
      onClose();
    },
  });
  const sizes = (options.data?.sizes ?? []).filter(({ slug, regions }) =>
    slug !== toolbox.size_slug && regions.includes(toolbox.region_slug ?? "")
  );
  const chosen = sizes.find(({ slug }) => slug === size) ?? sizes[0];
  return (
    <Dialog
      open
      onOpenChange={(next) => !next && onClose()}
      title={`Resize ${toolbox.name}`}
      description="Its tools stay. The machine is off for some minutes meanwhile, and nothing on it answers. The disk keeps its size."
    >
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (chosen !== undefined) resize.mutate(chosen.slug);
        }}
      >
        {options.isPending && <Skeleton className="h-8" />}
        {options.isError && <ErrorPanel error={options.error} retry={() => void options.refetch()} />}
        {options.isSuccess && (
          <Field label="New size">
            {(tied) => (
              <Select {...tied} value={chosen?.slug ?? ""} onChange={(event) => setSize(event.target.value)}>
                {sizes.map((each) => (
                  <option key={each.slug} value={each.slug}>
                    {each.vcpus} CPU, {each.memory_mib / 1024} GB memory: {perMonth(each.price_monthly_usd)}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        )}
        {resize.isError && <ErrorPanel error={resize.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" disabled={chosen === undefined} busy={resize.isPending && "Asking…"}>
            {chosen === undefined ? "No other size" : `Resize for ${perMonth(chosen.price_monthly_usd)} a month`}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
