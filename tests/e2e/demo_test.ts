/** The product's main job, from nothing to nothing: deploy, use, stop, start, read, delete an MCP server. */
import assert from "node:assert/strict";
import {
  describe,
  endpoint,
  eventLogFaults,
  eventually,
  type InstanceRow,
  path,
  type Reply,
  SAMPLE_IMAGE,
  send,
  startWorld,
  withMcp,
  type World,
} from "./lib/mod.ts";

Deno.test("the demo: deploy, use, stop, start, logs, delete", async (t) => {
  await using world = await startWorld();
  const { owner, db, docker } = world;
  const tools = owner.tools;
  const name = "My sample MCP server";
  let id = "";
  let container = "";

  await t.step("nothing is there at first", async () => {
    const reply = await tools.list();
    assert.equal(reply.status, 200, describe(reply));
    assert.equal(reply.json.success, true);
    assert.deepEqual(reply.json.tool_instances, []);
    assert.equal(reply.json.agent.reachable, true);
  });

  await t.step("deploy ends in running", async () => {
    const reply = await tools.deploy(name, { environmentVariables: { SAMPLE_GREETING: "hej" } }, { wait: 30 });
    assert.equal(reply.status, 201, describe(reply));
    assert.equal(reply.json.success, true);
    assert.equal(reply.json.action, "deploy");
    assert.equal(reply.json.status, "running");
    assert.equal(reply.json.operation.state, "succeeded");
    id = reply.json.instanceId;
    assert.equal(reply.json.id, id);

    const view = reply.json.tool_instance;
    const running = await docker.container(id);
    container = running.Id;
    assert.equal(view.container_id, running.Id);
    assert.equal(`/${view.container_name}`, running.Name);
    assert.equal(view.image, SAMPLE_IMAGE);
    assert.equal(view.image_digest, running.Image);
    assert.equal(running.State.Status, "running");
    const row = await settledRow(world, id, "running");
    assert.equal(row.instance_name_on_toolbox, name);
    assert.equal(row.container_id, running.Id);
    await logged(world, reply, ["deploying", "starting", "running"]);
  });

  await t.step("an MCP client initializes, lists the tools and calls one", async () => {
    const view = (await tools.get(id)).json.tool_instance;
    assert.equal(view.transport, "streamable-http");
    await withMcp(endpoint(view), async (client) => {
      assert.equal(client.getServerVersion()?.name, "toolbox-sample-mcp");
      const listed = await client.listTools();
      assert.deepEqual(listed.tools.map((tool) => tool.name).sort(), ["add", "echo", "environment", "uptime"]);
      const echoed = await client.callTool({ name: "echo", arguments: { message: "hej då" } });
      assert.deepEqual(echoed.content, [{ type: "text", text: "hej då" }]);
      const environment = await client.callTool({ name: "environment", arguments: {} });
      // deno-lint-ignore no-explicit-any
      assert.equal((environment.structuredContent as any).values.SAMPLE_GREETING, "hej");
    });
  });

  await t.step("list shows it, live", async () => {
    const reply = await tools.list();
    assert.equal(reply.json.tool_instances.length, 1);
    const [view] = reply.json.tool_instances;
    assert.equal(view.id, id);
    assert.equal(view.status_on_toolbox, "running");
    assert.equal(view.state_source, "live");
    assert.equal(view.live.phase, "running");
  });

  await t.step("stop", async () => {
    const url = endpoint((await tools.get(id)).json.tool_instance);
    const reply = await tools.stop(id, { wait: 30 });
    assert.equal(reply.status, 200, describe(reply));
    assert.equal(reply.json.status, "stopped");
    const stopped = await docker.container(id);
    assert.equal(stopped.State.Status, "exited");
    assert.equal(stopped.Id, container, "stop keeps the container");
    await settledRow(world, id, "stopped");
    await logged(world, reply, ["stopping", "stopped"]);
    await assert.rejects(send(url, { deadlineMs: 2_000 }), "nothing answers on the port of a stopped instance");
  });

  await t.step("start", async () => {
    const reply = await tools.start(id, { wait: 30 });
    assert.equal(reply.status, 200, describe(reply));
    assert.equal(reply.json.status, "running");
    assert.equal((await docker.container(id)).Id, container, "start runs the same container");
    await settledRow(world, id, "running");
    await logged(world, reply, ["starting", "running"]);
    await answersMcp(world, id);
  });

  await t.step("restart", async () => {
    const before = (await docker.container(id)).State.StartedAt;
    const reply = await tools.restart(id, { wait: 30 });
    assert.equal(reply.status, 200, describe(reply));
    assert.equal(reply.json.status, "running");
    assert.notEqual((await docker.container(id)).State.StartedAt, before);
    await settledRow(world, id, "running");
    await logged(world, reply, ["stopping", "starting", "running"]);
    await answersMcp(world, id);
  });

  await t.step("logs", async () => {
    const reply = await tools.logs(id, { tail: 200 });
    assert.equal(reply.status, 200, describe(reply));
    const text = reply.json.logs.join("\n");
    assert.match(text, /tools\/call "echo" ok/, "what the server wrote before it was stopped is still there");
    assert.equal(reply.json.entries.length, reply.json.logs.length);
    assert.ok(reply.json.entries.every((e: { stream: string; time: string }) => e.stream === "stderr" && e.time));
  });

  await t.step("delete leaves nothing but the log of what happened", async () => {
    const reply = await tools.remove(id, { wait: 30 });
    assert.equal(reply.status, 200, describe(reply));
    assert.equal(reply.json.status, "deleted");
    assert.deepEqual(await docker.containers(id), []);
    assert.equal(await db.instance(id), undefined);
    assert.equal((await tools.get(id)).status, 404);
    assert.deepEqual((await tools.list()).json.tool_instances, []);
    const events = await db.events(id);
    assert.deepEqual(path(events).slice(-3), ["pending_delete", "deleting", "gone"], path(events).join(" "));
    assert.deepEqual(eventLogFaults(events), []);
    const operations = await db.operations(id);
    assert.deepEqual(operations.map((o) => [o.action, o.state]), [
      ["deploy", "succeeded"],
      ["stop", "succeeded"],
      ["start", "succeeded"],
      ["restart", "succeeded"],
      ["delete", "succeeded"],
    ]);
  });

  await t.step("the owner reads the whole story through PostgREST, with who and what and which request", async () => {
    const { data, error } = await owner.client.from("tool_instance_events").select("*").eq("tool_instance_id", id)
      .order("id");
    assert.equal(error, null);
    assert.equal(data!.length, (await db.events(id)).length, "the owner sees every event");
    for (const event of data!) {
      assert.ok(event.actor_kind, "who");
      assert.ok(event.action, `what: ${JSON.stringify(event)}`);
      assert.ok(event.request_id, `which request: ${JSON.stringify(event)}`);
    }
    const first = data![0];
    assert.equal(first.actor_kind, "user");
    assert.equal(first.actor_id, owner.userId);
  });
});

Deno.test("accepted is not success: without waiting, the end is recorded by itself", async () => {
  await using world = await startWorld();
  const tools = world.owner.tools;
  const reply = await tools.deploy("patience");
  assert.equal(reply.status, 202, describe(reply));
  assert.equal(reply.json.status, "deploying");
  assert.equal(reply.json.operation.state, "in_progress");
  const id = reply.json.instanceId;

  // Nobody reads it through the function: the follower alone brings the row to its end.
  const row = await eventually("the row has an end", async () => {
    const row = await world.db.instance(id);
    return ["running", "error"].includes(row!.status_on_toolbox) ? row : undefined;
  });
  assert.equal(row?.status_on_toolbox, "running", `${row?.instance_error_message}`);
  const [operation] = await world.db.operations(id);
  assert.equal(operation.state, "succeeded");

  const deleted = await tools.remove(id);
  assert.equal(deleted.status, 202, describe(deleted));
  await eventually("the row is gone", async () => (await world.db.instance(id)) === undefined ? true : undefined);
  assert.deepEqual(await world.docker.containers(id), []);
  assert.deepEqual(eventLogFaults(await world.db.events(id)), []);
});

/** The row, which says `status` already, as do the API and the log: no report from before the end takes it back. */
async function settledRow(world: World, id: string, status: string): Promise<InstanceRow> {
  const row = await world.db.instance(id);
  assert.ok(row, "the row is gone");
  assert.equal(row.status_on_toolbox, status);
  const view = (await world.owner.tools.get(id)).json.tool_instance;
  assert.equal(view.status_on_toolbox, status);
  assert.equal(view.generation, row.generation);
  assert.equal((await world.db.events(id)).at(-1)?.to_status, status);
  return row;
}

/** The event log is legal, that of the operation of `reply` ends with `statuses`, and nothing comes after it. */
async function logged(world: World, { json }: Reply, statuses: string[]): Promise<void> {
  const events = await world.db.events(json.instanceId);
  assert.deepEqual(eventLogFaults(events), []);
  const own = path(events.filter((event) => event.operation_id === json.operation.id));
  assert.deepEqual(own.slice(-statuses.length), statuses, path(events).join(" "));
  assert.equal(events.at(-1)?.operation_id, json.operation.id, path(events).join(" "));
}

/** The instance's MCP endpoint answers. */
async function answersMcp(world: World, id: string): Promise<void> {
  const view = (await world.owner.tools.get(id)).json.tool_instance;
  await withMcp(endpoint(view), async (client) => {
    assert.equal((await client.listTools()).tools.length, 4);
  });
}
