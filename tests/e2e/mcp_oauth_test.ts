/** Applications come in by a URL alone: their user signs in and lets them in, to what was chosen, until it is taken back. */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/stdio.d.ts"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import {
  type Actor,
  App,
  approve,
  CALLBACK,
  codeOf,
  describe,
  filled,
  type Reply,
  routes,
  send,
  signingKey,
  signUp,
  startWorld,
  tokens,
  within,
  type World,
} from "./lib/mod.ts";

const accept = "application/json, text/event-stream";

Deno.test("an application signs its user in by a URL alone, and may what they chose", async (t) => {
  await using world = await startWorld();
  const { owner, stranger } = world;
  const one = await deploy(world, "one");
  const two = await deploy(world, "two");
  const url = (id: string) => `${world.ready.url}/functions/v1/mcp/${id}`;
  const app = new App();

  await t.step("the first request is refused, and says where the user signs in", async () => {
    for (const typed of [url(one), `${url(one)}/`, url(one.toUpperCase())]) {
      for (const call of [{ method: "POST", json: initialize }, { method: "GET" }, { method: "DELETE" }]) {
        const reply = await send(typed, { ...call, headers: { accept } });
        assert.equal(reply.status, 401, describe(reply));
        const at = /^Bearer resource_metadata="(.*)"$/.exec(reply.headers.get("www-authenticate")!)?.[1];
        assert.ok(at, describe(reply));
        const metadata = await send(at);
        assert.equal(metadata.status, 200, describe(metadata));
        // Claude and others compare the two as texts.
        assert.equal(metadata.json.resource, typed);
        assert.deepEqual(metadata.json.authorization_servers, [`${world.ready.url}/auth/v1`]);
      }
    }
  });

  await t.step(
    "metadata is at every path that clients try below the function, and pages of any origin may read it",
    async () => {
      const forms = [
        `${url(one)}/oauth-protected-resource`,
        `${url(one)}/.well-known/oauth-protected-resource`,
        url(`.well-known/oauth-protected-resource/${one}`),
      ];
      for (const at of forms) {
        const reply = await send(at, { headers: { "mcp-protocol-version": "2025-11-25" } });
        assert.equal(reply.json?.resource, url(one), describe(reply));
        assert.equal(reply.headers.get("access-control-allow-origin"), "*");
        const preflight = await send(at, {
          method: "OPTIONS",
          headers: {
            origin: "https://inspector.example",
            "access-control-request-method": "GET",
            "access-control-request-headers": "mcp-protocol-version",
          },
        });
        assert.equal(preflight.status, 204, describe(preflight));
        assert.match(preflight.headers.get("access-control-allow-headers")!, /mcp-protocol-version/);
      }
      // As in a hosted project: the root is not ours, so nothing may depend on it.
      const root = `${world.ready.url}/.well-known/oauth-protected-resource/functions/v1/mcp/${one}`;
      assert.equal((await send(root)).status, 404);
      const server = await send(`${world.ready.url}/.well-known/oauth-authorization-server/auth/v1`);
      assert.equal(server.json.issuer, `${world.ready.url}/auth/v1`, describe(server));
      assert.deepEqual(server.json.code_challenge_methods_supported, ["S256"]);
    },
  );

  await t.step("the client registers, its user signs in, and without a row it is told where to be let in", async () => {
    const page = await app.ask(url(one));
    assert.equal(page.pathname, "/oauth/consent");
    const id = page.searchParams.get("authorization_id")!;
    const { data } = await owner.client.auth.oauth.getAuthorizationDetails(id);
    assert.ok(data && "client" in data);
    assert.deepEqual([data.client.name, data.redirect_uri, data.user.email], [app.name, CALLBACK, owner.email]);
    // Whoever looked first decides.
    const other = await stranger.client.auth.oauth.getAuthorizationDetails(id);
    assert.equal(other.error?.status, 404);
    await app.finish(await approve(owner.client, page));
    const { claims } = tokens.decoded(app.saved!.access_token);
    assert.deepEqual([claims.sub, claims.role, claims.client_id], [
      owner.userId,
      "authenticated",
      app.client!.client_id,
    ]);
    const reply = await ask(app, url(one));
    assert.equal(reply.status, 403, describe(reply));
    const { code, grant_url } = reply.json.error.data;
    assert.equal(code, "mcp_grant_required");
    const grant = new URL(grant_url);
    assert.equal(grant.origin, page.origin);
    assert.deepEqual([...grant.searchParams], [["client_id", app.client!.client_id], ["server", one]]);
    assert.ok(reply.json.error.message.includes(grant_url), "a model can tell its user");
    await assert.rejects(app.connect(url(one)), /has not been let in/);
  });

  await t.step("let in, it lists and calls what was chosen, and nothing else", async () => {
    await letIn(owner, world.toolboxId, app, { instanceId: one, allowedTools: ["add", "uptime"] });
    for (const typed of [url(one), `${url(one)}/`]) {
      const { client, transport } = await app.connect(typed);
      assert.deepEqual((await client.listTools()).tools.map(({ name }) => name), ["add", "uptime"]);
      const sum = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
      assert.deepEqual(sum.content, [{ type: "text", text: "5" }]);
      await assert.rejects(client.callTool({ name: "echo", arguments: { message: "x" } }), /Unknown tool: echo/);
      await transport.terminateSession();
      await client.close();
    }
    const listed = await owner.tools.request("/mcp-clients");
    const [access] = listed.json.access;
    assert.deepEqual([access.name, access.client_id, access.instance_id], [app.name, app.client!.client_id, one]);
    assert.ok(access.last_used_at, describe(listed));
  });

  await t.step("its second server skips the page, and stays shut until it is chosen", async () => {
    const again = new App();
    again.client = app.client;
    const page = await again.ask(url(two));
    const id = page.searchParams.get("authorization_id")!;
    const { data } = await owner.client.auth.oauth.getAuthorizationDetails(id);
    assert.ok(data && "redirect_url" in data, "Supabase knows of users and clients only");
    await again.finish(data.redirect_url);
    refused(await ask(again, url(two)));
    assert.equal((await ask(again, url(one))).status, 200, "what was chosen before counts");
  });

  await t.step("a token that has expired is refreshed, and a refresh token is good once", async () => {
    const before = { ...app.saved! };
    app.saved = { ...before, access_token: await expired(world, before.access_token) };
    const { client } = await app.connect(url(one));
    assert.equal((await client.listTools()).tools.length, 2);
    await client.close();
    assert.notEqual(app.saved!.refresh_token, before.refresh_token);
    assert.equal((await refresh(world, app, before.refresh_token!)).json.error, "invalid_grant");
    // Used twice, it may be stolen: what it led to is over, too.
    assert.equal((await refresh(world, app, app.saved!.refresh_token!)).json.error, "invalid_grant");
    await app.finish(await approve(owner.client, await signedOut(app).ask(url(one))));
  });

  await t.step("an expiry and a revocation count at once, for a token that is still good", async () => {
    assert.equal((await ask(app, url(one))).status, 200);
    const given = await letIn(owner, world.toolboxId, app, { instanceId: one, expiresInSeconds: 60 });
    await world.db.execute("update public.mcp_access set expires_at = now() where id = :'id';", { id: given });
    refused(await ask(app, url(one)));
    const other = await letIn(owner, world.toolboxId, app, { instanceId: one });
    const { client } = await app.connect(url(one));
    const path = `/${world.toolboxId}/mcp-access/${other}`;
    assert.equal((await stranger.tools.request(path, { method: "DELETE" })).status, 404);
    assert.equal((await owner.tools.request(path, { method: "DELETE" })).status, 200);
    await assert.rejects(client.listTools(), /has not been let in/);
    await client.close();
    refused(await ask(app, url(one)));
  });

  await t.step("a connected application is revoked as a whole", async () => {
    await letIn(owner, world.toolboxId, app, {});
    for (const id of [one, two]) assert.equal((await ask(app, url(id))).status, 200);
    const path = `/mcp-clients/${app.client!.client_id}`;
    assert.equal((await stranger.tools.request(path, { method: "DELETE" })).status, 404);
    const ended = await owner.tools.request(path, { method: "DELETE" });
    assert.equal(ended.json.ended, 1, describe(ended));
    for (const id of [one, two]) refused(await ask(app, url(id)));
    const { data } = await owner.client.auth.oauth.listGrants();
    assert.deepEqual(data!.map(({ client }) => client.id), [app.client!.client_id]);
    const { error } = await owner.client.auth.oauth.revokeGrant({ clientId: app.client!.client_id });
    assert.equal(error, null);
    assert.equal((await refresh(world, app, app.saved!.refresh_token!)).json.error, "invalid_grant");
    assert.deepEqual((await owner.client.auth.oauth.listGrants()).data, []);
  });

  await t.step("a user's application may no more than the user, and no longer", async () => {
    const theirs = new App("Theirs");
    await theirs.finish(await approve(stranger.client, await theirs.ask(url(one))));
    refused(await ask(theirs, url(one)));
    const wanted = { name: theirs.name, clientId: theirs.client!.client_id, instanceId: one };
    const give = (json: Record<string, unknown>) =>
      stranger.tools.request(`/${world.toolboxId}/mcp-access`, { method: "POST", json });
    assert.equal((await give(wanted)).status, 404, "what is not theirs they do not give");
    const share = await owner.tools.request(`/${world.toolboxId}/mcp-access`, {
      method: "POST",
      json: { name: "stranger", userId: stranger.userId, instanceId: one, allowedTools: ["add"] },
    });
    const servers = await stranger.tools.request("/mcp-servers");
    assert.deepEqual(
      servers.json.servers.map((s: Record<string, unknown>) => [s.instance_id, s.is_own, s.allowed_tools, s.url]),
      [[one, false, ["add"], url(one)]],
      describe(servers),
    );
    refused(await ask(theirs, url(one)));
    assert.equal((await give(wanted)).status, 201);
    const { client } = await theirs.connect(url(one));
    assert.deepEqual((await client.listTools()).tools.map(({ name }) => name), ["add"]);
    await client.close();
    refused(await ask(theirs, url(two)));
    const path = `/${world.toolboxId}/mcp-access/${share.json.access.id}`;
    assert.equal((await owner.tools.request(path, { method: "DELETE" })).status, 200);
    refused(await ask(theirs, url(one)));
  });

  await t.step("an application that is given the URL of a toolbox uses its servers, as its user chose", async () => {
    const all = url(`toolbox/${world.toolboxId}`);
    for (const typed of [all, `${all}/`, url(`toolbox/${world.toolboxId.toUpperCase()}`)]) {
      const reply = await send(typed, { method: "POST", json: initialize, headers: { accept } });
      assert.equal(reply.status, 401, describe(reply));
      const at = /^Bearer resource_metadata="(.*)"$/.exec(reply.headers.get("www-authenticate")!)?.[1];
      assert.equal((await send(at!)).json.resource, typed);
    }
    const forms = [
      `${all}/oauth-protected-resource`,
      `${all}/.well-known/oauth-protected-resource`,
      url(`.well-known/oauth-protected-resource/toolbox/${world.toolboxId}`),
    ];
    for (const at of forms) assert.equal((await send(at)).json?.resource, all, at);
    const hosts = await owner.tools.request(`/${world.toolboxId}/mcp`);
    assert.equal(hosts.json.public_url, all, describe(hosts));
    assert.ok(
      hosts.json.hosts.some((host: { text: string; auth: string }) => host.auth === "oauth" && host.text === all),
    );
    assert.equal((await stranger.tools.request(`/${world.toolboxId}/mcp`)).status, 404);

    const whole = new App("Whole");
    await whole.finish(await approve(owner.client, await whole.ask(all)));
    const reply = await ask(whole, all);
    refused(reply);
    const grant = new URL(reply.json.error.data.grant_url);
    assert.deepEqual([...grant.searchParams], [
      ["client_id", whole.client!.client_id],
      ["server", `toolbox/${world.toolboxId}`],
    ]);
    // One server first, with one tool; then all.
    const part = (id: string) => `${id === one ? "one" : "two"}-${id.slice(0, 8)}`;
    const chosen = await letIn(owner, world.toolboxId, whole, { instanceId: one, allowedTools: ["add"] });
    const { client } = await whole.connect(all);
    assert.deepEqual((await client.listTools()).tools.map(({ name }) => name), [`${part(one)}__add`]);
    const sum = await client.callTool({ name: `${part(one)}__add`, arguments: { a: 2, b: 3 } });
    assert.deepEqual(sum.content, [{ type: "text", text: "5" }]);
    const given = await letIn(owner, world.toolboxId, whole, {});
    assert.equal(
      (await client.listTools()).tools.length,
      5,
      "of the other server all, of this one what was chosen for it",
    );
    const path = (id: string) => `/${world.toolboxId}/mcp-access/${id}`;
    assert.equal((await owner.tools.request(path(chosen), { method: "DELETE" })).status, 200);
    assert.equal((await client.listTools()).tools.length, 8);
    assert.equal((await owner.tools.request(path(given), { method: "DELETE" })).status, 200);
    await assert.rejects(client.listTools(), /has not been let in/);
    await client.close();
    refused(await ask(whole, all));
    // No more of somebody's toolbox than was shared with the user, whichever URL is asked.
    const theirs = new App("Theirs, whole");
    await theirs.finish(await approve(stranger.client, await theirs.ask(all)));
    refused(await ask(theirs, all));
    refused(await ask(theirs, url(`toolbox/${crypto.randomUUID()}`)));
  });

  await t.step("another user's token and another instance are refused alike", async () => {
    const nobody = new App("Nobody's");
    const third = await signUp(world.ready, "third@toolbox.local");
    await nobody.finish(await approve(third.client, await nobody.ask(url(one))));
    const replies = [await ask(nobody, url(one)), await ask(nobody, url(crypto.randomUUID()))];
    for (const reply of replies) refused(reply);
    const [a, b] = replies.map(({ json }) => json.error.message.replace(/server=[\w-]+/, ""));
    assert.equal(a, b);
  });

  await t.step("a user who says no sends the application away", async () => {
    const denied = new App("Denied");
    const page = await denied.ask(url(one));
    const id = page.searchParams.get("authorization_id")!;
    await owner.client.auth.oauth.getAuthorizationDetails(id);
    const { data } = await owner.client.auth.oauth.denyAuthorization(id, { skipBrowserRedirect: true });
    const back = new URL(data!.redirect_url);
    assert.equal(back.origin + back.pathname, CALLBACK);
    assert.equal(back.searchParams.get("error"), "access_denied");
    const gone = await owner.client.auth.oauth.getAuthorizationDetails(id);
    assert.equal(gone.error?.status, 404);
  });

  await t.step("mcp-remote brings a host that knows standard streams only, by the URL alone", async () => {
    const home = await Deno.makeTempDir();
    const transport = new StdioClientTransport({
      command: "node",
      args: [new URL("../../node_modules/mcp-remote/dist/proxy.js", import.meta.url).pathname, url(two)],
      // It would open a browser by a program that it finds there.
      env: { PATH: `${home}:${Deno.env.get("PATH")}`, HOME: home, MCP_REMOTE_CONFIG_DIR: `${home}/auth` },
      stderr: "pipe",
    });
    await Deno.writeTextFile(`${home}/xdg-open`, "#!/bin/sh\n", { mode: 0o755 });
    let said = "";
    const asked = new Promise<string>((resolve) =>
      transport.stderr!.on("data", (part) => {
        said += part;
        const address = /http\S+\/oauth\/authorize\?\S+/.exec(said)?.[0];
        if (address) resolve(address);
      })
    );
    const client = new Client({ name: "toolbox-e2e", version: "1" });
    const connected = client.connect(transport);
    try {
      const page = await fetch(await within(20_000, "mcp-remote asks its user", asked), { redirect: "manual" });
      await page.body?.cancel();
      const consent = new URL(page.headers.get("location")!);
      const details = await owner.client.auth.oauth.getAuthorizationDetails(
        consent.searchParams.get("authorization_id")!,
      );
      assert.ok(details.data && "client" in details.data, said);
      const { id: clientId, name } = details.data.client;
      const json = { name, clientId, instanceId: two };
      const given = await owner.tools.request(`/${world.toolboxId}/mcp-access`, { method: "POST", json });
      assert.equal(given.status, 201, describe(given));
      // Its own server waits for the browser.
      const back = await send(await approve(owner.client, consent));
      assert.equal(back.status, 200, describe(back));
      await within(20_000, "mcp-remote connects", connected);
      assert.equal((await client.listTools()).tools.length, 4);
      const sum = await client.callTool({ name: "add", arguments: { a: 20, b: 22 } });
      assert.deepEqual(sum.content, [{ type: "text", text: "42" }]);
    } catch (error) {
      throw new Error(`mcp-remote said: ${said}`, { cause: error });
    } finally {
      await client.close();
      // The SDK leaves a timer behind: it waits 2 s for the process, which ends sooner.
      await new Promise((resolve) => setTimeout(resolve, 2_100));
      await Deno.remove(home, { recursive: true });
    }
  });

  await t.step("an application's token opens no other function, table or procedure", async () => {
    await app.finish(await approve(owner.client, await signedOut(app).ask(url(one))));
    await letIn(owner, world.toolboxId, app, {});
    assert.equal((await ask(app, url(one))).status, 200, "the token is good");
    const headers = { apikey: world.ready.publishable_key, authorization: `Bearer ${app.saved!.access_token}` };
    const values = {
      toolboxId: world.toolboxId,
      instance: one,
      instanceId: one,
      accessId: one,
      clientId: "c",
      agentId: one,
      rolloutId: one,
      catalogId: one,
      userId: one,
      generation: "1",
      id: one,
    };
    let calls = 0;
    for (const name of Object.keys(world.ready.functions).filter((name) => name !== "mcp")) {
      for (const { method, path, hasBody } of await routes(name as "toolbox-tools")) {
        const at = `${world.ready.functions[name]}${filled(path, values)}`;
        const reply = await send(at, { method, headers, json: hasBody ? {} : undefined });
        // Agents and the clock have keys of their own.
        assert.equal(reply.status, ["heartbeat", "clock"].includes(name) ? 401 : 403, describe(reply));
        assert.ok(codeOf(reply), describe(reply));
        calls++;
      }
    }
    assert.ok(calls > 40, `${calls} routes`);
    const rest = `${world.ready.url}/rest/v1`;
    const tables = await world.db.rows<{ name: string }>(
      "select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')",
    );
    for (const { name } of tables) {
      const reply = await send(`${rest}/${name}?select=*`, { headers });
      assert.ok(reply.status === 403 || reply.text === "[]", describe(reply));
    }
    const procedures = await world.db.rows<{ name: string }>(
      "select proname as name from pg_proc where pronamespace = 'public'::regnamespace and prokind in ('f', 'p')",
    );
    for (const { name } of procedures) {
      const reply = await send(`${rest}/rpc/${name}`, { method: "POST", json: {}, headers });
      assert.ok([401, 403, 404].includes(reply.status), describe(reply));
    }
    assert.ok(tables.length > 10 && procedures.length > 20, `${tables.length} tables, ${procedures.length} procedures`);
  });
});

const initialize = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } },
};

function ask(app: App, url: string): Promise<Reply> {
  const authorization = `Bearer ${app.saved!.access_token}`;
  return send(url, { method: "POST", json: initialize, headers: { accept, authorization } });
}

function refused(reply: Reply): void {
  assert.equal(reply.status, 403, describe(reply));
  assert.equal(reply.json.error.data.code, "mcp_grant_required", describe(reply));
}

/** The same application without its tokens. */
function signedOut(app: App): App {
  app.saved = undefined;
  return app;
}

async function letIn(user: Actor, toolboxId: string, app: App, more: Record<string, unknown>): Promise<string> {
  const json = { name: app.name, clientId: app.client!.client_id, ...more };
  const reply = await user.tools.request(`/${toolboxId}/mcp-access`, { method: "POST", json });
  assert.equal(reply.status, 201, describe(reply));
  assert.equal(reply.json.token, null);
  return reply.json.access.id;
}

function refresh(world: World, app: App, token: string): Promise<Reply> {
  const body = new URLSearchParams({
    grant_type: "refresh_token",
    refresh_token: token,
    client_id: app.client!.client_id,
  });
  return send(`${world.ready.url}/auth/v1/oauth/token`, { method: "POST", body });
}

/** The same token as it will be when its time is over. */
async function expired(world: World, token: string): Promise<string> {
  const { header, claims } = tokens.decoded(token);
  const past = Math.floor(Date.now() / 1000) - 3600;
  return await tokens.es256({ ...claims, iat: past - 3600, exp: past }, header, await signingKey(world));
}

async function deploy(world: World, name: string): Promise<string> {
  const reply = await world.owner.tools.deploy(name, { transport: "stdio", command: ["--stdio"] }, { wait: 30 });
  assert.equal(reply.status, 201, describe(reply));
  return reply.json.tool_instance.id;
}
