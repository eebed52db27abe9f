import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { toast } from "sonner";
import { answer, api } from "@/api/client.ts";
import { versionsQuery } from "@/api/queries.ts";
import { useSession } from "@/app/session.ts";
import { Age } from "@/components/age.tsx";
import { ChangeList, Replaced } from "@/components/change-list.tsx";
import { Copy } from "@/components/copy.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Dialog } from "@/components/ui/dialog.tsx";
import { changesBack, type ToolVersion } from "@/lib/diff.ts";
import { who } from "@/lib/events.ts";
import { fromServer } from "@/lib/server-time.ts";
import type { Tool } from "@/lib/states.ts";

/** What the tool was asked to run before, and the way back. */
export function Versions({ tool, toolboxId }: { tool: Tool; toolboxId: string }) {
  const versions = useQuery({ ...versionsQuery(toolboxId, tool), placeholderData: keepPreviousData });
  const [chosen, setChosen] = useState<ToolVersion | null>(null);
  const { session } = useSession();
  const client = useQueryClient();
  const back = useMutation({
    mutationFn: ({ generation }: ToolVersion) =>
      answer(
        api().tools.POST("/{toolboxId}/tools/{instance}/versions/{generation}/rollback", {
          params: { path: { toolboxId, instance: tool.id, generation } },
        }),
      ),
    onSuccess: (_, { generation }) => {
      setChosen(null);
      toast(`Asked for version ${generation} of ${tool.instance_name_on_toolbox}`);
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "tools"] }),
  });
  const current = versions.data?.versions.find((version) => version.current);
  return (
    <Section title="Versions" className="max-w-2xl">
      {versions.isError && (
        <ErrorPanel
          error={versions.error}
          title={versions.data ? "What is shown may be old" : "The versions could not be read"}
          retry={() => void versions.refetch()}
        />
      )}
      {versions.data === undefined && !versions.isError && <Skeleton className="h-24 w-full" />}
      {versions.data !== undefined && (
        <>
          <Card>
            <ul className="divide-y divide-line">
              {versions.data.versions.map((version) => (
                <li
                  key={version.generation}
                  className="grid items-center gap-x-4 gap-y-1 px-3 py-2.5 text-[13px] md:grid-cols-[9rem_minmax(0,1fr)_auto]"
                >
                  <span className="min-w-0">
                    <span className="font-medium">Version {version.generation}</span>
                    <span className="block text-xs text-ink-3">
                      {version.current ? "current" : version.ran_at ? "has run" : "never seen running"}
                      {version.restores && `, brings back ${version.restores}`}
                    </span>
                  </span>
                  <span className="min-w-0">
                    <Copy text={version.image} what="the image" />
                    <span className="block text-xs text-ink-3">
                      {version.image_digest && `${version.image_digest.slice(0, 19)} · `}
                      <Age at={fromServer(version.created_at)} /> ·{" "}
                      {who(version.actor_kind, version.actor_id ?? null, session?.user.id ?? null)}
                    </span>
                  </span>
                  {!version.current && (
                    <Button
                      size="sm"
                      className="justify-self-start"
                      onClick={() => {
                        back.reset();
                        setChosen(version);
                      }}
                    >
                      Compare <span className="sr-only">version {version.generation}</span>
                    </Button>
                  )}
                </li>
              ))}
            </ul>
          </Card>
          <p className="text-xs text-ink-3">
            {versions.data.versions.length === 0 && "What it was asked to run before this list was kept is not known. "}
            The newest 10 are kept. A rollback brings back the image and the whole configuration, variables and headers
            included; volumes keep what is in them.
          </p>
        </>
      )}
      <Dialog
        open={chosen !== null}
        onOpenChange={(open) => !open && setChosen(null)}
        title={`Back to version ${chosen?.generation}`}
        description={chosen && notesOn(chosen)}
      >
        {chosen && current && (
          <div className="grid gap-3">
            <ChangeList changes={changesBack(chosen, current)} />
            <Replaced />
            {back.isError && <ErrorPanel error={back.error} title="It was not asked for" />}
            <div className="flex justify-end gap-2">
              <Button onClick={() => setChosen(null)}>Cancel</Button>
              <Button
                variant="primary"
                busy={back.isPending && "Asking the machine…"}
                onClick={() => back.mutate(chosen)}
              >
                Roll back
              </Button>
            </div>
          </div>
        )}
      </Dialog>
    </Section>
  );
}

/** What is to be known before it is asked for. */
function notesOn(version: ToolVersion): string {
  const ran = version.ran_at ? "" : "This version was never seen running. ";
  return ran +
    (version.rollback_image.includes("@")
      ? "Its image is asked for by its digest, so it is the one that ran, wherever its tag is now."
      : "Its image is asked for by its name, which may be another image by now.");
}
