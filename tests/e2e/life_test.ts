/** The agent's life on the machine of the stack, under its companion, all of it by the console. */
import assert from "node:assert/strict";
import {
  codeOf,
  Console,
  describe,
  eventually,
  Machine,
  PASSWORD,
  type Reply,
  send,
  signIn,
  signUp,
  startWorld,
} from "./lib/mod.ts";
import { addVersion, makeRelease } from "../install/machine.ts";

const NEXT = "0.1.9";
const ROLLED_OUT = "0.1.6";
/** Its program is not what its checksum says. */
const DAMAGED = "0.1.8";
/** Its program is not there. */
const HOLLOW = "0.1.7";

function succeeded(reply: Reply): Reply {
  assert.equal(reply.status, 200, describe(reply));
  assert.equal(reply.json.success, true, describe(reply));
  return reply;
}

Deno.test("an agent is seen, restarted, upgraded and rolled back by the console, and tools run on", async (t) => {
  await using world = await startWorld({ companion: true });
  const board = new Console(world.ready, world.owner.token);
  const releases = `${world.ready.data_dir}/releases`;
  const version = await makeRelease(releases);
  const program = `dtma-${Deno.build.arch}`;
  for (const other of [NEXT, ROLLED_OUT, DAMAGED, HOLLOW]) await addVersion(releases, version, other);
  await Deno.writeTextFile(`${releases}/${DAMAGED}/${program}`, "x", { append: true });
  await Deno.remove(`${releases}/${HOLLOW}/${program}`);

  const deployed = await world.owner.tools.deploy("a tool", {}, { wait: 60 });
  assert.equal(deployed.status, 201, describe(deployed));
  const containers = async () =>
    (await world.docker.containers()).map((one) => [one.Id, one.State.StartedAt, one.State.Running]);
  const before = await containers();
  assert.equal(before.length, 1);

  /** The agent serves, and is of that version. */
  const serves = async (expected: string, previous: string | null) => {
    const { json } = succeeded(await board.get("status"));
    assert.equal(json.method, "dtma_endpoint", JSON.stringify(json.attempts));
    const { health, version, previous_version } = json.machine.agent;
    assert.deepEqual([health, version, previous_version ?? null], ["healthy", expected, previous]);
    assert.deepEqual(await containers(), before, "the tool's container is the same and was not started again");
  };

  await t.step("status knows the agent, its version and its companion", async () => {
    await serves(version, null);
    const { json } = await board.get("status");
    assert.deepEqual(json.machine.companion, { reachable: true, version });
    assert.equal((await board.check("companion")).verdict, "ok");
  });

  await t.step("restart: another process, the same tools", async () => {
    const pid = () => Deno.readTextFile(`${world.ready.dtma.state_dir}/agent.pid`);
    const old = await pid();
    succeeded(await board.change("restart"));
    assert.notEqual(await pid(), old);
    await serves(version, null);
  });

  await t.step("a rollback without a version to go back to changes nothing", async () => {
    const refused = await board.change("rollback");
    assert.deepEqual([refused.status, codeOf(refused)], [409, "no_previous_version"], describe(refused));
  });

  await t.step("versions that cannot be fetched are named as such, and the old one goes on", async () => {
    const unknown = await board.change("redeploy", { version: "7.7.7" });
    assert.deepEqual([unknown.status, codeOf(unknown)], [404, "release_unknown"], describe(unknown));
    for (const [other, reason] of [[DAMAGED, "checksum_differs"], [HOLLOW, "release_unknown"]]) {
      const failed = await board.change("redeploy", { version: other });
      assert.equal(codeOf(failed), "redeploy_failed", describe(failed));
      assert.equal(failed.json.success, false);
      const { phase, to, reason: why } = failed.json.operation;
      assert.deepEqual([phase, to, why.code], ["failed", other, reason], describe(failed));
      await serves(version, null);
    }
  });

  await t.step("redeploy: the new version serves, and the old one is kept", async () => {
    const { json } = succeeded(await board.change("redeploy", { version: NEXT }));
    assert.deepEqual([json.operation.phase, json.operation.from, json.operation.to], ["healthy", version, NEXT]);
    await serves(NEXT, version);
    const told = succeeded(await board.get("operation"));
    assert.deepEqual(told.json.operation, json.operation);
  });

  await t.step("rollback: the old version serves again", async () => {
    const { json } = succeeded(await board.change("rollback"));
    assert.deepEqual([json.operation.phase, json.operation.to], ["healthy", version]);
    await serves(version, NEXT);
  });

  await t.step("the log is that of the agent that runs, and the machine has nothing wrong", async () => {
    const { json } = succeeded(await board.get("logs?tail=50"));
    assert.ok(json.logs.length > 0 && json.logs.every((line: string) => JSON.parse(line).timestamp), "JSON lines");
    const { json: { checks } } = await board.get("diagnose");
    const verdicts = Object.fromEntries(
      checks.map((one: { name: string; verdict: string }) => [one.name, one.verdict]),
    );
    for (const name of ["agent", "agent_api", "agent_key", "agent_tls", "companion", "docker", "heartbeat"]) {
      assert.equal(verdicts[name], "ok", JSON.stringify(checks));
    }
  });

  await t.step(
    "killed, with its program gone: the companion tells how it is, and a redeployment brings it back",
    async () => {
      const { data_dir: data, dtma } = world.ready;
      await Deno.remove(`${data}/versions/${version}/dtma`);
      Deno.kill(Number((await Deno.readTextFile(`${dtma.state_dir}/agent.pid`)).split(" ")[0]), "SIGKILL");
      const { json } = succeeded(
        await eventually("the companion answers in its place", async () => {
          const reply = await board.get("status");
          return reply.json.method === "companion" ? reply : undefined;
        }),
      );
      assert.equal(json.machine.agent.health, "down");
      assert.equal(json.dtma_status ?? null, null, "nothing is told in the agent's name");
      assert.deepEqual(json.attempts.map((one: { way: string; code: string }) => [one.way, one.code]), [
        ["dtma_endpoint", "agent_unreachable"],
      ]);
      const back = succeeded(await board.change("redeploy", { version: NEXT }));
      assert.equal(back.json.method, "companion");
      assert.equal(back.json.operation.phase, "healthy");
      await serves(NEXT, null);
    },
  );

  await t.step("a rollout: it is finished when its version serves", async () => {
    const begun = await board.ask("POST", "/rollouts", { version: ROLLED_OUT, toolboxIds: [world.toolboxId] });
    assert.equal(begun.status, 202, describe(begun));
    const done = await eventually("the rollout ends", async () => {
      const { json } = await board.ask("GET", `/rollouts/${begun.json.rollout.id}`);
      return json.rollout.state === "running" ? undefined : json.rollout;
    }, { ms: 120_000 });
    assert.deepEqual([done.state, done.toolboxes[0].state], ["finished", "healthy"], JSON.stringify(done));
    await serves(ROLLED_OUT, NEXT);
  });

  await t.step(
    "an operator's rollout does not ask a silent machine, is stopped, and outlasts its operator",
    async () => {
      const { ready, stranger, owner, toolboxId: real } = world;
      const roles = (change: string) =>
        world.db.execute(
          `update auth.users set raw_app_meta_data = ${change} where email = 'operator@toolbox.local'`,
          {},
        );
      const { userId, email } = await signUp(ready, "operator@toolbox.local");
      await roles(`raw_app_meta_data || '{"toolbox_role": "operator"}'`);
      const operator = await signIn(ready, email, PASSWORD);
      const ask = (method: string, path: string, json?: unknown, { token } = operator) =>
        send(`${ready.url}/functions/v1/operators${path}`, { method, json, headers: board.headers(token) });
      // Two machines of another user, which have joined and report no more.
      const [down, later] = await Promise.all([0, 1].map(async () => {
        const machine = await Machine.of(world, stranger);
        assert.equal((await machine.enrol()).status, 200);
        assert.equal((await machine.beat()).status, 200);
        return machine.toolboxId;
      }));
      await world.db.execute(
        "update public.account_tool_environments set status = 'unresponsive' where user_id = :'id'",
        { id: stranger.userId },
      );
      const wanted = { version: NEXT, waveSize: 1, toolboxIds: [down, real, later] };
      assert.equal(codeOf(await ask("POST", "/rollouts", wanted, owner)), "forbidden");

      const begun = await ask("POST", "/rollouts", wanted);
      assert.equal(begun.status, 202, describe(begun));
      const path = `/rollouts/${begun.json.rollout.id}`;
      const rollout = async (at = path) => (await ask("GET", at)).json;
      const states = (of: { toolboxes: { state: string }[] }) => of.toolboxes.map(({ state }) => state);
      await eventually("the second wave begins", async () => states(await rollout())[1] === "asked" || undefined, {
        ms: 30_000,
      });
      for (const [method, at] of [["GET", path], ["POST", `${path}/stop`]]) {
        assert.equal(
          codeOf(await ask(method, at, undefined, owner)),
          "forbidden",
          "nor is it an owner's to read or stop",
        );
      }
      assert.equal((await ask("POST", `${path}/stop`)).status, 200);
      const ended = await eventually("what was asked has ended", async () => {
        const told = await rollout();
        return told.counts.asked === 0 ? told : undefined;
      }, { ms: 60_000 });
      assert.deepEqual(states(ended), ["silent", "healthy", "waiting"], JSON.stringify(ended));
      assert.deepEqual([ended.state, ended.reason.code, ended.operator_email], ["stopped", "stopped_by_user", email]);
      await serves(NEXT, ROLLED_OUT);

      // The last operator is none any more, and then has no account: the next rollout ends all the same.
      const next = await ask("POST", "/rollouts", { version: NEXT, waveSize: 10, toolboxIds: [real, down, later] });
      assert.equal(next.status, 202, describe(next));
      await roles("raw_app_meta_data - 'toolbox_role'");
      const former = await signIn(ready, email, PASSWORD);
      assert.equal(codeOf(await ask("GET", "/fleet", undefined, former)), "forbidden");
      await world.db.execute("delete from auth.users where id = :'id'", { id: userId });
      const over = await eventually("it ends", async () => {
        const told = await rollout(`/rollouts/${next.json.rollout.id}`);
        return told.state === "running" ? undefined : told;
      }, { ms: 30_000 });
      assert.deepEqual([over.state, states(over)], ["finished", ["healthy", "silent", "silent"]]);
      assert.deepEqual([over.operator_id, over.operator_email], [userId, null]);
      // Each owner reads what was done to their machine, and by whom.
      for (
        const [who, toolbox, results] of [
          [owner, real, ["accepted"]],
          [stranger, down, []],
          [stranger, later, []],
        ] as const
      ) {
        const { data } = await who.client.from("toolbox_events").select("kind, actor_id, result, detail")
          .eq("account_tool_environment_id", toolbox).eq("actor_kind", "operator");
        assert.deepEqual(
          data?.map(({ kind, actor_id, result, detail }) => [kind, actor_id, result, detail.version]),
          results.map((result) => ["agent_redeploy", userId, result, NEXT]),
        );
      }
      assert.equal((await stranger.client.from("rollouts").select("id")).data?.length, 0);
    },
  );

  await t.step("each change is in the history of the toolbox", async () => {
    const events = await world.db.rows<{ kind: string; result: string; method: string | null }>(
      "select kind, result, detail ->> 'method' as method from public.toolbox_events where kind like 'agent_r%' and account_tool_environment_id = :'id' order by id",
      { id: world.toolboxId },
    );
    assert.deepEqual(events.map(({ kind, result, method }) => `${kind} ${result} ${method ?? "-"}`), [
      "agent_restart succeeded dtma_endpoint",
      "agent_rollback no_previous_version -",
      "agent_redeploy release_unknown -",
      "agent_redeploy redeploy_failed dtma_endpoint",
      "agent_redeploy redeploy_failed dtma_endpoint",
      "agent_redeploy succeeded dtma_endpoint",
      "agent_rollback succeeded dtma_endpoint",
      "agent_redeploy succeeded companion",
      "agent_redeploy accepted dtma_endpoint",
      "agent_redeploy accepted dtma_endpoint",
    ]);
  });
});
