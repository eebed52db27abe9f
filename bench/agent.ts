// DTMA itself on this machine's Docker: its resident memory, and what `start` through it costs above the raw Docker
// API. The raw container is a copy of DTMA's, with the same image, limits and confinement.

import { docker, dockerCommand, LABEL } from "./docker.ts";
import { IMAGE, startAgent } from "./dtma.ts";
import { freePort, residentMb } from "./host.ts";
import { compared, type Line, samples } from "./report.ts";

const IDLE_SECONDS = 5;

/**
 * Measures `rounds` starts of either kind. `program` is DTMA as it ships, the static release binary; `before` that of
 * another checkout, measured in a run of its own right after it.
 */
export async function benchAgent(program: string, before: string | undefined, rounds: number): Promise<Line[]> {
  const lines = await benchOne(program, rounds);
  if (!before) return lines;
  const named = (line: Line): Line => ({ ...line, measure: `${line.measure}, before`, target: undefined });
  return [...lines, ...(await benchOne(before, rounds)).map(named)];
}

async function benchOne(program: string, rounds: number): Promise<Line[]> {
  const agent = await startAgent(program, { tls: false });
  const raw = `toolbox-bench-${crypto.randomUUID().slice(0, 8)}`;
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
