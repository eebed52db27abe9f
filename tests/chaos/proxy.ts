/**
 * What stands between the agent and the function `heartbeat`, with a certificate of its own: a faithful gateway,
 * until it is told to deliver twice, late, out of order or without an answer.
 */
import type { Random } from "./random.ts";
import { FAKETIME, run } from "./droplet.ts";
import { sleep, within } from "../e2e/lib/mod.ts";

interface Recorded {
  method: string;
  path: string;
  headers: Headers;
  body: Uint8Array;
}

/** What was done to heartbeats, and what came of it. */
export interface Counts {
  delivered: number;
  twice: number;
  again: number;
  late: number;
  unanswered: number;
  refused: number;
}

export class HeartbeatProxy implements AsyncDisposable {
  readonly counts: Counts = { delivered: 0, twice: 0, again: 0, late: 0, unanswered: 0, refused: 0 };
  /** Heartbeats that were accepted a second time: there must be none. */
  readonly acceptedTwice: string[] = [];
  /** Heartbeats the control plane accepted, the latest last. */
  readonly #accepted: Recorded[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  #random: Random | undefined;

  private constructor(readonly server: Deno.HttpServer<Deno.NetAddr>, readonly hostname: string) {}

  /** Listens with TLS on `hostname` and hands everything to `upstream`. */
  static async open(hostname: string, upstream: string, tls: Certificate): Promise<HeartbeatProxy> {
    const holder: { proxy?: HeartbeatProxy } = {};
    const server = Deno.serve({
      hostname,
      port: 0,
      cert: await Deno.readTextFile(tls.certificate),
      key: await Deno.readTextFile(tls.key),
      onListen: () => {},
      onError: () => new Response(null, { status: 502 }),
    }, (request, { remoteAddr }) => {
      // As a gateway does.
      const headers = new Headers(request.headers);
      headers.set("x-forwarded-for", remoteAddr.hostname);
      return holder.proxy!.#handle(new Request(request, { headers }), upstream);
    });
    holder.proxy = new HeartbeatProxy(server, hostname);
    return holder.proxy;
  }

  get url(): string {
    return `https://${this.hostname}:${this.server.addr.port}`;
  }

  /** Misbehaves from now on, as `random` says. */
  disturb(random: Random): void {
    this.#random = random;
  }

  /** Behaves again, and has delivered everything late by the end. */
  async behave(): Promise<void> {
    this.#random = undefined;
    await Promise.allSettled(this.#underWay);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.behave();
    // Connections of the agent stay open for as long as it likes.
    await within(1_000, "the end of all connections", this.server.shutdown()).catch(() => {});
  }

  async #handle(request: Request, upstream: string): Promise<Response> {
    const url = new URL(request.url);
    const recorded: Recorded = {
      method: request.method,
      path: url.pathname + url.search,
      headers: request.headers,
      body: new Uint8Array(await request.arrayBuffer()),
    };
    const heartbeat = request.method === "POST" && !url.pathname.endsWith("/enrol");
    const random = this.#random;
    if (!heartbeat || !random) return await this.#deliver(recorded, upstream);
    switch (random.weighted({ once: 3, twice: 2, again: 3, late: 2, unanswered: 2 })) {
      case "once":
        return await this.#deliver(recorded, upstream);
      case "twice": {
        this.counts.twice++;
        const [first, second] = await Promise.all([
          this.#deliver(recorded, upstream),
          this.#deliver(recorded, upstream),
        ]);
        if (first.ok && second.ok) this.acceptedTwice.push(`${recorded.path} delivered twice at once`);
        await second.body?.cancel();
        return first;
      }
      case "again": {
        const old = this.#accepted.length > 0 ? random.pick(this.#accepted) : undefined;
        if (old) this.#later(random.int(0, 2_000), () => this.#replay(old, upstream));
        return await this.#deliver(recorded, upstream);
      }
      case "late":
        // What is sent meanwhile overtakes it.
        this.counts.late++;
        this.#later(random.int(100, 2_000), async () => {
          await (await this.#deliver(recorded, upstream)).body?.cancel();
        });
        return new Response("the gateway gave up", { status: 504 });
      case "unanswered":
        this.counts.unanswered++;
        await (await this.#deliver(recorded, upstream)).body?.cancel();
        return new Response("the answer was lost", { status: 502 });
    }
  }

  #later(ms: number, work: () => Promise<void>): void {
    const done = sleep(ms).then(work).catch(() => {}).finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  async #replay(old: Recorded, upstream: string): Promise<void> {
    this.counts.again++;
    const reply = await this.#send(old, upstream);
    const text = await reply.text();
    if (reply.ok) this.acceptedTwice.push(`${old.path} sent again: ${reply.status} ${text.slice(0, 200)}`);
    else this.counts.refused++;
  }

  async #deliver(recorded: Recorded, upstream: string): Promise<Response> {
    const reply = await this.#send(recorded, upstream);
    this.counts.delivered++;
    if (reply.ok && recorded.method === "POST" && !recorded.path.endsWith("/enrol")) {
      this.#accepted.push(recorded);
      if (this.#accepted.length > 50) this.#accepted.shift();
    }
    return new Response(reply.body, { status: reply.status, headers: reply.headers });
  }

  async #send(recorded: Recorded, upstream: string): Promise<Response> {
    const headers = new Headers(recorded.headers);
    headers.delete("host");
    return await fetch(upstream + recorded.path, {
      method: recorded.method,
      headers,
      body: recorded.method === "GET" ? undefined : recorded.body,
      signal: AbortSignal.timeout(30_000),
    });
  }
}

/** Files in PEM. */
export interface Certificate {
  /** What to trust. */
  authority: string;
  certificate: string;
  key: string;
}

/** A certificate for an address, valid since two days ago so that an agent whose clock is behind accepts it. */
export async function certificateFor(address: string, folder: string): Promise<Certificate> {
  const at = (name: string) => `${folder}/${name}`;
  const past = (...args: string[]) => run("env", `LD_PRELOAD=${FAKETIME}`, "FAKETIME=-2d", "openssl", ...args);
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await past(
    "req",
    "-x509",
    ...curve,
    "-days",
    "30",
    "-subj",
    "/CN=chaos authority",
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.pem"),
  );
  await past("req", ...curve, "-subj", `/CN=${address}`, "-keyout", at("proxy.key"), "-out", at("proxy.csr"));
  await Deno.writeTextFile(at("proxy.ext"), `subjectAltName=IP:${address}\nbasicConstraints=critical,CA:FALSE\n`);
  await past(
    "x509",
    "-req",
    "-in",
    at("proxy.csr"),
    "-CA",
    at("ca.pem"),
    "-CAkey",
    at("ca.key"),
    "-CAcreateserial",
    "-days",
    "30",
    "-extfile",
    at("proxy.ext"),
    "-out",
    at("proxy.pem"),
  );
  return { authority: at("ca.pem"), certificate: at("proxy.pem"), key: at("proxy.key") };
}
