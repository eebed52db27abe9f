// The tools, resources and prompts that the official conformance suite asks a server for, over stdio or, with a port as
// argument, over streamable HTTP. What is tested is the bridge before it.
import process from "node:process";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { any, CONTENT, pause, PROMPTS, readResource, RESOURCES, SCHEMA_2020_12, TEMPLATE, text } from "./content.mjs";

const titled = (values, titles) => values.map((value, n) => ({ const: value, title: titles[n] }));
const needs = (name) => ({
  type: "object",
  properties: { [name]: { type: "string" } },
  required: [name],
});
const elicit = async (extra, message, properties, required = []) => {
  const params = {
    message,
    requestedSchema: { type: "object", properties, required },
  };
  const answer = await extra.sendRequest({
    method: "elicitation/create",
    params,
  }, types.ElicitResultSchema);
  return [
    text(
      `Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`,
    ),
  ];
};

const TOOLS = {
  ...Object.fromEntries(
    Object.entries(CONTENT).map((
      [name, content],
    ) => [name, [any, () => content]]),
  ),
  test_tool_with_logging: [any, async (_, extra) => {
    for (
      const data of [
        "Tool execution started",
        "Tool processing data",
        "Tool execution completed",
      ]
    ) {
      await extra.sendNotification({
        method: "notifications/message",
        params: { level: "info", data },
      });
      await pause(50);
    }
    return [text("Tool with logging executed successfully")];
  }],
  test_error_handling: [any, () => {
    throw new Error("This tool intentionally returns an error for testing");
  }],
  test_tool_with_progress: [any, async (_, extra) => {
    const progressToken = extra._meta?.progressToken;
    for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
      await extra.sendNotification({
        method: "notifications/progress",
        params: { progressToken, progress, total: 100 },
      });
      await pause(50);
    }
    return [text("Tool with progress executed successfully")];
  }],
  test_sampling: [needs("prompt"), async ({ prompt }, extra) => {
    const params = {
      messages: [{ role: "user", content: text(prompt) }],
      maxTokens: 100,
    };
    const answer = await extra.sendRequest(
      { method: "sampling/createMessage", params },
      types.CreateMessageResultSchema,
    );
    return [text(`LLM response: ${answer.content.text}`)];
  }],
  test_elicitation: [
    needs("message"),
    ({ message }, extra) =>
      elicit(extra, message, {
        username: { type: "string", description: "User's response" },
        email: { type: "string", description: "User's email address" },
      }, ["username", "email"]),
  ],
  test_elicitation_sep1034_defaults: [
    any,
    (_, extra) =>
      elicit(extra, "Please review the defaults", {
        name: { type: "string", default: "John Doe" },
        age: { type: "integer", default: 30 },
        score: { type: "number", default: 95.5 },
        status: {
          type: "string",
          enum: ["active", "inactive", "pending"],
          default: "active",
        },
        verified: { type: "boolean", default: true },
      }),
  ],
  test_elicitation_sep1330_enums: [any, (_, extra) => {
    const three = ["option1", "option2", "option3"];
    const values = ["value1", "value2", "value3"];
    const choices = ["First Choice", "Second Choice", "Third Choice"];
    return elicit(extra, "Please choose", {
      untitledSingle: { type: "string", enum: three },
      titledSingle: {
        type: "string",
        oneOf: titled(values, [
          "First Option",
          "Second Option",
          "Third Option",
        ]),
      },
      legacyEnum: {
        type: "string",
        enum: ["opt1", "opt2", "opt3"],
        enumNames: ["Option One", "Option Two", "Option Three"],
      },
      untitledMulti: { type: "array", items: { type: "string", enum: three } },
      titledMulti: { type: "array", items: { anyOf: titled(values, choices) } },
    });
  }],
  json_schema_2020_12_tool: [
    SCHEMA_2020_12,
    (input) => [text(JSON.stringify(input))],
  ],
  test_reconnection: [any, async (_, extra) => {
    extra.closeSSEStream?.();
    await pause(100);
    return [text("Reconnection test completed successfully.")];
  }],
};

function make() {
  const capabilities = {
    tools: { listChanged: true },
    resources: { subscribe: true, listChanged: true },
    prompts: { listChanged: true },
    logging: {},
    completions: {},
  };
  const server = new Server({ name: "toolbox-conformance", version: "1.0.0" }, {
    capabilities,
  });
  const on = (schema, answer) => server.setRequestHandler(schema, answer);
  const unknown = (what, name) =>
    new types.McpError(
      types.ErrorCode.InvalidParams,
      `Unknown ${what}: ${name}`,
      { uri: name },
    );
  on(types.ListToolsRequestSchema, () => ({
    tools: Object.entries(TOOLS).map(([name, [inputSchema]]) => ({
      name,
      description: `Tool ${name}`,
      inputSchema,
    })),
  }));
  on(types.CallToolRequestSchema, async ({ params }, extra) => {
    const tool = TOOLS[params.name];
    if (!tool) throw unknown("tool", params.name);
    try {
      return { content: await tool[1](params.arguments ?? {}, extra) };
    } catch (error) {
      return { isError: true, content: [text(error.message)] };
    }
  });
  on(types.ListResourcesRequestSchema, () => ({
    resources: Object.entries(RESOURCES).map(([uri, [name, mimeType]]) => ({
      uri,
      name,
      description: name,
      mimeType,
    })),
  }));
  on(types.ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [TEMPLATE],
  }));
  on(types.ReadResourceRequestSchema, ({ params: { uri } }) => {
    const found = readResource(uri);
    if (!found) throw unknown("resource", uri);
    return found;
  });
  on(types.SubscribeRequestSchema, () => ({}));
  on(types.UnsubscribeRequestSchema, () => ({}));
  on(types.SetLevelRequestSchema, () => ({}));
  on(
    types.CompleteRequestSchema,
    () => ({ completion: { values: [], total: 0, hasMore: false } }),
  );
  on(types.ListPromptsRequestSchema, () => ({
    prompts: Object.entries(PROMPTS).map(([name, [names]]) => ({
      name,
      description: `Prompt ${name}`,
      arguments: names.map((argument) => ({
        name: argument,
        description: argument,
        required: true,
      })),
    })),
  }));
  on(types.GetPromptRequestSchema, ({ params }) => {
    const prompt = PROMPTS[params.name];
    if (!prompt) throw unknown("prompt", params.name);
    return {
      messages: prompt[1](params.arguments ?? {}).map((content) => ({
        role: "user",
        content,
      })),
    };
  });
  return server;
}

function serveHttp(port) {
  const sessions = new Map();
  createServer(async (request, response) => {
    const known = sessions.get(request.headers["mcp-session-id"]);
    if (!known && request.headers["mcp-session-id"]) {
      return response.writeHead(404).end();
    }
    if (known) return known.handleRequest(request, response);
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await make().connect(transport);
    await transport.handleRequest(request, response);
  }).listen(port, process.argv[3] ?? "127.0.0.1");
}

const port = Number(process.argv[2] ?? 0);
if (port) serveHttp(port);
else await make().connect(new StdioServerTransport());
