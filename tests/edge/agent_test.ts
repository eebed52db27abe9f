// How the function meets an agent: faults and their codes, streams, and what never leaves.
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
  json,
  problem,
  row,
  supabase,
  token,
  TOOLBOX,
  toolList,
  Upstream,
  view,
  Worker,
} from "./harness.ts";

async function start() {
  const agent = new Upstream(() => toolList(view()));
  const database = new Upstream(supabase(agent.port));
  const worker = await Worker.start(FUNCTION, environment(database.port));
  const bearer = await token({ alg: "HS256" }, claims(database.port), await hsSigner(HS_SECRET));
  const stack = all(agent, database, worker);
  return { agent, database, worker, ask: caller(worker, bearer), stack };
}

const html = (status: number) =>
  new Response("<html>SECRET 404</html>", { status, headers: { "content-type": "text/html" } });

Deno.test("list answers with the last known state when the agent does not, and says why", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  const cases: [string, () => Response | Promise<Response>][] = [
    ["agent_bad_response", () => html(200)],
    ["agent_bad_response", () => html(500)],
    ["agent_bad_response", () => json({ status: "healthy" })],
    ["agent_bad_response", () => new Response(null, { status: 302, headers: { location: "http://169.254.169.254/" } })],
    ["agent_failed", () => json({ error: "SECRET" }, 500)],
    ["agent_failed", () => problem("internal", 500)],
    ["agent_too_old", () => json({ error: "Not Found" }, 404)],
    ["agent_too_old", () => problem("route_unknown", 404)],
    ["agent_too_old", () => json({ toolbox_id: TOOLBOX, version: "0", api_version: 0, tools: [], foreign: [] })],
    ["agent_unauthorized", () => problem("unauthorized", 401)],
    ["docker_unreachable", () => problem("docker_unreachable", 503)],
    ["docker_timeout", () => problem("docker_timeout", 504)],
    [
      "agent_bad_response",
      () => json({ ...row(), toolbox_id: crypto.randomUUID(), version: "1", api_version: 2, tools: [], foreign: [] }),
    ],
    ["agent_timeout", () => new Promise((resolve) => setTimeout(() => resolve(toolList()), 2_500))],
  ];
  for (const [code, answer] of cases) {
    agent.answer = answer;
    const began = Date.now();
    const text = await (await ask(`/${TOOLBOX}/tools`)).text();
    const list = JSON.parse(text);
    assert.deepEqual([list.success, list.agent.reachable, list.agent.code], [false, false, code], text);
    assert.deepEqual([list.tool_instances[0].state_source, list.tool_instances[0].status_on_toolbox], [
      "last_known",
      "running",
    ]);
    assert(list.tool_instances[0].state_age_seconds > 0);
    assert(!text.includes("SECRET"), text);
    assert(Date.now() - began < 4_000, `${code} took ${Date.now() - began} ms`);
  }
});

Deno.test("an agent that is down, a database that is down", async () => {
  const { agent, database, ask, stack } = await start();
  await using _all = stack;
  await agent[Symbol.asyncDispose]();
  const list = await (await ask(`/${TOOLBOX}/tools`)).json();
  assert.deepEqual([list.success, list.agent.code], [false, "agent_unreachable"]);
  const logs = await ask(`/${TOOLBOX}/tools/${INSTANCE}/logs`);
  assert.deepEqual([logs.status, (await logs.json()).error.code], [503, "agent_unreachable"]);
  for (
    const [answer, status, code] of [
      [() => html(200), 502, "database_bad_response"],
      [() => html(502), 503, "database_unreachable"],
      [() => json({ code: "PGRST301", message: "SECRET" }, 401), 401, "invalid_token"],
      [() => json({ code: "PGRST002", message: "SECRET" }, 503), 503, "database_unreachable"],
      [() => json({ code: "57014", message: "SECRET" }, 500), 504, "database_timeout"],
      [() => json({ code: "42501", message: "SECRET" }, 403), 403, "forbidden"],
      [() => json([]), 404, "toolbox_not_found"],
      [() => new Promise((resolve) => setTimeout(() => resolve(json([])), 2_500)), 504, "database_timeout"],
    ] as [() => Response, number, string][]
  ) {
    database.answer = answer;
    const refused = await ask(`/${TOOLBOX}/tools`);
    const text = await refused.text();
    assert.deepEqual([refused.status, JSON.parse(text).error.code], [status, code], text);
    assert(!text.includes("SECRET"), text);
  }
  await database[Symbol.asyncDispose]();
  const refused = await ask(`/${TOOLBOX}/tools`);
  assert.deepEqual([refused.status, (await refused.json()).error.code], [503, "database_unreachable"]);
});

Deno.test("logs are streamed line by line as they are written, and end when the reader leaves", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  let write: ((line: string) => void) | undefined;
  const left = Promise.withResolvers<void>();
  agent.answer = (_request, url) => {
    if (!url.pathname.endsWith("/logs")) return toolList(view());
    assert.deepEqual(url.searchParams.get("follow"), "true");
    return new Response(
      new ReadableStream({
        start(controller) {
          write = (line) =>
            controller.enqueue(new TextEncoder().encode(JSON.stringify({ stream: "stdout", line }) + "\n"));
          write("first");
        },
        cancel: () => left.resolve(),
      }),
      { headers: { "content-type": "application/x-ndjson" } },
    );
  };
  const answer = await ask(`/${TOOLBOX}/tools/${INSTANCE}/logs?follow=true&tail=5`);
  assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "application/x-ndjson"]);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  assert((await reader.read()).value?.includes("first"));
  write?.("second 404 🦀");
  assert((await reader.read()).value?.includes("second 404 🦀"));
  await reader.cancel();
  await left.promise;
});

Deno.test("a stream the agent refuses has its code", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  for (
    const [answer, status, code] of [
      [() => problem("instance_unknown", 404), 404, "instance_not_found"],
      [() => problem("docker_unreachable", 503), 503, "docker_unreachable"],
      [() => html(200), 502, "agent_bad_response"],
    ] as [() => Response, number, string][]
  ) {
    agent.answer = answer;
    for (const follow of [true, false]) {
      const refused = await ask(`/${TOOLBOX}/tools/${INSTANCE}/logs?follow=${follow}`);
      const text = await refused.text();
      assert.deepEqual([refused.status, JSON.parse(text).error.code], [status, code], text);
      assert(!text.includes("SECRET"), text);
    }
  }
});

Deno.test("an agent cannot fill the worker's memory", async () => {
  const { agent, worker, ask, stack } = await start();
  await using _all = stack;
  const endless = new Uint8Array(1024 * 1024).fill(32);
  agent.answer = () =>
    new Response(
      new ReadableStream({ pull: (controller) => controller.enqueue(endless) }),
      { headers: { "content-type": "application/json" } },
    );
  const list = await (await ask(`/${TOOLBOX}/tools`)).json();
  assert.deepEqual(list.agent.code, "agent_bad_response");
  agent.answer = () => toolList(view());
  assert.deepEqual((await (await ask(`/${TOOLBOX}/tools`)).json()).success, true, worker.log.join(""));
});
