/**
 * Toolboxes through real rows, two real servers and the simulator. Servers are killed in the middle of their work and calls are
 * cut off; each toolbox has one droplet all the same, and none is left.
 */
import assert from "node:assert/strict";
import { Database, eventually } from "../e2e/lib/mod.ts";
import { type Stack, startStack } from "../lib/stack.ts";
import { type Fault, Simulator } from "./simulator.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const thorough = Deno.env.get("TOOLBOX_THOROUGH") === "1";
const TOOLBOXES = thorough ? 60 : 12;
const KILLS = thorough ? 40 : 6;

/** A server of the control plane on a free port. */
function startServer(stack: Stack, shop: { url: string; token: string }): Deno.ChildProcess {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return new Deno.Command(`${Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`}/debug/toolbox-backend`, {
    args: ["--listen=127.0.0.1", `--port=${port}`],
    clearEnv: true,
    env: {
      SUPABASE_URL: stack.ready.url,
      SUPABASE_ANON_KEY: stack.ready.anon_key,
      SUPABASE_SERVICE_ROLE_KEY: stack.ready.service_role_key,
      BACKEND_TO_DTMA_API_KEY: stack.ready.agent_root,
      INTERNAL_API_SECRET: "fedcba9876543210fedcba9876543210",
      DO_API_TOKEN: shop.token,
      TOOLBOX_DIGITALOCEAN_URL: shop.url,
      TOOLBOX_RELEASE_URL: "https://releases.example",
      TOOLBOX_BACKEND_LOG: "error",
    },
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

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
  const db = new Database(stack.ready.admin_db_url);
  const servers: Deno.ChildProcess[] = [];
  await using _servers = { [Symbol.asyncDispose]: () => end(servers) };

  // deno-lint-ignore no-explicit-any
  const call = async (name: string, p: Record<string, unknown>): Promise<any> => {
    const answer = await fetch(`${stack.ready.url}/rest/v1/rpc/${name}`, {
      method: "POST",
      headers: { apikey: stack.ready.secret_key, "content-type": "application/json" },
      body: JSON.stringify({ p }),
      signal: AbortSignal.timeout(10_000),
    });
    const body = await answer.json();
    assert.ok(answer.ok, JSON.stringify(body));
    return body;
  };
  const order = async (name: string) => {
    const { outcome, id } = await call("order_toolbox", {
      user_id: stack.ready.demo.user_id,
      name,
      max_toolboxes: 1000,
      region_slug: "nyc3",
      size_slug: "s-1vcpu-1gb",
      image_slug: "ubuntu-24-04-x64",
      price_hourly_usd: 0.00893,
      price_monthly_usd: 6,
    });
    assert.equal(outcome, "ordered");
    return id as string;
  };
  const deprovision = async (id: string) => {
    assert.equal((await call("ask_toolbox", { toolbox_id: id, change: "deprovision" })).outcome, "accepted");
  };
  /** The agents report, on machines that have an address. Stubs have none, so the database is told. */
  const report = () =>
    db.execute(`select private.advance_tool_environment(id, status, 'active') from public.account_tool_environments
      where kind = 'droplet' and provisioning_step = 'agent'`);
  const rows = () =>
    db.rows<{ id: string; status: string; step: string | null; droplet: number | null; address: string | null }>(
      `select id, status, provisioning_step as step, do_droplet_id as droplet, host(public_ip_address) as address
       from public.account_tool_environments where kind = 'droplet' order by id`,
    );
  const paidFor = async () => {
    const { body: droplets } = await simulator.raw("GET", "/v2/droplets?tag_name=toolbox&per_page=200");
    const { body: firewalls } = await simulator.raw("GET", "/v2/firewalls?per_page=200");
    return {
      droplets: droplets.droplets.map((d: { id: number }) => d.id).sort() as number[],
      firewalls: firewalls.firewalls.length as number,
    };
  };
  const allActive = (what: string) =>
    eventually(what, async () => {
      await report();
      const now = await rows();
      assert.deepEqual(now.filter((row) => row.status !== "active" || row.step !== null), []);
      return now;
    }, { ms: 120_000, everyMs: 500 });
  const allGone = () =>
    eventually("nothing is left", async () => {
      // A minute must pass after an order before a droplet that is not shown is taken for gone.
      await db.execute(
        "update public.account_tool_environments set machine_asked_at = machine_asked_at - interval '1 minute'",
      );
      assert.deepEqual(await rows(), []);
      assert.deepEqual(await paidFor(), { droplets: [], firewalls: 0 });
      return true;
    }, { ms: 120_000, everyMs: 500 });

  await t.step("one is made and removed, and every call keeps DigitalOcean's contract", async () => {
    // Prism answers what breaks the contract with an error of its own, and nothing would come of it.
    servers.push(startServer(stack, { url: simulator.checked, token: simulator.token }));
    const id = await order("The first / box");
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
    await deprovision(id);
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
    const ids = await Promise.all(Array.from({ length: TOOLBOXES }, (_, n) => order(`box ${n}`)));
    for (let n = 0; n < KILLS; n++) {
      await new Promise((wake) => setTimeout(wake, 150 + Math.random() * 1200));
      await end(servers);
      // All workers are dead: their leases, and the minute in which what they sent may still arrive, pass at once.
      await db.execute(`update public.account_tool_environments
        set provisioning_leased_until = '-infinity', machine_asked_at = machine_asked_at - interval '1 minute',
          provisioning_due_at = least(provisioning_due_at, now()) where provisioning_step is not null`);
      await report();
      two();
    }
    const active = await allActive("all toolboxes are active");
    assert.deepEqual(active.map((row) => row.id), ids.sort());
    assert.deepEqual(await paidFor(), {
      droplets: active.map((row) => row.droplet as number).sort(),
      firewalls: TOOLBOXES,
    });
  });

  await t.step("and none is left when they go, also by the deletion of their user", async () => {
    await simulator.faults(
      { on: "DELETE /v2/droplets/*", skip: 1, times: 3, answer: "cut", carried_out: true },
      { on: "DELETE /v2/firewalls/*", skip: 1, times: 2, answer: { status: 500 } },
    );
    const all = await rows();
    for (const { id } of all.slice(0, TOOLBOXES / 2)) await deprovision(id);
    await db.execute("delete from auth.users where id = :'user'", { user: stack.ready.demo.user_id });
    assert.ok((await rows()).every((row) => row.status.includes("deprovision")));
    await allGone();
  });
});
