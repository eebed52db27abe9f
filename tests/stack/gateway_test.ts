/** What the gateway does with keys, tokens, origins and functions. */
import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { startStack } from "../lib/stack.ts";

const project = new URL("./fixture", import.meta.url).pathname;
const password = "correct horse battery staple";

Deno.test("the gateway treats keys as Supabase's does", async (t) => {
  await using stack = await startStack({ project, dtma: false });
  const { url, publishable_key, secret_key, anon_key, service_role_key, demo } = stack.ready;
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const reply = await fetch(url + path, { headers });
    return { status: reply.status, body: await reply.json().catch(() => null), headers: reply.headers };
  };
  const whoami = async (headers: Record<string, string>) => (await get("/rest/v1/rpc/whoami", headers)).body;

  await t.step("no key and a wrong key are refused", async () => {
    for (const path of ["/rest/v1/notes", "/auth/v1/settings"]) {
      assert.equal((await get(path)).status, 401);
      assert.equal((await get(path, { apikey: "sb_publishable_wrong" })).status, 401);
      assert.equal((await get(path, { authorization: `Bearer ${demo.access_token}` })).status, 401);
      assert.equal((await get(path, { apikey: demo.access_token })).status, 401);
    }
    assert.equal((await get("/rest/v1/notes")).body.message, "No API key found in request");
  });

  await t.step("each key stands for its role", async () => {
    for (
      const [key, role] of [
        [publishable_key, "anon"],
        [anon_key, "anon"],
        [secret_key, "service_role"],
        [service_role_key, "service_role"],
      ]
    ) {
      assert.equal(await whoami({ apikey: key }), role);
      assert.equal(await whoami({ apikey: key, authorization: `Bearer ${key}` }), role);
    }
    assert.equal((await get(`/rest/v1/rpc/whoami?apikey=${publishable_key}`)).status, 200);
  });

  await t.step("a user's token is kept, whatever the key", async () => {
    const authorization = `Bearer ${demo.access_token}`;
    assert.equal(await whoami({ apikey: publishable_key, authorization }), "authenticated");
    assert.equal(await whoami({ apikey: secret_key, authorization }), "authenticated");
    const mixed = { apikey: publishable_key, authorization: `Bearer ${secret_key}` };
    assert.equal((await get("/rest/v1/rpc/whoami", mixed)).status, 401);
  });

  await t.step("forged tokens are refused", async () => {
    const [header, payload, signature] = demo.access_token.split(".");
    const none = `${btoa(JSON.stringify({ alg: "none" })).replace(/=+$/, "")}.${payload}.`;
    const changed = `${header}.${payload}.${signature.slice(0, -4)}AAAA`;
    for (const token of [none, changed, "nonsense"]) {
      const { status } = await get("/rest/v1/notes", { apikey: publishable_key, authorization: `Bearer ${token}` });
      assert.equal(status, 401);
    }
  });

  await t.step("row level security decides, through supabase-js", async () => {
    const signUp = async (email: string) => {
      const client = createClient(url, publishable_key, { auth: { persistSession: false, autoRefreshToken: false } });
      await client.auth.signUp({ email, password });
      return client;
    };
    const [ann, bob] = [await signUp("ann@example.com"), await signUp("bob@example.com")];
    const { data: inserted, error } = await ann.from("notes").insert({ body: "mine" }).select();
    assert.equal(error, null);
    assert.equal(inserted?.length, 1);
    assert.equal((await bob.from("notes").select()).data?.length, 0);
    const forged = await bob.from("notes").insert({ body: "hers", owner: inserted?.[0].owner });
    assert.equal(forged.error?.code, "42501");
    const service = createClient(url, secret_key, { auth: { persistSession: false, autoRefreshToken: false } });
    assert.equal((await service.from("notes").select()).data?.length, 1);
    const anonymous = createClient(url, publishable_key, { auth: { persistSession: false, autoRefreshToken: false } });
    assert.deepEqual((await anonymous.from("notes").select()).data, []);
  });

  await t.step("a table without a revoke is open to everybody, as on Supabase", async () => {
    const { body } = await get("/rest/v1/forgotten?select=body", { apikey: publishable_key });
    assert.deepEqual(body, [{ body: "everybody sees this" }]);
  });

  await t.step("browsers of any origin may ask auth and rest", async () => {
    for (const path of ["/rest/v1/notes", "/auth/v1/token"]) {
      const reply = await fetch(url + path, {
        method: "OPTIONS",
        headers: { origin: "https://app.example", "access-control-request-headers": "apikey,authorization" },
      });
      await reply.body?.cancel();
      assert.equal(reply.status, 200);
      assert.equal(reply.headers.get("access-control-allow-origin"), "*");
      assert.equal(reply.headers.get("access-control-allow-headers"), "apikey,authorization");
    }
    assert.equal((await get("/rest/v1/notes")).headers.get("access-control-allow-origin"), "*");
  });

  await t.step("the index names what runs", async () => {
    const { body } = await get("/");
    assert.equal(body.functions.echo, `${url}/functions/v1/echo`);
    assert.equal((await get("/nowhere")).status, 404);
  });

  await t.step("PostgREST down is 503, hanging is noticed by the caller", async () => {
    await stack.control("stop", "postgrest");
    assert.equal((await get("/rest/v1/notes", { apikey: publishable_key })).status, 503);
    await stack.control("start", "postgrest");
    await stack.control("pause", "postgrest");
    await assert.rejects(
      fetch(`${url}/rest/v1/notes`, { headers: { apikey: publishable_key }, signal: AbortSignal.timeout(300) }),
    );
    await stack.control("resume", "postgrest");
    assert.equal((await get("/rest/v1/notes", { apikey: publishable_key })).status, 200);
  });
});

Deno.test("services killed come back; suspended ones hang and go on", async (t) => {
  await using stack = await startStack({ project, dtma: false });
  const { url, publishable_key, demo } = stack.ready;
  const headers = { apikey: publishable_key };
  const signIn = async (signal?: AbortSignal) => {
    const body = JSON.stringify({ email: demo.email, password: demo.password });
    const reply = await fetch(`${url}/auth/v1/token?grant_type=password`, { method: "POST", headers, body, signal });
    await reply.body?.cancel();
    return reply.status;
  };
  const read = async (signal?: AbortSignal) => {
    const reply = await fetch(`${url}/rest/v1/notes`, { headers, signal });
    await reply.body?.cancel();
    return reply.status;
  };
  const eventually = async (what: string, attempt: () => Promise<number>) => {
    const deadline = Date.now() + 20_000;
    while (await attempt() !== 200) {
      assert(Date.now() < deadline, what);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  for (const service of ["postgrest", "postgres"]) {
    await t.step(`kill -9 of ${service}`, async () => {
      const { pid } = (await stack.state())[service];
      Deno.kill(pid!, "SIGKILL");
      await eventually("PostgREST serves again", read);
      await eventually("sign-in serves again", signIn);
      assert.notEqual((await stack.state())[service].pid, pid);
    });
  }

  await t.step("a suspended Postgres hangs whoever asks it", async () => {
    await stack.control("pause", "postgres");
    await assert.rejects(read(AbortSignal.timeout(500)));
    await assert.rejects(signIn(AbortSignal.timeout(500)));
    await stack.control("resume", "postgres");
    await eventually("PostgREST serves again", read);
    await eventually("sign-in serves again", signIn);
  });

  await t.step("the control door needs its token and names what it does not know", async () => {
    const reply = await fetch(`${stack.ready.control_url}/state`);
    await reply.body?.cancel();
    assert.equal(reply.status, 401);
    await assert.rejects(stack.control("start", "nothing"), /404/);
  });
});

Deno.test("supabase/functions/.env reaches functions, but for names that are Supabase's, and no function reaches it", async () => {
  const copy = await Deno.makeTempDir();
  await new Deno.Command("cp", { args: ["-r", `${project}/supabase`, copy] }).output();
  await Deno.writeTextFile(
    `${copy}/supabase/functions/.env`,
    'FROM_FILE="a file" # why\nSUPABASE_URL=http://elsewhere\nOVERRIDDEN=file\n',
  );
  try {
    await using stack = await startStack({ project: copy, dtma: false, functionEnv: { OVERRIDDEN: "test" } });
    const { env } = await (await fetch(stack.ready.functions.echo)).json();
    assert.equal(env.FROM_FILE, "a file");
    assert.equal(env.OVERRIDDEN, "test");
    assert.equal(env.SUPABASE_URL, stack.ready.url);
    await stack.setFunctionEnv({ STACK_DATA: stack.ready.data_dir });
    const probe = await (await fetch(stack.ready.functions.probe, { method: "POST", body: "[]" })).json();
    // This project and the stack's data lie in /tmp, which a function may write.
    assert.equal(probe.writeTemporary, "ok");
    for (const what of ["readDotEnv", "writeProject", "readStack", "writeStack"]) {
      assert.match(probe[what], /^(NotCapable|PermissionDenied): /, what);
    }
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
});

Deno.test("the gateway hands requests to functions and adds nothing", async (t) => {
  await using stack = await startStack({ project, dtma: false, functionEnv: { FROM_A_TEST: "yes" } });
  const { url, publishable_key, anon_key, demo } = stack.ready;
  const functions = `${url}/functions/v1`;
  const json = async (path: string, init: RequestInit = {}) => {
    const reply = await fetch(functions + path, init);
    return { status: reply.status, headers: reply.headers, body: await reply.json() };
  };

  await t.step("path, query, method, headers and body arrive as sent", async () => {
    const { body } = await json("/echo/a%20b/%2F?x=1&y=%3D", {
      method: "PUT",
      body: "text",
      headers: { "x-mine": "1" },
    });
    assert.equal(body.method, "PUT");
    assert.equal(body.path, "/echo/a%20b/%2F?x=1&y=%3D");
    assert.equal(body.body, "text");
    assert.equal(body.headers["x-mine"], "1");
    assert.equal(body.headers["x-forwarded-host"], new URL(url).host);
    assert.equal("authorization" in body.headers, false);
    const key = { apikey: publishable_key, authorization: `Bearer ${publishable_key}` };
    assert.equal((await json("/echo", { headers: key })).body.headers.authorization, key.authorization);
  });

  await t.step("a function's environment is Supabase's and its own, nothing of this machine", async () => {
    const { body: { env } } = await json("/echo");
    assert.deepEqual(Object.keys(env).sort(), [
      "BACKEND_TO_DTMA_API_KEY",
      "FROM_A_TEST",
      "SUPABASE_ANON_KEY",
      "SUPABASE_DB_URL",
      "SUPABASE_JWKS",
      "SUPABASE_PUBLISHABLE_KEYS",
      "SUPABASE_SECRET_KEYS",
      "SUPABASE_SERVICE_ROLE_KEY",
      "SUPABASE_URL",
      "TOOLBOX_SITE_URL",
    ]);
    assert.equal(env.SUPABASE_URL, url);
    assert.deepEqual(JSON.parse(env.SUPABASE_PUBLISHABLE_KEYS), { default: publishable_key });
    await stack.setFunctionEnv({ FROM_A_TEST: null, CHANGED: "1" });
    const { body: { env: changed } } = await json("/echo");
    assert.equal(changed.CHANGED, "1");
    assert.equal("FROM_A_TEST" in changed, false);
  });

  await t.step("preflight and CORS are the function's own business", async () => {
    const reply = await fetch(`${functions}/echo`, { method: "OPTIONS" });
    assert.equal((await reply.json()).method, "OPTIONS");
    assert.equal(reply.headers.get("access-control-allow-origin"), null);
  });

  await t.step("bodies stream both ways", async () => {
    const { readable, writable } = new TransformStream<Uint8Array>();
    const writer = writable.getWriter();
    const encode = (text: string) => new TextEncoder().encode(text);
    const sent = writer.write(encode("first"));
    const reply = await fetch(`${functions}/echo/upload`, { method: "POST", body: readable });
    await sent;
    const reader = reply.body!.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "first");
    await writer.write(encode("second"));
    assert.equal(new TextDecoder().decode((await reader.read()).value), "second");
    await writer.close();
    assert.equal((await reader.read()).done, true);
  });

  await t.step("an answer given before the body has arrived is passed on", async () => {
    const body = new Uint8Array(20 * 1024 * 1024);
    for (let i = 0; i < 20; i++) {
      const reply = await fetch(`${functions}/echo/refuse`, { method: "POST", body });
      assert.equal(`${reply.status} ${await reply.text()}`, "413 too large");
    }
  });

  await t.step("verify_jwt is on unless config.toml says otherwise", async () => {
    const status = async (headers: Record<string, string>) => {
      const reply = await fetch(`${functions}/guarded`, { headers });
      await reply.body?.cancel();
      return reply.status;
    };
    assert.equal(await status({}), 401);
    assert.equal(await status({ authorization: "Bearer nonsense" }), 401);
    assert.equal(await status({ apikey: publishable_key, authorization: `Bearer ${publishable_key}` }), 401);
    assert.equal(await status({ authorization: `Bearer ${anon_key}` }), 200);
    assert.equal(await status({ authorization: `Bearer ${demo.access_token}` }), 200);
  });

  await t.step("an unknown function is 404, one that does not start 503", async () => {
    const { status, body } = await json("/unknown/path");
    assert.equal(status, 404);
    assert.equal(body.code, "NOT_FOUND");
    const broken = await json("/broken");
    assert.equal(broken.status, 503);
    assert.equal(broken.body.code, "BOOT_ERROR");
  });

  await t.step("a worker that dies is started again", async () => {
    const before = (await stack.state()).echo;
    await (await fetch(`${functions}/echo/exit`)).text().catch(() => {});
    const deadline = Date.now() + 10_000;
    let after = before;
    while ((after.pid === before.pid || !after.ready) && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      after = (await stack.state()).echo;
    }
    assert.notEqual(after.pid, before.pid);
    assert.equal(after.restarts, before.restarts + 1);
    assert.equal((await json("/echo")).status, 200);
  });

  await t.step("background work is finished before a worker stops", async () => {
    const reply = await fetch(`${functions}/echo/background`);
    assert.equal(await reply.text(), "accepted");
    await stack.control("stop", "echo");
    const log = await Deno.readTextFile(`${stack.ready.data_dir}/logs/echo.log`);
    assert.match(log, /background work is done/);
    assert.equal((await json("/echo")).status, 503);
  });
});
