import { queryOptions } from "@tanstack/react-query";
import { answer, api, rows } from "./client.ts";
import { ApiError } from "./error.ts";
import type { components } from "./generated/toolbox-tools.ts";
import type { Tool } from "@/lib/states.ts";

export type Access = components["schemas"]["McpAccessView"];
export type Host = components["schemas"]["McpHost"];

/** Where an MCP server is reached, and what hosts of clients are told of it. What opens it at the machine itself is left out. */
export const connectionQuery = (toolboxId: string, instance: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "connection", instance],
    staleTime: 5 * 60_000,
    queryFn: async ({ signal }) => {
      const given = await answer(
        api().tools.GET("/{toolboxId}/tools/{instance}/mcp", { params: { path: { toolboxId, instance } }, signal }),
      );
      // The token of the endpoint is a secret that this page does not need, so it keeps none.
      return { url: given.public_url, hosts: given.hosts };
    },
  });

/** The same for all MCP servers of a toolbox by one URL. */
export const toolboxConnectionQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "connection"],
    staleTime: 5 * 60_000,
    queryFn: async ({ signal }) => {
      const given = await answer(api().tools.GET("/{toolboxId}/mcp", { params: { path: { toolboxId } }, signal }));
      return { url: given.public_url, hosts: given.hosts };
    },
  });

/** Which tools of an MCP server were accepted, and what differs from those that it lists now. */
export const pinQuery = (toolboxId: string, tool: Tool) => {
  const { id: instance, mcp, mcp_pin_pending } = tool;
  return queryOptions({
    // Asked anew once the agent heard others, and once those that were to be pinned are.
    queryKey: ["toolboxes", toolboxId, "pin", instance, mcp?.tools_fingerprint ?? null, mcp_pin_pending],
    // The server is asked each time.
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const params = { path: { toolboxId, instance } };
      return (await answer(api().tools.GET("/{toolboxId}/tools/{instance}/mcp/pin", { params, signal }))).pin;
    },
  });
};

/** Who may use the MCP servers of a toolbox, beside its owner. */
export const accessQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "access"],
    queryFn: async ({ signal }) =>
      (await answer(api().tools.GET("/{toolboxId}/mcp-access", { params: { path: { toolboxId } }, signal }))).access,
  });

/** How an MCP server was used, by day, tool and client, the newest first. */
export const usageQuery = (toolboxId: string, instance: string, days: number) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "usage", instance, days],
    queryFn: async ({ signal }) => {
      const params = { path: { toolboxId, instance }, query: { days } };
      return (await answer(api().tools.GET("/{toolboxId}/tools/{instance}/mcp/usage", { params, signal }))).usage;
    },
  });

interface AccessRow extends Omit<Access, "toolbox_id" | "instance_id"> {
  account_tool_environment_id: string;
  account_tool_instance_id: string | null;
}

/** Every access that the user gave, those that count first and of them the newest, in one request. */
export const givenAccessQuery = () =>
  queryOptions({
    queryKey: ["given", "access"],
    queryFn: async ({ signal }) => {
      const { auth, tables } = api();
      const { data } = await auth.getSession();
      const list = await rows<AccessRow[]>(
        tables.from("mcp_access").select(
          "id, account_tool_environment_id, account_tool_instance_id, name, user_id, client_id, allowed_tools, read_only, " +
            "requests_per_minute, concurrent_requests, expires_at, revoked_at, last_used_at, last_client, created_at",
        ).eq("granted_by", data.session?.user.id ?? "").order("revoked_at", { ascending: false, nullsFirst: true })
          .order("created_at", { ascending: false }).limit(1000)
          .abortSignal(signal).overrideTypes<AccessRow[], { merge: false }>(),
      );
      return list.map(({ account_tool_environment_id, account_tool_instance_id, ...rest }): Access => ({
        ...rest,
        toolbox_id: account_tool_environment_id,
        instance_id: account_tool_instance_id,
      }));
    },
  });

/** What applications may use now. */
export const applicationAccessQuery = () =>
  queryOptions({
    ...givenAccessQuery(),
    select: (list: Access[]) =>
      list.filter(({ client_id, revoked_at, expires_at }) =>
        client_id != null && revoked_at == null && (expires_at == null || Date.parse(expires_at) > Date.now())
      ),
  });

/** Ends an access. One that is gone already has ended. */
export async function revokeAccess({ id, toolbox_id: toolboxId }: Access): Promise<void> {
  const path = { toolboxId, accessId: id };
  await unlessGone(answer(api().tools.DELETE("/{toolboxId}/mcp-access/{accessId}", { params: { path } })));
}

/** That an access is gone already is no failure of its end. */
export async function unlessGone(ended: Promise<unknown>): Promise<void> {
  try {
    await ended;
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "mcp_access_not_found")) throw error;
  }
}
