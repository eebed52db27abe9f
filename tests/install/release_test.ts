/** A whole release, as it is published: made, looked through, run on an emulated arm64 machine, and put where machines fetch it. */
import { deepStrictEqual as assertEquals, match as assertMatch, ok as assert } from "node:assert";
import { eventually } from "../e2e/lib/mod.ts";
import { functionsOf } from "../lib/functions.ts";
import { thorough } from "../lib/thorough.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const TOKEN = `token-${crypto.randomUUID()}`;
/** Machine types of ELF programs. */
const ELF = { x86_64: 62, aarch64: 183 };

async function run(program: string, args: string[], env: Record<string, string> = {}) {
  const output = await new Deno.Command(program, { args, env, cwd: REPOSITORY, stdin: "null" }).output();
  const text = new TextDecoder();
  return { code: output.code, out: text.decode(output.stdout), err: text.decode(output.stderr) };
}

async function succeeds(program: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { code, out, err } = await run(program, args, env);
  assertEquals(code, 0, `${program} ${args.join(" ")}: ${out}${err}`);
  return out;
}

/** Paths below a folder. */
function below(folder: string, path = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${path}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? below(folder, `${path}${name}/`) : [path + name]
  ).sort();
}

Deno.test("what cannot be published is not", async () => {
  const script = `${REPOSITORY}/scripts/publish-release`;
  const folder = await Deno.makeTempDir({ prefix: "toolbox-publish-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  const url = { TOOLBOX_RELEASE_UPLOAD_URL: "https://releases.example.org" };
  for (const [env, told] of [[{}, /set TOOLBOX_RELEASE_UPLOAD_URL/], [url, /there is no release/]] as const) {
    const { code, err } = await run(script, [folder], { ...env });
    assertEquals(code, 2);
    assertMatch(err, told);
  }
  await Deno.mkdir(`${folder}/1.2.3`);
  await Deno.writeTextFile(`${folder}/latest`, "1.2.3\n");
  assertMatch((await run(script, [folder], url)).err, /has no SHA256SUMS/);
  await Deno.writeTextFile(`${folder}/1.2.3/SHA256SUMS`, `${"0".repeat(64)}  dtma-x86_64\n`);
  await Deno.writeTextFile(`${folder}/1.2.3/dtma-x86_64`, "changed");
  assertMatch((await run(script, [folder], url)).err, /is damaged/);
});

/** A place that takes releases, by PUT, and gives them back. */
function storage(token: string) {
  const files = new Map<string, Uint8Array>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const path = new URL(request.url).pathname;
    const body = new Uint8Array(await request.arrayBuffer());
    if (request.headers.get("authorization") !== `Bearer ${token}`) return new Response(null, { status: 401 });
    if (request.method === "GET") return new Response(files.get(path), { status: files.has(path) ? 200 : 404 });
    files.delete(path);
    files.set(path, body);
    return new Response(null, { status: 201 });
  });
  const url = `http://127.0.0.1:${server.addr.port}/releases/`;
  const text = (path: string) => new TextDecoder().decode(files.get(`/releases/${path}`));
  return { files, text, url, [Symbol.asyncDispose]: () => server.shutdown() };
}

Deno.test("a patch of an older line does not become the latest", async () => {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-publish-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await using place = storage(TOKEN);
  const env = { TOOLBOX_RELEASE_UPLOAD_URL: place.url, TOOLBOX_RELEASE_UPLOAD_TOKEN: TOKEN };
  const publish = async (version: string) => {
    const release = `${folder}/${version}`;
    await Deno.mkdir(`${release}/${version}`, { recursive: true });
    await Deno.writeTextFile(`${release}/latest`, `${version}\n`);
    await Deno.writeTextFile(`${release}/install.sh`, version);
    await Deno.writeTextFile(`${release}/${version}/dtma-x86_64`, version);
    await succeeds("sh", ["-c", `cd ${release}/${version} && sha256sum dtma-x86_64 >SHA256SUMS`]);
    return await run("scripts/publish-release", [release], env);
  };
  for (
    const [version, latest] of [
      ["1.9.0", "1.9.0"],
      ["1.10.0-rc.1", "1.10.0-rc.1"],
      ["1.10.0", "1.10.0"],
      ["1.9.1", "1.10.0"],
      ["1.10.0-rc.2", "1.10.0"],
      ["1.10.0", "1.10.0"],
      ["1.10.1", "1.10.1"],
    ]
  ) {
    const { code, err } = await publish(version);
    assertEquals(code, 0, err);
    assertEquals([place.text("latest").trim(), place.text("install.sh")], [latest, latest], version);
    assertEquals(place.text(`${version}/dtma-x86_64`), version);
    assertEquals(err.includes("stays the latest"), version !== latest, err);
  }
  place.files.set("/releases/latest", new TextEncoder().encode("<html>"));
  const { code, err } = await publish("2.0.0");
  assert(code === 1 && err.includes("is no version"), err);
});

Deno.test({ name: "a whole release is made, runs on arm64 and is published", ignore: !thorough }, async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-release-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await succeeds("scripts/setup", ["--release"]);
  await succeeds("scripts/make-release", ["--all", folder]);
  const version = (await Deno.readTextFile(`${folder}/latest`)).trim();
  const place = `${folder}/${version}`;
  const functions = functionsOf(REPOSITORY);

  await t.step("it is complete, and its checksums are right", async () => {
    const architectures = Object.keys(ELF);
    assertEquals(
      below(place),
      [
        "SHA256SUMS",
        "functions.tar.gz",
        ...architectures.flatMap((one) => [`dtma-${one}`, `dtma-${one}.sha256`, `images/dtma-${one}.tar.gz`]),
        ...["dtma", ...functions].map((name) => `sbom/${name}.cdx.json`),
      ].sort(),
    );
    await succeeds("sh", ["-c", `cd ${place} && sha256sum --check --strict SHA256SUMS dtma-*.sha256`]);
    assertEquals((await Deno.readTextFile(`${place}/SHA256SUMS`)).trim().split("\n").length, below(place).length - 1);
  });

  await t.step("each program is static and of its architecture", async () => {
    for (const [architecture, machine] of Object.entries(ELF)) {
      const program = await Deno.readFile(`${place}/dtma-${architecture}`);
      assertEquals(new DataView(program.buffer).getUint16(18, true), machine, architecture);
      const headers = await succeeds("readelf", ["--program-headers", `${place}/dtma-${architecture}`]);
      assert(!headers.includes("INTERP"), `${architecture} needs a dynamic linker`);
    }
  });

  await t.step("the agent starts on an emulated arm64 machine, and answers", async () => {
    const emulator = (await succeeds("bash", [
      "-c",
      "source scripts/lib.sh; command -v qemu-aarch64-static || command -v qemu-aarch64",
    ])).trim();
    const program = `${place}/dtma-aarch64`;
    assertEquals((await succeeds(emulator, [program, "--version"])).trim(), `dtma ${version}`);
    const key = `${folder}/key`;
    await Deno.writeTextFile(key, `tbk_${"0f".repeat(32)}\n`, { mode: 0o600 });
    const agent = new Deno.Command(emulator, {
      args: [program],
      env: {
        DTMA_TOOLBOX_ID: crypto.randomUUID(),
        DTMA_STATE_DIR: `${folder}/state`,
        DTMA_LISTEN: "127.0.0.1:29871",
        DTMA_KEY_FILE: key,
        DTMA_INSECURE_HTTP: "true",
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      const health = await eventually("the agent answers", async () => {
        const reply = await fetch("http://127.0.0.1:29871/health", { signal: AbortSignal.timeout(5_000) });
        return reply.ok ? await reply.json() : undefined;
      }, { ms: 60_000 });
      assertEquals(health.version, version);
    } finally {
      agent.kill("SIGTERM");
      await agent.status;
    }
  });

  await t.step("the images are for docker load", async () => {
    for (const [architecture, name] of [["x86_64", "amd64"], ["aarch64", "arm64"]]) {
      await succeeds("docker", ["load", "--quiet", "--input", `${place}/images/dtma-${architecture}.tar.gz`]);
      const image = `toolbox/dtma:${version}`;
      const [found] = JSON.parse(await succeeds("docker", ["image", "inspect", image]));
      assertEquals([found.Architecture, found.Config.Entrypoint], [name, ["/dtma"]]);
      await succeeds("docker", ["image", "rm", "--force", image]);
    }
  });

  await t.step("the functions are there with their database, and nothing of this checkout", async () => {
    const files = (await succeeds("tar", ["--list", "--file", `${place}/functions.tar.gz`])).trim().split("\n");
    for (const name of functions) {
      assert(files.includes(`supabase/functions/${name}/index.ts`), name);
      assert(files.includes(`pkg/${name}/${name.replaceAll("-", "_")}.js`), name);
    }
    assert(files.includes("supabase/config.toml") && files.some((file) => file.startsWith("supabase/migrations/")));
    assertEquals(files.filter((file) => /\.env|\.temp/.test(file)), []);
  });

  await t.step("a bill of materials names what is in a program, with versions", async () => {
    for (const [name, part] of [["dtma", "bollard"], ["toolbox-tools", "aes-gcm"]]) {
      const text = await Deno.readTextFile(`${place}/sbom/${name}.cdx.json`);
      assert(!text.includes(REPOSITORY), "it names the checkout");
      const bill = JSON.parse(text);
      assertEquals([bill.bomFormat, bill.metadata.component.name], ["CycloneDX", name]);
      const found = bill.components.find((component: { name: string }) => component.name === part);
      assertMatch(found?.version ?? "", /^\d+\.\d+/, `${name} contains ${part}`);
    }
    const left = await succeeds("git", ["ls-files", "--others", "--exclude-standard", "crates", "tests"]);
    assert(!left.includes("toolbox-sbom"), left);
  });

  await t.step("it is put where a setting says, and `latest` comes last", async () => {
    await using there = storage(TOKEN);
    const env = { TOOLBOX_RELEASE_UPLOAD_URL: there.url };
    const { code, err } = await run("scripts/publish-release", [folder], env);
    assert(code === 1 && err.includes("answered 401"), err);
    await succeeds("scripts/publish-release", [folder], { ...env, TOOLBOX_RELEASE_UPLOAD_TOKEN: TOKEN });
    const put = there.files;
    const expected = [...below(place).map((file) => `${version}/${file}`), "install.sh", "latest"];
    assertEquals([...put.keys()].sort(), expected.map((file) => `/releases/${file}`).sort());
    assertEquals([...put.keys()].at(-1), "/releases/latest");
    for (const file of expected) {
      assertEquals(put.get(`/releases/${file}`)?.length, Deno.statSync(`${folder}/${file}`).size);
    }
  });
});
