// What passes between an MCP client and an agent, and when: streams both ways, the ends of either side, and whose tokens count.
import assert from "node:assert/strict";
import { certificate } from "../lib/certificates.ts";
import { TlsPeer } from "../lib/tls_peer.ts";
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
  const env = environment(database.port, { TOOLBOX_MCP_STREAM_SECONDS: "7" });
  const worker = await Worker.start("supabase/functions/mcp/index.ts", env);
  const url = `${worker.url}/mcp/${INSTANCE}`;
  const ask = (init: RequestInit & { headers?: Record<string, string> } = {}) =>
    fetch(url, { method: "POST", ...init, headers: { authorization: `Bearer ${TOKEN}`, ...init.headers } });
  return { agent, database, worker, url, ask, stack: all(agent, database, worker) };
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("both bodies pass as they come, and nothing waits for an end", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  const heard = Promise.withResolvers<void>();
  const seen = Promise.withResolvers<Headers>();
  const may_end = Promise.withResolvers<void>();
  agent.answer = async (request) => {
    seen.resolve(request.headers);
    const reader = request.body!.pipeThrough(new TextDecoderStream()).getReader();
    await reader.read();
    heard.resolve();
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
  // A body that is longer than what is sent in one piece.
  await writer.write(bytes(" ".repeat(70_000) + '{"jsonrpc":'));
  await heard.promise;
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

Deno.test("a short body comes in one piece, and a long one whole", async () => {
  const { agent, ask, stack } = await start();
  await using _all = stack;
  const seen: [string | null, string | null, number][] = [];
  agent.answer = async (request) => {
    const [length, stream] = ["content-length", "x-toolbox-mcp-stream-seconds"].map((name) =>
      request.headers.get(name)
    );
    seen.push([length, stream, (await request.bytes()).length]);
    return json({});
  };
  for (const length of [2, 64 * 1024, 64 * 1024 + 1, 3_000_000]) {
    assert.equal(await (await ask({ body: "x".repeat(length) })).text(), "{}");
  }
  const parts = new ReadableStream({
    start(controller) {
      for (const part of ['{"a":', "1", "}"]) controller.enqueue(bytes(part));
      controller.close();
    },
  });
  assert.equal(await (await ask({ body: parts })).text(), "{}");
  assert.deepEqual(seen, [
    ["2", "7", 2],
    ["65536", "7", 65_536],
    [null, "7", 65_537],
    [null, "7", 3_000_000],
    ["7", "7", 7],
  ]);
});

Deno.test("whoever answers in the agent's place gets nothing of an MCP client", async () => {
  const { database, ask, stack } = await start();
  const names = [`DNS:${TOOLBOX}.toolbox.invalid`, "IP:127.0.0.1"];
  const own = await certificate({ names });
  const peer = new TlsPeer(own, () => json({ jsonrpc: "2.0" }));
  await using _all = all(stack, peer);
  database.answer = () => {
    const found = access(peer.port);
    return json({ ...found, toolbox: { ...found.toolbox, dtma_certificate_pem: own.cert } });
  };
  assert.deepEqual(await (await ask({ body: "{}" })).json(), { jsonrpc: "2.0" }, "the agent itself");
  for (const impostor of [{ names }, { names, by: await certificate({ names: [], authority: true }) }]) {
    await peer.become(await certificate(impostor));
    for (const method of ["POST", "GET", "DELETE"]) {
      const answer = await ask({ method, body: method === "POST" ? '{"secret":1}' : undefined });
      const { error } = await answer.json();
      assert.deepEqual([answer.status, error.data.code], [502, "agent_certificate_invalid"]);
    }
    assert.deepEqual(peer.read, []);
  }
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
  // A call would wait for its answer in silence: SDKs do not take the end of a stream for one.
  const call = await ask({ body: '{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{}}' });
  const [first, second, rest] = (await call.text()).split("event: message\ndata: ");
  assert.deepEqual([first, rest], ["data: 1\n\n\n\n", undefined]);
  const { id, error } = JSON.parse(second);
  assert.deepEqual([id, error.data.code], ["x", "agent_unreachable"]);
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
