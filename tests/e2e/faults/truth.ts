/** What the database says, compared with what Docker shows. */
import {
  eventLogFaults,
  type EventRow,
  eventually,
  type InstanceRow,
  opened,
  type OperationRow,
  type World,
} from "../lib/mod.ts";

/** Rows, operations, events and containers of one toolbox at about one moment. */
export interface Snapshot {
  rows: InstanceRow[];
  operations: OperationRow[];
  events: EventRow[];
  // deno-lint-ignore no-explicit-any
  containers: any[];
}

/** Reads all of it with two statements and two calls of Docker. The secrets of the rows are opened. */
export async function snapshot(world: World): Promise<Snapshot> {
  const values = { toolbox: world.toolboxId };
  const [all, containers] = await Promise.all([
    world.db.row<Omit<Snapshot, "containers">>(
      `select
        (select coalesce(json_agg(i order by i.created_at), '[]') from public.account_tool_instances i
          where i.account_tool_environment_id = :'toolbox') as rows,
        (select coalesce(json_agg(o order by o.started_at, o.generation), '[]') from public.tool_instance_operations o
          where o.account_tool_environment_id = :'toolbox') as operations,
        (select coalesce(json_agg(e order by e.id), '[]') from public.tool_instance_events e
          where e.account_tool_environment_id = :'toolbox') as events`,
      values,
    ),
    world.docker.containers(),
  ]);
  const rows = await Promise.all(all.rows.map((row) => opened(world.ready.agent_root, row)));
  return { ...all, rows, containers };
}

/** The container's instance, from its label. */
// deno-lint-ignore no-explicit-any
export function instanceOf(container: any): string {
  return container.Config.Labels["io.toolbox.instance_id"];
}

/** An update whose end nobody observed: the agent may not have heard of the spec the row has. */
function isOpen({ operations }: Snapshot, row: InstanceRow): boolean {
  const own = operations.filter((operation) => operation.tool_instance_id === row.id);
  return own.findLast(({ action }) => action === "deploy" || action === "update")?.state === "abandoned";
}

/** As the row holds it, opened: each value of the environment is in an envelope. */
interface Spec {
  image?: string;
  env?: Record<string, { value: string }>;
}

/** How the image and the variables of a running container differ from the row's spec. */
// deno-lint-ignore no-explicit-any
function strangers(spec: Spec, { Config: config }: any): string[] {
  const plain = (image?: string) => image?.replace(/^docker\.io\/(library\/)?/, "");
  const wanted = Object.entries(spec.env ?? {}).map(([name, { value }]) => `${name}=${value}`);
  const missing = wanted.filter((pair) => !config.Env.includes(pair)).map((pair) => `without ${pair}`);
  return plain(spec.image) === plain(config.Image) ? missing : [`of ${config.Image}, not ${spec.image}`, ...missing];
}

/** Where database and Docker disagree, and what is not finished; empty when the database tells the truth. */
export function untruths(state: Snapshot): string[] {
  const { rows, operations, containers } = state;
  const found: string[] = [];
  const known = new Set(rows.map((row) => row.id));
  for (const container of containers) {
    if (!known.has(instanceOf(container))) {
      found.push(`container ${container.Name} belongs to instance ${instanceOf(container)}, which has no row`);
    }
  }
  for (const row of rows) {
    const own = containers.filter((container) => instanceOf(container) === row.id);
    const running = own.filter((container) => container.State.Running);
    const label = `${row.instance_name_on_toolbox} (${row.id}) generation ${row.generation}`;
    if (own.length > 1) found.push(`${label} has ${own.length} containers`);
    switch (row.status_on_toolbox) {
      case "running":
        if (running.length !== 1) found.push(`${label} is running in the database, ${running.length} run in Docker`);
        else if (row.container_id !== running[0].Id) {
          found.push(`${label} has container ${row.container_id} in the database, ${running[0].Id} in Docker`);
        } else if (!isOpen(state, row)) {
          found.push(...strangers(row.spec, running[0]).map((what) => `${label} runs a container ${what}`));
        }
        break;
      case "error":
        // A delete that failed: the reason says so, and the container is what is still to be removed.
        if (row.desired_status === "absent") break;
        // falls through
      case "stopped":
        if (running.length) {
          found.push(
            `${label} is ${row.status_on_toolbox} ${row.instance_error_code ?? ""} in the database, runs in Docker`,
          );
        }
        break;
      default:
        found.push(`${label} is still ${row.status_on_toolbox}`);
    }
  }
  for (const operation of operations) {
    if (operation.state === "in_progress") {
      found.push(`operation ${operation.action} of ${operation.tool_instance_id} is still in progress`);
    }
  }
  return found;
}

/** What is wrong with the event logs: illegal edges, gaps, a last event that is not the row. */
export function logFaults({ rows, events }: Snapshot): string[] {
  const byInstance = Map.groupBy(events, (event) => event.tool_instance_id);
  const found: string[] = [];
  for (const [id, own] of byInstance) {
    found.push(...eventLogFaults(own).map((fault) => `${id}: ${fault}`));
    const row = rows.find((candidate) => candidate.id === id);
    const last = own.at(-1)?.to_status ?? null;
    if (last !== (row?.status_on_toolbox ?? null)) {
      found.push(`${id}: the last event says ${last}, the row ${row?.status_on_toolbox ?? "is gone"}`);
    }
    const generations = own.map((event) => event.generation ?? 0);
    generations.forEach((generation, at) => {
      if (at > 0 && generation < generations[at - 1]) {
        found.push(`${id}: event ${own[at].id} has generation ${generation} after ${generations[at - 1]}`);
      }
    });
  }
  for (const row of rows) {
    if (!byInstance.has(row.id)) found.push(`${row.id}: a row without events`);
  }
  return found;
}

/**
 * Reads the list until the database equals Docker and nothing is under way, as a person who keeps looking would.
 * The list is the only healer: nothing else is called.
 */
export async function healed(world: World, ms = 20_000): Promise<Snapshot> {
  let last: string[] = [];
  try {
    return await eventually("the database equals Docker after reading the list", async () => {
      const reply = await world.owner.tools.list();
      if (reply.status !== 200) last = [`the list answers ${reply.status} ${reply.text.slice(0, 300)}`];
      else if (!reply.json.success) last = [`the list says ${JSON.stringify(reply.json.agent)}`];
      else {
        // What a read found is written after its answer, so the rows follow a moment later.
        const now = await snapshot(world);
        last = untruths(now);
        if (last.length === 0) {
          last = logFaults(now);
          if (last.length) throw new Error(last.join("\n"));
          return now;
        }
      }
      return undefined;
    }, { ms, everyMs: 200 });
  } catch (error) {
    throw new Error(`not healed within ${ms} ms:\n${last.join("\n")}`, { cause: error });
  }
}
