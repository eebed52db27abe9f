/** Docker as the machine's operator sees it, scoped to one toolbox by label. */

// deno-lint-ignore no-explicit-any
type Inspect = any;

/** Runs the docker CLI; throws with its standard error when it fails. */
export async function docker(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("docker", { args, stdout: "piped", stderr: "piped" })
    .output();
  if (!success) throw new Error(`docker ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}

/** The containers, networks and volumes of one toolbox. */
export class Docker {
  constructor(readonly toolboxId: string) {}

  /** `docker inspect` of every container of an instance, running or not; of the whole toolbox without an id. */
  async containers(instanceId?: string): Promise<Inspect[]> {
    const filters = ["--filter", `label=io.toolbox.toolbox_id=${this.toolboxId}`];
    if (instanceId) filters.push("--filter", `label=io.toolbox.instance_id=${instanceId}`);
    const ids = (await docker("ps", "--all", "--quiet", "--no-trunc", ...filters)).split("\n").filter(Boolean);
    if (ids.length === 0) return [];
    try {
      return JSON.parse(await docker("inspect", ...ids));
    } catch (error) {
      // One of them may have gone between the two calls.
      if (String(error).includes("No such object")) return await this.containers(instanceId);
      throw error;
    }
  }

  /** The only container of an instance. */
  async container(instanceId: string): Promise<Inspect> {
    const found = await this.containers(instanceId);
    if (found.length !== 1) throw new Error(`instance ${instanceId} has ${found.length} containers`);
    return found[0];
  }

  /** Removes every container of an instance behind the agent's back. */
  async removeBehindItsBack(instanceId: string): Promise<void> {
    for (const { Id } of await this.containers(instanceId)) await docker("rm", "--force", Id);
  }

  /** Removes everything of the toolbox; for the end of a test. */
  async cleanUp(): Promise<void> {
    const label = `label=io.toolbox.toolbox_id=${this.toolboxId}`;
    for (let round = 0; round < 3; round++) {
      const ids = (await docker("ps", "--all", "--quiet", "--filter", label)).split("\n").filter(Boolean);
      for (let at = 0; at < ids.length; at += 50) {
        await docker("rm", "--force", "--volumes", ...ids.slice(at, at + 50)).catch(() => {});
      }
    }
    for (const kind of ["volume", "network"]) {
      const names = (await docker(kind, "ls", "--quiet", "--filter", label)).split("\n").filter(Boolean);
      if (names.length) await docker(kind, "rm", ...names).catch(() => {});
    }
  }
}

/** What must be the same after a container was made again: image, environment, command, ports, limits, confinement. */
export function identity(inspect: Inspect): Record<string, unknown> {
  const host = inspect.HostConfig;
  return {
    name: inspect.Name,
    image: inspect.Image,
    configuredImage: inspect.Config.Image,
    env: [...(inspect.Config.Env ?? [])].sort(),
    cmd: inspect.Config.Cmd,
    entrypoint: inspect.Config.Entrypoint,
    user: inspect.Config.User,
    portBindings: host.PortBindings,
    published: inspect.NetworkSettings.Ports,
    memory: host.Memory,
    nanoCpus: host.NanoCpus,
    pidsLimit: host.PidsLimit,
    capDrop: host.CapDrop,
    capAdd: host.CapAdd,
    securityOpt: host.SecurityOpt,
    readonlyRootfs: host.ReadonlyRootfs,
    tmpfs: host.Tmpfs,
    mounts: inspect.Mounts.map((mount: Inspect) => ({ type: mount.Type, name: mount.Name, at: mount.Destination })),
    networks: Object.keys(inspect.NetworkSettings.Networks),
  };
}
