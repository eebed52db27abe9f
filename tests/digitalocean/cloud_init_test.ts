/**
 * The user data of an order as a real machine reads it: a droplet with a Debian and cloud-init of its own joins by it, and its
 * tools run. Its image takes two minutes to make, once, so this is a test of `scripts/test --thorough`.
 */
import assert from "node:assert/strict";
import { docker, signIn } from "../e2e/lib/mod.ts";
import { makeRelease } from "../install/machine.ts";
import { startStack } from "../lib/stack.ts";
import { thorough } from "../lib/thorough.ts";
import { Laps, orderToolbox, useTool } from "./zero.ts";

const SCRIPT = new URL("./cloud-init-image", import.meta.url).pathname;

Deno.test({ name: "cloud-init makes a toolbox of a machine", ignore: !thorough }, async (t) => {
  const made = await new Deno.Command(SCRIPT, { stdout: "piped", stderr: "inherit" }).output();
  assert.ok(made.success, "the image could not be made");
  const image = new TextDecoder().decode(made.stdout).trim();
  await using stack = await startStack({ dtma: false, args: ["--droplets", `--droplet-image=${image}`] });
  const { ready } = stack;
  await makeRelease(`${ready.data_dir}/releases`);
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const laps = new Laps();
  const toolbox = await orderToolbox(ready, owner, laps, 300_000);

  await t.step("a tool of it answers", async () => {
    assert.deepEqual(await useTool(owner, toolbox, laps), [{ type: "text", text: "5" }]);
  });
  console.log(`  ${laps}`);

  await t.step("cloud-init did all that it was told", async () => {
    const inside = (...command: string[]) => docker("exec", toolbox.droplet, ...command);
    const status = JSON.parse(await inside("cloud-init", "status", "--wait", "--format=json"));
    assert.deepEqual([status.status, status.errors], ["done", []], JSON.stringify(status));
    const seed = await inside("cat", "/var/lib/cloud/seed/nocloud-net/user-data");
    assert.equal(await inside("cat", "/var/lib/cloud/instance/user-data.txt"), seed, "exactly what was ordered");
    await inside("cloud-init", "schema", "--system");
    assert.match(await inside("nft", "list", "table", "inet", "toolbox_host"), /policy drop/);
    assert.equal((await inside("systemctl", "is-enabled", "toolbox-firewall.service")).trim(), "enabled");
    assert.match(await inside("cat", "/etc/apt/apt.conf.d/20auto-upgrades"), /Unattended-Upgrade "1"/);
    await assert.rejects(inside("test", "-e", "/var/lib/toolbox/token"), "the token is used and gone");
  });
});
