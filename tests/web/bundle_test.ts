// What a browser loads first: how much script, and nothing secret in any of it.

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";

const REPOSITORY = new URL("../..", import.meta.url).pathname;
const DIST = `${REPOSITORY}web/dist/`;
/** Of script, compressed, until the list of toolboxes is on the screen. */
const MOST = 250 * 1024;

type Manifest = Record<string, { file: string; imports?: string[]; isEntry?: boolean }>;

Deno.test("the first page loads at most 250 KB of script", async () => {
  const manifest: Manifest = JSON.parse(await Deno.readTextFile(`${DIST}.vite/manifest.json`));
  const needed = new Set<string>();
  const need = (name: string) => {
    if (needed.has(name)) return;
    needed.add(name);
    for (const other of manifest[name].imports ?? []) need(other);
  };
  need("index.html");
  need("src/pages/toolboxes.tsx");
  let bytes = 0;
  for (const name of needed) bytes += gzipSync(await Deno.readFile(DIST + manifest[name].file)).length;
  console.log(`first load: ${Math.round(bytes / 1024)} KB of script in ${needed.size} files`);
  assert.ok(bytes <= MOST, `${bytes} bytes`);
});

Deno.test("nothing in the build is secret, and nothing of it evaluates text", async () => {
  for await (const { name } of Deno.readDir(`${DIST}assets`)) {
    const text = await Deno.readTextFile(`${DIST}assets/${name}`);
    assert.ok(!/sb_secret_[\w-]|eyJ[\w-]{20,}\.|\btb[kem]_[\w-]{20}/.test(text), name);
    assert.ok(!/\bnew Function\(|[^.\w]eval\(/.test(text), `${name} evaluates text`);
  }
});

Deno.test("a page for everybody is made with no key that may do anything", async () => {
  const jwt = (role: string) =>
    `${btoa('{"alg":"HS256"}').replaceAll("=", "")}.${btoa(JSON.stringify({ role })).replaceAll("=", "")}.x`;
  const folder = await Deno.makeTempDir();
  const made = async (key: string) => {
    const args = ["--to", folder, "--project-url", "https://abc.supabase.co", "--publishable-key", key];
    const { code, stderr } = await new Deno.Command("scripts/build-web", { args, cwd: REPOSITORY }).output();
    return [code, new TextDecoder().decode(stderr)] as const;
  };
  try {
    for (const key of ["sb_secret_abc", jwt("service_role"), "anything"]) {
      const [code, said] = await made(key);
      assert.equal(code, 2, said);
      assert.match(said, /give the publishable one/);
    }
    for (const key of ["sb_publishable_abc", jwt("anon")]) {
      const [code, said] = await made(key);
      assert.equal(code, 0, said);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
