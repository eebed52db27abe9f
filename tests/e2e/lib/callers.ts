/** Everybody who must get nothing: computed once, used against every route and every table. */
import { claims, decoded, es256, hs256, unsigned } from "./tokens.ts";
import type { World } from "./world.ts";

/** Somebody at the door. */
export interface Caller {
  name: string;
  headers: Record<string, string>;
  /** Who they are is known and genuine; what they ask for is not theirs. */
  known?: boolean;
  /**
   * The token is signed by the project itself and broken in a claim that PostgREST does not look at, here as at
   * Supabase: whoever holds that key can make better ones. The functions refuse it all the same.
   */
  functionsOnly?: boolean;
  /** The genuine token of a program, such as a chat application: it opens MCP servers that it was let in to, and nothing else. */
  program?: boolean;
  /** The project says that they are an operator: the function `operators` lets them in, and nothing else shows them more. */
  operator?: boolean;
  /** PostgREST cannot even become this role, which it says with 400. */
  noSuchRole?: boolean;
}

/** Callers who must get nothing of the owner's. */
export async function outsiders(world: World): Promise<Caller[]> {
  const { owner, stranger, ready } = world;
  const genuine = decoded(owner.token);
  const issuer = String(genuine.claims.iss);
  const now = Math.floor(Date.now() / 1000);
  const of = (override: Record<string, unknown>) => claims(issuer, owner.userId, override);
  const asStranger = (override: Record<string, unknown>) => claims(issuer, stranger.userId, override);
  const role = { toolbox_role: "operator" };
  const kid = genuine.header.kid;
  const apikey = ready.publishable_key;
  const bearer = (name: string, token: string, more: Partial<Caller> = {}): Caller => ({
    name,
    headers: { apikey, authorization: `Bearer ${token}` },
    ...more,
  });
  const projectKey = await signingKey(world);
  /** Signed by the project, with its current key and with its legacy secret; broken in one claim only. */
  const broken = async (name: string, override: Record<string, unknown>, more: Partial<Caller> = {}) => [
    bearer(name, await es256(of(override), { kid }, projectKey), more),
    bearer(`${name} (legacy)`, await hs256(of(override), ready.jwt_secret), more),
  ];
  const [head, payload, signature] = owner.token.split(".");
  const publicKey = await (await fetch(`${ready.url}/auth/v1/.well-known/jwks.json`)).text();
  const retold = btoa(JSON.stringify({ ...genuine.claims, sub: crypto.randomUUID() })).replace(/=+$/, "");

  return [
    { name: "no token, no key", headers: {} },
    { name: "publishable key only", headers: { apikey } },
    bearer("publishable key as the token, as supabase-js sends it", apikey),
    { name: "publishable key as the token only", headers: { authorization: `Bearer ${apikey}` } },
    bearer("the legacy anon key", ready.anon_key),
    bearer("a stranger", stranger.token, { known: true }),
    bearer("a program of the owner's", await es256(of({ client_id: "chat-app" }), { kid }, projectKey), {
      known: true,
      program: true,
    }),
    bearer("an operator", await es256(asStranger({ app_metadata: role }), { kid }, projectKey), {
      known: true,
      operator: true,
    }),
    bearer(
      "somebody who calls themself an operator",
      await es256(asStranger({ user_metadata: role }), { kid }, projectKey),
      {
        known: true,
      },
    ),
    bearer(
      "a program of an operator's",
      await es256(asStranger({ app_metadata: role, client_id: "chat-app" }), { kid }, projectKey),
      { known: true, program: true },
    ),
    ...await broken("expired", { iat: now - 7200, exp: now - 3600 }),
    ...await broken("expired a minute ago", { iat: now - 3660, exp: now - 60 }),
    ...await broken("without an expiry", { exp: undefined }, { functionsOnly: true }),
    ...await broken("not valid yet", { nbf: now + 3600 }),
    ...await broken("wrong issuer", { iss: "https://evil.example/auth/v1" }, { functionsOnly: true }),
    ...await broken("no issuer", { iss: undefined }, { functionsOnly: true }),
    ...await broken("wrong audience", { aud: "somebody-else" }, { functionsOnly: true }),
    ...await broken("no subject", { sub: undefined }, { functionsOnly: true }),
    ...await broken("a subject that is no id", { sub: "' or 1=1 --" }, { functionsOnly: true }),
    ...await broken("role anon", { role: "anon" }),
    ...await broken("role service_role", { role: "service_role" }, { functionsOnly: true }),
    ...await broken("a role that does not exist", { role: "admin" }, { noSuchRole: true }),
    bearer("alg none", unsigned(of({}))),
    bearer("alg None with a kid", unsigned(of({}), { alg: "None", kid })),
    bearer("alg none with the genuine signature", `${unsigned(of({}))}${signature}`),
    bearer("another project's key, our issuer and kid", await es256(of({}), { kid })),
    bearer("another project's key, unknown kid", await es256(of({}), { kid: crypto.randomUUID() })),
    bearer("another project's key, their issuer", await es256(of({ iss: "https://evil.example/auth/v1" }))),
    bearer("another legacy secret", await hs256(of({}), "x".repeat(40))),
    bearer("the public key as an HMAC secret", await hs256(of({}), publicKey, { kid })),
    bearer("an empty HMAC secret", await hs256(of({}), "\0")),
    bearer("HS256 with the asymmetric kid", await hs256(of({}), "x".repeat(40), { kid })),
    bearer("another subject under the genuine signature", `${head}.${retold}.${signature}`),
    bearer("genuine without its signature", `${head}.${payload}.`),
    bearer("genuine with a flipped signature", `${head}.${payload}.${flipped(signature)}`),
    bearer("a key embedded in the header", await es256(of({}), { kid, jku: "https://evil.example/jwks", jwk: {} })),
    bearer("garbage", "garbage"),
    bearer("three garbage parts", "a.b.c"),
    bearer("a very long token", "x".repeat(6000)),
    { name: "an empty bearer", headers: { apikey, authorization: "Bearer " } },
    { name: "basic authorization", headers: { apikey, authorization: `Basic ${btoa(`x:${owner.token}`)}` } },
    {
      name: "the token in the wrong place",
      headers: { apikey, "x-access-token": owner.token, cookie: `sb=${owner.token}` },
    },
  ];
}

/** The project's own private key, as only its sign-in has it: what it signs is genuine in everything but the claims. */
export async function signingKey({ ready }: World): Promise<CryptoKey> {
  const { signing_key: scalar } = JSON.parse(await Deno.readTextFile(`${ready.data_dir}/keys.json`));
  const { keys: [{ kty, crv, x, y }] } = await (await fetch(`${ready.url}/auth/v1/.well-known/jwks.json`)).json();
  const bytes = scalar.match(/../g).map((digits: string) => String.fromCharCode(parseInt(digits, 16))).join("");
  const d = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return await crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, { name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
  ]);
}

/** The first character changed: the last one may carry only padding bits. */
function flipped(signature: string): string {
  return (signature[0] === "A" ? "B" : "A") + signature.slice(1);
}
