/** The published port of an instance, spoken to by the real MCP client. */
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { sleep, within } from "./wait.ts";

/** A published port, as list and get answer it. */
export interface Published {
  container_port: number;
  host_ip: string;
  host_port: number;
}

/** The MCP endpoint of an instance view. */
export function endpoint(view: { ports: Published[]; endpoint_path: string | null }): URL {
  const [port] = view.ports;
  if (!port) throw new Error("the instance publishes no port");
  return new URL(view.endpoint_path ?? "/mcp", `http://${port.host_ip}:${port.host_port}`);
}

/**
 * Connects (initialize), hands the client to `use`, and closes the session. A container that was just started may not
 * listen yet, so connecting is repeated.
 */
export async function withMcp<T>(url: URL, use: (client: Client) => Promise<T>): Promise<T> {
  const { client, transport } = await connected(url);
  try {
    return await within(20_000, `the MCP session at ${url}`, use(client));
  } finally {
    await transport.terminateSession().catch(() => {});
    await client.close();
  }
}

async function connected(url: URL): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
  const end = Date.now() + 20_000;
  for (;;) {
    const client = new Client({ name: "toolbox-e2e", version: "1" });
    const transport = new StreamableHTTPClientTransport(url);
    try {
      await within(20_000, `MCP initialize at ${url}`, client.connect(transport));
      return { client, transport };
    } catch (error) {
      await client.close();
      // Refused or reset; what is answered, be it wrong, is final.
      if (!(error instanceof TypeError) || Date.now() > end) throw error;
    }
    await sleep(100);
  }
}

/** Calls the sample server's `environment` tool: names of all variables, values of `SAMPLE_…`. */
export function environmentOf(url: URL): Promise<{ names: string[]; values: Record<string, string> }> {
  return withMcp(url, async (client) => {
    const result = await client.callTool({ name: "environment", arguments: {} });
    return result.structuredContent as { names: string[]; values: Record<string, string> };
  });
}
