/** A machine of a user's own, for the console's one command: with a Docker, an address and an init of its own. */

import { certificateFor, HeartbeatProxy } from "../../chaos/proxy.ts";
import { type Ended, Machine, makeRelease } from "../../install/machine.ts";
import type { Stack } from "../../lib/stack.ts";

/** Where the machine finds releases: the installer takes plain HTTP from the machine itself only. */
const RELEASES = "http://127.0.0.1:8099";

export class OwnMachine implements AsyncDisposable {
  private constructor(readonly machine: Machine, private readonly parts: AsyncDisposable[]) {}

  get droplet() {
    return this.machine.droplet;
  }

  /** Makes the machine, and tells the functions of the stack where it finds them and releases. */
  static async open(stack: Stack): Promise<OwnMachine> {
    const parts: AsyncDisposable[] = [];
    try {
      const folder = await Deno.makeTempDir({ prefix: "toolbox-web-" });
      parts.push({ [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) });
      await makeRelease(`${folder}/release`);
      const machine = await Machine.open(folder);
      parts.push(machine);
      const { droplet } = machine;
      parts.push(served(droplet.pid, `${folder}/release`));
      const certificate = await certificateFor(droplet.uplink, folder);
      const proxy = await HeartbeatProxy.open(droplet.uplink, stack.ready.url, certificate);
      parts.push(proxy);
      // A project's certificate is from a public authority; this one is from an authority that the machine is told of.
      await Deno.mkdir(droplet.path("/etc/dtma"));
      await Deno.copyFile(certificate.authority, droplet.path("/etc/dtma/authority.pem"));
      await Deno.writeTextFile(droplet.path("/etc/dtma/dtma.env"), "DTMA_CONTROL_CA_FILE=/etc/dtma/authority.pem\n");
      await stack.setFunctionEnv({
        TOOLBOX_RELEASE_URL: RELEASES,
        SUPABASE_PUBLIC_URL: proxy.url,
        TOOLBOX_ALLOWED_MACHINES: `${droplet.address},127.0.0.1`,
      });
      return new OwnMachine(machine, parts);
    } catch (error) {
      await endAll(parts);
      throw error;
    }
  }

  /** Runs a command as root of the machine types it. */
  async type(command: string): Promise<Ended> {
    await Deno.writeTextFile(this.droplet.path("/root/typed"), command, { mode: 0o600 });
    return await this.machine.run(["setsid", "sh", "/root/typed"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll(this.parts);
  }
}

/** The last first, because it may need the others. */
async function endAll(parts: AsyncDisposable[]): Promise<void> {
  for (const part of parts.toReversed()) await part[Symbol.asyncDispose]();
}

/** Serves a folder inside the machine. */
function served(pid: number, folder: string): AsyncDisposable {
  const args = [`--target=${pid}`, "--net", "--", "python3", "-m", "http.server", "--bind", "127.0.0.1"];
  const server = new Deno.Command("nsenter", {
    args: [...args, "--directory", folder, new URL(RELEASES).port],
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    async [Symbol.asyncDispose]() {
      server.kill();
      await server.status;
    },
  };
}
