// The ways in which clients reach the servers of the matrix: at the agent, with its certificate and the toolbox's key, or by the
// project's URL and a token.

import { onCleanup } from "../../bench/cleanup.ts";
import { startAgent } from "../../bench/dtma.ts";
import { GENERIC_CATALOG_ID, startWorld } from "../e2e/lib/mod.ts";
import type { Server } from "./servers.ts";

/** Where a server is, and what a client presents there. */
export interface Endpoint {
  url: string;
  headers: Record<string, string>;
}

export interface Deployed {
  endpoint: Endpoint & { signIn?: boolean };
  /** How its owner reaches it, where clients have to sign in. */
  own?: Endpoint;
  /** What the agent says of the server, once it has been asked. */
  found(): Promise<string>;
  logs(): Promise<string>;
  remove(): Promise<void>;
}

export interface Way {
  /** What clients trust beside public authorities; none is needed by the project's URL. */
  certificate?: string;
  /** Trusts it. */
  client?: Deno.HttpClient;
  /** Who is signed in in the clients' browser. */
  owner?: { url: string; apikey: string; token: string; toolboxId: string };
  /** `more` is more of what a deploy says, where it is one. */
  deploy(server: Server, image: string, more?: Record<string, unknown>): Promise<Deployed>;
  stop(): Promise<void>;
}

interface Health {
  state: string;
  protocol_version?: string;
  tool_count?: number;
}

const found = (mcp?: Health) =>
  mcp ? [mcp.state, mcp.protocol_version, `${mcp.tool_count} tools`].join(", ") : "answers";

/** Every server behind one agent, as a deploy starts it. */
export async function agentWay(program: string): Promise<Way> {
  const agent = await startAgent(program, { tls: true });
  return {
    certificate: agent.certificate,
    client: agent.client,
    stop: agent.stop,
    deploy: async (server, image) => {
      const id = crypto.randomUUID();
      const spec = {
        image,
        entrypoint: server.command.slice(0, 1),
        command: server.command.slice(1),
        transport: server.transport,
        stdin_open: server.transport === "stdio",
        ...(server.port && { ports: [{ container_port: server.port }], mcp_path: server.path ?? "/mcp" }),
        resources: { memory_bytes: 768 << 20, pids: 256 },
        confinement: { tmpfs: ["/tmp"] },
      };
      const container_name = `matrix-${id.slice(0, 8)}`;
      const tool = { generation: 1, desired: "running", name: server.name, container_name, spec };
      const { phase, reason } = await agent.call("PUT", `/tools/${id}`, tool);
      if (phase !== "running") throw new Error(`the instance is ${phase}: ${JSON.stringify(reason)}`);
      return {
        endpoint: { url: `${agent.url}/mcp/${id}`, headers: { Authorization: `Bearer ${agent.key}` } },
        found: async () => found((await agent.call("GET", `/tools/${id}`)).mcp),
        logs: async () => JSON.stringify(await agent.call("GET", `/tools/${id}/logs?tail=60`), null, 1),
        remove: async () => void await agent.call("DELETE", `/tools/${id}?generation=2`),
      };
    },
  };
}

/** Every server on a whole local stack, deployed by its owner, with a token of its own, or without one. */
export async function functionWay({ signIn = false } = {}): Promise<Way> {
  const world = await startWorld();
  const { owner, toolboxId, ready } = world;
  return {
    owner: { url: ready.url, apikey: ready.publishable_key, token: owner.token, toolboxId },
    stop: onCleanup(async () => await world[Symbol.asyncDispose]()),
    deploy: async (server, image, more) => {
      const override = {
        dockerImage: image,
        entrypoint: server.command.slice(0, 1),
        command: server.command.slice(1),
        transport: server.transport,
        ...(server.port && { portMappings: [{ containerPort: server.port }], endpointPath: server.path ?? "/mcp" }),
        resources: { memory: "768m", pids: 256 },
        ...more,
      };
      const options = { catalogId: GENERIC_CATALOG_ID, wait: 30 };
      const deployed = await owner.tools.deploy(server.name, override, options);
      if (deployed.status !== 201) throw new Error(`the deploy answered ${deployed.status}: ${deployed.text}`);
      const { id } = deployed.json.tool_instance;
      const given = await owner.tools.request(`/${toolboxId}/mcp-access`, {
        method: "POST",
        json: { name: server.name, instanceId: id },
      });
      if (given.status !== 201) throw new Error(`no token: ${given.status} ${given.text}`);
      const own = { url: given.json.url, headers: { Authorization: `Bearer ${given.json.token}` } };
      return {
        own,
        endpoint: signIn ? { url: own.url, headers: {}, signIn } : own,
        found: async () => found((await world.agent.call(`/tools/${id}`)).json.mcp),
        logs: async () => (await owner.tools.logs(id)).text,
        remove: async () => void await owner.tools.remove(id, { wait: 30 }),
      };
    },
  };
}
