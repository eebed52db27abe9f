// Every question of the console: its key, how it is asked. Pages use these and nothing else, so one answer serves them all.

import { queryOptions } from "@tanstack/react-query";
import { learnServerTime } from "../lib/server-time.ts";
import type { MachineState, Tool, Toolbox } from "../lib/states.ts";
import { answer, api, rows } from "./client.ts";
import { ApiError } from "./error.ts";

/** A toolbox tells both a moment and its age, hence what time it is there. */
function learnFrom(toolbox: Toolbox): Toolbox {
  learnServerTime(Date.parse(toolbox.status_changed_at) + toolbox.status_age_seconds * 1000, Date.now());
  return toolbox;
}

export const toolboxesQuery = () =>
  queryOptions({
    queryKey: ["toolboxes"],
    queryFn: async ({ signal }) => (await answer(api().toolboxes.GET("/", { signal }))).map(learnFrom),
  });

export const toolboxQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId],
    queryFn: async ({ signal }) =>
      learnFrom(await answer(api().toolboxes.GET("/{toolboxId}", { params: { path: { toolboxId } }, signal }))),
  });

export const toolboxOptionsQuery = () =>
  queryOptions({
    queryKey: ["toolbox-options"],
    queryFn: ({ signal }) => answer(api().toolboxes.GET("/options", { signal })),
    staleTime: 10 * 60_000,
  });

/** How much one may have, and has. */
export const quotaQuery = () =>
  queryOptions({
    queryKey: ["quota"],
    queryFn: ({ signal }) => answer(api().toolboxes.GET("/quota", { signal })),
  });

/** A row of a tool, without asking its machine. */
export interface ToolRow {
  id: string;
  account_tool_environment_id: string;
  instance_name_on_toolbox: string;
  docker_image_url: string;
  status_on_toolbox: string;
  desired_status: string;
  status_changed_at: string;
  last_observed_at: string | null;
  instance_error_code: string | null;
  instance_error_message: string | null;
}

/** The tools of all toolboxes, as they were last reported: one request for a whole list. */
export const toolRowsQuery = () =>
  queryOptions({
    queryKey: ["tool-rows"],
    queryFn: ({ signal }) =>
      rows<ToolRow[]>(
        api().tables.from("account_tool_instances").select(
          "id, account_tool_environment_id, instance_name_on_toolbox, docker_image_url, status_on_toolbox, desired_status, " +
            "status_changed_at, last_observed_at, instance_error_code, instance_error_message",
        ).order("instance_name_on_toolbox").limit(5000).abortSignal(signal).overrideTypes<
          ToolRow[],
          { merge: false }
        >(),
      ),
  });

/** The tools of one toolbox, asked of its machine. */
export const toolsQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "tools"],
    queryFn: async ({ signal }) => {
      const list = await answer(api().tools.GET("/{toolboxId}/tools", { params: { path: { toolboxId } }, signal }));
      learnServerTime(list.last_checked, Date.now());
      return list;
    },
  });

/** One tool, asked of its machine. */
export const toolQuery = (toolboxId: string, instance: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "tools", instance],
    queryFn: ({ signal }) =>
      answer(api().tools.GET("/{toolboxId}/tools/{instance}", { params: { path: { toolboxId, instance } }, signal })),
  });

/** What a tool was asked to run; read anew when it is asked for something else, and when that is seen running. */
export const versionsQuery = (toolboxId: string, { id, generation, status_on_toolbox: status }: Tool) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "tools", id, "versions", generation, status],
    queryFn: ({ signal }) =>
      answer(
        api().tools.GET("/{toolboxId}/tools/{instance}/versions", {
          params: { path: { toolboxId, instance: id } },
          signal,
        }),
      ),
  });

/** How a machine is. A machine that does not answer is an answer too: what was tried, and what is known without it. */
export const machineQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "machine"],
    queryFn: async ({ signal }): Promise<MachineState> => {
      let state: MachineState;
      try {
        state = await answer(api().machine.GET("/{toolboxId}/status", { params: { path: { toolboxId } }, signal }));
      } catch (error) {
        const said = error instanceof ApiError ? error.answer as Partial<MachineState> | null : null;
        if (!Array.isArray(said?.services)) throw error;
        state = said as MachineState;
      }
      learnServerTime(state.last_checked, Date.now());
      return state;
    },
  });

export const diagnosisQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "diagnosis"],
    queryFn: ({ signal }) =>
      answer(api().machine.GET("/{toolboxId}/diagnose", { params: { path: { toolboxId } }, signal })),
  });

export const operationQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "operation"],
    queryFn: ({ signal }) =>
      answer(api().machine.GET("/{toolboxId}/operation", { params: { path: { toolboxId } }, signal })),
  });

export interface ToolboxEvent {
  id: number;
  occurred_at: string;
  actor_kind: string;
  actor_id: string | null;
  kind: string;
  detail: Record<string, unknown>;
  result: string;
  request_id: string | null;
}

export interface ToolEvent {
  id: number;
  tool_instance_id: string;
  account_tool_environment_id: string;
  occurred_at: string;
  actor_kind: string;
  actor_id: string | null;
  action: string;
  from_status: string | null;
  to_status: string | null;
  reason_code: string | null;
  reason: string | null;
  request_id: string | null;
}
