// What an edge function costs that reaches a machine with npm:ssh2: it connects, runs one command and answers with what
// it printed. It knows no certificates, reads no row and writes no history, so it can only be cheaper than the real one.

import ssh2 from "npm:ssh2@1.17.0";

const target = {
  host: env("BENCH_SSH_HOST"),
  port: 22,
  username: env("BENCH_SSH_USER"),
  privateKey: env("BENCH_SSH_KEY"),
  readyTimeout: 10_000,
  hostVerifier: (key: { toString(encoding: "base64"): string }) => key.toString("base64") === env("BENCH_SSH_HOST_KEY"),
};

Deno.serve(async () => {
  const output = await new Promise<string>((resolve, reject) => {
    const client = new ssh2.Client();
    client.on("error", reject);
    client.on("ready", () => {
      // deno-lint-ignore no-explicit-any
      client.exec("host-health", (error: Error | undefined, stream: any) => {
        if (error) return reject(error);
        let text = "";
        stream.on("data", (bytes: Uint8Array) => text += new TextDecoder().decode(bytes));
        stream.on("close", () => {
          client.end();
          resolve(text);
        });
      });
    });
    client.connect(target);
  });
  return Response.json({ success: JSON.parse(output).ok });
});

function env(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}
