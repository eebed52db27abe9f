// Runs wrk, a closed-loop HTTP load generator, and reads its statistics.

export interface Load {
  /** Microseconds. */
  p50: number;
  p99: number;
  requests: number;
  requestsPerSecond: number;
}

/** Loads `url` over `connections` kept-alive connections for `seconds`; every answer must be a 2xx. */
export async function load(url: string, token: string, connections: number, seconds: number): Promise<Load> {
  return await loadBy("wrk.lua", { BENCH_TOKEN: token }, url, connections, seconds);
}

/** The same by one of the scripts beside this file, which says what is asked and which answers count as failed. */
export async function loadBy(
  script: string,
  env: Record<string, string>,
  url: string,
  connections: number,
  seconds: number,
): Promise<Load> {
  const { code, stdout, stderr } = await new Deno.Command("wrk", {
    args: [
      "--threads=1",
      `--connections=${connections}`,
      `--duration=${seconds}s`,
      "--timeout=10s",
      `--script=${new URL(script, import.meta.url).pathname}`,
      url,
    ],
    // Through the environment, because a command line is visible to every user.
    env,
  }).output();
  const output = new TextDecoder().decode(stdout);
  const result = output.split("\n").find((line) => line.startsWith("result "));
  if (code !== 0 || !result) throw new Error(`run wrk failed: ${new TextDecoder().decode(stderr)}${output}`);
  const { p50, p99, requests, micros, errors, failed } = JSON.parse(result.slice("result ".length));
  if (errors > 0 || requests === 0) {
    throw new Error(`${url}: ${errors} of ${requests} requests failed; ${failed ?? ""}`);
  }
  return { p50, p99, requests, requestsPerSecond: requests / (micros / 1e6) };
}
