// Applications that act for the user: what sign-in knows of them, and which MCP servers they may use, which is ours.

import { queryOptions } from "@tanstack/react-query";
import { type Access, revokeAccess, unlessGone } from "./access.ts";
import { answer, api } from "./client.ts";
import type { components } from "./generated/toolbox-tools.ts";

export type McpServer = components["schemas"]["McpServerView"];

/** An application, as it describes itself: nobody vouches for the name. */
export interface Application {
  id: string;
  name: string;
}

/** What an application asks for, or where to send the browser when the user said yes to it before. */
export type Authorization =
  | { kind: "asks"; client: Application; redirectUri: string; email: string }
  | { kind: "goes-on"; to: string };

export const authorizationQuery = (id: string) =>
  queryOptions({
    queryKey: ["authorization", id],
    // Asked once: for an application that the user knows, the answer is a code that is good once.
    staleTime: Infinity,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
    queryFn: async (): Promise<Authorization> => {
      const { data, error } = await api().auth.oauth.getAuthorizationDetails(id);
      if (error !== null) throw error;
      if ("redirect_url" in data) return { kind: "goes-on", to: data.redirect_url };
      const { client, redirect_uri: redirectUri, user } = data;
      return { kind: "asks", client: { id: client.id, name: client.name }, redirectUri, email: user.email };
    },
  });

/** Says yes or no; where to send the browser then. */
export async function decide(id: string, yes: boolean): Promise<string> {
  const { oauth } = api().auth;
  const options = { skipBrowserRedirect: true };
  const { data, error } = await (yes ? oauth.approveAuthorization(id, options) : oauth.denyAuthorization(id, options));
  if (error !== null) throw error;
  return data.redirect_url;
}

/** The applications that the user said yes to. */
export const grantsQuery = () =>
  queryOptions({
    queryKey: ["applications", "grants"],
    queryFn: async (): Promise<Application[]> => {
      const { data, error } = await api().auth.oauth.listGrants();
      if (error !== null) throw error;
      return data.map(({ client }) => ({ id: client.id, name: client.name }));
    },
  });

export const mcpServersQuery = () =>
  queryOptions({
    queryKey: ["mcp-servers"],
    queryFn: async ({ signal }) => (await answer(api().tools.GET("/mcp-servers", { signal }))).servers,
  });

/** What an application is let in to. */
export interface Choice {
  toolboxId: string;
  /** None: all servers of the toolbox. */
  instanceId: string | null;
  /** None: all tools. */
  tools: string[] | null;
  /** Only those of them that their server calls read-only. */
  readOnly: boolean;
}

/**
 * Lets an application in; what was made. What it was let in to before at the same servers ends with it, and is not given back
 * after a failure: then it has nothing there, but for an access whose answer was lost.
 */
export async function letIn(client: Application, choices: Choice[], seconds: number | null): Promise<Access[]> {
  const made: Access[] = [];
  try {
    for (const { toolboxId, instanceId, tools, readOnly } of choices) {
      const body = {
        name: (client.name.replace(/\p{Cc}/gu, " ").trim() || client.id).slice(0, 255),
        clientId: client.id,
        ...(instanceId === null ? {} : { instanceId }),
        ...(tools === null ? {} : { allowedTools: tools }),
        ...(readOnly && { readOnly }),
        ...(seconds === null ? {} : { expiresInSeconds: seconds }),
      };
      const params = { path: { toolboxId } };
      made.push((await answer(api().tools.POST("/{toolboxId}/mcp-access", { params, body }))).access);
    }
  } catch (error) {
    await takeBack(made);
    throw error;
  }
  return made;
}

/** Ends accesses of an application that was not let in after all. What cannot be ended now stays in its list, to be ended there. */
export async function takeBack(made: Access[]): Promise<void> {
  await Promise.allSettled(made.map(revokeAccess));
}

/** Ends all that an application may use, and then that sign-in knows it. */
export async function disconnect(clientId: string): Promise<void> {
  // It may use nothing, and sign-in knows it all the same.
  await unlessGone(answer(api().tools.DELETE("/mcp-clients/{clientId}", { params: { path: { clientId } } })));
  const { error } = await api().auth.oauth.revokeGrant({ clientId });
  if (error !== null && error.status !== 404) throw error;
}
