// A panic traps and poisons its wasm instance: the request that panicked gets 500 in the envelope, the others succeed,
// none hangs, and the worker lives on. Needs the function that scripts/build-wasm --tests builds.
import { claims, environment, HS_SECRET, hsSigner, token, Upstream, Worker } from "./harness.ts";
import assert from "node:assert/strict";

async function start(more: Record<string, string> = {}) {
  const supabase = new Upstream(() => new Response("{}"));
  const worker = await Worker.start("tests/edge/panics.ts", environment(supabase.port, more));
  const bearer = await token({ alg: "HS256", typ: "JWT" }, claims(supabase.port), await hsSigner(HS_SECRET));
  const ask = (path: string, id?: string, headers: Record<string, string> = {}) =>
    fetch(`${worker.url}/test-panics/${path}`, {
      headers: { authorization: `Bearer ${bearer}`, ...(id ? { "x-request-id": id } : {}), ...headers },
      signal: AbortSignal.timeout(20_000),
    });
  return { supabase, worker, ask };
}

Deno.test("a request that panics is answered 500 in the envelope, the next one works", async () => {
  const { supabase, worker, ask } = await start();
  await using _upstream = supabase;
  await using _worker = worker;
  for (const path of ["at-once", "later", "overflow"]) {
    const failed = await ask(path, `id-${path}`);
    assert.deepEqual(failed.status, 500);
    assert.deepEqual(failed.headers.get("x-request-id"), `id-${path}`);
    assert.deepEqual(failed.headers.get("access-control-allow-origin"), "*");
    assert.deepEqual(await failed.json(), {
      error: { code: "internal", message: "Internal error", request_id: `id-${path}` },
    });
    const fine = await ask("fine", "after");
    assert.deepEqual([fine.status, await fine.json()], [200, "after"]);
  }
  assert(worker.log.join("").includes("SECRET at once"), "the operator learns what panicked");
});

Deno.test("the answer to a request that panicked is for the configured origins only", async () => {
  const [a, b] = ["https://a.example", "https://b.example"];
  for (
    const [configured, origin, allowed] of [
      [`${a}, ${b}`, b, b],
      [`${a}, ${b}`, "https://c.example", null],
      [a, "https://c.example", a],
    ]
  ) {
    const { supabase, worker, ask } = await start({ TOOLBOX_ALLOWED_ORIGIN: configured! });
    await using _upstream = supabase;
    await using _worker = worker;
    for (const path of ["fine", "at-once"]) {
      const { headers, body } = await ask(path, "id", { origin: origin! });
      await body?.cancel();
      assert.equal(headers.get("access-control-allow-origin"), allowed, path);
      // Deno adds a name of its own where it compresses.
      const varies = (headers.get("vary") ?? "").split(/,\s*/).includes("origin");
      assert(varies, path);
    }
  }
});

Deno.test("work after an answer may panic without harm to anybody", async () => {
  const { supabase, worker, ask } = await start();
  await using _upstream = supabase;
  await using _worker = worker;
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) => ask(n % 5 === 0 ? "background" : "fine", `n${n}`)),
  );
  for (const [n, answer] of answers.entries()) {
    assert.deepEqual(answer.status, 200);
    assert.deepEqual(await answer.json(), n % 5 === 0 ? "answered" : `n${n}`);
  }
  assert.deepEqual(await (await ask("fine", "end")).json(), "end");
});

Deno.test("among thousands of concurrent requests only those that panic fail, and none hangs", async () => {
  const { supabase, worker, ask } = await start();
  await using _upstream = supabase;
  await using _worker = worker;
  const total = 3_000;
  const panics = ["later", "at-once"];
  const kind = (n: number) => n % 97 === 0 ? panics[n % 2] : "fine";
  const statuses: Record<string, Record<number, number>> = {};
  let next = 0;
  // 200 at a time: enough that many innocent requests share an instance with each that panics.
  await Promise.all(Array.from({ length: 200 }, async () => {
    for (let n = next++; n < total; n = next++) {
      const answer = await ask(kind(n), `n${n}`);
      const body = await answer.json();
      const byStatus = statuses[kind(n)] ??= {};
      byStatus[answer.status] = (byStatus[answer.status] ?? 0) + 1;
      if (kind(n) === "fine" && answer.status === 200) assert.deepEqual(body, `n${n}`);
    }
  }));
  const count = (wanted: string) => Array.from({ length: total }, (_, n) => kind(n)).filter((k) => k === wanted).length;
  assert.deepEqual(statuses, {
    fine: { 200: count("fine") },
    later: { 500: count("later") },
    "at-once": { 500: count("at-once") },
  });
});
