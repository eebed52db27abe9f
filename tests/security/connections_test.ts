// A stranger who opens connections to a machine's agent and keeps them: the control plane is served all the while.
import assert from "node:assert/strict";
import { describe, eventually, startWorld } from "../e2e/lib/mod.ts";

/** More than the agent has places. */
const MANY = 600;
/** Longest that a call of the control plane may take meanwhile. */
const SOON_MS = 5_000;

/** A connection of somebody without a key. */
class Stranger {
  closed = false;
  #ending: Promise<void> | undefined;

  private constructor(readonly connection: Deno.Conn) {}

  static async open(world: Awaited<ReturnType<typeof startWorld>>, kind: string): Promise<Stranger> {
    const { hostname, port } = new URL(world.ready.dtma!.url);
    const tcp = await Deno.connect({ hostname, port: Number(port) });
    const say = (to: Deno.Conn, text: string) => to.write(new TextEncoder().encode(text));
    const name = `${world.toolboxId}.toolbox.invalid`;
    if (kind === "says nothing") return new Stranger(tcp);
    if (kind === "asks for the tunnel") {
      await say(tcp, `CONNECT ${name}:443 HTTP/1.1\r\n\r\n`);
      return new Stranger(tcp);
    }
    const caCerts = [await Deno.readTextFile(world.ready.dtma!.certificate_file!)];
    const tls = await Deno.startTls(tcp, { hostname: name, caCerts });
    await tls.handshake();
    await say(
      tls,
      kind === "asks for its health" ? "GET /health HTTP/1.1\r\nhost: x\r\n\r\n" : "GET /health HTTP/1.1\r\n",
    );
    return new Stranger(tls);
  }

  /** Notes when the agent ends the connection. */
  watch(): this {
    const buffer = new Uint8Array(4096);
    this.#ending = (async () => {
      try {
        while (await this.connection.read(buffer) !== null);
      } catch {
        // A reset is an end too.
      }
      this.closed = true;
    })();
    return this;
  }

  async end(): Promise<void> {
    try {
      this.connection.close();
    } catch {
      // It is closed.
    }
    await this.#ending;
  }
}

Deno.test("nobody without a key keeps the control plane out of a machine", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const isServed = async (when: string) => {
    const reply = await tools.list();
    assert.equal(reply.status, 200, `${when}: ${describe(reply)}`);
    assert.equal(reply.json.dtma_connected, true, `${when}: ${describe(reply)}`);
    assert.ok(reply.ms < SOON_MS, `${when}: ${reply.ms} ms`);
  };
  for (const kind of ["asks for its health", "says nothing", "asks for the tunnel", "sends half a head"]) {
    await t.step(`${MANY} connections of which each ${kind}`, async () => {
      const strangers: Stranger[] = [];
      try {
        for (let count = 1; count <= MANY; count++) {
          // One that is refused is no success of the stranger.
          const stranger = await Stranger.open(world, kind).catch(() => undefined);
          if (stranger) strangers.push(stranger.watch());
          if (count % 100 === 0) await isServed(`after ${count}`);
        }
        const open = () => strangers.filter((stranger) => !stranger.closed).length;
        await eventually("at most 128 of one address are open", () => open() <= 128 || undefined, { ms: 5_000 });
      } finally {
        await Promise.all(strangers.map((stranger) => stranger.end()));
      }
      await isServed("afterwards");
    });
  }
});
