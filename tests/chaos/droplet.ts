/**
 * A machine of its own for the agent, without a virtual machine: namespaces for network, mounts and processes that
 * hold a Docker Engine and DTMA, joined to this machine by a veth pair. Nothing here touches the machine's own
 * Docker, clock or network, and everything ends with this process, however that ends: the first process of the
 * namespace reads from a pipe that only this process holds open.
 */
import { docker as dockerCli, eventually, sleep } from "../e2e/lib/mod.ts";

/** State of the agent: its disk, small enough to be filled. */
const STATE_DIR = "/run/dtma";
const DISK_KIB = 4096;
const SOCKET = "/run/docker.sock";
const CLOCK = "/run/clock";
/** The library by itself: its wrapper `faketime` fails when a killed process of the same pid left its semaphore. */
export const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/** What the first process does: its own /run, the agent's disk, then waiting for the end of its input. */
const FIRST = `set -e
mount -t tmpfs tmpfs /run
mkdir ${STATE_DIR}
mount -t tmpfs -o size=${DISK_KIB}k,mode=0700 tmpfs ${STATE_DIR}
mount -t tmpfs tmpfs /dev/shm
printf '+0' > ${CLOCK}
ip link set lo up
echo ready
while read -r _; do :; done`;

/** Which way packets of the control network are lost. */
export type Direction = "in" | "out" | "both";

export class Droplet implements AsyncDisposable {
  #dockerd: Service | undefined;
  #dtma: Service | undefined;
  #dtmaEnv: Record<string, string> = {};
  #dtmaProgram = "";
  /** The supervisor starts the agent again while this is true. */
  #supervised = false;

  private constructor(
    readonly first: Deno.ChildProcess,
    readonly pid: number,
    /** Where the agent listens, as the control plane sees it. */
    readonly address: string,
    /** This machine, as the agent sees it. */
    readonly uplink: string,
    readonly logs: string,
  ) {}

  /** Makes the namespaces and the network, and starts a Docker Engine in them. Needs root. */
  static async open(logs: string): Promise<Droplet> {
    const first = new Deno.Command("unshare", {
      args: ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", FIRST],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = first.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    const pid = await childOf(first.pid);
    const { address, uplink } = await connect(pid);
    const droplet = new Droplet(first, pid, address, uplink, logs);
    await droplet.startDocker();
    return droplet;
  }

  get dockerHost(): string {
    return `unix:///proc/${this.pid}/root${SOCKET}`;
  }

  /** A path of the droplet, as this machine sees it. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  /** The docker command on the droplet's engine. */
  docker(...args: string[]): Promise<string> {
    return dockerCli("--host", this.dockerHost, ...args);
  }

  /** `docker inspect` of every container. */
  // deno-lint-ignore no-explicit-any
  async containers(): Promise<any[]> {
    for (;;) {
      const ids = (await this.docker("ps", "--all", "--quiet", "--no-trunc")).split("\n").filter(Boolean);
      if (ids.length === 0) return [];
      try {
        return JSON.parse(await this.docker("inspect", ...ids));
      } catch (error) {
        // One of them may have gone between the two calls.
        if (!String(error).includes("No such")) throw error;
      }
    }
  }

  /** Puts an image of one static program on the engine. */
  async load(name: string, program: string): Promise<void> {
    const folder = program.replace(/\/[^/]*$/, "");
    const file = program.replace(/^.*\//, "");
    const script =
      'tar -C "$1" -c "$2" | docker --host "$3" import --change "ENTRYPOINT [\\"/$2\\"]" - "$4" >/dev/null';
    await run("bash", "-c", `set -o pipefail; ${script}`, "load", folder, file, this.dockerHost, name);
  }

  /** Starts the engine, or a new one after the last was stopped or killed, and waits until it answers. */
  async startDocker(): Promise<void> {
    try {
      await this.#startDocker();
    } catch (error) {
      // moby#45057: before version 24, one that was killed while it removed a network may panic at its start.
      const log = await Deno.readTextFile(`${this.logs}/dockerd.log`);
      if (!log.slice(-10_000).includes("reservePools")) throw error;
      console.log("  Docker panicked at its start (moby#45057); cured as docs/OPERATIONS.md says");
      await Deno.remove(this.path("/run/docker-data/network/files/local-kv.db"));
      await this.#startDocker();
    }
  }

  async #startDocker(): Promise<void> {
    this.#dockerd = await this.#start("dockerd", [
      "dockerd",
      "--data-root=/run/docker-data",
      "--exec-root=/run/docker",
      "--pidfile=/run/docker.pid",
      `--host=unix://${SOCKET}`,
    ]);
    await eventually("dockerd answers", async () => (await this.docker("version"), true), { ms: 60_000, everyMs: 50 });
  }

  /** Ends the engine: SIGTERM stops every container first, SIGKILL leaves them to the next engine. */
  async stopDocker(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.#dockerd?.end(signal);
    this.#dockerd = undefined;
  }

  /** Starts the agent, under a supervisor that starts it again when it dies. */
  async startAgent(program: string, env: Record<string, string>): Promise<void> {
    this.#dtmaProgram = program;
    this.#dtmaEnv = {
      DTMA_LISTEN: `${this.address}:30000`,
      DTMA_STATE_DIR: STATE_DIR,
      DTMA_DOCKER_HOST: `unix://${SOCKET}`,
      LD_PRELOAD: FAKETIME,
      FAKETIME_TIMESTAMP_FILE: CLOCK,
      FAKETIME_CACHE_DURATION: "1",
      // A jump of the wall clock leaves the monotonic one alone, on real machines too.
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      ...env,
    };
    this.#supervised = true;
    await this.#startAgent();
  }

  /** kill -9, for good. */
  async stopAgent(): Promise<void> {
    this.#supervised = false;
    await this.#dtma?.end("SIGKILL");
  }

  /** kill -9; the supervisor starts it again after `downMs`. Resolves when it runs. */
  async killAgent(downMs: number): Promise<void> {
    await this.stopAgent();
    await sleep(downMs);
    this.#supervised = true;
    await this.#startAgent();
  }

  /** Drops packets between the droplet and this machine, until the function returned is called. */
  async cut(direction: Direction): Promise<() => Promise<void>> {
    const rules = [
      ...(direction === "out" ? [] : [["INPUT", "--in-interface", "uplink"]]),
      ...(direction === "in" ? [] : [["OUTPUT", "--out-interface", "uplink"]]),
    ];
    const each = async (verb: string) => {
      for (const [chain, ...match] of rules) {
        await run(...this.#enter(), "iptables", "--wait", verb, chain, ...match, "--jump", "DROP");
      }
    };
    await each("--insert");
    return () => each("--delete");
  }

  /** Sets the agent's clock off by that many seconds; it notices within a second. */
  async setClock(offsetSeconds: number): Promise<void> {
    await Deno.writeTextFile(this.path(CLOCK), offsetSeconds < 0 ? `${offsetSeconds}` : `+${offsetSeconds}`);
  }

  /** Fills the agent's disk to the last byte. */
  async fillDisk(): Promise<void> {
    const file = await Deno.open(this.path(`${STATE_DIR}/filler`), { write: true, create: true, append: true });
    try {
      for (let size = 64 * 1024; size >= 1; size >>= 1) {
        const zeros = new Uint8Array(size);
        // Bounded: the disk has this many blocks.
        for (let i = 0; i < DISK_KIB; i++) {
          if (await file.write(zeros).catch(() => 0) < size) break;
        }
      }
    } finally {
      file.close();
    }
  }

  async emptyDisk(): Promise<void> {
    await Deno.remove(this.path(`${STATE_DIR}/filler`)).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#supervised = false;
    await this.first.stdin.close().catch(() => {});
    await this.first.status;
    await this.first.stdout.cancel().catch(() => {});
    await Promise.all([this.#dockerd?.gone, this.#dtma?.gone]);
  }

  async #startAgent(): Promise<void> {
    const pairs = Object.entries(this.#dtmaEnv).map(([name, value]) => `${name}=${value}`);
    const service = await this.#start("dtma", ["env", ...pairs, this.#dtmaProgram]);
    this.#dtma = service;
    service.gone.then(async () => {
      if (!this.#supervised || this.#dtma !== service) return;
      await sleep(500);
      if (this.#supervised && this.#dtma === service) await this.#startAgent();
    });
  }

  async #start(name: string, command: string[]): Promise<Service> {
    const log = await Deno.open(`${this.logs}/${name}.log`, { write: true, create: true, append: true });
    const [program, ...args] = [...this.#enter(), ...command];
    const child = new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
    const write = (from: ReadableStream<Uint8Array>) =>
      (async () => {
        for await (const chunk of from) await log.write(chunk);
      })();
    const logged = Promise.allSettled([write(child.stdout), write(child.stderr)]).then(() => log.close());
    return new Service(child, logged);
  }

  #enter(): string[] {
    return ["nsenter", `--target=${this.pid}`, "--mount", "--net", "--pid", "--"];
  }
}

/** A process of the droplet, started through nsenter, which waits for it. */
class Service {
  /** Resolves when it has ended and its output is written. */
  readonly gone: Promise<void>;

  constructor(readonly entered: Deno.ChildProcess, logged: Promise<void>) {
    this.gone = entered.status.then(() => logged);
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const pid = await childOf(this.entered.pid).catch(() => undefined);
    if (pid !== undefined) {
      try {
        Deno.kill(pid, signal);
        // nsenter stops with a process that was stopped, and would not notice its end.
        Deno.kill(this.entered.pid, "SIGCONT");
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    await this.gone;
  }
}

/** A veth pair with a /30 of its own; whose name is free decides which. */
async function connect(pid: number): Promise<{ address: string; uplink: string }> {
  const start = Math.floor(Math.random() * 250);
  for (let i = 0; i < 250; i++) {
    const n = (start + i) % 250;
    const [outside, uplink, address] = [`tbx-chaos${n}`, `10.213.${n}.1`, `10.213.${n}.2`];
    const made = await new Deno.Command("ip", {
      args: ["link", "add", outside, "type", "veth", "peer", "name", "uplink", "netns", `${pid}`],
      stderr: "null",
    }).output();
    if (!made.success) continue;
    await run("ip", "address", "add", `${uplink}/30`, "dev", outside);
    await run("ip", "link", "set", outside, "up");
    const inside = ["nsenter", `--target=${pid}`, "--net", "--", "ip"];
    await run(...inside, "address", "add", `${address}/30`, "dev", "uplink");
    await run(...inside, "link", "set", "uplink", "up");
    return { address, uplink };
  }
  throw new Error("no veth pair could be made: this needs root and the program ip");
}

/** The only child of a process. */
async function childOf(pid: number): Promise<number> {
  return await eventually(`process ${pid} has a child`, async () => {
    const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
    return children.trim() === "" ? undefined : Number(children.trim().split(" ")[0]);
  }, { ms: 2_000, everyMs: 5 });
}

/** Runs a program to its end; throws with what it said when it fails. */
export async function run(...command: string[]): Promise<string> {
  const [program, ...args] = command;
  const { success, stdout, stderr } = await new Deno.Command(program, { args, stdout: "piped", stderr: "piped" })
    .output();
  if (!success) throw new Error(`${command.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}
