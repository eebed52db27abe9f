/**
 * Each part fails in each way it can while every command is tried. Every answer is the fault's own code within its
 * deadline and never `success: true`; the database says what happened; when the fault ends a list makes the
 * database equal to Docker and every command works again.
 */
import assert from "node:assert/strict";
import { codeOf, describe, startWorld, type World } from "./lib/mod.ts";
import {
  assertAgentAnswers,
  assertDatabaseAnswers,
  assertRecorded,
  assertUntouched,
  Cast,
  COMMANDS,
  type Expected,
  MUTATIONS,
  timings,
} from "./faults/cast.ts";
import { DockerCut } from "./faults/docker_cut.ts";
import { type Fault, FaultServer } from "./faults/fault_server.ts";
import { postgrestPort, whilePaused, whileStopped } from "./faults/parts.ts";
import { healed, logFaults, snapshot } from "./faults/truth.ts";

/** What callers alone see and record: heartbeats would tell the truth meanwhile, and repair (heartbeat_test.ts). */
const SILENT = { dtmaHttp: true };
/** Deadline of one call to the agent or the database; lowered so that the whole table runs in a few minutes. */
const UPSTREAM_MS = 3_000;
/** Scheduling on a busy machine of two cores. */
const SLACK_MS = 1_500;
/** A read calls the database once and the agent once. */
const READ_MS = 2 * UPSTREAM_MS + SLACK_MS;
/** A mutation may repeat its call to the agent for 8 s, so as to get over the agent's restart; the last one is within. */
const MUTATE_MS = 8_000 + 2 * UPSTREAM_MS + SLACK_MS;

const HTML = "<!doctype html><html><body><h1>Something else lives here</h1></body></html>";

function problem(code: string, status: number): Fault {
  return {
    kind: "answer",
    status,
    contentType: "application/problem+json",
    body: JSON.stringify({
      type: `urn:toolbox:problem:${code}`,
      title: "Scripted",
      status,
      detail: "Scripted by a test",
      code,
      retryable: status !== 502,
    }),
  };
}

function answer(status: number, contentType: string, body: string, headers?: Record<string, string>): Fault {
  return { kind: "answer", status, contentType, body, headers };
}

/** How something that is not a well agent answers on the agent's port, and the code callers get. */
const AGENT_ANSWERS: [name: string, fault: Fault, status: number, code: string, arrived?: "maybe"][] = [
  ["answers 500", answer(500, "application/json", `{"error":"Internal Server Error"}`), 502, "agent_failed"],
  ["answers HTML with 200", answer(200, "text/html", HTML), 502, "agent_bad_response"],
  ["answers HTML with 500", answer(500, "text/html", HTML), 502, "agent_bad_response"],
  ["answers JSON of another shape", answer(200, "application/json", `[1,{"status":"ok"}]`), 502, "agent_bad_response"],
  ["is too old: 404 with JSON", answer(404, "application/json", `{"error":"Not Found"}`), 502, "agent_too_old"],
  ["is too old: 404 with HTML", answer(404, "text/html", "<pre>Cannot GET /tools</pre>"), 502, "agent_too_old"],
  ["refuses the key", problem("unauthorized", 401), 502, "agent_unauthorized"],
  ["says that Docker is gone", problem("docker_unreachable", 503), 503, "docker_unreachable"],
  ["says that Docker is slow", problem("docker_timeout", 504), 504, "docker_timeout"],
  ["says that Docker failed", problem("docker_failed", 502), 502, "docker_failed"],
  ["never answers", { kind: "hang" }, 504, "agent_timeout", "maybe"],
  ["answers a byte at a time", { kind: "drip", everyMs: 200 }, 504, "agent_timeout", "maybe"],
  ["closes in the middle of the body", { kind: "cut" }, 503, "agent_unreachable", "maybe"],
  ["closes without an answer", { kind: "reset" }, 503, "agent_unreachable", "maybe"],
  ["never stops answering", { kind: "endless" }, 502, "agent_bad_response"],
];

Deno.test("the agent fails", async (t) => {
  await using world = await startWorld({ ...SILENT, functionEnv: { TOOLBOX_UPSTREAM_TIMEOUT_MS: `${UPSTREAM_MS}` } });
  const cast = new Cast(world);

  for (const [name, fault, status, code, arrived] of AGENT_ANSWERS) {
    await t.step(`something that ${name}: ${code}`, async () => {
      await cast.ready();
      await using server = new FaultServer(fault);
      const restore = await pointAt(world, { port: server.port });
      try {
        await fails(cast, { code, status, readMs: READ_MS, mutateMs: MUTATE_MS }, arrived);
        assert.ok(server.seen.length >= COMMANDS.length, "the commands did not meet the fault");
      } finally {
        await restore();
      }
      await cast.recover();
    });
  }

  await t.step("a redirect is not followed, and the key goes nowhere else", async () => {
    await cast.ready();
    await using elsewhere = new FaultServer(answer(200, "application/json", "{}"));
    const location = `http://127.0.0.1:${elsewhere.port}/tools`;
    await using server = new FaultServer(answer(307, "text/plain", "", { location }));
    const restore = await pointAt(world, { port: server.port });
    try {
      const expected = { code: "agent_bad_response", status: 502, readMs: READ_MS, mutateMs: MUTATE_MS };
      await fails(cast, expected);
      assert.deepEqual(elsewhere.seen.map(({ method, path }) => `${method} ${path}`), []);
    } finally {
      await restore();
    }
    await cast.recover();
  });

  const notCalled: [string, Place, string][] = [
    ["the toolbox has no address: toolbox_not_ready", { address: null }, "toolbox_not_ready"],
    [
      "another machine without a pinned certificate: agent_not_enrolled",
      { address: "192.0.2.1" },
      "agent_not_enrolled",
    ],
  ];
  for (const [name, place, code] of notCalled) {
    await t.step(name, async () => {
      await cast.ready();
      const before = await snapshot(world);
      const restore = await pointAt(world, place);
      try {
        const answers = await cast.ask();
        console.log(`    ${code}: ${timings(answers)}`);
        // Nothing is called, so nothing takes the time of a call that is given up.
        assertAgentAnswers(answers, { code, status: 503, readMs: UPSTREAM_MS, mutateMs: UPSTREAM_MS });
        assertUntouched(before, await snapshot(world));
      } finally {
        await restore();
      }
      await cast.recover();
    });
  }

  await t.step("DTMA is stopped: agent_unreachable", async () => {
    await cast.ready();
    await world.agent.stop();
    try {
      await fails(cast, { code: "agent_unreachable", status: 503, readMs: READ_MS, mutateMs: MUTATE_MS });
    } finally {
      await world.agent.start();
    }
    await cast.recover();
  });

  await t.step("DTMA hangs: agent_timeout", async () => {
    await cast.ready();
    const thaw = world.agent.freeze();
    try {
      await fails(cast, { code: "agent_timeout", status: 504, readMs: READ_MS, mutateMs: MUTATE_MS }, "maybe");
    } finally {
      thaw();
    }
    await cast.recover();
  });

  await t.step("DTMA has another key: agent_unauthorized", async () => {
    await cast.ready();
    const { key_file: file } = world.ready.dtma;
    const genuine = await Deno.readTextFile(file);
    await world.agent.stop();
    await Deno.writeTextFile(file, `tbk_${"5a".repeat(32)}\n`);
    try {
      await world.agent.start({ keyed: false });
      await fails(cast, { code: "agent_unauthorized", status: 502, readMs: READ_MS, mutateMs: MUTATE_MS });
    } finally {
      await world.agent.stop();
      await Deno.writeTextFile(file, genuine);
      await world.agent.start();
    }
    await cast.recover();
  });
});

Deno.test("the database fails", async (t) => {
  await using world = await startWorld({ ...SILENT, functionEnv: { TOOLBOX_UPSTREAM_TIMEOUT_MS: `${UPSTREAM_MS}` } });
  const cast = new Cast(world);

  /** Nothing was begun, neither in the database nor on the machine. */
  const untouched = async (expected: Expected) => {
    const before = await snapshot(world);
    const answers = await cast.ask();
    console.log(`    ${expected.code}: ${timings(answers)}`);
    assertDatabaseAnswers(answers, expected);
    return async () => {
      assertUntouched(before, await snapshot(world));
    };
  };

  await t.step("PostgREST is stopped: database_unreachable", async () => {
    await cast.ready();
    const unchanged = await whileStopped(
      world,
      "postgrest",
      () => untouched({ code: "database_unreachable", status: 503, readMs: READ_MS, mutateMs: MUTATE_MS }),
    );
    await unchanged();
    await cast.recover();
  });

  await t.step("PostgREST hangs: database_timeout", async () => {
    await cast.ready();
    const unchanged = await whilePaused(
      world,
      "postgrest",
      () => untouched({ code: "database_timeout", status: 504, readMs: READ_MS, mutateMs: MUTATE_MS }),
    );
    await unchanged();
    await cast.recover();
  });

  const port = await postgrestPort(world);
  const answers: [string, Fault, number, string][] = [
    ["answers 500", answer(500, "application/json", `{"message":"boom"}`), 502, "database_bad_response"],
    ["answers HTML", answer(200, "text/html", HTML), 502, "database_bad_response"],
    ["answers HTML with 502", answer(502, "text/html", HTML), 503, "database_unreachable"],
    ["never answers", { kind: "hang" }, 504, "database_timeout"],
    ["answers a byte at a time", { kind: "drip", everyMs: 200 }, 504, "database_timeout"],
  ];
  for (const [name, fault, status, code] of answers) {
    await t.step(`something on PostgREST's port ${name}: ${code}`, async () => {
      await cast.ready();
      const unchanged = await whileStopped(world, "postgrest", async () => {
        await using _server = new FaultServer(fault, port);
        return await untouched({ code, status, readMs: READ_MS, mutateMs: MUTATE_MS });
      });
      await unchanged();
      await cast.recover();
    });
  }

  await t.step("Postgres is stopped: database_unreachable", async () => {
    await cast.ready();
    const before = await snapshot(world);
    await whileStopped(world, "postgres", async () => {
      const expected = { code: "database_unreachable", status: 503, readMs: READ_MS, mutateMs: MUTATE_MS };
      assertDatabaseAnswers(await cast.ask(), expected);
    });
    await healed(world, 30_000);
    assert.equal((await snapshot(world)).operations.length, before.operations.length);
    await cast.recover();
  });
});

Deno.test("Docker fails", async (t) => {
  await using cut = await DockerCut.open();
  // With the deadlines as shipped: what Docker is too slow for must not look like the agent's own slowness.
  await using world = await startWorld({ ...SILENT, dtmaEnv: { DTMA_DOCKER_HOST: `unix://${cut.path}` } });
  const cast = new Cast(world);

  await t.step("Docker is gone: docker_unreachable", async () => {
    await cast.ready();
    await cut.cut();
    try {
      await dockerFails(cast, { code: "docker_unreachable", status: 503, readMs: 3_000 + SLACK_MS, mutateMs: 18_000 });
      const health = await world.agent.call("/health");
      assert.equal(health.json?.status, "degraded", describe(health));
      assert.equal(health.json?.docker.reachable, false, describe(health));
    } finally {
      await cut.mend();
    }
    await cast.recover();
  });

  await t.step("Docker hangs: docker_timeout", async () => {
    await cast.ready();
    await cut.hang();
    try {
      await dockerFails(cast, { code: "docker_timeout", status: 504, readMs: 12_000, mutateMs: 18_000 });
    } finally {
      await cut.mend();
    }
    await cast.recover();
  });
});

/** Every command meets the fault: its own code in time, and the database tells. */
async function fails(cast: Cast, expected: Expected, arrived: "no" | "maybe" = "no"): Promise<void> {
  const answers = await cast.ask();
  console.log(`    ${expected.code}: ${timings(answers)}`);
  assertAgentAnswers(answers, expected);
  await assertRecorded(cast, answers, expected.code, arrived);
}

/**
 * The agent answers, Docker does not. What the agent holds durably it will do later, so a mutation is accepted; who
 * waits for its end learns that Docker is the reason, and so do the row and the operation. As a reason it is
 * `docker_unreachable` in either case, and its sentence tells which.
 */
async function dockerFails(cast: Cast, expected: Expected): Promise<void> {
  const answers = await cast.ask({ wait: 25 });
  console.log(`    ${expected.code}: ${timings(answers)}`);
  const { list, logs } = answers;
  const reason = "docker_unreachable";
  const faults: string[] = [];
  for (const command of COMMANDS) {
    const { ms } = answers[command];
    const limit = ["list", "get", "logs"].includes(command) ? expected.readMs : expected.mutateMs;
    if (ms > limit) faults.push(`${command}: took ${Math.round(ms)} ms, its deadline is ${limit} ms`);
  }
  if (list.json?.success !== false || list.json.agent.code !== expected.code) {
    faults.push(`list: expected ${expected.code}, got ${JSON.stringify(list.json?.agent)}`);
  }
  if (logs.status !== expected.status || codeOf(logs) !== expected.code) faults.push(describe(logs));
  const state = await snapshot(cast.world);
  for (const command of MUTATIONS) {
    const code = command === "restart" ? "start_failed" : `${command}_failed`;
    const reply = answers[command];
    const answer = `${reply.status} ${codeOf(reply)}: ${reply.json?.error?.details?.reason?.code}`;
    if (answer !== `502 ${code}: ${reason}`) faults.push(`${command}: ${answer}; ${describe(reply)}`);
    const operation = state.operations.find((candidate) => candidate.request_id === reply.json?.error?.request_id);
    if (operation?.state !== "failed" || operation.error_code !== reason) {
      faults.push(`${command}: the operation is ${operation?.state} ${operation?.error_code}`);
    }
    const row = state.rows.find((candidate) => candidate.id === operation?.tool_instance_id);
    if (row?.status_on_toolbox !== "error" || row.instance_error_code !== reason) {
      faults.push(`${command}: the row is ${row?.status_on_toolbox} ${row?.instance_error_code}`);
    }
  }
  // By now the agent knows, and no longer shows what it saw before.
  const get = await cast.world.owner.tools.get(cast.idle);
  const shown = get.json?.tool_instance;
  if (shown?.status_on_toolbox !== "error" || shown.error?.code !== reason) faults.push(describe(get));
  assert.deepEqual([...faults, ...logFaults(state)], []);
}

/** Where the toolbox's agent seems to live. */
interface Place {
  /** Null: nowhere yet. */
  address?: string | null;
  port?: number;
}

/** Changes where the agent seems to live, until the function returned is called. */
async function pointAt(world: World, place: Place): Promise<() => Promise<void>> {
  const toolbox = world.toolboxId;
  const genuine = await world.db.row<Required<Place>>(
    `select host(public_ip_address) as address, dtma_port as port
     from public.account_tool_environments where id = :'toolbox'`,
    { toolbox },
  );
  const move = async ({ address, port }: Required<Place>) =>
    void await world.db.execute(
      `update public.account_tool_environments
       set dtma_port = :'port'::int, public_ip_address = nullif(:'address', '')::inet where id = :'toolbox'`,
      { toolbox, port: `${port}`, address: address ?? "" },
    );
  await move({ ...genuine, ...place });
  return () => move(genuine);
}
