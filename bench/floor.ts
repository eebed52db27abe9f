// The floor: what a careful hand-written handler costs that does the same work as the list action of toolbox-tools.
// It checks the caller's token locally with WebCrypto, reads the toolbox and its instances in one PostgREST request
// with the caller's own token, asks DTMA once, joins both and answers with the same body and headers. Each fetch has
// a deadline. It knows one route and no errors beyond refusing, so it can only be cheaper than the real function.

const url = env("SUPABASE_URL");
const apiKey: string = JSON.parse(env("SUPABASE_PUBLISHABLE_KEYS")).default;
const rootSecret = new TextEncoder().encode(env("BACKEND_TO_DTMA_API_KEY"));
const allowedOrigin = Deno.env.get("TOOLBOX_ALLOWED_ORIGIN") ?? "*";
const timeout = Number(Deno.env.get("TOOLBOX_UPSTREAM_TIMEOUT_MS") ?? 10_000);
const issuer = `${url}/auth/v1`;

const ENVIRONMENT =
  "id,status,public_ip_address,dtma_port,dtma_certificate_pem,dtma_key_id,dtma_last_known_version,dtma_api_version,instances_confirmed_at,unresponsive_since";
const INSTANCE =
  "id,tool_catalog_id,instance_name_on_toolbox,container_name,docker_image_url,mcp_transport_type,mcp_endpoint_path," +
  "generation,desired_status,status_on_toolbox,instance_error_code,instance_error_message,container_id,image_digest," +
  "port_mapping_json,mcp_health,mcp_pinned_fingerprint,mcp_pin_due_at,last_observed_at,version,created_at,updated_at";

/** DTMA's phase as the status of an instance. */
const STATUS: Record<string, string> = {
  pending: "deploying",
  pulling: "deploying",
  building: "deploying",
  creating: "deploying",
  starting: "starting",
  running: "running",
  stopping: "stopping",
  stopped: "stopped",
  removing: "deleting",
  error: "error",
};

const verificationKeys = new Map<string, CryptoKey>();
for (const jwk of JSON.parse(env("SUPABASE_JWKS")).keys) {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  verificationKeys.set(jwk.kid, await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["verify"]));
}
const agentKeys = new Map<string, string>();

Deno.serve(async (request) => {
  const requestId = crypto.randomUUID();
  const headers = {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
    "access-control-allow-origin": allowedOrigin,
    "access-control-expose-headers": "x-request-id, retry-after",
    "x-request-id": requestId,
  };
  const toolboxId = /\/toolbox-tools\/([0-9a-f-]{36})\/tools$/.exec(new URL(request.url).pathname)?.[1];
  if (!toolboxId) return new Response(null, { status: 404, headers });
  const token = request.headers.get("authorization")?.replace(/^Bearer /, "") ?? "";
  if (!await isUser(token)) return new Response(null, { status: 401, headers });

  const query = `id=eq.${toolboxId}&limit=1&select=${ENVIRONMENT},account_tool_instances(${INSTANCE})` +
    "&account_tool_instances.order=created_at.asc,id.asc";
  const [toolbox] = await fetchJson(`${url}/rest/v1/account_tool_environments?${query}`, {
    apikey: apiKey,
    authorization: `Bearer ${token}`,
  });
  if (!toolbox) return new Response(null, { status: 404, headers });
  const agent = await fetchJson(`http://${toolbox.public_ip_address}:${toolbox.dtma_port}/tools`, {
    authorization: `Bearer ${await agentKey(toolboxId)}`,
  });

  const now = new Date().toISOString();
  const live = new Map<string, Json>(agent.tools.map((tool: Json) => [tool.id, tool]));
  const instances = toolbox.account_tool_instances.map((row: Json) => join(row, live, now));
  const body = {
    success: true,
    tool_instances: instances,
    agent: { reachable: true, version: agent.version, checked_at: now },
    dtma_connected: true,
    foreign_containers: agent.foreign,
    orphan_tools: [...live.values()],
    last_checked: now,
    request_id: requestId,
  };
  return new Response(JSON.stringify(body), { headers });
});

// deno-lint-ignore no-explicit-any
type Json = any;

/** One instance as callers see it; takes its live view out of `live`, so that only orphans stay there. */
function join(row: Json, live: Map<string, Json>, now: string): Json {
  const view = live.get(row.id);
  live.delete(row.id);
  const error = view ? view.reason : row.instance_error_code &&
    { code: row.instance_error_code, message: row.instance_error_message };
  return {
    id: row.id,
    instance_name_on_toolbox: row.instance_name_on_toolbox,
    status_on_toolbox: view ? STATUS[view.phase] : row.status_on_toolbox,
    desired_status: row.desired_status,
    error: error ?? null,
    instance_error_message: error?.message ?? null,
    tool_catalog_id: row.tool_catalog_id,
    container_id: view ? view.container_id : row.container_id,
    container_name: row.container_name,
    image: row.docker_image_url,
    image_digest: view ? view.image_digest : row.image_digest,
    version: row.version,
    ports: view ? view.ports : row.port_mapping_json,
    transport: row.mcp_transport_type,
    endpoint_path: row.mcp_endpoint_path,
    generation: row.generation,
    state_source: view ? "live" : "last_known",
    state_observed_at: view ? now : row.last_observed_at,
    state_age_seconds: view ? 0 : Math.floor((Date.now() - Date.parse(row.last_observed_at)) / 1000),
    live: view
      ? {
        phase: view.phase,
        settled: view.settled,
        progress: view.progress ?? undefined,
        reason: view.reason ?? undefined,
        exit_code: view.exit_code ?? undefined,
        restart_count: view.restart_count,
        started_at: view.started_at ?? undefined,
        update_failed: view.update_failed || undefined,
      }
      : null,
    unknown_since: null,
    mcp: row.mcp_health,
    mcp_pinned_fingerprint: row.mcp_pinned_fingerprint,
    mcp_pin_pending: row.mcp_pin_due_at !== null,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

async function fetchJson(target: string, headers: Record<string, string>): Promise<Json> {
  const answer = await fetch(target, { headers, signal: AbortSignal.timeout(timeout) });
  if (!answer.ok) throw new Error(`${new URL(target).pathname} answered ${answer.status}`);
  return await answer.json();
}

/** Whether `token` is a signed-in user's: signature, times, audience, issuer and role. */
async function isUser(token: string): Promise<boolean> {
  const [head, payload, signature] = token.split(".");
  if (!signature) return false;
  const { alg, kid } = JSON.parse(new TextDecoder().decode(decode(head)));
  const key = verificationKeys.get(kid);
  if (alg !== "ES256" || !key) return false;
  const signed = new TextEncoder().encode(`${head}.${payload}`);
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  if (!await crypto.subtle.verify(algorithm, key, decode(signature), signed)) return false;
  const claims = JSON.parse(new TextDecoder().decode(decode(payload)));
  const now = Date.now() / 1000;
  return claims.exp > now && (claims.nbf ?? 0) <= now && claims.aud === "authenticated" && claims.iss === issuer &&
    claims.role === "authenticated";
}

function decode(base64url: string): Uint8Array {
  const binary = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The toolbox's own key, derived from the root secret; the same derivation as in `toolbox-domain`. */
async function agentKey(toolboxId: string): Promise<string> {
  let key = agentKeys.get(toolboxId);
  if (!key) {
    const root = await crypto.subtle.importKey("raw", rootSecret, "HKDF", false, ["deriveBits"]);
    const info = new TextEncoder().encode(`toolbox/v1/control-to-agent/${toolboxId}`);
    const bits = await crypto.subtle.deriveBits(
      { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info },
      root,
      256,
    );
    key = "tbk_" + Array.from(new Uint8Array(bits), (byte) => byte.toString(16).padStart(2, "0")).join("");
    agentKeys.set(toolboxId, key);
  }
  return key;
}

function env(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`set ${name}`);
  return value;
}
