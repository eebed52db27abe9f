// This browser as an MCP client: by the public URL, with the user's own access token. The SDK is loaded when it is first needed.

import type { Client } from "@modelcontextprotocol/client";
import { queryOptions } from "@tanstack/react-query";
import { api } from "./client.ts";
import { ApiError, fromAnswer, toApiError } from "./error.ts";

/** How long a call may take here; servers may be allowed longer. */
const CALL = 120_000;
/** A server that lists more pages than this is at fault. */
const PAGES = 50;

/** Begins the key of questions to MCP servers. */
export const MCP_TOOLS = "mcp-tools";

const open = new Map<string, Promise<Client>>();

/** Connects; `forget` is called once the server knows the session no more. */
async function connect(instance: string, forget: () => void): Promise<Client> {
  // The SDK's schemas would make code of text, which the page's policy forbids; told before, they do not try.
  const { config } = await import("zod/v4/core");
  config({ jitless: true });
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const path = `mcp/${instance}`;
  const client = new Client({ name: "toolbox-console", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(`${api().config.projectUrl}/functions/v1/${path}`), {
    fetch: async (_, init) => {
      const reply = await api().raw(path, init);
      // What refuses says why in the form of JSON-RPC, with the code of the API.
      if (reply.ok || reply.status === 405 || init?.method !== "POST") return reply;
      if (reply.status === 404) forget();
      throw await refusal(reply);
    },
  });
  client.onclose = forget;
  await client.connect(transport, { timeout: CALL });
  return client;
}

async function refusal(reply: Response): Promise<ApiError> {
  const said = await reply.json().catch(() => null) as
    | { error?: { message?: unknown; data?: { code?: unknown; request_id?: unknown } } }
    | null;
  const code = said?.error?.data?.code;
  const message = said?.error?.message;
  if (typeof code !== "string" || typeof message !== "string") return fromAnswer(reply.status, said);
  return new ApiError(code, message, reply.status, reply.headers.get("x-request-id"));
}

/** One session for a server as long as its page is open, because servers remember what was done in it. */
function client(instance: string): Promise<Client> {
  const known = open.get(instance);
  if (known !== undefined) return known;
  // The next question begins another session; one that was begun meanwhile stays.
  const forget = () => {
    if (open.get(instance) === made) open.delete(instance);
  };
  const made = connect(instance, forget);
  open.set(instance, made);
  made.catch(forget);
  return made;
}

export function closeMcp(instance: string): void {
  const known = open.get(instance);
  open.delete(instance);
  known?.then((each) => each.close()).catch(() => {});
}

export interface McpTool {
  name: string;
  title: string | null;
  description: string | null;
  inputSchema: Record<string, unknown>;
  outputSchema: Record<string, unknown> | null;
  annotations: Record<string, unknown>;
}

/** The tools as the server lists them now, to this client. */
export const mcpToolsQuery = (instance: string) =>
  queryOptions({
    queryKey: [MCP_TOOLS, instance],
    staleTime: 60_000,
    queryFn: async ({ signal }): Promise<McpTool[]> => {
      const server = await client(instance);
      const tools: McpTool[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < PAGES; page++) {
        const list = await server.listTools(cursor === undefined ? {} : { cursor }, { signal, timeout: CALL })
          .catch((error: unknown) => {
            throw asApiError(error);
          });
        for (const tool of list.tools) {
          tools.push({
            name: tool.name,
            title: tool.title ?? null,
            description: tool.description ?? null,
            inputSchema: tool.inputSchema,
            outputSchema: tool.outputSchema ?? null,
            annotations: { ...tool.annotations },
          });
        }
        cursor = list.nextCursor;
        if (cursor === undefined) break;
      }
      return tools;
    },
  });

/** What a tool answered, as it came; nothing in it is to be trusted. */
export interface McpResult {
  content: Record<string, unknown>[];
  structured: unknown;
  isError: boolean;
  ms: number;
}

export async function callTool(instance: string, name: string, args: Record<string, unknown>): Promise<McpResult> {
  const began = performance.now();
  try {
    const server = await client(instance);
    const result = await server.callTool({ name, arguments: args }, { timeout: CALL });
    return {
      content: (result.content ?? []) as unknown as Record<string, unknown>[],
      structured: result.structuredContent ?? null,
      isError: result.isError === true,
      ms: Math.round(performance.now() - began),
    };
  } catch (error) {
    throw asApiError(error);
  }
}

/** JSON-RPC errors are the server's own words, with its number as their code. */
function asApiError(error: unknown): ApiError {
  if (error instanceof Error && error.cause instanceof ApiError) return error.cause;
  if (error instanceof ApiError || error instanceof TypeError) return toApiError(error);
  const { code, message } = error as { code?: unknown; message?: unknown };
  return new ApiError(
    typeof code === "number" ? `json_rpc_${code}` : typeof code === "string" ? code.toLowerCase() : "mcp_failed",
    typeof message === "string" ? message : "The MCP server could not be asked",
    null,
  );
}
