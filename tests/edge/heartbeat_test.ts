// What agents meet: their own key or nothing, one round trip to the database, and no secret where it does not belong.
import assert from "node:assert/strict";
import { all, caller, environment, INSTANCE, json, TOOLBOX, Upstream, Worker } from "./harness.ts";

const HEARTBEAT = "supabase/functions/heartbeat/index.ts";
const ROOT = environment(0).BACKEND_TO_DTMA_API_KEY;
/** Secrets by their form; tests look for them where they must not be. */
const TOKEN = `tbe_${"CANARY-_".repeat(6).slice(0, 43)}`;
const KEY = `tbk_${"c0ffee".repeat(11).slice(0, 64)}`;
const SECRETS = ["CANARY", "c0ffee", "tbk_", "SECRET", ROOT];
/** Any DER sequence will do here: the function pins it and does not look inside. */
const DER = new Uint8Array([0x30, 0x03, 0x02, 0x01, 0xfb]);
const PEM = `-----BEGIN CERTIFICATE-----\n${btoa(String.fromCharCode(...DER))}\n-----END CERTIFICATE-----\n`;

const hex = (bytes: ArrayBuffer) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
const sha256 = async (data: string | Uint8Array) =>
  hex(await crypto.subtle.digest("SHA-256", typeof data === "string" ? new TextEncoder().encode(data) : data));

/** As toolbox-domain derives it. */
async function agentKey(purpose: string, epoch: number, root = ROOT): Promise<string> {
  const text = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", text.encode(root), "HKDF", false, ["deriveBits"]);
  const info = text.encode(`toolbox/v1/${purpose}/${TOOLBOX}${epoch === 0 ? "" : `/${epoch}`}`);
  return "tbk_" +
    hex(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info }, key, 256));
}
const rootId = async () => (await sha256(`toolbox/v1/root-id/${ROOT}`)).slice(0, 8);

type Rpc = Record<string, () => Response | Promise<Response>>;

async function start(rpc: Rpc) {
  const database = new Upstream((_request, url) => {
    const name = url.pathname.replace("/rest/v1/rpc/", "");
    return rpc[name]?.() ?? json({ code: "PGRST202", message: "SECRET" }, 404);
  });
  const worker = await Worker.start(HEARTBEAT, environment(database.port));
  const ask = (path: string, init: RequestInit = {}, bearer = KEY) =>
    fetch(`${worker.url}/heartbeat/${TOOLBOX}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json", ...init.headers },
      signal: AbortSignal.timeout(10_000),
    });
  const post = (path: string, body: unknown, bearer = KEY) =>
    ask(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) }, bearer);
  const asked = (name: string) =>
    database.asked.filter(({ path }) => path.endsWith(`/${name}`)).map(({ body }) => JSON.parse(body).p);
  return { rpc, database, worker, ask, post, asked, stack: all(database, worker) };
}

async function refusal(answer: Response): Promise<[number, string]> {
  const text = await answer.text();
  for (const secret of SECRETS) assert(!text.includes(secret), text);
  const { error } = JSON.parse(text);
  assert.deepEqual(error.request_id, answer.headers.get("x-request-id"));
  return [answer.status, error.code];
}

function assertNothingLeaked(worker: Worker) {
  const log = worker.log.join("");
  for (const secret of SECRETS) assert(!log.includes(secret), log);
}

const enrolment = { version: "0.1.0", api_version: 2, certificate_pem: PEM };
const report = (id: string = INSTANCE) => ({
  id,
  generation: 4,
  phase: "running",
  settled: true,
  container_id: "abc",
  image_digest: "sha256:1",
  ports: [{ container_port: 8080, protocol: "tcp", host_ip: "127.0.0.1", host_port: 31000 }],
  observed_at: "2026-01-01T00:00:00Z",
});
const heartbeat = (more: Record<string, unknown> = {}) => ({
  boot: 1763718645000,
  sequence: 1,
  version: "0.1.0",
  api_version: 2,
  interval_seconds: 60,
  docker_reachable: true,
  full: true,
  instances: [report()],
  ...more,
});
const recorded = (more: Record<string, unknown> = {}) => () =>
  json({ outcome: "recorded", desired_digest: "d", unknown: [], ...more });

Deno.test("a token becomes keys that others derive alike, and only hashes reach the database", async () => {
  const { post, asked, database, worker, stack } = await start({
    enrol_toolbox: () => json({ outcome: "enrolled", epoch: 2 }),
    set_toolbox_key: () => json({ outcome: "set" }),
  });
  await using _all = stack;
  const answer = await post("/enrol", enrolment, TOKEN);
  assert.deepEqual([answer.status, answer.headers.get("cache-control")], [200, "no-store"]);
  const { keys, interval_seconds } = await answer.json();
  const expected = {
    key_id: `${await rootId()}.2`,
    control_to_agent: await agentKey("control-to-agent", 2),
    agent_to_control: await agentKey("agent-to-control", 2),
  };
  assert.deepEqual([keys, interval_seconds], [expected, 60]);
  const [enrolled] = asked("enrol_toolbox");
  assert.deepEqual([enrolled.token_hash, enrolled.certificate_sha256], [await sha256(TOKEN), await sha256(DER)]);
  assert.deepEqual(asked("set_toolbox_key"), [
    { toolbox_id: TOOLBOX, key_id: expected.key_id, token_hash: await sha256(expected.agent_to_control) },
  ]);
  for (const { body, headers } of database.asked) {
    assert(!body.includes("CANARY") && !body.includes("tbk_"), body);
    assert.deepEqual([headers.get("apikey"), headers.get("authorization")], ["sb_secret_test", null]);
  }
  assertNothingLeaked(worker);
});

Deno.test("a heartbeat without news is one round trip, and the answer names the desired state", async () => {
  const { post, asked, database, worker, stack } = await start({ record_heartbeat: recorded({ unknown: [INSTANCE] }) });
  await using _all = stack;
  const instances = Array.from({ length: 200 }, (_, n) => ({
    ...report(`22222222-2222-4222-8222-${String(n).padStart(12, "0")}`),
    reason: { code: "exited", message: `ünï 🦀 "${n}" \\` },
  }));
  const sent = heartbeat({ instances, certificate_sha256: await sha256(DER), certificate_pem: PEM });
  const answer = await post("", sent);
  assert.deepEqual([answer.status, await answer.json()], [200, { desired_digest: "d", unknown: [INSTANCE] }]);
  assert.deepEqual(database.asked.length, 1);
  const [{ heartbeat: arrived, ...from }] = asked("record_heartbeat");
  // What was read of it: fields that were left out are null or false.
  const given = (_: string, value: unknown) => value === null || value === false ? undefined : value;
  assert.deepEqual(JSON.parse(JSON.stringify(arrived, given)), JSON.parse(JSON.stringify(sent, given)));
  assert.deepEqual(from, {
    toolbox_id: TOOLBOX,
    token_hash: await sha256(KEY),
    root_id: await rootId(),
    request_id: answer.headers.get("x-request-id"),
  });
  assertNothingLeaked(worker);
});

Deno.test("news are recorded by a second round trip, or the heartbeat fails", async () => {
  const row = {
    id: INSTANCE,
    instance_name_on_toolbox: "tool",
    container_name: "tool-22222222",
    generation: 4,
    desired_status: "running",
    status_on_toolbox: "starting",
    created_at: "2026-01-01T00:00:00Z",
    updated_at: "2026-01-01T00:00:00Z",
  };
  const { rpc, post, asked, database, worker, stack } = await start({
    record_heartbeat: recorded({ news: [row], missing: [] }),
    record_tool_instance_states: () =>
      json({
        results: [{ outcome: "recorded", instance: { ...row, status_on_toolbox: "running" } }],
        desired_digest: "after",
      }),
  });
  await using _all = stack;
  const answer = await post("", heartbeat());
  assert.deepEqual([answer.status, await answer.json()], [200, { desired_digest: "after", unknown: [] }]);
  assert.deepEqual(database.asked.length, 2);
  const [{ toolbox_id, items }] = asked("record_tool_instance_states");
  assert.deepEqual([toolbox_id, items.length, items[0].steps], [TOOLBOX, 1, [{ status: "running" }]]);
  rpc.record_tool_instance_states = () => json({ code: "55P03", message: "SECRET" }, 500);
  const failed = await post("", heartbeat({ sequence: 2 }));
  assert(failed.status >= 500, `${failed.status}`);
  await failed.body?.cancel();
  assertNothingLeaked(worker);
});

Deno.test("a rotation hands out the keys of the new epoch, once their hash is stored", async () => {
  const { rpc, post, asked, stack } = await start({
    record_heartbeat: recorded({ rotate_to_epoch: 7 }),
    offer_toolbox_key: () => json({ outcome: "offered" }),
  });
  await using _all = stack;
  const { new_keys } = await (await post("", heartbeat())).json();
  assert.deepEqual(new_keys.agent_to_control, await agentKey("agent-to-control", 7));
  assert.deepEqual(asked("offer_toolbox_key")[0], {
    toolbox_id: TOOLBOX,
    key_id: `${await rootId()}.7`,
    token_hash: await sha256(new_keys.agent_to_control),
    boot: 1763718645000,
    sequence: 1,
  });
  for (const offer of [() => json({ outcome: "superseded" }), () => json({ code: "XX000", message: "SECRET" }, 500)]) {
    rpc.offer_toolbox_key = offer;
    const answer = await post("", heartbeat());
    assert.deepEqual([answer.status, await answer.json()], [200, { desired_digest: "d", unknown: [] }]);
  }
});

Deno.test("the desired state goes to the toolbox alone", async () => {
  const env = { A: { key_id: null, value: "SECRET" } };
  const state = { outcome: "found", digest: "d", instances: [{ id: INSTANCE, spec: { env } }] };
  const { rpc, ask, worker, stack } = await start({ get_desired_state: () => json(state) });
  await using _all = stack;
  const answer = await ask("/desired");
  assert.deepEqual([answer.status, await answer.json()], [200, state]);
  rpc.get_desired_state = () => json({ outcome: "unauthorized" });
  assert.deepEqual(await refusal(await ask("/desired")), [401, "heartbeat_key_invalid"]);
  assertNothingLeaked(worker);
});

Deno.test("every refusal and every failure of the database has its code", async () => {
  const { rpc, ask, post, worker, database, stack } = await start({});
  await using _all = stack;
  const slow = () => new Promise<Response>((resolve) => setTimeout(() => resolve(json({})), 2_500));
  const cases: [() => Response | Promise<Response>, number, string][] = [
    [() => json({ outcome: "unauthorized" }), 401, "heartbeat_key_invalid"],
    [() => json({ outcome: "replayed", boot: 2, sequence: 3 }), 409, "heartbeat_replayed"],
    [() => json({ outcome: "certificate_changed" }), 409, "certificate_changed"],
    [() => json({ outcome: "moonshine" }), 502, "database_bad_response"],
    [() => new Response("<html>SECRET</html>"), 502, "database_bad_response"],
    [() => json({ code: "PGRST301", message: "SECRET" }, 401), 500, "not_configured"],
    [() => json({ code: "42501", message: "SECRET" }, 403), 500, "not_configured"],
    [() => json({ code: "55P03", message: "SECRET" }, 500), 504, "database_timeout"],
    [slow, 504, "database_timeout"],
  ];
  for (const [answer, ...expected] of cases) {
    rpc.record_heartbeat = answer;
    assert.deepEqual(await refusal(await post("", heartbeat())), expected);
  }
  for (
    const [reason, ...expected] of [
      ["unknown", 401, "enrolment_token_invalid"],
      ["expired", 401, "enrolment_token_expired"],
      ["used", 409, "enrolment_token_used"],
    ]
  ) {
    rpc.enrol_toolbox = () => json({ outcome: "refused", reason });
    assert.deepEqual(await refusal(await post("/enrol", enrolment, TOKEN)), expected as [number, string]);
  }
  await database[Symbol.asyncDispose]();
  for (const answer of [post("", heartbeat()), post("/enrol", enrolment, TOKEN), ask("/desired")]) {
    assert.deepEqual(await refusal(await answer), [503, "database_unreachable"]);
  }
  assertNothingLeaked(worker);
});

Deno.test("on every route, what is not the secret it takes is nobody, and reaches no database", async () => {
  const { ask, worker, database, stack } = await start({});
  await using _all = stack;
  const document = JSON.parse(
    await Deno.readTextFile(new URL("../../docs/api/heartbeat.openapi.json", import.meta.url)),
  );
  let routes = 0;
  for (const [path, item] of Object.entries(document.paths as Record<string, Record<string, unknown>>)) {
    for (const method of Object.keys(item)) {
      routes += 1;
      const isEnrolment = path.endsWith("/enrol");
      const body = method === "post" ? JSON.stringify(isEnrolment ? enrolment : heartbeat()) : undefined;
      const present = (headers: Record<string, string>) =>
        ask(path.replace("/{toolboxId}", ""), { method: method.toUpperCase(), body, headers });
      const user = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
      const others = ["sb_publishable_test", "sb_secret_test", user, `${KEY}0`, KEY.toUpperCase(), `${TOKEN}A`];
      for (const bearer of [...others, isEnrolment ? KEY : TOKEN]) {
        const code = isEnrolment ? "enrolment_token_invalid" : "heartbeat_key_invalid";
        assert.deepEqual(await refusal(await present({ authorization: `Bearer ${bearer}` })), [401, code]);
      }
      const secret = isEnrolment ? TOKEN : KEY;
      for (const headers of [{}, { apikey: secret }, { apikey: `Basic ${secret}` }]) {
        const answer = await present({ authorization: "", ...headers });
        assert.deepEqual(answer.headers.get("www-authenticate"), "Bearer");
        assert.deepEqual(await refusal(answer), [401, "authentication_required"]);
      }
      assert.deepEqual(await refusal(await present({ authorization: `Basic ${secret}` })), [
        401,
        "authentication_required",
      ]);
    }
  }
  assert.deepEqual([routes, database.asked], [3, []]);
  assertNothingLeaked(worker);
});

Deno.test("a key of a toolbox is no user", async () => {
  const database = new Upstream(() => json({ keys: [] }));
  const worker = await Worker.start("supabase/functions/toolbox-tools/index.ts", environment(database.port));
  await using _all = all(database, worker);
  for (const secret of [KEY, TOKEN]) {
    assert.deepEqual(await refusal(await caller(worker, secret)(`/${TOOLBOX}/tools`)), [401, "invalid_token"]);
  }
  assertNothingLeaked(worker);
});

Deno.test("paths, methods, bodies and numbers that do not fit have their codes", async () => {
  const { ask, post, worker, database, stack } = await start({});
  await using _all = stack;
  const cases: [Promise<Response>, number, string][] = [
    [ask(""), 405, "method_not_allowed"],
    [ask("/nothing"), 404, "route_not_found"],
    [
      fetch(`${worker.url}/heartbeat/local/desired`, { headers: { authorization: `Bearer ${KEY}` } }),
      400,
      "invalid_request",
    ],
    [
      ask("", { method: "POST", body: "{}", headers: { "content-type": "application/xml" } }),
      415,
      "unsupported_media_type",
    ],
    [post("", "{"), 400, "invalid_json"],
    [post("", heartbeat({ instances: "sideways" })), 400, "invalid_json"],
    [post("", " ".repeat(256 * 1024 + 1)), 413, "body_too_large"],
    [post("", heartbeat({ sequence: 0 })), 422, "validation_failed"],
    [post("", heartbeat({ boot: 2 ** 53 })), 422, "validation_failed"],
    [post("", heartbeat({ instances: [report(), report()] })), 422, "validation_failed"],
    [post("", heartbeat({ certificate_pem: PEM })), 422, "validation_failed"],
    [post("/enrol", { ...enrolment, certificate_pem: "SECRET" }, TOKEN), 422, "validation_failed"],
  ];
  for (const [answer, ...expected] of cases) assert.deepEqual(await refusal(await answer), expected);
  assert.deepEqual(database.asked, []);
  assertNothingLeaked(worker);
});
