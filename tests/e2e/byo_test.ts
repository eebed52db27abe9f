/** Bring your own machine: a user makes a toolbox, and the one command of the answer lets a real machine join. */
import assert from "node:assert/strict";
import { certificateFor, HeartbeatProxy } from "../chaos/proxy.ts";
import { run } from "../chaos/droplet.ts";
import { Machine as RealMachine, makeRelease } from "../install/machine.ts";
import { startStack } from "../lib/stack.ts";
import {
  type Actor,
  type Call,
  codeOf,
  Database,
  describe,
  eventually,
  GENERIC_CATALOG_ID,
  Machine,
  newCertificate,
  type Reply,
  send,
  signIn,
  signUp,
  sleep,
  type World,
} from "./lib/mod.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
/** Where the machine finds releases: the installer takes plain HTTP from the machine itself only. */
const RELEASES = "http://127.0.0.1:8099";

Deno.test("a user's own machine joins by one command", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-byo-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await makeRelease(`${folder}/release`);
  await using stack = await startStack({ dtma: false });
  const { ready } = stack;
  await using machine = await RealMachine.open(folder);
  const { droplet } = machine;
  await using _releases = served(droplet.pid, `${folder}/release`);
  const certificate = await certificateFor(droplet.uplink, folder);
  await using proxy = await HeartbeatProxy.open(droplet.uplink, ready.url, certificate);
  // A project's certificate is from a public authority; this one is from an authority that the machine is told of.
  await Deno.mkdir(droplet.path("/etc/dtma"));
  await Deno.copyFile(certificate.authority, droplet.path("/etc/dtma/authority.pem"));
  await Deno.writeTextFile(droplet.path("/etc/dtma/dtma.env"), "DTMA_CONTROL_CA_FILE=/etc/dtma/authority.pem\n");
  const db = new Database(ready.admin_db_url);
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const stranger = await signUp(ready, "stranger@toolbox.local");
  const ask = (path: string, call: Call = {}, who: Actor = owner): Promise<Reply> =>
    send(`${ready.url}/functions/v1/toolboxes-user${path}`, {
      ...call,
      headers: { apikey: ready.publishable_key, authorization: `Bearer ${who.token}` },
    });
  const make = (json: Record<string, unknown>) => ask("", { method: "POST", json: { kind: "byo", ...json } });
  const tokenOf = (reply: Reply) => reply.json.enrolment.command.match(/tbe_[A-Za-z0-9_-]{43}/)[0] as string;
  /** A machine that this test plays, which has another certificate. */
  const thief = async (toolboxId: string) => new Machine({ ready, db } as World, toolboxId, await newCertificate());

  await t.step("without a place for releases nothing is made, and the variable is named", async () => {
    const reply = await make({ name: "too early" });
    assert.equal(`${reply.status} ${codeOf(reply)}`, "500 not_configured", describe(reply));
    assert.match(reply.text, /TOOLBOX_RELEASE_URL/);
    await stack.setFunctionEnv({
      TOOLBOX_RELEASE_URL: RELEASES,
      SUPABASE_PUBLIC_URL: proxy.url,
      TOOLBOX_ALLOWED_MACHINES: `${droplet.address},127.0.0.1`,
      TOOLBOX_MAX_TOOLBOXES: "4",
    });
    assert.equal((await ask("")).json.length, 1, "the stack's own toolbox alone");
  });

  const made = await make({ name: "my machine", description: "below the desk" });
  assert.equal(made.status, 201, describe(made));
  const id = made.json.id as string;
  await t.step("the answer shows the toolbox and what to do next, and holds no key", async () => {
    assert.equal(made.json.status, "pending_provision");
    assert.match(made.json.progress.next, /install command/);
    assert.equal(made.json.public_ip_address, null);
    const expires = Date.parse(made.json.enrolment.expires_at) - Date.now();
    assert.ok(expires > 14 * 60_000 && expires <= 15 * 60_000 + 5_000, `${expires} ms`);
    const { text } = await ask(`/${id}`);
    assert.ok(!/tbe_|tbk_|hash/.test(text), text);
    assert.equal(codeOf(await ask(`/${id}`, {}, stranger)), "toolbox_not_found");
  });

  await t.step("wrong, expired, replaced and misplaced tokens enrol nobody", async () => {
    const other = await make({ name: "another" });
    const someone = await thief(id);
    assert.equal(codeOf(await someone.enrol(`tbe_${"A".repeat(43)}`)), "enrolment_token_invalid");
    assert.equal(codeOf(await someone.enrol(tokenOf(other))), "enrolment_token_invalid", "of another toolbox");
    await db.execute("update private.toolbox_enrolments set expires_at = now() where toolbox_id = :'id'", { id });
    assert.equal(codeOf(await someone.enrol(tokenOf(made))), "enrolment_token_expired");
    const again = await ask(`/${id}/enrolment`, { method: "POST" });
    assert.equal(again.status, 201, describe(again));
    assert.equal(codeOf(await someone.enrol(tokenOf(made))), "enrolment_token_invalid", "a newer one took its place");
    assert.equal((await ask(`/${other.json.id}`, { method: "DELETE" })).status, 204);
  });

  await t.step("a stolen token is noticed, and a new one ends what the thief has", async () => {
    const stolen = await ask(`/${id}/enrolment`, { method: "POST" });
    const somebody = await thief(id);
    assert.equal((await somebody.enrol(tokenOf(stolen))).status, 200);
    assert.equal((await somebody.beat()).status, 200);
    assert.equal((await ask(`/${id}`)).json.public_ip_address, "127.0.0.1", "where the thief is");
    const { code, text } = await installed(stolen);
    assert.equal(code, 1, text);
    assert.match(text, /enrolment_token_used|was used/);
    assert.match(text, /the machine did not join/);
    const fresh = await ask(`/${id}/enrolment`, { method: "POST" });
    const ended = await installed(fresh, tokenOf(fresh));
    assert.equal(ended.code, 0, ended.text);
    assert.ok(!ended.text.includes("tbe_"), "the token is shown");
    assert.equal(codeOf(await somebody.beat()), "heartbeat_key_invalid");
  });

  await t.step("it is active at the address that the enrolment came from", async () => {
    const view = await eventually("the toolbox is active", async () => {
      const { json } = await ask(`/${id}`);
      return json.status === "active" ? json : undefined;
    }, { ms: 30_000 });
    assert.equal(view.public_ip_address, droplet.address);
    assert.equal(view.progress, null);
    assert.ok(view.dtma_last_known_version);
    const asked = await ask(`/${id}/refresh-status`, { method: "POST" });
    assert.equal(asked.status, 200, describe(asked));
    assert.equal(asked.json.agent_version, view.dtma_last_known_version);
    assert.equal(asked.json.docker_reachable, true);
  });

  await t.step("a tool is deployed on it", async () => {
    await run("musl-gcc", "-static", "-Os", "-o", `${folder}/pause`, `${REPOSITORY}/tests/chaos/pause.c`);
    await droplet.load("toolbox-byo/pause:1", `${folder}/pause`);
    const reply = await owner.tools.on(id).deploy("a tool", { dockerImage: "toolbox-byo/pause:1" }, {
      catalogId: GENERIC_CATALOG_ID,
      wait: 30,
    });
    assert.equal(reply.status, 201, describe(reply));
    assert.equal(reply.json.status, "running");
  });

  await t.step("a user has as many toolboxes as allowed", async () => {
    const replies = await Promise.all([1, 2, 3, 4].map((n) => make({ name: `one of many ${n}` })));
    const codes = replies.map((reply) => codeOf(reply) ?? "made").sort();
    assert.deepEqual(codes, ["made", "made", "quota_exceeded", "quota_exceeded"]);
  });

  await t.step("an address that is not public, and not allowed, is refused", async () => {
    for (const address of ["127.0.0.2", "169.254.169.254", "192.168.1.1", "::1"]) {
      const reply = await ask(`/${id}`, { method: "PATCH", json: { address } });
      assert.equal(`${reply.status} ${codeOf(reply)}`, "422 validation_failed", describe(reply));
    }
  });

  await t.step("forgotten, it is told nothing any more, and its tools run on", async () => {
    assert.equal(codeOf(await ask(`/${id}`, { method: "DELETE" }, stranger)), "toolbox_not_found");
    assert.equal((await ask(`/${id}`, { method: "DELETE" })).status, 204);
    assert.equal(codeOf(await ask(`/${id}`)), "toolbox_not_found");
    const key = JSON.parse(await machine.sh("cat /var/lib/dtma/keys.json")).keys.agent_to_control;
    const itself = await thief(id);
    assert.equal(codeOf(await itself.call("/desired", { key })), "heartbeat_key_invalid");
    assert.ok((await droplet.containers()).some((c) => c.Config.Labels?.["io.toolbox.instance_id"]));
    const { code, text } = await machine.install(`${folder}/release`, ["uninstall", "--purge"]);
    assert.equal(code, 0, text);
  });

  /** Runs the command of an answer as root of the machine does; `token` must be seen in no process' arguments. */
  async function installed(reply: Reply, token?: string) {
    // Typed into a shell it is no argument of any program, and neither is it in this file.
    await Deno.writeTextFile(droplet.path("/root/typed"), reply.json.enrolment.command, { mode: 0o600 });
    const ended = machine.run(["setsid", "sh", "/root/typed"]);
    if (token !== undefined) await nobodyReads(token, ended);
    return await ended;
  }
});

/** Looks at the arguments of every process of this machine, and so of those in it, until `ended`. */
async function nobodyReads(token: string, ended: Promise<unknown>): Promise<void> {
  let isOver = false;
  ended.finally(() => isOver = true).catch(() => {});
  let looks = 0;
  for (; !isOver; looks++) {
    for await (const { name } of Deno.readDir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const line = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
      assert.ok(!line.includes(token), `the token is an argument: ${line.replaceAll("\0", " ").slice(0, 200)}`);
    }
    await sleep(20);
  }
  assert.ok(looks > 3, "it was looked at");
}

/** Serves a folder inside the machine. */
function served(pid: number, folder: string): AsyncDisposable {
  const server = new Deno.Command("nsenter", {
    args: [
      `--target=${pid}`,
      "--net",
      "--",
      "python3",
      "-m",
      "http.server",
      "--bind",
      "127.0.0.1",
      "--directory",
      folder,
      new URL(RELEASES).port,
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    async [Symbol.asyncDispose]() {
      server.kill();
      await server.status;
    },
  };
}
