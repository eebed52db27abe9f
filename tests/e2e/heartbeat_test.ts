/** The database follows the machine by itself: nobody reads a list here, so nothing but heartbeats can tell it. */
import assert from "node:assert/strict";
import { Machine } from "./lib/machine.ts";
import { describe, docker, eventually, opened, path, pooled, send, sleep, startWorld, type World } from "./lib/mod.ts";

/** Instances that change, and how often each does. */
const INSTANCES = 8;
const ROUNDS = 5;
/** From Docker's event to the row, for 95 of 100 changes. */
const PUSH_MS = 1_000;

Deno.test("a change reaches the row within a second of Docker's event", async () => {
  // Full heartbeats are rare, so that what is measured is the push.
  await using world = await startWorld({ dtmaEnv: { DTMA_HEARTBEAT_INTERVAL: "300" } });
  const ids = await pooled(Array.from({ length: INSTANCES }, (_, at) => `pushed ${at}`), 4, async (name) => {
    const reply = await world.owner.tools.deploy(name, {}, { wait: 60 });
    assert.equal(reply.status, 201, describe(reply));
    return reply.json.instanceId as string;
  });
  await sleep(1_000);
  await recordRows(world);
  await using events = new DockerEvents(world.toolboxId);
  for (let round = 0; round < ROUNDS; round++) {
    for (const id of ids) {
      const { Id } = await world.docker.container(id);
      // By hand, behind everybody's back: the agent makes it again under another id.
      await docker("rm", "--force", Id);
      await sleep(150);
    }
    await eventually("every instance runs again, and its row says as what", async () => {
      const containers = await world.docker.containers();
      const rows = await world.db.rows<{ id: string; container_id: string; status_on_toolbox: string }>(
        "select id, container_id, status_on_toolbox from public.account_tool_instances",
      );
      return rows.every(({ id, container_id, status_on_toolbox: status }) =>
          status === "running" &&
          containers.some((one) =>
            one.Id === container_id && one.State.Running && one.Config.Labels["io.toolbox.instance_id"] === id
          )
        )
        ? true
        : undefined;
    }, { ms: 60_000, everyMs: 250 });
  }
  const seen = await world.db.rows<{ container_id: string; at: number }>(
    `select container_id, min(extract(epoch from at) * 1000)::float8 as at from private.seen
     where status = 'running' group by container_id`,
  );
  const delays: number[] = [];
  for (const { container_id, at } of seen) {
    const started = events.started.get(container_id);
    if (started !== undefined) delays.push(at - started);
  }
  delays.sort((a, b) => a - b);
  const quantile = (share: number) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))];
  console.log(
    `  ${delays.length} starts, Docker's event to the row: p50 ${quantile(0.5).toFixed(0)} ms, ` +
      `p95 ${quantile(0.95).toFixed(0)} ms, longest ${quantile(1).toFixed(0)} ms`,
  );
  assert.ok(delays.length >= INSTANCES * ROUNDS * 0.9, `${delays.length} changes were seen`);
  assert.ok(quantile(0.95) < PUSH_MS, `p95 is ${quantile(0.95)} ms`);
});

Deno.test("a silent toolbox is unresponsive and its instances unknown, until it is heard again", async (t) => {
  await using world = await startWorld({ dtmaEnv: { DTMA_HEARTBEAT_INTERVAL: "1" } });
  const { tools } = world.owner;
  const deployed = await tools.deploy("kept", {}, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const id = deployed.json.instanceId as string;
  const row = () =>
    world.db.row<{ status: string; unresponsive_since: string | null; heard: string }>(
      `select status, unresponsive_since, last_heartbeat_at as heard
       from public.account_tool_environments where id = :'id'`,
      { id: world.toolboxId },
    );

  await t.step("three silent intervals later it is unresponsive since it was last heard", async () => {
    await world.agent.stop("SIGKILL");
    const begun = Date.now();
    const silent = await eventually("the toolbox is unresponsive", async () => {
      const now = await row();
      return now.status === "unresponsive" ? now : undefined;
    }, { ms: 20_000 });
    console.log(`  unresponsive after ${((Date.now() - begun) / 1000).toFixed(1)} s, interval 1 s, looked every 5 s`);
    assert.equal(silent.unresponsive_since, silent.heard);
  });

  await t.step("the list says since when the state is unknown, and keeps what was known", async () => {
    const { heard } = await row();
    const list = await tools.list();
    assert.equal(list.status, 200, describe(list));
    assert.equal(list.json.success, false);
    assert.equal(Date.parse(list.json.agent.unresponsive_since), Date.parse(heard), describe(list));
    const [view] = list.json.tool_instances;
    assert.equal(Date.parse(view.unknown_since), Date.parse(heard), describe(list));
    assert.equal(view.status_on_toolbox, "running", "what it was is no lie: it is marked as unknown");
    assert.equal(view.state_source, "last_known");
    const events = await world.db.events(id);
    const last = events[events.length - 1];
    assert.deepEqual([last.action, last.from_status, last.to_status], ["unknown_since", "running", "running"]);
    assert.deepEqual(path(events).at(-1), "running");
  });

  await t.step("heard again it is active at once, and nothing is unknown", async () => {
    await world.agent.start();
    const begun = Date.now();
    await eventually("the toolbox is active", async () => (await row()).status === "active" ? true : undefined);
    console.log(`  active ${Date.now() - begun} ms after the agent answered`);
    assert.equal((await row()).unresponsive_since, null);
    const list = await tools.list();
    assert.equal(list.json.success, true, describe(list));
    assert.ok(!list.json.tool_instances[0].unknown_since, describe(list));
  });
});

Deno.test("a command that was lost on its way heals itself", async (t) => {
  await using world = await startWorld({ dtmaEnv: { DTMA_HEARTBEAT_INTERVAL: "1" } });
  const { tools } = world.owner;
  const names = ["stopped", "restarted", "deleted", "updated"];
  const ids = await pooled(names, 4, async (name) => {
    const reply = await tools.deploy(name, {}, { wait: 60 });
    assert.equal(reply.status, 201, describe(reply));
    return reply.json.instanceId as string;
  });
  const [stopped, restarted, deleted, updated] = ids;

  await t.step("a stop", async () => {
    const begun = await lost(world, stopped, "stop", "stopping", "stopped");
    await ends(world, stopped, begun, "stopped");
    assert.equal((await world.docker.container(stopped)).State.Running, false);
  });

  await t.step("a restart, which is one", async () => {
    const before = (await world.docker.container(restarted)).State.StartedAt;
    const begun = await lost(world, restarted, "restart", "stopping", "running");
    await ends(world, restarted, begun, "running");
    const { State } = await world.docker.container(restarted);
    assert.equal(State.Running, true);
    assert.notEqual(State.StartedAt, before, "the container was started anew");
  });

  await t.step("an update", async () => {
    const { spec } = (await world.db.instance(updated))!;
    const changed = { ...spec, env: { ...(spec.env as object), SAMPLE_MARK: { key_id: null, value: "found" } } };
    const begun = await lost(world, updated, "update", "deploying", "running", changed);
    await ends(world, updated, begun, "running");
    assert.ok((await world.docker.container(updated)).Config.Env.includes("SAMPLE_MARK=found"));
  });

  await t.step("a deletion", async () => {
    const begun = await lost(world, deleted, "delete", "pending_delete", "absent");
    await ends(world, deleted, begun, undefined);
    assert.deepEqual(await world.docker.containers(deleted), []);
  });

  await t.step("a deployment", async () => {
    const { spec } = await opened(world.ready.agent_root, (await world.db.instance(stopped))!);
    const id = crypto.randomUUID();
    const begun = await lost(world, id, "deploy", "deploying", "running", spec, {
      name: "never told",
      container_name: `never-told-${id.slice(0, 8)}`,
      tool_catalog_id: "00000000-0000-0000-0000-0000000000aa",
    });
    await ends(world, id, begun, "running");
    assert.equal((await world.docker.container(id)).State.Running, true);
  });
});

/** Begins an operation as toolbox-tools does, and then says nothing to the agent; the operation's id. */
async function lost(
  world: World,
  id: string,
  action: string,
  status: string,
  desired: string,
  spec?: unknown,
  more: Record<string, unknown> = {},
): Promise<string> {
  const p = {
    toolbox_id: world.toolboxId,
    user_id: world.owner.userId,
    instance_id: id,
    action,
    request_id: crypto.randomUUID(),
    lease_seconds: 120,
    to_status: status,
    desired_status: desired,
    ...(spec === undefined ? {} : { spec }),
    ...more,
  };
  const reply = await send(`${world.ready.url}/rest/v1/rpc/begin_tool_instance_operation`, {
    method: "POST",
    headers: { apikey: world.ready.secret_key },
    json: { p },
  });
  assert.equal(reply.json?.outcome, "started", describe(reply));
  return reply.json.operation.id;
}

/** The operation succeeds, and the row is as wanted; gone without a wish. */
async function ends(world: World, id: string, operation: string, status: string | undefined): Promise<void> {
  const begun = performance.now();
  await eventually(`the operation ends with the instance ${status ?? "gone"}`, async () => {
    const own = (await world.db.operations(id)).find((one) => one.id === operation);
    const row = await world.db.instance(id);
    return own?.state === "succeeded" && row?.status_on_toolbox === status ? true : undefined;
  }, { ms: 20_000 });
  console.log(`  ${status ?? "gone"} after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

/** Has the database note when a row changes, by its own clock, which is Docker's here. */
async function recordRows(world: World): Promise<void> {
  await world.db.execute(`
    create table private.seen (container_id text, status text, at timestamptz default clock_timestamp());
    create function private.see() returns trigger language plpgsql security definer as $$
    begin
      insert into private.seen (container_id, status) values (new.container_id, new.status_on_toolbox);
      return null;
    end $$;
    create trigger see after update on public.account_tool_instances for each row execute function private.see();`);
}

/** When containers of a toolbox were started, as Docker tells it. */
class DockerEvents implements AsyncDisposable {
  /** Milliseconds since the epoch, by container. */
  readonly started = new Map<string, number>();
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  constructor(toolboxId: string) {
    const filters = ["--filter", `label=io.toolbox.toolbox_id=${toolboxId}`, "--filter", "event=start"];
    this.#process = new Deno.Command("docker", {
      args: ["events", "--format", "{{.ID}} {{.TimeNano}}", ...filters],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [id, nanoseconds] = line.split(" ");
        this.started.set(id, Number(nanoseconds) / 1e6);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#process.status;
    await this.#reading;
  }
}

Deno.test("what is wrong with one instance stops no report of another", async (t) => {
  await using world = await startWorld();
  const machine = await Machine.of(world, world.stranger);
  assert.equal((await machine.enrol()).status, 200);
  const names = ["refused", "unreadable", "healthy"];
  const ids = names.map(() => crypto.randomUUID());
  await world.db.execute(
    ids.map((id, at) =>
      `insert into public.account_tool_instances
       (id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, status_on_toolbox)
     values ('${id}', '${machine.toolboxId}', '00000000-0000-0000-0000-000000000001', '${names[at]}', '${names[at]}',
       '{"image": "x"}', 'deploying');`
    ).join("\n"),
  );
  // What no rule of today refuses, one of tomorrow may.
  await world.db.execute(
    "alter table public.account_tool_instances add constraint of_this_test check (container_id <> 'poison');",
  );
  const report = (id: string, more: Record<string, unknown> = {}) => ({
    id,
    generation: 1,
    phase: "running",
    settled: true,
    container_id: "abc",
    ports: [],
    observed_at: "2026-01-01T00:00:00Z",
    ...more,
  });
  const statuses = async () => {
    const rows = await world.db.rows<{ id: string; status: string }>(
      `select id, status_on_toolbox as status from public.account_tool_instances
       where account_tool_environment_id = '${machine.toolboxId}'`,
    );
    return ids.map((id) => rows.find((row) => row.id === id)?.status);
  };

  await t.step("the others are recorded, and the heartbeat is acknowledged", async () => {
    const reply = await machine.beat({
      full: true,
      instances: [
        report(ids[0], { container_id: "poison" }),
        report(ids[1], { phase: "hibernating" }),
        report(ids[2]),
      ],
    });
    assert.equal(reply.status, 200, describe(reply));
    assert.deepEqual(await statuses(), ["deploying", "deploying", "running"]);
  });

  await t.step("the next good report is recorded", async () => {
    const reply = await machine.beat({ full: true, instances: ids.map((id) => report(id)) });
    assert.equal(reply.status, 200, describe(reply));
    assert.deepEqual(await statuses(), ["running", "running", "running"]);
  });
});
