// What a caller can hold up by sending a body slowly, before or after it is known: the built functions in their host.
import assert from "node:assert/strict";
import {
  all,
  claims,
  environment,
  FUNCTION,
  HS_SECRET,
  hsSigner,
  supabase,
  token,
  TOOLBOX,
  toolList,
  Upstream,
  view,
  Worker,
} from "../edge/harness.ts";

const HEARTBEAT = "supabase/functions/heartbeat/index.ts";
const CLOCK = "supabase/functions/clock/index.ts";
const KEY = `tbk_${"ab".repeat(32)}`;

/** A request whose body is announced and never sent. */
class Stalled implements Disposable {
  private constructor(readonly connection: Deno.TcpConn) {}

  static async open(worker: Worker, path: string, authorization: string | null): Promise<Stalled> {
    const { hostname, port } = new URL(worker.url);
    const connection = await Deno.connect({ hostname, port: Number(port) });
    const head = [
      `POST ${path} HTTP/1.1`,
      `host: ${hostname}:${port}`,
      "content-type: application/json",
      "content-length: 1000",
      ...(authorization === null ? [] : [`authorization: ${authorization}`]),
    ];
    await connection.write(new TextEncoder().encode(head.join("\r\n") + "\r\n\r\n{"));
    return new Stalled(connection);
  }

  /** Status and code of the answer, and how long it took in ms. */
  async answer(): Promise<{ status: number; code: string; ms: number }> {
    const begun = Date.now();
    let text = "";
    const buffer = new Uint8Array(4096);
    const decoder = new TextDecoder();
    while (!/\r\n\r\n[^]*\}\}/.test(text)) {
      const length = await this.connection.read(buffer);
      if (length === null) break;
      text += decoder.decode(buffer.subarray(0, length));
    }
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
    return { status, code: /"code":"([a-z_]+)"/.exec(text)?.[1] ?? text, ms: Date.now() - begun };
  }

  [Symbol.dispose]() {
    this.connection.close();
  }
}

async function start(entry: string) {
  const agent = new Upstream(() => toolList(view()));
  const database = new Upstream(supabase(agent.port));
  const worker = await Worker.start(entry, environment(database.port));
  const bearer = await token({ alg: "HS256" }, claims(database.port), await hsSigner(HS_SECRET));
  return { database, worker, owner: `Bearer ${bearer}`, stack: all(agent, database, worker) };
}

Deno.test("nobody is waited for whose caller is not known", async () => {
  const tools = `/toolbox-tools/${TOOLBOX}/tools`;
  const beat = `/heartbeat/${TOOLBOX}`;
  for (
    const [entry, path, authorization, code] of [
      [FUNCTION, tools, null, "authentication_required"],
      [FUNCTION, tools, "Bearer nonsense", "invalid_token"],
      [FUNCTION, tools, "Bearer sb_secret_test", "user_token_required"],
      [HEARTBEAT, beat, null, "authentication_required"],
      [HEARTBEAT, beat, "Bearer nonsense", "heartbeat_key_invalid"],
      [HEARTBEAT, `${beat}/enrol`, `Bearer ${KEY}`, "enrolment_token_invalid"],
      [CLOCK, "/clock/tick", "Bearer nonsense", "secret_key_required"],
    ] as const
  ) {
    const { worker, database, stack } = await start(entry);
    await using _all = stack;
    using stalled = await Stalled.open(worker, path, authorization);
    const answer = await stalled.answer();
    assert.deepEqual([answer.status, answer.code], [401, code], path);
    assert(answer.ms < 5_000, `${path}: ${answer.ms} ms`);
    assert.deepEqual(database.asked.length, 0);
  }
});

Deno.test("a known caller's body has fifteen seconds, and slow ones make room for others", async () => {
  const { worker, owner, stack } = await start(FUNCTION);
  await using _all = stack;
  const path = `/toolbox-tools/${TOOLBOX}/tools`;
  const stalled: Stalled[] = [];
  try {
    // More than are read at once.
    for (let n = 0; n < 80; n++) stalled.push(await Stalled.open(worker, path, owner));
    const answers = Promise.all(stalled.map((one) => one.answer()));
    const begun = Date.now();
    const list = await fetch(worker.url + path, {
      method: "POST",
      headers: { authorization: owner },
      body: JSON.stringify({ action: "list" }),
    });
    assert.deepEqual([list.status, (await list.json()).success], [200, true], "a quick caller is served");
    assert(Date.now() - begun < 10_000);
    const all = await answers;
    for (const { status, code, ms } of all) {
      assert.deepEqual([status, code], [408, "body_too_slow"]);
      assert(ms < 40_000, `nobody holds on for ever: ${ms} ms`);
    }
    const early = all.filter(({ ms }) => ms < 10_000).length;
    assert(early >= 16 && early <= 17, `${early} made room`);
  } finally {
    for (const one of stalled) one[Symbol.dispose]();
  }
});
