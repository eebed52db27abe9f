// The servers of the matrix: how each is started, and what a client does with it.

/** A call of a tool. */
interface Todo {
  tool: string;
  arguments: Record<string, unknown>;
}

export interface Server {
  name: string;
  /** Package and version, as in package.json and run. */
  of: string;
  sdk: string;
  transport: "stdio" | "streamable-http" | "sse";
  command: string[];
  port?: number;
  path?: string;
  /** A tool that must be listed. */
  tool: string;
  /** How it is called, and a part of its answer; none for a server that needs the network. */
  call?: { arguments: Record<string, unknown>; expect: string };
  progress?: Todo;
  /** A call that takes long, and is cancelled. */
  cancel?: Todo;
  /** An answer of so many bytes at least; `streamed` when the server itself makes one event of it. */
  large?: Todo & { bytes: number; streamed?: boolean };
  /** Asks the client for a form, which it fills in with `content`. */
  elicit?: Todo & { content: Record<string, unknown>; expect: string };
  sample?: Todo & { expect: string };
  /** Shows that the server knows the directory of the client. */
  roots?: Todo & { expect: string };
  /** Steps that the server does only with sessions, that is before revision 2026-07-28, or only without. */
  only?: { [step in "elicit" | "sample" | "roots"]?: "sessions" | "stateless" };
}

const HOME = "/opt/matrix";
const NPM = "TypeScript SDK 1.32.2";
const npm = (name: string, ...rest: string[]) => ["node", `${HOME}/node_modules/${name}`, ...rest];
const python = (
  packages: string,
  ...rest: string[]
) => ["env", `PYTHONPATH=${HOME}/py/${packages}`, "python3", ...rest];
const SAMPLED = "a sampled answer";

const echo = { tool: "echo", call: { arguments: { text: "hej" }, expect: "Echo: hej" } };
const large = { tool: "large", arguments: {}, bytes: 8_000_000 };
const count = { tool: "count", arguments: {} };
const think = { tool: "think", arguments: {}, expect: SAMPLED };

const EVERYTHING = {
  of: "@modelcontextprotocol/server-everything 2026.8.31",
  sdk: NPM,
  tool: "echo",
  call: { arguments: { message: "hej" }, expect: "Echo: hej" },
  progress: { tool: "trigger-long-running-operation", arguments: { duration: 1, steps: 3 } },
};
const everything = (way: string) => npm("@modelcontextprotocol/server-everything/dist/index.js", way);

const ASKING = {
  elicit: {
    tool: "trigger-elicitation-request",
    arguments: {},
    content: { name: "Ada", check: true },
    expect: "Ada",
  },
  sample: { tool: "trigger-sampling-request", arguments: { prompt: "hej" }, expect: SAMPLED },
  roots: { tool: "get-roots-list", arguments: {}, expect: "file:///srv" },
};

const fastmcp = (version: string, packages: string, transport: string): Partial<Server> & Pick<Server, "command"> => ({
  of: `fastmcp ${version}`,
  command: python(packages, `${HOME}/servers/fastmcp_server.py`, transport),
  large,
  progress: count,
  elicit: { tool: "ask", arguments: {}, content: { value: "Ada" }, expect: "Hello, Ada!" },
  sample: think,
  // "Elicitation is not available" is what it says to a client of revision 2026-07-28.
  only: { elicit: "sessions", sample: "sessions" },
});
const FASTMCP_4 = { sdk: "FastMCP 4.2.3 on Python SDK 2.3.0", ...echo };
const FASTMCP_2 = { sdk: "FastMCP 2.14.7 on Python SDK 1.30.0", ...echo };

const PYTHON = "Python SDK 2.3.0";
const CONFORMANCE = {
  tool: "test_simple_text",
  call: { arguments: {}, expect: "simple text response" },
  progress: { tool: "test_tool_with_progress", arguments: {} },
};
const STATELESS = {
  ...CONFORMANCE,
  elicit: {
    tool: "test_input_required_result_elicitation",
    arguments: {},
    content: { name: "Ada" },
    expect: "Hello, Ada!",
  },
  sample: { tool: "test_input_required_result_sampling", arguments: {}, expect: SAMPLED },
  roots: { tool: "test_input_required_result_list_roots", arguments: {}, expect: "file:///srv" },
};

export const SERVERS: Server[] = [
  { name: "everything", transport: "stdio", command: everything("stdio"), ...EVERYTHING, ...ASKING },
  {
    name: "everything, HTTP",
    transport: "streamable-http",
    command: ["env", "PORT=3001", ...everything("streamableHttp")],
    port: 3001,
    ...EVERYTHING,
    // Not over stdio: while a cancelled call may still ask, no other client of the one process is asked anything.
    cancel: { tool: "trigger-long-running-operation", arguments: { duration: 120, steps: 2 } },
    ...ASKING,
  },
  {
    name: "everything, SSE",
    transport: "sse",
    command: ["env", "PORT=3001", ...everything("sse")],
    port: 3001,
    path: "/sse",
    ...EVERYTHING,
    ...ASKING,
  },
  {
    name: "filesystem",
    of: "@modelcontextprotocol/server-filesystem 2026.8.31",
    sdk: NPM,
    transport: "stdio",
    command: npm("@modelcontextprotocol/server-filesystem/dist/index.js", "/srv/inner"),
    tool: "read_text_file",
    call: { arguments: { path: "/srv/inner/hello.txt" }, expect: "hello from a file" },
    // It sends the text twice, and mcp-remote's own client takes no more than 10 MiB.
    large: { tool: "read_text_file", arguments: { path: "/srv/inner/large.txt" }, bytes: 4_500_000 },
    // Outside of what it was started with.
    roots: { tool: "list_directory", arguments: { path: "/srv" }, expect: "[DIR] inner" },
  },
  {
    name: "memory",
    of: "@modelcontextprotocol/server-memory 2026.8.31",
    sdk: NPM,
    transport: "stdio",
    command: ["env", "MEMORY_FILE_PATH=/tmp/memory.json", ...npm("@modelcontextprotocol/server-memory/dist/index.js")],
    tool: "search_nodes",
    call: { arguments: { query: "nothing" }, expect: '"entities": []' },
  },
  {
    name: "sequential-thinking",
    of: "@modelcontextprotocol/server-sequential-thinking 2026.8.31",
    sdk: NPM,
    transport: "stdio",
    command: npm("@modelcontextprotocol/server-sequential-thinking/dist/index.js"),
    tool: "sequentialthinking",
    call: {
      arguments: { thought: "one", nextThoughtNeeded: false, thoughtNumber: 1, totalThoughts: 1 },
      expect: '"thoughtNumber": 1',
    },
  },
  {
    name: "context7",
    of: "@upstash/context7-mcp 4.1.1",
    sdk: "TypeScript SDK 2.0.0",
    transport: "stdio",
    command: npm("@upstash/context7-mcp/dist/index.js"),
    tool: "resolve-library-id",
  },
  {
    name: "context7, HTTP",
    of: "@upstash/context7-mcp 4.1.1",
    sdk: "TypeScript SDK 2.0.0",
    transport: "streamable-http",
    command: npm("@upstash/context7-mcp/dist/index.js", "--transport", "http", "--port", "3002"),
    port: 3002,
    tool: "resolve-library-id",
  },
  {
    name: "time",
    of: "mcp-server-time 2026.10.19",
    sdk: PYTHON,
    transport: "stdio",
    command: python("servers", "-m", "mcp_server_time", "--local-timezone", "UTC"),
    tool: "convert_time",
    call: {
      arguments: { source_timezone: "UTC", time: "12:00", target_timezone: "Asia/Tokyo" },
      expect: "21:00",
    },
  },
  {
    name: "fetch",
    of: "mcp-server-fetch 2026.10.24",
    sdk: PYTHON,
    transport: "stdio",
    // Beside the page that it fetches, because nothing else can be reached.
    command: [
      "sh",
      "-c",
      `python3 -m http.server 8000 --directory /srv/inner >/dev/null 2>&1 & PYTHONPATH=${HOME}/py/servers exec python3 -m mcp_server_fetch --ignore-robots-txt --allow-private-ips`,
    ],
    tool: "fetch",
    call: { arguments: { url: "http://127.0.0.1:8000/hello.txt", raw: true }, expect: "hello from a file" },
  },
  {
    name: "git",
    of: "mcp-server-git 2026.10.19",
    sdk: PYTHON,
    transport: "stdio",
    command: python("servers", "-m", "mcp_server_git", "--repository", "/srv/repo"),
    tool: "git_log",
    call: { arguments: { repo_path: "/srv/repo" }, expect: "The first commit" },
  },
  {
    name: "sqlite",
    of: "mcp-server-sqlite 2025.4.25",
    sdk: "Python SDK 1.6.0",
    transport: "stdio",
    command: python("sdk1_6", `${HOME}/py/sdk1_6/bin/mcp-server-sqlite`, "--db-path", "/tmp/matrix.db"),
    tool: "read_query",
    call: { arguments: { query: "select 40 + 2 as answer" }, expect: "42" },
  },
  {
    name: "own, Python SDK 1.6",
    of: "servers/python_sdk_server.py",
    sdk: "Python SDK 1.6.0",
    transport: "stdio",
    command: python("sdk1_6", `${HOME}/servers/python_sdk_server.py`),
    ...echo,
    large,
    progress: count,
    sample: think,
  },
  {
    name: "own, rmcp 0.2",
    of: "servers/rmcp",
    sdk: "rmcp 0.2.1",
    transport: "stdio",
    command: [`${HOME}/rmcp`],
    ...echo,
    large,
  },
  { name: "FastMCP 4", transport: "stdio", ...FASTMCP_4, ...fastmcp("4.2.3", "fastmcp4", "stdio") } as Server,
  {
    name: "FastMCP 4, HTTP",
    transport: "streamable-http",
    port: 8000,
    ...FASTMCP_4,
    ...fastmcp("4.2.3", "fastmcp4", "http"),
  } as Server,
  {
    name: "FastMCP 4, SSE",
    transport: "sse",
    port: 8000,
    path: "/sse",
    ...FASTMCP_4,
    ...fastmcp("4.2.3", "fastmcp4", "sse"),
  } as Server,
  {
    name: "FastMCP 2, HTTP",
    transport: "streamable-http",
    port: 8000,
    ...FASTMCP_2,
    ...fastmcp("2.14.7", "fastmcp2", "http"),
    large: { ...large, streamed: true },
  } as Server,
  {
    name: "conformance, HTTP",
    of: "tests/conformance/server.mjs",
    sdk: NPM,
    transport: "streamable-http",
    command: ["node", `${HOME}/conformance/server.mjs`, "3003", "0.0.0.0"],
    port: 3003,
    ...CONFORMANCE,
    elicit: {
      tool: "test_elicitation",
      arguments: { message: "Who?" },
      content: { username: "Ada", email: "ada@example.org" },
      expect: "Ada",
    },
    sample: { tool: "test_sampling", arguments: { prompt: "hej" }, expect: SAMPLED },
  },
  {
    name: "stateless",
    of: "tests/conformance/stateless.mjs",
    sdk: "TypeScript SDK 2.4.0",
    transport: "stdio",
    command: ["node", `${HOME}/conformance/stateless.mjs`],
    ...STATELESS,
  },
  {
    name: "stateless, HTTP",
    of: "tests/conformance/stateless.mjs",
    sdk: "TypeScript SDK 2.4.0",
    transport: "streamable-http",
    command: ["node", `${HOME}/conformance/stateless.mjs`, "3004", "0.0.0.0"],
    port: 3004,
    ...STATELESS,
    // It keeps no session for clients of earlier revisions, so it cannot ask them.
    only: { elicit: "stateless", sample: "stateless", roots: "stateless" },
  },
];
