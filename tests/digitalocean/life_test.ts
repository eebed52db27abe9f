/**
 * What can become of a droplet, as its owner sees it: by the real functions, with machines that this test plays. A machine that
 * never reports, one that gets another address, one that is deleted by hand.
 */
import assert from "node:assert/strict";
import {
  type Call,
  Database,
  describe,
  eventually,
  Machine,
  newCertificate,
  type Reply,
  send,
  signIn,
  type World,
} from "../e2e/lib/mod.ts";
import { startStack } from "../lib/stack.ts";
import { Simulator } from "./simulator.ts";

interface Droplet {
  id: number;
  user_data: string;
  networks: { v4: { type: string; ip_address: string }[] };
}

Deno.test("the owner of a droplet is told what becomes of it", async (t) => {
  await using simulator = await Simulator.open("--stub", "--boot-ms=100", "--list-lag-ms=100");
  await using stack = await startStack({
    dtma: false,
    functionEnv: {
      DO_API_TOKEN: simulator.token,
      TOOLBOX_DIGITALOCEAN_URL: simulator.url,
      TOOLBOX_RELEASE_URL: "https://releases.example",
    },
  });
  const { ready } = stack;
  const db = new Database(ready.admin_db_url);
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const ask = (path: string, call: Call = {}): Promise<Reply> =>
    send(`${ready.url}/functions/v1/toolboxes-user${path}`, {
      ...call,
      headers: { apikey: ready.publishable_key, authorization: `Bearer ${owner.token}` },
    });
  const ordered = await ask("", { method: "POST", json: { name: "box", regionSlug: "nyc3", sizeSlug: "s-1vcpu-1gb" } });
  assert.equal(ordered.status, 202, describe(ordered));
  const id = ordered.json.id as string;

  /** The clock strikes, whatever is due later is due now, and the owner looks. */
  // deno-lint-ignore no-explicit-any
  const seen = (what: string, holds: (view: any) => boolean) =>
    eventually(what, async () => {
      await db.execute(
        "update public.account_tool_environments set provisioning_due_at = now() where id = :'id' and provisioning_due_at is not null",
        { id },
      );
      await send(`${ready.functions.clock}/tick`, { method: "POST", headers: { apikey: ready.secret_key } });
      const { json } = await ask(`/${id}`);
      return holds(json) ? json : undefined;
      // The worker of the order looks every 20 s, and decides by the row that it read the time before.
    }, { ms: 120_000, everyMs: 300 });
  const droplets = async () => (await simulator.raw("GET", "/simulator/droplets")).body as Droplet[];
  /** The only droplet's machine enrols with the token of its user data, and reports. */
  const report = async () => {
    const [droplet] = await droplets();
    const token = droplet.user_data.match(/tbe_[A-Za-z0-9_-]{43}/)![0];
    const machine = new Machine({ ready, db } as World, id, await newCertificate());
    const enrolled = await machine.enrol(token);
    assert.equal(enrolled.status, 200, describe(enrolled));
    assert.equal((await machine.beat()).status, 200);
  };

  await t.step("a machine that never reports is removed, and the reason is told", async () => {
    await seen("the agent is waited for", (view) => view.progress?.step === "agent");
    // A trigger keeps the moment in which a step began. A droplet is not taken for gone within a minute of its order.
    await db.execute(
      `set session_replication_role = replica;
       update public.account_tool_environments set provisioning_step_since = now() - interval '1 day', machine_asked_at = now() - interval '1 day' where id = :'id'`,
      { id },
    );
    const view = await seen("it failed", (view) => view.status === "error_provisioning" && view.progress === null);
    assert.match(view.provisioning_error_message, /agent/);
    assert.deepEqual(await droplets(), []);
    assert.deepEqual((await simulator.raw("GET", "/v2/firewalls")).body.firewalls, []);
  });

  await t.step("a retry makes another machine", async () => {
    const retried = await ask(`/${id}/retry`, { method: "POST" });
    assert.equal(retried.status, 202, describe(retried));
    await seen("the agent is waited for", (view) => view.progress?.step === "agent");
    await report();
    const view = await seen("it is ready", (view) => view.status === "active");
    const [droplet] = await droplets();
    assert.equal(view.do_droplet_id, droplet.id);
    assert.equal(view.public_ip_address, droplet.networks.v4[0].ip_address);
  });

  await t.step("another address is noticed", async () => {
    const [{ id: droplet }] = await droplets();
    const { status } = await simulator.raw("PUT", `/simulator/droplets/${droplet}/address`, "127.77.200.1");
    assert.equal(status, 204);
    await seen("the new address is known", (view) => view.public_ip_address === "127.77.200.1");
  });

  await t.step("so is a machine that is deleted by hand, once its agent is silent", async () => {
    const [{ id: droplet }] = await droplets();
    await simulator.raw("DELETE", `/v2/droplets/${droplet}`);
    await db.execute(
      `update public.account_tool_environments
       set last_heartbeat_at = now() - interval '1 hour', machine_asked_at = now() - interval '1 hour' where id = :'id'`,
      { id },
    );
    const view = await seen("it is told", (view) => view.status === "error_provisioning" && view.progress === null);
    assert.match(view.provisioning_error_message, /deleted/);
    assert.deepEqual((await simulator.raw("GET", "/v2/firewalls")).body.firewalls, []);
  });

  await t.step("and removed, nothing is left", async () => {
    assert.equal((await ask(`/${id}`, { method: "DELETE" })).status, 202);
    await eventually("the row is gone", async () => {
      await send(`${ready.functions.clock}/tick`, { method: "POST", headers: { apikey: ready.secret_key } });
      return (await ask(`/${id}`)).status === 404 || undefined;
    }, { ms: 120_000, everyMs: 300 });
  });
});
