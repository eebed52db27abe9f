import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { Plus, Server, Store, Wrench } from "lucide-react";
import type { ReactNode } from "react";
import { catalogQuery } from "@/api/catalog.ts";
import { toolboxesQuery, toolRowsQuery } from "@/api/queries.ts";
import { placesOf } from "./nav.ts";
import { useSession } from "./session.ts";

/** Goes anywhere by typing: places, toolboxes, tools. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const { session } = useSession();
  const toolboxes = useQuery({ ...toolboxesQuery(), staleTime: 30_000 });
  const tools = useQuery({ ...toolRowsQuery(), staleTime: 30_000 });
  const catalog = useQuery(catalogQuery());
  const go = (to: string) => {
    onClose();
    void navigate({ to });
  };
  return (
    <Command.Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      label="Go to"
      overlayClassName="fixed inset-0 z-40 bg-black/40"
      contentClassName="fixed top-[12vh] left-1/2 z-50 w-[min(34rem,calc(100vw-2rem))] -translate-x-1/2 overflow-hidden rounded-md border border-line bg-surface shadow-raised"
    >
      <Command.Input
        placeholder="Go to a toolbox, a tool, a page…"
        className="h-11 w-full border-b border-line bg-transparent px-4 text-sm outline-none placeholder:text-ink-3"
      />
      <Command.List className="max-h-[50vh] overflow-y-auto p-1">
        <Command.Empty className="p-4 text-[13px] text-ink-2">Nothing has this name</Command.Empty>
        <Group heading="Pages">
          {placesOf(session).map(({ to, label, icon: Icon, words }) => (
            <Item
              key={to}
              value={`${label} ${words}`}
              onSelect={() => go(to)}
            >
              <Icon className="size-4" /> {label}
            </Item>
          ))}
          <Item value="New toolbox create droplet machine" onSelect={() => go("/toolboxes/new")}>
            <Plus className="size-4" /> New toolbox
          </Item>
        </Group>
        {toolboxes.data !== undefined && toolboxes.data.length > 0 && (
          <Group heading="Toolboxes">
            {toolboxes.data.map(({ id, name }) => (
              <Item
                key={id}
                value={`${name} ${id}`}
                onSelect={() => go(`/toolboxes/${id}`)}
              >
                <Server className="size-4" /> {name}
              </Item>
            ))}
          </Group>
        )}
        {tools.data !== undefined && tools.data.length > 0 && (
          <Group heading="Tools">
            {tools.data.map((tool) => (
              <Item
                key={tool.id}
                value={`${tool.instance_name_on_toolbox} ${tool.id}`}
                onSelect={() => go(`/toolboxes/${tool.account_tool_environment_id}/tools/${tool.id}`)}
              >
                <Wrench className="size-4" /> {tool.instance_name_on_toolbox}
              </Item>
            ))}
          </Group>
        )}
        {catalog.data !== undefined && catalog.data.length > 0 && (
          <Group heading="Deploy">
            {catalog.data.map((entry) => (
              <Item
                key={entry.id}
                value={`Deploy ${entry.name} ${entry.id}`}
                onSelect={() => go(`/marketplace/${entry.id}/deploy`)}
              >
                <Store className="size-4" /> Deploy {entry.name}
              </Item>
            ))}
          </Group>
        )}
      </Command.List>
    </Command.Dialog>
  );
}

function Group({ heading, children }: { heading: string; children: ReactNode }) {
  return (
    <Command.Group
      heading={heading}
      className="[&_[cmdk-group-heading]]:px-3 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-ink-3"
    >
      {children}
    </Command.Group>
  );
}

function Item({ value, onSelect, children }: { value: string; onSelect: () => void; children: ReactNode }) {
  return (
    <Command.Item
      value={value}
      onSelect={onSelect}
      className="flex items-center gap-2.5 rounded px-3 py-2 text-[13px] data-[selected=true]:bg-muted"
    >
      {children}
    </Command.Item>
  );
}
