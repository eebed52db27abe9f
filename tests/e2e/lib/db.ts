/** The database as its operator sees it: SQL through psql, past every policy. */

/** A superuser's connection, one psql process a query. */
export class Database {
  constructor(readonly url: string) {}

  /**
   * Rows of `query` as objects. `:'name'` in it is replaced by the quoted value of `values.name`; never
   * build SQL from text.
   */
  async rows<T = Record<string, unknown>>(query: string, values: Record<string, string> = {}): Promise<T[]> {
    const wrapped = `select coalesce(json_agg(row_to_json(found)), '[]') from (${query.replace(/;\s*$/, "")}) found;`;
    return JSON.parse(await this.execute(wrapped, values));
  }

  /** The only row of `query`. */
  async row<T = Record<string, unknown>>(query: string, values: Record<string, string> = {}): Promise<T> {
    const rows = await this.rows<T>(query, values);
    if (rows.length !== 1) throw new Error(`expected one row, got ${rows.length}: ${query}`);
    return rows[0];
  }

  /** Runs statements; what psql printed. */
  async execute(statements: string, values: Record<string, string> = {}): Promise<string> {
    // From standard input, because psql substitutes variables only there, not in -c.
    const process = new Deno.Command("psql", {
      args: [
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "-v",
        "ON_ERROR_STOP=1",
        ...Object.entries(values).flatMap(([name, value]) => ["-v", `${name}=${value}`]),
        this.url,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(statements + "\n"));
    await writer.close();
    const { success, stdout, stderr } = await process.output();
    if (!success) throw new Error(`psql: ${new TextDecoder().decode(stderr)}`);
    return new TextDecoder().decode(stdout).trim();
  }

  /** The row of an instance; undefined once it is gone. */
  async instance(id: string): Promise<InstanceRow | undefined> {
    const rows = await this.rows<InstanceRow>("select * from public.account_tool_instances where id = :'id'", { id });
    return rows[0];
  }

  /** The event log of an instance, oldest first. */
  events(id: string): Promise<EventRow[]> {
    return this.rows<EventRow>("select * from public.tool_instance_events where tool_instance_id = :'id' order by id", {
      id,
    });
  }

  /** The operations of an instance, oldest first. */
  operations(id: string): Promise<OperationRow[]> {
    return this.rows<OperationRow>(
      "select * from public.tool_instance_operations where tool_instance_id = :'id' order by started_at, id",
      { id },
    );
  }
}

export interface InstanceRow {
  id: string;
  account_tool_environment_id: string;
  instance_name_on_toolbox: string;
  container_name: string;
  spec: Record<string, unknown>;
  generation: number;
  desired_status: string;
  status_on_toolbox: string;
  instance_error_code: string | null;
  instance_error_message: string | null;
  container_id: string | null;
  image_digest: string | null;
  mcp_health: { state: string; evidence: string } | null;
  port_mapping_json: { container_port: number; protocol: string; host_ip: string; host_port: number }[] | null;
  [column: string]: unknown;
}

export interface EventRow {
  id: number;
  tool_instance_id: string;
  actor_kind: string;
  actor_id: string | null;
  action: string | null;
  from_status: string | null;
  to_status: string | null;
  reason_code: string | null;
  reason: string | null;
  request_id: string | null;
  operation_id: string | null;
  generation: number | null;
  [column: string]: unknown;
}

export interface OperationRow {
  id: string;
  action: string;
  state: string;
  generation: number;
  request_id: string;
  error_code: string | null;
  error_message: string | null;
  [column: string]: unknown;
}

/** Every edge of the lifecycle an event log may show, as `from,to`: the list that the domain and the trigger are held to. */
const LEGAL = new Set(
  Deno.readTextFileSync(new URL("../../db/lifecycle_edges.csv", import.meta.url)).split("\n")
    .filter((line) => line.startsWith("instance,")).map((line) => line.slice("instance,".length).trim()),
);

/**
 * What is wrong with an event log: edges that are not legal, events that do not continue the one before,
 * errors without a reason. Empty when all is well. `from` is the status before the first of them.
 */
export function eventLogFaults(events: readonly EventRow[], from: string | null = null): string[] {
  const faults: string[] = [];
  let at = from;
  for (const event of events) {
    const { from_status: from, to_status: to } = event;
    if (from !== at) faults.push(`event ${event.id} starts at ${from}, the one before ended at ${at}`);
    if (from !== null && to !== null && from !== to && !LEGAL.has(`${from},${to}`)) {
      faults.push(`event ${event.id}: ${from} -> ${to} is not legal`);
    }
    if (from === null && to !== null && !["pending_deploy", "deploying"].includes(to)) {
      faults.push(`event ${event.id}: a row began as ${to}`);
    }
    if (to === null && from !== "deleting") faults.push(`event ${event.id}: the row went from ${from}`);
    if (to === "error" && !(event.reason_code && event.reason)) {
      faults.push(`event ${event.id}: error without a reason`);
    }
    at = to;
  }
  return faults;
}

/** The statuses an event log went through, without repetitions. */
export function path(events: readonly EventRow[]): string[] {
  const statuses: string[] = [];
  for (const { to_status: to } of events) {
    const status = to ?? "gone";
    if (statuses.at(-1) !== status) statuses.push(status);
  }
  return statuses;
}
