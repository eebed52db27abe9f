/**
 * Toolboxes through real rows, two real servers and the simulator. Servers are killed in the middle of their work and calls are
 * cut off; each toolbox has one droplet all the same, and none is left.
 */
import assert from "node:assert/strict";
import { eventually } from "../e2e/lib/mod.ts";
import { startStack } from "../lib/stack.ts";
import { Fleet, startServer } from "./fleet.ts";
import { type Fault, Simulator } from "./simulator.ts";

const thorough = Deno.env.get("TOOLBOX_THOROUGH") === "1";
const TOOLBOXES = thorough ? 60 : 12;
const KILLS = thorough ? 40 : 6;

async function end(servers: Deno.ChildProcess[]): Promise<void> {
  for (const server of servers.splice(0)) {
    server.kill("SIGKILL");
    await server.status;
  }
}

Deno.test("toolboxes with droplets", async (t) => {
  await using simulator = await Simulator.open(
    "--stub",
    "--boot-ms=300",
    "--list-lag-ms=300",
    "--requests-per-hour=1000000",
  );
  await using stack = await startStack({ dtma: false });
  const fleet = new Fleet(stack, simulator);
  const { db } = fleet;
  const servers: Deno.ChildProcess[] = [];
  await using _servers = { [Symbol.asyncDispose]: () => end(servers) };

  const allActive = (what: string) =>
    eventually(what, async () => {
      await fleet.report();
      const now = await fleet.rows();
      assert.deepEqual(now.filter((row) => row.status !== "active" || row.step !== null), []);
      return now;
    }, { ms: 120_000, everyMs: 500 });
  const allGone = () =>
    eventually("nothing is left", async () => {
      await fleet.passMinute();
      assert.deepEqual(await fleet.rows(), []);
      assert.deepEqual(await fleet.paidFor(), { droplets: [], firewalls: 0 });
      return true;
    }, { ms: 120_000, everyMs: 500 });

  await t.step("one is made and removed, and every call keeps DigitalOcean's contract", async () => {
    // Prism answers what breaks the contract with an error of its own, and nothing would come of it.
    servers.push(startServer(stack, { url: simulator.checked, token: simulator.token }));
    const id = await fleet.order("The first / box");
    const [row] = await allActive("the toolbox is active");
    const { body } = await simulator.raw("GET", "/simulator/droplets");
    assert.deepEqual([body.length, body[0].id], [1, row.droplet]);
    assert.match(body[0].user_data, /^#cloud-config\n/);
    assert.ok(body[0].user_data.includes(id) && body[0].user_data.includes("tbe_"));
    for (const secret of [stack.ready.service_role_key, stack.ready.agent_root, simulator.token]) {
      assert.ok(!body[0].user_data.includes(secret), "no secret but the token");
    }
    const { body: droplet } = await simulator.raw("GET", `/v2/droplets/${row.droplet}`);
    assert.match(droplet.droplet.name, /^the-first-box-[0-9a-f]{12}$/);
    await fleet.deprovision(id);
    await allGone();
    await end(servers);
  });

  await t.step("whatever is killed and cut off, each has one droplet", async () => {
    const broken: Fault[] = [
      { on: "POST /v2/droplets", skip: 1, times: 2, answer: "cut", carried_out: true },
      { on: "POST /v2/droplets", skip: 2, times: 2, answer: { status: 500 }, carried_out: true },
      { on: "POST /v2/droplets", skip: 1, times: 1, answer: { status: 503 } },
      { on: "POST /v2/firewalls", skip: 2, times: 2, answer: { status: 500 }, carried_out: true },
      { on: "GET /v2/droplets", skip: 3, times: 3, answer: { status: 429 }, retry_after: 1 },
    ];
    await simulator.faults(...broken);
    const two = () => servers.push(startServer(stack, simulator), startServer(stack, simulator));
    two();
    const ids = await Promise.all(Array.from({ length: TOOLBOXES }, (_, n) => fleet.order(`box ${n}`)));
    for (let n = 0; n < KILLS; n++) {
      await new Promise((wake) => setTimeout(wake, 150 + Math.random() * 1200));
      await end(servers);
      // All workers are dead: their leases, and the minute in which what they sent may still arrive, pass at once.
      await db.execute(`update public.account_tool_environments
        set provisioning_leased_until = '-infinity', machine_asked_at = machine_asked_at - interval '1 minute',
          provisioning_due_at = least(provisioning_due_at, now()) where provisioning_step is not null`);
      await fleet.report();
      two();
    }
    const active = await allActive("all toolboxes are active");
    assert.deepEqual(active.map((row) => row.id), ids.sort());
    assert.deepEqual(await fleet.paidFor(), {
      droplets: active.map((row) => row.droplet as number).sort((a, b) => a - b),
      firewalls: TOOLBOXES,
    });
  });

  await t.step("and none is left when they go, also by the deletion of their user", async () => {
    await simulator.faults(
      { on: "DELETE /v2/droplets/*", skip: 1, times: 3, answer: "cut", carried_out: true },
      { on: "DELETE /v2/firewalls/*", skip: 1, times: 2, answer: { status: 500 } },
    );
    const all = await fleet.rows();
    for (const { id } of all.slice(0, TOOLBOXES / 2)) await fleet.deprovision(id);
    await db.execute("delete from auth.users where id = :'user'", { user: stack.ready.demo.user_id });
    assert.ok((await fleet.rows()).every((row) => row.status.includes("deprovision")));
    await allGone();
  });
});
