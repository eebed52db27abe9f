/** What callers do, so that the control plane sends an agent each kind of request. */
import assert from "node:assert/strict";
import { Console, describe, eventually, type Reply, type World } from "../lib/mod.ts";

/** Does all of it with one instance, whose id it returns. */
export async function scenario(world: World): Promise<string> {
  const { tools } = world.owner;
  const board = new Console(world.ready, world.owner.token);
  const ok = (reply: Reply, status = 200) => (assert.equal(reply.status, status, describe(reply)), reply.json);
  // Each part of a spec that catalog entry and caller may set.
  const override = {
    environmentVariables: { GREETING: "hello" },
    resources: { memory: "128m", cpu: 0.5, pids: 64 },
    volumes: [{ name: "data", path: "/data" }],
  };
  const id = ok(await tools.deploy("recorded", override, { wait: 60 }), 201).tool_instance.id;
  ok(await tools.list());
  ok(await tools.get(id));
  ok(await tools.logs(id, { tail: 5 }));
  ok(await tools.stop(id, { wait: 60 }));
  ok(await tools.start(id, { wait: 60 }));
  ok(await tools.restart(id, { wait: 60 }));
  ok(await tools.update(id, { ...override, environmentVariables: { GREETING: "hi" } }, { wait: 60 }));
  for (const action of ["status", "diagnose", "operation", "logs?tail=5"]) ok(await board.get(action));
  ok(await tools.remove(id, { wait: 60 }));
  await eventually("it is gone", async () => (await tools.get(id)).status === 404 ? true : undefined);
  return id;
}
