/**
 * Machines and the control plane trust each other as far as keys and certificates go: a stolen key opens one toolbox
 * only, a heartbeat counts once, another certificate is refused, and keys can be replaced without a gap.
 */
import assert from "node:assert/strict";
import { certificate } from "../lib/certificates.ts";
import { enrolmentToken } from "../lib/stack.ts";
import { TlsPeer } from "../lib/tls_peer.ts";
import {
  agentKey,
  codeOf,
  type Database,
  describe,
  type Envelope,
  eventually,
  Machine,
  newCertificate,
  opened,
  sleep,
  startWorld,
  type World,
} from "./lib/mod.ts";

const FORGED_RUN = crypto.randomUUID();
/** 64 hexadecimal digits, as a fingerprint has. */
const CANARY = FORGED_RUN.replaceAll("-", "").repeat(2);

Deno.test("what a machine's key opens, and how often", async (t) => {
  await using world = await startWorld();
  const deployed = await world.owner.tools.deploy("victim", {}, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  const victim = deployed.json.instanceId as string;
  const machine = await Machine.of(world, world.stranger);

  await t.step("a machine enrols once with its token; the token is worth nothing to another", async () => {
    const token = await tokenOf(world, machine);
    const first = await machine.enrol(token);
    assert.equal(first.status, 200, describe(first));
    const again = await machine.enrol(token);
    assert.equal(again.status, 200, "a lost answer can be asked for again");
    assert.deepEqual(again.json.keys, first.json.keys);
    const thief = new Machine(world, machine.toolboxId, await newCertificate());
    assert.equal(codeOf(await thief.enrol(token)), "enrolment_token_used");
    const beat = await machine.beat();
    assert.equal(beat.status, 200, describe(beat));
    assert.equal(codeOf(await machine.enrol(token)), "enrolment_token_used", "the answer has arrived");
    const elsewhere = new Machine(world, world.toolboxId, machine.certificate);
    assert.equal(codeOf(await elsewhere.enrol(await tokenOf(world, machine))), "enrolment_token_invalid");
  });

  await t.step("a stolen key reads and writes nothing of another toolbox", async () => {
    const before = await wholeToolbox(world.db, world.toolboxId);
    const theirs = new Machine(world, world.toolboxId, machine.certificate, 8_000_000_000_000);
    theirs.key = machine.key;
    const full = { ...forged(victim, 1), version: CANARY, full: true };
    const wrong = `tbk_${"0".repeat(64)}`;
    for (const key of [machine.key, wrong]) {
      for (
        const reply of [
          await theirs.call("", { method: "POST", key, json: await theirs.next(full) }),
          await theirs.call("/desired", { key }),
        ]
      ) {
        assert.equal(`${reply.status} ${codeOf(reply)}`, "401 heartbeat_key_invalid", describe(reply));
        assert.ok(!reply.text.includes(victim), "nothing of the toolbox is told");
      }
      const enrol = await theirs.enrol(key);
      assert.equal(`${enrol.status} ${codeOf(enrol)}`, "401 enrolment_token_invalid", describe(enrol));
    }
    assert.deepEqual(await wholeToolbox(world.db, world.toolboxId), before);
    assert.deepEqual(await forgeries(world.db), []);
  });

  await t.step("a stolen key says nothing of another toolbox's instances either", async () => {
    const before = await world.db.instance(victim);
    for (const [generation, phase] of [[99, null], [before!.generation, "error"], [before!.generation, "running"]]) {
      const reply = await machine.beat(forged(victim, Number(generation), phase as string | null));
      assert.equal(reply.status, 200, describe(reply));
      assert.deepEqual(reply.json.unknown, [victim], "it is not this toolbox's");
    }
    assert.deepEqual((await world.db.instance(victim))?.status_on_toolbox, before?.status_on_toolbox);
    assert.deepEqual((await world.db.instance(victim))?.generation, before?.generation);
    assert.deepEqual(await forgeries(world.db), []);
    await machine.beat({ version: CANARY });
    assert.equal((await forgeries(world.db)).length, 1, "what it says of itself is kept, and found");
    const desired = await machine.call("/desired");
    assert.equal(desired.status, 200, describe(desired));
    assert.deepEqual(desired.json.instances, []);
  });

  await t.step("the keys of one direction do not open the other", async () => {
    const inward = await agentKey(world.ready.agent_root, world.toolboxId, "agent-to-control", await epoch(world));
    const refused = await world.agent.call("/tools", { key: inward });
    assert.equal(refused.status, 401, describe(refused));
    const outward = new Machine(world, world.toolboxId, machine.certificate);
    const reply = await outward.call("/desired", { key: world.agent.key });
    assert.equal(codeOf(reply), "heartbeat_key_invalid", describe(reply));
  });

  await t.step("a recorded heartbeat is refused when it is sent again, and so is an older one", async () => {
    const old = await machine.next();
    const recorded = await machine.next();
    const accepted = await machine.call("", { method: "POST", json: recorded });
    assert.equal(accepted.status, 200, describe(accepted));
    for (const json of [recorded, old, { ...recorded, boot: machine.boot - 1, sequence: 1_000_000 }]) {
      const reply = await machine.call("", { method: "POST", json });
      assert.equal(`${reply.status} ${codeOf(reply)}`, "409 heartbeat_replayed", describe(reply));
      // By these the agent itself goes on when its clock was ahead in an earlier life.
      const { boot, sequence } = recorded;
      assert.deepEqual(reply.json.error.details.accepted, { boot, sequence });
    }
    const together = await Promise.all(
      [0, 0, 0, 0].map(() => machine.call("", { method: "POST", json: { ...recorded, sequence: 500 } })),
    );
    assert.deepEqual(
      together.map(({ status }) => status).sort(),
      [200, 409, 409, 409],
      "once, also at the same moment",
    );
    machine.sequence = 500;
  });

  await t.step("a changed certificate is refused until the toolbox enrols again, and says so", async () => {
    const genuine = machine.certificate;
    machine.certificate = await newCertificate();
    const refused = await machine.beat({ certificate_pem: machine.certificate });
    assert.equal(`${refused.status} ${codeOf(refused)}`, "409 certificate_changed", describe(refused));
    assert.match(refused.json.error.message, /enrol/);
    const stolen = machine.key;
    const enrolled = await machine.enrol();
    assert.equal(enrolled.status, 200, describe(enrolled));
    machine.sequence = 0;
    machine.boot = Date.now();
    const beat = await machine.beat({ certificate_pem: machine.certificate });
    assert.equal(beat.status, 200, describe(beat));
    const dead = await machine.call("/desired", { key: stolen });
    assert.equal(codeOf(dead), "heartbeat_key_invalid", "the key before the enrolment died with it");
    machine.certificate = genuine;
  });
});

Deno.test("a man in the middle with another certificate learns nothing", async (t) => {
  await using world = await startWorld();
  const names = [`DNS:${world.toolboxId}.toolbox.invalid`, "IP:127.0.0.1"];
  const list = () => Response.json({ toolbox_id: world.toolboxId, tools: [], foreign: [] });
  await using middle = new TlsPeer(await certificate({ names }), list);
  const genuine = Number(new URL(world.agent.url).port);
  const pointAt = (port: number) =>
    world.db.execute("update public.account_tool_environments set dtma_port = :'port'::int where id = :'id'", {
      port: `${port}`,
      id: world.toolboxId,
    });
  await pointAt(middle.port);

  await t.step(
    "no request, and so no key, is sent to it; every command says that the agent was not reached",
    async () => {
      const { tools } = world.owner;
      const list = await tools.list();
      assert.equal(list.json.success, false, describe(list));
      assert.equal(list.json.agent.reachable, false);
      assert.equal(list.json.agent.code, "agent_certificate_invalid");
      const deploy = await tools.deploy("through the middle", {});
      assert.notEqual(deploy.json.success, true, describe(deploy));
      assert.ok(middle.tunnels.length > 0, "it was in the middle");
      assert.deepEqual(middle.read, []);
    },
  );

  await t.step("with the genuine agent back, everything works", async () => {
    await pointAt(genuine);
    const list = await world.owner.tools.list();
    assert.equal(list.json.success, true, describe(list));
  });
});

Deno.test("keys are rotated without a gap", async (t) => {
  await using world = await startWorld({ dtmaEnv: { DTMA_HEARTBEAT_INTERVAL: "1" } });
  const { tools } = world.owner;
  const first = await epoch(world);

  await t.step("a new epoch is agreed on within seconds, and no call fails meanwhile", async () => {
    let calls = 0;
    let rotating = true;
    const failed: string[] = [];
    const caller = (async () => {
      while (rotating) {
        const list = await tools.list();
        calls++;
        if (list.json?.success !== true) failed.push(describe(list));
        await sleep(20);
      }
    })();
    const begun = performance.now();
    await rotate(world);
    await eventually("the agent proves its new key", async () => await epoch(world) === first + 1 ? true : undefined, {
      ms: 10_000,
    });
    console.log(`  rotated after ${((performance.now() - begun) / 1000).toFixed(1)} s, ${calls} calls meanwhile`);
    await sleep(500);
    rotating = false;
    await caller;
    assert.deepEqual(failed, []);
  });

  await t.step("the key before is refused once the overlap is over", async () => {
    const machine = new Machine(world, world.toolboxId, "");
    const key = await agentKey(world.ready.agent_root, world.toolboxId, "agent-to-control", first);
    const during = await machine.call("/desired", { key });
    assert.equal(during.status, 200, describe(during));
    await world.db.execute(
      "update public.account_tool_environments set dtma_previous_token_expires_at = clock_timestamp() where id = :'id'",
      { id: world.toolboxId },
    );
    const after = await machine.call("/desired", { key });
    assert.equal(codeOf(after), "heartbeat_key_invalid", describe(after));
  });

  await t.step("the agent keeps the new keys over a restart", async () => {
    await world.agent.stop("SIGKILL");
    await world.agent.start();
    const list = await eventually("the list is live", async () => {
      const reply = await tools.list();
      return reply.json.success ? reply : undefined;
    });
    assert.equal(list.json.agent.reachable, true);
    assert.equal(await epoch(world), first + 1);
  });

  await t.step("a machine that lost its disk enrols again, and its old keys are dead at once", async () => {
    const key = await agentKey(world.ready.agent_root, world.toolboxId, "agent-to-control", first + 1);
    await world.agent.stop("SIGKILL");
    await world.agent.loseStateDir();
    await world.agent.start();
    assert.equal(await epoch(world), first + 2);
    const dead = await new Machine(world, world.toolboxId, "").call("/desired", { key });
    assert.equal(codeOf(dead), "heartbeat_key_invalid", describe(dead));
    const list = await tools.list();
    assert.equal(list.json.success, true, describe(list));
  });

  await t.step("the root secret is replaced, what it sealed is sealed anew, and the old one can go", async () => {
    const secret = `secret-${crypto.randomUUID()}`;
    const deployed = await tools.deploy("keeper", { environmentVariables: { API_KEY: secret } }, { wait: 30 });
    assert.equal(deployed.status, 201, describe(deployed));
    const id = deployed.json.instanceId;
    const before = await sealedWith(world);
    assert.equal(before.length, 1);
    const [old, next] = [world.ready.agent_root, crypto.randomUUID() + crypto.randomUUID()];
    await world.stack.setFunctionEnv({ BACKEND_TO_DTMA_API_KEY: next, BACKEND_TO_DTMA_API_KEY_PREVIOUS: old });
    const root = await eventually("the clock has sealed everything with the new key", async () => {
      const keys = await sealedWith(world);
      return keys.length === 1 && keys[0] !== before[0] ? keys[0] : undefined;
    });
    await eventually(
      "the agent proves a key of the new root",
      async () => (await keyId(world)).startsWith(`${root}.`) || undefined,
    );
    await world.stack.setFunctionEnv({ BACKEND_TO_DTMA_API_KEY_PREVIOUS: null });

    const updated = await tools.update(id, { environmentVariables: { OTHER: "x" } }, { wait: 30 });
    assert.equal(updated.status, 200, describe(updated));
    assert.ok((await world.docker.container(id)).Config.Env.includes(`API_KEY=${secret}`));
    const row = (await world.db.instance(id))!;
    const { env } = (await opened(next, row)).spec as { env: Record<string, Envelope> };
    assert.equal(env.API_KEY.value, secret);
    await assert.rejects(opened(old, row), { name: "OperationError" });
  });
});

/** Fingerprints of the roots that secrets are sealed under. */
async function sealedWith(world: World): Promise<string[]> {
  const rows = await world.db.rows<{ key_id: string }>("select distinct key_id from private.secrets_by_key()");
  return rows.map(({ key_id }) => key_id);
}

/** Epoch of the keys the agent proved last. */
async function epoch(world: World): Promise<number> {
  return Number((await keyId(world)).split(".")[1]);
}

/** What these keys were derived from. */
async function keyId(world: World): Promise<string> {
  const { id } = await world.db.row<{ id: string }>(
    "select dtma_key_id as id from public.account_tool_environments where id = :'toolbox'",
    { toolbox: world.toolboxId },
  );
  return id;
}

async function rotate(world: World): Promise<void> {
  const reply = await fetch(`${world.ready.url}/rest/v1/rpc/rotate_toolbox_key`, {
    method: "POST",
    headers: { apikey: world.ready.secret_key, "content-type": "application/json" },
    body: JSON.stringify({ p: { toolbox_id: world.toolboxId } }),
  });
  assert.deepEqual(await reply.json(), { outcome: "rotated", count: 1 });
}

async function tokenOf(world: World, machine: Machine): Promise<string> {
  return await enrolmentToken(world.ready, machine.toolboxId);
}

/** What a stranger says of somebody's instance, recognisable wherever it would be kept. */
function forged(id: string, generation: number, phase: string | null = "error"): Record<string, unknown> {
  const now = new Date().toISOString();
  return {
    instances: [{
      ...{ id, generation, phase, settled: true, observed_at: now },
      ...{
        view_version: { run: FORGED_RUN, number: 1 },
        container_id: CANARY,
        image_digest: CANARY,
        reason: { code: "exited", message: CANARY },
      },
      mcp: { state: "healthy", evidence: CANARY, since: now, checked_at: now, tools_fingerprint: CANARY },
    }],
  };
}

/** Rows of instances, their logs, operations and toolboxes in which a forgery is found. */
async function forgeries(db: Database): Promise<string[]> {
  const { forged } = await db.row<{ forged: string[] }>(
    `select coalesce(json_agg(r), '[]') as forged from (
      select i::text as r from public.account_tool_instances i
      union all select e::text from public.tool_instance_events e
      union all select o::text from public.tool_instance_operations o
      union all select e::text from public.account_tool_environments e
    ) rows where r like '%' || :'canary' || '%' or r like '%' || :'run' || '%'`,
    { canary: CANARY, run: FORGED_RUN },
  );
  return forged;
}

/** Everything a machine could change of a toolbox, but for what its own agent changes all the time. */
async function wholeToolbox(db: Database, id: string): Promise<unknown> {
  return await db.row(
    `select (
        select json_agg(to_jsonb(i) - '{mcp_health,mcp_tools_fingerprint,last_observed_at,updated_at,view_run,view_number,view_applied_at}'::text[]
          order by id)
        from public.account_tool_instances i where account_tool_environment_id = :'id'
      ) as instances,
      (select count(*) from public.tool_instance_events where account_tool_environment_id = :'id') as events,
      e.status, e.dtma_certificate_sha256, e.dtma_key_id, e.dtma_key_epoch, e.dtma_token_hash, e.dtma_boot
     from public.account_tool_environments e where e.id = :'id'`,
    { id },
  );
}
