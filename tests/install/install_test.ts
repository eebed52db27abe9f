/** The installer, on a machine with Docker and without systemd, against a real control plane. */
import { deepStrictEqual as assertEquals, match as assertMatch, ok as assert } from "node:assert";
import { Database, eventually, GENERIC_CATALOG_ID, signIn } from "../e2e/lib/mod.ts";
import { enrolmentToken, startStack } from "../lib/stack.ts";
import { certificateFor, HeartbeatProxy } from "../chaos/proxy.ts";
import { run } from "../chaos/droplet.ts";
import { addVersion, type Ended, Machine, makeRelease } from "./machine.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const NEXT = "0.1.9";

function succeeded({ code, text }: Ended): string {
  assertEquals(code, 0, text);
  return text;
}

Deno.test("a machine is installed, upgraded, kept alive, uninstalled and installed again", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-install-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  const release = `${folder}/release`;
  const version = await makeRelease(release);
  await using stack = await startStack({ dtma: false });
  const { ready } = stack;
  await using machine = await Machine.open(folder);
  const { droplet } = machine;
  const certificate = await certificateFor(droplet.uplink, folder);
  await using proxy = await HeartbeatProxy.open(droplet.uplink, ready.url, certificate);
  const db = new Database(ready.admin_db_url);
  await db.execute(
    "update public.account_tool_environments set public_ip_address = :'address', dtma_port = 30000 where id = :'id'",
    { address: droplet.address, id: ready.toolbox_id },
  );
  await run("musl-gcc", "-static", "-Os", "-o", `${folder}/pause`, `${REPOSITORY}/tests/chaos/pause.c`);
  await droplet.load("toolbox-install/pause:1", `${folder}/pause`);

  const joining = ["--toolbox", ready.toolbox_id, "--control-url", `${proxy.url}/functions/v1/heartbeat`];
  const from = ["--release-url", release];
  const active = () =>
    eventually("the toolbox is active", async () => {
      const { status } = await db.row<{ status: string }>(
        "select status from public.account_tool_environments where id = :'id'",
        { id: ready.toolbox_id },
      );
      return status === "active" ? true : undefined;
    }, { ms: 30_000 });
  const key = async () => JSON.parse(await machine.sh("cat /var/lib/dtma/keys.json")).keys.control_to_agent;
  const asking = async (method: string, path: string, body?: string) =>
    `curl -ksS --fail-with-body -X ${method} -H 'authorization: Bearer ${await key()}' ` +
    `-H 'content-type: application/json' ${body === undefined ? "" : `-d '${body}'`} https://127.0.0.1:3000${path}`;
  const companion = async (method: string, path: string, body?: string) =>
    JSON.parse(await machine.sh(await asking(method, path, body)));
  const agentContainer = () => machine.sh("docker inspect --format '{{.Id}} {{.State.Running}}' dtma");
  // deno-lint-ignore no-explicit-any
  const tools = async (): Promise<any[]> =>
    (await droplet.containers()).filter((c) => c.Config.Labels?.["io.toolbox.instance_id"] !== undefined);

  await t.step("a program that is not what its checksum says is refused before anything is changed", async () => {
    const wrong = `${folder}/wrong`;
    await run("cp", "-r", release, wrong);
    await Deno.writeTextFile(`${wrong}/${version}/dtma-${Deno.build.arch}`, "x", { append: true });
    const { code, text } = await machine.install(wrong, ["--release-url", wrong, ...joining]);
    assertEquals(code, 1, text);
    assertMatch(text, /SHA-256 is [0-9a-f]{64} and should be [0-9a-f]{64}; nothing was changed/);
    await machine.sh("! test -e /usr/local/lib/dtma && ! test -e /etc/dtma && ! test -e /usr/local/bin/dtma");
  });

  await t.step("without a token it says what is missing", async () => {
    await Deno.mkdir(droplet.path("/etc/dtma"));
    await Deno.copyFile(certificate.authority, droplet.path("/etc/dtma/authority.pem"));
    // What the machine's owner wrote stays.
    await Deno.writeTextFile(droplet.path("/etc/dtma/dtma.env"), "DTMA_CONTROL_CA_FILE=/etc/dtma/authority.pem\n");
    const { code, text } = await machine.install(release, [...from, ...joining]);
    assertEquals(code, 1, text);
    assertMatch(text, /there is no enrolment token/);
  });

  await t.step("it joins with a token, and the token is gone", async () => {
    await Deno.writeTextFile(droplet.path("/root/token"), await enrolmentToken(ready), { mode: 0o600 });
    const text = succeeded(await machine.install(release, [...from, ...joining, "--token-file", "/root/token"]));
    assertMatch(text, /Enrolled this machine as toolbox/);
    assert(!text.includes("tbe_"), "the token is shown");
    await active();
    await machine.sh("! test -e /root/token && test $(stat -c %a /etc/dtma/dtma.env) = 600");
    assertEquals(await machine.sh("/usr/local/bin/dtma --version"), `dtma ${version}`);
  });

  await t.step("a second installation changes nothing", async () => {
    const before = await agentContainer();
    const text = succeeded(await machine.install(release, from));
    assertMatch(text, /nothing was changed/);
    assertEquals(await agentContainer(), before);
  });

  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const reply = await owner.tools.deploy("a tool", { dockerImage: "toolbox-install/pause:1" }, {
    catalogId: GENERIC_CATALOG_ID,
    wait: 30,
  });
  assertEquals(reply.status, 201, reply.text);
  const [tool] = await tools();

  await t.step("the agent's container comes back when somebody removes it", async () => {
    // In one go: the companion looks every five seconds.
    const status = JSON.parse(
      await machine.sh(`docker rm -f dtma >/dev/null && ${await asking("GET", "/v1/machine/status")}`),
    );
    assertEquals([status.agent.health, status.served_by], ["down", "companion"]);
    await eventually("the agent is back", async () => {
      const status = await companion("GET", "/v1/machine/status");
      return status.agent.health === "healthy" ? true : undefined;
    }, { ms: 60_000 });
  });

  await addVersion(release, version, NEXT);
  await t.step("the companion redeploys to a version, and rolls back", async () => {
    // Where releases lie must be a URL for the companion.
    const server = new Deno.Command("nsenter", {
      args: [
        `--target=${droplet.pid}`,
        "--net",
        "--",
        "python3",
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        "--directory",
        release,
        "8099",
      ],
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      await eventually("releases are served", () => machine.sh("curl -fsS http://127.0.0.1:8099/latest"), {
        ms: 20_000,
      });
      await machine.sh(
        "echo TOOLBOX_RELEASE_URL=http://127.0.0.1:8099 >>/etc/dtma/dtma.env && /etc/init.d/dtma-companion restart",
      );
      await eventually("the companion answers", () => companion("GET", "/health"), { ms: 20_000 });
      const ended = (id: string) =>
        eventually("the change has ended", async () => {
          const { operation } = await companion("GET", "/v1/machine/operation");
          return operation.id === id && operation.finished_at !== null ? operation : undefined;
        }, { ms: 90_000 });
      for (const [path, body, to] of [["redeploy", `{"version":"${NEXT}"}`, NEXT], ["rollback", undefined, version]]) {
        const { id } = await companion("POST", `/v1/machine/${path}`, body);
        const change = await ended(id);
        assertEquals([change.phase, change.to], ["healthy", to], JSON.stringify(change));
        const status = await companion("GET", "/v1/machine/status");
        assertEquals(status.agent.version, to);
      }
    } finally {
      server.kill();
      await server.status;
    }
  });

  await t.step("an installation upgrades", async () => {
    succeeded(await machine.install(release, [...from, "--version", NEXT]));
    const status = await companion("GET", "/v1/machine/status");
    assertEquals([status.agent.version, status.agent.previous_version], [NEXT, version]);
  });

  await t.step("tools were not touched by any of it", async () => {
    const [now] = await tools();
    assertEquals([now.Id, now.State.StartedAt], [tool.Id, tool.State.StartedAt]);
  });

  await t.step("uninstalled without further words, tools and state stay", async () => {
    const text = succeeded(await machine.install(release, ["uninstall"]));
    assertMatch(text, /go on running/);
    await machine.sh(
      "! test -e /usr/local/bin/dtma && ! test -e /etc/init.d/dtma-companion && test -e /var/lib/dtma/keys.json",
    );
    await machine.sh("! docker inspect dtma >/dev/null 2>&1 && ! pgrep -x dtma");
    assertEquals((await tools()).length, 1);
  });

  await t.step("installed again, it is the same toolbox", async () => {
    succeeded(await machine.install(release, from));
    await active();
    const [now] = await tools();
    assertEquals(now.Id, tool.Id);
  });

  await t.step("uninstalled with --purge, nothing is left", async () => {
    succeeded(await machine.install(release, ["uninstall", "--purge"]));
    assertEquals((await droplet.containers()).length, 0);
    const left = await machine.sh(
      "ls -d /usr/local/lib/dtma /usr/local/bin/dtma /etc/dtma /var/lib/dtma /etc/init.d/dtma-companion /etc/logrotate.d/dtma 2>/dev/null || true",
    );
    assertEquals(left, "");
    assertEquals(
      await machine.sh("docker volume ls -q; docker network ls --filter label=io.toolbox.toolbox_id -q"),
      "",
    );
  });
});

Deno.test("systemd takes the units", async () => {
  const text = await Deno.readTextFile(`${REPOSITORY}/scripts/install/install.sh`);
  const folder = await Deno.makeTempDir({ prefix: "toolbox-units-" });
  try {
    const units = [...text.matchAll(/cat >"\$work\/(dtma[a-z-]*\.service)" <<'U'\n([^]*?)\nU\n/g)];
    assertEquals(units.map(([, name]) => name), ["dtma.service", "dtma-companion.service"]);
    for (const [, name, unit] of units) {
      // The programs are not installed on this machine.
      await Deno.writeTextFile(`${folder}/${name}`, unit.replaceAll(/^ExecStart=\S+/gm, "ExecStart=/bin/true"));
    }
    await Deno.writeTextFile(`${folder}/docker.service`, "[Service]\nExecStart=/bin/true\n");
    const { code, stderr } = await new Deno.Command("systemd-analyze", {
      args: ["verify", `${folder}/dtma.service`, `${folder}/dtma-companion.service`],
    }).output();
    const said = new TextDecoder().decode(stderr);
    assertEquals([code, said], [0, ""]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
