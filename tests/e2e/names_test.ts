/**
 * Names: 200, or 500 with `scripts/test --thorough`, by hand and from a printed seed, deployed into one toolbox side by
 * side.
 *
 * Every name goes through the whole product: it is refused with a code and leaves nothing, or an instance of it is
 * deployed. Then each is addressed by its name, percent-encoded once, and must reach exactly its own id: by get, by
 * the body style, by stop, by delete. The first `REAL` of them run real containers; the others have an image that
 * nobody serves, so that their deploy ends in `error` within milliseconds. For the routing of names that is the
 * same: rows, the agent's specs and operations are real in both.
 */
import assert from "node:assert/strict";
import {
  CHOSEN,
  codeOf,
  describe,
  eventLogFaults,
  eventually,
  generated,
  type NameCase,
  path,
  pooled,
  REFUSED,
  type Reply,
  seeded,
  startWorld,
  type World,
} from "./lib/mod.ts";
import { thorough } from "../lib/thorough.ts";

const SEED = Number(Deno.env.get("TOOLBOX_TEST_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const ACCEPTED = thorough ? 500 : 200;
const REAL = thorough ? 150 : 40;
/** Enough to keep two cores busy while new containers are watched for a second. */
const WIDTH = 8;
/** Stops and removals wait for Docker alone: more at once only wait longer. */
const WIDTH_OF_ENDS = 4;

interface Deployed extends NameCase {
  id: string;
  real: boolean;
}

Deno.test("hundreds of names: each deploys or is refused with a code, and none reaches another's instance", async (t) => {
  console.log(`names: seed ${SEED} (repeat with TOOLBOX_TEST_SEED=${SEED})`);
  await using world = await startWorld({ functionEnv: { TOOLBOX_MAX_INSTANCES: "2000" } });
  const tools = world.owner.tools;
  const legal = [...CHOSEN, ...generated(ACCEPTED - CHOSEN.length, seeded(SEED))];
  let deployed: Deployed[] = [];
  await using registry = emptyRegistry();
  const deploy = (one: NameCase, real: boolean) => deployAs(world, one, real ? undefined : registry.image);

  await t.step(`${REFUSED.length} bad names are refused with their own code and leave nothing`, async () => {
    await pooled(REFUSED, WIDTH, async ({ name, refused }) => {
      const reply = await tools.deploy(name);
      const said = `${JSON.stringify(name.slice(0, 40))}: ${describe(reply)}`;
      assert.equal(reply.status, 422, said);
      assert.equal(codeOf(reply), "validation_failed", said);
      const codes = reply.json.error.details.errors.map((error: { code: string }) => error.code);
      assert.ok(codes.includes(refused), `expected ${refused}: ${said}`);
      if (name.length > 20) assert.ok(!reply.text.includes(name), "the name is not echoed");
    });
    // Half of a surrogate pair is no text at all; JSON can spell it all the same.
    const half = await tools.request(`/${world.toolboxId}/tools`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: `{"toolCatalogId":"00000000-0000-0000-0000-0000000000aa","instanceNameOnToolbox":"a\\ud83d"}`,
    });
    assert.ok([400, 422].includes(half.status), describe(half));
    const { n } = await world.db.row<{ n: number }>("select count(*)::int as n from public.account_tool_instances");
    assert.equal(n, 0);
    assert.deepEqual(await world.docker.containers(), []);
  });

  const allDeployed = await t.step(`${legal.length} good names deploy`, async () => {
    deployed = await pooled(legal, WIDTH, (name, index) => deploy(name, index < REAL));
    assert.equal(new Set(deployed.map(({ id }) => id)).size, legal.length, "every name has its own instance");
    // Names made of what other instances are called elsewhere.
    const [first, second] = deployed;
    const containerName = (await world.docker.container(first.id)).Name.slice(1);
    const borrowed = [
      containerName,
      containerName.replace(/-[0-9a-f]{8}$/, ""),
      `${second.id}x`,
      second.id.slice(0, 8),
      `/${second.id}`,
    ];
    deployed.push(...await pooled(borrowed.map((name) => ({ name })), 2, (name) => deploy(name, true)));
    const taken = await tools.deploy(first.name);
    assert.equal(taken.status, 409, describe(taken));
    assert.equal(codeOf(taken), "name_taken");
  });
  // Without them the steps below would only repeat that.
  if (!allDeployed) return;

  await t.step("every container has a legal name of its own", async () => {
    const containers = await world.docker.containers();
    assert.equal(containers.length, deployed.filter(({ real }) => real).length);
    for (const { Name: name } of containers) assert.match(name, /^\/[a-z0-9][a-z0-9-]{1,62}$/);
    for (const container of containers) {
      const owner = deployed.find(({ id }) => id === container.Config.Labels["io.toolbox.instance_id"]);
      assert.equal(container.Config.Labels["io.toolbox.name"], owner?.name, "the label holds the name byte for byte");
    }
  });

  await t.step("get by name reaches exactly its own instance, in both styles", async () => {
    const byName = new Map(deployed.map((one) => [one.name, one.id]));
    await pooled(deployed, WIDTH, async ({ name, id }) => {
      reaches(await tools.get(name), id, name);
      const body = { toolboxId: world.toolboxId, action: "get", instanceId: name };
      reaches(await tools.request("/", { method: "POST", json: body }), id, name);

      // Encoded twice, it is another name: of an instance that is called so, or of none.
      const twice = await tools.get(encodeURIComponent(name));
      const other = byName.get(encodeURIComponent(name));
      if (other) reaches(twice, other, encodeURIComponent(name));
      else assert.equal(codeOf(twice), "instance_not_found", describe(twice));
    });
  });

  await t.step("names that were refused reach nothing", async () => {
    await pooled(REFUSED, WIDTH, async ({ name }) => {
      for (const reply of [await tools.get(name), await tools.stop(name), await tools.remove(name)]) {
        // URLs lose a single dot: what is left is the list, never an instance.
        if (["", "."].includes(name) && reply.method === "GET" && reply.status === 200) {
          assert.ok(Array.isArray(reply.json.tool_instances) && !reply.json.tool_instance);
          continue;
        }
        assert.ok([400, 404, 405, 422].includes(reply.status), describe(reply));
        assert.ok(codeOf(reply), describe(reply));
      }
    });
  });

  await t.step("paths as other clients write them", async () => {
    const raw = (segment: string) => tools.request(`/${world.toolboxId}/tools/${segment}`);
    const idOf = (name: string) => deployed.find((one) => one.name === name)!.id;
    reaches(await raw("a+b"), idOf("a+b"), "a plus is a plus");
    reaches(await raw("a%2bb"), idOf("a+b"), "lower-case digits");
    reaches(await raw("a%20b"), idOf("a b"), "a space");
    reaches(await raw("a b"), idOf("a b"), "a space that fetch encodes");
    reaches(await raw("%73erver"), idOf("server"), "encoded without need");
    reaches(await raw("straße"), idOf("straße"), "UTF-8 that fetch encodes");
    reaches(await raw("a%2fb"), idOf("a/b"), "an encoded slash is no separator");
    for (const bad of ["%", "%zz", "%2", "%C3%28", "%ff", "%ED%A0%80", "%C0%AF"]) {
      const reply = await raw(bad);
      assert.ok([400, 404].includes(reply.status) && codeOf(reply), `${bad}: ${describe(reply)}`);
    }
    const slash = await raw("a/b");
    assert.equal(codeOf(slash), "route_not_found", describe(slash));
  });

  await t.step("stop by name stops exactly its own instance", async () => {
    const requests = new Map<string, string>();
    await pooled(deployed, WIDTH_OF_ENDS, async ({ name, id }) => {
      const reply = await tools.stop(name, { wait: 30 });
      assert.equal(reply.status, 200, `${JSON.stringify(name)}: ${describe(reply)}`);
      assert.equal(reply.json.instanceId, id);
      assert.equal(reply.json.status, "stopped");
      requests.set(id, reply.json.request_id);
    });
    const rows = await world.db.rows<{ id: string; generation: number; status_on_toolbox: string; request_id: string }>(
      `
      select i.id, i.generation, i.status_on_toolbox, o.request_id from public.account_tool_instances i
      left join public.tool_instance_operations o on o.tool_instance_id = i.id and o.action = 'stop'`,
    );
    assert.equal(rows.length, deployed.length, "one stop each");
    for (const { id, generation, status_on_toolbox: status, request_id: request } of rows) {
      assert.deepEqual([generation, status, request], [2, "stopped", requests.get(id)], id);
    }
    const running = (await world.docker.containers()).filter((container) => container.State.Running);
    assert.deepEqual(running, []);
  });

  await t.step("delete by name deletes exactly its own instance", async () => {
    // One in ten goes first; all others must still be there, under their names.
    const [going, staying] = [deployed.filter((_, i) => i % 10 === 0), deployed.filter((_, i) => i % 10 !== 0)];
    const remove = ({ name, id }: Deployed) => removed(world, name, id);
    await pooled(going, WIDTH_OF_ENDS, remove);
    const left = await world.db.rows<{ id: string }>("select id from public.account_tool_instances");
    assert.deepEqual(left.map(({ id }) => id).sort(), staying.map(({ id }) => id).sort());
    await pooled(staying, WIDTH_OF_ENDS, remove);
    assert.deepEqual(await world.db.rows("select id from public.account_tool_instances"), []);
    await eventually(
      "no container is left",
      async () => (await world.docker.containers()).length === 0 ? true : undefined,
    );
    for (const { id, name } of deployed.filter((_, i) => i % 25 === 0)) {
      const events = await world.db.events(id);
      assert.deepEqual(eventLogFaults(events), [], name);
      assert.equal(path(events).at(-1), "gone");
    }
  });
});

/** Deploys; with an `image` that nobody has it ends in `error`, without it runs. */
async function deployAs(world: World, one: NameCase, image: string | undefined): Promise<Deployed> {
  const real = image === undefined;
  const reply = await world.owner.tools.deploy(one.name, real ? {} : { dockerImage: image }, { wait: 60 });
  const said = `${JSON.stringify(one.name)}: ${describe(reply)}`;
  assert.equal(reply.status, real ? 201 : 502, said);
  const view = real ? reply.json.tool_instance : reply.json.error.details.tool_instance;
  if (!real) assert.equal(reply.json.error.details.reason.code, "image_tag_not_found", said);
  assert.equal(view.instance_name_on_toolbox, one.name, "the name is kept byte for byte");
  return { ...one, id: view.id, real };
}

/** A registry that has nothing, and says so at once. */
function emptyRegistry(): { image: string } & AsyncDisposable {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
    const { pathname } = new URL(url);
    if (pathname === "/v2/") return Response.json({});
    const errors = [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }];
    return Response.json({ errors }, { status: 404 });
  });
  return {
    image: `127.0.0.1:${server.addr.port}/names/none:1`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** `reply` is about the instance `id` and nothing else. */
function reaches(reply: Reply, id: string, name: string): void {
  assert.equal(reply.status, 200, `${JSON.stringify(name)}: ${describe(reply)}`);
  assert.equal(reply.json.tool_instance.id, id, `${JSON.stringify(name)} reached another instance`);
}

/** Deletes by name; it was this id, and it is gone. */
async function removed(world: World, name: string, id: string): Promise<void> {
  const reply = await world.owner.tools.remove(name, { wait: 60 });
  assert.equal(reply.status, 200, `${JSON.stringify(name)}: ${describe(reply)}`);
  assert.equal(reply.json.instanceId, id);
}
