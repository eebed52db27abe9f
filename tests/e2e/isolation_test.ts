/**
 * Who is not the owner gets nothing: from any route, table or procedure. Routes come from the OpenAPI documents
 * (which other tests compare with the code), tables and procedures from Postgres' own catalogue, so that a new one
 * is covered the day it appears. The exceptions are the lists below; they may only shrink.
 */
import assert from "node:assert/strict";
import {
  actions,
  agentKey,
  type Call,
  type Caller,
  codeOf,
  describe,
  filled,
  mcpToken,
  outsiders,
  pooled,
  type Reply,
  routes,
  SAMPLE_CATALOG_ID,
  send,
  signingKey,
  startWorld,
  tokens,
  type World,
} from "./lib/mod.ts";

/** Routes of the agent that anybody may call. */
const PUBLIC_AGENT_ROUTES = ["GET /health"];
/** Tables whose rows anybody who is signed in may read: the catalog is an offer to all. */
const READABLE_BY_STRANGERS = ["tool_catalog"];
/** May only shrink: tables in which users remove rows of their own. */
const WRITTEN_BY_USERS = ["alert_channels", "alert_rules", "agents"];

const CANARY = `canary-${crypto.randomUUID()}`;
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

Deno.test("isolation: outsiders get nothing from any route, table or procedure", async (t) => {
  await using world = await startWorld({ dtmaEnv: { DTMA_HEARTBEAT_INTERVAL: "300" } });
  // Taking legacy tokens as well, so that those below are refused for what is broken in them and not for their kind.
  await world.stack.setFunctionEnv({ SUPABASE_JWT_SECRET: world.ready.jwt_secret });
  const victim = await deployVictim(world);
  // What is compared must change by nobody's doing but the outsiders': no heartbeat is taken meanwhile, and the toolbox
  // is not missed before the test is over.
  for (const name of ["heartbeat", "clock"]) await world.stack.control("stop", name);
  const callers = await outsiders(world);
  const before = await state(world);

  await t.step("the forged tokens differ from genuine ones only in what they forge", async () => {
    // Otherwise the refusals below would prove nothing.
    const issuer = String(tokens.decoded(world.owner.token).claims.iss);
    const claims = tokens.claims(issuer, world.owner.userId);
    const { kid } = tokens.decoded(world.owner.token).header;
    for (
      const unbroken of [
        await tokens.es256(claims, { kid }, await signingKey(world)),
        await tokens.hs256(claims, world.ready.jwt_secret),
      ]
    ) {
      const reply = await send(`${world.functionUrl}/${world.toolboxId}/tools/${victim.id}`, {
        headers: { apikey: world.ready.publishable_key, authorization: `Bearer ${unbroken}` },
      });
      assert.equal(reply.status, 200, `an unbroken token is taken: ${describe(reply)}`);
    }
  });

  await t.step("every documented route refuses every outsider with a code", async () => {
    const calls = await documented(world, victim);
    console.log(`isolation: ${calls.length} calls of toolbox-tools x ${callers.length} callers`);
    await pooled(crossed(callers, calls), 8, async ([caller, { route, call, isOwn }]) => {
      const reply = await send(route, { ...call, headers: { ...call.headers, ...caller.headers } });
      const said = `${caller.name}: ${describe(reply)}`;
      keepsSecrets(reply, victim, said);
      if (isOwn && caller.known && !caller.program) {
        assert.equal(reply.status, 200, said);
        assert.deepEqual(reply.json.servers ?? reply.json.access, [], said);
        return;
      }
      assert.equal(reply.status, caller.program ? 403 : caller.known ? 404 : 401, said);
      assert.ok(codeOf(reply), said);
      assert.ok(reply.json.error.request_id, said);
    });
    assert.deepEqual(await state(world), before, "nothing changed in the database or in Docker");
  });

  await t.step("toolboxes and agents are shown and changed to their owner only", async () => {
    const agentId = crypto.randomUUID();
    await world.db.execute("insert into public.agents (id, user_id, name) values (:'agentId', :'user', 'private')", {
      agentId,
      user: world.owner.userId,
    });
    const before = await state(world);
    // A well-formed body of each route that takes one.
    const bodies: Record<string, unknown> = {
      "POST /": { kind: "byo", name: "intruder" },
      "PATCH /{toolboxId}": { name: "intruder" },
      "POST /{toolboxId}/resize": { sizeSlug: "s-1vcpu-1gb" },
    };
    const found = await Promise.all(
      (["toolboxes-user", "manage-agent-tool-environment"] as const).map(async (name) =>
        (await routes(name)).map(({ method, path, hasBody }) => {
          const json = hasBody ? bodies[`${method} ${path}`] : undefined;
          assert.equal(json !== undefined, hasBody, `${method} ${path} needs a body here`);
          const route = `${world.ready.url}/functions/v1/${name}${
            filled(path, { toolboxId: world.toolboxId, agentId })
          }`;
          return { path, route, call: { method, json } };
        })
      ),
    );
    await pooled(crossed(callers, found.flat()), 8, async ([caller, { path, route, call }]) => {
      const namesNothing = !path.includes("{");
      // What a stranger makes is the stranger's own.
      if (caller.known && !caller.program && namesNothing && call.method === "POST") return;
      const reply = await send(route, { ...call, headers: caller.headers });
      const said = `${caller.name}: ${describe(reply)}`;
      keepsSecrets(reply, victim, said);
      if (caller.program) return assert.equal(reply.status, 403, said);
      if (caller.known && path === "/quota") {
        return assert.deepEqual(reply.json.used, { toolboxes: 0, monthly_usd: 0 }, said);
      }
      if (caller.known && namesNothing) {
        // An empty list, no agent in the path, or nothing that can be bought here.
        return assert.ok(reply.text === "[]" || [400, 500].includes(reply.status), said);
      }
      assert.equal(reply.status, caller.known ? 404 : 401, said);
      assert.ok(codeOf(reply), said);
    });
    assert.deepEqual(await state(world), before, "nothing changed");
    await world.db.execute("delete from public.agents where id = :'agentId'", { agentId });
  });

  await t.step("the function operators refuses everybody but operators, who are not told what users run", async () => {
    const rolloutId = crypto.randomUUID();
    await world.db.execute(
      `insert into public.rollouts (id, user_id, is_fleet, version, wave_size, toolboxes, state, ended_at)
       values (:'rolloutId', gen_random_uuid(), true, '1.0.0', 1,
         jsonb_build_array(jsonb_build_object('id', :'id', 'name', 'one', 'state', 'waiting')), 'running', null)`,
      { rolloutId, id: world.toolboxId },
    );
    const before = await state(world);
    const values = { rolloutId, catalogId: SAMPLE_CATALOG_ID, userId: world.owner.userId };
    const calls = (await routes("operators")).map(({ method, path, hasBody }) => ({
      method,
      route: `${world.ready.url}/functions/v1/operators${filled(path, values)}`,
      json: hasBody ? {} : undefined,
    }));
    assert.ok(calls.length >= 10, "the document was read");
    const others = callers.filter((caller) => !caller.operator);
    await pooled(crossed(others, calls), 8, async ([caller, { method, route, json }]) => {
      const reply = await send(route, { method, json, headers: caller.headers });
      const said = `${caller.name}: ${describe(reply)}`;
      assert.equal(reply.status, caller.known ? 403 : 401, said);
      assert.ok(codeOf(reply), said);
      keepsSecrets(reply, victim, said);
    });
    assert.deepEqual(await state(world), before, "nothing changed");
    const [operator] = callers.filter((caller) => caller.operator);
    // The owner's address is what they find a toolbox by; it is the one exception, and may stay the only one.
    const unseen = { ...victim, secrets: victim.secrets.filter((secret) => secret !== world.owner.email) };
    for (const { method, route } of calls.filter(({ method }) => method === "GET")) {
      const reply = await send(route, { method, headers: operator.headers });
      assert.equal(reply.status, 200, describe(reply));
      keepsSecrets(reply, unseen, describe(reply));
      assert.ok(!reply.text.includes(victim.name), "nor the name of a tool");
    }
    const fleet = await send(`${world.ready.url}/functions/v1/operators/fleet`, { headers: operator.headers });
    const seen = fleet.json.toolboxes.find(({ id }: { id: string }) => id === world.toolboxId);
    assert.deepEqual([seen.owner_email, seen.tools, seen.failing_tools], [world.owner.email, 1, 0]);
    assert.deepEqual(await state(world), before, "looking changes nothing");
    await world.db.execute("delete from public.rollouts where id = :'rolloutId'", { rolloutId });
  });

  await t.step("the MCP server refuses every outsider, however it is called", async () => {
    const base = `${world.ready.url}/functions/v1/mcp`;
    const urls = [`${base}/${victim.id}`, `${base}/toolbox/${world.toolboxId}`];
    const calls = urls.flatMap((url) => ["POST", "GET", "DELETE"].map((method) => ({ url, method })));
    await pooled(crossed(callers, calls), 8, async ([caller, { url, method }]) => {
      const json = method === "POST" ? { jsonrpc: "2.0", id: 1, method: "tools/list" } : undefined;
      const accept = "application/json, text/event-stream";
      const reply = await send(url, { method, json, headers: { accept, ...caller.headers } });
      const said = `${caller.name}: ${describe(reply)}`;
      assert.equal(reply.status, caller.known ? 403 : 401, said);
      assert.ok(reply.json.error.data.code, said);
      assert.equal(reply.headers.has("www-authenticate"), reply.status === 401, said);
      keepsSecrets(reply, victim, said);
    });
    assert.deepEqual(await state(world), before);
  });

  await t.step("no other method on any of these paths answers them either", async () => {
    const paths = new Set((await routes("toolbox-tools")).map(({ path }) => path));
    const values = {
      toolboxId: world.toolboxId,
      instance: victim.id,
      accessId: crypto.randomUUID(),
      clientId: "chat-app",
      generation: "1",
    };
    const calls = [...paths].flatMap((path) =>
      METHODS.map((method) => ({ method, url: world.functionUrl + filled(path, values) }))
    );
    await pooled(crossed(callers, calls), 8, async ([caller, { method, url }]) => {
      const json = ["GET", "HEAD", "DELETE"].includes(method) ? undefined : {};
      const reply = await send(url, { method, json, headers: caller.headers });
      const said = `${caller.name}: ${describe(reply)}`;
      // Whoever is signed in may learn that the body is malformed; nobody else even that.
      const isEmpty = reply.status === 200 && (reply.json.servers ?? reply.json.access)?.length === 0;
      assert.ok(
        [401, 404, 405, ...(caller.known ? [400, 403, 422] : [])].includes(reply.status) || caller.known && isEmpty,
        said,
      );
      keepsSecrets(reply, victim, said);
    });
    assert.deepEqual(await state(world), before);
  });

  await t.step("every table refuses every outsider", async () => {
    const tables = await exposedTables(world);
    assert.ok(tables.length >= 5, "the catalogue was read");
    const readers = callers.filter((caller) => !caller.functionsOnly);
    console.log(`isolation: ${tables.length} tables x ${readers.length} callers x 4 commands`);
    await pooled(crossed(readers, tables), 8, async ([caller, table]) => {
      const url = `${world.ready.url}/rest/v1/${encodeURIComponent(table.name)}`;
      const read = await send(`${url}?select=*`, { headers: caller.headers });
      const some = await send(`${url}?select=${table.column}`, {
        headers: { ...caller.headers, prefer: "count=exact" },
      });
      for (const reply of [read, some]) {
        const said = `${caller.name}: ${describe(reply)}`;
        keepsSecrets(reply, victim, said);
        if (caller.known && READABLE_BY_STRANGERS.includes(table.name)) continue;
        assert.ok(shut(reply, caller) || (reply.status === 200 && reply.text === "[]"), said);
        if (reply.status === 200) assert.match(reply.headers.get("content-range") ?? "*/0", /\*\/(0|\*)$/, said);
      }
      const all = `${table.column}=not.is.null`;
      const writes: [string, Call][] = [
        [url, { method: "POST", json: table.row }],
        [url, {
          method: "POST",
          json: table.row,
          headers: { prefer: "resolution=merge-duplicates" },
        }],
        [`${url}?${all}`, { method: "PATCH", json: table.row }],
        ...table.columns.map((column) =>
          [`${url}?${all}`, { method: "PATCH", json: { [column]: table.row[column] ?? null } }] as [string, Call]
        ),
        [`${url}?${all}`, { method: "DELETE" }],
      ];
      for (const [target, call] of writes) {
        const reply = await send(target, { ...call, headers: { ...call.headers, ...caller.headers } });
        const said = `${caller.name}: ${describe(reply)}`;
        // A filter that matches nothing under the policy answers 204; the state below proves it.
        const mayWrite = call.method === "PATCH" || call.method === "DELETE" && WRITTEN_BY_USERS.includes(table.name);
        const matchedNothing = mayWrite && reply.status === 204 && caller.known;
        assert.ok(shut(reply, caller) || matchedNothing, said);
        keepsSecrets(reply, victim, said);
      }
    });
    assert.deepEqual(await state(world), before);
  });

  await t.step("every procedure refuses every outsider", async () => {
    const procedures = await exposedProcedures(world);
    assert.ok(procedures.length >= 2, "the catalogue was read");
    const readers = callers.filter((caller) => !caller.functionsOnly);
    await pooled(crossed(readers, procedures), 8, async ([caller, procedure]) => {
      for (const json of [{}, Object.fromEntries(procedure.arguments.map((name) => [name, {}]))]) {
        const reply = await send(`${world.ready.url}/rest/v1/rpc/${procedure.name}`, {
          method: "POST",
          json,
          headers: caller.headers,
        });
        const said = `${caller.name}: ${describe(reply)}`;
        assert.ok(shut(reply, caller), said);
        keepsSecrets(reply, victim, said);
      }
    });
    assert.deepEqual(await state(world), before);
  });

  await t.step("no schema but the public one is served", async () => {
    const schemas = await world.db.rows<{ name: string }>(
      "select nspname as name from pg_namespace where nspname not in ('public')",
    );
    await pooled(crossed(callers, schemas), 8, async ([caller, { name }]) => {
      const reply = await send(`${world.ready.url}/rest/v1/users`, {
        headers: { ...caller.headers, "accept-profile": name },
      });
      assert.ok(reply.status === 406 || shut(reply, caller), `${caller.name}, ${name}: ${describe(reply)}`);
    });
  });

  await t.step("what PostgREST serves is what the catalogue holds", async () => {
    const secret = world.ready.secret_key;
    const root = await send(`${world.ready.url}/rest/v1/`, { headers: { apikey: secret } });
    assert.equal(root.status, 200, describe(root));
    const known = new Set((await exposedTables(world)).map(({ name }) => name));
    for (const name of Object.keys(root.json.definitions)) {
      assert.ok(known.has(name), `${name} is served and was not tested`);
    }
    const procedures = new Set((await exposedProcedures(world)).map(({ name }) => name));
    for (const path of Object.keys(root.json.paths).filter((path) => path.startsWith("/rpc/"))) {
      assert.ok(procedures.has(path.slice(5)), `${path} is served and was not tested`);
    }
  });

  await t.step("every route of the agent refuses every key but its own", async () => {
    const found = await routes("dtma");
    const open = found.filter((route) => route.public).map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(open, PUBLIC_AGENT_ROUTES, "the document's public routes are the exceptions above");
    for (const [who, headers] of await strangersToTheAgent(world, victim)) {
      for (const { method, path } of found) {
        if (PUBLIC_AGENT_ROUTES.includes(`${method} ${path}`)) continue;
        const reply = await world.agent.call(filled(path, { id: victim.id }), {
          key: null,
          method,
          headers,
          json: method === "GET" ? undefined : {},
        });
        const said = `${who}: ${describe(reply)}`;
        assert.equal(reply.status, 401, said);
        assert.equal(codeOf(reply), "unauthorized", said);
        keepsSecrets(reply, victim, said);
      }
    }
    for (const path of PUBLIC_AGENT_ROUTES.map((route) => route.split(" ")[1])) {
      const reply = await world.agent.call(path, { key: null });
      assert.equal(reply.status, 200);
      keepsSecrets(reply, victim, describe(reply));
      assert.ok(!reply.text.includes(world.toolboxId), "health does not say whose machine it is");
    }
    assert.deepEqual(await state(world), before);
  });

  await t.step("the owner's MCP token opens one endpoint and nothing else", async () => {
    const access = await world.owner.tools.mcp(victim.id);
    assert.equal(access.status, 200, describe(access));
    const { url, token, certificate } = access.json;
    assert.equal(url, `${world.agent.url}/mcp/${victim.id}`);
    assert.equal(certificate, world.agent.certificate);
    assert.equal(token, await mcpToken(world.agent.key, victim.id));
    for (const { method, path } of await routes("dtma")) {
      if (PUBLIC_AGENT_ROUTES.includes(`${method} ${path}`)) continue;
      const isMcp = path.startsWith("/mcp/");
      for (const id of isMcp ? [victim.id, crypto.randomUUID()] : [victim.id]) {
        const reply = await world.agent.call(filled(path, { id }), {
          key: token,
          method,
          json: method === "GET" ? undefined : { jsonrpc: "2.0", id: 1, method: "ping" },
          headers: { accept: "application/json, text/event-stream" },
        });
        if (isMcp && id === victim.id) assert.notEqual(reply.status, 401, describe(reply));
        else assert.equal(codeOf(reply), "unauthorized", describe(reply));
      }
    }
    assert.deepEqual(await state(world), before);
  });

  await t.step("a stranger's own toolbox is no door to the owner's", async () => {
    // Their own toolbox in the path, the owner's instance behind it.
    const own = crypto.randomUUID();
    await world.db.execute(
      `insert into public.account_tool_environments (id, user_id, name) values (:'own', :'user', 'mine');`,
      { own, user: world.stranger.userId },
    );
    const mine = world.stranger.tools.on(own);
    for (
      const reply of [
        await mine.get(victim.id),
        await mine.stop(victim.id),
        await mine.remove(victim.id),
        await mine.logs(victim.id),
        await mine.mcp(victim.id),
        await mine.get(victim.name),
      ]
    ) {
      assert.ok([404, 409, 503].includes(reply.status), describe(reply));
      keepsSecrets(reply, victim, describe(reply));
    }
    const { container_id: id } = (await world.owner.tools.get(victim.id)).json.tool_instance;
    assert.equal((await world.docker.container(victim.id)).Id, id);
    assert.equal((await world.db.instance(victim.id))?.status_on_toolbox, "running");
  });
});

interface Victim {
  id: string;
  name: string;
  /** Texts that no outsider may ever see. */
  secrets: string[];
}

/** An instance of the owner's, running, with a secret in its environment. */
async function deployVictim(world: World): Promise<Victim> {
  const name = `private ${crypto.randomUUID().slice(0, 8)}`;
  const reply = await world.owner.tools.deploy(name, { environmentVariables: { API_KEY: CANARY } }, { wait: 30 });
  assert.equal(reply.status, 201, describe(reply));
  const view = reply.json.tool_instance;
  const secrets = [
    CANARY,
    view.container_id,
    view.container_name,
    view.image_digest,
    world.owner.email,
    world.agent.key,
    await mcpToken(world.agent.key, view.id),
    world.ready.secret_key,
  ];
  return { id: view.id, name, secrets };
}

/** The answer holds nothing of the victim's that the caller did not send. */
function keepsSecrets(reply: Reply, victim: Victim, said: string): void {
  const whole = reply.text + JSON.stringify([...reply.headers]);
  for (const secret of victim.secrets) assert.ok(!whole.includes(secret), `tells "${secret}": ${said}`);
}

/** PostgREST let nothing through. */
function shut(reply: Reply, caller: Caller): boolean {
  const noSuchRole = caller.noSuchRole === true && reply.status === 400 && reply.json?.code === "22023";
  return [401, 403, 404].includes(reply.status) || noSuchRole;
}

interface Documented {
  route: string;
  call: Call;
  /** It lists what is the caller's: nothing, for a stranger. */
  isOwn: boolean;
}

/** A well-formed call of every documented route; those that take an action, once for each action. */
async function documented(world: World, victim: Victim): Promise<Documented[]> {
  const calls: Documented[] = [];
  const toolboxId = world.toolboxId;
  const deploy = { toolCatalogId: SAMPLE_CATALOG_ID, instanceNameOnToolbox: "intruder", baseConfigOverrideJson: {} };
  for (const { method, path, hasBody } of await routes("toolbox-tools")) {
    for (const instance of path.includes("{instance}") ? [victim.id, victim.name] : [""]) {
      const route = world.functionUrl +
        filled(path, { toolboxId, instance, accessId: crypto.randomUUID(), clientId: "chat-app", generation: "1" });
      const isOwn = method === "GET" && !path.includes("{");
      if (!hasBody) {
        calls.push({ route, call: { method }, isOwn });
      } else if (path.endsWith("/mcp-access")) {
        calls.push({ route, call: { method, json: { name: "intruder" } }, isOwn });
      } else if (path.endsWith("/mcp/pin")) {
        calls.push({ route, call: { method, json: { fingerprint: "0".repeat(64) } }, isOwn });
      } else if (method === "PATCH") {
        calls.push({ route, call: { method, json: { baseConfigOverrideJson: { command: ["--stdio"] } } }, isOwn });
      } else {
        calls.push({ route, call: { method, json: { toolboxId, ...deploy } }, isOwn });
        for (const action of await actions()) {
          calls.push({ route, call: { method, json: { toolboxId, ...deploy, action, instanceId: victim.id } }, isOwn });
        }
      }
    }
  }
  return calls;
}

/** Headers that do not open the agent, and whose they are. */
async function strangersToTheAgent(world: World, victim: Victim): Promise<[string, Record<string, string>][]> {
  const root = world.ready.agent_root;
  const { key, epoch } = world.agent;
  const derived = (id: string, purpose?: Parameters<typeof agentKey>[2]) => agentKey(root, id, purpose, epoch);
  assert.equal(await derived(world.toolboxId), key, "the test derives keys as the product does");
  assert.notEqual(epoch, 0, "an enrolment begins a new epoch");
  const inward = await derived(world.toolboxId, "agent-to-control");
  const replaced = await agentKey(root, world.toolboxId);
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  return [
    ["no key", {}],
    ["an empty key", bearer("")],
    ["a wrong key", bearer(`tbk_${"0".repeat(64)}`)],
    ["another toolbox's key", bearer(await derived(crypto.randomUUID()))],
    ["the key of the other direction", bearer(inward)],
    ["the key of the epoch before the enrolment", bearer(replaced)],
    ["the root secret", bearer(root)],
    ["the owner's access token", bearer(world.owner.token)],
    ["the project's secret key", bearer(world.ready.secret_key)],
    ["another instance's MCP token", bearer(await mcpToken(key, crypto.randomUUID()))],
    ["the MCP token of the epoch before the enrolment", bearer(await mcpToken(replaced, victim.id))],
    ["the MCP token of the other direction's key", bearer(await mcpToken(inward, victim.id))],
    ["the key cut short", bearer(key.slice(0, -1))],
    ["the key and more", bearer(`${key}0`)],
    ["the key in upper case", bearer(key.toUpperCase())],
    ["the key as basic authorization", { authorization: `Basic ${btoa(`dtma:${key}`)}` }],
    ["the key in another header", { "x-api-key": key, apikey: key }],
  ];
}

interface ExposedTable {
  name: string;
  column: string;
  columns: string[];
  /** A row of the owner's to write back, under a new id. */
  row: Record<string, unknown>;
}

/** Every relation of the served schema, from Postgres' catalogue. */
async function exposedTables(world: World): Promise<ExposedTable[]> {
  const found = await world.db.rows<{ name: string; columns: string[] }>(`
    select c.relname as name, (
      select json_agg(a.attname order by a.attnum) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
    ) as columns
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
    order by 1`);
  return await Promise.all(found.map(async ({ name, columns }) => {
    const [json] = await world.db.rows<{ row: Record<string, unknown> }>(
      `select to_jsonb(t) as row from public.:"name" t limit 1`,
      { name },
    );
    const row = Object.fromEntries(columns.map((column) => [column, json?.row[column] ?? null]));
    return {
      name,
      column: columns[0],
      columns,
      row: { ...row, ...(columns.includes("name") ? { name: "intruder" } : {}) },
    };
  }));
}

/** Every function of the served schema, from Postgres' catalogue. */
function exposedProcedures(world: World): Promise<{ name: string; arguments: string[] }[]> {
  return world.db.rows(`
    select p.proname as name, coalesce(to_json(p.proargnames), '[]') as arguments
    from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p') order by 1`);
}

/** Everything an outsider could have changed: each table's content as a hash, and each container's state. */
async function state(world: World): Promise<Record<string, unknown>> {
  const tables = await world.db.rows<{ schema: string; name: string }>(`
    select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'private') and c.relkind in ('r', 'p') order by 1, 2`);
  const hashes: Record<string, unknown> = {};
  for (const { schema, name } of tables) {
    const { hash } = await world.db.row<{ hash: string }>(
      `select md5(coalesce(string_agg(t::text, chr(10) order by t::text), '')) as hash from :"schema".:"name" t`,
      { schema, name },
    );
    hashes[`${schema}.${name}`] = hash;
  }
  const containers = (await world.docker.containers()).map(({ Id, State }) => [Id, State.Status, State.StartedAt]);
  return { ...hashes, containers };
}

function crossed<A, B>(as: readonly A[], bs: readonly B[]): [A, B][] {
  return as.flatMap((a) => bs.map((b) => [a, b] as [A, B]));
}
