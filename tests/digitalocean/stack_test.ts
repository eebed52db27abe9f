/** `toolbox-devstack up --droplets`: the functions learn where to buy, and droplets reach the stack as this machine does. */
import assert from "node:assert/strict";
import { docker, eventually } from "../e2e/lib/mod.ts";
import { startStack } from "../lib/stack.ts";

const project = new URL("../stack/fixture", import.meta.url).pathname;

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
    const ask = async (method: string, path: string, body?: unknown) => {
      const answer = await fetch(digitalocean.url + path, {
        method,
        headers: { authorization: `Bearer ${digitalocean.token}` },
        body: JSON.stringify(body),
      });
      return await answer.json();
    };
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
