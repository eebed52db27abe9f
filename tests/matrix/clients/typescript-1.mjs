// @modelcontextprotocol/sdk: over streamable HTTP or, with the argument "mcp-remote", over stdio through mcp-remote.
import process from "node:process";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { job, ROOT, run, SAMPLED } from "./steps.mjs";

function transport() {
  if (process.argv[2] !== "mcp-remote") {
    return new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers: job.headers } });
  }
  const headers = Object.entries(job.headers).flatMap(([name, value]) => ["--header", `${name}:${value}`]);
  const program = new URL("../node_modules/mcp-remote/dist/proxy.js", import.meta.url).pathname;
  const { PATH, HOME, NODE_EXTRA_CA_CERTS, BROWSER } = process.env;
  const env = { PATH, HOME, BROWSER, ...(NODE_EXTRA_CA_CERTS && { NODE_EXTRA_CA_CERTS }) };
  return new StdioClientTransport({
    command: process.execPath,
    args: [program, job.url, ...headers, "--transport", "http-only", "--silent"],
    env,
    stderr: "inherit",
  });
}

await run(async () => {
  const capabilities = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
  const client = new Client({ name: "matrix", version: "1.0.0" }, { capabilities });
  client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [ROOT] }));
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: job.elicit?.content ?? {} }));
  client.setRequestHandler(CreateMessageRequestSchema, () => ({
    role: "assistant",
    model: "matrix",
    content: { type: "text", text: SAMPLED },
  }));
  let revision;
  const way = transport();
  // Over stdio nobody else keeps what was agreed.
  way.setProtocolVersion = ((before) => (version) => (revision = version, before?.call(way, version)))(
    way.setProtocolVersion,
  );
  await client.connect(way, { timeout: 35_000 });
  return {
    revision,
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, input, onprogress, signal) =>
      client.callTool({ name, arguments: input }, undefined, { onprogress, signal }),
    close: async () => {
      // Over stdio it ends with the program.
      await way.terminateSession?.();
      await client.close();
    },
  };
});
