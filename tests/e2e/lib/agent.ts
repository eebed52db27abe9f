/** The agent (DTMA) of the stack: called with the toolbox's key, killed, restarted, its disk lost. */
import { enrolmentToken, type Stack } from "../../lib/stack.ts";
import { Database } from "./db.ts";
import { type Call, type Reply, send } from "./http.ts";
import { agentKey } from "./keys.ts";
import { eventually } from "./wait.ts";

/** How the control plane knows the agent: by the row, as the edge functions do. */
interface Identity {
  /** Null: plain HTTP. */
  certificate: string | null;
  key: string;
  /** Of the key. */
  epoch: number;
}

/** The stack's agent; its process, key and certificate come and go, its URL stays. */
export class Agent {
  #pid: number | undefined;
  #client: Deno.HttpClient | undefined;

  private constructor(
    readonly stack: Stack,
    readonly url: string,
    readonly stateDir: string,
    pid: number,
    private identity: Identity,
  ) {
    this.#pid = pid;
    this.#client = trusting(identity.certificate);
  }

  /** The agent that `stack` started. */
  static async of(stack: Stack): Promise<Agent> {
    const { url, state_dir, pid } = stack.ready.dtma;
    return new Agent(stack, url, state_dir, pid, await identityOf(stack));
  }

  /** The process; undefined while there is none. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** The key that the control plane presents. */
  get key(): string {
    return this.identity.key;
  }

  /** How often the toolbox's keys were replaced. */
  get epoch(): number {
    return this.identity.epoch;
  }

  /** The certificate that is pinned; null with plain HTTP. */
  get certificate(): string | null {
    return this.identity.certificate;
  }

  /** Calls the agent with its own key, trusting only the pinned certificate; `key: null` sends none. */
  call(path: string, call: Call & { key?: string | null } = {}): Promise<Reply> {
    const key = call.key === undefined ? this.key : call.key;
    const headers = { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...call.headers };
    return send(this.url + path, { client: this.#client, ...call, headers });
  }

  /** Ends the process; SIGTERM lets it shut down in order, SIGKILL does not. Waits until it is gone. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    await this.stack.control(signal === "SIGKILL" ? "kill" : "stop", "dtma");
    this.#pid = undefined;
  }

  /**
   * Starts it again and waits until it answers to the key and with the certificate of the row; `keyed: false` for one
   * that was given another key.
   */
  async start({ keyed } = { keyed: true }): Promise<void> {
    await this.stack.control("start", "dtma");
    this.#pid = (await this.stack.state()).dtma.pid ?? undefined;
    await eventually("the agent answers", async () => {
      await this.refresh();
      return (await this.call(keyed ? "/status" : "/health", { deadlineMs: 5_000 })).status === 200 ? true : undefined;
    }, { ms: 30_000, everyMs: 25 });
  }

  /** Reads key and certificate again, after a rotation or an enrolment. */
  async refresh(): Promise<void> {
    const identity = await identityOf(this.stack).catch(() => this.identity);
    if (identity.certificate !== this.identity.certificate) {
      this.close();
      this.#client = trusting(identity.certificate);
    }
    this.identity = identity;
  }

  /** Suspends the process (it accepts connections and never answers) until the function returned is called. */
  freeze(): () => void {
    const pid = this.#pid;
    if (pid === undefined) throw new Error("the agent is not running");
    Deno.kill(pid, "SIGSTOP");
    return () => Deno.kill(pid, "SIGCONT");
  }

  /**
   * Loses everything the agent has on its disk, only while it is stopped. An enrolled one gets what its operator would
   * give it then: a new enrolment token, which it uses when it is started.
   */
  async loseStateDir(): Promise<void> {
    if (this.#pid !== undefined) throw new Error("stop the agent first");
    for await (const entry of Deno.readDir(this.stateDir)) {
      await Deno.remove(`${this.stateDir}/${entry.name}`, { recursive: true });
    }
    if (this.certificate !== null) await this.giveToken();
  }

  /** Puts a new enrolment token where the agent looks for one when it starts. */
  async giveToken(): Promise<void> {
    const { ready } = this.stack;
    await Deno.writeTextFile(ready.dtma.token_file, await enrolmentToken(ready), { mode: 0o600 });
  }

  /** Lets go of connections. */
  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

async function identityOf({ ready }: Stack): Promise<Identity> {
  const { certificate, key_id: id } = await new Database(ready.admin_db_url).row<
    { certificate: string | null; key_id: string | null }
  >(
    `select dtma_certificate_pem as certificate, dtma_key_id as key_id
     from public.account_tool_environments where id = :'id'`,
    { id: ready.toolbox_id },
  );
  const epoch = Number(id?.split(".")[1] ?? 0);
  const key = await agentKey(ready.agent_root, ready.toolbox_id, "control-to-agent", epoch);
  return { certificate, key, epoch };
}

/** A client for exactly one certificate, whose connections no call inherits from one that was killed. */
function trusting(certificate: string | null): Deno.HttpClient | undefined {
  if (certificate === null) return undefined;
  return Deno.createHttpClient({ caCerts: [certificate], poolMaxIdlePerHost: 0 });
}
