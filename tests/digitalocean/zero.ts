/** From an order to a tool that answers, on a stack whose droplets are machines; what each step took. */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { type Actor, type Call, describe, docker, eventually, type Reply, SAMPLE_IMAGE, send } from "../e2e/lib/mod.ts";
import type { StackReady } from "../lib/stack.ts";

/** How long each step took, in milliseconds and in their order. */
export class Laps {
  readonly took = new Map<string, number>();
  #step: string | undefined;
  #began = 0;

  /** This step begins, and the one before has ended. */
  begin(step: string): void {
    const now = performance.now();
    if (this.#step === step) return;
    if (this.#step !== undefined) this.took.set(this.#step, (this.took.get(this.#step) ?? 0) + now - this.#began);
    this.#step = step;
    this.#began = now;
  }

  toString(): string {
    return [...this.took].map(([step, ms]) => `${step} ${(ms / 1000).toFixed(1)} s`).join(", ");
  }
}

/** Asks `toolboxes-user`. */
export function askToolboxes(ready: StackReady, who: Actor, path: string, call: Call = {}): Promise<Reply> {
  return send(`${ready.url}/functions/v1/toolboxes-user${path}`, {
    ...call,
    headers: { ...call.headers, apikey: ready.publishable_key, authorization: `Bearer ${who.token}` },
  });
}

/** The clock: it goes on with what is under way. */
export async function tick({ functions, secret_key }: StackReady): Promise<void> {
  await send(`${functions.clock}/tick`, { method: "POST", headers: { apikey: secret_key } });
}

export interface Made {
  id: string;
  /** The droplet's container. */
  droplet: string;
  // deno-lint-ignore no-explicit-any
  view: any;
  percents: number[];
}

/** Orders a toolbox and waits until its agent reports. */
export async function orderToolbox(ready: StackReady, owner: Actor, laps: Laps, ms = 120_000): Promise<Made> {
  laps.begin("order");
  const order = { name: "My first toolbox", regionSlug: "nyc3", sizeSlug: "s-1vcpu-1gb" };
  const reply = await askToolboxes(ready, owner, "", { method: "POST", json: order });
  assert.equal(reply.status, 202, describe(reply));
  const id: string = reply.json.id;
  const percents: number[] = [];
  let droplet = "";
  const view = await eventually("the toolbox is active", async () => {
    await tick(ready);
    const { json } = await askToolboxes(ready, owner, `/${id}`);
    if (json.progress) {
      laps.begin(json.progress.step);
      percents.push(json.progress.percent);
      assert.ok(json.progress.message && json.progress.next, JSON.stringify(json.progress));
    }
    assert.notEqual(json.status, "error_provisioning", json.provisioning_error_message);
    droplet = json.do_droplet_id ? `toolbox-droplet-${json.do_droplet_id}` : droplet;
    return json.status === "active" && json.progress === null ? json : undefined;
  }, { ms, everyMs: 300 }).catch(async (error) => {
    console.error(await docker("exec", droplet, "cat", "/var/log/cloud-init-output.log").catch(String));
    throw error;
  });
  return { id, droplet, view, percents };
}

/** Deploys the sample MCP server there and calls one of its tools; what that answered. */
export async function useTool(owner: Actor, { id, droplet }: Made, laps: Laps): Promise<unknown> {
  laps.begin("image");
  await loaded(droplet, SAMPLE_IMAGE);
  laps.begin("deploy");
  const deployed = await owner.tools.on(id).deploy("sample", {}, { wait: 30 });
  assert.equal(deployed.status, 201, describe(deployed));
  assert.equal(deployed.json.status, "running", deployed.text);
  laps.begin("call");
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
  laps.begin("end");
  await transport.terminateSession();
  await client.close();
  return content;
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
