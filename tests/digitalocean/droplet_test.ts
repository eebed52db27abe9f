/** A droplet of the simulator is a machine: it boots, lets in who has the key, runs Docker and its user data, and leaves nothing. */
import assert from "node:assert/strict";
import { docker, eventually } from "../e2e/lib/mod.ts";
import { Simulator } from "./simulator.ts";

const USER_DATA = `#cloud-config
${
  JSON.stringify({
    packages: ["curl"],
    write_files: [{ path: "/var/lib/test/token", content: "a 'token' $HOME\n", permissions: "0600" }],
    runcmd: [["sh", "-c", "false"], ["sh", "-c", "echo ran $0 >> /var/lib/test/ran", "it's $x"]],
  })
}
`;

Deno.test("a droplet of the simulator", async (t) => {
  const folder = await Deno.makeTempDir();
  let id = 0;
  let address = "";
  let mine = "";
  {
    await using simulator = await Simulator.open("--boot-ms=0", "--list-lag-ms=0");
    mine = `--filter=label=io.toolbox.simulator=alone-${simulator.process.pid}`;
    const droplet = async () => (await simulator.ask("GET", `/v2/droplets/${id}`)).body.droplet;
    const act = async (type: string) => {
      const { body } = await simulator.ask("POST", `/v2/droplets/${id}/actions`, { type });
      await eventually(`${type} is completed`, async () => {
        const { body: now } = await simulator.ask("GET", `/v2/actions/${body.action.id}`);
        return now.action.status === "completed" || undefined;
      });
    };
    const ssh = async (...command: string[]) => {
      const known = ["-o", "StrictHostKeyChecking=accept-new", "-o", `UserKnownHostsFile=${folder}/known`];
      const bounds = ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-i", `${folder}/key`];
      const { success, stdout, stderr } = await new Deno.Command("ssh", {
        args: [...bounds, ...known, `root@${address}`, ...command],
        stdin: "null",
        signal: AbortSignal.timeout(20_000),
      }).output();
      if (!success) throw new Error(new TextDecoder().decode(stderr));
      return new TextDecoder().decode(stdout);
    };

    await t.step("it is ordered, and runs", async () => {
      const made = await new Deno.Command("ssh-keygen", {
        args: ["-q", "-t", "ed25519", "-N", "", "-f", `${folder}/key`],
      }).output();
      assert.ok(made.success);
      const public_key = (await Deno.readTextFile(`${folder}/key.pub`)).trim();
      const { body: key } = await simulator.ask("POST", "/v2/account/keys", { name: "test", public_key });
      const { body } = await simulator.ask("POST", "/v2/droplets", {
        name: "droplet-test",
        region: "nyc3",
        size: "s-1vcpu-1gb",
        image: "ubuntu-24-04-x64",
        ssh_keys: [key.ssh_key.fingerprint],
        user_data: USER_DATA,
      });
      id = body.droplet.id;
      const active = await eventually("it is active", async () => {
        const now = await droplet();
        return now.status === "active" ? now : undefined;
      });
      address = active.networks.v4[0].ip_address;
      assert.equal(await eventually("sshd lets in", () => ssh("hostname")), "droplet-test\n");
      await eventually("its Docker answers", () => ssh("docker", "version"));
    });

    await t.step("its user data ran, as it is written", async () => {
      await eventually("it has ended", () => ssh("test -e /var/lib/cloud/instance/boot-finished"));
      assert.equal(await ssh("cat /var/lib/cloud/instance/user-data.txt"), USER_DATA);
      assert.equal(await ssh("cat /var/lib/test/ran"), "ran it's $x\n");
      assert.equal(await ssh("cat /var/lib/test/token; stat -c %a /var/lib/test/token"), "a 'token' $HOME\n600\n");
    });

    await t.step("a reboot keeps what it has, and runs nothing again", async () => {
      await ssh("echo kept > /usr/local/kept");
      await act("reboot");
      assert.equal(
        await eventually("sshd lets in", () => ssh("cat /usr/local/kept /var/lib/test/ran")),
        "kept\nran it's $x\n",
      );
      await eventually("its Docker answers", () => ssh("docker", "version"));
      assert.equal((await droplet()).networks.v4[0].ip_address, address);
    });

    await t.step("switched off, it is away; switched on, it is back", async () => {
      await act("power_off");
      await assert.rejects(ssh("true"));
      await act("power_on");
      await eventually("sshd lets in", () => ssh("true"));
    });

    await t.step("one that never boots has an address, where nothing is", async () => {
      await simulator.faults({ on: "POST /v2/droplets", machine: "never_boots" });
      const order = { name: "dead", region: "nyc3", size: "s-1vcpu-1gb", image: "ubuntu-24-04-x64" };
      const { body } = await simulator.ask("POST", "/v2/droplets", order);
      const dead = await eventually("it is active", async () => {
        const { body: now } = await simulator.ask("GET", `/v2/droplets/${body.droplet.id}`);
        return now.droplet.status === "active" ? now.droplet : undefined;
      });
      assert.deepEqual(await lines("ps", "--all", "--quiet", `--filter=name=toolbox-droplet-${dead.id}`), []);
    });

    await t.step("deleted, it leaves no container and no volume", async () => {
      const format = "--format={{range .Mounts}}{{.Name}}\n{{end}}";
      const volumes = await lines("inspect", format, `toolbox-droplet-${id}`);
      assert.equal(volumes.length, 2, "for Docker, and for what it changes of /usr");
      assert.equal((await simulator.ask("DELETE", `/v2/droplets/${id}`)).status, 204);
      await eventually("it is gone", async () => {
        const containers = await lines("ps", "--all", "--quiet", mine);
        const there = await lines("volume", "ls", "--quiet");
        return containers.length === 0 && !volumes.some((name) => there.includes(name)) || undefined;
      });
    });
  }
  assert.deepEqual(await lines("network", "ls", "--quiet", mine), [], "the simulator leaves no network");
  await Deno.remove(folder, { recursive: true });
});

/** The lines that a docker command prints. */
async function lines(...command: string[]): Promise<string[]> {
  return (await docker(...command)).split("\n").filter(Boolean);
}
