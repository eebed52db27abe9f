/** The agent of the toolbox "local" is part of the stack: its row, its enrolment, its key, its end. Needs DTMA's binary. */
import assert from "node:assert/strict";
import { Database, eventually } from "../e2e/lib/mod.ts";
import { startStack } from "../lib/stack.ts";

Deno.test("this machine enrols as the toolbox local and is active by its heartbeat", async (t) => {
  await using stack = await startStack();
  const { url, dtma, demo, publishable_key, toolbox_id } = stack.ready;
  const key = (await Deno.readTextFile(dtma.key_file)).trim();
  const certificate = await Deno.readTextFile(dtma.certificate_file!);
  const bearer = { authorization: `Bearer ${key}` };
  using client = Deno.createHttpClient({ caCerts: [certificate], poolMaxIdlePerHost: 0 });

  /** Status of an answer; 0 when there is none. */
  async function answers(path: string, headers: Record<string, string> = {}): Promise<number> {
    try {
      const reply = await fetch(dtma.url + path, { client, headers, signal: AbortSignal.timeout(2_000) });
      await reply.body?.cancel();
      return reply.status;
    } catch {
      return 0;
    }
  }
  const up = () => eventually("the agent answers", async () => await answers("/health") === 200 ? true : undefined);

  await t.step("the demo user owns an active toolbox at the agent's address, with its certificate", async () => {
    const columns = "id,name,status,public_ip_address,dtma_port,last_heartbeat_at,heartbeat_interval_seconds";
    const reply = await fetch(`${url}/rest/v1/account_tool_environments?select=${columns}`, {
      headers: { apikey: publishable_key, authorization: `Bearer ${demo.access_token}` },
    });
    const [{ last_heartbeat_at: heard, ...row }, ...others] = await reply.json();
    assert.deepEqual(others, []);
    assert.deepEqual(row, {
      id: toolbox_id,
      name: "local",
      status: "active",
      public_ip_address: "127.0.0.1",
      dtma_port: Number(new URL(dtma.url).port),
      heartbeat_interval_seconds: 10,
    });
    assert(Date.now() - Date.parse(heard) < 20_000, `heard of at ${heard}`);
    assert.match(certificate, /^-----BEGIN CERTIFICATE-----/);
  });

  await t.step("the way to active was by enrolment and heartbeat", async () => {
    const token = await Deno.stat(dtma.token_file).catch(() => undefined);
    assert.equal(token, undefined, "the token was used and its file removed");
    const used = await new Database(stack.ready.admin_db_url).rows(
      "select 1 from private.toolbox_enrolments where used_at is not null",
    );
    assert.equal(used.length, 1);
  });

  await t.step("the key is in a file for its owner only, and nothing else opens the door", async () => {
    assert.match(key, /^tbk_[0-9a-f]{64}$/);
    for (const file of [dtma.key_file, `${dtma.state_dir}/keys.json`]) {
      assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600, file);
    }
    assert.equal(await answers("/tools", bearer), 200);
    assert.equal(await answers("/tools"), 401);
  });

  await t.step("plain HTTP and other certificates are no way in", async () => {
    await assert.rejects(fetch(dtma.url.replace("https:", "http:") + "/health").then((reply) => reply.text()));
    await assert.rejects(fetch(`${dtma.url}/health`).then((reply) => reply.text()), "no authority vouches for it");
  });

  await t.step("a test that kills the agent decides when it comes back", async () => {
    Deno.kill(dtma.pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.equal(await answers("/health"), 0);
    await stack.control("start", "dtma");
    await up();
    assert.notEqual((await stack.state()).dtma.pid, dtma.pid);
    await stack.control("kill", "dtma");
    assert.equal((await stack.state()).dtma.pid, null);
    await stack.control("restart", "dtma");
    await up();
    assert.equal(await answers("/tools", bearer), 200);
  });
});

Deno.test("with --dtma-http the agent is plain and says nothing", async () => {
  await using stack = await startStack({ dtmaHttp: true });
  const { dtma } = stack.ready;
  const key = (await Deno.readTextFile(dtma.key_file)).trim();
  assert.equal(dtma.certificate_file, null);
  assert.match(dtma.url, /^http:/);
  const reply = await fetch(`${dtma.url}/tools`, { headers: { authorization: `Bearer ${key}` } });
  assert.equal(reply.status, 200);
  await reply.body?.cancel();
  const row = await new Database(stack.ready.admin_db_url).row(
    "select status, last_heartbeat_at, dtma_certificate_pem from public.account_tool_environments",
  );
  assert.deepEqual(row, { status: "active", last_heartbeat_at: null, dtma_certificate_pem: null });
});

Deno.test("under its companion the agent comes back by itself, and a stack that was killed leaves none to the next", async () => {
  const dataDir = await Deno.makeTempDir();
  await Deno.chmod(dataDir, 0o755);
  const first = 27_000 + Math.floor(Math.random() * 160) * 10;
  const args = [`--dtma-port=${first + 4}`, `--companion-port=${first + 5}`];
  const options = { companion: true, dataDir, port: first, args };
  const runs = (pid: number) => Deno.stat(`/proc/${pid}/exe`).then(() => true, () => false);
  const kept = async (dir: string) => Number((await Deno.readTextFile(`${dir}/agent.pid`)).split(" ")[0]);
  try {
    const killed = await startStack(options);
    const { dtma, pids } = killed.ready;
    assert.equal(dtma.companion_url, `https://127.0.0.1:${first + 5}`);
    assert.equal(dtma.pid, pids.dtma);
    Deno.kill(dtma.pid, "SIGKILL");
    const left = await eventually("another agent runs", async () => {
      const pid = await kept(dtma.state_dir);
      return pid !== dtma.pid && await runs(pid) ? pid : undefined;
    });
    killed.process.kill("SIGKILL");
    await killed.stop();
    await eventually("its companion has ended", async () => await runs(pids.companion) ? undefined : true);
    assert(await runs(left), "agents outlive their companion");
    const second = await startStack(options);
    const { pid } = second.ready.dtma;
    assert(pid !== left && await runs(pid) && !await runs(left));
    await second.stop();
    assert(!await runs(pid), "a stack that ends takes its agent with it");
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("the second start is fast, needs no token and keeps the identity", async () => {
  const dataDir = await Deno.makeTempDir();
  await Deno.chmod(dataDir, 0o755);
  const options = {
    dataDir,
    port: 27_000 + Math.floor(Math.random() * 400) * 4,
    args: [`--dtma-port=${28_800 + Math.floor(Math.random() * 900)}`],
  };
  try {
    const first = await startStack(options);
    const certificate = await Deno.readTextFile(first.ready.dtma.certificate_file!);
    await first.stop();
    const begun = performance.now();
    const second = await startStack(options);
    const seconds = (performance.now() - begun) / 1000;
    try {
      assert.equal(await Deno.readTextFile(second.ready.dtma.certificate_file!), certificate);
      const { used } = await new Database(second.ready.admin_db_url).row<{ used: number }>(
        "select count(*)::int as used from private.toolbox_enrolments",
      );
      assert.equal(used, 1);
      console.log(`  second start ${seconds.toFixed(1)} s`);
      assert(seconds < 30, `the second start took ${seconds.toFixed(1)} s`);
    } finally {
      await second.stop();
    }
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
