/**
 * From nothing to a tool that answers, and back to nothing: a user orders a toolbox, watches it, deploys an MCP server on it,
 * calls one of its tools, and removes the toolbox. Only DigitalOcean's API is simulated: the droplet is a machine that runs its
 * user data, which installs the agent.
 */
import assert from "node:assert/strict";
import { makeRelease } from "../install/machine.ts";
import { startStack } from "../lib/stack.ts";
import { type Call, codeOf, describe, docker, eventually, type Reply, send, signIn, signUp } from "../e2e/lib/mod.ts";
import { askToolboxes, Laps, type Made, orderToolbox, tick, useTool } from "./zero.ts";

Deno.test("from nothing to a tool on a droplet", async (t) => {
  await using stack = await startStack({ dtma: false, args: ["--droplets"] });
  const { ready } = stack;
  await makeRelease(`${ready.data_dir}/releases`);
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const stranger = await signUp(ready, "stranger@toolbox.local");
  const ask = (path: string, call: Call = {}, who = owner): Promise<Reply> => askToolboxes(ready, who, path, call);
  const laps = new Laps();
  let made: Made;

  await t.step("what can be bought has its price", async () => {
    const reply = await ask("/options");
    assert.equal(reply.status, 200, describe(reply));
    assert.ok(reply.text.includes("s-1vcpu-1gb") && /price|usd/.test(reply.text), reply.text.slice(0, 500));
  });

  await t.step("an order is accepted, and its progress is told until the machine reports", async () => {
    made = await orderToolbox(ready, owner, laps);
    const { view, percents } = made;
    assert.deepEqual(percents, percents.toSorted((a, b) => a - b), "progress goes forward");
    assert.ok(view.public_ip_address && view.dtma_last_known_version, JSON.stringify(view));
    assert.ok(view.cost.per_month_usd > 0 && view.cost.so_far_usd >= 0);
  });

  await t.step("nobody else sees it", async () => {
    assert.equal(codeOf(await ask(`/${made.id}`, {}, stranger)), "toolbox_not_found");
    assert.equal(codeOf(await ask(`/${made.id}`, { method: "DELETE" }, stranger)), "toolbox_not_found");
  });

  await t.step("the sample MCP server runs there, and one of its tools answers", async () => {
    assert.deepEqual(await useTool(owner, made, laps), [{ type: "text", text: "5" }]);
  });
  console.log(`  ${laps}`);

  await t.step("on the machine is no secret but its own", async () => {
    const data = await docker("exec", made.droplet, "cat", "/var/lib/cloud/instance/user-data.txt");
    const log = await docker("exec", made.droplet, "cat", "/var/log/cloud-init-output.log");
    const token = data.match(/tbe_[A-Za-z0-9_-]{43}/)?.[0];
    assert.ok(token && !log.includes(token), "the token is in the log");
    for (const secret of [ready.secret_key, ready.service_role_key, ready.agent_root, ready.digitalocean!.token]) {
      assert.ok(!data.includes(secret) && !log.includes(secret));
    }
    const enrolled = await send(`${ready.functions.heartbeat}/${made.id}/enrol`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      json: { version: "1.0.0", api_version: 2, certificate_pem: "x" },
    });
    assert.ok(enrolled.status >= 400, "the token opens nothing any more");
  });

  await t.step("removed, machine, firewall and row are gone", async () => {
    const reply = await ask(`/${made.id}`, { method: "DELETE" });
    assert.equal(reply.status, 202, describe(reply));
    await eventually("the row is gone", async () => {
      await tick(ready);
      return codeOf(await ask(`/${made.id}`)) === "toolbox_not_found" || undefined;
      // One that was ordered less than a minute ago may still come.
    }, { ms: 120_000, everyMs: 300 });
    await assert.rejects(docker("inspect", made.droplet), "the droplet is there still");
    const { url, token } = ready.digitalocean!;
    const headers = { authorization: `Bearer ${token}` };
    const left = await fetch(`${url}/v2/firewalls`, { headers, signal: AbortSignal.timeout(10_000) });
    assert.deepEqual((await left.json()).firewalls, []);
  });
});
