// The command line of @modelcontextprotocol/inspector: one process for each thing it is asked.
import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { job, run } from "./steps.mjs";

const program =
  new URL("../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", import.meta.url).pathname;

async function ask(method, ...options) {
  const headers = Object.entries(job.headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
  // Each process waits for the browser itself.
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const callback = job.signIn ? ["--callback-url", `http://127.0.0.1:${port}/oauth/callback`] : [];
  const args = [
    program,
    "--cli",
    job.url,
    "--transport",
    "http",
    ...headers,
    ...callback,
    "--method",
    method,
    ...options,
  ];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 64 << 20, timeout: 35_000 });
    return JSON.parse(stdout);
  } catch (error) {
    // Its own message repeats the command line, and with it the key.
    throw new Error(error.stderr?.trim().split("\n").at(-1) || `it ended with ${error.code ?? error.signal}`);
  }
}

await run(() => ({
  list: async () => (await ask("tools/list")).tools.map(({ name }) => name),
  call: async (name, input) => {
    const given = Object.entries(input).map(([key, value]) =>
      `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`
    );
    return await ask("tools/call", "--tool-name", name, ...(given.length > 0 ? ["--tool-arg", ...given] : []));
  },
  close: () => {},
}), ["second", "large"]);
