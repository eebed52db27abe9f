/** A machine that the test plays itself: it enrols and sends heartbeats as an agent would. */
import { certificate } from "../../lib/certificates.ts";
import { enrolmentToken } from "../../lib/stack.ts";
import { type Call, type Reply, send } from "./http.ts";
import type { Actor, World } from "./world.ts";

/** A toolbox without a real agent. */
export class Machine {
  key = "";
  keyId = "";
  sequence = 0;

  constructor(
    readonly world: World,
    readonly toolboxId: string,
    /** PEM; what the machine calls its own. */
    public certificate: string,
    public boot = Date.now(),
  ) {}

  /** A new toolbox of `owner`'s, at the point where its machine may enrol. */
  static async of(world: World, owner: Actor): Promise<Machine> {
    const id = crypto.randomUUID();
    await world.db.execute(
      `insert into public.account_tool_environments (id, user_id, name) values (:'id', :'user', 'another');
       update public.account_tool_environments set status = 'provisioning', public_ip_address = '127.0.0.1'
       where id = :'id';`,
      { id, user: owner.userId },
    );
    return new Machine(world, id, await newCertificate());
  }

  /** Calls the function heartbeat; the key of this machine unless another is given. */
  call(path: string, { key = this.key, ...call }: Call & { key?: string } = {}): Promise<Reply> {
    const headers = { ...call.headers, authorization: `Bearer ${key}` };
    return send(`${this.world.ready.functions.heartbeat}/${this.toolboxId}${path}`, { ...call, headers });
  }

  /** Spends a new enrolment token. */
  async enrol(token?: string): Promise<Reply> {
    const key = token ?? await enrolmentToken(this.world.ready, this.toolboxId);
    const json = { version: "1.0.0", api_version: 2, certificate_pem: this.certificate };
    const reply = await this.call("/enrol", { method: "POST", key, json });
    if (reply.status === 200) {
      this.key = reply.json.keys.agent_to_control;
      this.keyId = reply.json.keys.key_id;
    }
    return reply;
  }

  /** The body of the next heartbeat. */
  async next(more: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    return {
      boot: this.boot,
      sequence: ++this.sequence,
      version: "1.0.0",
      api_version: 2,
      certificate_sha256: await fingerprint(this.certificate),
      interval_seconds: 60,
      docker_reachable: true,
      full: false,
      instances: [],
      ...more,
    };
  }

  /** Sends a heartbeat. */
  async beat(more: Record<string, unknown> = {}): Promise<Reply> {
    return this.call("", { method: "POST", json: await this.next(more) });
  }
}

/** A self-signed certificate, PEM; its key is thrown away. */
export async function newCertificate(): Promise<string> {
  return (await certificate({ names: ["IP:127.0.0.1"] })).cert;
}

/** SHA-256 of a PEM certificate's DER, in hexadecimal. */
export async function fingerprint(pem: string): Promise<string> {
  const der = Uint8Array.from(atob(pem.replace(/-----[^-]+-----|\s/g, "")), (character) => character.charCodeAt(0));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", der));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
