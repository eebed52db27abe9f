/**
 * Droplets are bought, kept and ended exactly once, whatever dies or fails meanwhile: real functions, real SQL and two real
 * backends against the simulator of DigitalOcean's API. The machines are played by this test; tests/e2e/droplet_test.ts has
 * real ones.
 *
 * `TOOLBOX_SEED=N` repeats a run; `TOOLBOX_THOROUGH=1` orders ten times as many toolboxes.
 */
import assert from "node:assert/strict";
import { type Fault, Simulator } from "../digitalocean/simulator.ts";
import { startStack } from "../lib/stack.ts";
import { thorough } from "../lib/thorough.ts";
import {
  type Actor,
  type Call,
  codeOf,
  Database,
  describe,
  eventually,
  Machine,
  newCertificate,
  pooled,
  type Reply,
  seeded,
  send,
  signUp,
  sleep,
  type World,
} from "./lib/mod.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const ORDERS = thorough ? 100 : 10;
const SECRET = "internal-secret-of-this-test-0123456789";

/** What DigitalOcean does to orders and removals meanwhile. */
const FAULTS: Fault[] = [
  { on: "POST /v2/droplets", answer: { status: 500 }, carried_out: true, times: 2 },
  { on: "POST /v2/droplets", answer: "cut", carried_out: true },
  { on: "POST /v2/droplets", answer: { status: 503 } },
  { on: "POST /v2/droplets", answer: { status: 429 }, retry_after: 1 },
  { on: "GET /v2/droplets", skip: 3, answer: { status: 500 }, times: 2 },
  { on: "POST /v2/firewalls", answer: { status: 500 }, carried_out: true },
  { on: "DELETE /v2/droplets/*", answer: { status: 500 }, carried_out: true, times: 2 },
  { on: "DELETE /v2/firewalls/*", answer: { status: 500 }, times: 2 },
];

interface Row {
  id: string;
  status: string;
  provisioning_step: string | null;
  do_droplet_id: number | null;
  public_ip_address: string | null;
  provisioning_error_message: string | null;
}

interface Droplet {
  id: number;
  name: string;
  tags: string[];
  status: string;
  networks: { v4: { type: string; ip_address: string }[] };
  user_data: string;
}

Deno.test("no droplet is lost or bought twice, whoever dies and whatever fails", async (t) => {
  const seed = Number(Deno.env.get("TOOLBOX_SEED") ?? Math.floor(Math.random() * 1e9));
  console.log(`  seed ${seed}`);
  const random = seeded(seed);
  await using simulator = await Simulator.open("--boot-ms=400", "--list-lag-ms=700");
  const variables = {
    DO_API_TOKEN: simulator.token,
    TOOLBOX_DIGITALOCEAN_URL: simulator.url,
    TOOLBOX_RELEASE_URL: "https://releases.example.org",
    TOOLBOX_MAX_TOOLBOXES: `${ORDERS + 10}`,
    TOOLBOX_UPSTREAM_TIMEOUT_MS: "3000",
  };
  await using stack = await startStack({ dtma: false, functionEnv: variables });
  const world = { ready: stack.ready, db: new Database(stack.ready.admin_db_url) } as World;
  const owner = await signUp(world.ready, "buyer@toolbox.local");
  await using backends = new Backends(world, variables, random);
  const market = new Market(world, simulator);
  const ask = (path: string, call: Call = {}, who: Actor = owner): Promise<Reply> =>
    send(`${world.ready.url}/functions/v1/toolboxes-user${path}`, {
      ...call,
      headers: { apikey: world.ready.publishable_key, authorization: `Bearer ${who.token}` },
    });
  const order = (name: string, who?: Actor) =>
    ask("", { method: "POST", json: { kind: "droplet", name, regionSlug: "nyc3", sizeSlug: "s-1vcpu-1gb" } }, who);

  await t.step("every order ends in one machine that reports", async () => {
    await simulator.faults(...FAULTS);
    backends.start();
    const killing = backends.killed(ORDERS * 600);
    const replies = await pooled([...Array(ORDERS).keys()], 4, (n) => order(`toolbox ${n}`));
    for (const reply of replies) assert.equal(reply.status, 202, describe(reply));
    market.play();
    await killing;
    await simulator.faults();
    const rows = await eventually("every toolbox is active", async () => {
      const rows = await market.rows(owner);
      return rows.every((row) => row.status === "active" && row.provisioning_step === null) ? rows : undefined;
    }, { ms: 120_000, everyMs: 500 });
    assert.equal(rows.length, ORDERS);
    await market.agrees(owner);
  });

  await t.step("a machine that never reports is removed, the reason is told, and a retry makes another", async () => {
    market.silent = true;
    const ordered = await order("a silent one");
    const id = ordered.json.id as string;
    await eventually(
      "the agent is waited for",
      async () => (await market.row(id))?.provisioning_step === "agent" || undefined,
    );
    await overdue(world, id);
    const failed = await eventually("it failed", async () => {
      const row = await market.row(id);
      return row?.status === "error_provisioning" && row.provisioning_step === null ? row : undefined;
    }, { ms: 60_000 });
    assert.match(failed.provisioning_error_message ?? "", /agent/);
    assert.equal((await market.droplets(id)).length, 0, "it is still paid for");
    market.silent = false;
    const retried = await ask(`/${id}/retry`, { method: "POST" });
    assert.equal(retried.status, 202, describe(retried));
    await eventually(
      "the second machine reports",
      async () => (await market.row(id))?.status === "active" || undefined,
      {
        ms: 60_000,
      },
    );
    await market.agrees(owner);
  });

  await t.step("a droplet that was deleted by hand is noticed", async () => {
    const [row] = await market.rows(owner);
    await simulator.raw("DELETE", `/v2/droplets/${row.do_droplet_id}`);
    await market.silenced(row.id);
    await eventually("the row says so", async () => {
      await dueNow(world, row.id);
      const now = await market.row(row.id);
      return now?.status === "error_provisioning" && /deleted/.test(now.provisioning_error_message ?? "") || undefined;
    }, { ms: 60_000, everyMs: 1000 });
  });

  await t.step("removed or its owner deleted: first the droplet goes, then the row", async () => {
    const rows = await market.rows(owner);
    const leaver = await signUp(world.ready, "leaver@toolbox.local");
    const left = (await order("left behind", leaver)).json.id as string;
    await eventually("it has a droplet", async () => (await market.row(left))?.do_droplet_id || undefined, {
      ms: 60_000,
    });
    await simulator.faults(...FAULTS.filter((fault) => fault.on.startsWith("DELETE")));
    await world.db.execute("delete from auth.users where id = :'id'", { id: leaver.userId });
    assert.ok(await market.row(left), "the row went before its droplet");
    const killing = backends.killed(4000);
    for (const { id } of rows) {
      const reply = await ask(`/${id}`, { method: "DELETE" });
      assert.equal(reply.status, 202, describe(reply));
    }
    await killing;
    await eventually("nothing is left", async () => {
      const rest = [...await market.rows(owner), await market.row(left)].filter((row) => row !== undefined);
      return rest.length === 0 || undefined;
    }, { ms: 120_000, everyMs: 500 });
    assert.deepEqual(await market.all(), []);
    const firewalls = await simulator.raw("GET", "/v2/firewalls");
    assert.deepEqual(firewalls.body.firewalls, []);
    assert.equal(codeOf(await ask(`/${rows[0].id}`)), "toolbox_not_found");
  });
  await market.end();
});

/** Two backends that share the work, of which one after the other is killed. */
class Backends implements AsyncDisposable {
  readonly #processes: Deno.ChildProcess[] = [];

  constructor(readonly world: World, readonly variables: Record<string, string>, readonly random: () => number) {}

  start(): void {
    for (const n of [0, 1]) this.#processes[n] = this.#spawn();
  }

  /** For `ms`, now and then one of them is killed and another started in its place. */
  async killed(ms: number): Promise<void> {
    for (const end = Date.now() + ms; Date.now() < end;) {
      await sleep(300 + this.random() * 1200);
      const n = this.random() < 0.5 ? 0 : 1;
      this.#processes[n].kill("SIGKILL");
      await this.#processes[n].status;
      this.#processes[n] = this.#spawn();
    }
  }

  #spawn(): Deno.ChildProcess {
    const { ready } = this.world;
    const target = Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`;
    return new Deno.Command(`${target}/debug/toolbox-backend`, {
      clearEnv: true,
      env: {
        PORT: "0",
        TOOLBOX_BACKEND_LISTEN: "127.0.0.1",
        TOOLBOX_BACKEND_LOG: "error",
        SUPABASE_URL: ready.url,
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: ready.publishable_key }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: ready.secret_key }),
        BACKEND_TO_DTMA_API_KEY: ready.agent_root,
        INTERNAL_API_SECRET: SECRET,
        ...this.variables,
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) {
      process.kill("SIGKILL");
      await process.status;
    }
  }
}

/** The account at DigitalOcean, the machines in it, and the rows. */
class Market {
  /** New machines never report. */
  silent = false;
  readonly #machines = new Map<number, Machine>();
  readonly #quiet = new Set<string>();
  #playing: Promise<void> | undefined;
  #ended = false;

  constructor(readonly world: World, readonly simulator: Simulator) {}

  /** From now on every machine that has booted enrols and reports. */
  play(): void {
    this.#playing = (async () => {
      while (!this.#ended) {
        await pooled(await this.all(), 4, (droplet) => this.#boot(droplet));
        await sleep(200);
      }
    })();
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#playing;
  }

  /** The machine of a toolbox reports no more, and last did an hour ago. */
  async silenced(id: string): Promise<void> {
    this.#quiet.add(id);
    await this.world.db.execute(
      "update public.account_tool_environments set last_heartbeat_at = now() - interval '1 hour' where id = :'id'",
      { id },
    );
  }

  rows(owner: Actor): Promise<Row[]> {
    return this.world.db.rows<Row>(
      `select id, status, provisioning_step, do_droplet_id, host(public_ip_address) as public_ip_address, provisioning_error_message
       from public.account_tool_environments where user_id = :'user' and kind = 'droplet' order by created_at`,
      { user: owner.userId },
    );
  }

  async row(id: string): Promise<Row | undefined> {
    const rows = await this.world.db.rows<Row>(
      `select id, status, provisioning_step, do_droplet_id, host(public_ip_address) as public_ip_address, provisioning_error_message
       from public.account_tool_environments where id = :'id'`,
      { id },
    );
    return rows[0];
  }

  /** Every droplet that there is and is paid for. */
  async all(): Promise<Droplet[]> {
    const { body } = await this.simulator.raw("GET", "/simulator/droplets");
    return body as Droplet[];
  }

  async droplets(id: string): Promise<Droplet[]> {
    return (await this.all()).filter((droplet) => droplet.tags.includes(`toolbox-${id}`));
  }

  /** Rows and droplets are one to one, and each row knows its own. */
  async agrees(owner: Actor): Promise<void> {
    const rows = await this.rows(owner);
    const droplets = await this.all();
    assert.equal(droplets.length, rows.length, "droplets and rows");
    for (const row of rows) {
      const own = droplets.filter((droplet) => droplet.tags.includes(`toolbox-${row.id}`));
      assert.equal(own.length, 1, `droplets of ${row.id}`);
      assert.equal(own[0].id, row.do_droplet_id);
      const address = own[0].networks.v4.find(({ type }) => type === "public")?.ip_address;
      assert.equal(address, row.public_ip_address);
    }
  }

  async #boot(droplet: Droplet): Promise<void> {
    const id = droplet.tags.find((tag) => tag.startsWith("toolbox-"))?.slice("toolbox-".length);
    if (this.silent || droplet.status !== "active" || id === undefined || this.#quiet.has(id)) return;
    let machine = this.#machines.get(droplet.id);
    if (machine === undefined) {
      const token = droplet.user_data.match(/tbe_[A-Za-z0-9_-]{43}/)?.[0];
      assert.ok(token, "no token in the user data");
      machine = new Machine(this.world, id, await newCertificate());
      if ((await machine.enrol(token)).status !== 200) return;
      this.#machines.set(droplet.id, machine);
      await machine.beat();
    }
  }
}

/** The step has lasted longer than any may. */
function overdue(world: World, id: string): Promise<string> {
  return world.db.execute(
    `set session_replication_role = replica;
     update public.account_tool_environments
     set provisioning_step_since = now() - interval '2 hours', provisioning_due_at = now() where id = :'id'`,
    { id },
  );
}

/** It is looked at now. */
function dueNow(world: World, id: string): Promise<string> {
  return world.db.execute("update public.account_tool_environments set provisioning_due_at = now() where id = :'id'", {
    id,
  });
}
