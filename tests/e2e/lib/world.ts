/** The sentence-long setup of every end-to-end test: `await using world = await startWorld();`. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { type Stack, type StackOptions, type StackReady, startStack } from "../../lib/stack.ts";
import { Agent } from "./agent.ts";
import { Database } from "./db.ts";
import { Docker } from "./docker.ts";
import { ToolsApi } from "./tools.ts";

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

export type { StackReady };

/** A whole running product and its people. */
export interface World extends AsyncDisposable {
  readonly stack: Stack;
  /** What the stack said when it was ready. */
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
}

/** Starts an ephemeral stack of real parts; disposing the world ends it and removes its containers. */
export async function startWorld(options: StackOptions = {}): Promise<World> {
  const stack = await startStack(options);
  const docker = new Docker(stack.ready.toolbox_id);
  const end = async () => {
    await stack[Symbol.asyncDispose]();
    // A failure here must not hide that of the test.
    await docker.cleanUp().catch((error) => console.error(error));
  };
  try {
    return await inhabited(stack, docker, end);
  } catch (error) {
    // Nobody else would: the next test of this process would meet the stack.
    await end();
    throw error;
  }
}

/** The world of a stack that runs; `end` is what disposing it does. */
async function inhabited(stack: Stack, docker: Docker, end: () => Promise<void>): Promise<World> {
  const { ready } = stack;
  const functionUrl = `${ready.url}/functions/v1/toolbox-tools`;
  const agent = await Agent.of(stack);
  const { demo, toolbox_id: toolboxId, publishable_key: key } = ready;
  return {
    stack,
    ready,
    functionUrl,
    toolboxId,
    agent,
    docker,
    db: new Database(ready.admin_db_url),
    owner: await signIn(ready, demo.email, demo.password),
    stranger: await signUp(ready, "stranger@toolbox.local"),
    anonymous: new ToolsApi(functionUrl, toolboxId, key, undefined),
    async [Symbol.asyncDispose]() {
      agent.close();
      await end();
    },
  };
}

/** The password of every user that `signUp` makes. */
export const PASSWORD = "correct horse battery staple";

/** A new user of the stack. */
export async function signUp(ready: StackReady, email: string): Promise<Actor> {
  const client = newClient(ready);
  const { data, error } = await client.auth.signUp({ email, password: PASSWORD });
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
