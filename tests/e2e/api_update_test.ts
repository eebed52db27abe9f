/** Updates keep what worked until the new version works; logs can be read in part and followed. */
import assert from "node:assert/strict";
import {
  codeOf,
  describe,
  docker,
  endpoint,
  type Envelope,
  environmentOf,
  eventLogFaults,
  eventually,
  identity,
  path,
  SAMPLE_IMAGE,
  SAMPLE_IMAGE_V2,
  startWorld,
  within,
  withMcp,
} from "./lib/mod.ts";

Deno.test("update: the new version runs, or the old one still does and the answer says why", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  // Takes the first port, so that keeping the second one later is no accident.
  assert.equal((await tools.deploy("neighbour", {}, { wait: 30 })).status, 201);
  const deployed = await tools.deploy("updated", {
    environmentVariables: { SAMPLE_GREETING: "hej", API_KEY: "kept" },
    volumes: [{ name: "data", path: "/data" }],
    resources: { memory: "80Mi", cpu: 0.5, pids: 50 },
  }, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const id = deployed.json.instanceId;
  const url = endpoint(deployed.json.tool_instance);
  assert.equal((await environmentOf(url)).values.SAMPLE_RELEASE, "1");
  const first = await world.docker.container(id);

  await t.step("to a new image: what was not named stays as it was", async () => {
    const reply = await tools.update(id, { dockerImage: SAMPLE_IMAGE_V2 }, { wait: 30 });
    assert.equal(reply.status, 200, describe(reply));
    assert.equal(reply.json.success, true);
    assert.equal(reply.json.status, "running");
    assert.equal(reply.json.tool_instance.image, SAMPLE_IMAGE_V2);
    assert.equal(reply.json.tool_instance.generation, 2);
    const container = await world.docker.container(id);
    assert.notEqual(container.Id, first.Id);
    const [was, is] = [identity(first), identity(container)];
    for (
      const key of [
        "cmd",
        "entrypoint",
        "memory",
        "nanoCpus",
        "pidsLimit",
        "mounts",
        "capDrop",
        "securityOpt",
        "readonlyRootfs",
        "networks",
      ]
    ) {
      assert.deepEqual(is[key], was[key], key);
    }
    const now = await environmentOf(endpoint(reply.json.tool_instance));
    assert.equal(now.values.SAMPLE_RELEASE, "2");
    assert.equal(now.values.SAMPLE_GREETING, "hej");
    assert.ok(now.names.includes("API_KEY"));
    const row = await world.db.instance(id);
    assert.equal(row?.docker_image_url, SAMPLE_IMAGE_V2);
    assert.equal(row?.image_digest, container.Image);
  });

  // What follows must leave exactly this running.
  const good = identity(await world.docker.container(id));
  const keepsTheOld = async (override: Parameters<typeof tools.update>[1], reasons: string[]) => {
    const reply = await tools.update(id, override, { wait: 60 });
    assert.equal(reply.status, 502, describe(reply));
    assert.equal(codeOf(reply), "update_failed", describe(reply));
    assert.ok(reasons.includes(reply.json.error.details.reason.code), describe(reply));
    const { json } = await tools.get(id);
    assert.equal(json.tool_instance.status_on_toolbox, "running", "the old version runs");
    assert.equal(json.tool_instance.live.update_failed, true);
    assert.equal(json.tool_instance.image, SAMPLE_IMAGE_V2);
    assert.deepEqual(identity(await world.docker.container(id)), good);
    assert.equal((await environmentOf(endpoint(json.tool_instance))).values.SAMPLE_RELEASE, "2");
    const row = await world.db.instance(id);
    assert.equal(row?.docker_image_url, SAMPLE_IMAGE_V2, "the database holds the spec that runs");
    const operation = (await world.db.operations(id)).at(-1);
    assert.deepEqual([operation?.action, operation?.state], ["update", "failed"]);
    assert.ok(operation?.error_code && operation.error_message);
    assert.deepEqual(eventLogFaults(await world.db.events(id)), []);
  };

  await t.step("to a command that cannot start: the old version stays, and so it is said", async () => {
    await keepsTheOld({ command: ["--require-env", "MISSING"] }, ["exited", "crash_loop"]);
  });

  await t.step("to an entry point that is not in the image", async () => {
    await keepsTheOld({ entrypoint: ["/no-such-program"] }, ["start_failed"]);
  });

  await t.step("to an image that cannot be had: the old version is not even stopped", async () => {
    const { StartedAt } = (await world.docker.container(id)).State;
    await keepsTheOld({ dockerImage: "127.0.0.1:1/nothing:1" }, ["registry_unreachable"]);
    assert.equal((await world.docker.container(id)).State.StartedAt, StartedAt);
  });

  await t.step("to an image whose tag does not exist here or anywhere", async () => {
    const { StartedAt } = (await world.docker.container(id)).State;
    await keepsTheOld({ dockerImage: "127.0.0.1:1/toolbox/sample-mcp:no-such-tag" }, [
      "registry_unreachable",
      "image_not_found",
    ]);
    assert.equal((await world.docker.container(id)).State.StartedAt, StartedAt);
  });

  await t.step("after a failed update the old version is also what a lost container comes back as", async () => {
    assert.equal((await tools.remove("neighbour", { wait: 30 })).status, 200);
    await world.agent.stop("SIGKILL");
    await world.docker.removeBehindItsBack(id);
    await world.agent.loseStateDir();
    await world.agent.start();
    const started = await tools.start(id, { wait: 30 });
    assert.equal(started.status, 200, describe(started));
    assert.deepEqual(identity(await world.docker.container(id)), good, "also on the ports its callers know");
    assert.equal((await environmentOf(endpoint((await tools.get(id)).json.tool_instance))).values.SAMPLE_RELEASE, "2");
  });

  await t.step("of a stopped instance: the next start runs the new version", async () => {
    assert.equal((await tools.stop(id, { wait: 30 })).status, 200);
    const reply = await tools.update(id, { dockerImage: SAMPLE_IMAGE }, { wait: 30 });
    assert.equal(reply.status, 200, describe(reply));
    const started = await tools.start(id, { wait: 30 });
    assert.equal(started.status, 200, describe(started));
    assert.equal((await environmentOf(endpoint(started.json.tool_instance))).values.SAMPLE_RELEASE, "1");
    assert.equal((await world.docker.containers(id)).length, 1);
  });

  await t.step("a bad update is refused before anything happens", async () => {
    // What heartbeats tell of it goes on meanwhile.
    const asked = async () => {
      const row = await world.db.instance(id);
      return [row?.generation, row?.desired_status, row?.docker_image_url];
    };
    const before = [await asked(), await world.db.operations(id)];
    const reply = await tools.update(id, { dockerImage: "not an image" });
    assert.equal(reply.status, 422, describe(reply));
    assert.deepEqual([await asked(), await world.db.operations(id)], before);
  });

  await t.step("without waiting, the database tells the end by itself", async () => {
    const reply = await tools.update(id, { command: ["--exit-after-ms", "0", "--exit-code", "3"] });
    assert.equal(reply.status, 202, describe(reply));
    await eventually(
      "the operation ended",
      async () => (await world.db.operations(id)).at(-1)?.state === "failed" ? true : undefined,
    );
    assert.equal((await world.db.instance(id))?.status_on_toolbox, "running");
    const statuses = path(await world.db.events(id));
    assert.equal(statuses.at(-1), "running", statuses.join(" "));
    assert.deepEqual(eventLogFaults(await world.db.events(id)), []);
  });

  await t.step("back to a version: its image, its values, its limits", async () => {
    const deployed = await tools.deploy("versioned", {
      environmentVariables: { SAMPLE_GREETING: "hej", API_KEY: "first" },
      resources: { memory: "80Mi" },
    }, { wait: 30 });
    assert.equal(deployed.status, 201, describe(deployed));
    const { instanceId } = deployed.json;
    const broken = { SAMPLE_GREETING: "broken", API_KEY: "second" };
    const updated = await tools.update(instanceId, {
      dockerImage: SAMPLE_IMAGE_V2,
      environmentVariables: broken,
      resources: { memory: "96Mi" },
    }, { wait: 30 });
    assert.equal(updated.status, 200, describe(updated));

    const listed = await tools.versions(instanceId);
    assert.equal(listed.status, 200, describe(listed));
    const [now, first, ...others] = listed.json.versions;
    assert.deepEqual(others, []);
    assert.deepEqual([now.generation, now.current, now.image], [2, true, SAMPLE_IMAGE_V2]);
    assert.deepEqual(
      [first.generation, first.current, first.rollback_image],
      [1, false, SAMPLE_IMAGE],
      "no registry has it",
    );
    assert.deepEqual([first.actor_kind, first.actor_id], ["user", world.owner.userId]);
    assert.ok(first.ran_at && now.ran_at && first.image_digest !== now.image_digest, describe(listed));
    assert.deepEqual(
      first.differences.map((one: { field: string; hidden: boolean }) => [one.field, one.hidden]),
      [
        ["environmentVariables.API_KEY", true],
        ["environmentVariables.SAMPLE_GREETING", true],
        ["dockerImage", false],
        ["resources.memory", false],
      ],
    );
    assert.ok(!/hej|broken|"(first|second)"/.test(listed.text), describe(listed));

    const { stranger } = world;
    assert.equal((await stranger.tools.on(world.toolboxId).versions(instanceId)).status, 404);
    assert.equal(codeOf(await stranger.tools.on(world.toolboxId).rollBack(instanceId, 1)), "toolbox_not_found");
    assert.equal(codeOf(await tools.rollBack(instanceId, 7)), "version_not_kept");
    assert.equal((await world.db.instance(instanceId))?.generation, 2);

    const idempotencyKey = crypto.randomUUID();
    const back = await tools.rollBack(instanceId, 1, { wait: 30, idempotencyKey });
    assert.equal(back.status, 200, describe(back));
    assert.equal(back.json.tool_instance.image, SAMPLE_IMAGE);
    const environment = await environmentOf(endpoint(back.json.tool_instance));
    assert.deepEqual([environment.values.SAMPLE_RELEASE, environment.values.SAMPLE_GREETING], ["1", "hej"]);
    const container = await world.docker.container(instanceId);
    assert.ok(container.Config.Env.includes("API_KEY=first"));
    assert.equal(identity(container).memory, 80 << 20);
    const repeated = await tools.rollBack(instanceId, 1, { wait: 30, idempotencyKey });
    assert.equal(repeated.json.operation.id, back.json.operation.id, describe(repeated));
    const { json } = await tools.versions(instanceId);
    assert.deepEqual([json.versions[0].generation, json.versions[0].restores], [3, 1]);
    assert.equal(json.versions[0].image_digest, first.image_digest);
    // The secrets of what is kept are sealed as those of the instance are.
    const kept = await world.db.rows<{ spec: { env: Record<string, Envelope> } }>(
      "select spec from public.account_tool_instance_versions where tool_instance_id = :'id'",
      { id: instanceId },
    );
    assert.equal(kept.length, 3);
    for (const { spec } of kept) {
      assert.ok(Object.values(spec.env).every((value) => value.key_id), JSON.stringify(spec));
    }
  });

  await t.step("back to a version whose tag has moved on: the image that ran then", async () => {
    await using registry = await Registry.start();
    const image = `${registry.host}/moved:1`;
    await registry.push(SAMPLE_IMAGE, image);
    const first = await tools.update("versioned", { dockerImage: image }, { wait: 30 });
    assert.equal(first.status, 200, describe(first));
    await registry.push(SAMPLE_IMAGE_V2, image);
    const second = await tools.update("versioned", { dockerImage: image }, { wait: 30 });
    assert.equal(second.status, 200, describe(second));
    assert.equal((await environmentOf(endpoint(second.json.tool_instance))).values.SAMPLE_RELEASE, "2");
    const { versions } = (await tools.versions("versioned")).json;
    assert.equal(versions[0].image, versions[1].image);
    assert.match(versions[1].rollback_image, /moved:1@sha256:[0-9a-f]{64}$/);
    const back = await tools.rollBack("versioned", versions[1].generation, { wait: 30 });
    assert.equal(back.status, 200, describe(back));
    assert.equal(back.json.tool_instance.image, versions[1].rollback_image, "the answer says which");
    assert.equal((await environmentOf(endpoint(back.json.tool_instance))).values.SAMPLE_RELEASE, "1");
    assert.equal(back.json.tool_instance.image_digest, first.json.tool_instance.image_digest);
    assert.equal((await tools.remove("versioned", { wait: 30 })).status, 200);
  });
});

/** A registry, Debian's `docker-registry`, which goes with its images. */
class Registry implements AsyncDisposable {
  readonly #pushed = new Set<string>();

  private constructor(readonly host: string, readonly folder: string, readonly process: Deno.ChildProcess) {}

  static async start(): Promise<Registry> {
    const folder = await Deno.makeTempDir();
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const host = `127.0.0.1:${free.addr.port}`;
    free.close();
    const storage = { filesystem: { rootdirectory: `${folder}/data` } };
    // JSON is YAML too.
    await Deno.writeTextFile(
      `${folder}/config.yml`,
      JSON.stringify({ version: "0.1", storage, http: { addr: host }, log: { level: "error" } }),
    );
    const process = new Deno.Command("docker-registry", {
      args: ["serve", `${folder}/config.yml`],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const registry = new Registry(host, folder, process);
    await eventually("the registry answers", async () => {
      const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
      await answer?.body?.cancel();
      return answer?.ok || undefined;
    });
    return registry;
  }

  /** Gives what `image` is here that name in the registry, and takes the name off this machine. */
  async push(image: string, name: string): Promise<void> {
    this.#pushed.add(name);
    await docker("tag", image, name);
    await docker("push", name);
    await docker("rmi", name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#pushed) await docker("rmi", name).catch(() => {});
    this.process.kill();
    await this.process.status;
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("logs: the end, a time, a stream", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const deployed = await tools.deploy("talkative", {}, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const id = deployed.json.instanceId;
  const url = endpoint(deployed.json.tool_instance);
  await say(url, 30);
  /** The log once it shows `count` calls: Docker writes a line shortly after the server did. */
  const calls = (count: number, query: Record<string, string | number>) =>
    eventually(`${count} calls in the log ${JSON.stringify(query)}`, async () => {
      const reply = await tools.logs(id, query);
      assert.equal(reply.status, 200, describe(reply));
      const seen = reply.json.logs.filter((line: string) => line.includes("tools/call")).length;
      assert.ok(seen <= count, describe(reply));
      return seen === count ? reply : undefined;
    }, { ms: 20_000 });

  await t.step("tail", async () => {
    const all = await calls(30, { tail: 10_000 });
    for (const tail of [1, 5, 30]) {
      const reply = await tools.logs(id, { tail });
      assert.deepEqual(reply.json.logs, all.json.logs.slice(-tail), `tail=${tail}`);
    }
    assert.equal((await tools.logs(id)).json.logs.length, Math.min(100, all.json.logs.length));
  });

  await t.step("since, as a time and as seconds", async () => {
    const { entries } = (await tools.logs(id, { tail: 10_000 })).json;
    const last = entries.at(-1).time;
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const since = new Date().toISOString();
    assert.deepEqual((await tools.logs(id, { since })).json.logs, []);
    await say(url, 2);
    for (const value of [since, String(Math.floor(Date.parse(since) / 1000))]) {
      const reply = await calls(2, { since: value });
      for (const { time } of reply.json.entries) assert.ok(Date.parse(time) > Date.parse(last));
    }
  });

  await t.step("follow: lines arrive while they are written, and the stream ends with the instance", async () => {
    const { url: target, headers } = tools.target(tools.path(id, "/logs?follow=true&tail=1"));
    const abort = new AbortController();
    const response = await fetch(target, { headers, signal: abort.signal });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type") ?? "", /^application\/x-ndjson/);
    const lines = readLines(response.body!);
    const next = async () => {
      const { value, done } = await within(20_000, "a line of the log", lines.next());
      assert.ok(!done, "the stream goes on");
      return JSON.parse(value);
    };
    const tail = await next();
    assert.ok(tail.line && tail.time && ["stdout", "stderr"].includes(tail.stream), JSON.stringify(tail));
    for (let i = 0; i < 3; i++) {
      await say(url, 1);
      let line;
      do line = await next(); while (!line.line.includes("tools/call"));
    }

    // Nothing waits for a slow or vanished reader.
    const restarted = await tools.restart(id, { wait: 30 });
    assert.equal(restarted.status, 200, describe(restarted));
    abort.abort();
    assert.equal((await tools.get(id)).json.tool_instance.status_on_toolbox, "running");

    const second = await fetch(target, { headers });
    const rest = readLines(second.body!);
    await within(20_000, "the first line", rest.next());
    const removed = await tools.remove(id, { wait: 30 });
    assert.equal(removed.status, 200, describe(removed));
    await within(
      15_000,
      "the end of the stream",
      (async () => {
        while (!(await rest.next()).done);
      })(),
    );
  });

  await t.step("of an instance that never had a container", async () => {
    const reply = await tools.deploy("silent", { dockerImage: "127.0.0.1:1/none:1" }, { wait: 30 });
    assert.equal(reply.status, 502, describe(reply));
    const logs = await tools.logs("silent");
    assert.equal(logs.status, 200, describe(logs));
    assert.deepEqual(logs.json.logs, []);
  });

  await t.step("a hundred followers do not stop the agent from working", async () => {
    const busy = await tools.deploy("busy", {}, { wait: 30 });
    assert.equal(busy.status, 201, describe(busy));
    const abort = new AbortController();
    const { url: target, headers } = tools.target(tools.path("busy", "/logs?follow=true"));
    const streams = await Promise.all(
      Array.from({ length: 100 }, () => fetch(target, { headers, signal: abort.signal })),
    );
    const open = streams.filter(({ status }) => status === 200).length;
    for (const { status } of streams) assert.ok([200, 429, 503].includes(status), `status ${status}`);
    assert.ok(open >= 10, `${open} of 100 were served`);
    const reply = await tools.stop("busy", { wait: 30 });
    assert.equal(reply.status, 200, describe(reply));
    abort.abort();
    await Promise.all(streams.map(({ body }) => body?.cancel().catch(() => {})));
    assert.equal((await tools.start("busy", { wait: 30 })).status, 200);
  });
});

/** Calls a tool `times` times: the sample server logs a line for each call. */
async function say(url: URL, times: number): Promise<void> {
  await withMcp(url, async (client) => {
    for (let i = 0; i < times; i++) await client.callTool({ name: "echo", arguments: { message: "x" } });
  });
}

/** The lines of a stream. */
async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    yield* lines.filter(Boolean);
  }
}
