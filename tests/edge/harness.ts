// A function's built wasm behind the real wrapper, in a process with the permissions of a user worker, and mock
// upstreams that a test scripts. The mocks are fixtures; tests/e2e has the real parts.

export const TOOLBOX = "11111111-1111-4111-8111-111111111111";
export const FUNCTION = "supabase/functions/toolbox-tools/index.ts";
export const INSTANCE = "22222222-2222-4222-8222-222222222222";
export const USER = "33333333-3333-4333-8333-333333333333";
export const HS_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";
const ROOT = new URL("../../", import.meta.url);

type Answer = (request: Request, url: URL) => Response | Promise<Response>;

/** An upstream whose answers a test replaces; keeps what it was asked. */
export class Upstream implements AsyncDisposable {
  readonly asked: { method: string; path: string; headers: Headers; body: string }[] = [];
  readonly port: number;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(public answer: Answer) {
    this.#server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
      const url = new URL(request.url);
      const body = await request.text();
      this.asked.push({ method: request.method, path: url.pathname + url.search, headers: request.headers, body });
      return await this.answer(new Request(url, { method: request.method, headers: request.headers }), url);
    });
    this.port = this.#server.addr.port;
  }

  #ended?: Promise<void>;

  async [Symbol.asyncDispose]() {
    await (this.#ended ??= this.#server.shutdown());
  }
}

/** Ends parts in the reverse order of their beginning; one that was ended by the test is left alone. */
export function all(...parts: AsyncDisposable[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      for (const part of parts.reverse()) await part[Symbol.asyncDispose]();
    },
  };
}

/** A running function. */
export class Worker implements AsyncDisposable {
  private constructor(
    readonly url: string,
    readonly process: Deno.ChildProcess,
    /** What it wrote, for people and for assertions about what must not be there. */
    readonly log: string[],
    readonly ended: Promise<unknown>,
  ) {}

  /** Starts a function by its entry point, in the host of the dev stack; `flags` are further ones of Deno. */
  static async start(entry: string, env: Record<string, string>, flags: string[] = []): Promise<Worker> {
    const marker = `ready-${crypto.randomUUID()}`;
    const host = new URL("crates/toolbox-devstack/host/worker.ts", ROOT).pathname;
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--no-lock", "--no-config", "--node-modules-dir=none", "--no-prompt"]
        .concat(["--allow-net", "--allow-env", "--allow-sys=hostname", "--allow-write=/tmp"])
        .concat([`--allow-read=${ROOT.pathname}supabase/functions,${ROOT.pathname}pkg,${ROOT.pathname}tests/edge,/tmp`])
        .concat(flags, [host, new URL(entry, ROOT).href, marker]),
      cwd: ROOT,
      env,
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const log: string[] = [];
    const port = Promise.withResolvers<string>();
    const watch = (text: string) => {
      log.push(text);
      const ready = new RegExp(`${marker} (\\d+)`).exec(log.join(""));
      if (ready) port.resolve(ready[1]);
    };
    const ended = Promise.all([collect(process.stdout, watch), collect(process.stderr, watch)]);
    void ended.then(() => port.reject(new Error(`the function ended:\n${log.join("")}`)));
    return new Worker(`http://127.0.0.1:${await port.promise}`, process, log, ended);
  }

  async [Symbol.asyncDispose]() {
    this.process.kill("SIGTERM");
    await this.process.status;
    await this.ended;
  }
}

async function collect(stream: ReadableStream<Uint8Array>, watch: (text: string) => void) {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) watch(text);
}

export function environment(supabasePort: number, more: Record<string, string> = {}): Record<string, string> {
  return {
    SUPABASE_URL: `http://127.0.0.1:${supabasePort}`,
    SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_test"}',
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_test"}',
    SUPABASE_ANON_KEY: "",
    SUPABASE_SERVICE_ROLE_KEY: "",
    SUPABASE_JWT_SECRET: HS_SECRET,
    BACKEND_TO_DTMA_API_KEY: "0123456789abcdef0123456789abcdef",
    TOOLBOX_UPSTREAM_TIMEOUT_MS: "1500",
    ...more,
  };
}

export function base64url(data: string | ArrayBuffer | Uint8Array): string {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data as ArrayBuffer);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export type Signer = (message: Uint8Array) => Promise<ArrayBuffer>;

export async function token(header: object, claims: object, sign: Signer): Promise<string> {
  const message = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
  return `${message}.${base64url(await sign(new TextEncoder().encode(message)))}`;
}

export async function hsSigner(secret: string): Promise<Signer> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), algorithm, false, ["sign"]);
  return (message) => crypto.subtle.sign(algorithm, key, message);
}

export interface SigningKey {
  kid: string;
  jwk: JsonWebKey & { kid: string };
  sign: Signer;
}

/** A new ES256 or RS256 key. */
export async function signingKey(kid: string, alg: "ES256" | "RS256" = "ES256"): Promise<SigningKey> {
  const algorithm = alg === "ES256"
    ? { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }
    : { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair;
  const jwk = { ...await crypto.subtle.exportKey("jwk", pair.publicKey), kid, alg };
  return { kid, jwk, sign: (message) => crypto.subtle.sign(algorithm, pair.privateKey, message) };
}

/** Claims that count, with what a test wants differently. */
export function claims(supabasePort: number, more: Record<string, unknown> = {}) {
  const now = Math.floor(Date.now() / 1000);
  const issuer = `http://127.0.0.1:${supabasePort}/auth/v1`;
  return { iss: issuer, sub: USER, aud: "authenticated", role: "authenticated", exp: now + 3600, iat: now, ...more };
}

export const json = (value: unknown, status = 200) =>
  new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json" } });

export const problem = (code: string, status: number, detail = "SECRET detail") =>
  new Response(
    JSON.stringify({ type: `urn:toolbox:problem:${code}`, title: "t", status, detail, code, retryable: false }),
    { status, headers: { "content-type": "application/problem+json" } },
  );

export function row(more: Record<string, unknown> = {}) {
  return {
    id: INSTANCE,
    tool_catalog_id: "00000000-0000-0000-0000-000000000001",
    instance_name_on_toolbox: "Context7 MCP Server-1750278276605",
    container_name: "context7-mcp-server-22222222",
    docker_image_url: "mcp/context7:1",
    mcp_transport_type: "streamable-http",
    mcp_endpoint_path: "/mcp",
    generation: 1,
    desired_status: "running",
    status_on_toolbox: "running",
    instance_error_code: null,
    instance_error_message: null,
    container_id: "abc",
    image_digest: "sha256:1",
    port_mapping_json: [],
    last_observed_at: "2026-01-01T00:00:00+00:00",
    version: "1",
    created_at: "2026-01-01T00:00:00+00:00",
    updated_at: "2026-01-01T00:00:00+00:00",
    ...more,
  };
}

export function view(more: Record<string, unknown> = {}) {
  return {
    id: INSTANCE,
    name: "Context7 MCP Server-1750278276605",
    container_name: "context7-mcp-server-22222222",
    generation: 1,
    desired: "running",
    phase: "running",
    settled: true,
    reason: null,
    progress: null,
    container_id: "abc",
    image: "mcp/context7:1",
    image_digest: "sha256:1",
    ports: [],
    started_at: null,
    finished_at: null,
    exit_code: null,
    restart_count: 0,
    update_failed: false,
    updated_at: "2026-01-01T00:00:00Z",
    ...more,
  };
}

/** PostgREST and sign-in keys of one toolbox whose agent is at `agentPort`. */
export function supabase(agentPort: number, rows: unknown[] = [row()]): Answer {
  return (_request, url) => {
    if (url.pathname === "/rest/v1/account_tool_environments") {
      return json([{
        id: TOOLBOX,
        status: "active",
        public_ip_address: "127.0.0.1",
        dtma_port: agentPort,
        dtma_certificate_pem: null,
        dtma_last_known_version: "0.1.0",
        account_tool_instances: rows,
      }]);
    }
    if (url.pathname === "/auth/v1/.well-known/jwks.json") return json({ keys: [] });
    return json({ message: "SECRET", code: "PGRST205" }, 404);
  };
}

export const toolList = (...tools: unknown[]) =>
  json({ toolbox_id: TOOLBOX, version: "0.1.0", api_version: 2, tools, foreign: [] });

/** A signed-in caller of a worker. */
export function caller(worker: Worker, bearer: string) {
  return (path: string, init: RequestInit & { headers?: Record<string, string> } = {}) =>
    fetch(`${worker.url}/toolbox-tools${path}`, {
      ...init,
      headers: { authorization: `Bearer ${bearer}`, ...init.headers },
    });
}
