/** An agent's tool environment by the server and by the edge function, with real rows and the simulator's stub machines. */
import assert from "node:assert/strict";
import { Database, eventually, send, signIn, signUp } from "../e2e/lib/mod.ts";
import { startStack } from "../lib/stack.ts";
import { Simulator } from "./simulator.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const SECRET = "fedcba9876543210fedcba9876543210";

Deno.test("an agent's tool environment is made once, and removed", async (t) => {
  await using simulator = await Simulator.open("--stub", "--boot-ms=300", "--requests-per-hour=1000000");
  await using stack = await startStack({ dtma: false });
  const { ready } = stack;
  const db = new Database(ready.admin_db_url);
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const stranger = await signUp(ready, "stranger@toolbox.local");
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const url = `http://127.0.0.1:${port}`;
  const variables = {
    DO_API_TOKEN: simulator.token,
    DO_DEFAULT_REGION: "nyc3",
    DO_DEFAULT_SIZE: "s-1vcpu-1gb",
    TOOLBOX_DIGITALOCEAN_URL: simulator.url,
    TOOLBOX_RELEASE_URL: "https://releases.example",
  };
  const server = new Deno.Command(
    `${Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`}/debug/toolbox-backend`,
    {
      args: ["--listen=127.0.0.1", `--port=${port}`],
      clearEnv: true,
      env: {
        ...variables,
        SUPABASE_URL: ready.url,
        SUPABASE_ANON_KEY: ready.anon_key,
        SUPABASE_SERVICE_ROLE_KEY: ready.service_role_key,
        BACKEND_TO_DTMA_API_KEY: ready.agent_root,
        INTERNAL_API_SECRET: SECRET,
        TOOLBOX_BACKEND_LOG: "error",
      },
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    },
  ).spawn();
  await using _server = {
    async [Symbol.asyncDispose]() {
      server.kill("SIGTERM");
      await server.status;
    },
  };
  await eventually("the server answers", async () => (await send(`${url}/health`)).status === 200 ? true : undefined, {
    ms: 20_000,
  });

  const agentOf = async (who: typeof owner) => {
    const { error } = await who.client.from("agents").insert({ name: "helper" });
    assert.equal(error, null);
    const { data } = await who.client.from("agents").select("id").single();
    return data!.id as string;
  };
  const agent = await agentOf(owner);
  const theirs = await agentOf(stranger);
  const internal = (method: string, id: string, secret = SECRET) =>
    send(`${url}/internal/agents/${id}/${method === "POST" ? "ensure-" : ""}tool-environment`, {
      method,
      headers: { "x-internal-api-secret": secret },
    });
  const byFunction = (method: string, id: string) =>
    send(`${ready.url}/functions/v1/manage-agent-tool-environment/${id}`, {
      method,
      headers: { apikey: ready.publishable_key, authorization: `Bearer ${owner.token}` },
    });
  const droplets = async () => {
    const { body } = await simulator.raw("GET", "/v2/droplets?tag_name=toolbox&per_page=200");
    return body.droplets.map(({ id }: { id: number }) => id) as number[];
  };
  /** The agent on the machine reports. Stubs have none, so the database is told. */
  const reports = (ask: () => ReturnType<typeof internal>) =>
    eventually("it is ready", async () => {
      await db.execute(`select private.advance_tool_environment(id, status, 'active')
        from public.account_tool_environments where kind = 'droplet' and provisioning_step = 'agent'`);
      const reply = await ask();
      assert.ok(reply.status === 200 || reply.status === 202, reply.text);
      return reply.status === 200 ? reply : undefined;
    }, { ms: 60_000, everyMs: 500 });
  const gone = () =>
    eventually("nothing is left", async () => {
      await db.execute(
        "update public.account_tool_environments set machine_asked_at = machine_asked_at - interval '1 minute'",
      );
      assert.deepEqual(await droplets(), []);
      const { data } = await owner.client.from("agents").select("account_tool_environment_id").single();
      return data!.account_tool_environment_id === null ? true : undefined;
    }, { ms: 60_000, everyMs: 500 });

  await t.step("a wrong secret, an unknown agent and a stranger's agent get nothing", async () => {
    const wrong = await internal("POST", agent, "x".repeat(32));
    assert.deepEqual([wrong.status, wrong.json.error], [403, "Forbidden: Invalid internal API secret."]);
    const unknown = await internal("POST", crypto.randomUUID());
    assert.deepEqual([unknown.status, unknown.json.code], [404, "agent_not_found"]);
    for (const method of ["GET", "POST", "DELETE"]) {
      const reply = await byFunction(method, theirs);
      assert.deepEqual([reply.status, reply.json.error.code], [404, "agent_not_found"]);
    }
    assert.deepEqual(await droplets(), []);
  });

  await t.step("the server makes one, however often and at once it is asked", async () => {
    const replies = await Promise.all([1, 2, 3, 4].map(() => internal("POST", agent)));
    for (const reply of replies) assert.ok([202, 409].includes(reply.status), reply.text);
    const reply = await reports(() => internal("POST", agent));
    const [droplet, ...more] = await droplets();
    assert.deepEqual(more, []);
    assert.equal(reply.json.data.droplet_id, droplet);
    assert.equal(reply.json.data.status, "active");
    assert.ok(reply.json.data.ip_address);
    const removed = await internal("DELETE", agent);
    assert.equal(removed.status, 202, removed.text);
    await gone();
    assert.equal((await internal("DELETE", agent)).status, 200, "there is none");
  });

  await t.step("the function does the same by itself, and by the server", async () => {
    await stack.setFunctionEnv(variables);
    const asked = await byFunction("POST", agent);
    assert.equal(asked.status, 202, asked.text);
    assert.ok(asked.json.data.progress.message);
    await stack.setFunctionEnv({ NODE_BACKEND_URL: url, INTERNAL_API_SECRET: SECRET });
    // That ended the function in the middle of its work: its lease passes at once.
    await db.execute(`update public.account_tool_environments
      set provisioning_leased_until = '-infinity', machine_asked_at = machine_asked_at - interval '1 minute',
        provisioning_due_at = least(provisioning_due_at, now()) where provisioning_step is not null`);
    const reply = await reports(() => byFunction("POST", agent));
    assert.deepEqual(await droplets(), [reply.json.data.droplet_id]);
    assert.equal((await byFunction("GET", agent)).json.data.toolbox_id, reply.json.data.toolbox_id);
    assert.equal((await byFunction("DELETE", agent)).status, 202);
    await gone();
  });
});
