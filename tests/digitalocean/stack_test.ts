/** `toolbox-devstack up --droplets`: the functions learn where to buy, and droplets reach the stack as this machine does. */
import assert from "node:assert/strict";
import { docker, eventually } from "../e2e/lib/mod.ts";
import { startStack } from "../lib/stack.ts";

const project = new URL("../stack/fixture", import.meta.url).pathname;

function asking({ url, token }: { url: string; token: string }) {
  return async (method: string, path: string, body?: unknown) => {
    const answer = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await answer.text();
    return text === "" ? null : JSON.parse(text);
  };
}

Deno.test("a stack with droplets", async () => {
  let name = "";
  {
    await using stack = await startStack({ project, dtma: false, args: ["--droplets"] });
    const { url, publishable_key, functions, digitalocean, data_dir } = stack.ready;
    assert.ok(digitalocean);
    const reply = await fetch(functions.echo, { headers: { apikey: publishable_key } });
    const { env } = await reply.json();
    assert.deepEqual(
      [env.DO_API_TOKEN, env.TOOLBOX_DIGITALOCEAN_URL, env.TOOLBOX_RELEASE_URL],
      [digitalocean.token, digitalocean.url, `${url}/releases`],
    );

    await Deno.mkdir(`${data_dir}/releases`);
    await Deno.writeTextFile(`${data_dir}/releases/latest`, "1.2.3\n");
    const ask = asking(digitalocean);
    const { droplet } = await ask("POST", "/v2/droplets", {
      name: "stack-test",
      region: "nyc3",
      size: "s-1vcpu-1gb",
      image: "ubuntu-24-04-x64",
      user_data: `#!/bin/sh\nexec curl -fsS --retry 5 --retry-connrefused ${env.TOOLBOX_RELEASE_URL}/latest`,
    });
    name = `toolbox-droplet-${droplet.id}`;
    const fetched = await eventually("the droplet has fetched the release's version", async () => {
      await docker("exec", name, "test", "-e", "/var/lib/cloud/instance/boot-finished");
      return await docker("exec", name, "cat", "/var/log/cloud-init-output.log");
    });
    assert.equal(fetched.trim(), "1.2.3");
  }
  await assert.rejects(docker("inspect", name), "it ends with its stack");
});

Deno.test("a stack that starts again has the droplets it had", async () => {
  const dataDir = await Deno.makeTempDir();
  await Deno.chmod(dataDir, 0o755);
  // Five ports in a row, away from those that other tests take.
  const port = 18_000 + Math.floor(Math.random() * 300) * 5;
  const options = { project, dtma: false, dataDir, port, args: ["--droplets"] };
  const order = { name: "kept", region: "fra1", size: "s-1vcpu-2gb", image: "debian-12-x64", tags: ["kept"] };
  let before;
  {
    await using stack = await startStack(options);
    const ask = asking(stack.ready.digitalocean!);
    const { droplet } = await ask("POST", "/v2/droplets", order);
    before = await eventually("it is active", async () => {
      const { droplet: now } = await ask("GET", `/v2/droplets/${droplet.id}`);
      return now.status === "active" ? now : undefined;
    });
  }
  const name = `toolbox-droplet-${before.id}`;
  const runs = () => docker("inspect", "--format={{.State.Running}}", name);
  assert.equal((await runs()).trim(), "false", "it stops with its stack");
  {
    await using stack = await startStack(options);
    const ask = asking(stack.ready.digitalocean!);
    assert.deepEqual((await ask("GET", "/v2/droplets?tag_name=kept")).droplets, [before]);
    assert.equal((await runs()).trim(), "true");
    await ask("DELETE", `/v2/droplets/${before.id}`);
    await eventually("its container is gone", async () => (await assert.rejects(runs()), true));
  }
  const owner = JSON.parse(await Deno.readTextFile(`${dataDir}/keys.json`)).stack_id;
  await docker("network", "rm", `toolbox-droplets-${owner}`);
  await Deno.remove(dataDir, { recursive: true });
});
