/** The agent (DTMA) of the stack: called with the toolbox's key, killed, restarted, its disk lost. */
import { type Call, type Reply, send } from "./http.ts";
import { eventually, sleep } from "./wait.ts";

/** One agent process, restartable with the command line and environment it was first started with. */
export class Agent implements AsyncDisposable {
  #pid: number | undefined;
  readonly #command: string[];
  readonly #environment: Record<string, string>;
  #child: Deno.ChildProcess | undefined;

  private constructor(
    readonly url: string,
    readonly key: string,
    readonly stateDir: string,
    pid: number,
    command: string[],
    environment: Record<string, string>,
  ) {
    this.#pid = pid;
    this.#command = command;
    this.#environment = environment;
  }

  /** Takes over the agent the stack started. */
  static async adopt(parts: { url: string; key_file: string; pid: number; state_dir: string }): Promise<Agent> {
    const split = async (file: string) =>
      (await Deno.readTextFile(`/proc/${parts.pid}/${file}`)).split("\0").filter(Boolean);
    const environment = (await split("environ")).map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)] as const;
    });
    const key = (await Deno.readTextFile(parts.key_file)).trim();
    const command = await split("cmdline");
    command[0] = await Deno.readLink(`/proc/${parts.pid}/exe`);
    return new Agent(parts.url, key, parts.state_dir, parts.pid, command, Object.fromEntries(environment));
  }

  /** The process; undefined while there is none. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** Calls the agent with its own key; `key: null` sends none. */
  call(path: string, call: Call & { key?: string | null } = {}): Promise<Reply> {
    const key = call.key === undefined ? this.key : call.key;
    const headers = { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...call.headers };
    return send(this.url + path, { ...call, headers });
  }

  /** Ends the process; SIGTERM lets it shut down in order, SIGKILL does not. Waits until it is gone. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const pid = this.#pid;
    if (pid === undefined) return;
    Deno.kill(pid, signal);
    this.#pid = undefined;
    await eventually("the agent's process is gone", async () => (await running(pid)) ? undefined : true, {
      everyMs: 20,
    });
    await this.#child?.status;
    this.#child = undefined;
  }

  /** Starts it again and waits until `GET /health` answers. */
  async start(): Promise<void> {
    if (this.#pid !== undefined) return;
    const [program, ...args] = this.#command;
    const log = await Deno.open(this.logFile, { append: true, create: true });
    this.#child = new Deno.Command(program, {
      args,
      env: this.#environment,
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#pid = this.#child.pid;
    const tee = (from: ReadableStream<Uint8Array>) =>
      from.pipeTo(new WritableStream({ write: async (chunk) => void await log.write(chunk) }));
    Promise.all([tee(this.#child.stdout), tee(this.#child.stderr)]).finally(() => log.close());
    await this.healthy();
  }

  /** Waits until `GET /health` answers. */
  async healthy(): Promise<void> {
    await eventually("the agent answers GET /health", async () => {
      const reply = await this.call("/health", { key: null, deadlineMs: 2_000 });
      return reply.status === 200 ? true : undefined;
    }, { ms: 20_000, everyMs: 25 });
  }

  /** Suspends the process (it accepts connections and never answers) until the function returned is called. */
  freeze(): () => void {
    const pid = this.#pid;
    if (pid === undefined) throw new Error("the agent is not running");
    Deno.kill(pid, "SIGSTOP");
    return () => Deno.kill(pid, "SIGCONT");
  }

  /** Loses everything the agent has on its disk; only while it is stopped. */
  async loseStateDir(): Promise<void> {
    if (this.#pid !== undefined) throw new Error("stop the agent first");
    for await (const entry of Deno.readDir(this.stateDir)) {
      await Deno.remove(`${this.stateDir}/${entry.name}`, { recursive: true });
    }
  }

  /** What agents started by this object have written. */
  get logFile(): string {
    return `${this.stateDir.replace(/\/$/, "")}.e2e.log`;
  }

  /** Ends the agent if this object started it; the stack ends its own. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child) await this.stop("SIGKILL");
    await sleep(0);
  }
}

/** Whether `pid` is a live process; a zombie is not. */
async function running(pid: number): Promise<boolean> {
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    return !/^\d+ \(.*\) [ZX]/.test(stat);
  } catch {
    return false;
  }
}
