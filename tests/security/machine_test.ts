// A machine that was taken over and says what it likes, with its own key: what becomes of it in the shared database.
import assert from "node:assert/strict";
import { enrolmentToken, startStack } from "../lib/stack.ts";
import { Database } from "../e2e/lib/db.ts";
import { Machine } from "../e2e/lib/machine.ts";
import type { Actor, World } from "../e2e/lib/world.ts";

const EVIL = "a\u0000b\u001b[31mc\u009b\u202ed";

Deno.test("what a machine says neither fills the database nor reaches a screen as control characters", async (t) => {
  await using stack = await startStack({ dtma: false });
  const db = new Database(stack.ready.admin_db_url);
  const world = { ready: stack.ready, db } as World;
  const machine = await Machine.of(world, { userId: stack.ready.demo.user_id } as Actor);
  assert.equal((await machine.enrol()).status, 200);
  const ids = Array.from({ length: 20 }, () => crypto.randomUUID());
  await db.execute(
    `insert into public.account_tool_instances
       (id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, desired_status, status_on_toolbox)
     select id::uuid, :'toolbox', (select id from public.tool_catalog limit 1), 'tool ' || n, 'tool-' || n, '{"image": "x"}', 'running', 'deploying'
     from unnest(string_to_array(:'ids', ',')) with ordinality as given (id, n);`,
    { toolbox: machine.toolboxId, ids: ids.join() },
  );
  const report = (id: string, more: Record<string, unknown> = {}) => ({
    id,
    generation: 1,
    phase: "running",
    settled: true,
    container_id: "abc",
    image_digest: "sha256:1",
    ports: [],
    observed_at: new Date().toISOString(),
    ...more,
  });
  const beat = async (instances: unknown[]) => {
    const reply = await machine.beat({ instances });
    assert.equal(reply.status, 200, JSON.stringify(reply.json));
  };
  const mcp = (more: Record<string, unknown>) => ({
    state: "healthy",
    evidence: "x",
    since: "2026-01-01T00:00:00Z",
    checked_at: "2026-01-01T00:00:00Z",
    ...more,
  });

  await t.step("control characters", async () => {
    const evil = { added: [EVIL], removed: [EVIL], changed: [EVIL], from_fingerprint: EVIL };
    await beat(ids.map((id) =>
      report(id, {
        container_id: EVIL,
        image_digest: EVIL,
        ports: [{ container_port: 1, protocol: "tcp", host_ip: EVIL, host_port: 2 }],
        mcp: mcp({
          evidence: EVIL,
          server_name: EVIL,
          server_version: EVIL,
          protocol_version: EVIL,
          tools_changed: evil,
        }),
      })
    ));
    await beat(ids.map((id) => report(id, { phase: "error", reason: { code: "exited", message: EVIL } })));
    const rows = await db.rows(
      `select to_jsonb(i)::text as text from public.account_tool_instances i union all
       select to_jsonb(e)::text from public.tool_instance_events e union all
       select to_jsonb(e)::text from public.account_tool_environments e`,
    );
    const text = rows.map(({ text }) => text).join("\n");
    assert(text.includes("a\ufffdb\ufffd[31mc"), "they are seen to have been there");
    assert(!/\\u001b|\\u0000|[\u0080-\u009f\u202e]/.test(text));
  });

  await t.step("reasons that alternate without end", async () => {
    for (let n = 0; n < 45; n++) {
      const reason = { code: "exited", message: `${n} ${"x".repeat(3000)}` };
      await beat(ids.map((id) => report(id, { phase: "error", reason })));
    }
    const kept = await db.row<{ events: number; longest: number; told: number }>(
      `select count(*)::int as events, max(length(reason)) as longest, (count(*) filter (where reason_code = 'events_limited'))::int as told
       from public.tool_instance_events where account_tool_environment_id = :'toolbox' and action = 'observe'`,
      { toolbox: machine.toolboxId },
    );
    assert(kept.events < 750, `900 reports became ${kept.events} events`);
    assert(kept.longest <= 1000, `${kept.longest}`);
    assert.equal(kept.told, 1, "the history tells that it is not whole");
    const { dropped } = await db.row<{ dropped: number }>(
      "select dropped from private.event_buckets where account_tool_environment_id = :'toolbox' and kind = 'observe'",
      { toolbox: machine.toolboxId },
    );
    assert(dropped > 150, `${dropped} are counted`);
    const { message } = await db.row<{ message: string }>(
      "select instance_error_message as message from public.account_tool_instances where id = :'id'",
      { id: ids[0] },
    );
    assert(message.startsWith("44 "), "the row has the latest reason");
  });

  await t.step("a server that changes its tools with every report", async () => {
    for (let n = 0; n < 30; n++) {
      const fingerprint = n.toString(16).padStart(64, "0");
      const changed = { from_fingerprint: "x", added: [`tool ${n}`], removed: [], changed: [] };
      const reason = { code: "exited", message: "x" };
      const health = mcp({ tools_fingerprint: fingerprint, tools_changed: changed });
      await beat([report(ids[0], { phase: "error", reason, mcp: health })]);
    }
    const { events } = await db.row<{ events: number }>(
      "select count(*)::int as events from public.tool_instance_events where tool_instance_id = :'id' and action = 'tools_changed'",
      { id: ids[0] },
    );
    assert(events > 0 && events <= 10, `30 changes became ${events} events`);
  });

  await t.step("versions and numbers that are none", async () => {
    const numbers = [-1, 0, 1.5, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 64, 1e300, "1", null, [], {}];
    const texts = [EVIL, "x".repeat(100_000), "", 1, null, [], {}];
    for (
      const more of [
        ...numbers.flatMap((n) => [{ api_version: n }, { interval_seconds: n }, { boot: n }, { sequence: n }]),
        ...texts.flatMap((text) => [{ version: text }, { certificate_sha256: text }, { certificate_pem: text }]),
        ...numbers.map((n) => ({ instances: [report(ids[0], { generation: n })] })),
        ...numbers.map((n) => ({ instances: [report(ids[0], { restart_count: n, exit_code: n })] })),
        ...texts.map((text) => ({ instances: [report(ids[0], { phase: text, observed_at: text })] })),
      ]
    ) {
      const reply = await machine.beat(more);
      assert(reply.status < 500, `${JSON.stringify(more).slice(0, 200)}: ${reply.status} ${reply.text}`);
      // A number that was taken moves the next ones on.
      machine.boot++;
    }
    const another = await Machine.of(world, { userId: stack.ready.demo.user_id } as Actor);
    const token = await enrolmentToken(stack.ready, another.toolboxId);
    for (const more of [...numbers.map((n) => ({ api_version: n })), ...texts.map((text) => ({ version: text }))]) {
      const json = { version: "1.0.0", api_version: 2, certificate_pem: another.certificate, ...more };
      const reply = await another.call("/enrol", { method: "POST", key: token, json });
      assert(reply.status < 500, `${JSON.stringify(more).slice(0, 200)}: ${reply.status} ${reply.text}`);
    }
    const rows = await db.rows("select to_jsonb(e)::text as text from public.account_tool_environments e");
    for (const { text } of rows) {
      assert(!/\\u001b|\\u0000|[\u0080-\u009f\u202e]|x{5000}/.test(String(text)), String(text));
    }
  });
});
