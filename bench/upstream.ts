// What a function talks to: PostgREST and DTMA on one loopback port, answering at once with the real payloads, and
// counting every request. It serves inside the harness, which sleeps while the load generator runs.

import {
  instanceId,
  instanceRow,
  INSTANCES,
  type Row,
  STOPPED,
  tables,
  TOOLBOX_ID,
  toolList,
  toolView,
} from "./fixtures.ts";
import type { Target } from "./handlers.ts";
import { identity } from "./identity.ts";
import { read } from "./postgrest.ts";

export interface Upstream extends Target {
  /** Requests since the last call, such as `GET /rest/v1/account_tool_environments`; the first call begins the count. */
  take(): string[];
}

// Deno.serve compresses what may be transformed; neither PostgREST nor DTMA compresses.
const JSON_HEADERS = { "content-type": "application/json; charset=utf-8", "cache-control": "no-transform" };

export async function startUpstream(): Promise<Upstream> {
  // Not under load: millions of entries would make the upstream slower from round to round.
  let log: string[] | null = null;
  let rows: Record<string, Row[]> = {};
  const answers = new Map<string, Uint8Array>();
  const encoder = new TextEncoder();

  /** The same request has the same answer; rendering it again would make the upstream the bottleneck. */
  const cached = (request: Request, render: () => unknown): Response => {
    const key = `${request.headers.get("accept")} ${request.url}`;
    let body = answers.get(key);
    if (!body) answers.set(key, body = encoder.encode(JSON.stringify(render())));
    return new Response(body, { headers: JSON_HEADERS });
  };

  const rest = async (request: Request, url: URL): Promise<Response> => {
    const table = url.pathname.slice("/rest/v1/".length);
    if (table === "rpc/begin_tool_instance_operation") return answer(begin((await request.json()).p));
    if (table === "rpc/record_tool_instance_states") {
      return answer({ results: (await request.json()).p.items.map(record) });
    }
    const single = request.headers.get("accept")?.includes("vnd.pgrst.object");
    return cached(request, () => {
      const found = read(rows, table, url.searchParams);
      return single ? found[0] : found;
    });
  };

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const url = new URL(request.url);
    log?.push(`${request.method} ${url.pathname.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "{id}")}`);
    if (url.pathname.startsWith("/rest/v1/")) return rest(request, url);
    if (url.pathname === "/tools" && request.method === "GET") return cached(request, toolList);
    return agent(request, url);
  });
  const { port } = server.addr;
  rows = tables(port);
  const url = `http://127.0.0.1:${port}`;
  const { jwks, token } = await identity(`${url}/auth/v1`);
  return {
    token,
    toolboxId: TOOLBOX_ID,
    env: {
      SUPABASE_URL: url,
      SUPABASE_JWKS: jwks,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: "sb_publishable_bench" }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: "sb_secret_bench" }),
      BACKEND_TO_DTMA_API_KEY: "bench".repeat(8),
    },
    take: () => {
      const taken = log ?? [];
      log = [];
      return taken;
    },
    stop: () => server.shutdown(),
  };
}

const answer = (body: unknown) => new Response(JSON.stringify(body), { headers: JSON_HEADERS });

const indexOf = (id: string) => {
  const index = Array.from({ length: INSTANCES }, (_, i) => instanceId(i)).indexOf(id);
  // A deployed instance has a new id; it looks like the first one otherwise.
  return index === -1 ? 0 : index;
};

// deno-lint-ignore no-explicit-any
function begin(p: any): unknown {
  const id = p.instance_id;
  return {
    outcome: "started",
    operation: {
      id: crypto.randomUUID(),
      tool_instance_id: id,
      action: p.action,
      state: "in_progress",
      request_id: p.request_id,
      started_at: new Date().toISOString(),
      lease_expires_at: new Date(Date.now() + 150_000).toISOString(),
      generation: 4,
    },
    instance: {
      ...instanceRow(indexOf(id)),
      id,
      status_on_toolbox: p.to_status,
      desired_status: p.desired_status,
      generation: 4,
      ...(p.name ? { instance_name_on_toolbox: p.name, container_name: p.container_name } : {}),
      ...(p.spec ? { spec: p.spec } : {}),
    },
  };
}

// deno-lint-ignore no-explicit-any
function record(p: any): unknown {
  if (p.remove_row) return { outcome: "recorded", instance: null };
  const status = p.steps?.at(-1)?.status ?? p.expected_status;
  const instance = { ...instanceRow(indexOf(p.instance_id)), id: p.instance_id };
  return { outcome: "recorded", instance: { ...instance, status_on_toolbox: status, generation: p.generation } };
}

async function agent(request: Request, url: URL): Promise<Response> {
  const [, , id, command] = url.pathname.split("/");
  const text = await request.text();
  const body = text ? JSON.parse(text) : {};
  if (request.method === "DELETE") return answer({ id, removed: true });
  const index = indexOf(id);
  const running = command === "stop" ? false : command || request.method === "PUT" ? true : index !== STOPPED;
  return answer({ ...toolView(index, body.generation ?? 4, running), id });
}
