// Toolboxes and agents' tool environments through the built wasm: who calls, what crosses the boundary, and what never comes back.
import assert from "node:assert/strict";
import {
  all,
  claims,
  environment,
  HS_SECRET,
  hsSigner,
  json,
  token,
  TOOLBOX,
  Upstream,
  USER,
  Worker,
} from "./harness.ts";
import { certificate } from "../lib/certificates.ts";

const AGENT = "55555555-5555-4555-8555-555555555555";
const TOKEN = `tbe_${"A".repeat(43)}`;

/** A row of a machine that its user brings. */
const ROW = {
  id: TOOLBOX,
  kind: "byo",
  name: "my machine",
  description: null,
  status: "pending_provision",
  status_changed_at: "2026-01-01T00:00:00+00:00",
  public_ip_address: null,
  dtma_port: 30000,
  dtma_certificate_pem: null,
  cost_before_usd: 0,
  created_at: "2026-01-01T00:00:00+00:00",
  updated_at: "2026-01-01T00:00:00+00:00",
};

async function start(name: string, more: Record<string, string> = {}) {
  const database = new Upstream((_request, url) => {
    switch (url.pathname) {
      case "/rest/v1/account_tool_environments":
        return json([ROW]);
      case "/rest/v1/agents":
        return json([{ id: AGENT, user_id: USER, name: "helper", account_tool_environment_id: null }]);
      case "/rest/v1/rpc/create_own_toolbox":
        return json({ outcome: "created", id: TOOLBOX });
      case "/rest/v1/rpc/create_toolbox_enrolment":
        return json({ outcome: "created", token: TOKEN, expires_at: "2026-01-01T00:15:00+00:00" });
      case "/rest/v1/rpc/enrol_toolbox":
        return json({ outcome: "enrolled", epoch: 1 });
      case "/rest/v1/rpc/set_toolbox_key":
        return json({ outcome: "set" });
      case "/auth/v1/.well-known/jwks.json":
        return json({ keys: [] });
      default:
        return json({ message: "SECRET", code: "PGRST205" }, 404);
    }
  });
  const worker = await Worker.start(
    `supabase/functions/${name}/index.ts`,
    environment(database.port, { TOOLBOX_RELEASE_URL: "https://r.example", ...more }),
  );
  const bearer = await token({ alg: "HS256" }, claims(database.port), await hsSigner(HS_SECRET));
  const ask = (path: string, method = "GET", body?: unknown, headers: Record<string, string> = {}) =>
    fetch(`${worker.url}/${name}${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  return { database, worker, ask, bearer, stack: all(database, worker) };
}

async function code(answer: Response): Promise<string> {
  const { error } = await answer.json();
  assert.equal(error.request_id, answer.headers.get("x-request-id"));
  return error.code;
}

Deno.test("a toolbox is made, read with its owner's token, and nobody else's door is open", async () => {
  const { database, worker, ask, bearer, stack } = await start("toolboxes-user");
  await using _all = stack;
  const made = await ask("", "POST", { kind: "byo", name: "my machine" });
  assert.equal(made.status, 201);
  const { enrolment } = await made.json();
  assert.ok(enrolment.command.includes(`TOOLBOX_ENROLMENT_TOKEN='${TOKEN}'`), enrolment.command);
  const control = `http://127.0.0.1:${database.port}/functions/v1/heartbeat`;
  assert.ok(enrolment.command.endsWith(`--toolbox ${TOOLBOX} --control-url '${control}'`), enrolment.command);
  const list = await ask("");
  assert.deepEqual((await list.json()).map(({ id }: { id: string }) => id), [TOOLBOX]);
  const reads = database.asked.filter(({ path }) => path.includes("/account_tool_environments?"));
  for (const { headers } of reads) assert.equal(headers.get("authorization"), `Bearer ${bearer}`);
  const writes = database.asked.filter(({ path }) => path.includes("/rpc/"));
  for (const { headers } of writes) assert.equal(headers.get("apikey"), "sb_secret_test");
  const stranger = await ask("", "POST", { kind: "byo", name: "x" }, { authorization: "" });
  assert.deepEqual([stranger.status, await code(stranger)], [401, "authentication_required"]);
  const options = await ask("/options");
  assert.equal(options.status, 500);
  assert.equal(await code(options), "not_configured");
  assert.ok(!worker.log.join("").includes(TOKEN), "the token is logged");
});

Deno.test("an agent's environment is its owner's, and a backend is asked with the secret", async () => {
  const backend = new Upstream(() => json({ success: true, message: "made", data: null }, 202));
  const { ask, worker, stack } = await start("manage-agent-tool-environment", {
    NODE_BACKEND_URL: `http://127.0.0.1:${backend.port}`,
    INTERNAL_API_SECRET: "CANARY",
  });
  await using _all = all(backend, stack);
  const read = await ask(`/${AGENT}`);
  assert.deepEqual([read.status, (await read.json()).data], [200, null]);
  const ensured = await ask(`/${AGENT}`, "POST");
  assert.deepEqual([ensured.status, await ensured.json()], [202, { success: true, message: "made", data: null }]);
  assert.equal(backend.asked[0].path, `/internal/agents/${AGENT}/ensure-tool-environment`);
  assert.equal(backend.asked[0].headers.get("x-internal-api-secret"), "CANARY");
  assert.equal(await code(await ask("/", "DELETE")), "invalid_request");
  assert.equal(await code(await ask(`/${AGENT}`, "POST", undefined, { authorization: "" })), "authentication_required");
  await backend[Symbol.asyncDispose]();
  const refused = await ask(`/${AGENT}`, "POST");
  assert.deepEqual([refused.status, await code(refused)], [503, "backend_unreachable"]);
  assert.ok(!worker.log.join("").includes("CANARY"), "the secret is logged");
});

Deno.test("an enrolment tells the database where it came from", async () => {
  const { database, worker, stack } = await start("heartbeat");
  await using _all = stack;
  const { cert } = await certificate({ names: ["IP:127.0.0.1"] });
  const enrol = (from: string) =>
    fetch(`${worker.url}/heartbeat/${TOOLBOX}/enrol`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json", "x-forwarded-for": from },
      body: JSON.stringify({ version: "1.0.0", api_version: 2, certificate_pem: cert }),
    });
  for (const [from, told] of [["8.8.8.8, 10.0.0.1", "8.8.8.8"], ["10.0.0.1", null], ["x", null]] as const) {
    const answer = await enrol(from);
    assert.equal(answer.status, 200, await answer.text());
    const asked = database.asked.findLast(({ path }) => path.endsWith("/enrol_toolbox"));
    assert.equal(JSON.parse(asked!.body).p.address, told);
  }
});
