// The handlers' other target: an ephemeral dev stack with ten running instances of the sample server.

import { startStack } from "../tests/lib/stack.ts";
import { onCleanup } from "./cleanup.ts";
import { CATALOG_ID, INSTANCES } from "./fixtures.ts";
import type { Target } from "./handlers.ts";

const IMAGE = "toolbox/sample-mcp:dev";

export async function startReal(): Promise<Target> {
  const stack = await startStack();
  const stop = onCleanup(async () => await stack[Symbol.asyncDispose]());
  try {
    const { ready } = stack;
    const token = ready.demo.access_token;
    const tools = `${ready.url}/functions/v1/toolbox-tools/${ready.toolbox_id}/tools`;
    for (let index = 0; index < INSTANCES; index++) {
      const answer = await fetch(tools, {
        method: "POST",
        headers: {
          apikey: ready.publishable_key,
          authorization: `Bearer ${token}`,
          prefer: "wait=30",
          "content-type": "application/json",
        },
        body: JSON.stringify({
          toolCatalogId: CATALOG_ID,
          instanceNameOnToolbox: `bench ${index}`,
          baseConfigOverrideJson: { dockerImage: IMAGE, portMappings: [{ containerPort: 8080 }] },
        }),
        signal: AbortSignal.timeout(40_000),
      });
      const text = await answer.text();
      if (answer.status !== 201) throw new Error(`deploy on the real stack answered ${answer.status}: ${text}`);
    }
    const jwks = await fetch(`${ready.url}/auth/v1/.well-known/jwks.json`, { signal: AbortSignal.timeout(10_000) });
    return {
      token,
      toolboxId: ready.toolbox_id,
      env: {
        SUPABASE_URL: ready.url,
        SUPABASE_JWKS: await jwks.text(),
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: ready.publishable_key }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: ready.secret_key }),
        BACKEND_TO_DTMA_API_KEY: ready.agent_root,
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
