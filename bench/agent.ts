// DTMA itself on this machine's Docker: its resident memory, and what `start` through it costs above the raw Docker
// API. The raw container is a copy of DTMA's, with the same image, limits and confinement.

import { onCleanup } from "./cleanup.ts";
import { freePort, get, kill, residentMb } from "./host.ts";
import { compared, type Line, samples } from "./report.ts";

const IMAGE = "toolbox/sample-mcp:dev";
const SOCKET = "/var/run/docker.sock";
const LABEL = "io.toolbox.bench";
const IDLE_SECONDS = 5;

/** Measures `rounds` starts of either kind. `program` is DTMA as it ships, the static release binary. */
export async function benchAgent(program: string, rounds: number): Promise<Line[]> {
  const dir = await Deno.makeTempDir({ prefix: "toolbox-bench-" });
  const toolboxId = crypto.randomUUID();
  const cleanUp = onCleanup(async () => {
    await removeContainers([`${LABEL}=1`, `io.toolbox.toolbox_id=${toolboxId}`]);
    await docker("DELETE", `/networks/toolbox-${toolboxId.slice(0, 8)}`);
    await Deno.remove(dir, { recursive: true });
  });
  const agent = await startAgent(program, dir, toolboxId);
  const raw = `toolbox-bench-${toolboxId.slice(0, 8)}`;
  try {
    await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
    const fresh = residentMb(agent.pid);

    const id = crypto.randomUUID();
    const deployed = await agent.call("PUT", `/tools/${id}`, {
      generation: 1,
      desired: "stopped",
      name: "bench",
      container_name: `bench-${id.slice(0, 8)}`,
      spec: {
        image: IMAGE,
        ports: [{ container_port: 8080, protocol: "tcp" }],
        resources: { memory_bytes: 64 << 20, cpus: 0.5, pids: 64 },
        confinement: { read_only_root: true, tmpfs: ["/tmp"], add_capabilities: [] },
      },
    });
    let generation: number = deployed.generation;
    // A first start proves the container; only later ones are what a user's `start` costs.
    await agent.command(id, "start", ++generation);
    await agent.command(id, "stop", ++generation);
    await copyContainer((await agent.call("GET", `/tools/${id}`)).container_id, raw);
    await dockerCommand(raw, "start");
    await dockerCommand(raw, "stop");

    const times: [number, number][] = [];
    for (let round = 0; round < rounds; round++) {
      const through = async () => {
        const millis = await agent.command(id, "start", ++generation);
        await agent.command(id, "stop", ++generation);
        return millis;
      };
      const direct = async () => {
        const millis = await dockerCommand(raw, "start");
        await dockerCommand(raw, "stop");
        return millis;
      };
      // Whoever goes second may find warm caches, so the order alternates.
      if (round % 2 === 0) times.push([await through(), await direct()]);
      else times.push((([a, b]) => [b, a] as [number, number])([await direct(), await through()]));
    }
    await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
    const used = residentMb(agent.pid);
    await agent.call("DELETE", `/tools/${id}?generation=${++generation}`);

    const start = compared("start: DTMA / raw Docker API", "ms", times);
    start.target = { limit: 1.1, of: "ratio", better: "less" };
    const limit = { limit: 12, of: "value", better: "less" } as const;
    return [
      start,
      { measure: "DTMA resident, idle", unit: "MB", ours: samples([fresh]), target: limit },
      {
        measure: "DTMA resident, idle",
        note: `after ${2 * rounds} commands`,
        unit: "MB",
        ours: samples([used]),
        target: limit,
      },
    ];
  } finally {
    await agent.stop();
    await cleanUp();
  }
}

interface Agent {
  pid: number;
  // deno-lint-ignore no-explicit-any
  call(method: string, path: string, body?: unknown): Promise<any>;
  /** Milliseconds until the agent answered that the instance is as asked. */
  command(id: string, command: "start" | "stop", generation: number): Promise<number>;
  stop(): Promise<void>;
}

async function startAgent(program: string, dir: string, toolboxId: string): Promise<Agent> {
  const port = freePort();
  const key = "tbk_" +
    Array.from(crypto.getRandomValues(new Uint8Array(32)), (b) => b.toString(16).padStart(2, "0")).join("");
  await Deno.writeTextFile(`${dir}/key`, key, { mode: 0o600 });
  // For curl, whose command line every user can read.
  await Deno.writeTextFile(
    `${dir}/headers`,
    `authorization: Bearer ${key}\nprefer: wait=30\ncontent-type: application/json\n`,
    {
      mode: 0o600,
    },
  );
  const child = new Deno.Command(program, {
    env: {
      DTMA_LISTEN: `127.0.0.1:${port}`,
      DTMA_INSECURE_HTTP: "true",
      DTMA_TOOLBOX_ID: toolboxId,
      DTMA_KEY_FILE: `${dir}/key`,
      DTMA_STATE_DIR: `${dir}/state`,
      DTMA_DOCKER_HOST: `unix://${SOCKET}`,
      DTMA_LOG: "warn",
    },
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const stop = onCleanup(() => kill(child, "SIGTERM"));
  const base = `http://127.0.0.1:${port}`;
  try {
    await healthy(`${base}/health`);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: child.pid,
    stop,
    call: async (method, path, body) => {
      const answer = await fetch(base + path, {
        method,
        headers: { authorization: `Bearer ${key}`, prefer: "wait=30", "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(40_000),
      });
      const text = await answer.text();
      if (answer.status !== 200) throw new Error(`DTMA answered ${method} ${path} with ${answer.status}: ${text}`);
      return JSON.parse(text);
    },
    command: (id, command, generation) =>
      timed(
        ["--header", `@${dir}/headers`, "--data", `{"generation":${generation}}`, `${base}/tools/${id}/${command}`],
        200,
      ),
  };
}

/** Asks until the agent answers, for at most ten seconds. */
async function healthy(url: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      await get(url);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Creates a container like `id` under another name, without the labels by which DTMA would find it. */
async function copyContainer(id: string, name: string): Promise<void> {
  const original = await docker("GET", `/containers/${id}/json`);
  const { Hostname: _, Labels: __, ...config } = original.Config;
  const hostConfig = { ...original.HostConfig, PortBindings: {} as Record<string, unknown> };
  for (const port of Object.keys(original.HostConfig.PortBindings ?? {})) {
    hostConfig.PortBindings[port] = [{ HostIp: "127.0.0.1", HostPort: String(freePort()) }];
  }
  const networks = Object.keys(original.NetworkSettings.Networks);
  await docker("POST", `/containers/create?name=${name}`, {
    ...config,
    Labels: { [LABEL]: "1" },
    HostConfig: hostConfig,
    NetworkingConfig: { EndpointsConfig: Object.fromEntries(networks.map((network) => [network, {}])) },
  });
}

async function dockerCommand(name: string, command: "start" | "stop"): Promise<number> {
  return await timed(
    ["--unix-socket", SOCKET, "--request", "POST", `http://docker/containers/${name}/${command}`],
    204,
  );
}

/** Milliseconds of one HTTP exchange, measured by curl for both sides alike; throws on another status. */
async function timed(args: string[], status: number): Promise<number> {
  const output = await curl(["--output", "/dev/null", "--write-out", "%{http_code} %{time_total}", ...args]);
  const [code, seconds] = output.split(" ").map(Number);
  if (code !== status) throw new Error(`${args.at(-1)} answered ${code} instead of ${status}`);
  return seconds * 1000;
}

/** Calls the Docker API; null for an empty answer, throws on a failure other than 404. */
// deno-lint-ignore no-explicit-any
async function docker(method: string, path: string, body?: unknown): Promise<any> {
  const data = body === undefined ? [] : ["--header", "content-type: application/json", "--data", JSON.stringify(body)];
  const url = `http://docker${path}`;
  const output = await curl([
    "--unix-socket",
    SOCKET,
    "--request",
    method,
    "--write-out",
    "\n%{http_code}",
    ...data,
    url,
  ]);
  const end = output.lastIndexOf("\n");
  const [text, status] = [output.slice(0, end), Number(output.slice(end + 1))];
  if (status >= 400 && status !== 404) throw new Error(`Docker answered ${method} ${path} with ${status}: ${text}`);
  return text ? JSON.parse(text) : null;
}

async function removeContainers(labels: string[]): Promise<void> {
  for (const label of labels) {
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    for (const { Id } of await docker("GET", `/containers/json?all=true&filters=${filters}`)) {
      await docker("DELETE", `/containers/${Id}?force=true&v=true`);
    }
  }
}

async function curl(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("curl", {
    args: ["--silent", "--show-error", "--max-time", "40", ...args],
  }).output();
  if (code !== 0) throw new Error(`curl ${args.at(-1)}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
