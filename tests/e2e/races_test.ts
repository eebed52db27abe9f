/**
 * Two clients of one user command the same ten instances at once: every answer is an acceptance or a refusal that
 * names what is in the way, every accepted operation ends and is in the event log, and Docker shows the last of them.
 */
import assert from "node:assert/strict";
import {
  codeOf,
  describe,
  docker,
  type EventRow,
  type OperationRow,
  pooled,
  type Reply,
  SAMPLE_IMAGE,
  SAMPLE_IMAGE_V2,
  seeded,
  signIn,
  sleep,
  startWorld,
  type ToolsApi,
  type World,
} from "./lib/mod.ts";
import { healed, instanceOf, logFaults, type Snapshot, snapshot } from "./faults/truth.ts";
import { seedFromEnvironment } from "./faults/seed.ts";

const INSTANCES = 10;
const COMMANDS_PER_CLIENT = 100;
/** How many commands one client has under way. */
const LANES = 3;

type Verb = "start" | "stop" | "restart" | "update" | "redeploy";

interface Command {
  verb: Verb;
  name: string;
  /** Seconds to wait for the end; 0 takes the acceptance. */
  wait: number;
  /** Put into the environment by update and deploy, to see whose spec runs in the end. */
  mark: string;
}

/** A 2xx of a mutation. */
interface Accepted {
  operation: string;
  instance: string;
  action: string;
  mark: string | undefined;
}

Deno.test("two clients, 200 conflicting commands on ten instances", async () => {
  const seed = seedFromEnvironment("TOOLBOX_RACES_SEED");
  await using world = await startWorld();
  const { demo } = world.ready;
  const clients = await Promise.all([
    signIn(world.ready, demo.email, demo.password),
    signIn(world.ready, demo.email, demo.password),
  ]);
  assert.notEqual(clients[0].token, clients[1].token, "two sessions");

  const names = Array.from({ length: INSTANCES }, (_, at) => `race ${at}`);
  const accepted: Accepted[] = [];
  const refused = new Map<string, number>();
  const note = (reply: Reply, mark?: string) => judge(reply, mark, accepted, refused);
  await pooled(names, 5, async (name) => {
    const mark = `first ${name}`;
    const reply = await clients[0].tools.deploy(name, { environmentVariables: { SAMPLE_MARK: mark } }, { wait: 30 });
    assert.equal(reply.status, 201, describe(reply));
    note(reply, mark);
  });

  const watch = watchForDuplicates(world);
  await Promise.all(clients.map(async ({ tools }, client) => {
    const random = seeded(seed + client);
    const commands = Array.from({ length: COMMANDS_PER_CLIENT }, (_, at) => command(random, names, `${client}.${at}`));
    await pooled(commands, LANES, (one) => issue(tools, one, note));
  }));
  const end = await healed(world, 60_000);
  assert.deepEqual(await watch.stop(), [], "more than one running container of an instance was seen");

  console.log(`  accepted ${accepted.length}, refused ${JSON.stringify(Object.fromEntries(refused))}`);
  assert.ok(accepted.length >= 40, `only ${accepted.length} commands were accepted: this is no race`);
  assert.ok((refused.get("operation_in_progress") ?? 0) >= 10, "hardly any command met another: this is no race");
  assert.deepEqual(lostOperations(end, accepted), []);
  assert.deepEqual(await illegalTransitions(world), []);
  assert.deepEqual(logFaults(end), []);
  assert.deepEqual(generationFaults(end), []);
  assert.deepEqual(lastWordFaults(end, accepted), []);
});

Deno.test("simultaneous deploys and repeats", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const twenty = Array.from({ length: 20 }, (_, at) => at);

  await t.step("20 deploys of one name make one instance", async () => {
    const replies = await Promise.all(twenty.map(() => tools.deploy("only one", {}, { wait: 20 })));
    const made = replies.filter((reply) => reply.status < 300);
    assert.equal(made.length, 1, replies.map(describe).join("\n"));
    for (const reply of replies) {
      if (reply !== made[0]) assert.equal(`${reply.status} ${codeOf(reply)}`, "409 name_taken", describe(reply));
    }
    const { rows, operations, containers } = await healed(world);
    assert.deepEqual(rows.map((row) => row.id), [made[0].json.instanceId]);
    assert.deepEqual(operations.map((operation) => `${operation.action} ${operation.state}`), ["deploy succeeded"]);
    assert.equal(containers.length, 1);
  });

  await t.step("20 deploys with one Idempotency-Key are one operation", async () => {
    const idempotencyKey = crypto.randomUUID();
    const replies = await Promise.all(twenty.map(() => tools.deploy("repeated", {}, { wait: 20, idempotencyKey })));
    oneOperation(replies);
    const { rows, operations, containers } = await healed(world);
    const [row, ...others] = rows.filter((row) => row.instance_name_on_toolbox === "repeated");
    assert.deepEqual(others, []);
    assert.equal(operations.filter((operation) => operation.tool_instance_id === row.id).length, 1);
    assert.equal(containers.filter((container) => instanceOf(container) === row.id).length, 1);
  });

  await t.step("20 stops with one Idempotency-Key are one operation", async () => {
    const [row] = (await snapshot(world)).rows;
    const idempotencyKey = crypto.randomUUID();
    const replies = await Promise.all(twenty.map(() => tools.stop(row.id, { wait: 20, idempotencyKey })));
    oneOperation(replies);
    const { rows, operations } = await healed(world);
    assert.equal(rows.find((found) => found.id === row.id)?.status_on_toolbox, "stopped");
    const stops = operations.filter((one) => one.tool_instance_id === row.id && one.action === "stop");
    assert.equal(stops.length, 1);
    assert.equal(Number(rows.find((found) => found.id === row.id)?.generation), Number(row.generation) + 1);

    const other = await tools.start(row.id, { idempotencyKey });
    assert.equal(`${other.status} ${codeOf(other)}`, "422 idempotency_key_reused", describe(other));
  });

  await t.step("20 deletes of one instance end with it gone", async () => {
    const [row] = (await snapshot(world)).rows;
    const replies = await Promise.all(twenty.map(() => tools.remove(row.id, { wait: 20 })));
    const done = replies.filter((reply) => reply.status < 300);
    assert.equal(done.length, 1, replies.map(describe).join("\n"));
    for (const reply of replies.filter((reply) => reply !== done[0])) {
      const answer = `${reply.status} ${codeOf(reply)}`;
      assert.ok(["409 operation_in_progress", "404 instance_not_found"].includes(answer), describe(reply));
    }
    const { rows, containers } = await healed(world);
    assert.ok(!rows.some((found) => found.id === row.id));
    assert.ok(!containers.some((container) => instanceOf(container) === row.id));
  });
});

function command(random: () => number, names: string[], mark: string): Command {
  const verbs: Verb[] = ["start", "start", "start", "stop", "stop", "stop", "restart", "update", "redeploy"];
  return {
    verb: verbs[Math.floor(random() * verbs.length)],
    name: names[Math.floor(random() * names.length)],
    wait: random() < 0.5 ? 0 : 10,
    mark,
  };
}

async function issue(tools: ToolsApi, command: Command, note: (reply: Reply, mark?: string) => void): Promise<void> {
  const { name, wait, mark } = command;
  const options = wait ? { wait } : {};
  const environmentVariables = { SAMPLE_MARK: mark };
  switch (command.verb) {
    case "start":
    case "stop":
    case "restart":
      return note(await tools[command.verb](name, options));
    case "update": {
      const dockerImage = mark.length % 2 ? SAMPLE_IMAGE : SAMPLE_IMAGE_V2;
      return note(await tools.update(name, { dockerImage, environmentVariables }, options), mark);
    }
    case "redeploy": {
      // Waits, because a name is free only once the instance is gone.
      note(await tools.remove(name, { wait: 10 }));
      return note(await tools.deploy(name, { environmentVariables }, options), mark);
    }
  }
}

/** Files an answer under accepted or refused; anything that is neither fails the test. */
function judge(reply: Reply, mark: string | undefined, accepted: Accepted[], refused: Map<string, number>): void {
  if (reply.status < 300) {
    assert.equal(reply.json.success, true, describe(reply));
    const { operation, instanceId } = reply.json;
    accepted.push({ operation: operation.id, instance: instanceId, action: operation.action, mark });
    return;
  }
  const code = codeOf(reply) ?? "";
  const answer = `${reply.status} ${code}`;
  // No state refuses a command but those an operation is in; so a refusal for the state's sake would keep its name.
  const expected = [
    "404 instance_not_found",
    "409 name_taken",
    "409 operation_in_progress",
    "409 state_changed",
  ];
  assert.ok(expected.includes(answer), describe(reply));
  if (code === "operation_in_progress") {
    const running = reply.json.error.details?.operation;
    assert.ok(running?.id && running.action && running.started_at, `names the running operation: ${describe(reply)}`);
  }
  refused.set(code, (refused.get(code) ?? 0) + 1);
}

function oneOperation(replies: Reply[]): void {
  for (const reply of replies) assert.ok(reply.status < 300, describe(reply));
  const operations = new Set(replies.map((reply) => reply.json.operation.id));
  const instances = new Set(replies.map((reply) => reply.json.instanceId));
  assert.equal(operations.size, 1, [...operations].join());
  assert.equal(instances.size, 1, [...instances].join());
}

/** Samples Docker while the race runs: instances of which two containers ran at once. */
function watchForDuplicates(world: World): { stop(): Promise<string[]> } {
  const seen = new Set<string>();
  let watching = true;
  const filter = `label=io.toolbox.toolbox_id=${world.toolboxId}`;
  const format = `{{.Label "io.toolbox.instance_id"}}`;
  const watched = (async () => {
    while (watching) {
      const ids = (await docker("ps", "--filter", filter, "--format", format)).split("\n").filter(Boolean);
      ids.forEach((id, at) => ids.indexOf(id) !== at && seen.add(id));
      await sleep(150);
    }
  })();
  return {
    async stop() {
      watching = false;
      await watched;
      return [...seen];
    },
  };
}

/** Accepted operations that the database does not know, did not finish, or did not log; and unasked ones. */
function lostOperations({ operations, events }: Snapshot, accepted: Accepted[]): string[] {
  const found: string[] = [];
  const asked = new Map(accepted.map((one) => [one.operation, one]));
  assert.equal(asked.size, accepted.length, "two commands were answered with one operation");
  const ends: Record<string, string | null> = {
    deploy: "running",
    start: "running",
    restart: "running",
    update: "running",
    stop: "stopped",
    delete: null,
  };
  const byId = new Map(operations.map((operation) => [operation.id, operation]));
  // A stop or a deletion took their place. Who waits for one is answered 409 state_changed.
  const superseded = new Set(
    events.filter((event) => event.action === "superseded").map((event) => event.operation_id as string),
  );
  for (const one of accepted) {
    const operation = byId.get(one.operation);
    if (!operation) found.push(`accepted ${one.action} ${one.operation} is not in the database`);
    else if (superseded.has(one.operation)) {
      if (operation.state !== "abandoned") found.push(`superseded ${one.operation} is ${operation.state}`);
      continue;
    } else if (operation.state !== "succeeded") {
      found.push(`accepted ${one.action} ${one.operation} is ${operation.state} ${operation.error_code ?? ""}`);
    }
    const own = events.filter((event) => event.operation_id === one.operation);
    if (own.length === 0) found.push(`accepted ${one.action} ${one.operation} is not in the event log`);
    else if (
      (own.at(-1)?.to_status ?? null) !== ends[one.action] &&
      // An update keeps what was stopped stopped.
      !(one.action === "update" && own[0].from_status === "stopped" && own.at(-1)?.to_status === "stopped")
    ) {
      found.push(`${one.action} ${one.operation} ends as ${own.at(-1)?.to_status} in the event log`);
    }
    found.push(...outOfOrder(own, events, operation));
  }
  for (const operation of operations) {
    if (asked.has(operation.id)) continue;
    if (!superseded.has(operation.id as string)) {
      found.push(`operation ${operation.action} ${operation.id} was never accepted`);
    } else if (operation.state !== "abandoned") found.push(`superseded ${operation.id} is ${operation.state}`);
  }
  return found;
}

/** Events of an operation between which another operation's events lie. */
function outOfOrder(own: EventRow[], events: EventRow[], operation: OperationRow | undefined): string[] {
  if (own.length === 0 || !operation) return [];
  const [first, last] = [own[0].id, own.at(-1)!.id];
  return events
    .filter((event) => event.tool_instance_id === own[0].tool_instance_id && event.id > first && event.id < last)
    .filter((event) => event.operation_id !== operation.id)
    .map((event) => `event ${event.id} of ${event.operation_id} lies within operation ${operation.id}`);
}

/** The event log against the transition table of the database. */
function illegalTransitions(world: World): Promise<unknown[]> {
  return world.db.rows(
    `select e.id, e.from_status, e.to_status from public.tool_instance_events e
     where e.account_tool_environment_id = :'toolbox'
       and e.from_status is not null and e.to_status is not null and e.from_status <> e.to_status
       and not private.tool_instance_transition_allowed(e.from_status, e.to_status)`,
    { toolbox: world.toolboxId },
  );
}

/** Generations that do not grow with every operation, one by one, up to the row's. */
function generationFaults({ rows, operations }: Snapshot): string[] {
  const found: string[] = [];
  for (const [instance, own] of Map.groupBy(operations, (operation) => operation.tool_instance_id as string)) {
    own.forEach((operation, at) => {
      if (at > 0 && operation.generation <= own[at - 1].generation) {
        found.push(`${instance}: generation ${operation.generation} after ${own[at - 1].generation}`);
      }
    });
    const row = rows.find((candidate) => candidate.id === instance);
    if (row && row.generation !== own.at(-1)?.generation) {
      found.push(`${instance}: the row has generation ${row.generation}, the last operation ${own.at(-1)?.generation}`);
    }
  }
  return found;
}

/** What these actions leave; an update leaves what is stopped stopped. */
function wanted(actions: string[]): "running" | "stopped" {
  return actions.findLast((action) => action !== "update") === "stop" ? "stopped" : "running";
}

/** Whether a container was made of the last spec: that of an update of a stopped one is tried at the next start. */
function isTried(own: OperationRow[]): boolean {
  const actions = own.map((operation) => operation.action as string);
  const spec = actions.findLastIndex((action) => action === "deploy" || action === "update");
  // What a stop took the place of was perhaps never tried.
  return own[spec].state === "succeeded" && wanted(actions.slice(0, spec + 1)) === "running" ||
    own.slice(spec).some(({ action, state }) => state === "succeeded" && (action === "start" || action === "restart"));
}

/** Instances that are not what the last accepted command asked for, or run another spec than the last one accepted. */
function lastWordFaults({ rows, operations, containers }: Snapshot, accepted: Accepted[]): string[] {
  const found: string[] = [];
  const marks = new Map(accepted.map((one) => [one.operation, one.mark]));
  for (const [instance, own] of Map.groupBy(operations, (operation) => operation.tool_instance_id as string)) {
    const row = rows.find((candidate) => candidate.id === instance);
    const last = own.at(-1)!.action;
    if (last === "delete") {
      if (row) found.push(`${instance}: deleted last, but there`);
      continue;
    }
    if (!row) {
      found.push(`${instance}: gone, but its last operation was ${last}`);
      continue;
    }
    const actions = own.map((operation) => operation.action as string);
    const end = wanted(actions);
    if (row.desired_status !== end || row.status_on_toolbox !== end) {
      found.push(`${instance}: ${last} was last, desired ${row.desired_status}, is ${row.status_on_toolbox}`);
    }
    const spec = own.findLast((operation) => operation.action === "deploy" || operation.action === "update")
      ?.id as string;
    // A caller whose change was superseded is not told which operation it was, so its mark is not known.
    if (!isTried(own) || !marks.has(spec)) continue;
    const mark = marks.get(spec);
    const [container] = containers.filter((candidate) => instanceOf(candidate) === instance);
    if (!container?.Config.Env.includes(`SAMPLE_MARK=${mark}`)) {
      found.push(`${instance}: after ${actions}: should run with mark ${mark}, has ${container?.Config.Env}`);
    }
  }
  return found;
}
