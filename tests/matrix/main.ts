// The matrix of servers and clients through the agent, or through the function `mcp`. Started by tests/matrix/run.

import { endCleanly, failCleanly, onCleanup, undoAll } from "../../bench/cleanup.ts";
import { type Server, SERVERS } from "./servers.ts";
import { agentWay, type Endpoint, functionWay, type Way } from "./ways.ts";

const IMAGE = "toolbox/matrix:dev";
const HOME = "/opt/matrix";
/** Servers at once. */
const WIDTH = 4;
/** Of one client with one server, all its steps. */
const PAIR_MS = 240_000;

interface Client {
  name: string;
  of: string;
  command: string[];
  /** It takes no event of more than 1 MiB, unless it is told to. */
  smallEvents?: boolean;
  /** Here it signs its user in where it is refused. */
  signsIn?: boolean;
}

const node = (file: string, ...rest: string[]) => ["node", `${HOME}/clients/${file}`, ...rest];
const python = (packages: string, file: string, ...rest: string[]) => [
  "env",
  `PYTHONPATH=${HOME}/py/${packages}`,
  "python3",
  `${HOME}/clients/${file}`,
  ...rest,
];

const CLIENTS: Client[] = [
  { name: "TypeScript SDK 1", of: "@modelcontextprotocol/sdk 1.32.2", command: node("typescript-1.mjs") },
  { name: "TypeScript SDK 2", of: "@modelcontextprotocol/client 2.4.0", command: node("typescript-2.mjs") },
  { name: "Python SDK 1", of: "mcp 1.10.1", command: python("sdk1_10", "python.py", "1") },
  {
    name: "Python SDK 2",
    of: "mcp 2.3.0",
    command: python("servers", "python.py", "2"),
    smallEvents: true,
    signsIn: true,
  },
  {
    name: "FastMCP",
    of: "fastmcp 4.2.3",
    command: python("fastmcp4", "fastmcp_client.py"),
    smallEvents: true,
    signsIn: true,
  },
  {
    name: "mcp-remote",
    of: "mcp-remote 0.15.1, driven by @modelcontextprotocol/sdk 1.32.2",
    command: node("typescript-1.mjs", "mcp-remote"),
    signsIn: true,
  },
  {
    name: "Inspector",
    of: "@modelcontextprotocol/inspector 2.12.0, its command line",
    command: node("inspector.mjs"),
    signsIn: true,
  },
];

/** What one client did with one server. */
interface Cell {
  revision: string | null;
  done: string[];
  failed: { step: string; error: string }[];
}

interface Row {
  server: Server;
  /** What the agent says of the server, once it has been asked. */
  deployed: string;
  /** Why it could not be deployed, or is not well. */
  failed?: string;
  cells: Map<Client, Cell>;
}

/** The servers that are used through the function as well: one of each way to speak. */
const THROUGH = ["everything", "everything, HTTP", "FastMCP 4, HTTP", "stateless, HTTP"];

const options = parseArgs(Deno.args);
const named = SERVERS.filter(({ name }) => name.includes(options.server ?? ""));
const servers = options.through || options["sign-in"] ? named.filter(({ name }) => THROUGH.includes(name)) : named;
const clients = CLIENTS.filter(({ name, signsIn }) =>
  name.includes(options.client ?? "") && (signsIn || !options["sign-in"])
);
/** What the tables stand between in the document. */
const mark = options["sign-in"] ? "sign-in" : options.through ? "through" : "matrix";
endCleanly(3600);
try {
  const rows = await measure();
  const text = markdown(rows);
  console.log(text);
  if (options.write) {
    const file = new URL("../../docs/MCP-MATRIX.md", import.meta.url);
    const before = await Deno.readTextFile(file);
    const part = new RegExp(`<!-- ${mark} -->[\\s\\S]*<!-- /${mark} -->`);
    await Deno.writeTextFile(file, before.replace(part, () => text));
  }
  const failed = rows.flatMap(({ failed, cells }) => [failed, ...[...cells.values()].flatMap(({ failed }) => failed)]);
  await undoAll();
  Deno.exit(failed.some(Boolean) ? 1 : 0);
} catch (error) {
  await failCleanly(error);
}

async function measure(): Promise<Row[]> {
  const signIn = options["sign-in"];
  const way = options.through || signIn ? await functionWay({ signIn }) : await agentWay(options.agent);
  const container = await startClients(way);
  const rows: Row[] = [];
  const rest = servers.entries();
  const lane = async () => {
    for (const [at, server] of rest) rows[at] = await row(way, container, server);
  };
  await Promise.all(Array.from({ length: WIDTH }, lane));
  await way.stop();
  return rows;
}

/** A container on this machine's network in which the clients run; its name. */
async function startClients(way: Way): Promise<string> {
  const name = `toolbox-matrix-${crypto.randomUUID().slice(0, 8)}`;
  onCleanup(async () => void await docker(["rm", "--force", name]));
  // It has a name, so it can be ended whatever happens here, and it ends by itself.
  await docker(["run", "--detach", "--rm", "--name", name, "--network", "host", IMAGE, "sleep", "3600"]);
  const write = (file: string, text: string) =>
    docker(["exec", "--interactive", name, "sh", "-c", `cat >${file}`], text);
  if (way.certificate) await write("/tmp/ca.pem", way.certificate);
  if (way.owner) await write("/tmp/owner.json", JSON.stringify(way.owner));
  return name;
}

async function row(way: Way, container: string, server: Server): Promise<Row> {
  const result: Row = { server, deployed: "", cells: new Map() };
  let deployed;
  try {
    deployed = await way.deploy(server, IMAGE);
    await answering(deployed.own ?? deployed.endpoint, way);
    result.deployed = await deployed.found();
  } catch (error) {
    result.failed = String((error as Error).message);
  }
  for (const client of clients) {
    const job: Record<string, unknown> = { ...deployed?.endpoint, ...server };
    if (client.smallEvents && server.large?.streamed) delete job.large;
    const cell = await pair(way, container, client, job);
    result.cells.set(client, cell);
    console.error(`matrix: ${server.name} x ${client.name}: ${cellText(cell)}`);
    for (const { step, error } of cell.failed) console.error(`  ${step}: ${error}`);
  }
  if (options.logs) console.error(await deployed?.logs());
  await deployed?.remove().catch((error) => console.error(`matrix: ${error.message}`));
  return result;
}

/** Waits until a client is let in, for at most a minute. */
async function answering({ url, headers }: Endpoint, { client }: Way): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = await fetch(url, {
      ...(client && { client }),
      method: "POST",
      headers: { ...headers, "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "initialize",
        params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "matrix", version: "1.0.0" } },
      }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.text();
    // A server of revision 2026-07-28 says so, which is an answer.
    if (answer.ok || text.includes("2026-07-28")) return;
    if (answer.status < 500 || Date.now() > deadline) throw new Error(`initialize: ${answer.status} ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function pair(way: Way, container: string, client: Client, job: Record<string, unknown>): Promise<Cell> {
  const trust = way.certificate ? ["NODE_EXTRA_CA_CERTS=/tmp/ca.pem", "SSL_CERT_FILE=/tmp/ca.pem"] : [];
  // Programs keep what they were given when they signed in.
  const home = `/tmp/${crypto.randomUUID()}`;
  const env = [
    ...trust,
    "PYTHONWARNINGS=ignore",
    `HOME=${home}`,
    "BROWSER=xdg-open %s &",
    "MCP_AUTO_OPEN_ENABLED=true",
  ];
  const command = ["exec", "--interactive", ...env.flatMap((one) => ["--env", one]), container];
  command.push("sh", "-c", 'mkdir "$HOME" && exec "$@"', "sh", ...client.command);
  const cell: Cell = { revision: null, done: [], failed: [] };
  let output = "";
  let ended: Error | undefined;
  try {
    output = await docker(command, JSON.stringify(job), PAIR_MS);
  } catch (error) {
    ended = error as Error;
    output = (error as { stdout?: string }).stdout ?? "";
  }
  for (const line of output.split("\n")) {
    if (!line.startsWith("{")) continue;
    const { step, error, revision } = JSON.parse(line);
    if (revision !== undefined) cell.revision = revision;
    else if (error) cell.failed.push({ step, error });
    else cell.done.push(step);
  }
  const last = cell.done.at(-1);
  if (ended || (last !== "close" && cell.failed.length === 0)) {
    cell.failed.push({ step: "end", error: (ended?.message ?? "the client ended early").slice(-400) });
  }
  return cell;
}

/** What Docker's command line printed; an error carries it as `stdout`. */
async function docker(args: string[], input = "", ms = 60_000): Promise<string> {
  const child = new Deno.Command("docker", { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  const late = setTimeout(() => child.kill("SIGKILL"), ms);
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { success, stdout, stderr } = await child.output();
  clearTimeout(late);
  const text = new TextDecoder().decode(stdout);
  if (!success) {
    const error = new Error(`docker ${args[0]}: ${new TextDecoder().decode(stderr).trim()}`);
    throw Object.assign(error, { stdout: text });
  }
  return text;
}

function cellText({ revision, failed }: Cell): string {
  if (failed.length > 0) return `**${failed.map(({ step }) => step).join(", ")}**`;
  return `passed${revision ? `, ${revision}` : ""}`;
}

function markdown(rows: Row[]): string {
  const table = (head: string[], lines: string[][]) =>
    [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  const cells = rows.flatMap(({ cells }) => [...cells.values()]);
  const passed = cells.filter(({ failed }) => failed.length === 0).length;
  const failures = rows.flatMap(({ server, failed, cells }) => [
    ...(failed ? [`- ${server.name}, deploy: ${inline(failed)}`] : []),
    ...[...cells].flatMap(([client, { failed }]) =>
      failed.map(({ step, error }) => `- ${server.name} × ${client.name}, ${step}: ${inline(error)}`)
    ),
  ]);
  return [
    `<!-- ${mark} -->`,
    `${passed} of ${cells.length} pairs passed.`,
    table(
      ["server", ...clients.map(({ name }) => name)],
      rows.map(({ server, cells }) => [server.name, ...clients.map((client) => cellText(cells.get(client)!))]),
    ),
    ...(failures.length > 0 ? ["What failed:", failures.join("\n")] : []),
    table(
      ["server", "package", "SDK", "transport", "steps beside connect, list, second", "what the agent found"],
      rows.map(({ server, deployed, failed }) => [
        server.name,
        server.of,
        server.sdk,
        server.transport,
        ["call", "progress", "cancel", "large", "elicit", "sample", "roots"].filter((step) => step in server).join(
          ", ",
        ) ||
        "none",
        failed ? `**${deployed || "not deployed"}**` : deployed,
      ]),
    ),
    table(["client", "package"], clients.map(({ name, of }) => [name, of])),
    `<!-- /${mark} -->`,
  ].join("\n\n");
}

/** On one line, and nothing in it is Markdown. */
function inline(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll(/[|<>`]/g, "'").slice(0, 300);
}

interface Options {
  server?: string;
  client?: string;
  write?: boolean;
  logs?: boolean;
  /** Through the function `mcp`, by URL and token. */
  through?: boolean;
  /** The same by URL alone: clients sign their user in. */
  "sign-in"?: boolean;
  agent: string;
}

function parseArgs(args: string[]) {
  const result: Options = { agent: "" };
  for (let at = 0; at < args.length; at++) {
    const name = args[at].replace(/^--/, "");
    if (name === "write" || name === "logs" || name === "through" || name === "sign-in") result[name] = true;
    else if ((name === "server" || name === "client" || name === "agent") && args[at + 1]) result[name] = args[++at];
    else throw new Error(`unknown or incomplete option ${args[at]}`);
  }
  return result;
}
