/** Every refusal, provoked for real: its status, its stable code, its envelope; and what a browser sees. */
import assert from "node:assert/strict";
import {
  codeOf,
  describe,
  docker,
  filled,
  pooled,
  type Reply,
  routes,
  SAMPLE_CATALOG_ID,
  send,
  startWorld,
} from "./lib/mod.ts";

const UNKNOWN = "11111111-2222-4333-8444-555555555555";

Deno.test("every refusal has its status, its code and the envelope", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const base = `/${world.toolboxId}/tools`;
  const deployed = await tools.deploy("there", {}, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const id = deployed.json.instanceId;
  const deployBody = { toolCatalogId: SAMPLE_CATALOG_ID, instanceNameOnToolbox: "new" };
  const post = (path: string, body: BodyInit, headers: Record<string, string> = {}) =>
    tools.request(path, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...headers },
      fresh: true,
    });

  await t.step("400: a body that is not the JSON expected", async () => {
    const bodies = [
      "",
      "{",
      "[]",
      "null",
      "1",
      '"text"',
      "{}{}",
      "\u0000",
      '{"a":',
      "undefined",
      "NaN",
      "[".repeat(100_000),
      '{"toolCatalogId":1}',
      '{"toolCatalogId":"' + SAMPLE_CATALOG_ID + '","instanceNameOnToolbox":7}',
      JSON.stringify({ ...deployBody, baseConfigOverrideJson: [] }),
      JSON.stringify({ ...deployBody, baseConfigOverrideJson: { environmentVariables: { A: 1 } } }),
      JSON.stringify({ ...deployBody, baseConfigOverrideJson: { portMappings: [{ containerPort: "eighty" }] } }),
      JSON.stringify({ ...deployBody, baseConfigOverrideJson: { portMappings: [{ containerPort: 1e99 }] } }),
      JSON.stringify({ ...deployBody, baseConfigOverrideJson: { portMappings: [{ containerPort: -1 }] } }),
      JSON.stringify({ ...deployBody, baseConfigOverrideJson: { dockerImag: "a misspelt field" } }),
    ];
    for (const body of bodies) {
      const reply = await post(base, body);
      assert.equal(reply.status, 400, `${body.slice(0, 100)}: ${describe(reply)}`);
      refused(reply, 400, "invalid_json");
    }
    refused(await post(base, new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 400, "invalid_json");
  });

  await t.step("400: an action, a parameter or a path segment that is none", async () => {
    for (const action of ["", "reboot", "START", "list ", "__proto__"]) {
      refused(await post(base, JSON.stringify({ action, instanceId: id })), 400, "invalid_action");
    }
    refused(await post("/", JSON.stringify({ action: "list" })), 400, "invalid_request");
    refused(await post("/", JSON.stringify({ action: "list", toolboxId: "not-an-id" })), 400, "invalid_request");
    refused(await post(base, JSON.stringify({ action: "stop" })), 400, "invalid_request");
    refused(await tools.on("not-an-id").list(), 400, "invalid_request");
    const queries: Record<string, string | number>[] = [
      { tail: "many" },
      { tail: -1 },
      { tail: 1.5 },
      { since: "yesterday" },
      { follow: "maybe" },
    ];
    for (const query of queries) {
      refused(await tools.logs(id, query), 400, "invalid_request");
    }
    // The path and the body must not name two toolboxes.
    refused(await post(base, JSON.stringify({ action: "list", toolboxId: UNKNOWN })), 400, "invalid_request");
  });

  await t.step("401: no token, an API key, a token that is none", async () => {
    refused(await send(world.functionUrl + base), 401, "authentication_required");
    // What a gateway makes of a key without a token is a key as the token.
    refused(await world.anonymous.list(), 401, "user_token_required");
    const key = world.ready.publishable_key;
    refused(await tools.request(base, { headers: { authorization: `Bearer ${key}` } }), 401, "user_token_required");
    refused(
      await tools.request(base, { headers: { authorization: `Bearer ${world.ready.secret_key}` } }),
      401,
      "user_token_required",
    );
    refused(await tools.request(base, { headers: { authorization: "Bearer a.b.c" } }), 401, "invalid_token");
  });

  await t.step("404: each kind of nothing has its own code", async () => {
    refused(await tools.on(UNKNOWN).list(), 404, "toolbox_not_found");
    refused(await tools.on(UNKNOWN).deploy("x"), 404, "toolbox_not_found");
    refused(await tools.get(UNKNOWN), 404, "instance_not_found");
    for (
      const reply of [
        await tools.start(UNKNOWN),
        await tools.stop(UNKNOWN),
        await tools.restart(UNKNOWN),
        await tools.remove(UNKNOWN),
        await tools.logs(UNKNOWN),
        await tools.update(UNKNOWN, {}),
      ]
    ) {
      refused(reply, 404, "instance_not_found");
    }
    refused(await tools.deploy("x", {}, { catalogId: UNKNOWN }), 404, "catalog_tool_not_found");
    for (
      const path of [
        "/nothing",
        `${base}/${id}/explode`,
        `${base}/${id}/start/again`,
        `/${world.toolboxId}`,
        "/%00",
      ]
    ) {
      refused(await tools.request(path), 404, "route_not_found");
    }
  });

  await t.step("405: the path exists for other methods, and says which", async () => {
    for (const { path, methods } of await byPath()) {
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"].filter((method) => !methods.includes(method))) {
        const values = {
          toolboxId: world.toolboxId,
          instance: id,
          accessId: UNKNOWN,
          clientId: "chat-app",
          generation: "1",
        };
        const reply = await tools.request(filled(path, values), { method });
        refused(reply, 405, "method_not_allowed");
        const allowed = (reply.headers.get("allow") ?? "").split(/,\s*/);
        for (const known of methods) assert.ok(allowed.includes(known), `Allow: ${allowed} lacks ${known} for ${path}`);
      }
    }
  });

  await t.step("409: the name is taken; the state does not allow it", async () => {
    refused(await tools.deploy("there"), 409, "name_taken");
    await world.db.execute("update public.account_tool_environments set status = 'unresponsive' where id = :'id';", {
      id: world.toolboxId,
    });
    await world.db.execute(
      "update public.account_tool_environments set status = 'pending_deprovision' where id = :'id';",
      { id: world.toolboxId },
    );
    try {
      refused(await tools.deploy("too late"), 409, "toolbox_not_active");
    } finally {
      await world.db.execute(
        "alter table public.account_tool_environments disable trigger guard; update public.account_tool_environments set status = 'active' where id = :'id'; alter table public.account_tool_environments enable trigger guard;",
        { id: world.toolboxId },
      );
    }
  });

  await t.step("413: a body over 256 KiB, told in advance or not, without reading it all", async () => {
    const fits = JSON.stringify({
      ...deployBody,
      baseConfigOverrideJson: { environmentVariables: { A: "x".repeat(33 * 1024) } },
    });
    refused(await post(base, fits), 422, "validation_failed");
    const over = JSON.stringify({ ...deployBody, pad: "x".repeat(256 * 1024) });
    for (const path of [base, "/"]) {
      refused(await post(path, over), 413, "body_too_large");
      refused(await post(path, new Blob([over]).stream()), 413, "body_too_large");
    }
    refused(
      await tools.request(`${base}/${id}`, {
        method: "PATCH",
        body: over,
        headers: { "content-type": "application/json" },
        fresh: true,
      }),
      413,
      "body_too_large",
    );

    const huge = "x".repeat(20 * 1024 * 1024);
    const reply = await post(base, huge);
    refused(reply, 413, "body_too_large");
    assert.ok(reply.ms < 5_000, `took ${reply.ms} ms`);
    // The next request is served as if nothing had been.
    assert.equal((await tools.get(id)).status, 200);
  });

  await t.step("415: a body that says it is something else than JSON", async () => {
    const json = JSON.stringify(deployBody);
    for (
      const type of [
        "application/x-www-form-urlencoded",
        "application/xml",
        "multipart/form-data",
        "text/json5",
      ]
    ) {
      refused(await post(base, json, { "content-type": type }), 415, "unsupported_media_type");
    }
    for (const type of ["application/json; charset=utf-8", "APPLICATION/JSON", "text/plain;charset=UTF-8"]) {
      const reply = await post(base, JSON.stringify({ action: "list" }), { "content-type": type });
      assert.equal(reply.status, 200, describe(reply));
    }
  });

  await t.step("422: every rule of a spec, all broken ones together", async () => {
    const override = {
      dockerImage: "not an image",
      environmentVariables: { "1BAD": "a", OK: "b\u0000" },
      portMappings: [{ containerPort: 0 }, { containerPort: 8080, hostPort: 22 }, {
        containerPort: 8081,
        hostPort: 30000,
      }],
      volumes: [{ name: "Bad Name", path: "/ok" }, { name: "ok", path: "relative/../path" }],
      resources: { memory: "1Ki", cpu: 1000, pids: 0 },
      command: Array(65).fill("x"),
    };
    const reply = await tools.deploy("x", override);
    refused(reply, 422, "validation_failed");
    const fields = reply.json.error.details.errors.map((error: { field: string }) => error.field).join(" ");
    for (
      const part of [
        "dockerImage",
        "environmentVariables",
        "portMappings[0].containerPort",
        "portMappings[1].hostPort",
        "portMappings[2].hostPort",
        "volumes[0].name",
        "volumes[1].path",
        "resources.memory",
        "resources.cpu",
        "resources.pids",
        "command",
      ]
    ) {
      assert.ok(fields.includes(`baseConfigOverrideJson.${part}`), `${part} is not among ${fields}`);
    }
    for (const error of reply.json.error.details.errors) {
      assert.match(error.code, /^[a-z][a-z0-9_]+$/);
      assert.ok(error.message.length > 5, JSON.stringify(error));
    }
    for (const resources of [{ memory: "a lot" }, { memory: "-1" }, { cpu: "fast" }, { memory: "1e30" }, { cpu: 0 }]) {
      refused(await tools.deploy("x", { resources }), 422, "validation_failed");
    }
    refused(
      await tools.deploy("x", { portMappings: [{ containerPort: 80 }, { containerPort: 80 }] }),
      422,
      "validation_failed",
    );
  });

  await t.step("a host port that is taken fails with its own reason", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    try {
      const hostPort = (listener.addr as Deno.NetAddr).port;
      const reply = await tools.deploy("taken port", { portMappings: [{ containerPort: 8080, hostPort }] }, {
        wait: 30,
      });
      const reason = reply.json.error?.details?.reason?.code ?? codeOf(reply);
      assert.ok([409, 422, 502].includes(reply.status), describe(reply));
      assert.equal(reason, "port_in_use", describe(reply));
    } finally {
      listener.close();
    }
  });

  await t.step("nothing that was refused left a row or a container", async () => {
    const rows = await world.db.rows<{ instance_name_on_toolbox: string; status_on_toolbox: string }>(
      "select instance_name_on_toolbox, status_on_toolbox from public.account_tool_instances",
    );
    assert.deepEqual(rows, [{ instance_name_on_toolbox: "there", status_on_toolbox: "running" }]);
    assert.equal((await world.docker.containers(id)).length, 1);
  });
});

Deno.test("429: a toolbox holds as many instances as it may, also under eight at once", async () => {
  await using world = await startWorld({ functionEnv: { TOOLBOX_MAX_INSTANCES: "3" } });
  const { tools } = world.owner;
  const names = Array.from({ length: 8 }, (_, i) => `tool ${i}`);
  const replies = await Promise.all(names.map((name) => tools.deploy(name, {}, { wait: 30 })));
  const accepted = replies.filter(({ status }) => status === 201);
  assert.equal(accepted.length, 3, replies.map(describe).join("\n"));
  for (const reply of replies.filter(({ status }) => status !== 201)) refused(reply, 429, "quota_exceeded");
  const removed = await tools.remove(accepted[0].json.instanceId, { wait: 30 });
  assert.equal(removed.status, 200, describe(removed));
  const next = await tools.deploy("room again", {}, { wait: 30 });
  assert.equal(next.status, 201, describe(next));
});

Deno.test("a browser may call every route, and read what it needs of the answers", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const origin = "https://console.example";
  const wanted = ["authorization", "x-client-info", "apikey", "content-type", "idempotency-key", "prefer"];
  const values = {
    toolboxId: world.toolboxId,
    instance: "any name ü/%",
    accessId: UNKNOWN,
    clientId: "chat-app",
    generation: "1",
  };

  await t.step("the preflight of every documented route, without a token", async () => {
    for (const { method, path } of await routes("toolbox-tools")) {
      const reply = await send(world.functionUrl + filled(path, values), {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": method,
          "access-control-request-headers": wanted.join(", "),
        },
      });
      assert.ok([200, 204].includes(reply.status), describe(reply));
      allows(reply, origin);
      const methods = (reply.headers.get("access-control-allow-methods") ?? "").split(/,\s*/);
      assert.ok(methods.includes(method), `${method} ${path}: ${methods}`);
      const headers = (reply.headers.get("access-control-allow-headers") ?? "").toLowerCase().split(/,\s*/);
      for (const header of wanted) assert.ok(headers.includes(header), `${header} is not among ${headers}`);
    }
  });

  await t.step("answers and refusals alike can be read, with their request id", async () => {
    const replies = [
      await tools.request(`/${world.toolboxId}/tools`, { headers: { origin } }),
      await tools.request(`/${world.toolboxId}/tools/${UNKNOWN}`, { headers: { origin } }),
      await world.anonymous.request(`/${world.toolboxId}/tools`, { headers: { origin } }),
      await tools.request("/nothing", { headers: { origin } }),
      await tools.request(`/${world.toolboxId}/tools`, { method: "PUT", headers: { origin } }),
      await tools.request("/", {
        method: "POST",
        body: "x".repeat(300_000),
        headers: { origin, "content-type": "application/json" },
      }),
    ];
    assert.deepEqual(replies.map(({ status }) => status), [200, 404, 401, 404, 405, 413]);
    for (const reply of replies) {
      allows(reply, origin);
      const exposed = (reply.headers.get("access-control-expose-headers") ?? "").toLowerCase();
      assert.ok(exposed.includes("x-request-id"), describe(reply));
      const id = reply.headers.get("x-request-id");
      assert.ok(id, describe(reply));
      assert.equal(reply.json.request_id ?? reply.json.error.request_id, id);
      assert.match(reply.headers.get("content-type") ?? "", /^application\/json/);
    }
    assert.equal(new Set(replies.map(({ headers }) => headers.get("x-request-id"))).size, replies.length);
  });

  await t.step("the request id leads to the event log", async () => {
    const reply = await tools.deploy("traced", {}, { wait: 30 });
    assert.equal(reply.status, 201, describe(reply));
    const events = await world.db.events(reply.json.instanceId);
    assert.equal(events[0].request_id, reply.headers.get("x-request-id"));
  });
});

Deno.test("whatever arrives is answered in the envelope, never with a 5xx, a stack or the caller's own words", async () => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const base = `/${world.toolboxId}/tools`;
  const mark = `echo-${crypto.randomUUID()}`;
  const odd: unknown[] = [
    null,
    true,
    0,
    -1,
    1e308,
    "",
    mark,
    [],
    [mark],
    {},
    { [mark]: mark },
    "\u0000",
    "🚀".repeat(1000),
    { toString: mark },
    [[[[]]]],
  ];
  const fields = [
    "action",
    "toolboxId",
    "instanceId",
    "tail",
    "since",
    "follow",
    "stream",
    "toolCatalogId",
    "instanceNameOnToolbox",
    "baseConfigOverrideJson",
    "__proto__",
    mark,
  ];
  const bodies = fields.flatMap((field) =>
    odd.map((value) => ({ field, body: { toolCatalogId: UNKNOWN, instanceNameOnToolbox: "odd", [field]: value } }))
  );
  const before =
    (await docker("ps", "--all", "--quiet", "--filter", `label=io.toolbox.toolbox_id=${world.toolboxId}`)).length;
  await pooled(bodies, 8, async ({ body }) => {
    for (const path of [base, "/"]) {
      const reply = await tools.request(path, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      });
      assert.ok(reply.status >= 400 && reply.status < 500 || onlyLists(reply), describe(reply));
      if (reply.status >= 400) enveloped(reply);
      assert.ok(!reply.text.includes(mark), `echoes the body: ${describe(reply)}`);
    }
  });
  const after =
    (await docker("ps", "--all", "--quiet", "--filter", `label=io.toolbox.toolbox_id=${world.toolboxId}`)).length;
  assert.equal(after, before);
});

/** A body that happens to be a well-formed read. */
function onlyLists(reply: Reply): boolean {
  return reply.status === 200 && Array.isArray(reply.json.tool_instances);
}

/** The answer is this refusal, in the envelope. */
function refused(reply: Reply, status: number, code: string): void {
  assert.equal(reply.status, status, describe(reply));
  assert.equal(codeOf(reply), code, describe(reply));
  enveloped(reply);
}

/** The error envelope and nothing else; no stack. */
function enveloped(reply: Reply): void {
  assert.deepEqual(Object.keys(reply.json), ["error"], describe(reply));
  const { code, message, request_id: id, ...rest } = reply.json.error;
  assert.match(code, /^[a-z][a-z0-9_]+$/, describe(reply));
  assert.ok(message.length > 5 && id, describe(reply));
  assert.ok(Object.keys(rest).every((key) => key === "details"), describe(reply));
  assert.doesNotMatch(reply.text, /\bat .*\.(ts|rs|js|wasm)|panicked|RUST_BACKTRACE|Error:/, describe(reply));
}

function allows(reply: Reply, origin: string): void {
  const allowed = reply.headers.get("access-control-allow-origin");
  assert.ok(allowed === "*" || allowed === origin, describe(reply));
}

/** Methods of each documented path. */
async function byPath(): Promise<{ path: string; methods: string[] }[]> {
  const found = new Map<string, string[]>();
  for (const { method, path } of await routes("toolbox-tools")) found.set(path, [...found.get(path) ?? [], method]);
  return [...found].map(([path, methods]) => ({ path, methods }));
}
