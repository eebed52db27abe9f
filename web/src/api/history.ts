import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, rows } from "./client.ts";
import type { ToolboxEvent, ToolEvent } from "./queries.ts";

const OF_TOOLBOX = "id, occurred_at, actor_kind, actor_id, kind, detail, result, request_id";
const TOOLBOX = `account_tool_environment_id, ${OF_TOOLBOX}`;
const TOOL =
  "id, tool_instance_id, account_tool_environment_id, occurred_at, actor_kind, actor_id, action, from_status, " +
  "to_status, reason_code, reason, request_id";

export type PlacedToolboxEvent = ToolboxEvent & { account_tool_environment_id: string };

export interface HistoryFilter {
  toolbox?: string | undefined;
  tool?: string | undefined;
  /** Only what went wrong. */
  failed?: boolean | undefined;
}

const tools = (filter: HistoryFilter, limit: number, signal: AbortSignal) => {
  let asked = api().tables.from("tool_instance_events").select(TOOL).order("id", { ascending: false }).limit(limit);
  if (filter.toolbox !== undefined) asked = asked.eq("account_tool_environment_id", filter.toolbox);
  if (filter.tool !== undefined) asked = asked.eq("tool_instance_id", filter.tool);
  if (filter.failed) asked = asked.eq("to_status", "error");
  return rows<ToolEvent[]>(asked.abortSignal(signal).overrideTypes<ToolEvent[], { merge: false }>());
};

/** The history of one tool, the newest first. */
export const toolHistoryQuery = (tool: string, limit = 200) =>
  queryOptions({
    queryKey: ["tool-history", tool, limit],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => tools({ tool }, limit, signal),
  });

interface ToolboxHistory {
  toolbox_events: ToolboxEvent[];
  tool_instance_events: ToolEvent[];
  account_tool_instances: { id: string; instance_name_on_toolbox: string }[];
}

/** The history of one toolbox and of its tools, the newest first, with their names, in one request. */
export const historyQuery = (toolboxId: string, limit = 200) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "history", limit],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const ofToolbox = { referencedTable: "toolbox_events" };
      const ofTools = { referencedTable: "tool_instance_events" };
      const [found] = await rows<ToolboxHistory[]>(
        api().tables.from("account_tool_environments").select(
          `toolbox_events(${OF_TOOLBOX}), tool_instance_events(${TOOL}), account_tool_instances(id, instance_name_on_toolbox)`,
        ).eq("id", toolboxId)
          .order("id", { ...ofToolbox, ascending: false }).limit(limit, ofToolbox)
          .order("id", { ...ofTools, ascending: false }).limit(limit, ofTools)
          .abortSignal(signal).overrideTypes<ToolboxHistory[], { merge: false }>(),
      );
      return {
        toolbox: found?.toolbox_events ?? [],
        tools: found?.tool_instance_events ?? [],
        names: new Map(
          (found?.account_tool_instances ?? []).map((tool) => [tool.id, tool.instance_name_on_toolbox]),
        ),
      };
    },
  });

/** The history of all toolboxes and their tools, the newest first. */
export const wholeHistoryQuery = (filter: HistoryFilter, limit: number) =>
  queryOptions({
    queryKey: ["history", filter, limit],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      let asked = api().tables.from("toolbox_events").select(TOOLBOX).order("id", { ascending: false }).limit(limit);
      if (filter.toolbox !== undefined) asked = asked.eq("account_tool_environment_id", filter.toolbox);
      if (filter.failed) asked = asked.not("result", "in", "(succeeded,accepted,begun)");
      const [toolbox, tool] = await Promise.all([
        filter.tool === undefined
          ? rows<PlacedToolboxEvent[]>(
            asked.abortSignal(signal).overrideTypes<PlacedToolboxEvent[], { merge: false }>(),
          )
          : [],
        tools(filter, limit, signal),
      ]);
      return { toolbox, tools: tool };
    },
  });
