// ssh-command-executor against the ssh program and npm:ssh2: a connection, one operation and its answer, at a real sshd on
// a machine of its own. What the machine runs is the same for all three, and is a script that answers at once.

import { SshMachine } from "../tests/security/lib/ssh_machine.ts";
import { packageOf, repository } from "../tests/lib/functions.ts";
import { onCleanup } from "./cleanup.ts";
import { TOOLBOX_ID } from "./fixtures.ts";
import { type Host, startHost } from "./host.ts";
import { identity } from "./identity.ts";
import { compared, type Line, samples } from "./report.ts";

const SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const OURS = `${repository}supabase/functions/ssh-command-executor/index.ts`;
const SSH2 = `${repository}bench/ssh2.ts`;
const ANSWER = '{"ok": true, "by": "machine"}';

export interface Setting {
  rounds: number;
  coldRounds: number;
}

export async function benchSsh(setting: Setting, progress: (text: string) => void): Promise<Line[]> {
  progress("a machine with sshd");
  const folder = await Deno.makeTempDir({ prefix: "toolbox-bench-" });
  const removeFolder = onCleanup(() => Deno.remove(folder, { recursive: true }));
  const machine = await SshMachine.open(folder, TOOLBOX_ID, SEED);
  const closeMachine = onCleanup(() => machine[Symbol.asyncDispose]());
  const upstream = await startUpstream(machine);
  const stopUpstream = onCleanup(() => upstream.stop());
  try {
    const env = { ours: upstream.env, ssh2: await admitSsh2(machine) };
    await machine.steal();
    const executor = (host: Host) =>
      timed(() =>
        ask(host, {
          method: "POST",
          headers: { authorization: `Bearer ${upstream.token}`, "content-type": "application/json" },
          body: JSON.stringify({ toolboxId: TOOLBOX_ID, operation: { kind: "host_health" } }),
        })
      );
    const ssh2 = (host: Host) => timed(() => ask(host, {}));
    const program = () =>
      timed(async () => {
        const { code, text } = await machine.ssh([], "host-health");
        if (code !== 0 || !JSON.parse(text).ok) throw new Error(`ssh ended with ${code}: ${text}`);
      });

    progress("cold start");
    const cold: [number, number][] = [];
    // The first start of each fills the file system's and Deno's caches.
    for (let round = -1; round < setting.coldRounds; round++) {
      const ours = await coldStart(OURS, env.ours, executor);
      const other = await coldStart(SSH2, env.ssh2, ssh2);
      if (round >= 0) cold.push([ours, other]);
    }

    const hosts = { ours: await startHost(OURS, env.ours), ssh2: await startHost(SSH2, env.ssh2) };
    try {
      const rounds: { ours: number; program: number; ssh2: number }[] = [];
      for (let round = -3; round < setting.rounds; round++) {
        if (round % 10 === 0) progress(`round ${round} of ${setting.rounds}`);
        const took = { ours: await executor(hosts.ours), program: await program(), ssh2: await ssh2(hosts.ssh2) };
        if (round >= 0) rounds.push(took);
      }
      const wasm = Deno.readFileSync(`${repository}${packageOf("ssh-command-executor")}`).length;
      return [
        { measure: "SSH: package of the executor", unit: "KB", ours: samples([wasm / 1000]) },
        { ...compared("SSH: cold start to first answer / npm:ssh2", "ms", cold) },
        {
          ...compared("SSH: connect and run / the ssh program", "ms", rounds.map((r) => [r.ours, r.program])),
          target: { limit: 0.6, of: "ratio", better: "less" },
        },
        {
          ...compared("SSH: connect and run / npm:ssh2", "ms", rounds.map((r) => [r.ours, r.ssh2])),
          note: "with a plain key, it knows no certificates",
        },
      ];
    } finally {
      await hosts.ours.stop();
      await hosts.ssh2.stop();
    }
  } finally {
    await stopUpstream();
    await closeMachine();
    await removeFolder();
  }
}

/** Milliseconds. */
async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function ask(host: Host, init: RequestInit): Promise<void> {
  const answer = await fetch(`${host.url}/ssh-command-executor`, { ...init, signal: AbortSignal.timeout(30_000) });
  const text = await answer.text();
  if (answer.status !== 200 || !JSON.parse(text).success) throw new Error(`${answer.status}: ${text}`);
}

async function coldStart(
  module: string,
  env: Record<string, string>,
  once: (host: Host) => Promise<number>,
): Promise<number> {
  const begun = performance.now();
  const host = await startHost(module, env);
  try {
    await once(host);
    return performance.now() - begun;
  } finally {
    await host.stop();
  }
}

/** Lets in who has a plain key, for the same forced command as the control plane; the variables of bench/ssh2.ts. */
async function admitSsh2(machine: SshMachine): Promise<Record<string, string>> {
  await machine.sh(`cat > /usr/local/bin/dtma <<'SCRIPT'
#!/bin/sh
echo '${ANSWER}'
SCRIPT
useradd --system --no-create-home --home-dir /nonexistent --shell /bin/sh --password '*' bench
echo 'bench ALL=(root) NOPASSWD: /usr/local/bin/dtma ssh-command' > /etc/sudoers.d/60-bench
chmod 440 /etc/sudoers.d/60-bench
ssh-keygen -q -t ed25519 -N '' -f /run/bench
cp /run/bench.pub /etc/ssh/bench_keys
printf 'Match User bench\\n  AuthorizedKeysFile /etc/ssh/bench_keys\\n  ForceCommand sudo -n /usr/local/bin/dtma ssh-command\\n' \\
  > /etc/ssh/sshd_config.d/60-bench.conf`);
  await machine.startSshd();
  return {
    BENCH_SSH_HOST: machine.droplet.address,
    BENCH_SSH_HOST_KEY: machine.hostKey.split(" ")[1],
    BENCH_SSH_USER: "bench",
    BENCH_SSH_KEY: `${await machine.sh("cat /run/bench")}\n`,
  };
}

/** PostgREST, as far as the executor asks it, answering at once. */
async function startUpstream(machine: SshMachine) {
  const row = {
    id: TOOLBOX_ID,
    public_ip_address: machine.droplet.address,
    ssh_host_key: machine.hostKey,
    ssh_port: 22,
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    await request.body?.cancel();
    const isRead = request.method === "GET";
    return Response.json(isRead ? [row] : { outcome: "recorded", id: 1 });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const { jwks, token } = await identity(`${url}/auth/v1`);
  return {
    token,
    env: {
      SUPABASE_URL: url,
      SUPABASE_JWKS: jwks,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: "sb_publishable_bench" }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: "sb_secret_bench" }),
      TOOLBOX_SSH_CA_KEY: SEED,
    },
    stop: () => server.shutdown(),
  };
}
