// Runs the official MCP conformance suite against servers on a whole local stack, through the function `mcp` with a token.
// Started by tests/conformance/run --through, with the folder that the suite is installed in as argument.

import { functionWay } from "./ways.ts";
import { type Server, SERVERS } from "./servers.ts";

const IMAGE = "toolbox/matrix:dev";
const SUITE_MS = 900_000;

const [suite] = Deno.args;
const server = (name: string) => SERVERS.find((one) => one.name === name)!;
const http = server("conformance, HTTP");
const ERAS: [revision: string, servers: Server[], options: string[]][] = [
  [
    "2025-11-25",
    [{ ...http, name: "conformance", transport: "stdio", command: http.command.slice(0, 2), port: undefined }, http],
    ["--suite", "active", "--spec-version", "2025-11-25"],
  ],
  ["2026-07-28", [server("stateless"), server("stateless, HTTP")], ["--requirements", "2026-07-28"]],
];

const way = await functionWay();
try {
  for (const [revision, servers, options] of ERAS) {
    console.log(`revision ${revision}`);
    for (const one of servers) {
      // A server that speaks both eras over stdio keeps to the one that it is asked for first.
      const said = one.name === "stateless" ? { statelessProtocol: true } : {};
      const { endpoint, remove } = await way.deploy(one, IMAGE, said);
      await using forwarder = forward(endpoint.url, endpoint.headers);
      await score(`mcp-${one.transport === "stdio" ? "stdio" : "http"}`, forwarder.url, options);
      await remove();
    }
  }
} finally {
  await way.stop();
}

/** The suite presents no token, so this does. */
function forward(to: string, headers: Record<string, string>) {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const sent = new Headers(request.headers);
    for (const name of ["host", "connection", "content-length"]) sent.delete(name);
    for (const [name, value] of Object.entries(headers)) sent.set(name, value);
    const { method, signal } = request;
    const body = request.body && await request.bytes();
    const answer = await fetch(to, { method, headers: sent, body, signal, redirect: "manual" });
    return new Response(answer.body, { status: answer.status, headers: answer.headers });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/mcp`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Prints how many checks passed, and which scenarios have failures; without the extension that no server here has. */
async function score(name: string, url: string, options: string[]): Promise<void> {
  const { stdout, stderr } = await new Deno.Command(`${suite}/node_modules/node/bin/node`, {
    args: [`${suite}/node_modules/@modelcontextprotocol/conformance/dist/index.js`, "server", "--url", url, ...options],
    cwd: await Deno.makeTempDir({ prefix: "toolbox-conformance-" }),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(SUITE_MS),
  }).output();
  const text = new TextDecoder().decode(stdout);
  const lines = text.slice(text.indexOf("SUMMARY")).split("\n").filter((line) => /^[✓✗] (?!tasks-)/.test(line));
  if (lines.length === 0) {
    throw new Error(`the suite did not run: ${text.slice(-500)}${new TextDecoder().decode(stderr)}`);
  }
  const sum = (what: string) =>
    lines.reduce((sum, line) => sum + Number(new RegExp(`(\\d+) ${what}`).exec(line)?.[1] ?? 0), 0);
  const [passed, failed] = [sum("passed"), sum("failed")];
  console.log(`${name.padEnd(28)} ${passed} of ${passed + failed} checks passed`);
  for (const line of lines.filter((line) => line.startsWith("✗"))) console.log(line);
}
