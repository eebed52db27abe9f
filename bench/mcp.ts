// The client's side of MCP over streamable HTTP, as much as a measurement needs.

export interface Endpoint {
  url: string;
  client?: Deno.HttpClient;
  /** Headers beside those of the protocol. */
  headers: Record<string, string>;
  /** Name of the tool that sends its argument `message` back. */
  echo: string;
}

const PROTOCOL = "2025-11-25";

/** Opens a session; its headers. */
export async function openSession(endpoint: Endpoint): Promise<Record<string, string>> {
  const answer = await post(endpoint, {}, {
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name: "bench", version: "0" } },
  });
  const id = answer.headers.get("mcp-session-id");
  if (answer.status !== 200 || id === null) {
    throw new Error(`initialize at ${endpoint.url} answered ${answer.status}: ${await answer.text()}`);
  }
  await answer.text();
  const session = { "mcp-session-id": id, "mcp-protocol-version": PROTOCOL };
  await (await post(endpoint, session, { jsonrpc: "2.0", method: "notifications/initialized" })).text();
  return session;
}

/** The body of a call of the echo tool; @ is where bench/each.lua puts the number. */
export function echoCall({ echo }: Endpoint): string {
  const params = { name: echo, arguments: { message: "m@." } };
  return JSON.stringify({ jsonrpc: "2.0", id: "@", method: "tools/call", params }).replace('"@"', "@");
}

/** Sends a message. */
export async function post(endpoint: Endpoint, session: Record<string, string>, body: unknown): Promise<Response> {
  return await fetch(endpoint.url, {
    ...(endpoint.client && { client: endpoint.client }),
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...endpoint.headers,
      ...session,
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
}
