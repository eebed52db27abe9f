/** What must be true once the faults are over: the user's wish, the database and Docker say the same. */
import { eventLogFaults, type EventRow, eventually, type InstanceRow, type OperationRow } from "../e2e/lib/mod.ts";
import type { ChaosWorld } from "./world.ts";

/** Rows, unfinished operations and containers at about one moment. */
export interface Moment {
  toolbox: { status: string; unresponsive_since: string | null };
  rows: InstanceRow[];
  unfinished: OperationRow[];
  // deno-lint-ignore no-explicit-any
  containers: any[];
}

/** The instance a container belongs to, from its label. */
// deno-lint-ignore no-explicit-any
export function instanceOf(container: any): string | undefined {
  return container.Config.Labels["io.toolbox.instance_id"];
}

export async function look(world: ChaosWorld): Promise<Moment> {
  const [moment, containers] = await Promise.all([
    world.db.row<Omit<Moment, "containers">>(
      `select
        (select row_to_json(e) from (select status, unresponsive_since from public.account_tool_environments
          where id = :'toolbox') e) as toolbox,
        (select coalesce(json_agg(i order by i.instance_name_on_toolbox), '[]') from public.account_tool_instances i
          where i.account_tool_environment_id = :'toolbox') as rows,
        (select coalesce(json_agg(o), '[]') from public.tool_instance_operations o
          where o.account_tool_environment_id = :'toolbox' and o.state = 'in_progress') as unfinished`,
      { toolbox: world.toolboxId },
    ),
    world.droplet.containers(),
  ]);
  return { ...moment, containers };
}

/** Where wish, database and Docker differ; empty when all is well. */
export function untruths(world: ChaosWorld, { toolbox, rows, unfinished, containers }: Moment): string[] {
  const found: string[] = [];
  if (toolbox.status !== "active") found.push(`the toolbox is ${toolbox.status} since ${toolbox.unresponsive_since}`);
  for (const container of containers) {
    const id = instanceOf(container);
    if (!rows.some((row) => row.id === id)) {
      found.push(`container ${container.Name} belongs to ${id}, which has no row`);
    }
  }
  for (const row of rows) {
    const own = containers.filter((container) => instanceOf(container) === row.id);
    const label = `${row.instance_name_on_toolbox} (${row.id}, generation ${row.generation})`;
    if (world.deleted.has(row.id)) {
      found.push(`${label} was deleted by the user and has a row: ${row.status_on_toolbox}`);
    }
    if (own.length > 1) found.push(`${label} has ${own.length} containers`);
    const runs = own.length === 1 && own[0].State.Running && !own[0].State.Paused;
    const status = row.status_on_toolbox;
    const reason = row.instance_error_code === null ? "" : ` ${row.instance_error_code}: ${row.instance_error_message}`;
    const said = `${label} is desired ${row.desired_status}, the database says ${status}${reason}, Docker says ${
      own[0]?.State.Status ?? "nothing"
    }`;
    switch (row.desired_status) {
      case "running":
        if (status !== "running" || !runs) found.push(said);
        else if (row.container_id !== own[0].Id) found.push(`${label} runs as ${own[0].Id}, not ${row.container_id}`);
        else if (!own[0].Config.Image.endsWith(String(row.spec.image))) {
          found.push(`${label} runs ${own[0].Config.Image}, its spec says ${row.spec.image}`);
        }
        break;
      case "stopped":
        if (status !== "stopped" || own.some((container) => container.State.Running)) found.push(said);
        break;
      default:
        found.push(said);
    }
    const slot = world.slots.find((candidate) => candidate.id === row.id);
    if (slot?.promised && slot.promised !== row.desired_status) {
      found.push(`${label} was promised to be ${slot.promised} and is desired ${row.desired_status}`);
    }
  }
  for (const slot of world.slots) {
    if (slot.id && slot.promised && !rows.some((row) => row.id === slot.id)) {
      found.push(`${slot.name} (${slot.id}) was promised to be ${slot.promised} and has no row`);
    }
  }
  for (const operation of unfinished) {
    found.push(`operation ${operation.action} of ${operation.tool_instance_id} is still in progress`);
  }
  return found;
}

/** Waits until there are no untruths; the error holds those that stayed. */
export async function converged(world: ChaosWorld, ms: number): Promise<Moment> {
  let last: string[] = ["nothing could be read"];
  try {
    return await eventually("wish, database and Docker agree", async () => {
      const moment = await look(world);
      last = untruths(world, moment);
      return last.length === 0 ? moment : undefined;
    }, { ms, everyMs: 250 });
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    throw new Error(`no agreement within ${ms} ms:\n  ${last.join("\n  ")}`, { cause });
  }
}

/** Reads the event log as it grows, and checks each event against the one before and against the database's table. */
export class EventLog {
  #lastId = 0;
  /** Status after the last event of each instance; null once it is gone. */
  readonly #status = new Map<string, string | null>();
  total = 0;

  /** What is wrong with the events since the last call. */
  async faults(world: ChaosWorld): Promise<string[]> {
    const events = await world.db.rows<EventRow & { legal: boolean }>(
      `select e.*, from_status is null or to_status is null or from_status = to_status
          or private.tool_instance_transition_allowed(from_status, to_status) as legal
        from public.tool_instance_events e
        where e.account_tool_environment_id = :'toolbox' and e.id > :'last'::bigint order by e.id`,
      { toolbox: world.toolboxId, last: `${this.#lastId}` },
    );
    this.total += events.length;
    const found: string[] = [];
    for (const [id, own] of Map.groupBy(events, (event) => event.tool_instance_id)) {
      const known = this.#status.get(id);
      found.push(...eventLogFaults(own, known ?? null).map((fault) => `${id}: ${fault}`));
      found.push(
        ...own.filter((event) => !event.legal).map(({ id: event, from_status: from, to_status: to }) =>
          `${id}: event ${event}: the database's own table forbids ${from} -> ${to}`
        ),
      );
      if (world.deleted.has(id) && known === null) found.push(`${id}: events after it was gone`);
      this.#status.set(id, own[own.length - 1].to_status);
    }
    this.#lastId = events.at(-1)?.id ?? this.#lastId;
    return found;
  }
}
