/** Where chaos happens: one control plane, one machine of its own with Docker and DTMA, and what stands between them. */
import { type Actor, Database, eventually, GENERIC_CATALOG_ID, pooled, signIn } from "../e2e/lib/mod.ts";
import { enrolmentToken, type Stack, startStack } from "../lib/stack.ts";
import { emptySlots, IMAGES, type Slot } from "./commands.ts";
import { Droplet, run } from "./droplet.ts";
import { SLOTS } from "./plan.ts";
import { type Certificate, certificateFor, HeartbeatProxy } from "./proxy.ts";
import { EventLog } from "./truth.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
/** Full heartbeats come this often; silence is noticed after three of them. */
const INTERVAL_SECONDS = 5;

/** The agent built for this machine's C library: what fakes its clock needs one. */
export function agentProgram(): string {
  const target = Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`;
  return Deno.env.get("TOOLBOX_CHAOS_DTMA") ?? `${target}/debug/dtma`;
}

export class ChaosWorld implements AsyncDisposable {
  readonly slots: Slot[] = emptySlots(SLOTS);
  /** Instances whose deletion the user was promised. */
  readonly deleted = new Set<string>();
  readonly log = new EventLog();
  /** The last fault of each kind. */
  readonly busy = new Map<string, Promise<void>>();
  /** Answers of the running schedule, by what they were. */
  readonly answers = new Map<string, number>();

  private constructor(
    readonly folder: string,
    readonly stack: Stack,
    readonly droplet: Droplet,
    readonly proxy: HeartbeatProxy,
    readonly owner: Actor,
    readonly db: Database,
    readonly ends: (() => Promise<unknown>)[],
  ) {}

  /** A world with an enrolled agent and an instance in every slot. */
  static async open(): Promise<ChaosWorld> {
    const ends: (() => Promise<unknown>)[] = [];
    try {
      return await ChaosWorld.#build(ends);
    } catch (error) {
      await endAll(ends);
      throw error;
    }
  }

  static async #build(ends: (() => Promise<unknown>)[]): Promise<ChaosWorld> {
    const folder = await Deno.makeTempDir({ prefix: "toolbox-chaos-" });
    ends.push(() => Deno.remove(folder, { recursive: true }));
    const stack = await startStack({ dtma: false });
    ends.push(() => stack.stop());
    const droplet = await Droplet.open(folder);
    ends.push(() => droplet[Symbol.asyncDispose]());
    const { ready } = stack;
    const certificate = await certificateFor(droplet.uplink, folder);
    const proxy = await HeartbeatProxy.open(droplet.uplink, ready.url, certificate);
    ends.push(() => proxy[Symbol.asyncDispose]());
    for (const [at, image] of IMAGES.entries()) {
      // Two images that differ in a byte of their only file.
      const program = `${folder}/pause`;
      const source = `${REPOSITORY}/tests/chaos/pause.c`;
      await run("musl-gcc", "-static", "-Os", "-s", `-DRELEASE=${at}`, "-o", program, source);
      await droplet.load(image, program);
    }
    const db = new Database(ready.admin_db_url);
    const owner = await signIn(ready, ready.demo.email, ready.demo.password);
    const world = new ChaosWorld(folder, stack, droplet, proxy, owner, db, ends);
    await world.#enrol(certificate);
    await world.#fill();
    return world;
  }

  get toolboxId(): string {
    return this.stack.ready.toolbox_id;
  }

  /** Counts an answer. */
  tally(what: string): void {
    this.answers.set(what, (this.answers.get(what) ?? 0) + 1);
  }

  /** The instance of that name in the database, past everything that may be broken; tried until it answers. */
  async instanceNamed(name: string): Promise<string | undefined> {
    const rows = await eventually("the database answers", () =>
      this.db.rows<{ id: string }>(
        `select id from public.account_tool_instances
         where account_tool_environment_id = :'toolbox' and instance_name_on_toolbox = :'name'`,
        { toolbox: this.toolboxId, name },
      ), { ms: 60_000 });
    return rows[0]?.id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll(this.ends);
  }

  /** What provisioning does once the machine has an address; the agent does the rest. */
  async #enrol(certificate: Certificate): Promise<void> {
    const { db, droplet, proxy } = this;
    const { ready } = this.stack;
    await db.execute(
      "update public.account_tool_environments set public_ip_address = :'address', dtma_port = 30000 where id = :'id'",
      { address: droplet.address, id: ready.toolbox_id },
    );
    await Deno.writeTextFile(droplet.path("/run/enrolment"), await enrolmentToken(ready), { mode: 0o600 });
    await Deno.copyFile(certificate.authority, droplet.path("/run/authority.pem"));
    await droplet.startAgent(agentProgram(), {
      DTMA_TOOLBOX_ID: ready.toolbox_id,
      DTMA_CONTROL_URL: `${proxy.url}/functions/v1/heartbeat`,
      DTMA_CONTROL_CA_FILE: "/run/authority.pem",
      DTMA_ENROLMENT_TOKEN_FILE: "/run/enrolment",
      DTMA_HEARTBEAT_INTERVAL: `${INTERVAL_SECONDS}`,
    });
    try {
      await eventually("the agent's heartbeat makes the toolbox active", async () => {
        const { status } = await db.row<{ status: string }>(
          "select status from public.account_tool_environments where id = :'id'",
          { id: ready.toolbox_id },
        );
        return status === "active" ? true : undefined;
      }, { ms: 30_000 });
    } catch (error) {
      throw new Error(`${await Deno.readTextFile(`${this.folder}/dtma.log`)}`, { cause: error });
    }
  }

  async #fill(): Promise<void> {
    await pooled(this.slots, 4, async (slot) => {
      const reply = await this.owner.tools.deploy(slot.name, { dockerImage: IMAGES[0] }, {
        catalogId: GENERIC_CATALOG_ID,
        wait: 30,
      });
      if (reply.status !== 201) throw new Error(`${slot.name}: ${reply.status} ${reply.text}`);
      slot.id = reply.json.instanceId;
      slot.promised = "running";
    });
  }
}

/** The last made goes first; what fails to end stops no other. */
async function endAll(ends: (() => Promise<unknown>)[]): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end().catch((error) => console.error(error));
}
