/** A machine to install on: a droplet with Docker whose folders for programs, settings and state are its own. */
import { Droplet } from "../chaos/droplet.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
/** What an installation may change; what is written there is lost with the droplet. */
const OWN = ["/etc", "/usr/local", "/var", "/root"];

export interface Ended {
  code: number;
  text: string;
}

export class Machine implements AsyncDisposable {
  private constructor(readonly droplet: Droplet) {}

  static async open(logs: string): Promise<Machine> {
    const machine = new Machine(await Droplet.open(logs));
    const mounts = OWN.map((folder) =>
      `mkdir -p /run/own${folder}/upper /run/own${folder}/work
mount -t overlay overlay -o lowerdir=${folder},upperdir=/run/own${folder}/upper,workdir=/run/own${folder}/work ${folder}`
    );
    const { code, text } = await machine.run(["bash", "-ec", mounts.join("\n")]);
    if (code !== 0) throw new Error(text);
    // This machine may have an agent itself.
    await machine.sh(
      "rm -rf /etc/dtma /var/lib/dtma /usr/local/lib/dtma /usr/local/bin/dtma /etc/init.d/dtma-companion /etc/logrotate.d/dtma " +
        "/etc/systemd/system/dtma* /etc/ssh/sshd_config.d/50-toolbox.conf /etc/ssh/toolbox_principals /etc/sudoers.d/50-toolbox",
    );
    // Where old systems keep it; /var is the droplet's own now.
    await machine.sh("test -S /var/run/docker.sock");
    return machine;
  }

  /** Runs a program on the machine, to its end. */
  async run(command: string[], env: Record<string, string> = {}): Promise<Ended> {
    const { code, stdout, stderr } = await new Deno.Command("nsenter", {
      args: [`--target=${this.droplet.pid}`, "--mount", "--net", "--pid", "--", ...command],
      clearEnv: true,
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", ...env },
      // No terminal, so nobody is asked.
      stdin: "null",
      signal: AbortSignal.timeout(180_000),
    }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
  }

  /** Runs a script that must succeed; what it printed. */
  async sh(script: string): Promise<string> {
    const { code, text } = await this.run(["sh", "-ec", script]);
    if (code !== 0) throw new Error(`${script}: ${code} ${text}`);
    return text.trim();
  }

  /** Runs the installer. */
  async install(release: string, args: string[] = [], env: Record<string, string> = {}): Promise<Ended> {
    return await this.run(["setsid", "sh", `${release}/install.sh`, ...args], env);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.droplet[Symbol.asyncDispose]();
  }
}

/** Makes a release of the program as it is built, in `folder`; its version. */
export async function makeRelease(folder: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(`${REPOSITORY}/scripts/make-release`, { args: [folder] })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr));
  return (await Deno.readTextFile(`${folder}/latest`)).trim();
}

/** Adds a release of the same program under another version of the same length: its text is replaced wherever it is. */
export async function addVersion(folder: string, from: string, to: string): Promise<void> {
  const name = `dtma-${Deno.build.arch}`;
  const program = await Deno.readFile(`${folder}/${from}/${name}`);
  const [old, replacement] = [from, to].map((text) => new TextEncoder().encode(text));
  for (let at = 0; at + old.length <= program.length; at++) {
    if (old.every((byte, i) => program[at + i] === byte)) program.set(replacement, at);
  }
  await Deno.mkdir(`${folder}/${to}`);
  await Deno.writeFile(`${folder}/${to}/${name}`, program, { mode: 0o755 });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", program));
  const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  await Deno.writeTextFile(`${folder}/${to}/${name}.sha256`, `${hex}  ${name}\n`);
}
