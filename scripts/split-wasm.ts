// Splits a wasm program in two that share memory, globals and table: what is loaded first, and what is loaded when the
// first part calls into it. Which functions go is a matter of size only; the two together run as the whole did. Binaryen has a
// program for this, wasm-split, which its npm package leaves out.
//
// Usage: deno run --allow-read --allow-write split-wasm.ts WAT NAMES FIRST DEFERRED
//   WAT       the program as wasm-opt prints it, with the names of its functions
//   NAMES     regular expressions, one a line; functions so named go, with everything that only they reach
//   FIRST     the part to instantiate; imports "deferred" "load", which must instantiate the other one
//   DEFERRED  the other part, as text too; imports what it shares from "first"
//
// Functions of the other part are called through the table: for each that is called across, the table has a place and the
// caller's part a function that calls what is there. A place of the deferred part is empty until that part is loaded.

interface Function {
  name: string;
  /** Everything after the name on the function's first line. */
  signature: string;
  lines: string[];
}

const NAME = String.raw`\$(?:"(?:[^"\\]|\\.)*"|[^\s()"]+)`;
const [wat, names, firstPath, deferredPath] = Deno.args;
const goes = names.split("\n").map((name) => new RegExp(name));

const functions = new Map<string, Function>();
/** Every other form, which is one line each. */
const forms: string[] = [];
let open: Function | undefined;
for (const line of Deno.readTextFileSync(wat).split("\n")) {
  const begun = new RegExp(`^ \\(func (${NAME})(.*)`).exec(line);
  if (begun) {
    open = { name: begun[1], signature: begun[2], lines: [line] };
    functions.set(open.name, open);
  } else if (/^ \S|^\S/.test(line) && line !== " )") {
    open = undefined;
    forms.push(line);
  } else open?.lines.push(line);
}

const kind = (name: string) => forms.filter((form) => form.startsWith(` (${name} `));
function only(what: string, found: string[]): string {
  if (found.length === 1) return found[0];
  throw new Error(`split-wasm knows programs with one ${what}; this one has ${found.length}`);
}
const table = only("table of functions", kind("table").filter((form) => form.endsWith(" funcref)")));
const [, tableName, tableSize] = new RegExp(`^ \\(table (${NAME}) (\\d+) `).exec(table) ?? [];
const places = only("list of table entries", kind("elem"));
const memory = only("memory", kind("memory"));

const references = (text: string) => new Set(text.match(new RegExp(NAME, "g")));
const callees = (one: Function) =>
  [...references(one.lines.slice(1).join("\n"))].filter((name) => functions.has(name) && name !== one.name);
/** As people write it, without the hashes of crates. */
const readable = (name: string) => name.replace(/\[[0-9a-f]{1,16}\]/g, "");

// Kept is what exports and the table reach without passing through a function that goes by its name.
const exported = new Set([...kind("export"), ...kind("start")].flatMap((form) => [...references(form)]));
const listed = [...references(places)].filter((name) => functions.has(name));
const leaves = (name: string) => goes.some((one) => one.test(readable(name))) && !exported.has(name);
for (const one of goes) {
  if (![...functions.keys()].some((name) => one.test(readable(name)))) throw new Error(`no function is named ${one}`);
}
const kept = new Set<string>();
const reached = [...exported, ...listed].filter((name) => functions.has(name) && !leaves(name));
for (let name = reached.pop(); name !== undefined; name = reached.pop()) {
  if (kept.has(name)) continue;
  kept.add(name);
  reached.push(...callees(functions.get(name)!).filter((callee) => !leaves(callee)));
}
const keeps = (one: Function) => kept.has(one.name);
const first = [...functions.values()].filter(keeps);
const deferred = [...functions.values()].filter((one) => !keeps(one));

/** The functions that one part calls of the other; each gets a place in the table. */
const called = (callers: Function[], extra: string[], keptOnes: boolean) =>
  [...new Set([...callers.flatMap(callees), ...extra])].filter((name) => kept.has(name) === keptOnes);
const ofDeferred = called(first, listed, false);
const ofFirst = called(deferred, [], true);
const base = Number(tableSize);
const size = base + ofDeferred.length + ofFirst.length;

function callThroughTable(name: string, place: number, load: string): string {
  const { signature } = functions.get(name)!;
  const params = [...signature.matchAll(/\(param \$\S+ (\w+)\)/g)].map((param) => param[1]);
  const result = /\(result [^)]*\)/.exec(signature)?.[0] ?? "";
  const type = `${params.length > 0 ? `(param ${params.join(" ")})` : ""} ${result}`;
  const values = params.map((_, index) => `(local.get ${index})`).join(" ");
  return ` (func ${name} ${type}${load}\n  (call_indirect ${tableName} ${type} ${values} (i32.const ${place})))`;
}

const resized = (form: string) =>
  form.replace(`${tableName} ${tableSize} ${tableSize} `, `${tableName} ${size} ${size} `);
if (resized(table) === table) throw new Error("split-wasm knows tables of a fixed size");

const body = deferred.flatMap((one) => one.lines).join("\n");
const used = references(body);
const nameOf = (form: string) => new RegExp(`\\((?:table|global|func) (${NAME})`).exec(form)?.[1] ?? "";
const shared = [table, ...kind("table").filter((form) => form !== table), ...kind("global")]
  .filter((form) => form === table || used.has(nameOf(form)));

const firstText = [
  "(module",
  ...kind("type"),
  ...kind("import"),
  ' (import "deferred" "load" (func $load))',
  ...forms.filter((form) => /^ \((global|memory|data|table|export|start) /.test(form)).map(resized),
  ...shared.map((form, index) =>
    ` (export "shared${index}" (${form.startsWith(" (table") ? "table" : "global"} ${nameOf(form)}))`
  ),
  places,
  ` (elem (table ${tableName}) (i32.const ${base + ofDeferred.length}) func ${ofFirst.join(" ")})`,
  ...ofDeferred.map((name, index) => {
    const place = base + index;
    return callThroughTable(
      name,
      place,
      `\n  (if (ref.is_null (table.get ${tableName} (i32.const ${place}))) (then (call $load)))`,
    );
  }),
  ...first.flatMap((one) => one.lines),
  ")",
];

const shares = (form: string, index: number) => {
  const global = new RegExp(`^ \\(global (${NAME}) (\\(mut \\w+\\)|\\w+) `).exec(form);
  const type = global ? `(global ${global[1]} ${global[2]})` : resized(form).trim();
  return ` (import "first" "shared${index}" ${type})`;
};
const deferredText = [
  "(module",
  ...kind("type"),
  ...kind("import").filter((form) => used.has(nameOf(form))),
  ` (import "first" "memory" ${memory.trim()})`,
  ...shared.map(shares),
  ` (elem (table ${tableName}) (i32.const ${base}) func ${ofDeferred.join(" ")})`,
  ...ofFirst.map((name, index) => callThroughTable(name, base + ofDeferred.length + index, "")),
  ...deferred.flatMap((one) => one.lines),
  ")",
];

Deno.writeTextFileSync(firstPath, firstText.join("\n"));
Deno.writeTextFileSync(deferredPath, deferredText.join("\n"));
