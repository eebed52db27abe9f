/** The instances a fault is tried on, one for each command, and what each command must leave behind. */
import assert from "node:assert/strict";
import { codeOf, describe, type MutationOptions, type Reply, type ToolsApi, type World } from "../lib/mod.ts";
import { expireLeases, expireUnheard } from "./parts.ts";
import { healed, logFaults, type Snapshot, snapshot, untruths } from "./truth.ts";

/** Every command of toolbox-tools that meets the agent. */
export const COMMANDS = ["list", "get", "logs", "start", "stop", "restart", "update", "deploy", "delete"] as const;
/** Those that change something. */
export const MUTATIONS = ["start", "stop", "restart", "update", "deploy", "delete"] as const;
export type Command = typeof COMMANDS[number];

/** Answers of all commands, sent at the same time. */
export type Answers = Record<Command, Reply>;

/** One stopped instance, four running ones; each command that changes something has its own. */
export class Cast {
  #newcomers = 0;
  #marks = 0;
  #inPlace = false;
  idle = "";
  busy = "";
  doomed = "";
  tired = "";
  renewed = "";
  /** What an answer to `ask` may have changed in the spec of `renewed`, and what it was before. */
  marks = { before: "", wanted: "" };

  constructor(readonly world: World) {}

  /** Puts everybody in place, unless the step before left them so. */
  async ready(): Promise<void> {
    if (this.#inPlace) {
      this.#inPlace = false;
      return;
    }
    const { tools } = this.world.owner;
    await expireLeases(this.world);
    await Promise.all((await snapshot(this.world)).rows.map((row) => tools.remove(row.id, { wait: 20 })));
    await healed(this.world);
    const suffix = crypto.randomUUID().slice(0, 8);
    this.marks.before = this.#mark();
    const spec = { environmentVariables: { SAMPLE_MARK: this.marks.before } };
    const names = ["idle", "busy", "doomed", "tired", "renewed"];
    [this.idle, this.busy, this.doomed, this.tired, this.renewed] = await Promise.all(names.map(async (name) => {
      const reply = await tools.deploy(`${name} ${suffix}`, spec, { wait: 30 });
      assert.equal(reply.status, 201, describe(reply));
      return reply.json.instanceId as string;
    }));
    const stopped = await tools.stop(this.idle, { wait: 20 });
    assert.equal(stopped.status, 200, describe(stopped));
  }

  #mark(): string {
    return `mark ${++this.#marks}`;
  }

  /** Sends every command at the same time. */
  async ask(options: MutationOptions = {}): Promise<Answers> {
    this.marks.wanted = this.#mark();
    const replies = await Promise.all(COMMANDS.map((command) => this.#send(command, options)));
    return Object.fromEntries(COMMANDS.map((command, at) => [command, replies[at]])) as Answers;
  }

  #send(command: Command, options: MutationOptions): Promise<Reply> {
    const { tools }: { tools: ToolsApi } = this.world.owner;
    switch (command) {
      case "list":
        return tools.list();
      case "get":
        return tools.get(this.idle);
      case "logs":
        return tools.logs(this.busy);
      case "start":
        return tools.start(this.idle, options);
      case "stop":
        return tools.stop(this.busy, options);
      case "restart":
        return tools.restart(this.tired, options);
      case "update":
        return tools.update(this.renewed, { environmentVariables: { SAMPLE_MARK: this.marks.wanted } }, options);
      case "deploy":
        return tools.deploy(`newcomer ${++this.#newcomers}`, {}, options);
      case "delete":
        return tools.remove(this.doomed, options);
    }
  }

  /** After the fault ended: reading heals, every command works, and everybody is back in place. */
  async recover(): Promise<void> {
    const { tools } = this.world.owner;
    await expireUnheard(this.world);
    const state = await healed(this.world);
    const doomed = state.rows.find((row) => row.id === this.doomed);
    const newcomers = state.rows.filter((row) => row.instance_name_on_toolbox.startsWith("newcomer "));
    const ok = async (pending: Promise<Reply>, status = 200) => {
      const reply = await pending;
      assert.equal(reply.status, status, `after the fault: ${describe(reply)}`);
      return reply;
    };
    const mark = this.#mark();
    await Promise.all([
      ok(tools.restart(this.tired, { wait: 20 })),
      ok(tools.update(this.renewed, { environmentVariables: { SAMPLE_MARK: mark } }, { wait: 20 })),
      ok(tools.start(this.idle, { wait: 20 })).then(() => ok(tools.stop(this.idle, { wait: 20 }))),
      ok(tools.stop(this.busy, { wait: 20 })).then(() => ok(tools.start(this.busy, { wait: 20 }))),
      ...newcomers.map((row) => ok(tools.remove(row.id, { wait: 20 }))),
      (async () => {
        if (doomed) await ok(tools.remove(this.doomed, { wait: 20 }));
        const name = `doomed ${Number(doomed?.generation ?? 0)} ${crypto.randomUUID().slice(0, 8)}`;
        this.doomed = (await ok(tools.deploy(name, {}, { wait: 20 }), 201)).json.instanceId;
      })(),
    ]);
    const end = await healed(this.world);
    assert.deepEqual(untruths(end), []);
    assert.equal(markOf(end, this.renewed), mark);
    this.marks.before = mark;
    this.#inPlace = true;
  }
}

/** What the database says of the mark in an instance's spec. */
function markOf({ rows }: Snapshot, id: string): string | undefined {
  const spec = rows.find((row) => row.id === id)?.spec as { env?: Record<string, { value: string }> } | undefined;
  return spec?.env?.SAMPLE_MARK?.value;
}

/** How long each answer took, for the report. */
export function timings(answers: Answers): string {
  return COMMANDS.map((command) => `${command} ${Math.round(answers[command].ms)}`).join(", ") + " ms";
}

/** What an answer of a fault must be. */
export interface Expected {
  code: string;
  status: number;
  /** Longest time for list, get and logs. */
  readMs: number;
  /** Longest time for what changes something. */
  mutateMs: number;
}

/** The agent failed: list and get answer with the last known state, all else with the code; each in time. */
export function assertAgentAnswers(answers: Answers, expected: Expected): void {
  const faults: string[] = [];
  const check = (command: Command, what: string, actual: unknown, wanted: unknown) => {
    if (actual !== wanted) {
      faults.push(`${command}: ${what} is ${actual}, expected ${wanted}; ${describe(answers[command])}`);
    }
  };
  for (const command of COMMANDS) {
    const reply = answers[command];
    const limit = ["list", "get", "logs"].includes(command) ? expected.readMs : expected.mutateMs;
    if (reply.ms > limit) faults.push(`${command}: took ${Math.round(reply.ms)} ms, its deadline is ${limit} ms`);
    if (reply.json?.success === true) faults.push(`${command}: success is true; ${describe(reply)}`);
    if (command === "list" || command === "get") {
      check(command, "status", reply.status, 200);
      check(command, "success", reply.json?.success, false);
      check(command, "agent.reachable", reply.json?.agent?.reachable, false);
      check(command, "agent.code", reply.json?.agent?.code, expected.code);
      check(command, "agent.message", typeof reply.json?.agent?.message, "string");
      const views = command === "list" ? reply.json?.tool_instances : [reply.json?.tool_instance];
      if (!(views?.length >= 1)) faults.push(`${command}: no rows; ${describe(reply)}`);
      for (const view of views ?? []) {
        check(command, "state_source", view.state_source, "last_known");
        check(command, "live", view.live, null);
        // What was never observed has no age; all of the cast but a newcomer was.
        if (!String(view.instance_name_on_toolbox).startsWith("newcomer")) {
          check(command, "state_age_seconds", typeof view.state_age_seconds, "number");
        }
      }
    } else {
      check(command, "status", reply.status, expected.status);
      check(command, "code", codeOf(reply), expected.code);
      check(command, "request_id", reply.json?.error?.request_id, reply.headers.get("x-request-id"));
    }
  }
  if (answers.list.json?.dtma_connected !== false) faults.push(`list: dtma_connected is not false`);
  assert.deepEqual(faults, []);
}

/**
 * While the agent is away. A command that certainly changed nothing is a failed operation with the code: what ran runs,
 * what stopped is stopped, a newcomer and a failed removal are `error` with the reason. A command that may have arrived
 * is in progress, because nobody knows yet. Either way the log continues with the request.
 */
export async function assertRecorded(
  cast: Cast,
  answers: Answers,
  code: string,
  arrived: "no" | "maybe",
): Promise<void> {
  const state = await snapshot(cast.world);
  const faults = logFaults(state);
  const certain = {
    start: "stopped",
    stop: "running",
    restart: "running",
    update: "running",
    deploy: "error",
    delete: "error",
  };
  const unknown = {
    start: "starting",
    stop: "stopping",
    restart: "stopping",
    update: "deploying",
    deploy: "deploying",
    delete: "pending_delete",
  };
  // The spec is that of the update exactly as long as it may come to be.
  const mark = markOf(state, cast.renewed);
  const { before, wanted } = cast.marks;
  if (mark !== (arrived === "no" ? before : wanted)) faults.push(`update: the spec has ${mark}, was ${before}`);
  for (const command of MUTATIONS) {
    const requestId = answers[command].json?.error?.request_id;
    const operation = state.operations.find((candidate) => candidate.request_id === requestId);
    if (!operation) {
      faults.push(`${command}: no operation of request ${requestId}`);
      continue;
    }
    const expect = (what: string, actual: unknown, wanted: unknown) => {
      if (actual !== wanted) faults.push(`${command}: ${what} is ${actual}, expected ${wanted}`);
    };
    const told = answers[command].json?.error?.details?.operation;
    const ended = arrived === "no" ? "failed" : "in_progress";
    expect("the operation", operation.state, ended);
    expect("the operation in the answer", `${told?.id} ${told?.state}`, `${operation.id} ${ended}`);
    expect("the operation's code", operation.error_code, arrived === "no" ? code : null);
    const row = state.rows.find((candidate) => candidate.id === operation.tool_instance_id);
    const status = (arrived === "no" ? certain : unknown)[command];
    expect("the row", row?.status_on_toolbox, status);
    expect("the row's code", row?.instance_error_code, status === "error" ? code : null);
    // The clock may tell meanwhile that the machine is silent: that event belongs to no command.
    const last = state.events.findLast(({ tool_instance_id: id, action }) =>
      id === operation.tool_instance_id && action !== "unknown_since"
    );
    expect("the last event's status", last?.to_status, status);
    expect("the last event's reason", last?.reason_code, status === "error" ? code : null);
    expect("the last event's request", last?.request_id, requestId);
    expect("the last event's operation", last?.operation_id, operation.id);
  }
  assert.deepEqual(faults, []);
}

/** The database failed: every command answers its code in time, and nothing was begun. */
export function assertDatabaseAnswers(answers: Answers, expected: Expected): void {
  const faults: string[] = [];
  for (const command of COMMANDS) {
    const reply = answers[command];
    const answer = `${reply.status} ${codeOf(reply)}`;
    const wanted = `${expected.status} ${expected.code}`;
    if (answer !== wanted) faults.push(`${command}: expected ${wanted}; ${describe(reply)}`);
    if (reply.json?.success === true) faults.push(`${command}: success is true`);
    const limit = ["list", "get", "logs"].includes(command) ? expected.readMs : expected.mutateMs;
    if (reply.ms > limit) faults.push(`${command}: took ${Math.round(reply.ms)} ms, its deadline is ${limit} ms`);
  }
  assert.deepEqual(faults, []);
}

/** Nothing was begun: same rows, same operations. */
export function assertUntouched(before: Snapshot, after: Snapshot): void {
  const essence = ({ rows }: Snapshot) =>
    rows.map(({ id, generation, status_on_toolbox: status }) => ({ id, generation, status }));
  assert.deepEqual(essence(after), essence(before));
  assert.equal(after.operations.length, before.operations.length, "no operation was begun");
  assert.deepEqual(logFaults(after), []);
}
