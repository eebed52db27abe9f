/** The sentence-long setup of every end-to-end test: `await using world = await startWorld();`. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { startStack } from "../../lib/stack.ts";
import { Agent } from "./agent.ts";
import { Database } from "./db.ts";
import { Docker } from "./docker.ts";
import { ToolsApi } from "./tools.ts";

/** What `toolbox-devstack up --json` says when it is ready. */
export interface StackReady {
  url: string;
  db_url: string;
  publishable_key: string;
  secret_key: string;
  anon_key: string;
  service_role_key: string;
  jwt_secret: string;
  demo: { email: string; password: string; access_token: string; user_id: string };
  toolbox_id: string;
  dtma: { url: string; key_file: string; pid: number; state_dir: string };
  pids: Record<string, number>;
  control_url: string;
  control_token: string;
  functions: Record<string, string>;
}

/** Somebody who signed in. */
export interface Actor {
  readonly userId: string;
  readonly email: string;
  readonly token: string;
  /** supabase-js, signed in as this actor. */
  readonly client: SupabaseClient;
  /** toolbox-tools for the world's toolbox. */
  readonly tools: ToolsApi;
}

/** A whole running product and its people. */
export interface World extends AsyncDisposable {
  readonly ready: StackReady;
  /** Owns the toolbox. */
  readonly owner: Actor;
  /** Signed in, owns nothing. */
  readonly stranger: Actor;
  /** Not signed in; has only the publishable key. */
  readonly anonymous: ToolsApi;
  readonly toolboxId: string;
  readonly agent: Agent;
  readonly db: Database;
  readonly docker: Docker;
  /** Where toolbox-tools is served. */
  readonly functionUrl: string;
  /** The control plane's root secret, which no machine ever holds. */
  rootSecret(): Promise<string>;
}

/** Starts an ephemeral stack of real parts; disposing the world ends it and removes its containers. */
export async function startWorld(options: Parameters<typeof startStack>[0] = undefined): Promise<World> {
  const stack = await startStack(options);
  const ready: StackReady = stack.ready;
  const functionUrl = `${ready.url}/functions/v1/toolbox-tools`;
  const docker = new Docker(ready.toolbox_id);
  const agent = await Agent.adopt(ready.dtma);
  const { demo, toolbox_id: toolboxId, publishable_key: key } = ready;
  return {
    ready,
    functionUrl,
    rootSecret: () => rootSecretOf(ready),
    toolboxId,
    agent,
    docker,
    db: new Database(ready.db_url),
    owner: await signIn(ready, demo.email, demo.password),
    stranger: await signUp(ready, "stranger@toolbox.local"),
    anonymous: new ToolsApi(functionUrl, toolboxId, key, undefined),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await stack[Symbol.asyncDispose]();
      await docker.cleanUp();
    },
  };
}

/** A new user of the stack. */
export async function signUp(ready: StackReady, email: string): Promise<Actor> {
  const client = newClient(ready);
  const { data, error } = await client.auth.signUp({ email, password: "correct horse battery staple" });
  if (error || !data.session) throw new Error(`sign up ${email}`, { cause: error });
  return actor(ready, client, data.session.access_token, data.session.user.id, email);
}

/** An existing user of the stack. */
export async function signIn(ready: StackReady, email: string, password: string): Promise<Actor> {
  const client = newClient(ready);
  const { data, error } = await client.auth.signInWithPassword({ email, password });
  if (error) throw new Error(`sign in ${email}`, { cause: error });
  return actor(ready, client, data.session.access_token, data.user.id, email);
}

function newClient(ready: StackReady): SupabaseClient {
  // No refresh timer: it would outlive the test, and tokens live longer than a test.
  return createClient(ready.url, ready.publishable_key, { auth: { persistSession: false, autoRefreshToken: false } });
}

function actor(ready: StackReady, client: SupabaseClient, token: string, userId: string, email: string): Actor {
  const tools = new ToolsApi(`${ready.url}/functions/v1/toolbox-tools`, ready.toolbox_id, ready.publishable_key, token);
  return { userId, email, token, client, tools };
}

/** The function host is the only one who has it: read where it was given it. */
async function rootSecretOf(ready: StackReady): Promise<string> {
  for (const pid of Object.values(ready.pids)) {
    const environment = await Deno.readTextFile(`/proc/${pid}/environ`).catch(() => "");
    const found = environment.split("\0").find((line) => line.startsWith("BACKEND_TO_DTMA_API_KEY="));
    if (found) return found.slice(found.indexOf("=") + 1);
  }
  throw new Error("no process of the stack has the root secret in its environment");
}
