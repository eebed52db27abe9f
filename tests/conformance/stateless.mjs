// The tools, resources and prompts that the official conformance suite asks a server of revision 2026-07-28 for, over stdio
// or, with a port as argument, over streamable HTTP. What is tested is the bridge before it.
import process from "node:process";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import {
  createMcpHandler,
  createRequestStateCodec,
  inputRequired,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  Server,
} from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { any, CONTENT, pause, PROMPTS, readResource, RESOURCES, SCHEMA_2020_12, TEMPLATE, text } from "./content.mjs";

const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const states = createRequestStateCodec({ key: randomBytes(32) });
const asks = (name, type = "string") => ({
  type: "object",
  properties: { [name]: { type } },
  required: [name],
});
const elicit = (message, name, type) => inputRequired.elicit({ message, requestedSchema: asks(name, type) });
const sample = (prompt, maxTokens = 100) =>
  inputRequired.createMessage({
    messages: [{ role: "user", content: text(prompt) }],
    maxTokens,
  });
const done = (said) => ({ content: [text(said)] });
const accepted = (responses, name) => responses?.[name]?.action === "accept" ? responses[name].content : undefined;
const asked = (inputRequests, rest) => inputRequired({ inputRequests, ...rest });

/** Asks for what `requests` names until all of it is there. */
const complete = (context, requests) => {
  const given = context.mcpReq.inputResponses;
  return Object.keys(requests).every((name) => given?.[name]) ? given : undefined;
};
/** The same, with a state that must come back unchanged. */
const withState = (requests, said) => async (_, context) => {
  if (complete(context, requests)) return done(said);
  return asked(requests, { requestState: await states.mint({ round: 1 }) });
};

/** Name → [schema of the input, what it does]. `changed` tells subscribers. */
const tools = (changed) => ({
  ...Object.fromEntries(
    Object.entries(CONTENT).map((
      [name, content],
    ) => [name, [any, () => ({ content })]]),
  ),
  test_error_handling: [any, () => {
    throw new Error("This tool intentionally returns an error for testing");
  }],
  test_tool_with_progress: [any, async (_, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
      await mcpReq.notify({
        method: "notifications/progress",
        params: { progressToken, progress, total: 100 },
      });
      await pause(50);
    }
    return done("Tool with progress executed successfully");
  }],
  test_tool_with_logging: [any, async (_, { mcpReq }) => {
    await mcpReq.log("info", "Tool execution started");
    return done("Tool with logging executed successfully");
  }],
  test_logging_tool: [any, async (_, { mcpReq }) => {
    await mcpReq.log("info", "A line nobody may have asked for");
    return done("Logged");
  }],
  json_schema_2020_12_tool: [
    SCHEMA_2020_12,
    (input) => done(JSON.stringify(input)),
  ],
  test_header_parameter: [{
    type: "object",
    properties: { region: { type: "string", "x-mcp-header": "Region" } },
    required: ["region"],
  }, ({ region }) => done(`In ${region}`)],
  test_missing_capability: [any, (_, context) => {
    if (capabilities(context).sampling) return done("Sampling is there");
    throw new MissingRequiredClientCapabilityError({
      requiredCapabilities: { sampling: {} },
    });
  }],
  test_streaming_elicitation: [any, async (_, context) => {
    await context.mcpReq.log("info", "Before the question");
    return complete(context, { name: 0 }) ? done("Asked") : asked({ name: elicit("Your name?", "name") });
  }],
  test_trigger_tool_change: [any, () => (changed.tools(), done("Changed"))],
  test_trigger_prompt_change: [any, () => (changed.prompts(), done("Changed"))],
  test_input_required_result_elicitation: [any, (_, { mcpReq }) => {
    const content = accepted(mcpReq.inputResponses, "user_name");
    if (typeof content?.name === "string") {
      return done(`Hello, ${content.name}!`);
    }
    return asked({ user_name: elicit("What is your name?", "name") });
  }],
  test_input_required_result_sampling: [any, (_, context) => {
    const given = complete(context, { capital_question: 0 });
    if (given) return done(`It said: ${given.capital_question.content?.text}`);
    return asked({
      capital_question: sample("What is the capital of France?"),
    });
  }],
  test_input_required_result_list_roots: [any, (_, context) => {
    const given = complete(context, { client_roots: 0 });
    if (given) {
      return done(
        `Roots: ${given.client_roots.roots?.map(({ uri }) => uri).join(", ")}`,
      );
    }
    return asked({ client_roots: inputRequired.listRoots() });
  }],
  test_input_required_result_request_state: [
    any,
    withState(
      { confirm: elicit("Please confirm", "ok", "boolean") },
      "state-ok",
    ),
  ],
  test_input_required_result_tampered_state: [
    any,
    withState(
      { confirm: elicit("Please confirm", "ok", "boolean") },
      "state-ok",
    ),
  ],
  test_input_required_result_multiple_inputs: [
    any,
    withState({
      user_name: elicit("What is your name?", "name"),
      greeting: sample("Generate a greeting", 50),
      client_roots: inputRequired.listRoots(),
    }, "All there"),
  ],
  test_input_required_result_multi_round: [any, async (_, { mcpReq }) => {
    const round = mcpReq.requestState()?.round ?? 0;
    if (round === 2) return done("Both steps are done");
    const step = round === 0
      ? { step1: elicit("Step 1: What is your name?", "name") }
      : { step2: elicit("Step 2: What is your favorite color?", "color") };
    return asked(step, {
      requestState: await states.mint({ round: round + 1 }),
    });
  }],
  test_input_required_result_capabilities: [any, (_, context) => {
    if (context.mcpReq.inputResponses) return done("Answered");
    const { sampling, elicitation } = capabilities(context);
    return asked({
      ...(sampling ? { summary: sample("Say something") } : {}),
      ...(elicitation ? { user_name: elicit("What is your name?", "name") } : {}),
    });
  }],
});

const capabilities = ({ mcpReq }) => mcpReq.envelope?.[CAPABILITIES] ?? mcpReq._meta?.[CAPABILITIES] ?? {};

function make(changed) {
  const server = new Server({ name: "toolbox-conformance", version: "1.0.0" }, {
    capabilities: {
      tools: { listChanged: true },
      resources: { listChanged: true },
      prompts: { listChanged: true },
      logging: {},
      completions: {},
    },
    requestState: { verify: states.verify },
  });
  const all = tools(changed);
  const unknown = (what, name) => new ProtocolError(-32602, `Unknown ${what}: ${name}`, { uri: name });
  server.setRequestHandler("tools/list", () => ({
    tools: Object.entries(all).map(([name, [inputSchema]]) => ({
      name,
      description: `Tool ${name}`,
      inputSchema,
    })),
  }));
  server.setRequestHandler("tools/call", async ({ params }, context) => {
    const tool = all[params.name];
    if (!tool) throw unknown("tool", params.name);
    try {
      return await tool[1](params.arguments ?? {}, context);
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      return { isError: true, content: [text(error.message)] };
    }
  });
  server.setRequestHandler("resources/list", () => ({
    resources: Object.entries(RESOURCES).map(([uri, [name, mimeType]]) => ({
      uri,
      name,
      description: name,
      mimeType,
    })),
  }));
  server.setRequestHandler(
    "resources/templates/list",
    () => ({ resourceTemplates: [TEMPLATE] }),
  );
  server.setRequestHandler("resources/read", ({ params: { uri } }) => {
    const found = readResource(uri);
    if (!found) throw unknown("resource", uri);
    return found;
  });
  server.setRequestHandler(
    "completion/complete",
    () => ({ completion: { values: [], total: 0, hasMore: false } }),
  );
  server.setRequestHandler("prompts/list", () => ({
    prompts: [...Object.entries(PROMPTS), [
      "test_input_required_result_prompt",
      [[]],
    ]].map(([name, [names]]) => ({
      name,
      description: `Prompt ${name}`,
      arguments: names.map((argument) => ({
        name: argument,
        description: argument,
        required: true,
      })),
    })),
  }));
  server.setRequestHandler("prompts/get", ({ params }, { mcpReq }) => {
    const says = (content) => ({
      messages: content.map((content) => ({ role: "user", content })),
    });
    if (params.name === "test_input_required_result_prompt") {
      const content = accepted(mcpReq.inputResponses, "user_context");
      if (content) return says([text(`Context: ${content.context}`)]);
      return asked({
        user_context: elicit("What context should the prompt use?", "context"),
      });
    }
    const prompt = PROMPTS[params.name];
    if (!prompt) throw unknown("prompt", params.name);
    return says(prompt[1](params.arguments ?? {}));
  });
  return server;
}

function serveHttp(port) {
  const handler = createMcpHandler(() =>
    make({
      tools: () => handler.notify.toolsChanged(),
      prompts: () => handler.notify.promptsChanged(),
    })
  );
  createServer(async (request, response) => {
    const body = ["GET", "DELETE"].includes(request.method) ? undefined : Readable.toWeb(request);
    const left = new AbortController();
    response.on("close", () => left.abort());
    const answer = await handler.fetch(
      new Request(`http://127.0.0.1:${port}${request.url}`, {
        method: request.method,
        headers: Object.entries(request.headers).map((
          [name, value],
        ) => [name, String(value)]),
        body,
        duplex: "half",
        signal: left.signal,
      }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (!answer.body) return response.end();
    Readable.fromWeb(answer.body).on("error", () => response.end()).pipe(
      response,
    );
  }).listen(port, process.argv[3] ?? "127.0.0.1");
}

const port = Number(process.argv[2] ?? 0);
if (port) serveHttp(port);
else {
  serveStdio(() => {
    const server = make({
      tools: () => server.sendToolListChanged(),
      prompts: () => server.sendPromptListChanged(),
    });
    return server;
  });
}
