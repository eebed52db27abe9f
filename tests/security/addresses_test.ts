// A user who names an inner service as registry or Git host, on the whole stack: it is not asked, and what a registry that
// is allowed answers is read nowhere.
import assert from "node:assert/strict";
import { codeOf, describe, GENERIC_CATALOG_ID, startWorld, transcript } from "../e2e/lib/mod.ts";

const SECRET = "SECRET-OF-AN-INNER-SERVICE";

/** A server on one of the machine's addresses that counts who connects. */
class Inner implements AsyncDisposable {
  connections = 0;
  readonly #listener: Deno.TcpListener;
  readonly #serving: Promise<void>;

  constructor(hostname: string, readonly answer: (request: Request, own: string) => Response) {
    this.#listener = Deno.listen({ hostname, port: 0 });
    this.#serving = this.#serve();
  }

  get authority(): string {
    const { hostname, port } = this.#listener.addr;
    return `${hostname}:${port}`;
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      this.connections++;
      const bytes = new Uint8Array(65_536);
      (async () => {
        const length = await connection.read(bytes);
        const head = new TextDecoder().decode(bytes.subarray(0, length ?? 0));
        const [method, path] = head.split(" ");
        const answer = this.answer(new Request(`http://${this.authority}${path ?? "/"}`), this.authority);
        const body = method === "HEAD" ? "" : await answer.text();
        const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
        const text =
          `HTTP/1.1 ${answer.status} x\r\n${headers}content-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
        await connection.write(new TextEncoder().encode(text));
      })().catch(() => {}).finally(() => connection.close());
    }
  }

  async [Symbol.asyncDispose]() {
    this.#listener.close();
    await this.#serving;
  }
}

Deno.test("a registry or a Git host leads into no inner network", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const generic = { catalogId: GENERIC_CATALOG_ID };

  await t.step("what is not public is refused, in whatever way it is written", async () => {
    await using inner = new Inner("127.0.0.2", () => new Response(SECRET));
    // The stack's agent allows 127.0.0.1 to whoever develops, and nothing else.
    const hosts = [
      inner.authority,
      `[::ffff:127.0.0.2]:${inner.port}`,
      `[::127.0.0.2]:${inner.port}`,
      `[64:ff9b::7f00:2]:${inner.port}`,
      `[64:ff9b:1::7f00:2]:${inner.port}`,
      `[2002:7f00:2::]:${inner.port}`,
      `0.0.0.0:${inner.port}`,
      `[::]:${inner.port}`,
      `[::1]:${inner.port}`,
      `localhost:${inner.port}`,
      `LOCALHOST:${inner.port}`,
      `a.localhost:${inner.port}`,
      `127.2:${inner.port}`,
      `127.0.2:${inner.port}`,
      `0x7f.0.0.2:${inner.port}`,
      `0x7f000002:${inner.port}`,
      `0177.0.0.2:${inner.port}`,
      `2130706434:${inner.port}`,
      `127.0.0.2.:${inner.port}`,
      "169.254.169.254",
      "[fd00:ec2::254]",
      "metadata.google.internal",
      "host.docker.internal:2375",
      "10.0.0.1:5000",
      "192.168.1.1",
      "100.100.100.200",
      "168.63.129.16",
      "192.0.0.192",
      ...Deno.networkInterfaces().filter((i) => i.family === "IPv4" && !i.address.startsWith("127."))
        .map((i) => `${i.address}:${inner.port}`),
    ];
    for (const host of hosts) {
      for (const image of [`${host}/a/b:1`, `https://${host}/a/b.git`, `http://${host}/a/b.git#main:dir`]) {
        const reply = await tools.deploy("inner", { dockerImage: image }, generic);
        assert.equal(reply.status, 422, `${image}: ${describe(reply)}`);
        assert.equal(codeOf(reply), "validation_failed", image);
        assert.match(reply.json.error.message, /dockerImage: /, describe(reply));
      }
    }
    assert.equal((await tools.list()).json.tool_instances.length, 0, "nothing is left of them");
    assert.equal(inner.connections, 0, "Docker never asked");
  });

  await t.step("what a registry answers is in no answer, no row and no event", async () => {
    const json = (status: number, code: string) =>
      Response.json({ errors: [{ code, message: SECRET, detail: SECRET }] }, { status });
    await using registry = new Inner("127.0.0.1", (request, own) => {
      const shape = new URL(request.url).pathname.split("/")[3];
      switch (shape) {
        case undefined:
        case "":
          return new Response("{}");
        case "denied":
          return json(403, "DENIED");
        case "unknown":
          return json(404, "NAME_UNKNOWN");
        case "own":
          return json(400, SECRET);
        case "redirect":
          return new Response(null, { status: 307, headers: { location: `http://${own}/v2/a/text/x` } });
        case "realm": {
          const realm = `Bearer realm="http://${own}/v2/a/text/token",service="${SECRET}",scope="x"`;
          return new Response(SECRET, { status: 401, headers: { "www-authenticate": realm } });
        }
        case "manifest":
          return new Response(`{"schemaVersion": "${SECRET}"`, {
            headers: { "content-type": "application/vnd.docker.distribution.manifest.v2+json" },
          });
        default:
          return new Response(SECRET, { status: 418 });
      }
    });
    for (const shape of ["denied", "unknown", "own", "redirect", "realm", "manifest", "text"]) {
      const before = registry.connections;
      const image = `${registry.authority}/a/${shape}:1`;
      await tools.deploy(shape, { dockerImage: image }, { ...generic, wait: 50, deadlineMs: 90_000 });
      assert.ok(registry.connections > before, `${shape}: the registry was asked`);
      await tools.get(shape);
    }
    await tools.deploy("git", { dockerImage: `http://${registry.authority}/v2/a/text.git` }, { ...generic, wait: 50 });
    await tools.list();
    const rows = await world.db.rows(
      `select to_jsonb(i)::text as text from public.account_tool_instances i union all
       select to_jsonb(e)::text from public.tool_instance_events e union all
       select to_jsonb(o)::text from public.tool_instance_operations o`,
    );
    assert.ok(rows.length > 8);
    for (const text of [...rows.map(({ text }) => text), ...transcript.map((reply) => reply.text)]) {
      assert(!String(text).includes(SECRET), String(text));
    }
  });
});
