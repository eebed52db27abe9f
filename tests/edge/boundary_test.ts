// What holds for every request: CORS, request ids, the envelope, limits of bodies, methods and media types.
import assert from "node:assert/strict";
import {
  all,
  caller,
  claims,
  environment,
  FUNCTION,
  HS_SECRET,
  hsSigner,
  INSTANCE,
  supabase,
  token,
  TOOLBOX,
  toolList,
  Upstream,
  view,
  Worker,
} from "./harness.ts";

async function start(more: Record<string, string> = {}) {
  const agent = new Upstream(() => toolList(view()));
  const database = new Upstream(supabase(agent.port));
  const worker = await Worker.start(FUNCTION, environment(database.port, more));
  const bearer = await token({ alg: "HS256" }, claims(database.port), await hsSigner(HS_SECRET));
  const stack = all(agent, database, worker);
  return { agent, database, worker, ask: caller(worker, bearer), stack };
}

async function code(answer: Response): Promise<string> {
  const { error } = await answer.json();
  assert.deepEqual(error.request_id, answer.headers.get("x-request-id"));
  assert(error.message.length > 0);
  return error.code;
}

Deno.test("browsers of any origin may call, and read what they need", async () => {
  const { worker, ask, stack } = await start();
  await using _all = stack;
  const preflight = await fetch(`${worker.url}/toolbox-tools/${TOOLBOX}/tools`, {
    method: "OPTIONS",
    headers: { origin: "https://app.example", "access-control-request-method": "POST" },
  });
  assert.deepEqual([preflight.status, await preflight.text()], [204, ""]);
  assert.deepEqual(preflight.headers.get("access-control-allow-origin"), "*");
  const allowed = preflight.headers.get("access-control-allow-headers")?.split(", ") ?? [];
  const needed = "authorization x-client-info apikey content-type idempotency-key prefer x-request-id".split(" ");
  for (const name of needed) assert(allowed.includes(name), name);
  // What supabase-js adds for a region, a trace, and what an application adds to every call.
  const asked = "x-region,traceparent,tracestate,baggage,x-my-app";
  const echoed = await fetch(`${worker.url}/toolbox-tools/${TOOLBOX}/tools`, {
    method: "OPTIONS",
    headers: { origin: "https://app.example", "access-control-request-headers": asked },
  });
  assert.deepEqual(echoed.headers.get("access-control-allow-headers"), asked);
  for (const method of ["GET", "POST", "PATCH", "DELETE"]) {
    assert(preflight.headers.get("access-control-allow-methods")?.includes(method), method);
  }
  for (const answer of [await ask(`/${TOOLBOX}/tools`), await fetch(`${worker.url}/toolbox-tools/nothing`)]) {
    assert.deepEqual(answer.headers.get("access-control-allow-origin"), "*");
    assert(answer.headers.get("access-control-expose-headers")?.includes("x-request-id"));
    assert.deepEqual(answer.headers.get("cache-control"), "no-store");
    await answer.body?.cancel();
  }
});

Deno.test("origins can be restricted", async () => {
  const { ask, stack } = await start({ TOOLBOX_ALLOWED_ORIGIN: "https://a.example, https://b.example" });
  await using _all = stack;
  for (const [origin, allowed] of [["https://b.example", "https://b.example"], ["https://c.example", null]]) {
    const answer = await ask(`/${TOOLBOX}/tools`, { headers: { origin: origin as string } });
    assert.deepEqual(answer.headers.get("access-control-allow-origin"), allowed);
    await answer.body?.cancel();
  }
});

Deno.test("a harmless request id is kept, any other is replaced", async () => {
  const { ask, stack } = await start();
  await using _all = stack;
  const id = async (given?: string) => {
    const answer = await ask(`/${TOOLBOX}/tools`, given === undefined ? {} : { headers: { "x-request-id": given } });
    const { request_id } = await answer.json();
    assert.deepEqual(request_id, answer.headers.get("x-request-id"));
    return request_id as string;
  };
  assert.deepEqual(await id("req_1.a-B"), "req_1.a-B");
  assert.deepEqual(await id("x".repeat(128)), "x".repeat(128));
  for (const bad of [undefined, "x".repeat(129), "a b", "a/b", "<x>", ""]) {
    assert(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(await id(bad)), String(bad));
  }
});

Deno.test("paths, methods, media types and bodies that do not fit have their codes", async () => {
  const { ask, stack, database } = await start();
  await using _all = stack;
  const post = (body: BodyInit, headers: Record<string, string> = { "content-type": "application/json" }) =>
    ask(`/${TOOLBOX}/tools`, { method: "POST", body, headers });
  const cases: [Promise<Response>, number, string][] = [
    [ask("/a/b/c/d/e"), 404, "route_not_found"],
    [ask(""), 405, "method_not_allowed"],
    [ask(`/${TOOLBOX}/tools`, { method: "PUT", body: "{}" }), 405, "method_not_allowed"],
    [ask("/not-a-uuid/tools"), 400, "invalid_request"],
    [ask(`/${TOOLBOX}/tools/%ff`), 400, "invalid_request"],
    [post("{}", { "content-type": "multipart/form-data; boundary=x" }), 415, "unsupported_media_type"],
    [post('{"action":"list","unknown":1}'), 400, "invalid_json"],
    [post("{"), 400, "invalid_json"],
    [post('{"action":7}'), 400, "invalid_json"],
    [post('{"action":"explode"}'), 400, "invalid_action"],
    [post('{"action":"start"}'), 400, "invalid_request"],
    [post("{}"), 422, "validation_failed"],
    [post(" ".repeat(256 * 1024 + 1)), 413, "body_too_large"],
    [ask(`/${TOOLBOX}/tools/${INSTANCE}/logs?tail=-1`), 400, "invalid_request"],
    [ask(`/${TOOLBOX}/tools/${INSTANCE}/logs?tail=10001`), 400, "invalid_request"],
    [ask(`/${TOOLBOX}/tools/${INSTANCE}/logs?since=yesterday`), 400, "invalid_request"],
    [ask(`/${TOOLBOX}/tools/${INSTANCE}/logs?follow=maybe`), 400, "invalid_request"],
    [
      ask(`/${TOOLBOX}/tools/${INSTANCE}/stop`, { method: "POST", headers: { prefer: "wait=x" } }),
      400,
      "invalid_request",
    ],
  ];
  for (const [answer, status, expected] of cases) {
    const { url } = await answer;
    assert.deepEqual([(await answer).status, await code(await answer)], [status, expected], url);
  }
  const notAllowed = await ask(`/${TOOLBOX}/tools/${INSTANCE}`, { method: "PUT", body: "{}" });
  assert.deepEqual(notAllowed.headers.get("allow"), "GET, PATCH, DELETE, OPTIONS");
  await notAllowed.body?.cancel();
  assert(!database.asked.some(({ path }) => path.includes("rpc")), "nothing was begun");
});

Deno.test("every body that functions.invoke sends is read, and who should use GET is told", async () => {
  const { ask, stack } = await start();
  await using _all = stack;
  const text = JSON.stringify({ action: "list" });
  // As functions-js sends a text, a Blob, an ArrayBuffer and an object.
  const bodies: [BodyInit, string | undefined][] = [
    [text, undefined],
    [text, "text/plain"],
    [new Blob([text]), undefined],
    [new Blob([text]), "application/octet-stream"],
    [new TextEncoder().encode(text).buffer, "application/octet-stream"],
    [text, "application/json"],
  ];
  for (const [body, type] of bodies) {
    const headers: Record<string, string> = type === undefined ? {} : { "content-type": type };
    const answer = await ask(`/${TOOLBOX}/tools`, { method: "POST", body, headers });
    assert.deepEqual([answer.status, (await answer.json()).success], [200, true], type);
  }
  for (const path of [`/${TOOLBOX}/tools`, `/${TOOLBOX}/tools/${INSTANCE}`, `/${TOOLBOX}/tools/${INSTANCE}/logs`]) {
    const { error } = await (await ask(path, { method: "POST" })).json();
    assert(/use GET/i.test(error.message), `${path}: ${error.message}`);
  }
});

Deno.test("a body without a length is counted while it comes", async () => {
  const { ask, stack } = await start();
  await using _all = stack;
  const chunked = (chunks: number) =>
    new ReadableStream({
      start(controller) {
        for (let n = 0; n < chunks; n++) controller.enqueue(new Uint8Array(16 * 1024).fill(32));
        controller.enqueue(new TextEncoder().encode('{"action":"explode"}'));
        controller.close();
      },
    });
  for (const [chunks, status, expected] of [[15, 400, "invalid_action"], [40, 413, "body_too_large"]] as const) {
    const answer = await ask(`/${TOOLBOX}/tools`, {
      method: "POST",
      body: chunked(chunks),
      headers: { "content-type": "application/json" },
    });
    assert.deepEqual([answer.status, await code(answer)], [status, expected]);
  }
});

Deno.test("a function without configuration says so and names nothing", async () => {
  await using worker = await Worker.start(FUNCTION, { SUPABASE_URL: "http://127.0.0.1:1" });
  const answer = await fetch(`${worker.url}/toolbox-tools/${TOOLBOX}/tools`);
  assert.deepEqual([answer.status, await code(answer)], [500, "not_configured"]);
  assert(worker.log.join("").includes("SUPABASE_SECRET_KEYS"), "the operator learns what is missing");
});

Deno.test("list costs two upstream requests, each with its own credentials", async () => {
  const { ask, stack, database, agent } = await start();
  await using _all = stack;
  const answer = await ask(`/${TOOLBOX}/tools`);
  const list = await answer.json();
  assert.deepEqual([answer.status, list.success, list.tool_instances.length], [200, true, 1]);
  assert.deepEqual(list.tool_instances[0].state_source, "live");
  const { asked } = database;
  assert.deepEqual([asked.length, agent.asked.length], [1, 1]);
  assert.deepEqual(asked[0].headers.get("apikey"), "sb_publishable_test");
  assert(asked[0].headers.get("authorization")?.startsWith("Bearer ey"), "the caller's own token");
  assert(/^Bearer tbk_[0-9a-f]{64}$/.test(agent.asked[0].headers.get("authorization") ?? ""), "the toolbox's key");
});
