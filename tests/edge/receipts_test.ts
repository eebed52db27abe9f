// The command that verifies receipts, against receipts that a fixture makes as the functions do; tests/e2e/receipts_test.ts has
// those that the functions made.
import assert from "node:assert/strict";
import { createHmac, hkdfSync } from "node:crypto";
import { json, TOOLBOX, Upstream } from "./harness.ts";

const SCRIPT = new URL("../../scripts/receipts", import.meta.url).pathname;
const OTHER = "99999999-1111-4111-8111-111111111111";
const SECRET = "0123456789abcdef0123456789abcdef";

interface Row {
  toolbox_id: string;
  number: number;
  operation_id: string | null;
  content: string;
  key_id: string;
  mac: string;
}

/** The id of the key of {@link SECRET}, as crates/toolbox-domain gives it. */
const KEY_ID = await (async () => {
  const key = new Uint8Array(hkdfSync("sha256", SECRET, "", "toolbox/v1/receipts", 32));
  const named = new Uint8Array([...new TextEncoder().encode("toolbox/v1/receipt-key-id/"), ...key]);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", named));
  return [...digest.slice(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
})();

function seal(toolbox_id: string, number: number, previous: string | null, more: Record<string, unknown>): Row {
  const content = JSON.stringify({ v: 1, toolbox_id, number, previous, ...more });
  const key = new Uint8Array(hkdfSync("sha256", SECRET, "", "toolbox/v1/receipts", 32));
  const mac = createHmac("sha256", key).update(content).digest("hex");
  return {
    toolbox_id,
    number,
    operation_id: (more.operation_id as string | undefined) ?? null,
    content,
    key_id: KEY_ID,
    mac,
  };
}

/** A chain of `length` receipts. */
function chain(toolbox: string, length: number): Row[] {
  const rows: Row[] = [];
  for (let number = 1; number <= length; number++) {
    rows.push(
      seal(toolbox, number, rows.at(-1)?.mac ?? null, { operation_id: crypto.randomUUID(), result: "succeeded" }),
    );
  }
  return rows;
}

/** PostgREST with these rows, a page at a time. */
function serve(rows: Row[]): Upstream {
  return new Upstream((request, url) => {
    if (request.headers.get("apikey") !== "sb_secret_test") return json({ message: "no" }, 401);
    const after = /toolbox_id\.gt\.([0-9a-f-]+),and\(.*number\.gt\.(\d+)\)/.exec(url.searchParams.get("or") ?? "");
    const order = (row: Row) => `${row.toolbox_id} ${`${row.number}`.padStart(9, "0")}`;
    const from = after ? `${after[1]} ${after[2].padStart(9, "0")}` : "";
    const sorted = rows.filter((row) => order(row) > from).sort((a, b) => order(a) < order(b) ? -1 : 1);
    return json(sorted.slice(0, 1000));
  });
}

async function receipts(rows: Row[], args: string[], env: Record<string, string> = {}) {
  await using database = serve(rows);
  const output = await new Deno.Command("node", {
    args: [SCRIPT, ...args],
    env: {
      PATH: Deno.env.get("PATH")!,
      SUPABASE_URL: `http://127.0.0.1:${database.port}`,
      SUPABASE_SECRET_KEYS: '{"default":"sb_secret_test"}',
      TOOLBOX_RECEIPT_KEY: SECRET,
      ...env,
    },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  return { code: output.code, said: text(output.stdout), errors: text(output.stderr) };
}

Deno.test("receipts that nobody changed verify, on every page", async () => {
  const rows = [...chain(TOOLBOX, 1500), ...chain(OTHER, 3)];
  const { code, said } = await receipts(rows, ["verify"]);
  assert.deepEqual([code, said.startsWith("1503 receipts of 2 toolboxes are as they were written")], [0, true], said);
});

Deno.test("edited, moved, removed and cut off receipts are found", async () => {
  const good = chain(TOOLBOX, 6);
  const heads = await Deno.makeTempFile();
  await Deno.writeTextFile(heads, (await receipts(good, ["heads"])).said);
  const changed = (at: number, more: Partial<Row>) => good.map((row, n) => n === at ? { ...row, ...more } : row);
  const elsewhere = { ...good[2], toolbox_id: OTHER, number: 1 };
  const longer = [...good, seal(TOOLBOX, 7, good[5].mac, { operation_id: crypto.randomUUID() })];
  for (
    const [what, rows, finding, needsHeads] of [
      ["edited", changed(1, { content: good[1].content.replace("succeeded", "failed") }), "receipt 2 was changed"],
      ["with a mac of another", changed(1, { mac: good[2].mac }), "receipt 2 was changed"],
      ["with no mac", changed(1, { mac: "" }), "receipt 2 was changed"],
      ["of another operation", changed(1, { operation_id: good[3].operation_id }), "receipt 2 belongs elsewhere"],
      ["in another chain", [...good, elsewhere], "receipt 1 belongs elsewhere"],
      ["removed from the middle", good.filter((row) => row.number !== 3), "receipt 3 is missing"],
      ["removed from the beginning", good.slice(2), "receipts 1 to 2 are missing"],
      [
        "replaced by one that follows nothing",
        changed(3, seal(TOOLBOX, 4, "00", { operation_id: good[3].operation_id })),
        "receipt 4 does not follow receipt 3",
      ],
      ["cut off", good.slice(0, 4), "receipts 5 to 6 are missing", true],
      ["all removed", [], "receipts 1 to 6 are missing", true],
      [
        "cut off and written anew",
        [...good.slice(0, 5), seal(TOOLBOX, 6, good[4].mac, {})],
        "receipt 6 is another than the one that was printed",
        true,
      ],
      [
        "of a key that is not known",
        changed(1, { key_id: "0".repeat(16) }),
        "receipt 2 was made with the key 0000000000000000",
      ],
    ] as [string, Row[], string, boolean?][]
  ) {
    const without = await receipts(rows, ["verify"]);
    assert.deepEqual(
      [without.code, without.said.includes(finding)],
      needsHeads ? [0, false] : [1, true],
      `${what}: ${without.said}`,
    );
    const found = await receipts(rows, ["verify", "--heads", heads]);
    assert.deepEqual([found.code, found.said.includes(finding)], [1, true], `${what}: ${found.said}`);
  }
  assert.equal((await receipts(longer, ["verify", "--heads", heads])).code, 0, "a chain goes on");
});

Deno.test("what retention deleted is said by a checkpoint, and no more than that may be missing", async () => {
  const rows = chain(TOOLBOX, 6);
  const kept_after = { number: 3, mac: rows[2].mac };
  const trimmed = [...rows.slice(3), seal(TOOLBOX, 7, rows[5].mac, { kept_after })];
  assert.equal((await receipts(trimmed, ["verify"])).code, 0);
  for (
    const [left, missing] of [[trimmed.slice(1), "receipts 1 to 4"], [trimmed.slice(0, 3), "receipts 1 to 3"]] as [
      Row[],
      string,
    ][]
  ) {
    const { code, said } = await receipts(left, ["verify"]);
    assert.deepEqual([code, said.includes(missing)], [1, true], said);
  }
});

Deno.test("earlier keys come from the environment or a file, and what is missing is named", async () => {
  const rows = chain(TOOLBOX, 2);
  const keys = await Deno.makeTempFile();
  await Deno.writeTextFile(keys, `${SECRET}\n`);
  const other = { TOOLBOX_RECEIPT_KEY: "another secret of thirty-two bytes" };
  assert.equal((await receipts(rows, ["verify"], other)).code, 1);
  assert.equal((await receipts(rows, ["verify", "--keys", keys], other)).code, 0);
  assert.equal((await receipts(rows, ["verify"], { ...other, BACKEND_TO_DTMA_API_KEY_PREVIOUS: SECRET })).code, 0);
  // Spaces around a secret are part of it, as for the functions.
  await Deno.writeTextFile(keys, ` ${SECRET} \n`);
  assert.equal((await receipts(rows, ["verify", "--keys", keys], other)).code, 1);
  assert.equal((await receipts(rows, ["verify"], { TOOLBOX_RECEIPT_KEY: `${SECRET} ` })).code, 1);
  for (
    const [args, env, told] of [
      [["verify"], { TOOLBOX_RECEIPT_KEY: "" }, "set TOOLBOX_RECEIPT_KEY or BACKEND_TO_DTMA_API_KEY"],
      [["verify", "--heads", "/nowhere"], {}, "cannot read /nowhere"],
      [["verify", "--what", "x"], {}, 'unknown argument "--what"'],
      [["verify"], { SUPABASE_URL: "" }, "set SUPABASE_URL"],
      [["verify"], { SUPABASE_SECRET_KEYS: '{"default":"sb_secret_wrong"}' }, "the project answered 401"],
      [["verify"], { SUPABASE_URL: "http://127.0.0.1:1" }, "does not answer"],
    ] as [string[], Record<string, string>, string][]
  ) {
    const { code, errors } = await receipts(rows, args, env);
    assert.deepEqual([code, errors.includes(told)], [2, true], errors);
    assert(!errors.includes("sb_secret_"));
  }
});
