import { queryOptions } from "@tanstack/react-query";
import { answer, api } from "./client.ts";
import type { components } from "./generated/toolbox-tools.ts";

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

/** Who may use the MCP servers of a toolbox, beside its owner. */
export const accessQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "access"],
    queryFn: async ({ signal }) =>
      (await answer(api().tools.GET("/{toolboxId}/mcp-access", { params: { path: { toolboxId } }, signal }))).access,
  });
