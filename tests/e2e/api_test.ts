/** The API as callers see it: both calling styles, repeating, waiting, and what a list shows. */
import assert from "node:assert/strict";
import {
  codeOf,
  describe,
  docker,
  eventually,
  invoke,
  type MutationOptions,
  type Reply,
  SAMPLE_CATALOG_ID,
  SAMPLE_IMAGE,
  SAMPLE_IMAGE_V2,
  startWorld,
  type World,
} from "./lib/mod.ts";

Deno.test("every action answers the same in every calling style", async () => {
  await using world = await startWorld();
  const { tools, client } = world.owner;
  const toolboxId = world.toolboxId;
  const names = ["by path", "by invoke", "by action"];
  const ids = new Map<string, string>();

  /** One action in the three styles, each on its own instance; the answers in the same order. */
  const inEachStyle = async (
    action: string,
    byPath: (instance: string) => Promise<Reply>,
    more: Record<string, unknown> = {},
  ) => {
    const [path, invoked, posted] = names;
    const body = (name: string) => ({
      action,
      ...(action === "list"
        ? {}
        : action === "deploy"
        ? { instanceNameOnToolbox: name }
        : { instanceId: ids.get(name) }),
      ...more,
    });
    const replies = [
      await byPath(ids.get(path) ?? path),
      await invoke(client, { toolboxId, ...body(invoked) }, { prefer: "wait=30" }),
      await tools.request(`/${toolboxId}/tools`, { method: "POST", json: body(posted), wait: 30 }),
    ];
    for (const reply of replies) {
      assert.ok(reply.status < 300, describe(reply));
      assert.deepEqual(outline(reply), outline(replies[0]), `${action}: ${replies.map(describe).join("\n")}`);
    }
    return replies;
  };

  const wait: MutationOptions = { wait: 30 };
  const deployed = await inEachStyle("deploy", (name) => tools.deploy(name, {}, wait), {
    toolCatalogId: SAMPLE_CATALOG_ID,
  });
  names.forEach((name, i) => ids.set(name, deployed[i].json.instanceId));
  assert.equal(new Set(ids.values()).size, 3);
  for (const reply of deployed) assert.equal(reply.status, 201);

  await inEachStyle("list", () => tools.list());
  const got = await inEachStyle("get", (id) => tools.get(id));
  got.forEach((reply, i) => assert.equal(reply.json.tool_instance.instance_name_on_toolbox, names[i]));
  const logs = await inEachStyle("logs", (id) => tools.logs(id, { tail: 5 }), { tail: 5 });
  for (const reply of logs) assert.match(reply.json.logs.join("\n"), /serving MCP/);
  for (const reply of await inEachStyle("stop", (id) => tools.stop(id, wait))) {
    assert.equal(reply.json.status, "stopped");
  }
  for (const reply of await inEachStyle("start", (id) => tools.start(id, wait))) {
    assert.equal(reply.json.status, "running");
  }
  for (const reply of await inEachStyle("restart", (id) => tools.restart(id, wait))) {
    assert.equal(reply.json.status, "running");
  }
  const override = { dockerImage: SAMPLE_IMAGE_V2 };
  const updated = await inEachStyle("update", (id) => tools.update(id, override, wait), {
    baseConfigOverrideJson: override,
  });
  for (const reply of updated) assert.equal(reply.json.tool_instance.image, SAMPLE_IMAGE_V2);
  for (const reply of await inEachStyle("delete", (id) => tools.remove(id, wait))) {
    assert.equal(reply.json.status, "deleted");
  }
  for (const id of ids.values()) {
    assert.deepEqual(await world.docker.containers(id), []);
    const operations = await world.db.operations(id);
    assert.deepEqual(operations.map(({ action }) => action), [
      "deploy",
      "stop",
      "start",
      "restart",
      "update",
      "delete",
    ]);
  }

  // A body without an action is a deploy, as the predecessor's first callers sent it.
  const plain = await invoke(client, { toolboxId, toolCatalogId: SAMPLE_CATALOG_ID, instanceNameOnToolbox: "plain" });
  assert.equal(plain.status, 202, describe(plain));
  assert.equal(plain.json.action, "deploy");
});

Deno.test("repeating a request with its Idempotency-Key does it once", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const count = async () => (await world.db.rows("select id from public.account_tool_instances")).length;

  await t.step("a deploy", async () => {
    const key = crypto.randomUUID();
    const first = await tools.deploy("once", {}, { wait: 30, idempotencyKey: key });
    assert.equal(first.status, 201, describe(first));
    const again = await tools.deploy("once", {}, { wait: 30, idempotencyKey: key });
    assert.ok(again.status < 300, describe(again));
    assert.equal(again.json.instanceId, first.json.instanceId);
    assert.equal(again.json.operation.id, first.json.operation.id);
    assert.equal(again.json.status, "running");
    assert.equal(await count(), 1);
    await world.docker.container(first.json.instanceId);
  });

  await t.step("eight deploys at once", async () => {
    const key = 'any text: a key may hold spaces, commas, %20 and quotes " too';
    const before = await count();
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => tools.deploy("at once", {}, { idempotencyKey: key, wait: 30 })),
    );
    for (const reply of replies) assert.ok(reply.status < 300, describe(reply));
    assert.equal(new Set(replies.map(({ json }) => json.instanceId)).size, 1);
    assert.equal(new Set(replies.map(({ json }) => json.operation.id)).size, 1);
    assert.equal(await count(), before + 1);
    const id = replies[0].json.instanceId;
    await eventually(
      "it runs",
      async () => (await world.db.instance(id))?.status_on_toolbox === "running" ? true : undefined,
    );
    await world.docker.container(id);
  });

  await t.step("a stop, a start, a delete; also after the instance is gone", async () => {
    const id = (await tools.get("once")).json.tool_instance.id;
    for (const action of ["stop", "start", "remove"] as const) {
      const key = `${action}-${crypto.randomUUID()}`;
      const first = await tools[action](id, { wait: 30, idempotencyKey: key });
      assert.equal(first.status, 200, describe(first));
      const again = await tools[action](id, { wait: 30, idempotencyKey: key });
      assert.equal(again.status, 200, describe(again));
      assert.equal(again.json.operation.id, first.json.operation.id);
      assert.equal(again.json.status, first.json.status);
    }
    assert.deepEqual((await world.db.operations(id)).map(({ action }) => action), [
      "deploy",
      "stop",
      "start",
      "delete",
    ]);
  });

  await t.step("the key of another request is refused", async () => {
    const id = (await tools.get("at once")).json.tool_instance.id;
    const key = crypto.randomUUID();
    const stopped = await tools.stop(id, { wait: 30, idempotencyKey: key });
    assert.equal(stopped.status, 200, describe(stopped));
    const others = [
      await tools.start(id, { idempotencyKey: key }),
      await tools.remove(id, { idempotencyKey: key }),
      await tools.deploy("another", {}, { idempotencyKey: key }),
      await tools.update(id, { dockerImage: SAMPLE_IMAGE_V2 }, { idempotencyKey: key }),
    ];
    for (const reply of others) {
      assert.equal(reply.status, 422, describe(reply));
      assert.equal(codeOf(reply), "idempotency_key_reused");
    }
    const [a, b] = [
      await tools.deploy("first", {}, { idempotencyKey: "deploy-1", wait: 30 }),
      await tools.deploy("first", { environmentVariables: { A: "1" } }, { idempotencyKey: "deploy-1" }),
    ];
    assert.equal(a.status, 201, describe(a));
    assert.equal(codeOf(b), "idempotency_key_reused", `another body under the same key: ${describe(b)}`);
    assert.equal((await world.db.instance(id))?.status_on_toolbox, "stopped");
  });

  await t.step("a key that is none is refused", async () => {
    for (const idempotencyKey of ["", "x".repeat(256)]) {
      const reply = await tools.deploy("bad key", {}, { idempotencyKey });
      assert.equal(reply.status, 400, describe(reply));
      assert.equal(codeOf(reply), "invalid_request");
    }
  });
});

Deno.test("waiting, and one mutation at a time", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  // A registry that accepts connections and never answers keeps a pull going for as long as the test wants.
  const registry = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const connection of registry) connections.push(connection);
  })();
  const image = `127.0.0.1:${(registry.addr as Deno.NetAddr).port}/slow/image:1`;
  let id = "";
  let operation: { id: string };

  await t.step("without Prefer the answer comes once the desired state is durable", async () => {
    const reply = await tools.deploy("slow", { dockerImage: image });
    assert.equal(reply.status, 202, describe(reply));
    assert.equal(reply.json.success, true);
    assert.equal(reply.json.status, "deploying");
    assert.equal(reply.json.operation.state, "in_progress");
    assert.ok(reply.ms < 3_000, `took ${reply.ms} ms`);
    id = reply.json.instanceId;
    operation = reply.json.operation;
    const known = await world.agent.call(`/tools/${id}`);
    assert.equal(known.status, 200, "the agent holds it already");
  });

  await t.step("Prefer: wait=2 waits that long and no longer", async () => {
    const reply = await tools.deploy("slow too", { dockerImage: image }, { wait: 2 });
    assert.equal(reply.status, 202, describe(reply));
    assert.ok(reply.ms > 1_800 && reply.ms < 5_000, `took ${reply.ms} ms`);
    assert.equal(reply.json.status, "deploying");
  });

  await t.step("get and list show what is going on", async () => {
    const view = await eventually("the agent says it is pulling", async () => {
      const { json } = await tools.get(id);
      return json.tool_instance.live?.phase === "pulling" ? json.tool_instance : undefined;
    });
    assert.equal(view.status_on_toolbox, "deploying");
    assert.equal(view.live.settled, false);
  });

  await t.step("another mutation meanwhile is refused, naming the one that runs", async () => {
    for (
      const reply of [
        await tools.start(id),
        await tools.restart(id),
        await tools.update(id, {}),
      ]
    ) {
      assert.equal(reply.status, 409, describe(reply));
      assert.equal(codeOf(reply), "operation_in_progress");
      assert.equal(reply.json.error.details.operation.id, operation.id);
      assert.equal(reply.json.error.details.operation.action, "deploy");
      assert.equal(reply.headers.get("retry-after"), "5");
    }
  });

  await t.step("a stop and a deletion end a deploy that hangs", async () => {
    for (const [name, end] of [["hangs", "stopped"], ["hangs too", undefined]]) {
      const deployed = await tools.deploy(name!, { dockerImage: image });
      assert.equal(deployed.status, 202, describe(deployed));
      const { instanceId } = deployed.json;
      await eventually("the agent says it is pulling", async () => {
        const { json } = await tools.get(instanceId);
        return json.tool_instance.live?.phase === "pulling" ? true : undefined;
      });
      const reply = end ? await tools.stop(instanceId, { wait: 20 }) : await tools.remove(instanceId, { wait: 20 });
      assert.equal(reply.status, 200, describe(reply));
      const [deploy] = await world.db.operations(instanceId);
      assert.equal(deploy.state, "abandoned");
      if (end) {
        assert.equal((await tools.get(instanceId)).json.tool_instance.status_on_toolbox, end);
        assert.equal((await tools.remove(instanceId, { wait: 20 })).status, 200);
      }
    }
  });

  await t.step("when the registry goes away both end in error with a reason, and can be deleted", async () => {
    registry.close();
    for (const connection of connections) connection.close();
    await accepting;
    for (const name of ["slow", "slow too"]) {
      const view = await eventually(`${name} ended`, async () => {
        const { json } = await tools.get(name);
        return json.tool_instance.status_on_toolbox === "error" ? json.tool_instance : undefined;
      }, { ms: 60_000 });
      assert.equal(view.error.code, "registry_unreachable", JSON.stringify(view.error));
      await eventually("the deploy is over", async () => {
        const [deploy] = await world.db.operations(view.id);
        return deploy.state === "failed" ? true : undefined;
      });
      const reply = await tools.remove(name, { wait: 30 });
      assert.equal(reply.status, 200, describe(reply));
    }
  });

  await t.step("preferences as RFC 7240 writes them", async () => {
    for (const prefer of ["respond-async, wait=30", "WAIT=30", 'wait="30"', "wait=30; foo=bar", "wait=9999"]) {
      const name = `prefer ${prefer}`;
      const reply = await tools.deploy(name, {}, { headers: { prefer } });
      assert.equal(reply.status, 201, `${prefer}: ${describe(reply)}`);
    }
    const unknown = await tools.deploy("prefer unknown", {}, { headers: { prefer: "return=minimal" } });
    assert.equal(unknown.status, 202, describe(unknown));
    // A wait that is none would be answered later than its caller thinks, so it is refused.
    for (const prefer of ["wait=abc", "wait=-1", "wait"]) {
      const reply = await tools.deploy(`prefer ${prefer}`, {}, { headers: { prefer } });
      assert.equal(reply.status, 400, `${prefer}: ${describe(reply)}`);
      assert.equal(codeOf(reply), "invalid_request");
    }
  });
});

Deno.test("a list shows what the rows, the agent and the machine know", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const deployed = await tools.deploy("shown", { environmentVariables: { API_KEY: "hidden" } }, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const id = deployed.json.instanceId;

  await t.step("the predecessor's fields and the new ones", async () => {
    const { json } = await tools.list();
    assert.equal(json.success, true);
    assert.equal(json.dtma_connected, true);
    assert.ok(!Number.isNaN(Date.parse(json.last_checked)));
    assert.equal(json.agent.reachable, true);
    assert.ok(json.agent.version);
    const [item] = json.tool_instances;
    const row = await world.db.instance(id);
    const container = await world.docker.container(id);
    assert.equal(item.id, id);
    assert.equal(item.instance_name_on_toolbox, "shown");
    assert.equal(item.status_on_toolbox, "running");
    assert.equal(item.container_id, container.Id);
    assert.equal(item.image, SAMPLE_IMAGE);
    assert.ok("version" in item);
    assert.equal(Date.parse(item.created_at), Date.parse(String(row?.created_at)));
    assert.ok(Date.parse(item.updated_at) >= Date.parse(item.created_at));
    assert.equal(item.container_name, row?.container_name);
    assert.equal(item.transport, "streamable-http");
    assert.equal(item.endpoint_path, "/mcp");
    assert.equal(item.error, null);
    assert.equal(item.desired_status, "running");
    assert.equal(item.generation, 1);
    assert.equal(item.state_source, "live");
    assert.equal(item.state_age_seconds, 0);
    assert.equal(item.live.phase, "running");
    const [published] = container.NetworkSettings.Ports["8080/tcp"];
    assert.deepEqual(item.ports, [{
      container_port: 8080,
      protocol: "tcp",
      host_ip: published.HostIp,
      host_port: Number(published.HostPort),
    }]);
    assert.equal(published.HostIp, "127.0.0.1", "published on loopback unless asked otherwise");
    assert.ok(!("spec" in item) && !JSON.stringify(json).includes("hidden"));
  });

  await t.step("containers that are nobody's, or another toolbox's, are shown as foreign and left alone", async () => {
    const mark = ["--label", `io.toolbox.e2e=${world.toolboxId}`, "--env", "SECRET=foreign-secret"];
    const nobody = await docker("create", "--name", `e2e-foreign-${id.slice(0, 8)}`, ...mark, SAMPLE_IMAGE);
    const other = await docker(
      "create",
      ...mark,
      "--label",
      `io.toolbox.toolbox_id=${crypto.randomUUID()}`,
      "--label",
      `io.toolbox.instance_id=${id}`,
      SAMPLE_IMAGE,
    );
    try {
      const reply = await tools.list();
      for (const foreign of [nobody, other]) {
        const found = reply.json.foreign_containers.find((one: { container_id: string }) =>
          one.container_id === foreign
        );
        assert.ok(found, describe(reply));
        assert.deepEqual(Object.keys(found).sort(), ["container_id", "image", "name", "state"]);
        assert.equal(found.image, SAMPLE_IMAGE);
        assert.equal(found.state, "created");
      }
      assert.ok(!reply.text.includes("foreign-secret"));
      assert.equal(reply.json.tool_instances.length, 1);
      const stopped = await tools.stop(id, { wait: 30 });
      assert.equal(stopped.status, 200, describe(stopped));
      for (const foreign of [nobody, other]) {
        assert.equal(await docker("inspect", "--format", "{{.State.Status}}", foreign), "created", "left alone");
      }
    } finally {
      await docker("rm", "--force", nobody, other);
    }
  });

  await t.step("what the agent holds without a row is shown as an orphan, and is no instance", async () => {
    const orphan = crypto.randomUUID();
    const spec = { image: SAMPLE_IMAGE, env: { SECRET: "orphan-secret" } };
    const body = {
      generation: 1,
      desired: "running",
      name: "an orphan",
      container_name: `orphan-${orphan.slice(0, 8)}`,
      spec,
    };
    const put = await world.agent.call(`/tools/${orphan}`, {
      method: "PUT",
      json: body,
      headers: { prefer: "wait=30" },
    });
    assert.equal(put.status, 200, describe(put));
    const reply = await tools.list();
    const found = reply.json.orphan_tools.find((tool: { id: string }) => tool.id === orphan);
    assert.equal(found?.name, "an orphan", describe(reply));
    assert.equal(reply.json.tool_instances.length, 1);
    assert.ok(!reply.text.includes("orphan-secret"));
    assert.equal((await tools.get(orphan)).status, 404);
    assert.equal((await tools.get("an orphan")).status, 404);
    const gone = await world.agent.call(`/tools/${orphan}`, { method: "DELETE", headers: { prefer: "wait=30" } });
    assert.equal(gone.status, 200, describe(gone));
    await listsNoOrphan(world);
  });

  await t.step("a container that died by itself is seen, and the row is healed by reading", async () => {
    const started = await tools.start(id, { wait: 30 });
    assert.equal(started.status, 200, describe(started));
    // Written past the product: the row now claims what is not so.
    await world.db.execute("update public.account_tool_instances set status_on_toolbox = 'stopped' where id = :'id';", {
      id,
    });
    const reply = await tools.list();
    assert.equal(reply.json.tool_instances[0].status_on_toolbox, "running", "the answer shows the live truth");
    await eventually(
      "the row is healed",
      async () => (await world.db.instance(id))?.status_on_toolbox === "running" ? true : undefined,
    );
  });
});

async function listsNoOrphan(world: World): Promise<void> {
  const reply = await world.owner.tools.list();
  assert.deepEqual(reply.json.orphan_tools, [], describe(reply));
}

/** Status, and the shape of the body: its keys and the types of its values; words that carry meaning as they are. */
function outline(reply: Reply): unknown {
  const telling = new Set([
    "success",
    "action",
    "status",
    "status_on_toolbox",
    "state",
    "desired_status",
    "phase",
    "transport",
    "image",
    "generation",
  ]);
  const of = (value: unknown, key = ""): unknown => {
    // Health of the MCP server becomes known in its own time; containers of others come and go.
    if (key === "mcp" || key === "foreign_containers") return Array.isArray(value) ? [key] : key;
    if (telling.has(key)) return value;
    if (Array.isArray(value)) return value.length ? [of(value[0])] : [];
    if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([k, v]) => [k, of(v, k)]));
  };
  return { status: reply.status, body: of(reply.json) };
}
