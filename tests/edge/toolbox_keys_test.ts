// scripts/toolbox-keys asks the database for the right thing and shows its secrets to nobody else.
import assert from "node:assert/strict";
import { json, TOOLBOX, Upstream } from "./harness.ts";

const SCRIPT = new URL("../../scripts/toolbox-keys", import.meta.url).pathname;
const TOKEN = `tbe_${"CANARY-_".repeat(6).slice(0, 43)}`;
const SECRET = "sb_secret_CANARY";

/** Command lines of everything that runs on this machine, which any of its users may read. */
function commandLines(): string {
  let all = "";
  for (const { name } of Deno.readDirSync("/proc")) {
    try {
      if (/^\d+$/.test(name)) all += Deno.readTextFileSync(`/proc/${name}/cmdline`);
    } catch { /* it has ended */ }
  }
  return all;
}

async function run(args: string[], env: Record<string, string>, input = "") {
  const process = new Deno.Command(SCRIPT, {
    args,
    env: { PATH: Deno.env.get("PATH") ?? "", ...env },
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await process.output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

Deno.test("tokens go to standard output, and no secret is an argument of a program", async () => {
  const seen: string[] = [];
  const created = () => json({ token: TOKEN, outcome: "created", expires_at: "2026-01-01T01:00:00+00:00" });
  await using project = new Upstream(() => (seen.push(commandLines()), created()));
  const url = { SUPABASE_URL: `http://127.0.0.1:${project.port}` };
  for (
    const [env, input, authorization] of [
      [{ SUPABASE_SECRET_KEYS: `{"default": "${SECRET}"}` }, "", null],
      [{ SUPABASE_SERVICE_ROLE_KEY: "eyJ.CANARY.x" }, "", "Bearer eyJ.CANARY.x"],
      [{}, `${SECRET}\n`, null],
      [{}, SECRET, null],
    ] as [Record<string, string>, string, string | null][]
  ) {
    const { code, out, err } = await run(["enrol", TOOLBOX, "--minutes", "5"], { ...url, ...env }, input);
    assert.deepEqual([code, out], [0, `${TOKEN}\n`], err);
    assert(!err.includes("CANARY"), err);
    const { path, body, headers } = project.asked.at(-1)!;
    assert.deepEqual([path, JSON.parse(body)], ["/rest/v1/rpc/create_toolbox_enrolment", {
      p: { toolbox_id: TOOLBOX, ttl_seconds: 300 },
    }]);
    assert.deepEqual(headers.get("authorization"), authorization);
    assert(headers.get("apikey")?.includes("CANARY"));
  }
  assert.deepEqual(seen.length, 4);
  for (const lines of seen) assert(lines.includes("create_toolbox_enrolment") && !lines.includes("CANARY"));
});

Deno.test("one toolbox or all of them get new keys", async () => {
  await using project = new Upstream(() => json({ count: 3, outcome: "rotated" }));
  const env = { SUPABASE_URL: `http://127.0.0.1:${project.port}`, SUPABASE_SECRET_KEYS: `{"default":"${SECRET}"}` };
  for (const [target, p] of [[TOOLBOX, { toolbox_id: TOOLBOX }], ["--all", { all: true }]] as const) {
    const { code, out } = await run(["rotate", target], env);
    assert.deepEqual([code, out.includes(" 3 ")], [0, true], out);
    assert.deepEqual([project.asked.at(-1)?.path, project.asked.at(-1)?.body], [
      "/rest/v1/rpc/rotate_toolbox_key",
      JSON.stringify({ p }),
    ]);
  }
});

Deno.test("more toolboxes than one call reaches get new keys", async () => {
  await using project: Upstream = new Upstream(() =>
    json(
      project.asked.length > 1 ? { count: 3, outcome: "rotated" } : { next: TOOLBOX, count: 10000, outcome: "rotated" },
    )
  );
  const env = { SUPABASE_URL: `http://127.0.0.1:${project.port}`, SUPABASE_SECRET_KEYS: `{"default":"${SECRET}"}` };
  const { code, out, err } = await run(["rotate", "--all"], env);
  assert.deepEqual([code, out.includes(" 10003 "), project.asked.length], [0, true, 2], out + err);
  assert.deepEqual(project.asked.at(-1)?.body, JSON.stringify({ p: { all: true, after: TOOLBOX } }));
});

Deno.test("failures are told by their code, and mistakes before anything is asked", async () => {
  await using project = new Upstream(() => json({ outcome: "not_found" }));
  const env = { SUPABASE_URL: `http://127.0.0.1:${project.port}`, SUPABASE_SECRET_KEYS: `{"default":"${SECRET}"}` };
  const unknown = await run(["enrol", TOOLBOX], env);
  assert.deepEqual([unknown.code, unknown.out, unknown.err.includes("no such toolbox")], [1, "", true]);
  project.answer = () => json({ code: "42501", message: "CANARY" }, 403);
  const refused = await run(["rotate", TOOLBOX], env);
  assert.deepEqual([refused.code, refused.out], [1, ""]);
  assert(refused.err.includes("403, code 42501") && !refused.err.includes("CANARY"), refused.err);
  const before = project.asked.length;
  for (
    const args of [[], ["enrol"], ["enrol", "--all"], ["rotate", "local"], ["enrol", TOOLBOX, "--minutes", "0"]]
      .concat([["enrol", TOOLBOX, "--minutes", "1441"], ["rotate", "--all", "x"], ["forget", TOOLBOX]])
  ) {
    assert.deepEqual((await run(args, env)).code, 2, args.join(" "));
  }
  assert.deepEqual((await run(["rotate", "--all"], { SUPABASE_URL: env.SUPABASE_URL })).code, 2, "no key");
  assert.deepEqual((await run(["rotate", "--all"], { ...env, SUPABASE_URL: "x" })).code, 2, "no address");
  assert.deepEqual(project.asked.length, before);
  assert.deepEqual((await run(["--help"], {})).code, 0);
});
