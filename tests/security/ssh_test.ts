// SSH to a real sshd on a machine of its own, from the built wasm: what works, and each way in which it does not.
import assert from "node:assert/strict";
import { startStack } from "../lib/stack.ts";
import { Database, eventually } from "../e2e/lib/mod.ts";
import { run } from "../chaos/droplet.ts";
import { SshMachine } from "./lib/ssh_machine.ts";
import { startServers } from "./lib/ssh_servers.ts";

const SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

// deno-lint-ignore no-explicit-any
type Json = any;

Deno.test("a machine is reached by SSH for operations of the set only", async (t) => {
  const logs = await Deno.makeTempDir({ prefix: "toolbox-ssh-" });
  await using _logs = { [Symbol.asyncDispose]: () => Deno.remove(logs, { recursive: true }) };
  await using stack = await startStack({ dtma: false, functionEnv: { TOOLBOX_SSH_CA_KEY: SEED } });
  const { ready } = stack;
  const db = new Database(ready.admin_db_url);
  await using machine = await SshMachine.open(logs, ready.toolbox_id, SEED);
  const { droplet } = machine;
  await run("musl-gcc", "-static", "-Os", "-o", `${logs}/pause`, `${REPOSITORY}/tests/chaos/pause.c`);
  await droplet.load("toolbox-ssh-test/pause:1", `${logs}/pause`);
  await Deno.writeTextFile(`${logs}/ends.c`, "int main(void) { return 0; }");
  await run("musl-gcc", "-static", "-Os", "-o", `${logs}/ends`, `${logs}/ends.c`);
  await droplet.load("toolbox-ssh-test/ends:1", `${logs}/ends`);

  const at = (address: string, port: number, hostKey: string, toolbox = ready.toolbox_id) =>
    db.execute(
      `update public.account_tool_environments set public_ip_address = :'address', ssh_port = :'port', ssh_host_key = :'key'
       where id = :'id'`,
      { address, port: String(port), key: hostKey, id: toolbox },
    );
  const home = () => at(droplet.address, 22, machine.hostKey);
  /** Another toolbox of the user, whose sshd is there. */
  const another = async (address: string, port: number, hostKey: string): Promise<string> => {
    const id = crypto.randomUUID();
    await db.execute(
      "insert into public.account_tool_environments (id, user_id, name) values (:'id', :'user', 'another')",
      { id, user: ready.demo.user_id },
    );
    await at(address, port, hostKey, id);
    return id;
  };
  const execute = async (body: Json): Promise<{ status: number; body: Json; ms: number }> => {
    const begun = performance.now();
    const response = await fetch(`${ready.url}/functions/v1/ssh-command-executor`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${ready.demo.access_token}`,
        apikey: ready.publishable_key,
        "content-type": "application/json",
      },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    assert(!text.includes(SEED));
    return { status: response.status, body: JSON.parse(text), ms: performance.now() - begun };
  };
  const operate = (operation: Json, more: Json = {}) => execute({ toolboxId: ready.toolbox_id, operation, ...more });
  const refused = async (code: string, status: number, withinMs: number, more: Json = {}) => {
    const seen = await operate({ kind: "host_health" }, more);
    assert.deepEqual([seen.status, seen.body.error?.code], [status, code], JSON.stringify(seen.body));
    assert(seen.ms < withinMs, `${code} after ${seen.ms} ms`);
    return seen.body.error.message as string;
  };
  await home();

  /** An instance and its container, which runs this image. */
  const instance = async (name: string, image: string): Promise<string> => {
    const id = crypto.randomUUID();
    await db.execute(
      `insert into public.account_tool_instances
         (id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, desired_status, status_on_toolbox)
       values (:'id', :'toolbox', (select id from public.tool_catalog limit 1), :'name', :'name', '{"image": "x"}', 'running', 'deploying')`,
      { id, toolbox: ready.toolbox_id, name },
    );
    await droplet.docker(
      "run",
      "--detach",
      `--name=${name}`,
      `--label=io.toolbox.toolbox_id=${ready.toolbox_id}`,
      `--label=io.toolbox.instance_id=${id}`,
      `toolbox-ssh-test/${image}:1`,
    );
    return id;
  };
  const id = await instance("my-tool-1", "pause");
  const runs = async () => (await droplet.docker("inspect", "--format={{.State.Running}}", "my-tool-1")).trim();

  await t.step("operations on the machine and on an instance, while no agent runs", async () => {
    const health = await operate({ kind: "host_health" });
    assert.equal(health.status, 200, JSON.stringify(health.body));
    assert(health.body.success && health.body.answer.data.memory.total_bytes > 0);
    assert.equal(health.body.exitCode, 0);
    const status = await operate({ kind: "agent_status" });
    assert.equal(status.body.answer.data.agent.health, "unreachable");

    const stop = await operate({ kind: "instance", action: "stop", id });
    assert.deepEqual([stop.body.success, stop.body.answer?.state], [true, "stopped"], JSON.stringify(stop.body));
    assert.equal(await runs(), "false");
    const start = await execute({ dropletIp: droplet.address, command: `docker start ${id}`, timeout: 15000 });
    assert.deepEqual([start.body.success, start.body.answer?.state], [true, "running"], JSON.stringify(start.body));
    assert.equal(await runs(), "true");
    const restart = await execute({ dropletIp: droplet.address, command: "docker restart my-tool-1" });
    assert.equal(restart.body.command, `restart ${id}`);
    assert.equal(restart.body.answer.state, "running");
    const lines = await operate({ kind: "instance_logs", id, tail: 10 });
    assert(lines.body.success && Array.isArray(lines.body.answer.entries));
    // Without agent, companion and init script nobody can; nothing is claimed.
    const agent = await operate({ kind: "agent_restart" });
    assert.deepEqual(
      [agent.status, agent.body.success, agent.body.exitCode],
      [200, false, 69],
      JSON.stringify(agent.body),
    );
    assert.equal(agent.body.answer.error.code, "restart_failed");
    const redeploy = await operate({ kind: "agent_redeploy", version: "1.2.3" });
    assert.equal(redeploy.body.answer.error.code, "companion_unreachable");

    const rm = await execute({ dropletIp: droplet.address, command: "docker rm -f my-tool-1" });
    assert.deepEqual([rm.status, rm.body.error?.code], [403, "operation_not_allowed"]);
    assert.equal(await runs(), "true");
    const remove = await operate({ kind: "instance", action: "remove", id });
    assert.deepEqual([remove.body.success, remove.body.answer?.state], [true, "absent"], JSON.stringify(remove.body));
    assert.equal((await droplet.containers()).length, 0);
    const unknown = await operate({ kind: "instance", action: "start", id });
    assert.deepEqual([unknown.body.success, unknown.body.exitCode], [false, 65]);
  });

  await t.step("a start that Docker took is none when nothing runs afterwards", async () => {
    const ends = await instance("my-tool-2", "ends");
    for (const action of ["start", "restart"]) {
      const { body } = await operate({ kind: "instance", action, id: ends });
      assert.deepEqual(
        [body.success, body.exitCode, body.answer.error?.code, body.answer.state],
        [false, 75, "not_settled", "stopped"],
        JSON.stringify(body),
      );
    }
    const remove = await operate({ kind: "instance", action: "remove", id: ends });
    assert.deepEqual([remove.body.success, remove.body.answer?.state], [true, "absent"], JSON.stringify(remove.body));
  });

  await t.step("every use is in the history of the toolbox", async () => {
    const rows = await db.rows<{ result: string; operation: string; exit_code: number; actor: string }>(
      `select result, detail ->> 'operation' as operation, (detail ->> 'exit_code')::int as exit_code, actor_id as actor
       from public.toolbox_events where account_tool_environment_id = :'id' and kind = 'ssh_command' order by id`,
      { id: ready.toolbox_id },
    );
    assert.equal(rows.length, 13);
    assert.deepEqual(rows[0], {
      result: "succeeded",
      operation: "host-health",
      exit_code: 0,
      actor: ready.demo.user_id,
    });
    assert.deepEqual([rows[9].result, rows[9].exit_code], ["ssh_command_failed", 65]);
  });

  await t.step("another host key, another toolbox's certificate, another principal, another authority", async () => {
    await at(droplet.address, 22, machine.otherKey);
    await refused("ssh_host_key_changed", 502, 10_000);
    await home();
    const other = await another(droplet.address, 22, machine.hostKey);
    const both = await execute({ dropletIp: droplet.address, command: "host-health" });
    assert.deepEqual([both.status, both.body.error?.code], [409, "toolbox_ambiguous"], JSON.stringify(both.body));
    const message = await refused("ssh_not_admitted", 502, 15_000, { toolboxId: other });
    assert.match(message, /another toolbox/);
    await machine.sh(`echo ${other} > /etc/ssh/toolbox_principals`);
    await refused("ssh_not_admitted", 502, 15_000);
    await machine.sh(`echo ${ready.toolbox_id} > /etc/ssh/toolbox_principals`);
    await machine.sh("cp /var/lib/dtma/ssh_ca.pub /root/ca && cp /etc/ssh/other.pub /var/lib/dtma/ssh_ca.pub");
    await refused("ssh_not_admitted", 502, 15_000);
    await machine.sh("cp /root/ca /var/lib/dtma/ssh_ca.pub");
    assert((await operate({ kind: "host_health" })).body.success);
  });

  await t.step("a clock that differs: the certificate has expired, or is not valid yet", async () => {
    for (const [shift, wanted] of [["+1h", /ahead/], ["-1h", /behind/]] as const) {
      await machine.startSshd(shift);
      assert.match(await refused("ssh_clock_skew", 502, 15_000), wanted);
    }
    await machine.startSshd();
    assert((await operate({ kind: "host_health" })).body.success);
  });

  await t.step("much output, a command that never ends, a connection that is cut", async () => {
    const pretend = (script: string) =>
      machine.sh(`cat > /usr/local/bin/dtma <<'SCRIPT'\n#!/bin/sh\n${script}\nSCRIPT\nchmod 755 /usr/local/bin/dtma`);
    const ended = async (what: string) => {
      for (let tries = 0; tries < 50; tries++) {
        if ((await machine.run(["pgrep", "-f", what])).code !== 0) return;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.fail(`${what} still runs on the machine`);
    };
    await machine.sh("mv /usr/local/bin/dtma /usr/local/bin/dtma.real");
    await pretend("exec head -c 100000000 /dev/zero");
    await refused("ssh_output_too_large", 502, 15_000);
    await ended("head -c 100000000");
    await pretend("while :; do echo canary-loop; sleep 0.1; done");
    assert.match(await refused("ssh_timeout", 504, 10_000, { timeout: 1000 }), /phase operation.*unknown/);
    await ended("bin/dtma ssh-command");
    await pretend("sleep 1; kill -KILL $(pgrep -f 'sshd: toolbox-ssh')");
    await refused("ssh_connection_lost", 502, 10_000);
    await machine.sh("mv /usr/local/bin/dtma.real /usr/local/bin/dtma");
    assert((await operate({ kind: "host_health" })).body.success);
  });

  await t.step("servers that stall or misbehave, each in one phase", async () => {
    await using servers = await startServers();
    const cases = [
      ["stalls_at_banner", "ssh_timeout", 504, /phase banner/],
      ["is_no_ssh", "ssh_no_server", 502, /./],
      ["stalls_at_key_exchange", "ssh_timeout", 504, /phase key_exchange/],
      ["stalls_at_authentication", "ssh_timeout", 504, /phase authentication/],
      ["refuses", "ssh_not_admitted", 502, /./],
      ["stalls_at_channel", "ssh_timeout", 504, /phase channel/],
      ["refuses_channel", "ssh_channel_refused", 502, /./],
      ["stalls_at_exec", "ssh_timeout", 504, /phase exec/],
      ["refuses_exec", "ssh_command_refused", 502, /./],
      ["stalls_at_operation", "ssh_timeout", 504, /phase operation/],
      ["floods", "ssh_output_too_large", 502, /./],
      ["cuts", "ssh_connection_lost", 502, /phase operation/],
    ] as const;
    const last = (toolbox: string) =>
      db.row<{ result: string }>(
        "select result from public.toolbox_events where account_tool_environment_id = :'toolbox' order by id desc limit 1",
        { toolbox },
      );
    // Each has a toolbox of its own, so that all deadlines pass at once.
    await Promise.all(cases.map(async ([name, code, status, phase]) => {
      const { port, host_key } = servers.all[name];
      const toolboxId = await another("127.0.0.1", port, host_key);
      assert.match(await refused(code, status, 15_000, { toolboxId, timeout: 2000 }), phase, name);
      assert.equal((await last(toolboxId)).result, code, "the history has it");
    }));
    await at("127.0.0.1", 1, machine.hostKey);
    await refused("ssh_refused", 503, 10_000);
    await home();

    const { port, host_key } = servers.all["stalls_at_operation"];
    const toolboxId = await another("127.0.0.1", port, host_key);
    const lost = operate({ kind: "agent_restart" }, { toolboxId, timeout: 60_000 }).catch(() => undefined);
    const history = () =>
      db.rows<{ result: string; operation: string }>(
        "select result, detail ->> 'operation' as operation from public.toolbox_events where account_tool_environment_id = :'id'",
        { id: toolboxId },
      );
    const begun = [{ result: "begun", operation: "agent-restart" }];
    await eventually("it has begun", async () => (await history()).length > 0 || undefined);
    await stack.control("kill", "ssh-command-executor");
    await lost;
    assert.deepEqual(await history(), begun, "whoever ends the function hides nothing");
    await stack.control("start", "ssh-command-executor");
    assert((await operate({ kind: "host_health" })).body.success);
    assert.deepEqual(await history(), begun);
  });

  await t.step("no text reaches a shell, whoever sends it past the control plane", async () => {
    const texts = machine.hostileTexts(id, 300);
    const { answers, canaries } = await machine.sendAll(texts);
    assert.equal(answers.length, texts.length);
    for (const [i, answer] of answers.entries()) {
      assert.equal(answer.code, 64, `${JSON.stringify(texts[i])}: ${answer.text}`);
      assert.equal(JSON.parse(answer.text).error.code, "operation_not_allowed");
    }
    assert.deepEqual(canaries, []);
    for (const ask of ["-N -L 127.0.0.1:0:127.0.0.1:22", "-tt", "-s"]) {
      const { text } = await machine.ssh(ask.split(" "), ask === "-s" ? "sftp" : "host-health");
      assert(!text.includes("sftp-server"), text);
    }
  });

  await t.step("what was set up can be set up again, and taken back", async () => {
    await machine.sh("dtma ssh-setup");
    assert((await operate({ kind: "host_health" })).body.success);
    await machine.sh("dtma ssh-setup --remove");
    await refused("ssh_not_admitted", 502, 15_000);
    await machine.sh("! getent passwd toolbox-ssh && ! test -e /etc/sudoers.d/50-toolbox && sshd -t");
  });
});
