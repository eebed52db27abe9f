// The function host: one restricted Deno process per function, started exactly as the dev stack starts it
// (crates/toolbox-devstack/src/functions.rs), so that the two handlers differ in nothing but themselves.

import { onCleanup } from "./cleanup.ts";

export interface Host {
  pid: number;
  url: string;
  stop(): Promise<void>;
}

const ROOT = new URL("..", import.meta.url).pathname;
const WORKER = `${ROOT}crates/toolbox-devstack/host/worker.ts`;
const MEMORY_MIB = 256;
const START_SECONDS = 20;

/** Starts the handler in `module` (a path); resolves when it serves. */
export async function startHost(module: string, env: Record<string, string>): Promise<Host> {
  const marker = `bench-host-${crypto.randomUUID()}`;
  const child = new Deno.Command("/usr/bin/setpriv", {
    // The kernel ends the host with the bench, however the bench ends.
    args: ["--pdeathsig", "KILL", "--", Deno.execPath(), ...flags(module), WORKER, `file://${module}`, marker],
    env: {
      ...env,
      DENO_DIR: `${Deno.env.get("TOOLBOX_CACHE")}/deno`,
      DENO_NO_PACKAGE_JSON: "1",
      DENO_NO_UPDATE_CHECK: "1",
      DENO_NO_PROMPT: "1",
    },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const stop = onCleanup(() => kill(child, "SIGKILL"));
  const late = setTimeout(stop, START_SECONDS * 1000);
  try {
    return { pid: child.pid, url: `http://127.0.0.1:${await servingPort(child.stdout, marker)}`, stop };
  } catch (error) {
    await stop();
    throw new Error(`start the function host for ${module} within ${START_SECONDS} s`, { cause: error });
  } finally {
    clearTimeout(late);
  }
}

function flags(module: string): string[] {
  const config = module.replace(/[^/]*$/, "deno.json");
  const readable = [`${ROOT}supabase/functions`, `${ROOT}pkg`, `${ROOT}node_modules`, `${ROOT}bench`, WORKER, "/tmp"];
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-lock",
    "--node-modules-dir=none",
    exists(config) ? `--config=${config}` : "--no-config",
    "--allow-net",
    "--allow-env",
    "--allow-sys=hostname",
    "--allow-write=/tmp",
    `--allow-read=${readable.join(",")}`,
    `--v8-flags=--max-old-space-size=${MEMORY_MIB}`,
  ];
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Reads the host's output until it says where it serves. */
async function servingPort(output: ReadableStream<Uint8Array>, marker: string): Promise<number> {
  let seen = "";
  for await (const text of output.pipeThrough(new TextDecoderStream())) {
    seen += text;
    const port = new RegExp(`^${marker} (\\d+)$`, "m").exec(seen)?.[1];
    if (port) return Number(port);
  }
  throw new Error(`it ended; its output: ${seen.slice(-500)}`);
}

/** Ends a child and waits until it is gone. */
export async function kill(child: Deno.ChildProcess, signal: Deno.Signal): Promise<void> {
  try {
    child.kill(signal);
  } catch {
    // It has ended by itself.
  }
  await child.status;
}

/** Milliseconds of CPU time of the main thread, which runs the handler and bounds its throughput; 10 ms is one tick. */
export function cpuMillis(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/stat`).split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory of the process in MB. */
export function residentMb(pid: number): number {
  return statusMb(pid, "VmRSS");
}

/** The most it ever was. */
export function peakMb(pid: number): number {
  return statusMb(pid, "VmHWM");
}

function statusMb(pid: number, name: string): number {
  const kb = new RegExp(`${name}:\\s+(\\d+) kB`).exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  return Number(kb) * 1024 / 1e6;
}

export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** The body of the URL's first answer with status 200; any other answer is an error. */
export async function get(url: string, headers: Record<string, string> = {}): Promise<string> {
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(10_000) });
  const body = await answer.text();
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}: ${body.slice(0, 300)}`);
  return body;
}
