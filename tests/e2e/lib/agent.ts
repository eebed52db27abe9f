/** The agent (DTMA) of the stack: called with the toolbox's key, killed, restarted, its disk lost. */
import type { Stack } from "../../lib/stack.ts";
import { type Call, type Reply, send } from "./http.ts";

/** The stack's agent; its process comes and goes, its URL and key stay. */
export class Agent {
  #pid: number | undefined;

  private constructor(
    readonly stack: Stack,
    readonly url: string,
    readonly key: string,
    readonly stateDir: string,
    pid: number,
  ) {
    this.#pid = pid;
  }

  /** The agent that `stack` started. */
  static async of(stack: Stack): Promise<Agent> {
    const { url, key_file, state_dir, pid } = stack.ready.dtma;
    return new Agent(stack, url, (await Deno.readTextFile(key_file)).trim(), state_dir, pid);
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
    await this.stack.control(signal === "SIGKILL" ? "kill" : "stop", "dtma");
    this.#pid = undefined;
  }

  /** Starts it again and waits until `GET /health` answers. */
  async start(): Promise<void> {
    await this.stack.control("start", "dtma");
    this.#pid = (await this.stack.state()).dtma.pid ?? undefined;
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
}
