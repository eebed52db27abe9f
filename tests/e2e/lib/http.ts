/** HTTP as the tests see it: every call has a deadline, every answer is kept for the search for leaked secrets. */

/** An answer, read to its end. */
export interface Reply {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when it is not JSON. */
  // deno-lint-ignore no-explicit-any
  readonly json: any;
  /** From the first byte sent to the last byte read. */
  readonly ms: number;
}

/** What to send. */
export interface Call {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON, with its content type. */
  json?: unknown;
  /** Sent as it is; wins over `json`. */
  body?: BodyInit;
  deadlineMs?: number;
  /** On a connection of its own: a server may close one whose request it refused without reading it all. */
  fresh?: boolean;
  /** Decides whom to trust. */
  client?: Deno.HttpClient;
}

/** Every answer read in this process, oldest first: one place to search for what must never be answered. */
export const transcript: Reply[] = [];

/** Sends `call` to `url` and reads the whole answer; throws only when there is none. */
export async function send(url: string | URL, call: Call = {}): Promise<Reply> {
  const method = call.method ?? "GET";
  const headers = new Headers(call.headers);
  let body = call.body;
  if (body === undefined && call.json !== undefined) {
    body = JSON.stringify(call.json);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
  }
  const own = call.fresh ? Deno.createHttpClient({ poolMaxIdlePerHost: 0 }) : undefined;
  const client = call.client ?? own;
  const started = performance.now();
  const response = await fetch(url, {
    ...(client && { client }),
    method,
    headers,
    body,
    redirect: "manual",
    signal: AbortSignal.timeout(call.deadlineMs ?? 90_000),
  });
  const text = await response.text();
  own?.close();
  const reply: Reply = {
    method,
    url: String(url),
    status: response.status,
    headers: response.headers,
    text,
    json: parsed(text),
    ms: performance.now() - started,
  };
  transcript.push(reply);
  return reply;
}

/** The stable code of an error answer: the edge's envelope, or the agent's problem. */
export function codeOf(reply: Reply): string | undefined {
  return reply.json?.error?.code ?? reply.json?.code;
}

/** One line that says what was asked and what came back, for messages of assertions. */
export function describe(reply: Reply): string {
  return `${reply.method} ${reply.url} -> ${reply.status} ${reply.text.slice(0, 600)}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
