/**
 * The predecessor's bug report, replayed: an instance named `Context7 MCP Server-1750278276605` could never be
 * started; its container was unknown to the agent, and nothing re-created it.
 */
import assert from "node:assert/strict";
import {
  codeOf,
  describe,
  endpoint,
  environmentOf,
  eventLogFaults,
  eventually,
  identity,
  pooled,
  startWorld,
  withMcp,
  type World,
} from "./lib/mod.ts";

const NAME = "Context7 MCP Server-1750278276605";
const IMAGE_OF_THE_REPORT = "https://github.com/upstash/context7/blob/master/Dockerfile";

Deno.test("the bug report: a container lost in any way is made again, the same", async (t) => {
  // An agent that takes its desired state from commands only: nothing else makes anything again.
  await using world = await startWorld({ dtmaHttp: true });
  const { docker, agent } = world;
  const tools = world.owner.tools;
  const hostPort = freePort();

  const deployed = await tools.deploy(NAME, {
    environmentVariables: { SAMPLE_GREETING: "hello = 'quoted' \"twice\" $HOME ü", CONTEXT7_API_KEY: "ctx7-secret" },
    portMappings: [{ containerPort: 8080, hostPort }],
    volumes: [{ name: "data", path: "/data" }],
    resources: { memory: "96Mi", cpu: 0.5, pids: 64 },
  }, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const id = deployed.json.instanceId;
  const original = await docker.container(id);
  const expected = identity(original);
  assert.match(
    original.Name,
    /^\/[a-zA-Z0-9][a-zA-Z0-9_.-]+$/,
    "a legal container name, derived from the display name",
  );
  assert.equal(original.HostConfig.PortBindings["8080/tcp"][0].HostPort, String(hostPort));

  /** After `start`: one container, running, the same as the first in everything that counts, and it answers. */
  const isTheSame = async (w: World) => {
    const started = await tools.start(NAME, { wait: 30 });
    assert.equal(started.status, 200, describe(started));
    assert.equal(started.json.success, true);
    assert.equal(started.json.status, "running");
    assert.equal(started.json.instanceId, id, "addressed by name, reaches this id");
    const again = await docker.container(id);
    assert.equal(again.State.Status, "running");
    assert.deepEqual(identity(again), expected);
    const row = await w.db.instance(id);
    assert.equal(row?.status_on_toolbox, "running");
    assert.equal(row?.container_id, again.Id);
    const url = endpoint((await tools.get(NAME)).json.tool_instance);
    assert.equal(url.port, String(hostPort));
    const environment = await environmentOf(url);
    assert.equal(environment.values.SAMPLE_GREETING, "hello = 'quoted' \"twice\" $HOME ü");
    assert.ok(environment.names.includes("CONTEXT7_API_KEY"));
    assert.deepEqual(eventLogFaults(await w.db.events(id)), []);
    return again.Id;
  };

  await t.step("it deploys and starts", async () => {
    assert.equal(await isTheSame(world), original.Id, "starting what runs changes nothing");
  });

  await t.step("removed while the agent runs", async () => {
    await docker.removeBehindItsBack(id);
    assert.notEqual(await isTheSame(world), original.Id);
  });

  await t.step("removed while it is stopped", async () => {
    const stopped = await tools.stop(NAME, { wait: 30 });
    assert.equal(stopped.status, 200, describe(stopped));
    await docker.removeBehindItsBack(id);
    await isTheSame(world);
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    await t.step(`removed while the agent is away (${signal})`, async () => {
      await agent.stop(signal);
      await docker.removeBehindItsBack(id);
      await agent.start();
      await isTheSame(world);
    });
  }

  await t.step("stopped, then removed while the agent is away", async () => {
    await tools.stop(NAME, { wait: 30 });
    await agent.stop("SIGKILL");
    await docker.removeBehindItsBack(id);
    await agent.start();
    await isTheSame(world);
  });

  await t.step("the agent's disk is lost, the container is not: it is found again by its labels", async () => {
    const before = (await docker.container(id)).Id;
    await agent.stop("SIGKILL");
    await agent.loseStateDir();
    await agent.start();
    assert.equal(await isTheSame(world), before, "a container that runs as asked is kept");
  });

  await t.step("the agent's disk and the container are both lost: made again from the database", async () => {
    await agent.stop("SIGKILL");
    await docker.removeBehindItsBack(id);
    await agent.loseStateDir();
    await agent.start();
    const unknown = await agent.call(`/tools/${id}`);
    assert.equal(unknown.status, 404, describe(unknown));
    assert.equal(codeOf(unknown), "instance_unknown");
    await isTheSame(world);
  });

  await t.step("stop and delete of an instance the agent does not know succeed", async () => {
    await agent.stop("SIGKILL");
    await docker.removeBehindItsBack(id);
    await agent.loseStateDir();
    await agent.start();
    const stopped = await tools.stop(NAME, { wait: 30 });
    assert.equal(stopped.status, 200, describe(stopped));
    assert.equal(stopped.json.status, "stopped");
    await isTheSame(world);

    await agent.stop("SIGKILL");
    await docker.removeBehindItsBack(id);
    await agent.loseStateDir();
    await agent.start();
    const deleted = await tools.remove(NAME, { wait: 30 });
    assert.equal(deleted.status, 200, describe(deleted));
    assert.equal(await world.db.instance(id), undefined);
    assert.deepEqual(await docker.containers(id), []);
  });
});

Deno.test("the bug report: what was lost is made again without anybody asking", async () => {
  await using world = await startWorld();
  const { docker, agent, owner } = world;
  const deployed = await owner.tools.deploy(NAME, { environmentVariables: { SAMPLE_GREETING: "hello" } }, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const id = deployed.json.instanceId;
  const original = await docker.container(id);

  await agent.stop("SIGKILL");
  await docker.removeBehindItsBack(id);
  await agent.loseStateDir();
  await agent.start();
  await eventually("the row says that it runs again", async () => {
    const row = await world.db.instance(id);
    return row?.status_on_toolbox === "running" && row.container_id !== original.Id ? true : undefined;
  });
  const container = await docker.container(id);
  assert.deepEqual(identity(container), identity(original));
  assert.equal((await world.db.instance(id))?.container_id, container.Id);
});

Deno.test("the bug report: what it asked for is judged before the machine is, and fails with a reason", async (t) => {
  await using world = await startWorld();
  const tools = world.owner.tools;

  await t.step(
    "the report's image is a source that can be built, so only the absent agent stands in its way",
    async () => {
      await world.agent.stop("SIGTERM");
      const reply = await tools.deploy(NAME, { dockerImage: IMAGE_OF_THE_REPORT }, { wait: 20 });
      assert.equal(reply.status, 503, describe(reply));
      assert.equal(codeOf(reply), "agent_unreachable");
      await world.agent.start();
    },
  );

  await t.step("an image that is none is refused, saying what was expected; nothing is stored", async () => {
    const before = await world.db.row<{ n: number }>("select count(*)::int as n from public.account_tool_instances");
    const images = [
      "http://example.com/Dockerfile",
      "https://example.com/x",
      "a b",
      "UPPER/case",
      "../x",
      "image:",
      "x@sha256:12",
      "-x",
      "",
    ];
    await pooled(images, 4, async (dockerImage) => {
      const reply = await tools.deploy(`bad image ${dockerImage.length}${dockerImage.codePointAt(0)}`, { dockerImage });
      assert.equal(reply.status, 422, `${JSON.stringify(dockerImage)}: ${describe(reply)}`);
      assert.equal(codeOf(reply), "validation_failed");
      const [error] = reply.json.error.details.errors;
      assert.ok(error.field && error.code && error.message.length > 20, describe(reply));
    });
    const after = await world.db.row<{ n: number }>("select count(*)::int as n from public.account_tool_instances");
    assert.equal(after.n, before.n);
  });

  await t.step("reserved host ports are refused", async () => {
    for (const hostPort of [22, 3000, 30000]) {
      const reply = await tools.deploy(`port ${hostPort}`, { portMappings: [{ containerPort: 8080, hostPort }] });
      assert.equal(reply.status, 422, describe(reply));
    }
  });

  await t.step("what cannot be had ends in error with its own reason, and is never a 2xx when waited for", async () => {
    const cases = [
      { dockerImage: "127.0.0.1:1/nothing/here:1", reasons: ["registry_unreachable"] },
      { dockerImage: "https://git.invalid/nothing/here.git", reasons: ["source_unresolved"] },
    ];
    for (const { dockerImage, reasons } of cases) {
      const reply = await tools.deploy(`unreachable ${dockerImage}`, { dockerImage }, { wait: 60 });
      assert.equal(reply.status, 502, describe(reply));
      assert.equal(codeOf(reply), "deploy_failed");
      const { reason, tool_instance: view } = reply.json.error.details;
      assert.ok(reasons.includes(reason.code), describe(reply));
      assert.ok(reason.message.length > 10);
      const row = await world.db.instance(view.id);
      assert.equal(row?.status_on_toolbox, "error");
      assert.equal(row?.instance_error_code, reason.code);
      assert.ok(row?.instance_error_message);
      assert.deepEqual(await world.docker.containers(view.id), []);
      const removed = await tools.remove(view.id, { wait: 30 });
      assert.equal(removed.status, 200, describe(removed));
    }
  });

  await t.step("a server that cannot start ends in error with its exit code and its last words", async () => {
    const reply = await tools.deploy("needs a key", { command: ["--require-env", "API_KEY"] }, { wait: 60 });
    assert.equal(reply.status, 502, describe(reply));
    const { reason, tool_instance: view } = reply.json.error.details;
    assert.ok(["exited", "crash_loop"].includes(reason.code), describe(reply));
    const logs = await tools.logs(view.id);
    assert.equal(logs.status, 200, describe(logs));
    assert.match(logs.json.logs.join("\n"), /set the environment variable "API_KEY"/);

    // Given what it lacked, the same instance works.
    const updated = await tools.update(view.id, { environmentVariables: { API_KEY: "present" } }, { wait: 60 });
    assert.equal(updated.status, 200, describe(updated));
    const now = (await tools.get(view.id)).json.tool_instance;
    assert.equal(now.status_on_toolbox, "running");
    await withMcp(endpoint(now), async (client) => assert.ok((await client.listTools()).tools.length));
  });
});

/** A port nobody listens on right now. */
function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}
