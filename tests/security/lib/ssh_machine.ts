/** A machine with Docker and a real sshd, set up by `dtma ssh-setup`, where no agent runs. */
import { Droplet } from "../../chaos/droplet.ts";
import { pooled } from "../../e2e/lib/mod.ts";
import { type Ended, Machine } from "../../install/machine.ts";

const REPOSITORY = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const TARGET = Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`;
const CACHE = Deno.env.get("TOOLBOX_CACHE") ?? "/var/cache/toolbox";
const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

export class SshMachine implements AsyncDisposable {
  #sshd: Deno.ChildProcess | undefined;

  private constructor(
    readonly machine: Machine,
    readonly logs: string,
    readonly toolbox: string,
    /** sshd's host key, and one that it does not have. */
    readonly hostKey: string,
    readonly otherKey: string,
  ) {}

  get droplet(): Droplet {
    return this.machine.droplet;
  }

  static async open(logs: string, toolbox: string, seed: string): Promise<SshMachine> {
    const machine = await Machine.open(logs);
    // sshd and sudo are unpacked by scripts/setup, not installed: here they are put where they belong.
    await machine.sh(`mkdir -p /run/own/usr/upper /run/own/usr/work
mount -t overlay overlay -o lowerdir=/usr,upperdir=/run/own/usr/upper,workdir=/run/own/usr/work /usr
for part in usr etc; do cp -a ${CACHE}/machine/$part/. /$part/; done
[ ! -d ${CACHE}/machine/lib ] || cp -a ${CACHE}/machine/lib/. /usr/lib/
chown -R root:root /usr/bin/sudo /usr/sbin/visudo /usr/libexec/sudo /etc/sudoers /etc/sudoers.d
chmod 4755 /usr/bin/sudo
chmod 440 /etc/sudoers
getent passwd sshd >/dev/null || useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd
mkdir -p /run/sshd /etc/ssh/sshd_config.d /etc/dtma /var/lib/dtma
cp /usr/share/openssh/sshd_config /etc/ssh/sshd_config
printf 'PermitRootLogin no\\nPidFile /run/sshd.pid\\n' >> /etc/ssh/sshd_config
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/other`);
    const program = await Deno.realPath(`${TARGET}/debug/dtma`);
    await machine.sh(`install -m 755 ${program} /usr/local/bin/dtma
chmod 700 /var/lib/dtma
printf 'DTMA_TOOLBOX_ID=${toolbox}\\nDTMA_DOCKER_HOST=unix:///run/docker.sock\\n' > /etc/dtma/dtma.env
echo '${await publicKey(seed)}' > /var/lib/dtma/ssh_ca.pub
dtma ssh-setup`);
    const key = async (file: string) => (await machine.sh(`cat ${file}`)).split(" ").slice(0, 2).join(" ");
    const opened = new SshMachine(
      machine,
      logs,
      toolbox,
      await key("/etc/ssh/ssh_host_ed25519_key.pub"),
      await key("/etc/ssh/other.pub"),
    );
    await opened.startSshd();
    return opened;
  }

  run(command: string[]): Promise<Ended> {
    return this.machine.run(command);
  }

  sh(script: string): Promise<string> {
    return this.machine.sh(script);
  }

  /** Starts sshd, or another one whose clock differs by `shift`, such as `+1h`. */
  async startSshd(shift?: string): Promise<void> {
    await this.#stopSshd();
    const log = await Deno.open(`${this.logs}/sshd.log`, { create: true, append: true });
    this.#sshd = new Deno.Command("nsenter", {
      args: [`--target=${this.droplet.pid}`, "--mount", "--net", "--pid", "--", "/usr/sbin/sshd", "-D", "-e"],
      clearEnv: true,
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        ...(shift ? { LD_PRELOAD: FAKETIME, FAKETIME: shift, FAKETIME_DONT_FAKE_MONOTONIC: "1" } : {}),
      },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#sshd.stderr.pipeTo(log.writable).catch(() => {});
    for (let tries = 0; tries < 100; tries++) {
      try {
        (await Deno.connect({ hostname: this.droplet.address, port: 22 })).close();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    throw new Error(`sshd does not listen; see ${this.logs}/sshd.log`);
  }

  async #stopSshd(): Promise<void> {
    if (!this.#sshd) return;
    await this.run(["sh", "-c", "kill $(cat /run/sshd.pid)"]);
    await this.#sshd.status;
    this.#sshd = undefined;
  }

  /** The ssh program with a certificate of the machine's authority, as one who stole the authority would use it. */
  async ssh(options: string[], text: string): Promise<Ended> {
    const begun = ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=no"];
    const known = ["-o", `UserKnownHostsFile=${this.logs}/known`, "-o", "LogLevel=ERROR", "-i", `${this.logs}/thief`];
    const { code, stdout, stderr } = await new Deno.Command("timeout", {
      args: ["5", "ssh", ...begun, ...known, ...options, `toolbox-ssh@${this.droplet.address}`, text],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout) || decoder.decode(stderr) };
  }

  /** Sends each text through one connection of the ssh program, some at once. */
  async sendAll(texts: string[]): Promise<{ answers: Ended[]; canaries: string[] }> {
    await this.steal();
    // Where every user may write, so that a shell would have left something.
    await this.sh("mkdir -p /run/open && chmod 1777 /run/open");
    const shared = ["-o", `ControlPath=${this.logs}/mux`];
    await this.ssh([...shared, "-o", "ControlMaster=yes", "-o", "ControlPersist=120"], "host-health");
    // Fewer at once than sshd's MaxSessions.
    const answers = await pooled(texts, 6, (text) => this.ssh(shared, text));
    await this.ssh([...shared, "-O", "exit"], "");
    const found = await this.sh("ls /run/open");
    return { answers, canaries: found.split("\n").filter(Boolean) };
  }

  /** A key, and a certificate for it from an authority that the machine trusts, without a command that is forced. */
  async steal(): Promise<void> {
    const seed = await Deno.makeTempDir();
    await new Deno.Command("ssh-keygen", { args: ["-q", "-t", "ed25519", "-N", "", "-f", `${this.logs}/thief`] })
      .output();
    await new Deno.Command("ssh-keygen", { args: ["-q", "-t", "ed25519", "-N", "", "-f", `${seed}/ca`] }).output();
    const ca = (await Deno.readTextFile(`${seed}/ca.pub`)).trim();
    await this.sh(`echo '${ca}' >> /var/lib/dtma/ssh_ca.pub`);
    const sign = ["-q", "-s", `${seed}/ca`, "-I", "thief", "-n", this.toolbox, `${this.logs}/thief.pub`];
    await new Deno.Command("ssh-keygen", { args: sign }).output();
    await Deno.remove(seed, { recursive: true });
  }

  /** Texts near the set, with what shells and option readers trip over; none of them is an operation. */
  hostileTexts(id: string, count: number): string[] {
    const canary = "touch /run/open/canary";
    const good = [
      "host-health",
      `start ${id}`,
      `logs ${id} 50`,
      "agent-status",
      "agent-redeploy 1.2.3",
      `docker stop ${id}`,
    ];
    const bad = [
      `;${canary}`,
      `\n${canary}`,
      `|${canary}`,
      `&${canary}`,
      `$(${canary})`,
      `\`${canary}\``,
      `'`,
      `"`,
      `\\`,
      ` --host=tcp://evil:2375`,
      `\t`,
      `  `,
      ` #`,
      `\u00a0`,
      `é`,
      `\u202e`,
      `${"A".repeat(500)}`,
      `>/run/open/canary`,
      ` -H evil`,
      `\r\n`,
      ` *`,
      `~`,
      `{a,b}`,
      `$IFS`,
      `%0a${canary}`,
      ` || ${canary}`,
    ];
    const texts: string[] = [];
    // The same texts in each run.
    for (let n = 0; texts.length < count; n++) {
      const [head, tail] = [good[n % good.length], bad[Math.floor(n / good.length) % bad.length]];
      const more = bad[(n * 7 + 3) % bad.length];
      texts.push(n % 3 === 0 ? head + tail : n % 3 === 1 ? tail + head : `${head}${tail}${more}`);
    }
    return texts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stopSshd();
    await this.machine[Symbol.asyncDispose]();
  }
}

/** The public key of an ed25519 seed, as OpenSSH writes it. */
async function publicKey(seed: string): Promise<string> {
  const prefix = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]);
  const bytes = Uint8Array.from(seed.match(/../g)!.map((hex) => parseInt(hex, 16)));
  const key = await crypto.subtle.importKey("pkcs8", new Uint8Array([...prefix, ...bytes]), "Ed25519", true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", key);
  const raw = Uint8Array.from(atob(x!.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const name = new TextEncoder().encode("ssh-ed25519");
  const blob = new Uint8Array([0, 0, 0, 11, ...name, 0, 0, 0, 32, ...raw]);
  return `ssh-ed25519 ${btoa(String.fromCharCode(...blob))}`;
}
