/** What `supabase functions deploy` would upload holds every wasm file, and runs from the upload alone. */
import { deepStrictEqual as assertEquals, ok as assert } from "node:assert";
import { join } from "node:path";
import { deploy, functionsOf, missingWasm, repository, runBundle, wasmOf } from "./project.ts";

/** Enough for a function to start; nothing listens behind it. */
const config = {
  SUPABASE_URL: "http://127.0.0.1:9",
  SUPABASE_ANON_KEY: "anon",
  SUPABASE_SERVICE_ROLE_KEY: "service",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_test"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_test"}',
  SUPABASE_JWKS: '{"keys":[]}',
  BACKEND_TO_DTMA_API_KEY: "0123456789abcdef0123456789abcdef",
};

/** What each function answers to GET, after the id of a toolbox. */
const someRoute: Record<string, string> = { "toolbox-tools": "tools", heartbeat: "desired" };

Deno.test("there are functions to deploy", () => assertEquals(functionsOf(repository), Object.keys(someRoute).sort()));

for (const name of functionsOf(repository)) {
  Deno.test(`${name}: the bundle is complete and runs alone`, async (t) => {
    assert(wasmOf(repository, name).size > 0, `pkg/${name} holds no wasm: run scripts/build-wasm`);
    const upload = await deploy(repository, name);

    await t.step("holds every wasm file of pkg", () => assertEquals(missingWasm(repository, upload), []));
    await t.step("holds nothing but functions and packages", () => {
      const strangers = [...upload.files.keys()].filter((path) =>
        !/^(supabase\/functions|pkg)\//.test(path) || /\.env/.test(path)
      );
      assertEquals(strangers, []);
    });
    await t.step(
      "leaves the check of the caller to the function",
      () => assertEquals(upload.metadata.verify_jwt, false),
    );

    const running = await runBundle(upload, config);
    try {
      assert(running.url, `${name} did not start from its bundle:\n${running.errors()}`);
      const path = `${running.url}/${name}/e0000000-0000-4000-8000-000000000001/${someRoute[name]}`;
      await t.step("refuses a caller without a token in the envelope", async () => {
        const response = await fetch(path, { signal: AbortSignal.timeout(10_000) });
        assertEquals(response.status, 401);
        assert(response.headers.get("content-type")?.startsWith("application/json"));
        const { error } = await response.json();
        assertEquals([typeof error.code, typeof error.message, typeof error.request_id], [
          "string",
          "string",
          "string",
        ]);
      });
      await t.step("answers a browser's preflight", async () => {
        const response = await fetch(path, {
          method: "OPTIONS",
          headers: {
            origin: "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
          },
          signal: AbortSignal.timeout(10_000),
        });
        await response.body?.cancel();
        assert([200, 204].includes(response.status), `OPTIONS answered ${response.status}`);
        assert(response.headers.has("access-control-allow-origin"));
      });
    } finally {
      await running.stop();
    }

    for (const path of wasmOf(repository, name).keys()) {
      await t.step(`would not start without ${path}: nothing outside the bundle helps`, async () => {
        const files = new Map(upload.files);
        assert(files.delete(path));
        const crippled = await runBundle({ ...upload, files }, config);
        await crippled.stop();
        assertEquals(crippled.url, undefined);
      });
    }
  });
}

/** A project with one function that reads its wasm as wasm-bindgen's glue does. */
async function smallProject(staticFiles: string): Promise<string> {
  const root = await Deno.makeTempDir({ prefix: "toolbox-small-" });
  await Deno.mkdir(join(root, "supabase/functions/small"), { recursive: true });
  await Deno.mkdir(join(root, "pkg/small"), { recursive: true });
  await Deno.writeTextFile(
    join(root, "supabase/config.toml"),
    `project_id = "small"\n[functions.small]\nverify_jwt = false\nentrypoint = "./functions/small/index.ts"\nstatic_files = ${staticFiles}\n`,
  );
  await Deno.writeTextFile(
    join(root, "supabase/functions/small/index.ts"),
    `import { bytes } from "../../../pkg/small/small.js";\nDeno.serve(() => new Response(String(new WebAssembly.Module(bytes) instanceof WebAssembly.Module)));\n`,
  );
  await Deno.writeTextFile(
    join(root, "pkg/small/small.js"),
    `export const bytes = Deno.readFileSync(new URL("small_bg.wasm", import.meta.url));\n`,
  );
  await Deno.writeFile(join(root, "pkg/small/small_bg.wasm"), new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
  return root;
}

Deno.test("these tests notice a wasm file that is left behind", async () => {
  const root = await smallProject("[]");
  try {
    const upload = await deploy(root, "small");
    assertEquals(missingWasm(root, upload), ["pkg/small/small_bg.wasm"]);
    const running = await runBundle(upload, {});
    await running.stop();
    assertEquals(running.url, undefined);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("these tests pass a complete bundle", async () => {
  const root = await smallProject('["../pkg/small/*.wasm"]');
  try {
    const upload = await deploy(root, "small");
    assertEquals(missingWasm(root, upload), []);
    const running = await runBundle(upload, {});
    try {
      assert(running.url, running.errors());
      assertEquals(await (await fetch(running.url, { signal: AbortSignal.timeout(10_000) })).text(), "true");
    } finally {
      await running.stop();
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
