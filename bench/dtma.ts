// DTMA as it ships, started on this machine's Docker for a toolbox of its own.

import { onCleanup } from "./cleanup.ts";
import { LABEL, removeContainers, removeNetworks, SOCKET, timed } from "./docker.ts";
import { freePort, kill } from "./host.ts";

export const IMAGE = "toolbox/sample-mcp:dev";

export interface Agent {
  pid: number;
  /** Without a slash at the end. */
  url: string;
  /** What a caller presents as its bearer token. */
  key: string;
  /** Trusts the agent's certificate; undefined over plain HTTP. */
  client?: Deno.HttpClient;
  /** That certificate, in PEM. */
  certificate?: string;
  // deno-lint-ignore no-explicit-any
  call(method: string, path: string, body?: unknown): Promise<any>;
  /** Milliseconds until the agent answered that the instance is as asked. */
  command(id: string, command: "start" | "stop", generation: number): Promise<number>;
  /** Ends it, and all it made in Docker. */
  stop(): Promise<void>;
}

/** Starts `program` without a control plane. Over TLS, as on a real machine, or over plain HTTP. */
export async function startAgent(
  program: string,
  { tls, toolboxId = crypto.randomUUID(), key = newKey() }: { tls: boolean; toolboxId?: string; key?: string },
): Promise<Agent> {
  const dir = await Deno.makeTempDir({ prefix: "toolbox-bench-" });
  const cleanUp = onCleanup(async () => {
    await removeContainers([`${LABEL}=1`, `io.toolbox.toolbox_id=${toolboxId}`]);
    await removeNetworks(`io.toolbox.toolbox_id=${toolboxId}`);
    await Deno.remove(dir, { recursive: true });
  });
  const port = freePort();
  await Deno.writeTextFile(`${dir}/key`, key, { mode: 0o600 });
  // For curl, whose command line every user can read.
  const headers = `authorization: Bearer ${key}\nprefer: wait=30\ncontent-type: application/json\n`;
  await Deno.writeTextFile(`${dir}/headers`, headers, { mode: 0o600 });
  const child = new Deno.Command(program, {
    env: {
      DTMA_LISTEN: `127.0.0.1:${port}`,
      DTMA_INSECURE_HTTP: String(!tls),
      DTMA_TOOLBOX_ID: toolboxId,
      DTMA_KEY_FILE: `${dir}/key`,
      DTMA_STATE_DIR: `${dir}/state`,
      DTMA_DOCKER_HOST: `unix://${SOCKET}`,
      DTMA_LOG: Deno.env.get("BENCH_LOG") ?? "warn",
    },
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const end = onCleanup(() => kill(child, "SIGTERM"));
  const url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
  let client: Deno.HttpClient | undefined;
  const stop = async () => {
    client?.close();
    client = undefined;
    await end();
    await cleanUp();
  };
  try {
    client = await answering(url, tls ? `${dir}/state/tls.pem` : undefined);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: child.pid,
    url,
    key,
    client,
    certificate: tls ? certificate(await Deno.readTextFile(`${dir}/state/tls.pem`)) : undefined,
    stop,
    call: async (method, path, body) => {
      const answer = await fetch(url + path, {
        ...(client && { client }),
        method,
        headers: { authorization: `Bearer ${key}`, prefer: "wait=30", "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(60_000),
      });
      const text = await answer.text();
      if (answer.status !== 200) throw new Error(`DTMA answered ${method} ${path} with ${answer.status}: ${text}`);
      return JSON.parse(text);
    },
    command: (id, command, generation) =>
      timed(
        ["--header", `@${dir}/headers`, "--data", `{"generation":${generation}}`, `${url}/tools/${id}/${command}`],
        200,
      ),
  };
}

function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return "tbk_" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What makes the sample server a tool that is spoken to over its standard streams. */
export function stdioTool(id: string): Record<string, unknown> {
  return {
    generation: 1,
    desired: "running",
    name: `bench ${id}`,
    container_name: `bench-${id.slice(0, 8)}`,
    spec: {
      image: IMAGE,
      command: ["--stdio"],
      transport: "stdio",
      stdin_open: true,
      resources: { memory_bytes: 64 << 20, pids: 64 },
      confinement: { read_only_root: true, tmpfs: ["/tmp"], add_capabilities: [] },
    },
  };
}

/** Asks until the agent answers, for at most ten seconds; a client that trusts the certificate in `pem`. */
async function answering(url: string, pem?: string): Promise<Deno.HttpClient | undefined> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    let client: Deno.HttpClient | undefined;
    try {
      client = pem ? Deno.createHttpClient({ caCerts: [certificate(await Deno.readTextFile(pem))] }) : undefined;
      const answer = await fetch(`${url}/health`, { ...(client && { client }), signal: AbortSignal.timeout(5_000) });
      await answer.body?.cancel();
      if (answer.status !== 200) throw new Error(`${url}/health answered ${answer.status}`);
      return client;
    } catch (error) {
      client?.close();
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** The certificate of a file that holds the key as well. */
function certificate(pem: string): string {
  const found = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(pem);
  if (!found) throw new Error("no certificate in the agent's state folder yet");
  return found[0];
}
