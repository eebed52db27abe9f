// What the schedule meets: a secret key of the project or nothing.
import assert from "node:assert/strict";
import { all, environment, HS_SECRET, hsSigner, json, token, Upstream, USER, Worker } from "./harness.ts";

const ROOT = environment(0).BACKEND_TO_DTMA_API_KEY;
/** Have the forms of what agents present. */
const TOKEN = `tbe_${"CANARY-_".repeat(6).slice(0, 43)}`;
const KEY = `tbk_${"c0ffee".repeat(11).slice(0, 64)}`;

async function refusal(answer: Response): Promise<[number, string]> {
  return [answer.status, (await answer.json()).error.code];
}

Deno.test("the clock presents a secret key of the project, and nobody else runs its jobs", async () => {
  const rpc: Record<string, () => Response> = {
    run_job: () => json({ outcome: "done", count: 3 }),
    get_unsealed_operations: () => json({ outcome: "found", chains: [] }),
    get_secrets_to_seal: () => json({ outcome: "found", specs: [], webhooks: [] }),
    claim_alert_messages: () => json({ outcome: "claimed", messages: [] }),
    claim_rollouts: () => json({ outcome: "claimed", rollouts: [] }),
    claim_mcp_pins: () => json({ outcome: "claimed", pins: [] }),
  };
  const database = new Upstream((_request, url) => rpc[url.pathname.replace("/rest/v1/rpc/", "")]());
  const worker = await Worker.start("supabase/functions/clock/index.ts", environment(database.port));
  await using _all = all(database, worker);
  const tick = (headers: Record<string, string>) =>
    fetch(`${worker.url}/clock/tick`, { method: "POST", headers, signal: AbortSignal.timeout(20_000) });
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: USER, role: "authenticated", aud: "authenticated", iat: now, exp: now + 600 };
  const user = await token({ alg: "HS256", typ: "JWT" }, claims, await hsSigner(HS_SECRET));
  const forged = await token(
    { alg: "HS256", typ: "JWT" },
    { ...claims, role: "service_role" },
    await hsSigner(HS_SECRET),
  );
  for (const key of ["", "sb_publishable_test", "sb_secret_tes", "sb_secret_test2", user, forged, KEY, TOKEN, ROOT]) {
    for (const headers of [{ apikey: key }, { authorization: `Bearer ${key}` }]) {
      assert.deepEqual(await refusal(await tick(headers)), [401, "secret_key_required"], JSON.stringify(headers));
    }
  }
  const refused = [{}, { authorization: "Basic sb_secret_test" }, {
    authorization: `Bearer ${user}`,
    apikey: "sb_secret_test",
  }];
  for (const headers of refused) {
    assert.deepEqual(await refusal(await tick(headers)), [401, "secret_key_required"]);
  }
  assert.deepEqual(database.asked, []);

  // Seven are done here, with functions of their own; nothing is due for them.
  const jobs = [
    "mark_silent_toolboxes",
    "end_expired_leases",
    "seal_receipts",
    "seal_secrets",
    "settle_alerts",
    "deliver_alerts",
  ]
    .concat([
      "advance_rollouts",
      "pin_first_tools",
      "advance_provisioning",
      "sweep_droplets",
      "delete_old_events",
      "delete_old_toolbox_events",
      "delete_old_alerts",
      "delete_old_operations",
    ]);
  const own = [
    "seal_receipts",
    "seal_secrets",
    "deliver_alerts",
    "advance_rollouts",
    "pin_first_tools",
    "advance_provisioning",
    "sweep_droplets",
  ];
  const inDatabase = jobs.filter((job) => !own.includes(job));
  for (const headers of [{ apikey: "sb_secret_test" }, { authorization: "Bearer sb_secret_test" }]) {
    const answer = await tick(headers);
    assert.deepEqual([answer.status, answer.headers.get("cache-control")], [200, "no-store"]);
    assert.deepEqual(await answer.json(), {
      jobs: jobs.map((job) => ({ job, outcome: "done", count: own.includes(job) ? 0 : 3 })),
    });
  }
  const asked = database.asked.filter(({ path }) => path.endsWith("/run_job"));
  assert.deepEqual(asked.map(({ body }) => JSON.parse(body).p), [...inDatabase, ...inDatabase].map((job) => ({ job })));
  await database[Symbol.asyncDispose]();
  const failed = { outcome: "failed", code: "database_unreachable" };
  // Where no machines are bought the database is not asked about them.
  const bought = ["advance_provisioning", "sweep_droplets"];
  assert.deepEqual(await (await tick({ apikey: "sb_secret_test" })).json(), {
    jobs: jobs.map((job) => bought.includes(job) ? { job, outcome: "done", count: 0 } : { job, ...failed }),
  });
  const log = worker.log.join("");
  assert.ok(log.includes("delete_old_events"), log);
  for (const secret of ["sb_secret_test", "CANARY", ROOT]) assert.ok(!log.includes(secret), log);
});
