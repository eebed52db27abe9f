// The Docker API of this machine, called by curl: raw containers to compare with, and the end of those that were made.

export const SOCKET = "/var/run/docker.sock";
/** Of containers that the bench makes itself. */
export const LABEL = "io.toolbox.bench";

/** Calls the Docker API; null for an empty answer, throws on a failure other than 404. */
// deno-lint-ignore no-explicit-any
export async function docker(method: string, path: string, body?: unknown): Promise<any> {
  const data = body === undefined ? [] : ["--header", "content-type: application/json", "--data", JSON.stringify(body)];
  const url = `http://docker${path}`;
  const output = await curl([
    "--unix-socket",
    SOCKET,
    "--request",
    method,
    "--write-out",
    "\n%{http_code}",
    ...data,
    url,
  ]);
  const end = output.lastIndexOf("\n");
  const [text, status] = [output.slice(0, end), Number(output.slice(end + 1))];
  if (status >= 400 && status !== 404) throw new Error(`Docker answered ${method} ${path} with ${status}: ${text}`);
  return text ? JSON.parse(text) : null;
}

export async function dockerCommand(name: string, command: "start" | "stop"): Promise<number> {
  return await timed(
    ["--unix-socket", SOCKET, "--request", "POST", `http://docker/containers/${name}/${command}`],
    204,
  );
}

/** Milliseconds of one HTTP exchange, measured by curl for both sides alike; throws on another status. */
export async function timed(args: string[], status: number): Promise<number> {
  const output = await curl(["--output", "/dev/null", "--write-out", "%{http_code} %{time_total}", ...args]);
  const [code, seconds] = output.split(" ").map(Number);
  if (code !== status) throw new Error(`${args.at(-1)} answered ${code} instead of ${status}`);
  return seconds * 1000;
}

/** Removes the containers with one of the labels, four at a time. */
export async function removeContainers(labels: string[]): Promise<void> {
  for (const label of labels) {
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const found: { Id: string }[] = await docker("GET", `/containers/json?all=true&filters=${filters}`);
    await inTurns(found, 4, ({ Id }) => docker("DELETE", `/containers/${Id}?force=true&v=true`));
  }
}

/** Removes the networks with the label. */
export async function removeNetworks(label: string): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
  const found: { Id: string }[] = await docker("GET", `/networks?filters=${filters}`);
  for (const { Id } of found) await docker("DELETE", `/networks/${Id}`);
}

/** Does `work` for each, at most `width` at once. */
export async function inTurns<T>(items: T[], width: number, work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function curl(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("curl", {
    args: ["--silent", "--show-error", "--max-time", "40", ...args],
  }).output();
  if (code !== 0) throw new Error(`curl ${args.at(-1)}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
