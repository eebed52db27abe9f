// Whose tokens count: every way in which one does not, ES256, RS256 and HS256, rotation of keys.
import assert from "node:assert/strict";
import {
  all,
  base64url,
  claims,
  environment,
  FUNCTION,
  HS_SECRET,
  hsSigner,
  json,
  type SigningKey,
  signingKey,
  supabase,
  token,
  TOOLBOX,
  toolList,
  Upstream,
  view,
  Worker,
} from "./harness.ts";

interface Started {
  worker: Worker;
  database: Upstream;
  /** What the JWKS address answers now. */
  published: { keys: unknown[]; status: number };
  ask(headers: Record<string, string>): Promise<[number, string | undefined]>;
  stack: AsyncDisposable;
}

async function start(keys: SigningKey[], more: Record<string, string> = {}): Promise<Started> {
  const agent = new Upstream(() => toolList(view()));
  const published = { keys: keys.map(({ jwk }) => jwk as unknown), status: 200 };
  const rest = supabase(agent.port);
  const database = new Upstream((request, url) =>
    url.pathname.endsWith("/jwks.json") ? json({ keys: published.keys }, published.status) : rest(request, url)
  );
  const worker = await Worker.start(FUNCTION, environment(database.port, more));
  const stack = all(agent, database, worker);
  const ask = async (headers: Record<string, string>): Promise<[number, string | undefined]> => {
    const answer = await fetch(`${worker.url}/toolbox-tools/${TOOLBOX}/tools`, { headers });
    const body = await answer.json();
    return [answer.status, body.error?.code];
  };
  return { worker, database, published, ask, stack };
}

const bearer = (text: string) => ({ authorization: `Bearer ${text}` });
const OK = [200, undefined];

Deno.test("tokens of every accepted algorithm count", async () => {
  const [es, rs] = [await signingKey("es-1"), await signingKey("rs-1", "RS256")];
  const { ask, database, stack } = await start([es, rs]);
  await using _all = stack;
  const good = claims(database.port);
  assert.deepEqual(await ask(bearer(await token({ alg: "ES256", kid: "es-1" }, good, es.sign))), OK);
  assert.deepEqual(await ask(bearer(await token({ alg: "RS256", kid: "rs-1" }, good, rs.sign))), OK);
  assert.deepEqual(await ask(bearer(await token({ alg: "HS256" }, good, await hsSigner(HS_SECRET)))), OK);
  // Without a key id the keys of the algorithm are tried.
  assert.deepEqual(await ask(bearer(await token({ alg: "ES256" }, { ...good, jti: "1" }, es.sign))), OK);
  assert.deepEqual(await ask({ authorization: `bearer ${await token({ alg: "ES256" }, good, es.sign)}` }), OK);
  const fetches = database.asked.filter(({ path }) => path.endsWith("jwks.json")).length;
  assert.deepEqual(fetches, 1, "keys are kept");
});

Deno.test("claims decide, with half a minute of leeway", async () => {
  const es = await signingKey("es-1");
  const { ask, database, stack } = await start([es]);
  await using _all = stack;
  const now = Math.floor(Date.now() / 1000);
  const ask_with = async (more: Record<string, unknown>) =>
    await ask(bearer(await token({ alg: "ES256", kid: "es-1" }, claims(database.port, more), es.sign)));
  for (
    const more of [
      { exp: now - 10 },
      { nbf: now + 10 },
      { aud: ["other", "authenticated"] },
      { iat: undefined },
    ]
  ) assert.deepEqual(await ask_with(more), OK, JSON.stringify(more));
  for (
    const more of [
      { exp: now - 60 },
      { exp: undefined },
      { exp: "tomorrow" },
      { nbf: now + 60 },
      { aud: "other" },
      { aud: [] },
      { aud: undefined },
      { iss: "https://other.supabase.co/auth/v1" },
      { iss: `http://127.0.0.1:${database.port}/auth/v1/` },
      { iss: undefined },
      { role: "postgres" },
      { role: undefined },
      { sub: "me" },
      { sub: undefined },
    ]
  ) assert.deepEqual(await ask_with(more), [401, "invalid_token"], JSON.stringify(more));
  for (const role of ["anon", "service_role"]) {
    assert.deepEqual(await ask_with({ role, iss: "supabase" }), [401, "user_token_required"], role);
  }
});

Deno.test("a token of a program opens nothing here, however often it is tried", async () => {
  const es = await signingKey("es-1");
  const { ask, database, stack } = await start([es]);
  await using _all = stack;
  const of = claims(database.port, { client_id: "chat-app" });
  const program = bearer(await token({ alg: "ES256", kid: "es-1" }, of, es.sign));
  for (let times = 0; times < 2; times++) assert.deepEqual(await ask(program), [403, "forbidden"]);
});

Deno.test("anonymous users count unless the operator refuses them", async () => {
  for (const [setting, answer] of [["", OK], ["allow", OK], ["refuse", [403, "anonymous_refused"]]] as const) {
    const es = await signingKey("es-1");
    const { ask, database, stack } = await start([es], { TOOLBOX_ANONYMOUS_USERS: setting });
    await using _all = stack;
    const ask_with = async (more: Record<string, unknown>) =>
      await ask(bearer(await token({ alg: "ES256", kid: "es-1" }, claims(database.port, more), es.sign)));
    for (let times = 0; times < 2; times++) assert.deepEqual(await ask_with({ is_anonymous: true }), answer, setting);
    assert.deepEqual(await ask_with({ is_anonymous: false, aal: "aal1" }), OK, setting);
    assert.deepEqual(await ask_with({ aal: "aal2" }), OK, setting);
  }
});

Deno.test("forged and malformed tokens do not count", async () => {
  const [es, rs, other] = [await signingKey("es-1"), await signingKey("rs-1", "RS256"), await signingKey("es-1")];
  const { ask, database, stack } = await start([es, rs]);
  await using _all = stack;
  const good = claims(database.port);
  const valid = await token({ alg: "ES256", kid: "es-1" }, good, es.sign);
  const [head, body, signature] = valid.split(".");
  const none = () => Promise.resolve(new ArrayBuffer(0));
  const publicKeyAsSecret = await hsSigner(JSON.stringify(es.jwk));
  const forged = [
    await token({ alg: "none" }, good, none),
    await token({ alg: "None", kid: "es-1" }, good, none),
    await token({ alg: "ES256", kid: "es-1" }, good, none),
    await token({ alg: "ES256", kid: "es-1" }, good, other.sign),
    await token({ alg: "ES256", kid: "rs-1" }, good, es.sign),
    await token({ alg: "RS256", kid: "es-1" }, good, rs.sign),
    await token({ alg: "HS256", kid: "es-1" }, good, publicKeyAsSecret),
    await token({ alg: "HS256" }, good, await hsSigner("another secret of more than 32 characters")),
    await token({ alg: "HS384" }, good, await hsSigner(HS_SECRET)),
    await token({ alg: "ES256", kid: "es-1", crit: ["exp"] }, good, es.sign),
    `${head}.${base64url(JSON.stringify({ ...good, sub: crypto.randomUUID() }))}.${signature}`,
    `${head}.${body}.${signature.slice(0, -4)}`,
    `${head}.${body}.`,
    `${head}.${body}`,
    `${valid}.x`,
    "x.y.z",
    "a".repeat(20_000),
  ];
  for (const text of forged) assert.deepEqual(await ask(bearer(text)), [401, "invalid_token"], text.slice(0, 200));
  assert.deepEqual(await ask(bearer(valid)), OK);
});

Deno.test("an API key is nobody", async () => {
  const { ask, stack } = await start([]);
  await using _all = stack;
  for (const key of ["sb_publishable_test", "sb_secret_test", "sb_publishable_of_another"]) {
    assert.deepEqual(await ask(bearer(key)), [401, "user_token_required"], key);
    assert.deepEqual(await ask({ apikey: key }), [401, "user_token_required"], key);
  }
  for (const headers of [{}, { authorization: "" }, { authorization: "Basic eDp5" }, { authorization: "Bearer " }]) {
    assert.deepEqual(await ask(headers as Record<string, string>), [401, "authentication_required"]);
  }
});

Deno.test("an unknown key id refreshes the keys, once in half a minute", async () => {
  const [first, second, third] = await Promise.all(["k1", "k2", "k3"].map((kid) => signingKey(kid)));
  const { ask, database, published, stack } = await start([first]);
  await using _all = stack;
  const by = (key: SigningKey) => token({ alg: "ES256", kid: key.kid }, claims(database.port), key.sign);
  const fetches = () => database.asked.filter(({ path }) => path.endsWith("jwks.json")).length;
  published.keys.push(second.jwk);
  const [a, b] = [await by(first), await by(second)];
  // Requests that meet the same unknown key at once wait for the same fetch.
  const answers = await Promise.all([a, b, b, b].map((text) => ask(bearer(text))));
  assert.deepEqual(answers, [OK, OK, OK, OK]);
  assert.deepEqual(fetches(), 1);
  for (let n = 0; n < 5; n++) assert.deepEqual(await ask(bearer(await by(third))), [401, "invalid_token"]);
  assert(fetches() <= 2, "forged key ids cause no storm");
});

Deno.test("configured keys need no fetch; a key that is not among them is looked up", async () => {
  const [configured, rotated] = [await signingKey("k1"), await signingKey("k2")];
  const { ask, database, stack } = await start([rotated], {
    SUPABASE_JWKS: JSON.stringify({ keys: [configured.jwk] }),
    SUPABASE_JWT_SECRET: "",
  });
  await using _all = stack;
  const by = (key: SigningKey) => token({ alg: "ES256", kid: key.kid }, claims(database.port), key.sign);
  assert.deepEqual(await ask(bearer(await by(configured))), OK);
  assert.deepEqual(database.asked.filter(({ path }) => path.endsWith("jwks.json")).length, 0);
  assert.deepEqual(await ask(bearer(await by(rotated))), OK);
  const hs = await token({ alg: "HS256" }, claims(database.port), await hsSigner(HS_SECRET));
  assert.deepEqual(await ask(bearer(hs)), [401, "invalid_token"], "no secret, no HS256");
});

Deno.test("keys that cannot be read are a failure of ours, and a secret among published keys is ignored", async () => {
  const es = await signingKey("k1");
  const { ask, database, published, stack } = await start([], { SUPABASE_JWT_SECRET: "" });
  await using _all = stack;
  published.status = 500;
  const text = await token({ alg: "ES256", kid: "k1" }, claims(database.port), es.sign);
  assert.deepEqual(await ask(bearer(text)), [503, "auth_unreachable"]);
  published.status = 200;
  published.keys.push({ kty: "oct", alg: "HS256", kid: "s", k: base64url(HS_SECRET) });
  const hs = await token({ alg: "HS256", kid: "s" }, claims(database.port), await hsSigner(HS_SECRET));
  assert.deepEqual(await ask(bearer(hs)), [401, "invalid_token"]);
});

Deno.test("the issuer is this machine at any port where the project is local, and nowhere else", async () => {
  const [es, other] = [await signingKey("k1"), await signingKey("k1")];
  const ports = ["http://127.0.0.1:54321/auth/v1", "http://localhost:54321/auth/v1"];
  const signed = (iss: string, key = es) => token({ alg: "ES256", kid: "k1" }, claims(0, { iss }), key.sign);
  {
    // As under `supabase functions serve`, whose functions have another address of the project than users do.
    const { ask, stack } = await start([es]);
    await using _all = stack;
    for (const iss of ports) {
      assert.deepEqual(await ask(bearer(await signed(iss))), OK, iss);
      assert.deepEqual(await ask(bearer(await signed(iss, other))), [401, "invalid_token"], "another key");
    }
    assert.deepEqual(await ask(bearer(await signed("http://10.0.0.1:54321/auth/v1"))), [401, "invalid_token"]);
  }
  // No such host exists: a token that counts is followed by a call that fails.
  const url = "https://project.invalid";
  const keys = JSON.stringify({ keys: [es.jwk] });
  const { ask, stack } = await start([es], { SUPABASE_URL: url, SUPABASE_JWKS: keys });
  await using _all = stack;
  assert.deepEqual(await ask(bearer(await signed(`${url}/auth/v1`))), [503, "database_unreachable"]);
  for (const iss of ports) assert.deepEqual(await ask(bearer(await signed(iss))), [401, "invalid_token"], iss);
});

Deno.test("another issuer can be allowed, and a remembered token still expires", async () => {
  const es = await signingKey("k1");
  const iss = "https://sign-in.example.org/auth/v1";
  const { ask, database, stack } = await start([es], { TOOLBOX_JWT_ISSUERS: iss });
  await using _all = stack;
  const signed = (more: Record<string, unknown>) =>
    token({ alg: "ES256", kid: "k1" }, claims(database.port, { iss, ...more }), es.sign);
  // The first request waits for the function, which is none of this.
  assert.deepEqual(await ask(bearer(await signed({}))), OK);
  const text = await signed({ exp: Math.floor(Date.now() / 1000) - 26 });
  assert.deepEqual(await ask(bearer(text)), OK);
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  assert.deepEqual(await ask(bearer(text)), [401, "invalid_token"]);
});
