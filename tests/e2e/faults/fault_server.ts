/** An HTTP server that fails on purpose, in one chosen way at a time. It stands where a real part would listen. */
import { eventually } from "../lib/mod.ts";

/** How the server treats every request until told otherwise. */
export type Fault =
  /** A complete answer. */
  | { kind: "answer"; status: number; contentType: string; body: string; headers?: Record<string, string> }
  /** Reads the request and never answers. */
  | { kind: "hang" }
  /** Answers with the headers at once, then one byte of the body every `everyMs`. */
  | { kind: "drip"; everyMs: number }
  /** Promises a body, sends half of it and closes. */
  | { kind: "cut" }
  /** Closes without a byte of answer. */
  | { kind: "reset" }
  /** A body that never ends, as fast as it is read. */
  | { kind: "endless" };

/** One request the server read. */
export interface Seen {
  method: string;
  path: string;
  headers: Headers;
  body: string;
}

const CRLF = "\r\n";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Listens from construction to disposal. */
export class FaultServer implements AsyncDisposable {
  /** Every request read, oldest first. */
  readonly seen: Seen[] = [];
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.Conn>();
  readonly #accepting: Promise<void>;

  /** `port` 0 takes a free one. */
  constructor(public fault: Fault, port = 0) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#accepting = this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { port } = this;
    this.#listener.close();
    for (const connection of this.#connections) close(connection);
    await this.#accepting;
    // The accept that was cancelled lets go of the socket a moment later.
    await eventually(`port ${port} is free`, () => {
      try {
        Deno.listen({ hostname: "127.0.0.1", port }).close();
        return true;
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      }
    }, { ms: 5_000, everyMs: 10 });
  }

  async #accept(): Promise<void> {
    const serving: Promise<void>[] = [];
    try {
      for await (const connection of this.#listener) {
        this.#connections.add(connection);
        const served = this.#serve(connection)
          // The client going away is what most of these faults are about.
          .catch(() => {})
          .finally(() => {
            this.#connections.delete(connection);
            close(connection);
          });
        serving.push(served);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
    await Promise.all(serving);
  }

  async #serve(connection: Deno.Conn): Promise<void> {
    const request = await readRequest(connection);
    if (!request) return;
    this.seen.push(request);
    await answer(connection, this.fault);
  }
}

async function answer(connection: Deno.Conn, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case "answer": {
      const body = encoder.encode(fault.body);
      const headers = { "content-type": fault.contentType, "content-length": `${body.length}`, ...fault.headers };
      await send(connection, head(fault.status, headers));
      await write(connection, body);
      return;
    }
    case "hang":
      await gone(connection);
      return;
    case "drip": {
      await send(connection, head(200, { "content-type": "application/json", "content-length": "1000000" }));
      const leaving = gone(connection);
      for (let sent = 0; sent < 1_000_000; sent++) {
        await send(connection, sent === 0 ? "{" : " ");
        if (await Promise.race([leaving.then(() => true), after(fault.everyMs)])) return;
      }
      return;
    }
    case "cut":
      await send(connection, head(200, { "content-type": "application/json", "content-length": "4096" }));
      await send(connection, `{"tools":[{"id":"`);
      return;
    case "reset":
      return;
    case "endless": {
      await send(connection, head(200, { "content-type": "application/json" }));
      const chunk = encoder.encode(" ".repeat(64 * 1024));
      // Bounded, so that a reader without a limit fails the test instead of the machine.
      for (let sent = 0; sent < 512 * 1024 * 1024; sent += chunk.length) await write(connection, chunk);
    }
  }
}

function head(status: number, headers: Record<string, string>): string {
  const lines = Object.entries({ connection: "close", ...headers }).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} Scripted`, ...lines, "", ""].join(CRLF);
}

/** Reads one request; undefined when the client closed before it was complete. */
async function readRequest(connection: Deno.Conn): Promise<Seen | undefined> {
  let read = new Uint8Array();
  const buffer = new Uint8Array(64 * 1024);
  let bodyAt = -1;
  let length = 0;
  let head = "";
  for (;;) {
    if (bodyAt < 0) {
      const text = decoder.decode(read);
      const end = text.indexOf(CRLF + CRLF);
      if (end >= 0) {
        // Heads are ASCII, so characters are bytes.
        head = text.slice(0, end);
        bodyAt = end + 4;
        length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      }
    }
    if (bodyAt >= 0 && read.length >= bodyAt + length) break;
    const count = await connection.read(buffer);
    if (count === null) return undefined;
    const longer = new Uint8Array(read.length + count);
    longer.set(read);
    longer.set(buffer.subarray(0, count), read.length);
    read = longer;
  }
  const [line, ...fields] = head.split(CRLF);
  const [method, path] = line.split(" ");
  const headers = new Headers(fields.map((field) => {
    const at = field.indexOf(":");
    return [field.slice(0, at), field.slice(at + 1).trim()] as [string, string];
  }));
  return { method, path, headers, body: decoder.decode(read.subarray(bodyAt, bodyAt + length)) };
}

/** Resolves when the client has closed. */
async function gone(connection: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(1024);
  try {
    while (await connection.read(buffer) !== null);
  } catch {
    // Reset is as gone as closed.
  }
}

function after(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}

function send(connection: Deno.Conn, text: string): Promise<void> {
  return write(connection, encoder.encode(text));
}

async function write(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
