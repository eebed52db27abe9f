/** The simulator keeps DigitalOcean's contract and rules, and fails as a test tells it to. */
import assert from "node:assert/strict";
import { eventually } from "../e2e/lib/mod.ts";
import { Simulator } from "./simulator.ts";

const ORDER = { name: "a", region: "nyc3", size: "s-1vcpu-1gb", image: "ubuntu-24-04-x64", tags: ["toolbox", "a"] };
const FIREWALL = {
  name: "of-this-test",
  inbound_rules: [{ protocol: "tcp", ports: "22", sources: { addresses: ["0.0.0.0/0"] } }],
  tags: ["toolbox"],
};

Deno.test("the simulator of DigitalOcean", async (t) => {
  await using simulator = await Simulator.open("--stub", "--boot-ms=100", "--list-lag-ms=0");
  const order = async (changes: Record<string, unknown> = {}) => {
    const { status, body } = await simulator.ask("POST", "/v2/droplets", { ...ORDER, ...changes });
    assert.equal(status, 202, JSON.stringify(body));
    return body.droplet.id as number;
  };
  const droplet = async (id: number) => (await simulator.ask("GET", `/v2/droplets/${id}`)).body.droplet;
  const active = (id: number) =>
    eventually(`droplet ${id} is active`, async () => {
      const now = await droplet(id);
      return now.status === "active" ? now : undefined;
      // Seldom enough for the limit of requests a minute.
    }, { ms: 5_000, everyMs: 100 });
  const act = async (id: number, what: Record<string, unknown>) => {
    const { status, body } = await simulator.ask("POST", `/v2/droplets/${id}/actions`, what);
    assert.equal(status, 201, `${what.type}: ${JSON.stringify(body)}`);
    assert.equal(body.action.status, "in-progress");
    await eventually(`${what.type} is completed`, async () => {
      const { body: now } = await simulator.ask("GET", `/v2/actions/${body.action.id}`);
      return now.action.status === "completed" || undefined;
    }, { ms: 5_000, everyMs: 20 });
  };
  const clear = async () => {
    await simulator.faults();
    const { body } = await simulator.raw("GET", "/simulator/droplets");
    for (const { id } of body) await simulator.ask("DELETE", `/v2/droplets/${id}`);
  };

  await t.step("every request of the client is one that the contract allows", async () => {
    const requests = JSON.parse(await Deno.readTextFile(new URL("requests.json", import.meta.url)));
    assert.ok(requests.length > 20);
    for (const { method, path, body } of requests) await simulator.ask(method, path, body ?? undefined);
    const broken = { ...requests.find((r: { path: string }) => r.path === "/v2/droplets").body, name: 1 };
    await assert.rejects(simulator.ask("POST", "/v2/droplets", broken), /breaks the contract/, "Prism looks");
    await clear();
  });

  await t.step("a droplet becomes active, and is gone after its deletion", async () => {
    // Long enough that it is seen before, also on a machine that is busy.
    await simulator.settings({ boot_ms: 2000 });
    const id = await order({ user_data: "#cloud-config\n" });
    const made = await droplet(id);
    await simulator.settings({ boot_ms: 100 });
    assert.deepEqual([made.status, made.locked, made.networks.v4], ["new", true, []]);
    const { networks, locked } = await active(id);
    assert.deepEqual([networks.v4.length, locked], [1, false]);
    const { body: told } = await simulator.raw("GET", "/simulator/droplets");
    assert.equal(told[0].user_data, "#cloud-config\n");
    for (const filter of ["tag_name=a", "tag_name=toolbox", "name=a"]) {
      const { body } = await simulator.ask("GET", `/v2/droplets?${filter}`);
      assert.deepEqual(body.droplets.map((d: { id: number }) => d.id), [id], filter);
    }
    assert.equal((await simulator.ask("GET", "/v2/droplets?tag_name=b")).body.meta.total, 0);
    assert.equal((await simulator.ask("DELETE", `/v2/droplets/${id}`)).status, 204);
    assert.equal((await simulator.ask("DELETE", `/v2/droplets/${id}`)).status, 404);
    assert.equal((await simulator.ask("GET", `/v2/droplets/${id}`)).body.id, "not_found");
  });

  await t.step("actions", async () => {
    // Long enough that it is asked before, also on a machine that is busy.
    await simulator.settings({ boot_ms: 2000 });
    const id = await order();
    const { status, body } = await simulator.ask("POST", `/v2/droplets/${id}/actions`, { type: "reboot" });
    await simulator.settings({ boot_ms: 100 });
    assert.deepEqual([status, body.id], [422, "unprocessable_entity"], "it is being made");
    await active(id);
    await act(id, { type: "reboot" });
    await act(id, { type: "rename", name: "b" });
    await act(id, { type: "power_off" });
    assert.equal((await droplet(id)).status, "off");
    await act(id, { type: "resize", size: "s-2vcpu-2gb", disk: false });
    await act(id, { type: "power_on" });
    const now = await droplet(id);
    assert.deepEqual([now.name, now.size_slug, now.disk, now.status], ["b", "s-2vcpu-2gb", 25, "active"]);
    await clear();
  });

  await t.step("what DigitalOcean refuses", async () => {
    for (const wrong of [{ size: "s-none" }, { region: "nyc" }, { image: "none" }, { ssh_keys: ["aa:bb"] }]) {
      const { status, body } = await simulator.ask("POST", "/v2/droplets", { ...ORDER, ...wrong });
      assert.deepEqual([status, body.id], [422, "unprocessable_entity"], JSON.stringify(wrong));
    }
    for (const path of ["/v2/account", "/v2/droplets"]) {
      const { status, body } = await simulator.ask("GET", path, undefined, "wrong");
      assert.deepEqual([status, body.id], [401, "unauthorized"]);
    }
    assert.equal((await simulator.raw("GET", "/simulator/droplets", undefined, "wrong")).status, 401);
  });

  await t.step("firewalls hold by tag, keys are known by their fingerprint", async () => {
    await simulator.ask("DELETE", "/v2/tags/toolbox");
    assert.equal((await simulator.ask("POST", "/v2/firewalls", FIREWALL)).status, 422, "the tag does not exist");
    assert.equal((await simulator.ask("POST", "/v2/tags", { name: "toolbox" })).status, 201);
    const { body } = await simulator.ask("POST", "/v2/firewalls", FIREWALL);
    assert.equal((await simulator.ask("POST", "/v2/firewalls", FIREWALL)).status, 409);
    const { body: keys } = await simulator.ask("GET", "/v2/account/keys");
    const [key] = keys.ssh_keys;
    const again = await simulator.ask("POST", "/v2/account/keys", { name: "other", public_key: key.public_key });
    assert.equal(again.status, 422, "the key is there already");
    const id = await order({ ssh_keys: [key.fingerprint] });
    const { body: held } = await simulator.ask("GET", `/v2/droplets/${id}/firewalls`);
    assert.deepEqual(held.firewalls.map((f: { id: string }) => f.id), [body.firewall.id]);
    assert.equal((await simulator.ask("DELETE", `/v2/firewalls/${body.firewall.id}`)).status, 204);
    assert.equal((await simulator.ask("DELETE", `/v2/account/keys/${key.id}`)).status, 204);
    await clear();
  });

  await t.step("pages", async () => {
    for (const name of ["a", "b", "c"]) await order({ name });
    const seen = [];
    for (let page = 1, more = true; more; page++) {
      const { body } = await simulator.ask("GET", `/v2/droplets?per_page=2&page=${page}`);
      seen.push(...body.droplets.map((d: { name: string }) => d.name));
      assert.equal(body.meta.total, 3);
      more = body.links.pages?.next !== undefined;
    }
    assert.deepEqual(seen, ["c", "b", "a"]);
    await clear();
  });

  await t.step("faults: carried out, and answered with something else", async () => {
    const count = async () => (await simulator.ask("GET", "/v2/droplets?tag_name=a")).body.meta.total;
    for (const answer of [{ status: 500 }, { status: 429 }, "cut"] as const) {
      await simulator.faults({ on: "POST /v2/droplets", answer, carried_out: true, retry_after: 7 });
      const asked = simulator.raw("POST", "/v2/droplets", ORDER);
      if (answer === "cut") {
        await assert.rejects(asked);
      } else {
        const { status, headers } = await asked;
        assert.deepEqual([status, headers.get("retry-after")], [answer.status, "7"]);
      }
      assert.equal(await count(), 1, JSON.stringify(answer));
      await clear();
      await simulator.faults({ on: "POST /v2/droplets", answer: { status: 503 } });
      assert.equal((await simulator.ask("POST", "/v2/droplets", ORDER)).status, 503);
      assert.equal(await count(), 0);
    }
    await simulator.faults({ on: "POST /v2/droplets", answer: "silence", carried_out: true });
    const silent = fetch(`${simulator.url}/v2/droplets`, {
      method: "POST",
      headers: { authorization: `Bearer ${simulator.token}` },
      body: JSON.stringify(ORDER),
      signal: AbortSignal.timeout(300),
    });
    await assert.rejects(silent, /timed out/);
    assert.equal(await count(), 1);
    await clear();
    assert.equal((await simulator.raw("PUT", "/simulator/faults", [{ on: "GET /", unknown: 1 }])).status, 400);
  });

  await t.step("faults: a droplet that is never active, one that moves", async () => {
    await simulator.faults({ on: "POST /v2/droplets", machine: "never_active" });
    const stuck = await order({ name: "stuck" });
    const other = await active(await order());
    assert.equal((await droplet(stuck)).status, "new");
    await simulator.raw("PUT", `/simulator/droplets/${other.id}/address`, "127.77.99.99");
    assert.equal((await droplet(other.id)).networks.v4[0].ip_address, "127.77.99.99");
    await clear();
  });

  await t.step("lists are behind", async () => {
    await simulator.settings({ list_lag_ms: 60_000 });
    const id = await order();
    assert.equal((await droplet(id)).id, id);
    assert.equal((await simulator.ask("GET", "/v2/droplets?tag_name=a")).body.meta.total, 0);
    await simulator.settings({ list_lag_ms: 0 });
    assert.equal((await simulator.ask("GET", "/v2/droplets?tag_name=a")).body.meta.total, 1);
    await clear();
  });

  await t.step("too many requests", async () => {
    await simulator.settings({ requests_per_hour: 40 });
    const { headers } = await simulator.ask("GET", "/v2/account");
    assert.deepEqual([headers.get("ratelimit-limit"), headers.get("ratelimit-remaining")], ["40", "39"]);
    await simulator.ask("GET", "/v2/account");
    const refused = await simulator.ask("GET", "/v2/account");
    assert.deepEqual([refused.status, refused.body.id], [429, "too_many_requests"]);
    assert.ok(Number(refused.headers.get("retry-after")) > 0);
    await simulator.settings({ requests_per_hour: 5000 });
  });

  await t.step("what was asked is told", async () => {
    const { body } = await simulator.raw("GET", "/simulator/requests");
    assert.deepEqual(body.at(-1), { method: "GET", path: "/v2/account", status: 429 });
  });
});
