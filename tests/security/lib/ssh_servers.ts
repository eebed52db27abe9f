/** The SSH servers that misbehave, each at a port of its own: crates/toolbox-ssh/examples/ssh-servers.rs. */
const REPOSITORY = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const TARGET = Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`;

export interface Servers extends AsyncDisposable {
  all: Record<string, { port: number; host_key: string }>;
}

export async function startServers(): Promise<Servers> {
  const built = await new Deno.Command("cargo", {
    args: ["build", "--quiet", "-p", "toolbox-ssh", "--features", "client", "--example", "ssh-servers"],
    cwd: REPOSITORY,
  }).output();
  if (!built.success) throw new Error(new TextDecoder().decode(built.stderr));
  const child = new Deno.Command(`${TARGET}/debug/examples/ssh-servers`, { stdin: "piped", stdout: "piped" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the servers ended");
    text += value;
  }
  return {
    all: JSON.parse(text),
    async [Symbol.asyncDispose]() {
      // They end with their input.
      await child.stdin.close();
      await reader.cancel();
      await child.status;
    },
  };
}
