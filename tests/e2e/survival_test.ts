/**
 * Parts die with SIGKILL at random moments while toolbox-tools mutates: DTMA, the function's worker, PostgREST, the
 * database connection. What was accepted is reached all the same, with exactly one container per instance, and reading
 * the list makes the database equal to Docker. `scripts/test --thorough` kills more often.
 */
import assert from "node:assert/strict";
import {
  codeOf,
  describe,
  eventually,
  pooled,
  type Reply,
  seeded,
  sleep,
  startWorld,
  type ToolsApi,
  type World,
} from "./lib/mod.ts";
import { expireLeases, expireUnheard, killed } from "./faults/parts.ts";
import { healed, instanceOf, type Snapshot, snapshot } from "./faults/truth.ts";
import { seedFromEnvironment } from "./faults/seed.ts";
import { thorough } from "../lib/thorough.ts";

/** Kills of DTMA; each has two mutations under way. */
const KILLS = thorough ? 52 : 12;
/** The longest a kill waits after the mutations were sent; a deploy takes about 1.5 s. */
const LONGEST_MS = 1_600;

type Verb = "deploy" | "start" | "stop" | "restart" | "update" | "delete";

/** A mutation that will be under way while something dies. */
interface Turn {
  verb: Verb;
  name: string;
  /** The instance; unknown before a deploy was answered. */
  instance?: string;
  waits: boolean;
  /** Goes into the environment of a deploy and an update, to see whose spec runs in the end. */
  mark: string;
}

/** The same with what was answered. */
interface Attempt extends Turn {
  reply: Reply;
}

/** Names that take turns, and what they are as far as the test knows. */
class Turns {
  readonly #names: string[];
  #marks = 0;

  constructor(count: number, readonly random: () => number) {
    this.#names = Array.from({ length: count }, (_, at) => `survivor ${at}`);
  }

  /** `count` different names, each with a mutation that its state allows. */
  next(state: Snapshot, count: number): Turn[] {
    const names = [...this.#names].sort(() => this.random() - 0.5).slice(0, count);
    return names.map((name) => {
      const row = state.rows.find((candidate) => candidate.instance_name_on_toolbox === name);
      const chosen = { name, waits: this.random() < 0.5, mark: `mark ${++this.#marks}` };
      if (!row) return { ...chosen, verb: "deploy" };
      // A stop that the agent never heard of is wanted still, and an update would leave the tool stopped.
      const choices: Verb[] = row.status_on_toolbox !== "running"
        ? ["start", "start", "start", "delete"]
        : row.desired_status === "running"
        ? ["stop", "stop", "restart", "update", "delete"]
        : ["stop", "stop", "restart", "delete"];
      return { ...chosen, verb: choices[Math.floor(this.random() * choices.length)], instance: row.id };
    });
  }
}

function mutate(tools: ToolsApi, turn: Turn): Promise<Reply> {
  const environmentVariables = { SAMPLE_MARK: turn.mark };
  const options = { deadlineMs: 75_000, ...(turn.waits ? { wait: 15 } : {}) };
  const target = turn.instance ?? turn.name;
  switch (turn.verb) {
    case "deploy":
      return tools.deploy(turn.name, { environmentVariables }, options);
    case "update":
      return tools.update(target, { environmentVariables }, options);
    case "delete":
      return tools.remove(target, options);
    default:
      return tools[turn.verb](target, options);
  }
}

Deno.test("DTMA killed at random moments reaches what was accepted, with one container per instance", async () => {
  const random = seeded(seedFromEnvironment("TOOLBOX_SURVIVAL_SEED"));
  await using world = await startWorld();
  const { tools } = world.owner;
  const turns = new Turns(6, random);
  await pooled([0, 1, 2], 3, async (at) => {
    const reply = await tools.deploy(`survivor ${at}`, {}, { wait: 30 });
    assert.equal(reply.status, 201, describe(reply));
  });

  const answers = new Map<string, number>();
  let unanswered = 0;
  let state = await healed(world);
  for (let kill = 1; kill <= KILLS; kill++) {
    const pair = turns.next(state, 2);
    // Squared, so that the first milliseconds, in which everything is decided, are hit most often.
    const moment = Math.round(random() ** 2 * LONGEST_MS);
    const label = `kill ${kill} after ${moment} ms of ${pair.map((one) => `${one.verb} ${one.name}`).join(" and ")}`;
    const pending = pair.map((one) => mutate(tools, one));
    await sleep(moment);
    await world.agent.stop("SIGKILL");
    await world.agent.start();
    const replies = await Promise.all(pending);
    const attempts = pair.map((one, at) => ({ ...one, reply: replies[at] }));
    for (const { verb, reply } of attempts) {
      const outcome = `${verb} ${reply.status} ${codeOf(reply) ?? ""}`.trim();
      answers.set(outcome, (answers.get(outcome) ?? 0) + 1);
      if (reply.ms > moment) unanswered++;
    }
    try {
      await agentSettles(world);
      state = await healedAndRemoved(world, 30_000);
      for (const attempt of attempts) keptItsWord(attempt, state);
    } catch (error) {
      throw new Error(`${label}\n${replies.map(describe).join("\n")}`, { cause: error });
    }
  }
  console.log(`  ${KILLS} kills, ${unanswered} of ${2 * KILLS} mutations not answered yet when it died`);
  console.log(`  answers ${JSON.stringify(Object.fromEntries([...answers].sort()))}`);
  // About one for each kill; among few kills, chance has more room.
  assert.ok(unanswered >= KILLS / (thorough ? 2 : 4), "hardly any kill met a mutation under way");

  // And everything still works.
  await pooled(state.rows, 3, async ({ id }) => {
    const started = await tools.start(id, { wait: 20 });
    assert.equal(started.status, 200, describe(started));
    const removed = await tools.remove(id, { wait: 20 });
    assert.equal(removed.status, 200, describe(removed));
  });
  const end = await healed(world);
  assert.deepEqual([end.rows, end.containers], [[], []]);
});

Deno.test("DTMA killed under every command, and away for longer than any of them is repeated", async () => {
  const random = seeded(seedFromEnvironment("TOOLBOX_SURVIVAL_SEED"));
  await using world = await startWorld();
  const { tools } = world.owner;
  const verbs: Verb[] = ["update", "restart", "stop", "start", "delete", "deploy"];
  const answers = new Map<string, number>();
  // Every second round waits for the ends.
  for (let round = 1; round <= (thorough ? 5 : 2); round++) {
    const turns = await pooled(verbs, 3, async (verb): Promise<Turn> => {
      const turn = { verb, name: `${verb} ${round}`, waits: round % 2 === 0, mark: `mark ${round}` };
      if (verb === "deploy") return turn;
      const deployed = await tools.deploy(turn.name, { environmentVariables: { SAMPLE_MARK: "before" } }, { wait: 30 });
      assert.equal(deployed.status, 201, describe(deployed));
      const instance: string = deployed.json.instanceId;
      if (verb === "start") assert.equal((await tools.stop(instance, { wait: 30 })).status, 200);
      return { ...turn, instance };
    });
    const moment = Math.round(random() ** 2 * 400);
    const pending = turns.map((turn) => mutate(tools, turn));
    await sleep(moment);
    await world.agent.stop("SIGKILL");
    await sleep(6_000);
    await world.agent.start();
    const replies = await Promise.all(pending);
    for (const [at, reply] of replies.entries()) {
      const outcome = `${turns[at].verb} ${reply.status} ${codeOf(reply) ?? ""}`.trim();
      answers.set(outcome, (answers.get(outcome) ?? 0) + 1);
    }
    try {
      await agentSettles(world);
      const state = await healedAndRemoved(world, 60_000);
      for (const [at, reply] of replies.entries()) keptItsWord({ ...turns[at], reply }, state);
      await pooled(state.rows, 3, async ({ id }) => {
        const removed = await tools.remove(id, { wait: 20 });
        assert.equal(removed.status, 200, describe(removed));
      });
    } catch (error) {
      throw new Error(`round ${round} after ${moment} ms\n${replies.map(describe).join("\n")}`, { cause: error });
    }
  }
  console.log(`  answers ${JSON.stringify(Object.fromEntries([...answers].sort()))}`);
});

Deno.test("the worker of the function killed in the middle", async (t) => {
  const random = seeded(seedFromEnvironment("TOOLBOX_SURVIVAL_SEED"));
  // What its caller and the next read do about it; heartbeats would repair it before anybody looks.
  await using world = await startWorld({ dtmaHttp: true });
  const { tools } = world.owner;
  const turns = new Turns(4, random);
  let state = await snapshot(world);

  await t.step("at random moments: the next read heals", async () => {
    for (let kill = 1; kill <= (thorough ? 12 : 4); kill++) {
      const [turn] = turns.next(state, 1);
      const moment = Math.round(random() ** 2 * 800);
      const pending = mutate(tools, { ...turn, waits: true }).catch((error) => error as Error);
      await sleep(moment);
      await killed(world, "toolbox-tools");
      const reply = await pending;
      // The gateway says that the worker died; a success it cannot have been, unless it came before the kill.
      try {
        await expireUnheard(world);
        state = await healed(world, 30_000);
        if (!(reply instanceof Error) && reply.status < 300) keptItsWord({ ...turn, waits: true, reply }, state);
      } catch (error) {
        const said = reply instanceof Error ? reply.message : describe(reply);
        throw new Error(`kill ${kill} after ${moment} ms of ${turn.verb} ${turn.name}: ${said}`, { cause: error });
      }
    }
  });

  await t.step("after the agent accepted: the operation ends without waiting for its lease", async () => {
    const deployed = await tools.deploy("orphaned operation", {});
    assert.equal(deployed.status, 202, describe(deployed));
    // The answer is out, the follower that would record the end dies.
    await killed(world, "toolbox-tools");
    const { rows, operations } = await healed(world, 20_000);
    assert.equal(rows.find((row) => row.id === deployed.json.instanceId)?.status_on_toolbox, "running");
    const own = operations.filter((operation) => operation.tool_instance_id === deployed.json.instanceId);
    assert.deepEqual(own.map((operation) => operation.state), ["succeeded"]);
    const stopped = await tools.stop(deployed.json.instanceId, { wait: 20 });
    assert.equal(stopped.status, 200, describe(stopped));
  });

  await t.step("before the agent heard of it: the lease holds, then gives way", async () => {
    const deployed = await tools.deploy("unheard", {}, { wait: 20 });
    assert.equal(deployed.status, 201, describe(deployed));
    const id = deployed.json.instanceId;
    // A frozen agent accepts the connection and reads nothing; killed, it never will.
    world.agent.freeze();
    const pending = tools.stop(id, { wait: 20 }).catch((error) => error as Error);
    const begun = await eventually("the stop is in the database", async () => {
      const all = await world.db.operations(id);
      return all.find((operation) => operation.action === "stop" && operation.state === "in_progress");
    });
    await killed(world, "toolbox-tools");
    await pending;
    await world.agent.stop("SIGKILL");
    await world.agent.start();

    const held = await tools.start(id);
    assert.equal(`${held.status} ${codeOf(held)}`, "409 operation_in_progress", describe(held));
    assert.equal(held.json.error.details.operation.id, begun.id);
    const shown = await tools.get(id);
    assert.equal(shown.json.tool_instance.status_on_toolbox, "stopping", describe(shown));
    assert.equal(shown.json.tool_instance.live.phase, "running", describe(shown));

    await expireLeases(world);
    await healed(world);
    assert.equal((await world.db.operations(id)).find((one) => one.id === begun.id)?.state, "abandoned");
    const stopped = await tools.stop(id, { wait: 20 });
    assert.equal(stopped.status, 200, describe(stopped));
    await healed(world);
  });
});

Deno.test("PostgREST and its connections killed in the middle", async (t) => {
  const random = seeded(seedFromEnvironment("TOOLBOX_SURVIVAL_SEED"));
  await using world = await startWorld();
  const { tools } = world.owner;
  const turns = new Turns(4, random);
  let state = await snapshot(world);

  const round = async (label: string, longestMs: number, kill: () => Promise<void>) => {
    const [turn] = turns.next(state, 1);
    const moment = Math.round(random() ** 2 * longestMs);
    const pending = mutate(tools, turn);
    await sleep(moment);
    await kill();
    const reply = await pending;
    try {
      if (reply.status >= 300) {
        const expected = ["database_unreachable", "database_timeout", "database_bad_response", "operation_in_progress"];
        assert.ok(expected.includes(codeOf(reply) ?? ""), describe(reply));
        assert.notEqual(reply.json.success, true);
      }
      await expireUnheard(world);
      state = await healedAndRemoved(world, 30_000);
      if (reply.status < 300) keptItsWord({ ...turn, reply }, state);
    } catch (error) {
      throw new Error(`${label} after ${moment} ms of ${turn.verb} ${turn.name}: ${describe(reply)}`, { cause: error });
    }
  };

  await t.step("every connection of PostgREST is terminated at random moments", async () => {
    for (let at = 1; at <= (thorough ? 12 : 4); at++) {
      await round(`termination ${at}`, 400, async () => {
        await world.db.execute(
          "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'",
        );
      });
    }
  });

  await t.step("PostgREST is killed at random moments and started again", async () => {
    for (let at = 1; at <= (thorough ? 8 : 3); at++) {
      await round(`kill ${at}`, 400, () => killed(world, "postgrest"));
    }
  });
});

/** Healed, and what is to be absent is gone: a delete that did not reach the agent is done after its next heartbeat. */
async function healedAndRemoved(world: World, ms: number): Promise<Snapshot> {
  const waitsForRemoval = ({ rows }: Snapshot) => rows.some((row) => row.desired_status === "absent");
  const first = await healed(world, ms);
  if (!waitsForRemoval(first)) return first;
  return await eventually("what is to be absent is gone", async () => {
    const state = await healed(world, ms);
    return waitsForRemoval(state) ? undefined : state;
  }, { ms, everyMs: 200 });
}

/** The agent, asked directly, is done: every instance as it should be, with exactly one container. */
async function agentSettles(world: World): Promise<void> {
  let last = "";
  try {
    await eventually("the agent reaches what it was told", async () => {
      const reply = await world.agent.call("/tools");
      const containers = await world.docker.containers();
      const faults: string[] = [];
      for (const tool of reply.json.tools) {
        const own = containers.filter((container) => instanceOf(container) === tool.id);
        const as = `${tool.name} should be ${tool.desired}, is ${tool.phase} ${tool.reason?.code ?? ""}`;
        if (!tool.settled || tool.phase !== tool.desired) faults.push(as);
        if (own.length !== 1) faults.push(`${as} and has ${own.length} containers`);
        else if (own[0].State.Running !== (tool.desired === "running")) faults.push(`${as}, Docker disagrees`);
      }
      const known = new Set(reply.json.tools.map((tool: { id: string }) => tool.id));
      for (const container of containers) {
        if (!known.has(instanceOf(container))) faults.push(`container ${container.Name} is of no instance`);
      }
      last = faults.join("\n");
      return faults.length ? undefined : true;
    }, { ms: 20_000, everyMs: 100 });
  } catch (error) {
    throw new Error(`the agent does not settle:\n${last}`, { cause: error });
  }
}

/** What was answered is what came to be; a refusal says that the agent was away and nothing else. */
function keptItsWord({ verb, instance, mark, reply }: Attempt, state: Snapshot): void {
  if (reply.status >= 300) {
    assert.ok(["agent_unreachable", "agent_timeout"].includes(codeOf(reply) ?? ""), describe(reply));
    assert.notEqual(reply.json.success, true, describe(reply));
    return;
  }
  const id = instance ?? reply.json.instanceId;
  const row = state.rows.find((candidate) => candidate.id === id);
  const operation = state.operations.find((candidate) => candidate.id === reply.json.operation.id);
  assert.equal(operation?.state, "succeeded", `${verb} was accepted: ${JSON.stringify(operation)}`);
  const wanted = verb === "delete" ? undefined : verb === "stop" ? "stopped" : "running";
  assert.equal(row?.status_on_toolbox, wanted, `${verb} was accepted`);
  if (verb === "deploy" || verb === "update") {
    const container = state.containers.find((candidate) => instanceOf(candidate) === id);
    assert.ok(container.Config.Env.includes(`SAMPLE_MARK=${mark}`), `${verb} was accepted, another spec runs`);
  }
}
