/** The console of a machine, by real HTTP on the live stack: what it says is true also when the agent is dead. */
import assert from "node:assert/strict";
import { type Check, codeOf, Console, describe, eventually, type Reply, startWorld } from "./lib/mod.ts";
import { certificate as makeCertificate } from "../lib/certificates.ts";

Deno.test("status, log and diagnosis of a machine, and of one whose agent is dead", async (t) => {
  await using world = await startWorld();
  const board = new Console(world.ready, world.owner.token);

  await t.step("status tells how the machine is, in both calling styles", async () => {
    const body = { toolboxId: world.toolboxId, action: "status" };
    for (
      const reply of [await board.get("status"), await board.ask("POST", "", body), await board.ask("PUT", "", body)]
    ) {
      assert.equal(reply.status, 200, describe(reply));
      const { json } = reply;
      assert.equal(json.success, true);
      assert.equal(json.connection_status, "connected");
      assert.equal(json.method, "dtma_endpoint");
      assert.equal(json.machine.agent.health, "healthy");
      assert.equal(json.machine.served_by, "agent");
      assert.ok(json.machine.host.samples.length >= 1, "one sample at the start");
      assert.ok(json.machine.host.samples[0].memory_total_bytes > 0);
      assert.equal(json.system_metrics.memory.total_bytes, json.machine.host.now.memory.total_bytes);
      assert.match(json.machine.certificate.sha256, /^[0-9a-f]{64}$/);
      assert.equal(json.dtma_status.service, "DTMA");
      assert.ok(json.last_heartbeat.age_seconds <= 120, describe(reply));
      const services = Object.fromEntries(json.services.map((one: Check) => [one.name, one.verdict]));
      assert.equal(services.agent, "ok");
      assert.equal(services.database, "ok");
      assert.equal(services.companion, "failed", "this stack has none");
    }
  });

  await t.step("the SSH server is looked at once a minute", async () => {
    const ssh = (reply: Reply) => reply.json.services.find((one: Check) => one.name === "ssh");
    const first = ssh(await board.get("status"));
    const again = ssh(await board.get("status"));
    assert.deepEqual(again, first, "the same check is told again");
  });

  await t.step("the log has its last lines, and follows", async () => {
    // It tells that it listens, and how its trial of the firewall went.
    const reply = await eventually("there are two lines", async () => {
      const reply = await board.get("logs?tail=2");
      assert.equal(reply.status, 200, describe(reply));
      return reply.json.logs.length === 2 ? reply : undefined;
    });
    for (const line of reply.json.logs) assert.ok(JSON.parse(line).timestamp, "a line of the agent's log");
    const abort = new AbortController();
    const url = `${board.url}/${world.toolboxId}/logs?tail=0&follow=true`;
    const following = await fetch(url, { headers: board.headers(), signal: abort.signal });
    assert.equal(following.status, 200);
    assert.match(following.headers.get("content-type") ?? "", /^text\/plain/);
    const reader = following.body!.pipeThrough(new TextDecoderStream()).getReader();
    // Something that the agent logs.
    const deployed = await world.owner.tools.deploy("told in the log", {}, { wait: 60 });
    assert.equal(deployed.status, 201, describe(deployed));
    let seen = "";
    await eventually("a new line arrives", async () => {
      seen += (await reader.read()).value ?? "";
      return seen.includes("\n") ? true : undefined;
    }, { ms: 20_000, everyMs: 10 });
    abort.abort();
    await reader.cancel().catch(() => {});
    assert.ok(!seen.includes(world.agent.key), "no key is logged");
  });

  await t.step("a healthy machine passes the checks that this stack can pass", async () => {
    const reply = await board.get("diagnose");
    assert.equal(reply.status, 200, describe(reply));
    const verdicts = Object.fromEntries(reply.json.checks.map((one: Check) => [one.name, one.verdict]));
    for (
      const name of ["address", "agent_tcp", "agent_tls", "agent_key", "agent_api", "agent", "heartbeat", "docker"]
        .concat(["control_dns", "control_tcp", "control_tls", "clock"])
    ) assert.equal(verdicts[name], "ok", `${name}: ${describe(reply)}`);
    for (const one of reply.json.checks as Check[]) {
      assert.equal(one.action !== undefined, ["warning", "failed"].includes(one.verdict), JSON.stringify(one));
    }
  });

  await t.step("a wrong key fails one check, and the right one cures it", async () => {
    const { key_id } = await world.db.row<{ key_id: string }>(
      "select dtma_key_id as key_id from public.account_tool_environments where id = :'id'",
      { id: world.toolboxId },
    );
    const set = (id: string) =>
      world.db.execute(
        "update public.account_tool_environments set dtma_key_id = :'key' where id = :'id';",
        { id: world.toolboxId, key: id },
      );
    await set(`${key_id.split(".")[0]}.77`);
    assert.equal((await board.check("agent_key")).verdict, "failed");
    assert.equal((await board.check("agent_tls")).verdict, "ok");
    await set(key_id);
    assert.equal((await board.check("agent_key")).verdict, "ok");
  });

  await t.step("a certificate that is not the enrolled one fails one check", async () => {
    const pem = world.agent.certificate!;
    const { cert } = await makeCertificate({ names: ["DNS:other.invalid"] });
    const set = (text: string) =>
      world.db.execute(
        "update public.account_tool_environments set dtma_certificate_pem = :'pem' where id = :'id';",
        { id: world.toolboxId, pem: text },
      );
    await set(cert);
    const failed = await board.check("agent_tls");
    assert.equal(failed.verdict, "failed", JSON.stringify(failed));
    assert.equal((await board.check("agent_key")).verdict, "not_checked");
    await set(pem);
    assert.equal((await board.check("agent_tls")).verdict, "ok");
  });

  await t.step("a rollout passes by what runs the version, and stops at the first failure", async () => {
    const { version } = (await board.get("status")).json.machine.agent;
    const ended = async (body: unknown) => {
      const begun = await board.ask("POST", "/rollouts", body);
      assert.equal(begun.status, 202, describe(begun));
      const path = `/rollouts/${begun.json.rollout.id}`;
      const foreign = await board.ask("GET", path, undefined, world.stranger.token);
      assert.equal(codeOf(foreign), "rollout_not_found", describe(foreign));
      return await eventually("the rollout ends", async () => {
        const { json } = await board.ask("GET", path);
        return json.rollout.state === "running" ? undefined : json.rollout;
      }, { ms: 60_000 });
    };
    const done = await ended({ version, toolboxIds: [world.toolboxId] });
    assert.deepEqual([done.state, done.toolboxes[0].state], ["finished", "healthy"], JSON.stringify(done));
    // This machine has no companion, which would replace the agent.
    const stopped = await ended({ version: "9.9.9", waveSize: 2 });
    assert.deepEqual([stopped.state, stopped.toolboxes[0].state], ["stopped", "failed"], JSON.stringify(stopped));
    assert.equal(stopped.reason.toolbox_id, world.toolboxId);
    assert.equal(stopped.reason.code, stopped.toolboxes[0].code);
    assert.match(stopped.reason.message, /No further toolbox is asked\. Mend this one/);
  });

  await t.step("a stranger learns nothing", async () => {
    for (const action of ["status", "diagnose", "logs", "operation"]) {
      const reply = await board.ask("GET", `/${world.toolboxId}/${action}`, undefined, world.stranger.token);
      assert.equal(reply.status, 404, describe(reply));
      assert.equal(codeOf(reply), "toolbox_not_found");
    }
  });

  await t.step("with the agent dead the answer says so, and what was tried", async () => {
    await world.agent.stop("SIGKILL");
    const reply = await board.get("status");
    assert.equal(reply.status, 503, describe(reply));
    assert.equal(codeOf(reply), "agent_unreachable");
    assert.equal(reply.json.success, false);
    assert.equal(reply.json.connection_status, "failed");
    assert.deepEqual(reply.json.attempts.map((one: { way: string }) => one.way), ["dtma_endpoint", "companion", "ssh"]);
    assert.equal(reply.json.attempts[1].code, "companion_unreachable");
    assert.ok(reply.json.last_heartbeat.at, "what was last heard is told all the same");
    const checked = await board.check("agent_tcp");
    assert.equal(checked.verdict, "failed");
    assert.match(checked.action!, /^Start the agent/);
    for (const action of ["restart", "rollback"]) {
      const asked = await board.ask("POST", `/${world.toolboxId}/${action}`);
      assert.equal(asked.status, 503, describe(asked));
      assert.equal(asked.json.success, false);
    }
    const events = await world.db.rows<{ kind: string; result: string }>(
      "select kind, result from public.toolbox_events where kind like 'agent_r%' order by id",
    );
    assert.deepEqual(events, [
      // Of the rollout that stopped.
      { kind: "agent_redeploy", result: "companion_unreachable" },
      { kind: "agent_restart", result: "agent_unreachable" },
      { kind: "agent_rollback", result: "agent_unreachable" },
    ]);
    await world.agent.start();
    assert.equal((await board.check("agent_tcp")).verdict, "ok", "the action cures it");
  });

  await t.step("a change whose function ends meanwhile stays in the history as begun", async () => {
    const redeployments = () =>
      world.db.rows<{ result: string; version: string }>(
        `select result, detail ->> 'version' as version from public.toolbox_events
         where kind = 'agent_redeploy' and detail ->> 'version' = '9.9.8'`,
      );
    const thaw = world.agent.freeze();
    const lost = board.ask("POST", `/${world.toolboxId}/redeploy`, { version: "9.9.8" }).catch(() => undefined);
    await eventually("it has begun", async () => (await redeployments()).length > 0 || undefined, { everyMs: 10 });
    await world.stack.control("kill", "toolbox-dtma-console");
    await lost;
    await world.stack.control("start", "toolbox-dtma-console");
    thaw();
    assert.equal((await board.get("status")).status, 200, "the function serves again");
    assert.deepEqual(await redeployments(), [{ result: "begun", version: "9.9.8" }]);
  });
});

Deno.test("a disk with less free than it should is told", async () => {
  await using world = await startWorld({ dtmaEnv: { DTMA_DISK_FREE: "100" } });
  const found = await new Console(world.ready, world.owner.token).check("disk");
  assert.ok(["warning", "failed"].includes(found.verdict), JSON.stringify(found));
  assert.match(found.action!, /^Free space/);
});
