/** Deploys the functions of a project with the real CLI and runs what was uploaded. */
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { repository } from "../lib/functions.ts";
import { type ManagementApi, startManagementApi, type Upload } from "./management_api.ts";

/** The real CLI. */
export const supabase = Deno.env.get("TOOLBOX_SUPABASE") ??
  join(repository, "node_modules/@supabase/cli-linux-x64/bin/supabase");
const deno = Deno.env.get("TOOLBOX_DENO") ?? join(repository, "node_modules/deno/deno");
/** The project that the simulator knows. */
export const projectRef = "abcdefghijklmnopqrst";

/** Writes what leads the CLI to a simulator into `folder`; the file. */
export async function writeProfile(folder: string, api: ManagementApi): Promise<string> {
  const profile = join(folder, "profile.yaml");
  await Deno.writeTextFile(
    profile,
    `name: simulated\napi_url: ${api.url}\ndashboard_url: ${api.url}/dashboard\nproject_host: supabase.co\n`,
  );
  return profile;
}

/** What the CLI needs in its environment; `home` is a directory of nobody. */
export function cliEnvironment(home: string): Record<string, string> {
  return {
    HOME: home,
    SUPABASE_ACCESS_TOKEN: `sbp_${"0123456789".repeat(4)}`,
    SUPABASE_TELEMETRY_DISABLED: "1",
  };
}

/** Runs `supabase functions deploy` for one function and gives back what it uploaded. */
export async function deploy(root: string, name: string): Promise<Upload> {
  const api = startManagementApi(projectRef);
  // The CLI keeps state in its home directory; this one is nobody's.
  const home = await Deno.makeTempDir({ prefix: "toolbox-cli-" });
  try {
    const profile = await writeProfile(home, api);
    const { code, stdout, stderr } = await new Deno.Command(supabase, {
      args: [
        "functions",
        "deploy",
        name,
        "--use-api",
        "--project-ref",
        projectRef,
        "--profile",
        profile,
        "--workdir",
        root,
        "--yes",
      ],
      clearEnv: true,
      env: { ...cliEnvironment(home), PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
      signal: AbortSignal.timeout(60_000),
    }).output();
    const decoder = new TextDecoder();
    const log = decoder.decode(stdout) + decoder.decode(stderr);
    if (code !== 0) throw new Error(`"supabase functions deploy ${name}" exited with ${code}:\n${log}`);
    if (api.unknown.length > 0) {
      throw new Error(`the CLI made requests the simulator does not know: ${api.unknown.join(", ")}`);
    }
    if (api.uploads.length !== 1) throw new Error(`expected one upload of ${name}, got ${api.uploads.length}:\n${log}`);
    return api.uploads[0];
  } finally {
    await api.stop();
    await Deno.remove(home, { recursive: true });
  }
}

/**
 * The same upload without what came from `static_files`: deployments without Docker may leave it behind. All that is
 * left are modules and their configuration.
 */
export function modulesOf(upload: Upload): Upload {
  const files = [...upload.files].filter(([path]) => /\.(ts|js|json)$/.test(path));
  return { ...upload, files: new Map(files) };
}

/** A function that runs from its bundle. `url` is undefined when it ended before it served. */
export interface Running {
  url?: string;
  /** What it wrote to standard error so far. */
  errors(): string;
  stop(): Promise<void>;
}

/** Unpacks a bundle into an empty directory and runs it with access to that directory only. */
export async function runBundle(upload: Upload, env: Record<string, string>): Promise<Running> {
  const folder = await Deno.makeTempDir({ prefix: "toolbox-bundle-" });
  for (const [path, content] of upload.files) {
    if (path.startsWith("/") || path.split("/").includes("..")) {
      throw new Error(`the bundle leaves its root: "${path}"`);
    }
    await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
    await Deno.writeFile(join(folder, path), content);
  }
  const worker = join(folder, ".worker.ts");
  await Deno.copyFile(new URL("./worker.ts", import.meta.url), worker);
  const importMap = upload.metadata.import_map_path;
  const child = new Deno.Command(deno, {
    args: [
      "run",
      "--no-check",
      "--no-lock",
      "--no-prompt",
      // A bundle that needs a module it does not hold must fail here, not find it in a cache.
      "--cached-only",
      ...(typeof importMap === "string" && importMap !== "" ? ["--config", join(folder, importMap)] : ["--no-config"]),
      `--allow-read=${folder}`,
      "--allow-env",
      "--allow-net",
      worker,
      pathToFileURL(join(folder, String(upload.metadata.entrypoint_path))).href,
    ],
    cwd: folder,
    clearEnv: true,
    env: { DENO_DIR: join(folder, ".deno"), DENO_NO_UPDATE_CHECK: "1", HOME: folder, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();

  let errors = "";
  const readErrors = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) errors += text;
  })();
  // Read to the end, so that the function never waits for a full pipe.
  const port = Promise.withResolvers<string | undefined>();
  const readOutput = (async () => {
    let printed = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      printed += text;
      const match = printed.match(/^listening (\d+)$/m);
      if (match) port.resolve(match[1]);
    }
    port.resolve(undefined);
  })();
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };
  const deadline = setTimeout(kill, 30_000);
  const servedOn = await port.promise;
  clearTimeout(deadline);
  return {
    url: servedOn && `http://127.0.0.1:${servedOn}`,
    errors: () => errors,
    stop: async () => {
      kill();
      await Promise.all([child.status, readErrors, readOutput]);
      await Deno.remove(folder, { recursive: true });
    },
  };
}
