// The clients of the functions and of the tables, typed by their documents. One session, one deadline, one kind of error.

import { AuthClient } from "@supabase/auth-js";
import { PostgrestClient } from "@supabase/postgrest-js";
import createFetchClient, { type Client } from "openapi-fetch";
import type { Config } from "../app/config.ts";
import { ApiError, fromAnswer, toApiError } from "./error.ts";
import type { paths as OperatorsPaths } from "./generated/operators.ts";
import type { paths as ConsolePaths } from "./generated/toolbox-dtma-console.ts";
import type { paths as ToolsPaths } from "./generated/toolbox-tools.ts";
import type { paths as ToolboxesPaths } from "./generated/toolboxes-user.ts";

/** How long an answer may take, in milliseconds; what waits for an end on the machine (`Prefer: wait`) takes longer. */
export const DEADLINE = 30_000;
const WAITING = 100_000;
/** How long a stream may take to begin; a call of an MCP tool begins to be answered when it is done. */
const BEGINNING = 130_000;

/** Ends after so many milliseconds, and when `other` does. */
export function within(milliseconds: number, other?: AbortSignal | null): AbortSignal {
  return AbortSignal.any([AbortSignal.timeout(milliseconds), ...(other ? [other] : [])]);
}

/** Under which this browser keeps the session. */
export const STORAGE_KEY = "toolbox-session";

export interface Api {
  config: Config;
  /** Sign-in and the session. */
  auth: InstanceType<typeof AuthClient>;
  /** Rows of tables, as the signed-in user may see them. */
  tables: PostgrestClient;
  toolboxes: Client<ToolboxesPaths>;
  tools: Client<ToolsPaths>;
  machine: Client<ConsolePaths>;
  operators: Client<OperatorsPaths>;
  /** A request of a stream or of a route without a document, with the session's token. Once it has begun it may last. */
  raw: (path: string, init?: RequestInit) => Promise<Response>;
}

let made: Api | undefined;

/** The clients, once the configuration was read. */
export function api(): Api {
  if (made === undefined) throw new Error("the configuration was not read yet");
  return made;
}

export function startApi(config: Config): Api {
  const { projectUrl, publishableKey } = config;
  const inTime: typeof fetch = (input, init) => fetch(input, { ...init, signal: within(DEADLINE, init?.signal) });
  const auth = new AuthClient({
    url: `${projectUrl}/auth/v1`,
    // In these letters, since the client puts a session's token in the place of this one.
    headers: { apikey: publishableKey, Authorization: `Bearer ${publishableKey}` },
    // PKCE keeps tokens out of URLs: a link carries a code that is good once, in this browser.
    flowType: "pkce",
    storageKey: STORAGE_KEY,
    fetch: inTime,
  });
  /** Says who asks. */
  const sign = async (headers: Headers): Promise<void> => {
    const { data } = await auth.getSession();
    headers.set("apikey", publishableKey);
    if (data.session !== null) headers.set("authorization", `Bearer ${data.session.access_token}`);
  };
  const tables = new PostgrestClient(`${projectUrl}/rest/v1`, {
    fetch: async (input, init) => {
      const headers = new Headers(init?.headers);
      await sign(headers);
      return await inTime(input, { ...init, headers });
    },
    // One deadline, and polling asks again.
    retry: false,
  });
  const raw = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    await sign(headers);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new DOMException("It did not begin in time", "TimeoutError")), BEGINNING);
    const signal = AbortSignal.any([late.signal, ...(init.signal ? [init.signal] : [])]);
    try {
      return await fetch(`${projectUrl}/functions/v1/${path}`, { ...init, headers, signal });
    } finally {
      clearTimeout(timer);
    }
  };
  const client = <Paths extends object>(name: string): Client<Paths> =>
    createFetchClient<Paths>({
      baseUrl: `${projectUrl}/functions/v1/${name}`,
      fetch: async (request: Request) => {
        await sign(request.headers);
        const deadline = request.headers.has("prefer") ? WAITING : DEADLINE;
        return await fetch(request, { signal: within(deadline, request.signal) });
      },
    });
  made = {
    config,
    auth,
    tables,
    toolboxes: client<ToolboxesPaths>("toolboxes-user"),
    tools: client<ToolsPaths>("toolbox-tools"),
    machine: client<ConsolePaths>("toolbox-dtma-console"),
    operators: client<OperatorsPaths>("operators"),
    raw,
  };
  return made;
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The answer of a typed client, or an ApiError. */
export async function answer<T>(asked: Promise<Answer<T>>): Promise<T> {
  let given: Answer<T>;
  try {
    given = await asked;
  } catch (thrown) {
    throw toApiError(thrown);
  }
  if (!given.response.ok) throw fromAnswer(given.response.status, given.error);
  return given.data as T;
}

/** Rows of a table, or an ApiError. */
export async function rows<T>(asked: PromiseLike<{ data: T | null; error: unknown; status: number }>): Promise<T> {
  const { data, error, status } = await asked;
  if (error !== null) {
    const failed = toApiError(error);
    throw status === 0 ? toApiError(new TypeError(failed.message)) : new ApiError(failed.code, failed.message, status);
  }
  return data as T;
}
