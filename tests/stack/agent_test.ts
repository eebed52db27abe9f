/** The agent of the toolbox "local" is part of the stack: its row, its key, its end. Needs DTMA's binary. */
import assert from "node:assert/strict";
import { startStack } from "../lib/stack.ts";

async function answers(url: string, headers: Record<string, string> = {}): Promise<number> {
  try {
    const reply = await fetch(url, { headers, signal: AbortSignal.timeout(2_000) });
    await reply.body?.cancel();
    return reply.status;
  } catch {
    return 0;
  }
}

Deno.test("the toolbox local is registered and its agent answers to its key", async (t) => {
  await using stack = await startStack();
  const { url, dtma, demo, publishable_key, toolbox_id } = stack.ready;
  const key = (await Deno.readTextFile(dtma.key_file)).trim();
  const bearer = { authorization: `Bearer ${key}` };

  await t.step("the demo user owns an active toolbox at the agent's address", async () => {
    const reply = await fetch(`${url}/rest/v1/account_tool_environments?select=id,name,status,public_ip_address,dtma_port`, {
      headers: { apikey: publishable_key, authorization: `Bearer ${demo.access_token}` },
    });
    const port = Number(new URL(dtma.url).port);
    assert.deepEqual(await reply.json(), [
      { id: toolbox_id, name: "local", status: "active", public_ip_address: "127.0.0.1", dtma_port: port },
    ]);
  });

  await t.step("the key is in a file for its owner only, and nothing else opens the door", async () => {
    assert.match(key, /^tbk_[0-9a-f]{64}$/);
    assert.equal((await Deno.stat(dtma.key_file)).mode! & 0o777, 0o600);
    assert.equal(await answers(`${dtma.url}/tools`, bearer), 200);
    assert.equal(await answers(`${dtma.url}/tools`), 401);
  });

  await t.step("a test that kills the agent decides when it comes back", async () => {
    Deno.kill(dtma.pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.equal(await answers(`${dtma.url}/health`), 0);
    await stack.control("start", "dtma");
    assert.equal(await answers(`${dtma.url}/health`), 200);
    assert.notEqual((await stack.state()).dtma.pid, dtma.pid);
    await stack.control("kill", "dtma");
    assert.equal((await stack.state()).dtma.pid, null);
    await stack.control("restart", "dtma");
    assert.equal(await answers(`${dtma.url}/tools`, bearer), 200);
  });
});
