import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams } from "@tanstack/react-router";
import { Ellipsis } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { toast } from "sonner";
import { answer, api } from "@/api/client.ts";
import { ApiError } from "@/api/error.ts";
import { machineQuery, toolboxQuery, toolsQuery } from "@/api/queries.ts";
import { Confirm } from "@/components/confirm.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { State } from "@/components/state.tsx";
import { TAB, Tabs } from "@/components/tabs.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Skeleton } from "@/components/ui/card.tsx";
import { Dialog } from "@/components/ui/dialog.tsx";
import { Field, Input } from "@/components/ui/field.tsx";
import { Menu, MenuItem } from "@/components/ui/menu.tsx";
import { BESIDE } from "@/lib/polling.ts";
import { isMoving, reachedBy, type Toolbox, toolboxState } from "@/lib/states.ts";
import { useMissed, usePolling } from "@/lib/use-polling.ts";
import { Joining } from "./joining.tsx";
import { Resize } from "./resize.tsx";

const TABS = [
  { to: "/toolboxes/$toolboxId", label: "Overview" },
  { to: "/toolboxes/$toolboxId/tools", label: "Tools" },
  { to: "/toolboxes/$toolboxId/connect", label: "Connect" },
  { to: "/toolboxes/$toolboxId/system", label: "System" },
  { to: "/toolboxes/$toolboxId/activity", label: "Activity" },
] as const;

export function ToolboxPage() {
  const { toolboxId } = useParams({ from: "/signed-in/toolboxes/$toolboxId" });
  const toolbox = usePolling(toolboxQuery(toolboxId), (each) => isMoving(toolboxState(each)), BESIDE);
  // The tabs ask; the heading tells what they were answered.
  const machine = useQuery({ ...machineQuery(toolboxId), enabled: false });
  const tools = useQuery({ ...toolsQuery(toolboxId), enabled: false });
  const missed = useMissed([machineQuery(toolboxId).queryKey, toolsQuery(toolboxId).queryKey]);
  const joined = toolbox.data === undefined ? undefined : typeof toolbox.data.last_heartbeat_at === "string";
  const before = useRef(joined);
  useEffect(() => {
    if (before.current === false && joined === true) toast.success("Your machine has joined");
    before.current = joined;
  }, [joined]);
  if (toolbox.data === undefined) {
    const gone = toolbox.error instanceof ApiError && toolbox.error.status === 404;
    return (
      <Page title={toolbox.isError ? "Toolbox" : "…"}>
        {toolbox.isError
          ? (
            <ErrorPanel
              error={toolbox.error}
              retry={gone ? undefined : () => void toolbox.refetch()}
              action={
                <Button asChild size="sm">
                  <Link to="/toolboxes">To your toolboxes</Link>
                </Button>
              }
            />
          )
          : <Skeleton className="h-40 w-full" />}
      </Page>
    );
  }
  const { data } = toolbox;
  return (
    <Page
      title={data.name}
      state={<State of={toolboxState(data, reachedBy(machine.data, tools.data, missed))} />}
      actions={<Actions of={data} />}
    >
      {toolbox.isError && (
        <ErrorPanel
          error={toolbox.error}
          title="What is shown may be old"
          retry={() => void toolbox.refetch()}
        />
      )}
      {data.description && <p className="max-w-2xl text-[13px] text-ink-2">{data.description}</p>}
      {(!joined || data.progress || data.status === "unresponsive" || data.status.startsWith("error_")) && (
        <Joining toolbox={data} />
      )}
      {/* Until its machine has joined there is nothing in the tabs. */}
      {joined && (
        <>
          <Tabs label="Parts of this toolbox">
            {TABS.map(({ to, label }) => (
              <Link
                key={to}
                to={to}
                params={{ toolboxId }}
                activeOptions={{ exact: to === "/toolboxes/$toolboxId", includeSearch: false }}
                {...TAB}
              >
                {label}
              </Link>
            ))}
          </Tabs>
          <Outlet />
        </>
      )}
    </Page>
  );
}

type Open = "rename" | "resize" | "remove" | null;

function Actions({ of: toolbox }: { of: Toolbox }) {
  const [open, setOpen] = useState<Open>(null);
  const navigate = useNavigate();
  const client = useQueryClient();
  const path = { params: { path: { toolboxId: toolbox.id } } };
  const refresh = () => client.invalidateQueries({ queryKey: ["toolboxes"] });
  const reboot = useMutation({
    mutationFn: () => answer(api().toolboxes.POST("/{toolboxId}/reboot", path)),
    onSuccess: () => {
      toast("Asked for a restart of the machine");
      return refresh();
    },
  });
  const remove = useMutation({
    mutationFn: () => answer(api().toolboxes.DELETE("/{toolboxId}", path)),
    onSuccess: async () => {
      toast(toolbox.kind === "byo" ? `${toolbox.name} was forgotten` : `Asked for the removal of ${toolbox.name}`);
      setOpen(null);
      await navigate({ to: "/toolboxes" });
      client.removeQueries({ queryKey: ["toolboxes", toolbox.id] });
      await refresh();
    },
  });
  const close = (next: boolean) => {
    if (!next) setOpen(null);
  };
  const isDroplet = toolbox.kind === "droplet";
  const busy = toolbox.progress !== null && toolbox.progress !== undefined;
  return (
    <>
      {toolbox.status === "active" && (
        <Button asChild>
          <Link to="/marketplace" search={{ toolbox: toolbox.id }}>Deploy a tool</Link>
        </Button>
      )}
      <Menu
        trigger={
          <Button size="icon" aria-label={`More for ${toolbox.name}`}>
            <Ellipsis aria-hidden />
          </Button>
        }
      >
        <MenuItem onSelect={() => setOpen("rename")}>Rename…</MenuItem>
        {isDroplet && <MenuItem disabled={busy} onSelect={() => setOpen("resize")}>Resize…</MenuItem>}
        {isDroplet && <MenuItem disabled={busy} onSelect={() => reboot.mutate()}>Restart the machine</MenuItem>}
        <MenuItem danger onSelect={() => setOpen("remove")}>{isDroplet ? "Remove…" : "Forget…"}</MenuItem>
      </Menu>
      {reboot.isError && <ErrorPanel error={reboot.error} className="basis-full" />}
      {open === "rename" && <Rename toolbox={toolbox} onClose={() => setOpen(null)} />}
      {open === "resize" && <Resize toolbox={toolbox} onClose={() => setOpen(null)} />}
      <Confirm
        open={open === "remove"}
        onOpenChange={close}
        title={isDroplet ? `Remove ${toolbox.name}` : `Forget ${toolbox.name}`}
        name={toolbox.name}
        action={isDroplet ? "Remove the machine" : "Forget the machine"}
        busy={remove.isPending}
        error={remove.error}
        onConfirm={() => remove.mutate()}
      >
        {isDroplet
          ? "The machine is removed with everything on it: its tools, their volumes and what is in them. It costs nothing any more once it is gone. This cannot be undone."
          : "Its tools are forgotten here, with their settings and secrets. What runs on the machine goes on running until you remove it there: install.sh uninstall --purge."}
      </Confirm>
    </>
  );
}

function Rename({ toolbox, onClose }: { toolbox: Toolbox; onClose: () => void }) {
  const [name, setName] = useState(toolbox.name);
  const [description, setDescription] = useState(toolbox.description ?? "");
  const client = useQueryClient();
  const rename = useMutation({
    mutationFn: () =>
      answer(
        api().toolboxes.PATCH("/{toolboxId}", {
          params: { path: { toolboxId: toolbox.id } },
          body: { name: name.trim(), description: description.trim() === "" ? null : description.trim() },
        }),
      ),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["toolboxes"] });
      onClose();
    },
  });
  return (
    <Dialog open onOpenChange={(next) => !next && onClose()} title="Rename">
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          rename.mutate();
        }}
      >
        <Field label="Name">
          {(tied) => (
            <Input
              {...tied}
              required
              maxLength={255}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <Field label="Description (optional)">
          {(tied) => (
            <Input
              {...tied}
              maxLength={2000}
              value={description}
              onChange={(event) => setDescription(event.target.value)}
            />
          )}
        </Field>
        {rename.isError && <ErrorPanel error={rename.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={rename.isPending && "Saving…"}>Save</Button>
        </div>
      </form>
    </Dialog>
  );
}
