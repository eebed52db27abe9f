// A panic traps and poisons its wasm instance: the request that panicked gets 500 in the envelope, the others succeed,
// none hangs, and the worker lives on.
import { claims, environment, HS_SECRET, hsSigner, token, Upstream, Worker } from "./harness.ts";
import { assert, assertEquals } from "./assert.ts";

async function start() {
  const built = await new Deno.Command("scripts/build-wasm", { args: ["--tests"], stdout: "null" }).output();
  assert(built.success, new TextDecoder().decode(built.stderr));
  const supabase = new Upstream(() => new Response("{}"));
  const worker = await Worker.start("tests/edge/panics.ts", environment(supabase.port));
  const bearer = await token({ alg: "HS256", typ: "JWT" }, claims(supabase.port), await hsSigner(HS_SECRET));
  const ask = (path: string, id?: string) =>
    fetch(`${worker.url}/test-panics/${path}`, {
      headers: { authorization: `Bearer ${bearer}`, ...(id ? { "x-request-id": id } : {}) },
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
    assertEquals(failed.status, 500);
    assertEquals(failed.headers.get("x-request-id"), `id-${path}`);
    assertEquals(failed.headers.get("access-control-allow-origin"), "*");
    assertEquals(await failed.json(), {
      error: { code: "internal", message: "Internal error", request_id: `id-${path}` },
    });
    const fine = await ask("fine", "after");
    assertEquals([fine.status, await fine.json()], [200, "after"]);
  }
  assert(worker.log.join("").includes("SECRET at once"), "the operator learns what panicked");
});

Deno.test("work after an answer may panic without harm to anybody", async () => {
  const { supabase, worker, ask } = await start();
  await using _upstream = supabase;
  await using _worker = worker;
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) => ask(n % 5 === 0 ? "background" : "fine", `n${n}`)),
  );
  for (const [n, answer] of answers.entries()) {
    assertEquals(answer.status, 200);
    assertEquals(await answer.json(), n % 5 === 0 ? "answered" : `n${n}`);
  }
  assertEquals((await (await ask("fine", "end")).json()), "end");
});

Deno.test("among thousands of concurrent requests only those that panic fail, and none hangs", async () => {
  const { supabase, worker, ask } = await start();
  await using _upstream = supabase;
  await using _worker = worker;
  const total = 3_000;
  const kind = (n: number) => n % 97 === 0 ? "later" : n % 211 === 0 ? "at-once" : "fine";
  const statuses: Record<string, Record<number, number>> = {};
  let next = 0;
  // 200 at a time: enough that many innocent requests share an instance with each that panics.
  await Promise.all(Array.from({ length: 200 }, async () => {
    for (let n = next++; n < total; n = next++) {
      const answer = await ask(kind(n), `n${n}`);
      const body = await answer.json();
      const byStatus = statuses[kind(n)] ??= {};
      byStatus[answer.status] = (byStatus[answer.status] ?? 0) + 1;
      if (kind(n) === "fine" && answer.status === 200) assertEquals(body, `n${n}`);
    }
  }));
  const count = (wanted: string) => Array.from({ length: total }, (_, n) => kind(n)).filter((k) => k === wanted).length;
  assertEquals(statuses, {
    fine: { 200: count("fine") },
    later: { 500: count("later") },
    "at-once": { 500: count("at-once") },
  });
});
