/**
 * What is left of a machine, one part after the other: its agent dies and is removed, then its companion, then its SSH
 * server. The console says how it is each time, and brings it back by the way that is left.
 */
import assert from "node:assert/strict";
import { Console, Database, describe, eventually, GENERIC_CATALOG_ID, type Reply, signIn } from "../e2e/lib/mod.ts";
import { enrolmentToken, startStack } from "../lib/stack.ts";
import { certificateFor, HeartbeatProxy } from "../chaos/proxy.ts";
import { run } from "../chaos/droplet.ts";
import { SshMachine } from "../security/lib/ssh_machine.ts";
import { addVersion, makeRelease } from "./machine.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const NEXT = "0.1.9";

/** The ways that did not work, and why. */
function tried(reply: Reply): string[] {
  return reply.json.attempts.map((one: { way: string; code: string }) => `${one.way} ${one.code}`);
}

function succeeded(reply: Reply): Reply {
  assert.equal(reply.status, 200, describe(reply));
  assert.equal(reply.json.success, true, describe(reply));
  return reply;
}

Deno.test("a machine that loses its agent, its companion and its SSH server is told as it is, and comes back", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-life-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await using stack = await startStack({ dtma: false, functionEnv: { TOOLBOX_SSH_CA_KEY: SEED } });
  const { ready } = stack;
  const releases = `${ready.data_dir}/releases`;
  const version = await makeRelease(releases);
  await addVersion(releases, version, NEXT);
  await using machine = await SshMachine.open(folder, ready.toolbox_id, SEED);
  const { droplet } = machine;
  const certificate = await certificateFor(droplet.uplink, folder);
  await using proxy = await HeartbeatProxy.open(droplet.uplink, ready.url, certificate);
  await new Database(ready.admin_db_url).execute(
    "update public.account_tool_environments set public_ip_address = :'address', dtma_port = 30000 where id = :'id'",
    { address: droplet.address, id: ready.toolbox_id },
  );
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const board = new Console(ready, owner.token);

  /** The agent serves, and is of that version. */
  const serves = async (expected: string): Promise<Reply> => {
    const reply = succeeded(await board.get("status"));
    assert.deepEqual([reply.json.method, tried(reply)], ["dtma_endpoint", []]);
    const { health, version } = reply.json.machine.agent;
    assert.deepEqual([health, version], ["healthy", expected]);
    return reply;
  };
  const killCompanion = () => machine.sh("kill -KILL $(cat /run/dtma-companion.pid)");
  // deno-lint-ignore no-explicit-any
  const tools = async (): Promise<any[]> =>
    (await droplet.containers())
      .filter((one) => one.Config.Labels?.["io.toolbox.instance_id"] !== undefined)
      .map((one) => [one.Id, one.State.StartedAt, one.State.Running]);

  await t.step("the installer sets all three up", async () => {
    await machine.sh(
      "dtma ssh-setup --remove && rm -rf /etc/dtma /var/lib/dtma /usr/local/bin/dtma && mkdir /etc/dtma",
    );
    await Deno.copyFile(certificate.authority, droplet.path("/etc/dtma/authority.pem"));
    const own = ["DTMA_CONTROL_CA_FILE=/etc/dtma/authority.pem", `TOOLBOX_RELEASE_URL=${proxy.url}/releases`];
    await Deno.writeTextFile(droplet.path("/etc/dtma/dtma.env"), own.join("\n") + "\n");
    await Deno.writeTextFile(droplet.path("/run/token"), await enrolmentToken(ready), { mode: 0o600 });
    const args = ["--toolbox", ready.toolbox_id, "--control-url", `${proxy.url}/functions/v1/heartbeat`];
    const from = ["--release-url", releases, "--version", version, "--token-file", "/run/token"];
    const { code, text } = await machine.machine.install(releases, [...args, ...from]);
    assert.equal(code, 0, text);
    await eventually("the agent serves", () => serves(version));
  });

  await run("musl-gcc", "-static", "-Os", "-o", `${folder}/pause`, `${REPOSITORY}/tests/chaos/pause.c`);
  await droplet.load("toolbox-life/pause:1", `${folder}/pause`);
  const reply = await owner.tools.deploy("a tool", { dockerImage: "toolbox-life/pause:1" }, {
    catalogId: GENERIC_CATALOG_ID,
    wait: 30,
  });
  assert.equal(reply.status, 201, describe(reply));
  const before = await tools();

  await t.step("the agent is killed, its container and its program are removed: the companion tells", async () => {
    await machine.sh(`rm -r /usr/local/lib/dtma/${version}; docker rm --force dtma`);
    const reply = succeeded(await board.get("status"));
    assert.deepEqual([reply.json.method, tried(reply)], ["companion", ["dtma_endpoint agent_unreachable"]]);
    assert.equal(reply.json.machine.agent.health, "down");
    assert.ok(reply.json.machine.host.now.memory.total_bytes > 0, "the machine is still seen");
  });

  await t.step("a redeployment by the companion brings it back", async () => {
    const reply = succeeded(await board.change("redeploy", { version: NEXT }, 60));
    assert.deepEqual([reply.json.method, tried(reply)], ["companion", ["dtma_endpoint agent_unreachable"]]);
    await serves(NEXT);
    assert.deepEqual(await tools(), before);
  });

  const both = ["dtma_endpoint agent_unreachable", "companion companion_unreachable"];

  await t.step("companion and agent are killed: SSH tells, and says what it cannot do", async () => {
    await killCompanion();
    await machine.sh("docker rm --force dtma");
    const status = succeeded(await board.get("status"));
    assert.deepEqual([status.json.method, tried(status)], ["ssh", both]);
    assert.equal(status.json.dtma_status ?? null, null, "nothing is told in the agent's name");
    const services = Object.fromEntries(
      status.json.services.map((one: { name: string; verdict: string }) => [one.name, one.verdict]),
    );
    assert.deepEqual([services.agent, services.companion, services.ssh], ["failed", "failed", "ok"]);
    const redeploy = await board.change("redeploy", { version });
    assert.equal(redeploy.json.success, false, describe(redeploy));
    assert.deepEqual(tried(redeploy), [...both, "ssh companion_unreachable"]);
    assert.match(redeploy.json.attempts[2].message, /bring both back with agent-restart/);
  });

  await t.step("a restart by SSH brings both back, with the version that ran", async () => {
    const reply = succeeded(await board.change("restart", undefined, 60));
    assert.deepEqual([reply.json.method, tried(reply)], ["ssh", both]);
    const { json } = await serves(NEXT);
    assert.equal(json.services.find((one: { name: string }) => one.name === "companion").verdict, "ok");
    assert.deepEqual(await tools(), before);
  });

  await t.step("without any of the three, the answer is that nothing answers", async () => {
    await machine.sh("kill $(cat /run/sshd.pid)");
    await killCompanion();
    await machine.sh("docker rm --force dtma");
    for (const reply of [await board.get("status"), await board.change("restart")]) {
      assert.equal(reply.status, 503, describe(reply));
      assert.deepEqual(tried(reply), [...both, "ssh ssh_refused"], describe(reply));
    }
    assert.deepEqual(await tools(), before, "the tools run all the same");
  });
});
