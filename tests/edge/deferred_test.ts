// What changes an instance is in a part of the wasm that is compiled on its first call: reads never pay for it.
import {
  all,
  caller,
  claims,
  environment,
  HS_SECRET,
  hsSigner,
  INSTANCE,
  json,
  supabase,
  token,
  TOOLBOX,
  toolList,
  Upstream,
  view,
  Worker,
} from "./harness.ts";
import assert from "node:assert/strict";

Deno.test("reads compile one module, the first change compiles the other, once", async () => {
  const agent = new Upstream((_, url) => url.pathname === "/tools" ? toolList(view()) : json(view()));
  const database = new Upstream(supabase(agent.port));
  const worker = await Worker.start("tests/edge/deferred.ts", environment(database.port));
  await using _parts = all(agent, database, worker);
  const ask = caller(worker, await token({ alg: "HS256" }, claims(database.port), await hsSigner(HS_SECRET)));
  const compiled = () => worker.log.join("").split("compiling a module").length - 1;

  const expected: [modules: number, method: string, path: string, status: number][] = [
    [1, "GET", "", 200],
    [1, "GET", `/${INSTANCE}`, 200],
    [1, "GET", "/no-such-instance/at-all", 404],
    // The stand-in knows no function of the database; the change has got that far.
    [2, "POST", `/${INSTANCE}/stop`, 502],
    [2, "DELETE", `/${INSTANCE}`, 502],
    [2, "GET", "", 200],
  ];
  for (const [modules, method, path, status] of expected) {
    const answer = await ask(`/${TOOLBOX}/tools${path}`, { method });
    const body = await answer.text();
    assert.equal(answer.status, status, `${method} ${path} answered ${body}`);
    assert.equal(compiled(), modules, `after ${method} ${path}`);
  }
});
