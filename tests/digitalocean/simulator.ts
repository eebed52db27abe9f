/** Starts the simulator of DigitalOcean's API, and Prism before it, which checks both sides against DigitalOcean's contract. */
import { devstackProgram } from "../lib/stack.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const CONTRACT = `${REPOSITORY}/tests/digitalocean/openapi.json`;
const PRISM = `${REPOSITORY}/node_modules/@stoplight/prism-cli/dist/index.js`;

export interface Answer {
  status: number;
  // deno-lint-ignore no-explicit-any
  body: any;
  headers: Headers;
}

/** A failure to come, as the simulator's `/simulator/faults` takes it. */
export interface Fault {
  on: string;
  skip?: number;
  times?: number;
  answer?: { status: number } | "silence" | "cut";
  carried_out?: boolean;
  retry_after?: number;
  machine?: "never_active" | "never_boots";
}

export class Simulator implements AsyncDisposable {
  private constructor(
    /** The simulator itself. */
    readonly url: string,
    readonly token: string,
    readonly process: Deno.ChildProcess,
    readonly prism: Deno.ChildProcess,
    /** Prism before it. */
    readonly checked: string,
  ) {}

  static async open(...args: string[]): Promise<Simulator> {
    const process = new Deno.Command(devstackProgram(), {
      args: ["digitalocean", "--listen=127.0.0.1:0", "--json", "--die-with-stdin", ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const { url, token } = JSON.parse(await lineWith(process.stdout, "url"));
    const port = freePort();
    const prism = new Deno.Command("node", {
      args: [PRISM, "proxy", "--errors", "--host=127.0.0.1", `--port=${port}`, CONTRACT, url],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    await lineWith(prism.stdout, "Prism is listening");
    return new Simulator(url, token, process, prism, `http://127.0.0.1:${port}`);
  }

  /** Asks through Prism; fails when the request or the answer breaks the contract. */
  async ask(method: string, path: string, body?: unknown, token = this.token): Promise<Answer> {
    const answer = await this.#send(this.checked, method, path, body, token);
    if (`${answer.body?.type}`.includes("stoplight")) {
      throw new Error(`${method} ${path} breaks the contract: ${JSON.stringify(answer.body)}`);
    }
    return answer;
  }

  /** Asks the simulator directly: for its own routes, and for what DigitalOcean's contract does not allow. */
  raw(method: string, path: string, body?: unknown, token = this.token): Promise<Answer> {
    return this.#send(this.url, method, path, body, token);
  }

  async faults(...faults: Fault[]): Promise<void> {
    const { status, body } = await this.raw("PUT", "/simulator/faults", faults);
    if (status !== 204) throw new Error(`${status} ${JSON.stringify(body)}`);
  }

  async settings(settings: Record<string, number>): Promise<void> {
    const { status, body } = await this.raw("PUT", "/simulator/settings", settings);
    if (status !== 204) throw new Error(`${status} ${JSON.stringify(body)}`);
  }

  async #send(base: string, method: string, path: string, body: unknown, token: string): Promise<Answer> {
    const reply = await fetch(base + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
    const text = await reply.text();
    return { status: reply.status, body: text === "" ? null : JSON.parse(text), headers: reply.headers };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.prism.kill();
    await this.process.stdin.close().catch(() => {});
    await Promise.all([this.prism.status, this.process.status]);
    await Promise.all([this.prism.stdout.cancel(), this.process.stdout.cancel()].map((end) => end.catch(() => {})));
  }
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

/** Reads output until a line has `text`; what comes later is dropped, so that the program never waits for a reader. */
async function lineWith(output: ReadableStream<Uint8Array>, text: string): Promise<string> {
  const [first, rest] = output.tee();
  rest.pipeTo(new WritableStream()).catch(() => {});
  let lines = "";
  const reader = first.pipeThrough(new TextDecoderStream()).getReader();
  const late = setTimeout(() => reader.cancel(), 30_000);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`no line with "${text}" within 30 s:\n${lines}`);
      lines += value;
      const whole = lines.split("\n").slice(0, -1).find((line) => line.includes(text));
      if (whole !== undefined) return whole;
    }
  } finally {
    clearTimeout(late);
    reader.cancel().catch(() => {});
  }
}
