// A tool attacks what is around it: other tools, the agent, the machine, the cloud's metadata. On the whole running stack.
import assert from "node:assert/strict";
import { type ConfigOverride, describe, docker, eventually, GENERIC_CATALOG_ID, startWorld } from "../e2e/lib/mod.ts";

const FIXTURE = new URL("../../crates/dtma/tests/fixtures/fixture.c", import.meta.url).pathname;
const METADATA = "169.254.169.254";

/** Runs a program; throws with its standard error when it fails. */
async function run(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** An image of a program that connects wherever it is asked to. */
async function attackerImage(): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    await run("musl-gcc", "-static", "-O1", "-o", `${folder}/fixture`, FIXTURE);
    await Deno.writeTextFile(`${folder}/Dockerfile`, 'FROM scratch\nCOPY fixture /\nENTRYPOINT ["/fixture"]\n');
    await docker("build", "--quiet", "--tag", "toolbox-test/attacker:1", folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return "toolbox-test/attacker:1";
}

/** The link-local address as a cloud has it, on this machine, with something that answers; gone when disposed. */
async function metadataService(): Promise<Disposable> {
  await run("ip", "address", "replace", `${METADATA}/32`, "dev", "lo");
  const remove = () => {
    new Deno.Command("ip", { args: ["address", "delete", `${METADATA}/32`, "dev", "lo"] }).outputSync();
  };
  try {
    const listener = Deno.listen({ hostname: METADATA, port: 80 });
    return {
      [Symbol.dispose]() {
        listener.close();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

Deno.test("a tool reaches neither other tools nor the machine, unless its deploy says so", async (t) => {
  const agentPort = freePort();
  await using world = await startWorld({
    dtmaEnv: { DTMA_LISTEN: `0.0.0.0:${agentPort}` },
    args: [`--dtma-port=${agentPort}`],
  });
  const image = await attackerImage();
  using _metadata = await metadataService();
  using open = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  using closed = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const { port: openPort } = open.addr as Deno.NetAddr;
  const { port: closedPort } = closed.addr as Deno.NetAddr;

  const deploy = async (name: string, more: ConfigOverride = {}) => {
    const override = {
      dockerImage: image,
      command: ["dialer", "80"],
      portMappings: [{ containerPort: 80 }],
      transport: "none",
      resources: { memory: "32Mi" },
      ...more,
    };
    const reply = await world.owner.tools.deploy(name, override, { wait: 30, catalogId: GENERIC_CATALOG_ID });
    assert.equal(reply.status, 201, describe(reply));
    const container = await world.docker.container(reply.json.tool_instance.id);
    const [{ HostPort }] = container.NetworkSettings.Ports["80/tcp"];
    const own = container.NetworkSettings.Networks[container.HostConfig.NetworkMode];
    return {
      name: container.Name.slice(1) as string,
      address: own.IPAddress as string,
      gateway: own.Gateway as string,
      reaches: (host: string, port: number) =>
        eventually(`${name} answers`, async () => {
          const reply = await fetch(`http://127.0.0.1:${HostPort}/${host}/${port}`).catch(() => undefined);
          const answer = await reply?.text();
          return answer === undefined ? undefined : { yes: answer === "yes" };
        }).then(({ yes }) => yes),
    };
  };
  const alone = await deploy("alone");
  const victim = await deploy("victim");
  const one = await deploy("one", { networks: ["shop"] });
  const two = await deploy("two", { networks: ["shop"] });
  const excepted = await deploy("excepted", { hostAccess: [`host:${openPort}`] });

  await t.step("the attacker's program works", async () => {
    assert(await alone.reaches("127.0.0.1", 80));
    assert(!await alone.reaches("127.0.0.1", 81));
  });

  await t.step("another tool is reached in a common network and nowhere else", async () => {
    for (const host of [victim.address, victim.name, one.name, one.address]) {
      assert(!await alone.reaches(host, 80), host);
    }
    assert(await one.reaches(two.name, 80));
    assert(await two.reaches(one.name, 80));
    assert(!await one.reaches(victim.name, 80));
    assert(!await one.reaches(victim.address, 80));
  });

  await t.step("the machine is reached at no address and no port", async () => {
    const addresses = JSON.parse(await run("ip", "-json", "-4", "address", "show")) as {
      addr_info: { local: string }[];
    }[];
    const own = addresses.flatMap((link) => link.addr_info.map((info) => info.local))
      .filter((address) => !address.startsWith("127.") && address !== METADATA);
    assert(own.includes(alone.gateway));
    for (const address of [alone.gateway, victim.gateway, ...own.slice(0, 8)]) {
      assert(!await alone.reaches(address, agentPort), `the agent at ${address}`);
      assert(!await alone.reaches(address, closedPort), `another port at ${address}`);
    }
    assert(!await one.reaches(one.gateway, closedPort));
  });

  await t.step("cloud metadata is not reached", async () => {
    assert(!await alone.reaches(METADATA, 80));
    assert(!await one.reaches(METADATA, 80));
  });

  await t.step("an exception opens what it names and no more", async () => {
    assert(await excepted.reaches(excepted.gateway, openPort));
    assert(await excepted.reaches("host.docker.internal", openPort));
    assert(!await excepted.reaches(METADATA, 80));
    assert(!await excepted.reaches(excepted.gateway, closedPort));
    assert(!await excepted.reaches(excepted.gateway, agentPort));
    assert(!await alone.reaches(alone.gateway, openPort));
  });

  await t.step("no deploy opens cloud metadata or the agent's port", async () => {
    for (const access of [`${METADATA}:80`, `host:${agentPort}`]) {
      const override = { dockerImage: image, transport: "none", hostAccess: [access] };
      const reply = await world.owner.tools.deploy(`opens ${access}`, override, {
        wait: 30,
        catalogId: GENERIC_CATALOG_ID,
      });
      assert.equal(reply.status, 422, describe(reply));
    }
  });

  await t.step("the agent has tried it with a container of its own, and reports that", async () => {
    const told = await eventually("the agent says so", async () => {
      const { firewall } = await world.db.row<{ firewall: { state: string; detail?: string } | null }>(
        `select dtma_health_details_json -> 'system_metrics' -> 'host_firewall' as firewall
         from public.account_tool_environments where id = :'id'`,
        { id: world.toolboxId },
      );
      return firewall?.state === "unverified" ? undefined : firewall ?? undefined;
    }, { ms: 90_000 });
    assert.equal(told.state, "verified", told.detail);
    const probe = `toolbox-${world.toolboxId.slice(0, 8)}-probe`;
    for (const kind of ["container", "network", "image"]) {
      const all = kind === "container" ? ["--all"] : [];
      const filter = kind === "image" ? `reference=${probe}` : `name=${probe}`;
      assert.equal(await docker(kind, "ls", ...all, "--quiet", "--filter", filter), "", kind);
    }
  });
});

/** A port that nobody listens at. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}
