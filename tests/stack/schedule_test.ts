/** What the stack does by itself while it runs: scheduled calls, and functions that cannot start. */
import assert from "node:assert/strict";
import { startStack } from "../lib/stack.ts";
import { Database, eventually } from "../e2e/lib/mod.ts";

const project = new URL("./fixture", import.meta.url).pathname;

Deno.test("by the clock and beside functions that do not start", async (t) => {
  const stack = await startStack({ project, dtma: false });
  const db = new Database(stack.ready.admin_db_url);
  const calls = async () => Number(await db.execute("select count(*) from private.calls"));
  try {
    await t.step("silent toolboxes are looked for every five seconds", async () => {
      const before = await calls();
      const begun = performance.now();
      await eventually("two more calls", async () => await calls() >= before + 2 ? true : undefined, { ms: 15_000 });
      assert(performance.now() - begun > 4_000, "not more often than that");
    });
    await t.step("a Postgres that restarts does not end it", async () => {
      await stack.control("restart", "postgres");
      const before = await calls();
      await eventually("a call after the restart", async () => await calls() > before ? true : undefined, {
        ms: 12_000,
      });
    });
    await t.step("a function without its package answers as one that does not boot; the others serve", async () => {
      const unbuilt = await fetch(`${stack.ready.url}/functions/v1/unbuilt`, {
        headers: { authorization: `Bearer ${stack.ready.anon_key}` },
      });
      assert.equal(unbuilt.status, 503);
      assert.equal((await unbuilt.json()).code, "BOOT_ERROR");
      const echo = await fetch(`${stack.ready.url}/functions/v1/echo`);
      assert.equal(echo.status, 200, "verify_jwt = false: no token is asked for");
      await echo.body?.cancel();
    });
  } finally {
    const said = await stack.stop();
    await t.step("the person who started it is told what to run", () => {
      assert.match(said, /package of the function unbuilt is not built: run scripts\/build-wasm/);
      assert.doesNotMatch(said, /function broken is not built/);
    });
  }
});
