/**
 * Receipts of operations: the clock writes them, the command verifies them, and finds what somebody with the rights of the
 * database's operator changed.
 */
import assert from "node:assert/strict";
import { type Stack, startStack } from "../lib/stack.ts";
import { Database, eventually } from "./lib/mod.ts";

const SCRIPT = new URL("../../scripts/receipts", import.meta.url).pathname;

/** Runs the command as an operator does. */
async function receipts(stack: Stack, args: string[], env: Record<string, string> = {}) {
  const { url, secret_key, agent_root } = stack.ready;
  const output = await new Deno.Command("node", {
    args: [SCRIPT, ...args],
    env: {
      SUPABASE_URL: url,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: secret_key }),
      BACKEND_TO_DTMA_API_KEY: agent_root,
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  return { code: output.code, said: text(output.stdout), errors: text(output.stderr) };
}

/** Operations that end, as the functions begin and end them, and the last one by its lease alone. */
const OPERATIONS = `
  begin;
  insert into public.tool_instance_operations (tool_instance_id, account_tool_environment_id, user_id, action, request_id, generation, lease_expires_at)
    select gen_random_uuid(), e.id, e.user_id, 'start', 'req', n, now() - interval '2 hours'
    from public.account_tool_environments e, generate_series(1, 5) n where e.id = :'toolbox';
  update public.tool_instance_operations set state = 'succeeded', finished_at = clock_timestamp() where state = 'in_progress' and generation < 5;
  commit;`;

Deno.test("receipts show what was edited, removed and cut off", async (t) => {
  await using stack = await startStack({ dtma: false });
  const db = new Database(stack.ready.admin_db_url);
  const toolbox = stack.ready.toolbox_id;
  /** As somebody does who is past every trigger. */
  const manipulate = (sql: string) => db.execute(`set session_replication_role = replica; ${sql}`, { toolbox });
  const verify = (...args: string[]) => receipts(stack, ["verify", ...args]);
  await db.execute(OPERATIONS, { toolbox });
  await eventually("receipts", async () => {
    const { n } = await db.row<{ n: number }>(
      "select count(*) as n from public.operation_receipts where toolbox_id = :'toolbox'",
      { toolbox },
    );
    return n === 5 ? true : undefined;
  }, { ms: 60_000 });

  await t.step("the clock seals what ended, in the functions and in the database alone", async () => {
    const rows = await db.rows<{ content: string }>(
      "select content from public.operation_receipts where toolbox_id = :'toolbox' order by number",
      { toolbox },
    );
    const results = rows.map((row) => JSON.parse(row.content).result);
    assert.deepEqual(results, ["succeeded", "succeeded", "succeeded", "succeeded", "abandoned"]);
    const { code, said } = await verify();
    assert.deepEqual([code, said.startsWith("5 receipts of 1 toolboxes are as they were written")], [0, true], said);
  });
  const heads = await Deno.makeTempFile();
  await Deno.writeTextFile(heads, (await receipts(stack, ["heads"])).said);
  const kept = await db.execute("create table public.kept_receipts as select * from public.operation_receipts");
  assert.equal(kept, "");
  const restore = () =>
    manipulate(
      "delete from public.operation_receipts; insert into public.operation_receipts select * from public.kept_receipts",
    );

  const manipulations: [string, string, RegExp, boolean?][] = [
    [
      "an edited receipt",
      "update public.operation_receipts set content = replace(content, 'succeeded', 'failed') where number = 2",
      /receipt 2 was changed/,
    ],
    [
      "a mac of another receipt",
      "update public.operation_receipts r set mac = o.mac from public.operation_receipts o where r.number = 2 and o.number = 3",
      /receipt 2 was changed/,
    ],
    ["a removed receipt", "delete from public.operation_receipts where number = 3", /receipt 3 is missing/],
    [
      "removed first receipts",
      "delete from public.operation_receipts where number <= 2",
      /receipts 1 to 2 are missing/,
    ],
    [
      "receipts that changed places",
      "update public.operation_receipts set number = case number when 2 then 102 else 103 end, operation_id = null where number in (2, 3);" +
      "update public.operation_receipts set number = case number when 102 then 3 else 2 end where number > 100",
      /receipt 2 belongs elsewhere/,
    ],
    [
      "the last receipts, cut off",
      "delete from public.operation_receipts where number >= 4",
      /receipts 4 to 5 are missing: the chain once ended with receipt 5/,
      true,
    ],
    [
      "a whole chain, removed",
      "delete from public.operation_receipts",
      /receipts 1 to 5 are missing: the chain once ended/,
      true,
    ],
  ];
  for (const [what, sql, finding, needsHeads] of manipulations) {
    await t.step(`${what} is found`, async () => {
      await manipulate(sql);
      const without = await verify();
      if (needsHeads) assert.equal(without.code, 0, "nothing in the database tells that");
      else assert.deepEqual([without.code, finding.test(without.said)], [1, true], without.said);
      const found = await verify("--heads", heads);
      assert.deepEqual([found.code, finding.test(found.said)], [1, true], found.said);
      await restore();
      assert.equal((await verify("--heads", heads)).code, 0);
    });
  }

  await t.step("another key is used from now on, and both are known", async () => {
    const key = "a key of receipts of its own, long enough";
    await stack.setFunctionEnv({ TOOLBOX_RECEIPT_KEY: key });
    await db.execute(OPERATIONS, { toolbox });
    await eventually("more receipts", async () => {
      const { n } = await db.row<{ n: number }>("select count(*) as n from public.operation_receipts");
      return n === 10 ? true : undefined;
    }, { ms: 60_000 });
    assert.equal((await receipts(stack, ["verify", "--heads", heads], { TOOLBOX_RECEIPT_KEY: key })).code, 0);
    const { code, said } = await verify();
    assert.deepEqual(
      [code, /receipt 6 was made with the key [0-9a-f]{16}, which was not given/.test(said)],
      [1, true],
      said,
    );
    const keys = await Deno.makeTempFile();
    await Deno.writeTextFile(keys, `${key}\n`);
    assert.equal((await verify("--keys", keys)).code, 0, "from a file as well");
  });

  await t.step("what retention deletes is said by a receipt", async () => {
    await manipulate(
      "update public.operation_receipts set sealed_at = sealed_at - interval '1 year' where number <= 7",
    );
    await eventually("a checkpoint", async () => {
      const { first, last } = await db.row<{ first: number; last: number }>(
        "select min(number) as first, max(number) as last from public.operation_receipts",
      );
      return first === 8 && last === 11 ? true : undefined;
    }, { ms: 60_000 });
    const env = { TOOLBOX_RECEIPT_KEY: "a key of receipts of its own, long enough" };
    const good = await receipts(stack, ["verify"], env);
    assert.equal(good.code, 0, good.said);
    await manipulate("delete from public.operation_receipts where number = 8");
    const found = await receipts(stack, ["verify"], env);
    assert.deepEqual([found.code, /receipts 1 to 8 are missing/.test(found.said)], [1, true], found.said);
  });

  await t.step("what it needs is named", async () => {
    for (
      const [args, env, told] of [
        [["verify"], { BACKEND_TO_DTMA_API_KEY: "" }, /set TOOLBOX_RECEIPT_KEY or BACKEND_TO_DTMA_API_KEY/],
        [["verify", "--heads", "/nowhere"], {}, /cannot read \/nowhere/],
        [["verify", "--what"], {}, /unknown argument "--what"/],
        [["verify"], { SUPABASE_URL: "" }, /set SUPABASE_URL/],
        [["verify"], { SUPABASE_SECRET_KEYS: '{"default":"sb_secret_wrong"}' }, /the project answered 401/],
      ] as [string[], Record<string, string>, RegExp][]
    ) {
      const { code, errors } = await receipts(stack, args, env);
      assert.deepEqual([code, told.test(errors)], [2, true], errors);
    }
  });
});
