/** What the stack does by itself while it runs: scheduled calls, and functions that cannot start. */
import assert from "node:assert/strict";
import { startStack } from "../lib/stack.ts";
import { eventually } from "../e2e/lib/mod.ts";

const project = new URL("./fixture", import.meta.url).pathname;

/** What the fixture's function `clock` keeps of its calls. */
interface Ticks {
  ticks: { at: number; method: string; path: string; is_secret_key: boolean; has_token: boolean }[];
}

Deno.test("by the clock and beside functions that do not start", async (t) => {
  const stack = await startStack({ project, dtma: false });
  const ticks = async () => (await (await fetch(`${stack.ready.url}/functions/v1/clock`)).json() as Ticks).ticks;
  try {
    await t.step("the route clock/tick is called every five seconds, with the secret key", async () => {
      const before = (await ticks()).length;
      const seen = await eventually("two more ticks", async () => {
        const all = await ticks();
        return all.length >= before + 2 ? all : undefined;
      }, { ms: 15_000 });
      const [last, next] = seen.slice(-2);
      assert(next.at - last.at > 3_000, "not more often than that");
      const { at: _, ...call } = next;
      assert.deepEqual(call, { method: "POST", path: "/clock/tick", is_secret_key: true, has_token: false });
    });
    await t.step("a function that restarts does not end it", async () => {
      await stack.control("restart", "clock");
      await eventually("a tick after the restart", async () => (await ticks()).length > 0 ? true : undefined, {
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
    await t.step("the person who started it is told which job fails and what to run", () => {
      assert.equal(said.match(/the job failing failed \(not_configured\)/g)?.length, 1, "once for each reason");
      assert.doesNotMatch(said, /the job away/);
      assert.match(said, /package of the function unbuilt is not built: run scripts\/build-wasm/);
      assert.doesNotMatch(said, /function broken is not built/);
    });
  }
});
