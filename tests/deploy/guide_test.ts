/**
 * docs/DEPLOY.md and the README are true: their commands, in their order, lead from an empty project to a tool that runs.
 * Simulated are Supabase's Management API and the way to the machine, which has its own Docker, network and folders.
 */
import { deepStrictEqual as assertEquals, match as assertMatch, ok as assert } from "node:assert";
import { join } from "node:path";
import { Database } from "../e2e/lib/db.ts";
import { eventually } from "../e2e/lib/wait.ts";
import { PASSWORD, signUp } from "../e2e/lib/world.ts";
import { functionsOf, repository } from "../lib/functions.ts";
import { certificateFor, HeartbeatProxy } from "../chaos/proxy.ts";
import { Machine } from "../install/machine.ts";
import { startStack } from "../lib/stack.ts";
import { startManagementApi } from "./management_api.ts";
import { cliEnvironment, projectRef, supabase, writeProfile } from "./project.ts";

const OWNER = "you@example.org";
/** The sample MCP server; supabase/seed.sql has it for local projects. */
const SAMPLE = "00000000-0000-0000-0000-0000000000aa";

/** The code blocks of a document in one language, in their order. */
function blocks(document: string, language: string): string[] {
  const text = Deno.readTextFileSync(join(repository, document));
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, name]) => name === language).map(([, , code]) =>
    code
  );
}

/** `text` with every key of `changes` replaced; a key that is not there is a document that has changed. */
function replaced(text: string, changes: Record<string, string>): string {
  return Object.entries(changes).reduce((changed, [from, to]) => {
    assert(changed.includes(from), `the document does not say ${from} any more`);
    return changed.replaceAll(from, to);
  }, text);
}

async function copy(from: string, to: string): Promise<void> {
  const { success } = await new Deno.Command("cp", { args: ["-r", from, to] }).output();
  assert(success, `copying ${from}`);
}

async function program(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text, { mode: 0o755 });
}

/** What is deferred is done at the end, the last first. */
function cleanups() {
  const ends: (() => Promise<unknown>)[] = [];
  return {
    defer: (end: () => Promise<unknown>) => ends.push(end),
    async [Symbol.asyncDispose]() {
      for (const end of ends.reverse()) await end();
    },
  };
}

Deno.test("the README's short form has the same commands", () => {
  const short = blocks("README.md", "sh").find((block) => block.includes("supabase"))!;
  const guide = blocks("docs/DEPLOY.md", "sh").join("\n").split("\n");
  for (const line of short.trim().split("\n")) {
    const command = line.replace(/\s+#.*/, "").replace("YOUR_PROJECT", '"$PROJECT_REF"');
    assert(guide.includes(command), `the guide lacks ${command}`);
  }
});

Deno.test("the deployment guide leads to a tool that runs", async () => {
  await using clean = cleanups();
  const folder = await Deno.makeTempDir({ prefix: "toolbox-guide-" });
  clean.defer(() => Deno.remove(folder, { recursive: true }));

  // A project whose database is empty: the stack finds no migrations.
  const project = join(folder, "project");
  await Deno.mkdir(project);
  await copy(join(repository, "supabase"), project);
  await copy(join(repository, "pkg"), project);
  const migrations = join(project, "supabase/migrations");
  await Deno.remove(migrations, { recursive: true });
  const stack = await startStack({ project, dtma: false });
  clean.defer(() => stack.stop());
  await copy(join(repository, "supabase/migrations"), migrations);
  const { ready } = stack;
  const admin = new Database(ready.admin_db_url);
  await signUp(ready, OWNER);

  // Supabase runs statements of `db query --remote` as the role postgres.
  const postgres = new Database(ready.db_url);
  const api = startManagementApi(projectRef, {
    query: async (sql) =>
      JSON.parse(await postgres.execute(`with q as (${sql}) select coalesce(json_agg(q), '[]') from q;`)),
    deployed: (secrets) => stack.setFunctionEnv(secrets),
  });
  clean.defer(() => api.stop());

  const bin = join(folder, "bin");
  const home = join(folder, "home");
  for (const path of [bin, home]) await Deno.mkdir(path);
  const databaseUrl = new URL(ready.db_url);
  const password = databaseUrl.password;
  databaseUrl.password = "";
  databaseUrl.searchParams.set("sslmode", "disable");
  // Where a person says yes, and the linked project is the one of this test.
  await program(
    join(bin, "supabase"),
    `#!/bin/bash
[[ "$*" != "db push --remote" ]] || set -- db push --remote='${databaseUrl}'
exec '${supabase}' "$@" --yes --profile '${await writeProfile(home, api)}' --workdir '${project}'
`,
  );
  const machine = await Machine.open(folder);
  clean.defer(() => machine[Symbol.asyncDispose]());
  const { address, pid, uplink } = machine.droplet;
  await program(
    join(bin, "ssh"),
    `#!/bin/bash
[[ "$1" == root@${address} ]] || exit 1
cd / && exec nsenter --target=${pid} --mount --net --pid -- env --ignore-environment HOME=/root \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "cd /root && \${*:2}"
`,
  );
  // A project's certificate is from a public authority; this one is from an authority that the machine is told of.
  const certificate = await certificateFor(uplink, folder);
  const proxy = await HeartbeatProxy.open(uplink, ready.url, certificate);
  clean.defer(() => proxy[Symbol.asyncDispose]());
  await Deno.mkdir(machine.droplet.path("/etc/dtma"));
  await Deno.copyFile(certificate.authority, machine.droplet.path("/etc/dtma/authority.pem"));
  await Deno.writeTextFile(
    machine.droplet.path("/etc/dtma/dtma.env"),
    "DTMA_CONTROL_CA_FILE=/etc/dtma/authority.pem\n",
  );
  const script = replaced(blocks("docs/DEPLOY.md", "sh").join("\n"), {
    [`https://$PROJECT_REF.supabase.co`]: ready.url,
    "$SUPABASE_URL/functions/v1/heartbeat": `${proxy.url}/functions/v1/heartbeat`,
    "203.0.113.7": address,
    "make-release release": `make-release ${folder}/release`,
    "tar -C release -c": `tar -C ${folder}/release -c`,
  });

  const real = Deno.env.get("HOME") ?? "/root";
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", `${script}\necho "TOOLBOX=$TOOLBOX"`],
    cwd: repository,
    env: {
      ...cliEnvironment(home),
      CARGO_HOME: Deno.env.get("CARGO_HOME") ?? join(real, ".cargo"),
      RUSTUP_HOME: Deno.env.get("RUSTUP_HOME") ?? join(real, ".rustup"),
      PATH: `${bin}:${Deno.env.get("PATH")}`,
      PGPASSWORD: password,
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: ready.secret_key }),
    },
    signal: AbortSignal.timeout(600_000),
  }).output();
  const log = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assertEquals(code, 0, log);
  assertEquals(api.unknown, [], "the CLI made requests the simulator does not know");
  assertEquals(api.uploads.map(({ slug }) => slug).sort(), functionsOf(repository).sort());
  const toolbox = log.match(/^TOOLBOX=(.*)$/m)![1];

  // The agent joins.
  await eventually("the toolbox is active", async () => {
    const { status } = await admin.row<{ status: string }>(
      "select status from public.account_tool_environments where id = :'toolbox'",
      { toolbox },
    );
    return status === "active" ? true : undefined;
  });

  // Its Docker has no registry to ask.
  await new Deno.Command("bash", {
    args: ["-c", `docker save toolbox/sample-mcp:dev | docker --host ${machine.droplet.dockerHost} load`],
  }).output();

  // The README deploys a tool, and shows how to read the code of an error.
  await postgres.execute(await Deno.readTextFile(join(repository, "supabase/seed.sql")));
  const [snippet] = blocks("README.md", "ts");
  // The context that the README's reader has, and the sample in place of an image on the internet.
  const values = {
    url: ready.url,
    publishableKey: ready.publishable_key,
    email: OWNER,
    password: PASSWORD,
    toolboxId: toolbox,
  };
  const text = Object.entries(values).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`).join("") +
    replaced(snippet, { "00000000-0000-0000-0000-000000000002": SAMPLE });
  // Below the repository, where supabase-js is found.
  const here = await Deno.makeTempDir({ dir: import.meta.dirname, prefix: "readme-" });
  clean.defer(() => Deno.remove(here, { recursive: true }));
  await Deno.writeTextFile(join(here, "snippet.ts"), text);
  const run = async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--allow-all", join(here, "snippet.ts")],
      signal: AbortSignal.timeout(60_000),
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, decoder.decode(stderr));
    return { out: decoder.decode(stdout), err: decoder.decode(stderr) };
  };
  assertEquals(await run(), { out: "running\n", err: "" });
  assertMatch((await run()).err, /^name_taken /);
});
