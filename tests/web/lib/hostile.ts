/** A server that means harm, as an image. */

import assert from "node:assert/strict";
import { docker } from "../../e2e/lib/mod.ts";

/** An image of the server that means harm. */
export async function hostileImage(): Promise<string> {
  const name = "toolbox-test/hostile-mcp:1";
  const source = new URL("../fixtures/hostile.c", import.meta.url).pathname;
  const folder = await Deno.makeTempDir();
  try {
    const { success, stderr } = await new Deno.Command("musl-gcc", {
      args: ["-static", "-O1", "-o", `${folder}/hostile`, source],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    await Deno.writeTextFile(`${folder}/Dockerfile`, 'FROM scratch\nCOPY hostile /\nENTRYPOINT ["/hostile"]\n');
    await docker("build", "--quiet", "--tag", name, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return name;
}
