/** toolbox-tools as a caller uses it: the REST paths, and `functions.invoke` of supabase-js. */
import { FunctionsHttpError, type SupabaseClient } from "@supabase/supabase-js";
import { type Call, type Reply, send, transcript } from "./http.ts";

/** The catalog entry of the sample MCP server. */
export const SAMPLE_CATALOG_ID = "00000000-0000-0000-0000-0000000000aa";
/** The catalog entry that takes any image. */
export const GENERIC_CATALOG_ID = "00000000-0000-0000-0000-000000000001";
export const SAMPLE_IMAGE = "toolbox/sample-mcp:dev";
export const SAMPLE_IMAGE_V2 = "toolbox/sample-mcp:v2";

/** What may differ from the catalog entry. */
export interface ConfigOverride {
  dockerImage?: string;
  environmentVariables?: Record<string, string>;
  portMappings?: { containerPort: number; hostPort?: number; protocol?: "tcp" | "udp" }[];
  command?: string[];
  entrypoint?: string[];
  volumes?: { name: string; path: string }[];
  resources?: { memory?: string | number; cpu?: string | number; pids?: number };
  transport?: string;
  endpointPath?: string;
  upstreamHeaders?: Record<string, string | null>;
  callTimeoutSeconds?: number;
  startTimeoutSeconds?: number;
  idleMinutes?: number;
  networks?: string[];
  hostAccess?: string[];
  stdinOpen?: boolean;
}

/** Headers that change how a mutation is answered. */
export interface MutationOptions {
  /** `Prefer: wait=N`, seconds. */
  wait?: number;
  idempotencyKey?: string;
  headers?: Record<string, string>;
  deadlineMs?: number;
}

/** The API of one toolbox for one caller; `authorization` absent means not signed in. */
export class ToolsApi {
  constructor(
    readonly functionUrl: string,
    readonly toolboxId: string,
    readonly apikey: string | undefined,
    readonly token: string | undefined,
  ) {}

  /** The same caller on another toolbox. */
  on(toolboxId: string): ToolsApi {
    return new ToolsApi(this.functionUrl, toolboxId, this.apikey, this.token);
  }

  /** `path` is what follows the function's name, such as `/{toolboxId}/tools`. */
  request(path: string, call: Call & MutationOptions = {}): Promise<Reply> {
    const headers: Record<string, string> = {};
    if (this.apikey !== undefined) headers.apikey = this.apikey;
    if (this.token !== undefined) headers.authorization = `Bearer ${this.token}`;
    if (call.wait !== undefined) headers.prefer = `wait=${call.wait}`;
    if (call.idempotencyKey !== undefined) headers["idempotency-key"] = call.idempotencyKey;
    return send(this.functionUrl + path, { ...call, headers: { ...headers, ...call.headers } });
  }

  /** Path of an instance addressed by its id or its name, percent-encoded once. */
  path(instance: string, rest = ""): string {
    return `/${this.toolboxId}/tools/${encodeURIComponent(instance)}${rest}`;
  }

  list(): Promise<Reply> {
    return this.request(`/${this.toolboxId}/tools`);
  }

  get(instance: string): Promise<Reply> {
    return this.request(this.path(instance));
  }

  deploy(
    name: string,
    override: ConfigOverride = {},
    options: MutationOptions & { catalogId?: string; pinTools?: boolean } = {},
  ): Promise<Reply> {
    const json = {
      toolCatalogId: options.catalogId ?? SAMPLE_CATALOG_ID,
      instanceNameOnToolbox: name,
      baseConfigOverrideJson: override,
      ...(options.pinTools && { pinTools: true }),
    };
    return this.request(`/${this.toolboxId}/tools`, { method: "POST", json, ...options });
  }

  update(instance: string, override: ConfigOverride, options: MutationOptions = {}): Promise<Reply> {
    return this.request(this.path(instance), {
      method: "PATCH",
      json: { baseConfigOverrideJson: override },
      ...options,
    });
  }

  versions(instance: string): Promise<Reply> {
    return this.request(this.path(instance, "/versions"));
  }

  rollBack(instance: string, generation: number, options: MutationOptions = {}): Promise<Reply> {
    return this.request(this.path(instance, `/versions/${generation}/rollback`), { method: "POST", ...options });
  }

  start(instance: string, options: MutationOptions = {}): Promise<Reply> {
    return this.request(this.path(instance, "/start"), { method: "POST", ...options });
  }

  stop(instance: string, options: MutationOptions = {}): Promise<Reply> {
    return this.request(this.path(instance, "/stop"), { method: "POST", ...options });
  }

  restart(instance: string, options: MutationOptions = {}): Promise<Reply> {
    return this.request(this.path(instance, "/restart"), { method: "POST", ...options });
  }

  remove(instance: string, options: MutationOptions = {}): Promise<Reply> {
    return this.request(this.path(instance), { method: "DELETE", ...options });
  }

  logs(instance: string, query: Record<string, string | number | boolean> = {}): Promise<Reply> {
    const search = new URLSearchParams(Object.entries(query).map(([k, v]) => [k, String(v)]));
    return this.request(`${this.path(instance, "/logs")}?${search}`);
  }

  mcp(instance: string): Promise<Reply> {
    return this.request(this.path(instance, "/mcp"));
  }

  /** The URL and headers of a request, for callers that read the answer as a stream. */
  target(path: string): { url: string; headers: Record<string, string> } {
    return {
      url: this.functionUrl + path,
      headers: { apikey: this.apikey ?? "", authorization: `Bearer ${this.token ?? ""}` },
    };
  }
}

/** `supabase.functions.invoke("toolbox-tools", {body})` by the real client, its answer as a Reply. */
export async function invoke(
  client: SupabaseClient,
  body: Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const started = performance.now();
  const { data, error, response } = await client.functions.invoke("toolbox-tools", { body, headers });
  let json: unknown = data;
  if (error) {
    if (!(error instanceof FunctionsHttpError)) throw error;
    json = await error.context.json();
  }
  if (!response) throw new Error("functions.invoke gave no response");
  const reply: Reply = {
    method: "INVOKE",
    url: response.url,
    status: response.status,
    headers: response.headers,
    text: JSON.stringify(json),
    json,
    ms: performance.now() - started,
  };
  transcript.push(reply);
  return reply;
}
