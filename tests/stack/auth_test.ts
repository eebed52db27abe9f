/** Sign-in, as supabase-js uses it. */
import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { startStack } from "../lib/stack.ts";

const project = new URL("./fixture", import.meta.url).pathname;
const password = "correct horse battery staple";

Deno.test("supabase-js signs up, in, refreshes and out", async (t) => {
  await using stack = await startStack({ project, dtma: false });
  const { url, publishable_key } = stack.ready;
  const client = () => createClient(url, publishable_key, { auth: { persistSession: false, autoRefreshToken: false } });

  await t.step("signUp gives a session at once", async () => {
    const { data, error } = await client().auth.signUp({
      email: "Ann@Example.com",
      password,
      options: { data: { name: "Ann" } },
    });
    assert.equal(error, null);
    assert.equal(data.user?.email, "ann@example.com");
    assert.equal(data.user?.user_metadata.name, "Ann");
    assert.equal(data.user?.identities?.length, 1);
    assert.equal(data.session?.token_type, "bearer");
  });

  await t.step("the token has Supabase's claims and verifies against the public keys", async () => {
    const ann = client();
    await ann.auth.signInWithPassword({ email: "ann@example.com", password });
    const { data, error } = await ann.auth.getClaims();
    assert.equal(error, null);
    assert(data);
    assert.equal(data.header.alg, "ES256");
    const { claims } = data;
    assert.equal(claims.iss, `${url}/auth/v1`);
    assert.equal(claims.aud, "authenticated");
    assert.equal(claims.role, "authenticated");
    assert.equal(claims.email, "ann@example.com");
    assert.equal(claims.aal, "aal1");
    assert.equal(claims.exp - claims.iat, 3600);
    assert.equal(claims.is_anonymous, false);
    assert.equal(claims.amr?.[0].method, "password");
    assert.match(claims.session_id, /^[0-9a-f-]{36}$/);
    assert.equal(claims.app_metadata?.provider, "email");
    const keys = await (await fetch(`${url}/auth/v1/.well-known/jwks.json`)).json();
    assert.equal(keys.keys[0].kid, data.header.kid);
    assert.equal("d" in keys.keys[0], false);
  });

  await t.step("refusals have Supabase's codes", async () => {
    const code = async (attempt: Promise<{ error: { code?: string; status?: number } | null }>) => {
      const { error } = await attempt;
      return `${error?.status} ${error?.code}`;
    };
    const auth = client().auth;
    assert.equal(await code(auth.signUp({ email: "ann@example.com", password })), "422 user_already_exists");
    assert.equal(await code(auth.signUp({ email: "bob@example.com", password: "short" })), "422 weak_password");
    assert.equal(await code(auth.signUp({ email: "no address", password })), "400 validation_failed");
    assert.equal(
      await code(auth.signInWithPassword({ email: "ann@example.com", password: "wrong" })),
      "400 invalid_credentials",
    );
    assert.equal(
      await code(auth.signInWithPassword({ email: "nobody@example.com", password })),
      "400 invalid_credentials",
    );
    assert.equal(await code(auth.refreshSession({ refresh_token: "0123456789abcdef" })), "400 refresh_token_not_found");
    assert.equal(await code(auth.getUser("not.a.token")), "403 bad_jwt");
  });

  await t.step("callers without the API version get the older shape", async () => {
    const reply = await fetch(`${url}/auth/v1/token?grant_type=password`, {
      method: "POST",
      headers: { apikey: publishable_key },
      body: JSON.stringify({ email: "ann@example.com", password: "wrong" }),
    });
    assert.equal(reply.status, 400);
    assert.deepEqual(await reply.json(), {
      code: 400,
      error_code: "invalid_credentials",
      msg: "Invalid login credentials",
    });
  });

  await t.step("refresh tokens rotate; an old one used again ends the session", async () => {
    const ann = client();
    const { data: first } = await ann.auth.signInWithPassword({ email: "ann@example.com", password });
    const { data: second, error } = await ann.auth.refreshSession();
    assert.equal(error, null);
    assert(first.session && second.session);
    assert.notEqual(second.session.refresh_token, first.session.refresh_token);
    // The client may have missed the answer: the same successor again.
    const { data: again } = await client().auth.refreshSession({ refresh_token: first.session.refresh_token });
    assert.equal(again.session?.refresh_token, second.session.refresh_token);
    const { data: third } = await client().auth.refreshSession({ refresh_token: second.session.refresh_token });
    assert(third.session);
    await sql(
      stack.ready.admin_db_url,
      "update auth.refresh_tokens set updated_at = now() - interval '1 minute' where revoked",
    );
    const { error: stolen } = await client().auth.refreshSession({ refresh_token: first.session.refresh_token });
    assert.equal(stolen?.code, "refresh_token_already_used");
    const { error: family } = await client().auth.refreshSession({ refresh_token: third.session.refresh_token });
    assert.equal(family?.code, "refresh_token_not_found");
  });

  await t.step("signOut ends the session: the token no longer names a user", async () => {
    const ann = client();
    const { data } = await ann.auth.signInWithPassword({ email: "ann@example.com", password });
    const token = data.session?.access_token ?? "";
    assert.equal((await ann.auth.getUser(token)).data.user?.email, "ann@example.com");
    assert.equal((await ann.auth.signOut()).error, null);
    // supabase-js names a session that is gone by a class of its own.
    assert.equal((await client().auth.getUser(token)).error?.name, "AuthSessionMissingError");
  });

  await t.step("passwords are bcrypt hashes in auth.users", async () => {
    const hash = await sql(
      stack.ready.admin_db_url,
      "select encrypted_password from auth.users where email = 'ann@example.com'",
    );
    assert.match(hash, /^\$2a\$/);
  });

  await t.step("what is not here says so", async () => {
    const reply = await fetch(`${url}/auth/v1/otp`, {
      method: "POST",
      headers: { apikey: publishable_key },
      body: "{}",
    });
    assert.equal(reply.status, 501);
    await reply.body?.cancel();
    const { version } = await (await fetch(`${url}/auth/v1/health`, { headers: { apikey: publishable_key } })).json();
    assert.equal(typeof version, "string");
  });
});

async function sql(url: string, statement: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("psql", {
    args: ["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement, url],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}
