// As much of PostgREST's reading as the functions use: `select` with columns, aliases and embedded tables, and `eq.`
// filters on the table and on embedded ones. Whatever columns a function asks for, the answer has their real size.

import type { Row } from "./fixtures.ts";

interface Item {
  name: string;
  alias: string;
  inner: boolean;
  children: Item[] | null;
}

/** How one table finds the rows of another: `[own column, other table's column, many]`. */
const RELATIONS: Record<string, Record<string, [string, string, boolean]>> = {
  account_tool_environments: { account_tool_instances: ["id", "account_tool_environment_id", true] },
  account_tool_instances: {
    account_tool_environments: ["account_tool_environment_id", "id", false],
    tool_catalog: ["tool_catalog_id", "id", false],
  },
};

/** Rows of `GET /<table>?<query>`, projected. Throws on a table or column that does not exist, as PostgREST refuses it. */
export function read(tables: Record<string, Row[]>, table: string, query: URLSearchParams): Row[] {
  const items = parse(query.get("select") ?? "*");
  const filters = [...query]
    .filter(([, value]) => value.startsWith("eq."))
    .map(([key, value]) => ({ path: key.split("."), value: value.slice("eq.".length) }));
  return project(tables, table, items, filters, () => true);
}

interface Filter {
  path: string[];
  value: string;
}

function project(
  tables: Record<string, Row[]>,
  table: string,
  items: Item[],
  filters: Filter[],
  related: (row: Row) => boolean,
): Row[] {
  const rows = tables[table];
  if (!rows) throw new Error(`bench upstream: no table "${table}"`);
  const own = filters.filter((filter) => filter.path.length === 1);
  const result: Row[] = [];
  for (const row of rows) {
    if (!related(row) || !own.every(({ path, value }) => String(row[path[0]]) === value)) continue;
    const projected = projectRow(tables, table, row, items, filters);
    if (projected) result.push(projected);
  }
  return result;
}

/** One row as selected; null when an `!inner` embedding of it is empty. */
function projectRow(
  tables: Record<string, Row[]>,
  table: string,
  row: Row,
  items: Item[],
  filters: Filter[],
): Row | null {
  const result: Row = {};
  for (const item of items) {
    if (item.children) {
      const relation = RELATIONS[table]?.[item.name];
      if (!relation) throw new Error(`bench upstream: no relation from "${table}" to "${item.name}"`);
      const [from, to, many] = relation;
      const inner = filters
        .filter(({ path }) => path.length > 1 && (path[0] === item.alias || path[0] === item.name))
        .map(({ path, value }) => ({ path: path.slice(1), value }));
      const rows = project(tables, item.name, item.children, inner, (other) => other[to] === row[from]);
      if (item.inner && rows.length === 0) return null;
      result[item.alias] = many ? rows : (rows[0] ?? null);
    } else if (item.name === "*") {
      Object.assign(result, row);
    } else {
      if (!(item.name in row)) throw new Error(`bench upstream: no column "${item.name}" in "${table}"`);
      result[item.alias] = row[item.name];
    }
  }
  return result;
}

/** Parses `a,b:c,d::text,table!inner(e,f)`. */
function parse(select: string): Item[] {
  let position = 0;
  const list = (): Item[] => {
    const items: Item[] = [];
    while (position < select.length && select[position] !== ")") {
      const text = /^[^,()]*/.exec(select.slice(position))![0];
      position += text.length;
      let children: Item[] | null = null;
      if (select[position] === "(") {
        position += 1;
        children = list();
        position += 1;
      }
      if (select[position] === ",") position += 1;
      const [target, ...hints] = text.trim().replace(/::\w+$/, "").split("!");
      const [alias, name] = target.includes(":") ? target.split(":") : [target, target];
      items.push({ name, alias, inner: hints.includes("inner"), children });
    }
    return items;
  };
  return list();
}
