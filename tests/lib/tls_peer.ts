// What answers at an agent's address: an agent, or somebody in its place.
import type { Pair } from "./certificates.ts";

/** Speaks TLS with any certificate, behind a tunnel when it is asked for one, wherever that should lead. */
export class TlsPeer implements AsyncDisposable {
  /** Heads of the tunnels it was asked for. */
  readonly tunnels: string[] = [];
  /** Requests it could read. */
  readonly read: { method: string; path: string; key: string | null; body: string }[] = [];
  readonly port: number;
  readonly #listener: Deno.Listener;
  readonly #running: Promise<void>;
  readonly #open = new Set<Deno.Conn>();
  #tls: Deno.HttpServer<Deno.NetAddr>;

  constructor(pair: Pair, private readonly answer: (path: string) => Response, hostname = "127.0.0.1") {
    this.#tls = this.#serve(pair);
    this.#listener = Deno.listen({ hostname, port: 0 });
    this.port = (this.#listener.addr as Deno.NetAddr).port;
    this.#running = this.#accept();
  }

  /** Has another certificate from now on, at the same address. */
  async become(pair: Pair) {
    this.#hangUp();
    await this.#tls.shutdown();
    this.#tls = this.#serve(pair);
    this.tunnels.length = this.read.length = 0;
  }

  async [Symbol.asyncDispose]() {
    this.#listener.close();
    this.#hangUp();
    await this.#running;
    await this.#tls.shutdown();
  }

  #serve(pair: Pair) {
    return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {}, ...pair }, async (request) => {
      const { pathname: path } = new URL(request.url);
      const key = request.headers.get("authorization");
      this.read.push({ method: request.method, path, key, body: await request.text() });
      return this.answer(path);
    });
  }

  async #accept() {
    const serving = [];
    for await (const caller of this.#listener) serving.push(this.#relay(caller).catch(() => {}));
    await Promise.all(serving);
  }

  async #relay(caller: Deno.Conn) {
    this.#open.add(caller);
    const bytes = new Uint8Array(4096);
    let begin = bytes.subarray(0, await caller.read(bytes) ?? 0);
    if (new TextDecoder().decode(begin).startsWith("CONNECT ")) {
      this.tunnels.push(new TextDecoder().decode(begin));
      begin = new Uint8Array();
      await caller.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n"));
    }
    const tls = await Deno.connect({ port: this.#tls.addr.port });
    this.#open.add(tls);
    await tls.write(begin);
    await Promise.all([caller.readable.pipeTo(tls.writable), tls.readable.pipeTo(caller.writable)]);
  }

  #hangUp() {
    for (const connection of this.#open) {
      try {
        connection.close();
      } catch { /* It ended by itself. */ }
    }
    this.#open.clear();
  }
}
