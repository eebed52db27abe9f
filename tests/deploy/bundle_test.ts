/** A function runs from the modules that `supabase functions deploy --use-api` uploads, and from nothing else. */
import { deepStrictEqual as assertEquals, ok as assert } from "node:assert";
import { join } from "node:path";
import { functionsOf, packageOf, repository } from "../lib/functions.ts";
import { deploy, modulesOf, runBundle } from "./project.ts";

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

Deno.test("the list names every function there is", () => {
  const folders = [...Deno.readDirSync(join(repository, "supabase/functions"))]
    .filter((entry) => entry.isDirectory && !entry.name.startsWith("_"))
    .map((entry) => entry.name);
  assertEquals(functionsOf(repository).sort(), folders.sort());
});

for (const name of functionsOf(repository)) {
  Deno.test(`${name}: the bundle runs from its modules alone`, async (t) => {
    const upload = await deploy(repository, name);

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

    const running = await runBundle(modulesOf(upload), config);
    try {
      assert(running.url, `${name} did not start from its bundle:\n${running.errors()}`);
      await t.step("answers from its wasm: an unknown route in the envelope", async () => {
        const response = await fetch(`${running.url}/${name}/no/such/route`, { signal: AbortSignal.timeout(10_000) });
        assertEquals(response.status, 404);
        const { error } = await response.json();
        assertEquals([error.code, typeof error.message, typeof error.request_id], [
          "route_not_found",
          "string",
          "string",
        ]);
      });
      await t.step("answers a browser's preflight", async () => {
        const response = await fetch(`${running.url}/${name}`, {
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

    await t.step("would not start without its package: nothing outside the bundle helps", async () => {
      const files = new Map(upload.files);
      assert(files.delete(packageOf(name)), `the bundle lacks ${packageOf(name)}`);
      const crippled = await runBundle({ ...upload, files }, config);
      await crippled.stop();
      assertEquals(crippled.url, undefined);
    });
  });
}

Deno.test("these tests notice a function that needs a static file", async () => {
  const root = await Deno.makeTempDir({ prefix: "toolbox-small-" });
  try {
    await Deno.mkdir(join(root, "supabase/functions/small"), { recursive: true });
    await Deno.writeTextFile(
      join(root, "supabase/config.toml"),
      `project_id = "small"\n[functions.small]\nentrypoint = "./functions/small/index.ts"\n` +
        `static_files = ["./functions/small/*.wasm"]\n`,
    );
    await Deno.writeTextFile(
      join(root, "supabase/functions/small/index.ts"),
      `Deno.readFileSync(new URL("small.wasm", import.meta.url));\nDeno.serve(() => new Response());\n`,
    );
    await Deno.writeFile(join(root, "supabase/functions/small/small.wasm"), new Uint8Array([0]));
    const upload = await deploy(root, "small");
    const whole = await runBundle(upload, {});
    await whole.stop();
    assert(whole.url, whole.errors());
    const modules = await runBundle(modulesOf(upload), {});
    await modules.stop();
    assertEquals(modules.url, undefined);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
