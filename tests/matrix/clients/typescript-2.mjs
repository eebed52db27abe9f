// @modelcontextprotocol/client, which asks for revision 2026-07-28 first.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { job, ROOT, run, SAMPLED } from "./steps.mjs";

await run(async () => {
  const client = new Client({ name: "matrix", version: "1.0.0" }, {
    capabilities: { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } },
    versionNegotiation: { mode: "auto" },
  });
  client.setRequestHandler("roots/list", () => ({ roots: [ROOT] }));
  client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: job.elicit?.content ?? {} }));
  client.setRequestHandler("sampling/createMessage", () => ({
    role: "assistant",
    model: "matrix",
    content: { type: "text", text: SAMPLED },
  }));
  const way = new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers: job.headers } });
  await client.connect(way, { timeout: 35_000 });
  return {
    revision: client.getNegotiatedProtocolVersion?.(),
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, input, onprogress, signal) => client.callTool({ name, arguments: input }, { onprogress, signal }),
    close: async () => {
      await way.terminateSession();
      await client.close();
    },
  };
});
