/** What `scripts/dev --droplets` prints leads from nothing to a tool that answers, and back to nothing. Its lines are run as they are. */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { docker, eventually } from "../e2e/lib/mod.ts";
import { makeRelease } from "../install/machine.ts";
import { devstackArgs, devstackProgram } from "../lib/stack.ts";

Deno.test("the lines that are printed lead to a tool and back", async () => {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-dev-" });
  await Deno.chmod(folder, 0o755);
  await makeRelease(`${folder}/releases`);
  // Six ports in a row, away from those that other tests take.
  const port = 16_000 + Math.floor(Math.random() * 300) * 6;
  const args = devstackArgs({ dataDir: folder, port, args: ["--droplets", "--backend", `--backend-port=${port + 5}`] });
  const stack = new Deno.Command(devstackProgram(), {
    args: args.filter((argument) => argument !== "--json"),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(stack.stderr).text();
  let droplet = "";
  try {
    const text = await printed(stack.stdout);
    const lines = text.split("\n").filter((line) => /^(export|curl) /.test(line));
    const [token, order, look, deploy, access, remove] = lines;
    assert.equal(lines.length, 6, text);
    const shell = new Shell();
    for (const line of [token, order]) await shell.run(line);
    await eventually("the toolbox is active", async () => {
      const view = JSON.parse(await shell.run(look));
      droplet = view.do_droplet_id ? `toolbox-droplet-${view.do_droplet_id}` : droplet;
      return view.status === "active" || undefined;
    }, { ms: 120_000, everyMs: 1000 });
    await shell.run(deploy);
    const { url, token: key } = JSON.parse(await shell.run(access));
    const client = new Client({ name: "dev", version: "1" });
    const transport = new StreamableHTTPClientTransport(new URL(url), {
      requestInit: { headers: { authorization: `Bearer ${key}` } },
    });
    await client.connect(transport);
    const { content } = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
    assert.deepEqual(content, [{ type: "text", text: "5" }]);
    await client.close();
    await shell.run(remove);
    // A minute must pass after the order, in which a second droplet could show itself.
    await eventually(
      "it is gone",
      async () => JSON.parse(await shell.run(look)).error?.code === "toolbox_not_found" || undefined,
      { ms: 120_000, everyMs: 2000 },
    );
    await assert.rejects(docker("inspect", droplet), "the droplet is there still");
  } catch (error) {
    if (droplet) console.error(await docker("exec", droplet, "cat", "/var/log/cloud-init-output.log").catch(String));
    throw error;
  } finally {
    await stack.stdin.close().catch(() => {});
    await stack.status;
    await said;
    await Deno.remove(folder, { recursive: true });
  }
});

/** All that is said once it runs: the last lines are about the end. */
async function printed(output: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of output.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (/-X DELETE .*\n/.test(text)) return text;
  }
  throw new Error(`the stack did not start: ${text}`);
}

/** A shell in which what is exported stays. */
class Shell {
  readonly #exports: string[] = [];

  /** Runs a line; what it printed. */
  async run(line: string): Promise<string> {
    const script = [...this.#exports, line, line.startsWith("export ") ? `printf '%s' "$${variable(line)}"` : ""];
    const { success, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-euo", "pipefail", "-c", script.join("\n")],
      stdin: "null",
      signal: AbortSignal.timeout(60_000),
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert.ok(success && text !== "", `${line}: ${new TextDecoder().decode(stderr)}`);
    if (line.startsWith("export ")) this.#exports.push(`export ${variable(line)}='${text}'`);
    return text;
  }
}

function variable(line: string): string {
  return line.match(/^export ([A-Z]+)=/)![1];
}
