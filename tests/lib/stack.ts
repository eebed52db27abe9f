/** Starts a whole ephemeral stack for a test: `await using stack = await startStack();`. */

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** What `toolbox-devstack up --json` says when it is ready. */
export interface StackReady {
  url: string;
  /** The web console; null without `--web`. */
  console_url: string | null;
  /** As the role postgres, which is no superuser. */
  db_url: string;
  /** As the superuser. */
  admin_db_url: string;
  publishable_key: string;
  secret_key: string;
  anon_key: string;
  service_role_key: string;
  jwt_secret: string;
  demo: { email: string; password: string; access_token: string; user_id: string };
  toolbox_id: string;
  /** The root secret, `BACKEND_TO_DTMA_API_KEY`. */
  agent_root: string;
  /** Null with `dtma: false`. */
  dtma: {
    url: string;
    /** Where its companion answers; null without one. */
    companion_url: string | null;
    /** Holds the key that the control plane presents, as it was when the stack was ready. */
    key_file: string;
    /** Holds the certificate that is pinned in the row; null with `dtmaHttp`. */
    certificate_file: string | null;
    /** Where the agent looks for a single-use token when it starts; it removes the file after use. */
    token_file: string;
    pid: number;
    state_dir: string;
  };
  /** Every process by service: postgres, postgrest, dtma, companion, devstack, and each function by its name. */
  pids: Record<string, number>;
  functions: Record<string, string>;
  /** The simulator of DigitalOcean's API; null without `--droplets`. */
  digitalocean: { url: string; token: string } | null;
  data_dir: string;
  control_url: string;
  control_token: string;
}

export interface StackOptions {
  /** Folder that holds supabase/; this repository by default. */
  project?: string;
  /** False starts no agent. */
  dtma?: boolean;
  /** The agent neither enrols nor sends heartbeats, and speaks plain HTTP. */
  dtmaHttp?: boolean;
  /** The agent runs under its companion, which starts it again when it ends; by default nobody does. */
  companion?: boolean;
  dtmaEnv?: Record<string, string>;
  /** Variables for every function. */
  functionEnv?: Record<string, string>;
  /** Keeps data there instead of in a folder that is removed at the end. */
  dataDir?: string;
  /** Only with `dataDir`: an ephemeral stack takes free ports. */
  port?: number;
  /** Further arguments of `toolbox-devstack up`. */
  args?: string[];
  /** Longest start in ms. */
  timeoutMs?: number;
}

/** What can be asked of a service: `stop` and `kill` leave it down, `pause` makes it accept and never answer. */
export type Action = "start" | "stop" | "kill" | "restart" | "pause" | "resume";

export class Stack implements AsyncDisposable {
  #ended = false;
  readonly #stderr: Promise<string>;

  constructor(
    readonly ready: StackReady,
    readonly process: Deno.ChildProcess,
    stderr: Promise<string>,
    private readonly ports: Ports | undefined,
  ) {
    this.#stderr = stderr;
  }

  /** Does `action` to a service (`postgres`, `postgrest`, `dtma` or `companion`, a function's name) and waits until it is done. */
  async control(action: Action, service: string): Promise<void> {
    await this.#ask("POST", `/${action}/${service}`);
  }

  /** Changes variables of all functions (null removes one) and restarts their workers. */
  async setFunctionEnv(changes: Record<string, string | null>): Promise<void> {
    await this.#ask("POST", "/env", changes);
  }

  /** What is true of each service now; `pid` is null while it is down. */
  async state(): Promise<Record<string, { pid: number | null; ready: boolean; restarts: number }>> {
    return JSON.parse(await this.#ask("GET", "/state"));
  }

  /** Ends the stack as Ctrl-C does, waits until it is gone, and returns what it printed. */
  async stop(): Promise<string> {
    if (!this.#ended) {
      this.#ended = true;
      await this.process.stdin.close().catch(() => {});
      const killer = setTimeout(() => this.process.kill("SIGKILL"), 60_000);
      await this.process.status;
      clearTimeout(killer);
      await this.process.stdout.cancel();
      this.ports?.release();
    }
    return await this.#stderr;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #ask(method: string, path: string, body?: unknown): Promise<string> {
    const reply = await fetch(this.ready.control_url + path, {
      method,
      headers: { authorization: `Bearer ${this.ready.control_token}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
    return text;
  }
}

/** The program; built by `cargo build -p toolbox-devstack`. */
export function devstackProgram(): string {
  const target = Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`;
  return Deno.env.get("TOOLBOX_DEVSTACK_BIN") ?? `${target}/debug/toolbox-devstack`;
}

/** The command line a stack is started with. */
export function devstackArgs(options: StackOptions = {}): string[] {
  const {
    project = REPOSITORY,
    dtma = true,
    dtmaHttp = false,
    companion = false,
    dtmaEnv = {},
    functionEnv = {},
    dataDir,
    port,
    args = [],
  } = options;
  const pairs = (flag: string, env: Record<string, string>) =>
    Object.entries(env).flatMap(([name, value]) => [flag, `${name}=${value}`]);
  return [
    "up",
    "--json",
    "--die-with-stdin",
    `--project=${project}`,
    `--tools-dir=${REPOSITORY}`,
    ...(dataDir === undefined ? ["--ephemeral"] : [`--data-dir=${dataDir}`]),
    ...(port === undefined ? [] : [`--port=${port}`]),
    ...(dtma ? [] : ["--no-dtma"]),
    ...(dtmaHttp ? ["--dtma-http"] : []),
    ...(companion ? [] : ["--no-companion"]),
    ...pairs("--dtma-env", dtmaEnv),
    ...pairs("--function-env", functionEnv),
    ...args,
  ];
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  // One that keeps its data has the same ports when it starts again.
  const ports = options.dtma === false || options.dataDir !== undefined ? undefined : ownPorts();
  const dtmaEnv = ports === undefined ? options.dtmaEnv : { DTMA_PORT_RANGE: ports.range, ...options.dtmaEnv };
  const process = new Deno.Command(devstackProgram(), {
    args: devstackArgs({ ...options, dtmaEnv }),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(process.stderr).text();
  const killer = setTimeout(() => process.kill("SIGKILL"), options.timeoutMs ?? 120_000);
  try {
    const line = await firstLine(process.stdout);
    if (line === undefined) throw new Error(`toolbox-devstack did not start:\n${await stderr}`);
    return new Stack(JSON.parse(line), process, stderr, ports);
  } catch (error) {
    await process.stdin.close().catch(() => {});
    await process.status;
    await stderr;
    ports?.release();
    throw error;
  } finally {
    clearTimeout(killer);
  }
}

/** Host ports that the containers of one stack may have. */
interface Ports {
  range: string;
  release: () => void;
}

/**
 * Two agents on one machine must not hand out the same ports. The last port of each thousand is bound for as long as the
 * thousand is taken, whichever process took it.
 */
function ownPorts(): Ports {
  const start = Math.floor(Math.random() * 10);
  for (let i = 0; i < 10; i++) {
    const first = 10_000 + 1_000 * ((start + i) % 10);
    try {
      const mark = Deno.listen({ hostname: "127.0.0.1", port: first + 999 });
      return { range: `${first}-${first + 998}`, release: () => mark.close() };
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("ten stacks run already on this machine");
}

/** A new single-use token for the toolbox's machine, as an operator makes one: with the secret key. */
export async function enrolmentToken(ready: StackReady, toolboxId = ready.toolbox_id): Promise<string> {
  const reply = await fetch(`${ready.url}/rest/v1/rpc/create_toolbox_enrolment`, {
    method: "POST",
    headers: { apikey: ready.secret_key, "content-type": "application/json" },
    body: JSON.stringify({ p: { toolbox_id: toolboxId, ttl_seconds: 600 } }),
    signal: AbortSignal.timeout(10_000),
  });
  const body = await reply.json();
  if (body.outcome !== "created") throw new Error(`no enrolment token: ${reply.status} ${JSON.stringify(body)}`);
  return body.token;
}

async function firstLine(output: ReadableStream<Uint8Array>): Promise<string | undefined> {
  const reader = output.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      text += decoder.decode(value, { stream: true });
    }
    return text.slice(0, text.indexOf("\n"));
  } finally {
    reader.releaseLock();
  }
}
