// An enrolled agent is known by exactly its own certificate, whatever authorities the runtime trusts: whoever else answers
// at its address gets neither the toolbox's key nor a body.
import assert from "node:assert/strict";
import { certificate, type Pair } from "../lib/certificates.ts";
import { TlsPeer } from "../lib/tls_peer.ts";
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
  row,
  supabase,
  token,
  TOOLBOX,
  toolList,
  view,
  Worker,
} from "./harness.ts";

const LACKING = "tests/edge/lacking.ts";
const HOST = `${TOOLBOX}.toolbox.invalid`;
const NAMES = [`DNS:${HOST}`, "IP:127.0.0.1", "IP:::1"];
const logs = () =>
  new Response('{"stream":"stdout","line":"hi"}\n', { headers: { "content-type": "application/x-ndjson" } });

/** What answers at the agent's address, and answers all that an agent is asked here. */
function answering(pair: Pair, hostname?: string): TlsPeer {
  return new TlsPeer(
    pair,
    (path) => path.endsWith("/logs") ? logs() : path === "/tools" ? toolList(view()) : json(view({ generation: 2 })),
    hostname,
  );
}

/** A function whose runtime trusts an authority, which its database's certificate is of, and one toolbox. */
async function start(entry = FUNCTION, env: Record<string, string> = {}) {
  const root = await certificate({ names: [], authority: true });
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, root.cert);
  const toolbox = { public_ip_address: "127.0.0.1", dtma_port: 0, dtma_certificate_pem: null as string | null };
  const plain = supabase(0);
  const pair = await certificate({ names: ["IP:127.0.0.1"], by: root });
  const database = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {}, ...pair }, async (request) => {
    const url = new URL(request.url);
    if (url.pathname.endsWith("/account_tool_environments")) {
      const [found] = await (await plain(request, url)).json();
      return json([{ ...found, ...toolbox }]);
    }
    if (url.pathname.endsWith("/rpc/begin_tool_instance_operation")) {
      const { p } = await request.json();
      const operation = { id: crypto.randomUUID(), tool_instance_id: INSTANCE, action: p.action, generation: 2 };
      const running = { state: "in_progress", request_id: p.request_id, error_code: null, error_message: null };
      const instance = row({ generation: 2, status_on_toolbox: p.to_status, account_tool_environment_id: TOOLBOX });
      return json({ outcome: "started", operation: { ...operation, ...running }, instance });
    }
    return plain(request, url);
  });
  const url = `https://127.0.0.1:${database.addr.port}`;
  const more = { SUPABASE_URL: url, ...env };
  const flags = [`--cert=${folder}/root.pem`];
  const worker = await Worker.start(entry, environment(database.addr.port, more), flags);
  const user = claims(database.addr.port, { iss: `${url}/auth/v1` });
  const ask = caller(worker, await token({ alg: "HS256" }, user, await hsSigner(HS_SECRET)));

  /** The code of each way to call the agent: `ok`, or why not. */
  async function call(): Promise<Record<string, string>> {
    const tools = `/${TOOLBOX}/tools`;
    const list = await (await ask(tools)).json();
    const codes: Record<string, string> = { list: list.success ? "ok" : list.agent?.code ?? list.error.code };
    const others: [string, string, RequestInit][] = [
      ["logs", `${tools}/${INSTANCE}/logs`, {}],
      ["stream", `${tools}/${INSTANCE}/logs?follow=true`, {}],
      ["command", `${tools}/${INSTANCE}/restart`, { method: "POST" }],
    ];
    for (const [name, path, init] of others) {
      const answer = await ask(path, init as { method?: string });
      const text = await answer.text();
      codes[name] = answer.ok ? "ok" : JSON.parse(text).error.code;
    }
    return codes;
  }
  const parts: AsyncDisposable = {
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]();
      await database.shutdown();
      await Deno.remove(folder, { recursive: true });
    },
  };
  return { root, toolbox, ask, call, worker, parts };
}

const every = (code: string) => ({ list: code, logs: code, stream: code, command: code });

Deno.test("whoever answers in the agent's place gets neither key nor body", async (t) => {
  const { root, toolbox, ask, call, parts } = await start();
  const own = await certificate({ names: NAMES });
  const agent = answering(own);
  await using _all = all(parts, agent);
  toolbox.dtma_port = agent.port;
  toolbox.dtma_certificate_pem = own.cert;

  await t.step("the agent itself is called", async () => {
    assert.equal((await call()).list, "ok");
    assert.ok(agent.read.every(({ key }) => /^Bearer tbk_[0-9a-f]{64}$/.test(key ?? "")), JSON.stringify(agent.read));
    assert.ok(agent.read.some(({ body }) => body.includes('"generation":2')), "a command has a body");
  });

  const elsewhere = `DNS:${crypto.randomUUID()}.toolbox.invalid`;
  const trusted = await certificate({ names: ["IP:127.0.0.1", "DNS:localhost"], by: root });
  const impostors: [string, Pair][] = [
    ["a certificate of a trusted authority for the address", trusted],
    ["the same, with the enrolled one behind it", { ...trusted, cert: trusted.cert + own.cert }],
    ["one of a trusted authority for another toolbox", await certificate({ names: [elsewhere], by: root })],
    [
      "one of an authority of their own",
      await certificate({ names: NAMES, by: await certificate({ names: [], authority: true }) }),
    ],
    ["one they signed themselves", await certificate({ names: NAMES })],
    ["one they signed themselves that expired", await certificate({ names: NAMES, from: "9 days ago" })],
    ["one they signed themselves that is an authority", await certificate({ names: NAMES, authority: true })],
  ];
  for (const [name, pair] of impostors) {
    await t.step(`an impostor with ${name}`, async () => {
      await agent.become(pair);
      const codes = await call();
      assert.deepEqual(agent.read, []);
      assert.deepEqual(codes, every("agent_certificate_invalid"));
    });
  }

  const unusable: [string, Pair][] = [
    ["does not carry its name, as before there were names", await certificate({ names: ["IP:127.0.0.1"] })],
    ["carries another toolbox's name", await certificate({ names: [elsewhere, "IP:127.0.0.1"] })],
    ["expired", await certificate({ names: NAMES, from: "9 days ago" })],
    ["is not valid yet", await certificate({ names: NAMES, from: "9 days" })],
    ["is an authority's", await certificate({ names: NAMES, authority: true })],
  ];
  for (const [name, pair] of unusable) {
    await t.step(`an agent whose enrolled certificate ${name}`, async () => {
      await agent.become(pair);
      toolbox.dtma_certificate_pem = pair.cert;
      const codes = await call();
      assert.deepEqual(agent.read, []);
      assert.deepEqual(codes, every("agent_certificate_invalid"));
      const { agent: { message } } = await (await ask(`/${TOOLBOX}/tools`)).json();
      assert.match(message, /enrol the toolbox again/);
    });
  }

  await t.step("a row without a certificate in it", async () => {
    toolbox.dtma_certificate_pem = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n";
    assert.equal((await call()).list, "agent_certificate_invalid");
    assert.deepEqual(agent.read, []);
  });

  await t.step("the agent itself is called again", async () => {
    await agent.become(own);
    toolbox.dtma_certificate_pem = own.cert;
    assert.equal((await call()).list, "ok");
  });
});

Deno.test("the agent is reached by its name through its own tunnel", async (t) => {
  const { toolbox, call, parts } = await start();
  const own = await certificate({ names: NAMES });
  await using _parts = parts;
  toolbox.dtma_certificate_pem = own.cert;
  for (const address of ["127.0.0.1", "::1"]) {
    await t.step(`at ${address}`, async () => {
      await using agent = answering(own, address);
      toolbox.dtma_port = agent.port;
      toolbox.public_ip_address = address;
      for (let n = 0; n < 3; n++) assert.equal((await call()).list, "ok");
      assert.deepEqual([...new Set(agent.tunnels.map((head) => head.split("\r\n")[0]))], [
        `CONNECT ${HOST}:443 HTTP/1.1`,
      ]);
      assert.ok(agent.tunnels.every((head) => !head.includes("tbk_")));
      assert.ok(agent.read.length > agent.tunnels.length, "connections are used again");
    });
  }
});

Deno.test("who refuses the tunnel, ends it, or only speaks TLS gets nothing, and the answer says why", async () => {
  const { toolbox, call, parts } = await start();
  await using _parts = parts;
  toolbox.dtma_certificate_pem = (await certificate({ names: NAMES })).cert;
  const cases: [string, string][] = [
    ["HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "agent_certificate_invalid"],
    // A TLS alert, as an agent answers that knows no tunnel.
    ["\x15\x03\x03\x00\x02\x02\x0a", "agent_certificate_invalid"],
    ["", "agent_unreachable"],
    ["HTTP/1.1 200 OK\r\n\r\n", "agent_unreachable"],
  ];
  for (const [answer, code] of cases) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const heads: string[] = [];
    const serving = (async () => {
      for await (const connection of listener) {
        const bytes = new Uint8Array(4096);
        heads.push(new TextDecoder().decode(bytes.subarray(0, await connection.read(bytes) ?? 0)));
        await connection.write(new TextEncoder().encode(answer));
        connection.close();
      }
    })();
    toolbox.dtma_port = (listener.addr as Deno.NetAddr).port;
    const codes = await call();
    listener.close();
    await serving;
    assert.deepEqual(codes, every(code), JSON.stringify(answer));
    assert.ok(
      heads.length > 0 && heads.every((head) => head.startsWith(`CONNECT ${HOST}:443 `) && !head.includes("tbk_")),
    );
  }
});

for (
  const [name, entry, env] of [
    ["without createHttpClient", LACKING, { TEST_RUNTIME: "no client" }],
    ["whose createHttpClient ignores the proxy", LACKING, { TEST_RUNTIME: "no proxy" }],
    ["that may not make a client", LACKING, { TEST_RUNTIME: "denied" }],
    ["that is told to use no proxy", FUNCTION, { NO_PROXY: "*" }],
  ] as [string, string, Record<string, string>][]
) {
  Deno.test(`a runtime ${name} sends nothing and says so`, async () => {
    const { toolbox, call, parts } = await start(entry, env);
    const own = await certificate({ names: NAMES });
    const agent = answering(own);
    await using _all = all(parts, agent);
    toolbox.dtma_port = agent.port;
    toolbox.dtma_certificate_pem = own.cert;
    assert.deepEqual(await call(), every("agent_pin_unsupported"));
    assert.deepEqual([agent.tunnels, agent.read], [[], []]);
  });
}
