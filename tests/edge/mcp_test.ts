// What passes between an MCP client and an agent, and when: streams both ways, the ends of either side, and whose tokens count.
import assert from "node:assert/strict";
import {
  all,
  claims,
  environment,
  HS_SECRET,
  hsSigner,
  INSTANCE,
  json,
  token,
  TOOLBOX,
  Upstream,
  Worker,
} from "./harness.ts";

const TOKEN = `tbx_${"5a".repeat(32)}`;

/** An agent whose handler sees requests as they come. */
class Agent implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(public answer: (request: Request) => Response | Promise<Response>) {
    this.#server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => this.answer(request));
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async [Symbol.asyncDispose]() {
    await this.#server.shutdown();
  }
}

function access(agentPort: number) {
  return {
    outcome: "access",
    who: "access:1",
    allowed_tools: null,
    read_only: false,
    instance: { status: "running", desired: "running", transport: "stdio" },
    toolbox: {
      id: TOOLBOX,
      status: "active",
      public_ip_address: "127.0.0.1",
      dtma_port: agentPort,
      dtma_certificate_pem: null,
      dtma_key_id: null,
      instances_confirmed_at: null,
      unresponsive_since: null,
      dtma_api_version: 6,
      dtma_last_known_version: "1",
    },
  };
}

async function start() {
  const agent = new Agent(() => json({}));
  const database = new Upstream((_request, url) =>
    url.pathname.endsWith("/rpc/find_mcp_access") ? json(access(agent.port)) : json({}, 404)
  );
  const worker = await Worker.start("supabase/functions/mcp/index.ts", environment(database.port));
  const url = `${worker.url}/mcp/${INSTANCE}`;
  const ask = (init: RequestInit & { headers?: Record<string, string> } = {}) =>
    fetch(url, { method: "POST", ...init, headers: { authorization: `Bearer ${TOKEN}`, ...init.headers } });
  return { agent, database, worker, url, ask, stack: all(agent, database, worker) };
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("both bodies pass as they come, and nothing waits for an end", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  const heard = Promise.withResolvers<string>();
  const seen = Promise.withResolvers<Headers>();
  const may_end = Promise.withResolvers<void>();
  agent.answer = async (request) => {
    seen.resolve(request.headers);
    const reader = request.body!.pipeThrough(new TextDecoderStream()).getReader();
    heard.resolve((await reader.read()).value!);
    while (!(await reader.read()).done) { /* the rest */ }
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(bytes("data: 1\n\n"));
        await may_end.promise;
        controller.enqueue(bytes("data: 2\n\n"));
        controller.close();
      },
    });
    const headers = { "content-type": "text/event-stream", "mcp-session-id": "s1", "set-cookie": "SECRET=1" };
    return new Response(body, { headers });
  };
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const asked = ask({
    body: readable,
    headers: {
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      "mcp-session-id": "s1",
      "mcp-param-region": "eu",
      cookie: "SECRET=1",
      apikey: "SECRET",
      "x-toolbox-mcp-caller": "SECRET",
    },
  });
  await writer.write(bytes('{"jsonrpc":'));
  assert.equal(await heard.promise, '{"jsonrpc":', "the agent has the first part while the second is not written");
  await writer.write(bytes('"2.0"}'));
  await writer.close();
  const answer = await asked;
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  assert.equal(answer.headers.get("mcp-session-id"), "s1");
  assert.equal(answer.headers.get("set-cookie"), null);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  assert.equal(
    (await reader.read()).value,
    "data: 1\n\n",
    "the client has the first event while the second is not said",
  );
  may_end.resolve();
  assert.equal((await reader.read()).value, "data: 2\n\n");
  assert.equal((await reader.read()).done, true);
  const headers = await seen.promise;
  assert.equal(headers.get("mcp-param-region"), "eu");
  assert.equal(headers.get("accept"), "application/json, text/event-stream");
  assert.match(headers.get("authorization")!, /^Bearer tbk_/);
  assert.ok(!JSON.stringify([...headers]).includes("SECRET"));
  assert.ok(!JSON.stringify([...headers]).includes(TOKEN));
});

Deno.test("a client that goes away ends the call, before its answer and in the middle of it", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  for (const begins of [false, true]) {
    const asked = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    agent.answer = (request) => {
      asked.resolve();
      request.signal.addEventListener("abort", () => ended.resolve());
      if (!begins) return new Promise((resolve) => ended.promise.then(() => resolve(json({}))));
      const body = new ReadableStream({
        start: (controller) => controller.enqueue(bytes("data: 1\n\n")),
        cancel: () => ended.resolve(),
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    const client = new AbortController();
    const answer = ask({ body: "{}", signal: client.signal });
    // It fails when the client goes, which is what is wanted.
    answer.catch(() => {});
    await asked.promise;
    if (begins) await (await answer).body!.getReader().read();
    client.abort();
    await ended.promise;
  }
});

Deno.test("an answer that breaks off is an error for the client, not an end", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  agent.answer = () => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes("data: 1\n\n"));
        setTimeout(() => controller.error(new Error("gone")), 100);
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  const answer = await ask({ body: "{}" });
  await assert.rejects(answer.text());
  // The next request is answered as ever.
  agent.answer = () => json({ jsonrpc: "2.0" });
  assert.deepEqual(await (await ask({ body: "{}" })).json(), { jsonrpc: "2.0" });
  agent.answer = () => new Response(null, { status: 202 });
  const taken = await ask({ body: "{}" });
  assert.deepEqual([taken.status, await taken.text()], [202, ""]);
});

Deno.test("a large answer passes whole", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  const part = new Uint8Array(64 * 1024).fill(97);
  agent.answer = () => {
    let left = 160;
    const body = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(part);
        else controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "application/json" } });
  };
  const answer = await ask({ body: "{}" });
  assert.equal((await answer.bytes()).length, 160 * part.length);
});

Deno.test("a signed-in user counts, and a token of a program is told apart", async () => {
  const { database, url, stack } = await start();
  await using _all = stack;
  const signer = await hsSigner(HS_SECRET);
  for (const client_id of [undefined, "chat-app"]) {
    const bearer = await token({ alg: "HS256" }, claims(database.port, { client_id }), signer);
    const answer = await fetch(url, { method: "POST", body: "{}", headers: { authorization: `Bearer ${bearer}` } });
    assert.equal(answer.status, 200, await answer.text());
    const { p } = JSON.parse(database.asked.at(-1)!.body);
    assert.equal(p.client_id, client_id ?? null);
    assert.equal(p.token_hash, undefined);
  }
  const refused = await fetch(url, { method: "POST", body: "{}" });
  assert.equal(refused.status, 401);
  const metadata = /^Bearer resource_metadata="(.*)"$/.exec(refused.headers.get("www-authenticate")!)![1];
  // No gateway in front says how the caller addressed the project.
  assert.ok(metadata.startsWith(`http://127.0.0.1:${database.port}/functions/v1/mcp/`), metadata);
  assert.equal((await refused.json()).error.data.code, "authentication_required");
});
