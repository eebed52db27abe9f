/**
 * What a diagnosis finds, check by check: each is provoked with real parts, on a machine of its own with Docker, sshd and
 * the agent, and cured by the action that it names.
 */
import assert from "node:assert/strict";
import { HeartbeatProxy } from "../chaos/proxy.ts";
import { agentProgram } from "../chaos/world.ts";
import { certificate as makeCertificate } from "../lib/certificates.ts";
import { enrolmentToken, startStack } from "../lib/stack.ts";
import { TlsPeer } from "../lib/tls_peer.ts";
import { SshMachine } from "../security/lib/ssh_machine.ts";
import { Database, eventually } from "./lib/mod.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const TARGET = Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`;
/** The agent as it is released: an empty image holds it, so a container of it can try the rules. */
const RELEASED = `${TARGET}/${Deno.build.arch}-unknown-linux-musl/release/dtma`;
const SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
/** What the machine calls the control plane. */
const CONTROL = "control.test";

interface Check {
  name: string;
  verdict: string;
  evidence: string;
  action?: string;
}

Deno.test("each check of a diagnosis fails for its fault, and the action that it names cures it", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-diagnose-" });
  await using _folder = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await using stack = await startStack({ dtma: false, functionEnv: { TOOLBOX_SSH_CA_KEY: SEED } });
  const { ready } = stack;
  const id = ready.toolbox_id;
  const db = new Database(ready.admin_db_url);
  await using machine = await SshMachine.open(folder, id, SEED);
  const { droplet } = machine;
  const authority = await makeCertificate({ names: [], authority: true });
  const own = await makeCertificate({ names: [`DNS:${CONTROL}`], by: authority });
  const files = { authority: `${folder}/ca.pem`, certificate: `${folder}/proxy.pem`, key: `${folder}/proxy.key` };
  await Deno.writeTextFile(files.certificate, own.cert);
  await Deno.writeTextFile(files.key, own.key);
  await using proxy = await HeartbeatProxy.open(droplet.uplink, ready.url, files);
  const { port } = proxy.server.addr;

  const set = (assignments: string, values: Record<string, string> = {}) =>
    db.execute(`update public.account_tool_environments set ${assignments} where id = :'id'`, { ...values, id });
  const reachedAt = (address: string, port: number, pem: string) =>
    set("public_ip_address = :'address', dtma_port = :'port', dtma_certificate_pem = :'pem'", {
      address,
      port: `${port}`,
      pem,
    });
  const diagnose = async (): Promise<Check[]> => {
    const reply = await fetch(`${ready.url}/functions/v1/toolbox-dtma-console/${id}/diagnose`, {
      headers: { apikey: ready.publishable_key, authorization: `Bearer ${ready.demo.access_token}` },
    });
    const body = await reply.json();
    assert.equal(reply.status, 200, JSON.stringify(body));
    return body.checks;
  };
  const check = async (name: string, told?: Check[]): Promise<Check> => {
    const checks = told ?? await diagnose();
    const found = checks.filter((one) => one.name === name);
    assert.equal(found.length, 1, `${name} is there once: ${JSON.stringify(checks)}`);
    return found[0];
  };
  /** The check has the verdict, soon, and names this action. */
  const finds = (name: string, verdict: "failed" | "warning", action: RegExp, evidence = /./) =>
    eventually(`${name}: ${verdict}`, async () => {
      const found = await check(name);
      if (found.verdict !== verdict) throw new Error(JSON.stringify(found));
      assert.match(found.action ?? "", action);
      return evidence.test(found.evidence) ? found : undefined;
    }, { ms: 60_000, everyMs: 250 });
  const isWell = (...names: string[]) =>
    eventually(`${names} are well`, async () => {
      const checks = await diagnose();
      const bad = checks.filter((one) => names.includes(one.name) && one.verdict !== "ok");
      if (bad.length > 0) throw new Error(JSON.stringify(bad));
      return names.every((name) => checks.some((one) => one.name === name)) || undefined;
    }, { ms: 120_000, everyMs: 250 });

  const env = {
    DTMA_TOOLBOX_ID: id,
    DTMA_CONTROL_URL: `https://${CONTROL}:${port}/functions/v1/heartbeat`,
    DTMA_CONTROL_CA_FILE: "/run/authority.pem",
    DTMA_ENROLMENT_TOKEN_FILE: "/run/enrolment",
    DTMA_HEARTBEAT_INTERVAL: "5",
  };
  /** What "enrol the machine again with a new token" is. */
  const giveToken = async () =>
    Deno.writeTextFile(droplet.path("/run/enrolment"), await enrolmentToken(ready), { mode: 0o600 });
  const trust = (pem: string) => Deno.writeTextFile(droplet.path("/run/authority.pem"), pem);
  const know = () => machine.sh(`echo '${droplet.uplink} ${CONTROL}' >> /etc/hosts`);
  await trust(authority.cert);
  await know();

  await t.step("no address, nothing that listens, no enrolment", async () => {
    await set("public_ip_address = null");
    const none = await check("address");
    assert.equal(none.verdict, "failed");
    assert.match(none.action!, /^Set the address of the machine/);
    await set("public_ip_address = :'address', dtma_port = 30000", { address: droplet.address });
    await isWell("address");
    await finds("agent_tcp", "failed", /^Start the agent/);
    await finds("heartbeat", "failed", /^Enrol the machine again with a new token/);
    await giveToken();
    await droplet.startAgent(agentProgram(), env);
    await isWell("agent_tcp", "heartbeat", "agent_tls", "agent_key", "agent_api", "agent");
    await isWell("docker", "disk", "control_dns", "control_tcp", "control_tls", "clock");
  });

  await t.step("agent", async () => {
    await machine.sh("kill -STOP $(pgrep -x dtma)");
    const checks = await diagnose();
    const agent = await check("agent", checks);
    assert.equal(agent.verdict, "failed", JSON.stringify(agent));
    assert.match(agent.action!, /^Restart the agent/);
    assert.equal((await check("agent_tcp", checks)).verdict, "ok", "the kernel takes connections for it");
    await droplet.killAgent(0);
    await isWell("agent", "agent_tls", "agent_key");
  });

  await t.step("docker", async () => {
    await droplet.stopDocker("SIGTERM");
    await finds("docker", "failed", /^Start Docker on the machine/);
    await finds("agent", "warning", /^Look at the check docker/);
    await droplet.startDocker();
    await isWell("docker", "agent");
  });

  await t.step("disk", async () => {
    await droplet.fillDisk();
    await finds("disk", "failed", /^Free space on the machine/);
    await droplet.emptyDisk();
    await isWell("disk");
  });

  await t.step("clock", async () => {
    await droplet.setClock(120);
    await finds("clock", "failed", /timedatectl/, /ahead/);
    await droplet.setClock(20);
    await finds("clock", "warning", /timedatectl/, /ahead/);
    await droplet.setClock(0);
    await isWell("clock");
  });

  await t.step("control_dns", async () => {
    await machine.sh(`sed -i '/ ${CONTROL}$/d' /etc/hosts`);
    await finds("control_dns", "failed", /^Correct the machine's name servers/);
    assert.equal((await check("control_tcp")).verdict, "not_checked");
    await know();
    await isWell("control_dns", "control_tcp", "control_tls");
  });

  await t.step("control_tcp", async () => {
    const rule = `OUTPUT --protocol tcp --destination ${droplet.uplink} --dport ${port} --jump REJECT`;
    await machine.sh(`iptables --wait --insert ${rule}`);
    await finds("control_tcp", "failed", /firewall pass connections to the control plane/);
    assert.equal((await check("control_tls")).verdict, "not_checked");
    // The control plane hears nothing of the machine either, and says where to look.
    await finds("heartbeat", "failed", /^Look at the checks control_dns, control_tcp and control_tls/);
    await machine.sh(`iptables --wait --delete ${rule}`);
    await isWell("control_tcp", "control_tls", "heartbeat");
  });

  await t.step("control_tls", async () => {
    await trust((await makeCertificate({ names: [], authority: true })).cert);
    await finds("control_tls", "failed", /^Let the machine trust the control plane's certificate/);
    await trust(authority.cert);
    await isWell("control_tls");
  });

  await t.step("agent_key", async () => {
    const { key } = await db.row<{ key: string }>(
      "select dtma_key_id as key from public.account_tool_environments where id = :'id'",
      { id },
    );
    await set("dtma_key_id = :'other'", { other: `${key.split(".")[0]}.77` });
    await finds("agent_key", "failed", /^Enrol the machine again with a new token/);
    await giveToken();
    await droplet.killAgent(0);
    await isWell("agent_key", "heartbeat");
  });

  await t.step("agent_tls", async () => {
    await droplet.stopAgent();
    await Deno.remove(droplet.path("/run/dtma/tls.pem"));
    await droplet.startAgent(agentProgram(), env);
    await finds("agent_tls", "failed", /^Enrol the machine again with a new token/);
    assert.equal((await check("agent_key")).verdict, "not_checked", "nothing is sent to another certificate");
    await giveToken();
    await droplet.killAgent(0);
    await isWell("agent_tls", "agent_key", "heartbeat");
  });

  await t.step("agent_api", async () => {
    // No older agent is kept: this is what one says, of this machine. A redeployment puts another program in its place.
    const { dtma_certificate_pem: pem } = await db.row<{ dtma_certificate_pem: string }>(
      "select dtma_certificate_pem from public.account_tool_environments where id = :'id'",
      { id },
    );
    const reply = await fetch(`${ready.url}/functions/v1/toolbox-dtma-console/${id}/status`, {
      headers: { apikey: ready.publishable_key, authorization: `Bearer ${ready.demo.access_token}` },
    });
    const { machine: status } = await reply.json();
    status.agent.api_version = 1;
    const pair = await makeCertificate({ names: [`DNS:${id}.toolbox.invalid`] });
    await using old = new TlsPeer(pair, () => Response.json(status));
    await reachedAt("127.0.0.1", old.port, pair.cert);
    await finds("agent_api", "failed", /^Redeploy the agent/, /version 1 of its API/);
    assert.equal((await check("agent_key")).verdict, "ok");
    await reachedAt(droplet.address, 30000, pem);
    await isWell("agent_api");
  });

  await t.step("ssh", async () => {
    await set("ssh_host_key = :'key'", { key: machine.otherKey });
    await finds("ssh", "failed", /enrol it again where its host key changed/, /host key/);
    await set("ssh_host_key = :'key'", { key: machine.hostKey });
    await isWell("ssh");
    await machine.sh("dtma ssh-setup --remove");
    await finds("ssh", "failed", /dtma ssh-setup/);
    await machine.sh("dtma ssh-setup");
    await isWell("ssh");
  });

  await t.step("host_firewall", async () => {
    // The program of these tests needs a C library, which a container of it lacks.
    const mend = /^Mend what keeps a container from trying/;
    await finds("host_firewall", "warning", mend, /needs a C library/);
    await droplet.stopAgent();
    const lacking = droplet.path("/run/lacking");
    const drop = "--bounding-set=-net_admin --inh-caps=-net_admin";
    await Deno.writeTextFile(lacking, `#!/bin/sh\nexec setpriv ${drop} ${RELEASED}\n`, { mode: 0o755 });
    await droplet.startAgent("/run/lacking", env);
    await finds("host_firewall", "failed", /^Start the agent with the capability NET_ADMIN/, /NET_ADMIN/);
    await droplet.stopAgent();
    await droplet.startAgent(RELEASED, env);
    await isWell("host_firewall");
    // Another program of the machine flushes what the agent sets.
    await machine.sh("touch /run/flushing");
    const flush = `nft delete table inet toolbox_${id.slice(0, 8)}`;
    const flushing = machine.run([
      "sh",
      "-c",
      `while test -e /run/flushing; do ${flush}; sleep 0.02; done 2>/dev/null`,
    ]);
    await finds("host_firewall", "failed", /end what removes its rules/, /a container reached/);
    await machine.sh("rm /run/flushing");
    await flushing;
    await isWell("host_firewall");
  });

  const bad = (await diagnose()).filter((one) => one.verdict !== "ok").map((one) => one.name);
  assert.deepEqual(bad.toSorted(), ["companion", "companion_from_outside"], "all but what this machine does not have");
});
