/**
 * A secret put into an instance's environment is seen by its container and by nobody else: it is searched for in
 * every answer, every column the owner can read, the history, every log and every command line.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  type ConfigOverride,
  describe,
  docker,
  endpoint,
  type Envelope,
  environmentOf,
  eventually,
  invoke,
  opened,
  SAMPLE_CATALOG_ID,
  startWorld,
  transcript,
  type World,
} from "./lib/mod.ts";

const CANARY = `canary_${crypto.randomUUID().replaceAll("-", "")}`;
/** What an MCP server is given with each request. */
const HEADER = `header-${crypto.randomUUID()}`;
const WEBHOOK = `whsec_${btoa(CANARY)}`;
/** The same secret as a careless program might write it. */
const SPELLINGS = [CANARY, btoa(CANARY).replace(/=+$/, ""), encodeURIComponent(CANARY), [...CANARY].reverse().join("")];

Deno.test("a secret in environmentVariables never comes back", async (t) => {
  await using world = await startWorld({ dtmaEnv: { DTMA_LOG: "debug" } });
  const { tools, client } = world.owner;
  const secret: ConfigOverride = { environmentVariables: { API_KEY: CANARY, [`NAME_${CANARY.slice(7, 15)}`]: CANARY } };
  let id = "";
  // Failures below are told to somebody, and what is told is searched too.
  const channel = await client.from("alert_channels").insert({ name: "mail", kind: "email" }).select("id").single();
  assert.equal(channel.error, null, JSON.stringify(channel.error));
  const hook = { name: "hook", kind: "webhook", webhook_url: "https://hooks.example.org/x", webhook_secret: WEBHOOK };
  assert.equal((await client.from("alert_channels").insert(hook)).error, null);
  const rule = await client.from("alert_rules").insert({ channel_id: channel.data!.id, kind: "instance_error" });
  assert.equal(rule.error, null, JSON.stringify(rule.error));

  await t.step("the container has it, so the search below is for something that exists", async () => {
    const environmentVariables = { API_KEY: CANARY, SAMPLE_SHOWN: "shown" };
    const upstreamHeaders = { "x-api-key": HEADER };
    const reply = await tools.deploy("keeper", { environmentVariables, upstreamHeaders }, { wait: 30 });
    assert.equal(reply.status, 201, describe(reply));
    id = reply.json.instanceId;
    assert.ok((await world.docker.container(id)).Config.Env.includes(`API_KEY=${CANARY}`));
    const { names, values } = await environmentOf(endpoint(reply.json.tool_instance));
    assert.ok(names.includes("API_KEY"));
    assert.equal(values.SAMPLE_SHOWN, "shown");
  });

  await t.step("through every action, in both styles", async () => {
    await tools.list();
    await tools.get(id);
    await tools.logs(id);
    await tools.versions(id);
    await tools.stop(id, { wait: 30 });
    await tools.start(id, { wait: 30 });
    await tools.restart(id, { wait: 30 });
    const updated = await tools.update(id, { environmentVariables: { API_KEY: CANARY, OTHER: CANARY } }, { wait: 30 });
    assert.equal(updated.status, 200, describe(updated));
    const versions = await tools.versions(id);
    const { field, hidden } = versions.json.versions[1].differences[0];
    assert.deepEqual([field, hidden], ["environmentVariables.OTHER", true], describe(versions));
    const back = await tools.rollBack(id, 1, { wait: 30 });
    assert.equal(back.status, 200, describe(back));
    for (const action of ["list", "get", "logs", "stop", "start", "restart"]) {
      await invoke(client, { toolboxId: world.toolboxId, action, instanceId: id }, { prefer: "wait=30" });
    }
    const key = crypto.randomUUID();
    for (let i = 0; i < 2; i++) await tools.deploy("twice", secret, { wait: 30, idempotencyKey: key });
    await tools.remove("twice", { wait: 30 });
  });

  await t.step("through every refusal and failure", async () => {
    const path = `/${world.toolboxId}/tools`;
    const body = { toolCatalogId: SAMPLE_CATALOG_ID, instanceNameOnToolbox: "refused", baseConfigOverrideJson: secret };
    const text = JSON.stringify(body);
    const json = { "content-type": "application/json" };
    await tools.request(path, { method: "POST", body: text.slice(0, -2), headers: json });
    await tools.request(path, { method: "POST", body: text + text, headers: json });
    await tools.request(path, { method: "POST", body: text, headers: { "content-type": "text/plain" } });
    await tools.request(path, { method: "POST", json: { ...body, action: CANARY } });
    await tools.request(path, { method: "POST", json: { ...body, toolCatalogId: CANARY } });
    await tools.request(path, { method: "POST", json: { ...body, misspelt: CANARY } });
    await tools.request(path, { method: "PUT", json: body });
    await tools.request(`${path}/${CANARY}/${CANARY}`, { method: "POST", json: body });
    await tools.request(path, { method: "POST", body: text + " ".repeat(300_000), headers: json });
    await tools.request(path, {
      method: "POST",
      json: { ...body, baseConfigOverrideJson: { environmentVariables: { API_KEY: [CANARY] } } },
    });
    await tools.deploy("refused", { ...secret, dockerImage: "not an image" });
    await tools.deploy("refused", { environmentVariables: { [`${CANARY} is no name`]: CANARY, OK: `${CANARY}\0` } });
    await tools.deploy("refused", { environmentVariables: { API_KEY: CANARY.repeat(900) } });
    await tools.deploy("keeper", secret);
    await tools.on(crypto.randomUUID()).deploy("elsewhere", secret);
    await world.anonymous.deploy("nobody's", secret);
    await world.stranger.tools.deploy("a stranger's", secret);

    await tools.deploy("no image", { ...secret, dockerImage: "127.0.0.1:1/none:1" }, { wait: 30 });
    await tools.deploy("no program", { ...secret, entrypoint: ["/none"] }, { wait: 30 });
    await tools.deploy("exits", { ...secret, command: ["--require-env", "MISSING"] }, { wait: 30 });
    await tools.update(id, { ...secret, command: ["--require-env", "MISSING"] }, { wait: 30 });
    await tools.update(id, { ...secret, dockerImage: "127.0.0.1:1/none:1" }, { wait: 30 });
  });

  await t.step("while the agent is away, and when everything has to be made again", async () => {
    await world.agent.stop("SIGKILL");
    await tools.list();
    await tools.deploy("unreachable", secret, { wait: 5 });
    await tools.update(id, secret, { wait: 5 });
    await world.docker.removeBehindItsBack(id);
    await world.agent.loseStateDir();
    await world.agent.start();
    const started = await tools.start(id, { wait: 30 });
    assert.equal(started.status, 200, describe(started));
    assert.ok((await world.docker.container(id)).Config.Env.includes(`API_KEY=${CANARY}`));
    for (const path of ["/tools", "/status", `/tools/${id}`, "/metrics"]) {
      const reply = await world.agent.call(path);
      assert.equal(reply.status, 200, describe(reply));
    }
  });

  await t.step("it is in no answer", () => {
    assert.ok(transcript.length > 40);
    for (const reply of transcript) {
      // The path of a request may be answered in a header such as Location; the body never.
      clean(reply.text, describe(reply));
      clean(JSON.stringify([...reply.headers]), describe(reply));
    }
  });

  await t.step("it is in no column that the owner can read, and in no history", async () => {
    const tables = await world.db.rows<{ name: string; columns: string[] }>(`
      select c.relname as name, json_agg(a.attname) as columns
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
        and has_column_privilege('authenticated', c.oid, a.attnum, 'select')
      group by 1`);
    assert.ok(tables.length >= 4);
    // The clock writes receipts within a minute. Nobody touches the machine itself or its agent here, has agents, shares, or calls a tool.
    const mayBeEmpty = ["operation_receipts", "toolbox_events", "rollouts", "agents", "mcp_access", "mcp_use"];
    for (const { name, columns } of tables) {
      const { data, error } = await client.from(name).select(columns.join(","));
      assert.equal(error, null, `${name}: ${JSON.stringify(error)}`);
      assert.ok(data!.length > 0 || mayBeEmpty.includes(name), `${name} shows the owner something`);
      clean(JSON.stringify(data), `what the owner reads of ${name}`);
    }
    const { error } = await client.from("account_tool_instances").select("spec");
    assert.equal(error?.code, "42501", "the owner cannot read specs");
    const kept = await client.from("account_tool_instance_versions").select("spec");
    assert.equal(kept.error?.code, "42501", "nor those of versions");
    for (const table of ["tool_instance_events", "tool_instance_operations"]) {
      clean(JSON.stringify(await world.db.rows(`select * from public.${table}`)), `all of ${table}`);
    }
  });

  await t.step("the control plane itself has it, and a dump of the database tells nobody", async () => {
    const row = (await world.db.instance(id))!;
    const { env } = row.spec as { env: Record<string, Envelope> };
    const plain = (await opened(world.ready.agent_root, row)).spec as Record<string, Record<string, Envelope>>;
    assert.equal(plain.env.API_KEY.value, CANARY);
    assert.equal(plain.mcp_headers["x-api-key"].value, HEADER);
    await assert.rejects(opened("another root secret of 32 bytes or more", row), { name: "OperationError" });
    const elsewhere = { ...row, id: crypto.randomUUID() };
    await assert.rejects(opened(world.ready.agent_root, elsewhere), { name: "OperationError" });

    // Users write the secrets of webhooks themselves, and the clock seals them.
    await eventually("nothing is in plain text", async () => {
      const keys = await world.db.rows<{ key_id: string }>("select * from private.secrets_by_key()");
      return keys.every(({ key_id }) => key_id === env.API_KEY.key_id) || undefined;
    });
    const kept = await dump(world);
    assert.ok(kept.includes(id) && kept.includes(env.API_KEY.value), "the dump has the row");
    for (const secret of [CANARY, HEADER, WEBHOOK, world.ready.agent_root, world.agent.key]) {
      for (const [how, text] of Object.entries(encodings(secret))) {
        assert.ok(!kept.includes(text), `a dump holds ${secret.slice(0, 8)}… in ${how}`);
      }
    }
    // It never was there in plain text either, so that copies of the files and of the log of changes have nothing to tell.
    let bytes = 0;
    const { folder } = await world.db.row<{ folder: string }>("select current_setting('data_directory') as folder");
    for await (const file of files(folder)) {
      const content = Buffer.from(await Deno.readFile(file).catch(() => new Uint8Array()));
      bytes += content.length;
      for (const secret of [CANARY, HEADER]) {
        assert.ok(!content.includes(secret), `${file} holds ${secret.slice(0, 8)}…`);
      }
    }
    assert.ok(bytes > 10_000_000, "the files of the database were read");
  });

  await t.step("it is in no log, no command line and no file that others can read", async () => {
    const logs = await logFiles(world);
    assert.ok(logs.length >= 3, logs.join(" "));
    let bytes = 0;
    const kept = JSON.parse(await Deno.readTextFile(`${world.agent.stateDir}/keys.json`));
    const ofMachine = [...JSON.stringify(kept).matchAll(/tbk_[0-9a-f]{64}/g)].map(([key]) => key);
    assert.ok(
      ofMachine.includes(world.agent.key) && ofMachine.length >= 2,
      "the machine keeps a key for each direction",
    );
    for (const file of logs) {
      const text = await Deno.readTextFile(file);
      bytes += text.length;
      clean(text, file);
      assert.ok(!/tbe_[\w-]{43}/.test(text), `${file} holds an enrolment token`);
      for (const key of [...ofMachine, world.ready.secret_key, world.owner.token, world.ready.agent_root]) {
        assert.ok(!text.includes(key), `${file} holds a key`);
      }
    }
    assert.ok(bytes > 1_000, "the parts do log");

    for (const pid of [...Object.values(world.ready.pids), world.agent.pid!]) {
      const line = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "");
      clean(line, `command line of ${pid}`);
      for (const key of [world.agent.key, world.ready.secret_key, world.ready.jwt_secret, world.ready.agent_root]) {
        assert.ok(!line.includes(key), `a key is on the command line of process ${pid}`);
      }
    }
    for await (const file of files(world.agent.stateDir)) {
      // Files that were being replaced are gone by now.
      const mode = await Deno.stat(file).then(({ mode }) => mode, (error) => {
        if (error instanceof Deno.errors.NotFound) return 0;
        throw error;
      });
      assert.equal(mode! & 0o077, 0, `${file} can be read by others (${(mode! & 0o777).toString(8)})`);
    }
    for (const { Config, Name } of await world.docker.containers()) {
      clean(JSON.stringify([Name, Config.Cmd, Config.Entrypoint, Config.Labels]), `command and labels of ${Name}`);
    }
    clean(await docker("images", "--no-trunc"), "the images");
  });
});

/** What a dump holds: the rows of every table of every schema, as `pg_dump` writes them. That of the machine may be too old. */
async function dump(world: World): Promise<string> {
  const tables = await world.db.rows<{ name: string }>(`
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema')`);
  assert.ok(tables.some(({ name }) => name === "auth.users") && tables.length > 15, "every schema is read");
  return await world.db.execute(tables.map(({ name }) => `copy ${name} to stdout;`).join("\n"));
}

/** A secret as it may stand in a text: as it is, and what base64 and hexadecimal digits make of it wherever it begins. */
function encodings(secret: string): Record<string, string> {
  const base64 = (skipped: number) => btoa("x".repeat(skipped) + secret).slice(4, -4);
  const hex = Buffer.from(secret).toString("hex");
  return {
    "plain text": secret,
    "base64": base64(0),
    "base64, one byte on": base64(1),
    "base64, two bytes on": base64(2),
    "hexadecimal digits": hex,
    "capital digits": hex.toUpperCase(),
  };
}

/** `text` holds the secret in no spelling. */
function clean(text: string, where: string): void {
  for (const spelling of SPELLINGS) {
    const at = text.indexOf(spelling);
    assert.ok(at < 0, `the secret is in ${where}: …${text.slice(Math.max(0, at - 80), at + 40)}…`);
  }
}

/** Every log the stack and its agent write. */
async function logFiles(world: World): Promise<string[]> {
  const found: string[] = [];
  for await (const file of files(world.ready.data_dir)) if (file.endsWith(".log")) found.push(file);
  return found;
}

/** Every file below a folder. */
async function* files(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* files(path);
    else if (entry.isFile) yield path;
  }
}
