/**
 * Alerts reach their user: a real receiver behind TLS gets a signed message for a silent toolbox and for a tool in error, a receiver
 * that fails is tried again, a private address is refused, the end is told, and mail goes to the provider.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { certificate } from "../lib/certificates.ts";
import { type Stack, startStack } from "../lib/stack.ts";
import { Database, eventually } from "./lib/mod.ts";

interface Message {
  id: string | null;
  timestamp: string | null;
  signature: string | null;
  body: string;
}

/** A receiver of webhooks with a certificate of an authority that the functions trust. */
class Receiver implements AsyncDisposable {
  readonly got: Message[] = [];
  /** Statuses of the next answers; 204 after that. */
  readonly next: number[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(pair: { key: string; cert: string }) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {}, ...pair }, async (request) => {
      const header = (name: string) => request.headers.get(`webhook-${name}`);
      this.got.push({
        id: header("id"),
        timestamp: header("timestamp"),
        signature: header("signature"),
        body: await request.text(),
      });
      const status = this.next.shift() ?? 204;
      // Whoever follows it comes back here.
      return new Response(null, { status, headers: status === 302 ? { location: this.url } : {} });
    });
  }

  get url() {
    return `https://127.0.0.1:${this.#server.addr.port}/hook`;
  }

  async [Symbol.asyncDispose]() {
    await this.#server.shutdown();
  }
}

/** Simulator of a provider of mail: takes what Resend takes, and sends nothing. */
class MailSimulator implements AsyncDisposable {
  readonly got: { key: string | null; id: string | null; body: Record<string, unknown> }[] = [];
  readonly #server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { headers } = request;
    this.got.push({
      key: headers.get("authorization"),
      id: headers.get("idempotency-key"),
      body: await request.json(),
    });
    return Response.json({ id: crypto.randomUUID() });
  });

  get url() {
    return `http://127.0.0.1:${this.#server.addr.port}/emails`;
  }

  async [Symbol.asyncDispose]() {
    await this.#server.shutdown();
  }
}

const SECRET = `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))}`;

/** As a receiver verifies it. */
function assertSigned({ id, timestamp, signature, body }: Message) {
  assert(Math.abs(Number(timestamp) - Date.now() / 1000) < 300, "it is recent");
  const key = Buffer.from(SECRET.slice("whsec_".length), "base64");
  assert.equal(signature, `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`);
}

/** The tables as a user reaches them. */
async function rest(stack: Stack, method: string, path: string, json?: unknown) {
  const { url, publishable_key, demo } = stack.ready;
  const answer = await fetch(`${url}/rest/v1/${path}`, {
    method,
    headers: {
      apikey: publishable_key,
      authorization: `Bearer ${demo.access_token}`,
      "content-type": "application/json",
      prefer: "return=representation",
    },
    body: json === undefined ? undefined : JSON.stringify(json),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: answer.status, json: await answer.json() };
}

Deno.test("alerts reach their user", async (t) => {
  const authority = await certificate({ names: [], authority: true });
  await using receiver = new Receiver(await certificate({ names: ["IP:127.0.0.1"], by: authority }));
  await using mail = new MailSimulator();
  const trusted = await Deno.makeTempFile({ suffix: ".pem" });
  await Deno.writeTextFile(trusted, authority.cert);
  await using stack = await startStack({
    dtma: false,
    functionEnv: {
      DENO_CERT: trusted,
      TOOLBOX_ALLOWED_WEBHOOKS: new URL(receiver.url).host,
      TOOLBOX_EMAIL_URL: mail.url,
      TOOLBOX_EMAIL_KEY: "re_test",
      TOOLBOX_EMAIL_FROM: "Toolbox <alerts@example.org>",
    },
  });
  const db = new Database(stack.ready.admin_db_url);
  const toolbox = stack.ready.toolbox_id;
  const instance = crypto.randomUUID();
  await db.execute(
    `select private.advance_tool_environment(id, status, 'active') from public.account_tool_environments where id = :'toolbox';
     update public.account_tool_environments set heartbeat_interval_seconds = 300 where id = :'toolbox';
     insert into public.account_tool_instances (id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, status_on_toolbox)
       select :'instance', :'toolbox', id, 'My tool', 'my-tool', '{"image": "x"}', 'deploying' from public.tool_catalog limit 1;
     update public.account_tool_instances set status_on_toolbox = 'running' where id = :'instance'`,
    { toolbox, instance },
  );
  const sql = (statements: string) => db.execute(statements, { toolbox, instance });
  /** The next message that arrives after `count` others. */
  const arrival = (count: number) => eventually("a message", () => receiver.got[count], { ms: 60_000 });
  const parse = (message: Message) => JSON.parse(message.body);

  await t.step("a user makes a channel and rules, and nobody reads its secret", async () => {
    const channel = { name: "hook", kind: "webhook", webhook_url: receiver.url, webhook_secret: SECRET };
    const columns = "select=id,name,kind,webhook_url";
    const made = await rest(stack, "POST", `alert_channels?${columns}`, channel);
    assert.equal(made.status, 201, JSON.stringify(made.json));
    const { id } = made.json[0];
    const read = await rest(stack, "GET", "alert_channels?select=webhook_secret");
    assert.equal(read.json.code, "42501");
    for (const kind of ["toolbox_silent", "instance_error"]) {
      const rule = await rest(stack, "POST", "alert_rules", { channel_id: id, kind });
      assert.equal(rule.status, 201, JSON.stringify(rule.json));
    }
  });

  await t.step("a test says what the receiver said", async () => {
    const [{ id }] = (await rest(stack, "GET", "alert_channels?select=id")).json;
    receiver.next.push(418);
    const made = await rest(stack, "POST", "alert_messages?select=id", { channel_id: id });
    assert.equal(made.status, 201, JSON.stringify(made.json));
    const told = await eventually("the outcome", async () => {
      const { json } = await rest(
        stack,
        "GET",
        `alert_messages?id=eq.${made.json[0].id}&select=state,last_status,last_code`,
      );
      return json[0].state === "pending" ? undefined : json[0];
    });
    assert.deepEqual(told, { state: "failed", last_status: 418, last_code: "target_refused" });
    const [message] = receiver.got.splice(0);
    assertSigned(message);
    assert.equal(JSON.parse(message.body).type, "alert.test");
  });

  await t.step("a tool in error is told, signed", async () => {
    await sql(
      `update public.account_tool_instances set status_on_toolbox = 'error', instance_error_code = 'crash_loop', instance_error_message = 'It ended five times' where id = :'instance'`,
    );
    const message = await arrival(0);
    assertSigned(message);
    const { type, data } = parse(message);
    assert.equal(type, "alert.opened");
    assert.deepEqual([data.alert.kind, data.alert.instance_id, data.alert.toolbox_id], [
      "instance_error",
      instance,
      toolbox,
    ]);
    assert.match(data.summary, /^Tool "My tool" on toolbox ".+" is in error \(crash_loop\): It ended five times$/);
  });

  await t.step("a silent toolbox is told", async () => {
    await sql(`update public.account_tool_environments set heartbeat_interval_seconds = 1 where id = :'toolbox'`);
    const message = await arrival(1);
    assertSigned(message);
    assert.deepEqual([parse(message).type, parse(message).data.alert.kind], ["alert.opened", "toolbox_silent"]);
  });

  await t.step("the end is told when it has lasted a minute", async () => {
    await sql(
      `update public.account_tool_instances set status_on_toolbox = 'running', instance_error_code = null, instance_error_message = null where id = :'instance'`,
    );
    const recovering = await db.rows("select id from public.alerts where recovering_since is not null");
    assert.equal(recovering.length, 1);
    await sql(
      "update public.alerts set recovering_since = recovering_since - interval '1 minute' where recovering_since is not null",
    );
    const message = await arrival(2);
    assertSigned(message);
    const { type, data } = parse(message);
    assert.deepEqual([type, data.alert.kind, data.alert.id], [
      "alert.recovered",
      "instance_error",
      parse(receiver.got[0]).data.alert.id,
    ]);
    assert(data.alert.closed_at);
  });

  await t.step("a receiver that fails is tried again with the same message, and no redirect is followed", async () => {
    receiver.next.push(503, 302);
    await sql(
      `update public.account_tool_instances set status_on_toolbox = 'error', instance_error_code = 'exited', instance_error_message = 'Exit code 1' where id = :'instance'`,
    );
    const first = await arrival(3);
    const due = async () => {
      const told = await eventually("the outcome", async () => {
        const [row] = await db.rows<{ last_status: number; last_code: string; state: string }>(
          "select last_status, last_code, state from public.alert_messages where id = :'id' and last_status is not null",
          { id: first.id! },
        );
        return row;
      });
      await db.execute("update public.alert_messages set last_status = null, due_at = now() where id = :'id'", {
        id: first.id!,
      });
      return told;
    };
    assert.deepEqual(await due(), { last_status: 503, last_code: "target_refused", state: "pending" });
    const second = await arrival(4);
    assert.deepEqual(await due(), { last_status: 302, last_code: "target_refused", state: "pending" });
    const third = await arrival(5);
    for (const message of [second, third]) {
      assertSigned(message);
      assert.equal(message.id, first.id);
    }
    await eventually("the delivery", async () => {
      const { state, attempts } = await db.row<{ state: string; attempts: number }>(
        "select state, attempts from public.alert_messages where id = :'id'",
        { id: first.id! },
      );
      return state === "delivered" && attempts === 3 ? true : undefined;
    });
  });

  await t.step("a private address is refused and never called", async () => {
    let calls = 0;
    const inner = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    void (async () => {
      for await (const caller of inner) {
        calls += 1;
        caller.close();
      }
    })();
    for (
      const host of [`127.0.0.1:${(inner.addr as Deno.NetAddr).port}`, `localhost:${(inner.addr as Deno.NetAddr).port}`]
    ) {
      const name = `inner ${host}`;
      const made = await rest(stack, "POST", "alert_channels?select=id", {
        name,
        kind: "webhook",
        webhook_url: `https://${host}/`,
        webhook_secret: SECRET,
      });
      await rest(stack, "POST", "alert_rules", { channel_id: made.json[0].id, kind: "certificate_changed" });
    }
    await sql(
      `update public.account_tool_environments set dtma_certificate_pem = E'-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n' where id = :'toolbox';
       update public.account_tool_environments set dtma_certificate_pem = E'-----BEGIN CERTIFICATE-----\\nBBBB\\n-----END CERTIFICATE-----\\n' where id = :'toolbox'`,
    );
    await eventually("both refusals", async () => {
      const rows = await db.rows<{ last_code: string }>(
        "select last_code from public.alert_messages where state = 'failed' and event = 'opened'",
      );
      return rows.length === 2 && rows.every((row) => row.last_code === "target_not_allowed") ? true : undefined;
    });
    inner.close();
    assert.equal(calls, 0);
  });

  await t.step("mail goes to the user's own address, through the provider", async () => {
    const made = await rest(stack, "POST", "alert_channels?select=id", { name: "mail", kind: "email" });
    await rest(stack, "POST", "alert_rules", { channel_id: made.json[0].id, kind: "agent_outdated" });
    await sql(
      `insert into private.settings (agent_version) values ('9.0.0');
       update public.account_tool_environments set dtma_last_known_version = '1.0.0' where id = :'toolbox'`,
    );
    const sent = await eventually("mail", () => mail.got[0], { ms: 60_000 });
    assert.equal(sent.key, "Bearer re_test");
    assert.deepEqual([sent.body.from, sent.body.to], ["Toolbox <alerts@example.org>", [stack.ready.demo.email]]);
    assert.match(String(sent.body.subject), /version 1\.0\.0, older than 9\.0\.0/);
    await eventually("the delivery", async () => {
      const { state } = await db.row<{ state: string }>("select state from public.alert_messages where id = :'id'", {
        id: sent.id!,
      });
      return state === "delivered" ? true : undefined;
    });
    assert.equal(mail.got.length, 1);
  });
});
