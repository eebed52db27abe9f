/** A Unix socket in front of Docker's that the test can cut: what an agent sees when Docker goes down or hangs. */

type State = "open" | "hanging" | "cut";

/** Forwards to Docker while open. Point an agent at it with `DTMA_DOCKER_HOST=unix://<path>`. */
export class DockerCut implements AsyncDisposable {
  #state: State = "cut";
  #listener: Deno.UnixListener | undefined;
  #accepting: Promise<void> = Promise.resolve();
  readonly #connections = new Set<Deno.Conn>();

  private constructor(readonly path: string, readonly upstream: string) {}

  static async open(upstream = "/var/run/docker.sock"): Promise<DockerCut> {
    const folder = await Deno.makeTempDir({ prefix: "toolbox-docker-cut-" });
    const cut = new DockerCut(`${folder}/docker.sock`, upstream);
    await cut.mend();
    return cut;
  }

  /** Docker is gone: no socket, every connection closed. */
  async cut(): Promise<void> {
    if (this.#state === "cut") return;
    this.#state = "cut";
    this.#listener?.close();
    this.#listener = undefined;
    this.#closeAll();
    await this.#accepting;
    await Deno.remove(this.path).catch(() => {});
  }

  /** Docker accepts connections and never answers; what was under way stays open and silent. */
  async hang(): Promise<void> {
    await this.mend();
    this.#state = "hanging";
  }

  /** Docker is back. Connections that hung are closed, as by an engine that restarted. */
  async mend(): Promise<void> {
    if (this.#state === "hanging") this.#closeAll();
    if (this.#state === "cut") {
      // A socket file of a run before this one would be "address in use".
      await Deno.remove(this.path).catch(() => {});
      this.#listener = Deno.listen({ transport: "unix", path: this.path });
      this.#accepting = this.#accept(this.#listener);
    }
    this.#state = "open";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
    await Deno.remove(this.path.replace(/\/[^/]+$/, ""), { recursive: true }).catch(() => {});
  }

  async #accept(listener: Deno.UnixListener): Promise<void> {
    try {
      for await (const connection of listener) {
        this.#connections.add(connection);
        this.#forward(connection).catch(() => {}).finally(() => this.#close(connection));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #forward(client: Deno.Conn): Promise<void> {
    const engine = await Deno.connect({ transport: "unix", path: this.upstream });
    this.#connections.add(engine);
    try {
      await Promise.all([this.#pump(client, engine), this.#pump(engine, client)]);
    } finally {
      this.#close(engine);
    }
  }

  /** Copies one direction; hands the end of it on, because log streams end that way. */
  async #pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) return await to.closeWrite();
      while (this.#state === "hanging" && this.#connections.has(from)) await new Promise((r) => setTimeout(r, 20));
      for (let sent = 0; sent < count;) sent += await to.write(buffer.subarray(sent, count));
    }
  }

  #closeAll(): void {
    for (const connection of this.#connections) this.#close(connection);
  }

  #close(connection: Deno.Conn): void {
    if (!this.#connections.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // Closed already.
    }
  }
}
