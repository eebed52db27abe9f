/** How a stack starts, refuses to start, and ends. */
import assert from "node:assert/strict";
import { devstackArgs, devstackProgram, startStack } from "../lib/stack.ts";

const project = new URL("./fixture", import.meta.url).pathname;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether a process exists and is no zombie. */
function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

async function allGone(pids: number[], withinMs: number): Promise<number[]> {
  const deadline = Date.now() + withinMs;
  while (pids.some(alive) && Date.now() < deadline) await sleep(50);
  return pids.filter(alive);
}

/** Four ports in a row that are free now. */
function freePort(): number {
  return 26_000 + Math.floor(Math.random() * 400) * 4;
}

/** Runs a stack that is expected not to start; what it said. */
async function refusal(options: Parameters<typeof devstackArgs>[0]): Promise<string> {
  const process = new Deno.Command(devstackProgram(), {
    args: devstackArgs(options),
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = await new Response(process.stderr).text();
  assert.equal((await process.status).success, false);
  await process.stdin.close().catch(() => {});
  return said;
}

Deno.test("kill -9 of the stack leaves no process and the next stack clears its folder", async () => {
  const stack = await startStack({ project, dtma: false });
  const { data_dir } = stack.ready;
  const children = await descendants(stack.process.pid);
  assert(children.length >= 6, "Postgres with its own processes, PostgREST, two functions");
  stack.process.kill("SIGKILL");
  assert.deepEqual(await allGone([stack.process.pid, ...children], 10_000), []);
  await stack.stop();
  assert((await Deno.stat(data_dir)).isDirectory);
  // Young folders are left alone, for they may be starting.
  await new Deno.Command("touch", { args: ["-d", "1 minute ago", data_dir] }).output();
  await using _next = await startStack({ project, dtma: false });
  await assert.rejects(Deno.stat(data_dir), Deno.errors.NotFound);
});

Deno.test("closing standard input ends everything, in order", async () => {
  const stack = await startStack({ project, dtma: false });
  const children = await descendants(stack.process.pid);
  const said = await stack.stop();
  assert.match(said, /stopping/);
  assert.deepEqual(children.filter(alive), []);
  await assert.rejects(Deno.stat(stack.ready.data_dir), Deno.errors.NotFound);
});

Deno.test("data survive a stop and a kill; the second start is fast", async (t) => {
  const dataDir = await Deno.makeTempDir();
  await Deno.chmod(dataDir, 0o755);
  const options = { project, dtma: false, dataDir, port: freePort() };
  try {
    const first = await startStack(options);
    const rest = (path: string, init: RequestInit = {}) =>
      fetch(`${first.ready.url}/rest/v1/${path}`, {
        ...init,
        headers: { apikey: first.ready.secret_key, "content-type": "application/json" },
      });
    const body = JSON.stringify({ body: "kept", owner: first.ready.demo.user_id });
    const inserted = await rest("notes", { method: "POST", body });
    await inserted.body?.cancel();
    assert.equal(inserted.status, 201);

    await t.step("a second stack on the same data says who runs", async () => {
      assert.match(await refusal(options), new RegExp(`already running .*process ${first.process.pid}`));
    });
    await t.step("a second stack on the same port names the port and the flag", async () => {
      const other = await Deno.makeTempDir();
      const said = await refusal({ ...options, dataDir: other });
      assert.match(said, new RegExp(`port ${options.port} \\(the gateway\\) is in use: .*--port`));
      await Deno.remove(other, { recursive: true });
    });
    await first.stop();

    for (const end of ["stop", "kill"]) {
      await t.step(`started again after a ${end}`, async () => {
        const begun = performance.now();
        const again = await startStack(options);
        assert(performance.now() - begun < 30_000, "measured 0.8 s; a loaded machine may take longer");
        assert.equal(again.ready.publishable_key, first.ready.publishable_key);
        assert.equal(again.ready.toolbox_id, first.ready.toolbox_id);
        assert.equal(again.ready.demo.user_id, first.ready.demo.user_id);
        const notes = await (await rest("notes?select=body")).json();
        assert.deepEqual(notes, [{ body: "kept" }]);
        // At once, without waiting for what the killed stack's Postgres is still doing.
        if (end === "stop") again.process.kill("SIGKILL");
        await again.stop();
      });
    }

    await t.step("data made with a migration that is gone are refused, and say what to do", async () => {
      const applied = `${dataDir}/migrations.sha256`;
      const kept = await Deno.readTextFile(applied);
      await Deno.writeTextFile(applied, `${kept}${"0".repeat(64)} 20250101000000_gone.sql\n`);
      assert.match(await refusal(options), new RegExp(`${dataDir} were made with migrations .*: remove that folder`));
      await Deno.writeTextFile(applied, kept);
    });

    await t.step("secrets are for the owner's eyes", async () => {
      assert.equal((await Deno.stat(`${dataDir}/keys.json`)).mode! & 0o777, 0o600);
    });
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("what is missing is named", async () => {
  const empty = await Deno.makeTempDir();
  assert.match(await refusal({ project: empty, dtma: false }), /config\.toml/);
  assert.match(await refusal({ project, args: ["--dtma-bin=/nowhere/dtma"] }), /no DTMA binary at \/nowhere\/dtma/);
  await Deno.remove(empty);
});

Deno.test("scripts/setup has nothing to do and says nothing", async () => {
  const begun = performance.now();
  const { success, stderr } = await new Deno.Command(new URL("../../scripts/setup", import.meta.url).pathname).output();
  assert.equal(success, true);
  assert.equal(new TextDecoder().decode(stderr), "");
  assert(performance.now() - begun < 20_000, "measured 0.2 s; a loaded machine may take longer");
});

/** Processes started by `pid`, and by those. */
async function descendants(pid: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for await (const entry of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    const stat = await Deno.readTextFile(`/proc/${entry.name}/stat`).catch(() => "");
    const parent = stat.match(/^\d+ \(.*\) . (\d+)/)?.[1];
    if (parent) parents.set(Number(entry.name), Number(parent));
  }
  const found: number[] = [];
  for (let level = [pid]; level.length > 0;) {
    level = [...parents].filter(([, parent]) => level.includes(parent)).map(([child]) => child);
    found.push(...level);
  }
  return found;
}
