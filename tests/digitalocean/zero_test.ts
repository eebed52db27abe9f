/**
 * From nothing to a tool that answers, and back to nothing: a user orders a toolbox, watches it, deploys an MCP server on it,
 * calls one of its tools, and removes the toolbox. Only DigitalOcean's API is simulated: the droplet is a machine that runs its
 * user data, which installs the agent.
 */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { makeRelease } from "../install/machine.ts";
import { startStack } from "../lib/stack.ts";
import {
  type Call,
  codeOf,
  describe,
  docker,
  eventually,
  type Reply,
  SAMPLE_IMAGE,
  send,
  signIn,
  signUp,
} from "../e2e/lib/mod.ts";

Deno.test("from nothing to a tool on a droplet", async (t) => {
  await using stack = await startStack({ dtma: false, args: ["--droplets"] });
  const { ready } = stack;
  await makeRelease(`${ready.data_dir}/releases`);
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const stranger = await signUp(ready, "stranger@toolbox.local");
  const ask = (path: string, call: Call = {}, who = owner): Promise<Reply> =>
    send(`${ready.url}/functions/v1/toolboxes-user${path}`, {
      ...call,
      headers: { ...call.headers, apikey: ready.publishable_key, authorization: `Bearer ${who.token}` },
    });
  const steps: string[] = [];
  const took = new Map<string, number>();
  let began = Date.now();
  const moved = (step: string) => {
    if (steps.at(-1) === step) return;
    if (steps.length > 0) took.set(steps.at(-1)!, Date.now() - began);
    steps.push(step);
    began = Date.now();
  };
  let id = "";
  let droplet = "";

  await t.step("what can be bought has its price", async () => {
    const reply = await ask("/options");
    assert.equal(reply.status, 200, describe(reply));
    assert.ok(reply.text.includes("s-1vcpu-1gb") && /price|usd/.test(reply.text), reply.text.slice(0, 500));
  });

  await t.step("an order is accepted, and its progress is told until the machine reports", async () => {
    moved("order");
    const order = { name: "My first toolbox", regionSlug: "nyc3", sizeSlug: "s-1vcpu-1gb" };
    const reply = await ask("", { method: "POST", json: order });
    assert.equal(reply.status, 202, describe(reply));
    id = reply.json.id;
    const percents: number[] = [];
    const view = await eventually("the toolbox is active", async () => {
      await tick(stack.ready);
      const { json } = await ask(`/${id}`);
      if (json.progress) {
        moved(json.progress.step);
        percents.push(json.progress.percent);
        assert.ok(json.progress.message && json.progress.next, JSON.stringify(json.progress));
      }
      assert.notEqual(json.status, "error_provisioning", json.provisioning_error_message);
      droplet = json.do_droplet_id ? `toolbox-droplet-${json.do_droplet_id}` : droplet;
      // An agent can report before anybody has looked where its machine is.
      return json.status === "active" && json.progress === null ? json : undefined;
    }, { ms: 120_000, everyMs: 300 }).catch(async (error) => {
      console.error(await docker("exec", droplet, "cat", "/var/log/cloud-init-output.log").catch(String));
      throw error;
    });
    assert.deepEqual(percents, percents.toSorted((a, b) => a - b), "progress goes forward");
    assert.ok(view.public_ip_address && view.dtma_last_known_version, JSON.stringify(view));
    assert.ok(view.cost.per_month_usd > 0 && view.cost.so_far_usd >= 0);
    moved("deploy");
  });

  await t.step("nobody else sees it", async () => {
    assert.equal(codeOf(await ask(`/${id}`, {}, stranger)), "toolbox_not_found");
    assert.equal(codeOf(await ask(`/${id}`, { method: "DELETE" }, stranger)), "toolbox_not_found");
  });

  await t.step("the sample MCP server runs there, and one of its tools answers", async () => {
    await loaded(droplet, SAMPLE_IMAGE);
    const deployed = await owner.tools.on(id).deploy("sample", {}, { wait: 30 });
    assert.equal(deployed.status, 201, describe(deployed));
    assert.equal(deployed.json.status, "running", deployed.text);
    const token = await owner.tools.request(`/${id}/mcp-access`, {
      method: "POST",
      json: { name: "test", instanceId: deployed.json.id },
    });
    assert.equal(token.status, 201, describe(token));
    const client = new Client({ name: "zero", version: "1" });
    const transport = new StreamableHTTPClientTransport(new URL(token.json.url), {
      requestInit: { headers: { authorization: `Bearer ${token.json.token}` } },
    });
    await client.connect(transport);
    const { content } = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
    assert.deepEqual(content, [{ type: "text", text: "5" }]);
    await transport.terminateSession();
    await client.close();
    moved("done");
  });
  console.log(`  ${[...took].map(([step, ms]) => `${step} ${(ms / 1000).toFixed(1)} s`).join(", ")}`);

  await t.step("on the machine is no secret but its own", async () => {
    const data = await docker("exec", droplet, "cat", "/var/lib/cloud/instance/user-data.txt");
    const log = await docker("exec", droplet, "cat", "/var/log/cloud-init-output.log");
    const token = data.match(/tbe_[A-Za-z0-9_-]{43}/)?.[0];
    assert.ok(token && !log.includes(token), "the token is in the log");
    for (const secret of [ready.secret_key, ready.service_role_key, ready.agent_root, ready.digitalocean!.token]) {
      assert.ok(!data.includes(secret) && !log.includes(secret));
    }
    const enrolled = await send(`${ready.functions.heartbeat}/${id}/enrol`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      json: { version: "1.0.0", api_version: 2, certificate_pem: "x" },
    });
    assert.ok(enrolled.status >= 400, "the token opens nothing any more");
  });

  await t.step("removed, machine, firewall and row are gone", async () => {
    const reply = await ask(`/${id}`, { method: "DELETE" });
    assert.equal(reply.status, 202, describe(reply));
    await eventually("the row is gone", async () => {
      await tick(stack.ready);
      return codeOf(await ask(`/${id}`)) === "toolbox_not_found" || undefined;
    }, { ms: 60_000, everyMs: 300 });
    await assert.rejects(docker("inspect", droplet), "the droplet is there still");
    const { url, token } = ready.digitalocean!;
    const headers = { authorization: `Bearer ${token}` };
    const left = await fetch(`${url}/v2/firewalls`, { headers, signal: AbortSignal.timeout(10_000) });
    assert.deepEqual((await left.json()).firewalls, []);
  });
});

/** The clock: it goes on with what is under way. */
async function tick(
  { functions, secret_key }: { functions: Record<string, string>; secret_key: string },
): Promise<void> {
  await send(`${functions.heartbeat}/tick`, { method: "POST", headers: { apikey: secret_key } });
}

/** Gives an image of this machine to a droplet's Docker. */
async function loaded(droplet: string, image: string): Promise<void> {
  const file = await Deno.makeTempFile({ suffix: ".tar" });
  try {
    await docker("save", "--output", file, image);
    await docker("cp", file, `${droplet}:/root/image.tar`);
    await docker("exec", droplet, "docker", "load", "--input", "/root/image.tar");
  } finally {
    await Deno.remove(file);
  }
}
