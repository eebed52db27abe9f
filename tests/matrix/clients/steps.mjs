// What every client of the matrix does with a server, for the clients written in JavaScript. The job comes as JSON on
// standard input; each step is one line of JSON on standard output. `steps.py` does the same for Python.
import process from "node:process";
import { text } from "node:stream/consumers";

/** What the clients answer when a server asks them. */
export const ROOT = { uri: "file:///srv", name: "srv" };
export const SAMPLED = "a sampled answer";
const STEP_MS = 40_000;
/** The first revision without sessions. */
const STATELESS = "2026-07-28";

/** The job: `url`, `headers`, and what to do: see servers.ts. */
export const job = JSON.parse(await text(process.stdin));

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

async function step(name, work) {
  const begun = Date.now();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${STEP_MS / 1000} s`)), STEP_MS);
  });
  try {
    await Promise.race([work(), late]);
    say({ step: name, ms: Date.now() - begun });
    return true;
  } catch (error) {
    say({ step: name, ms: Date.now() - begun, error: described(error) });
    return false;
  } finally {
    clearTimeout(timer);
  }
}

function described(error) {
  const cause = error.cause ? `: ${error.cause.message ?? error.cause}` : "";
  return `${error.message ?? error}${cause}`.slice(0, 600);
}

/** The text of an answer; an answer that says that the tool failed is an error. */
function said(result) {
  const all = (result.content ?? []).map((part) => part.text ?? "").join("\n");
  if (result.isError) throw new Error(`the tool failed: ${all.slice(0, 300)}`);
  return all;
}

function expect(all, expected) {
  if (!all.includes(expected)) throw new Error(`expected "${expected}", got "${all.slice(0, 200)}"`);
}

/**
 * `open` connects a client that declares all it can do and resolves to {revision, list(), call(tool, arguments,
 * onprogress, signal), close()}; `offers` names the steps the client can do.
 */
export async function run(open, offers = ["second", "progress", "cancel", "large", "elicit", "sample", "roots"]) {
  const { tool, call } = job;
  let client;
  const connected = await step("connect", async () => {
    client = await open();
    say({ revision: client.revision ?? null });
  });
  if (!connected) process.exit(0);
  await step("list", async () => {
    const names = await client.list();
    if (!names.includes(tool)) throw new Error(`no tool ${tool} among ${names.join(", ").slice(0, 200)}`);
  });
  const answered = async (one) => expect(said(await one.call(tool, call.arguments)), call.expect);
  if (call) await step("call", () => answered(client));
  if (offers.includes("second")) {
    await step("second", async () => {
      const second = await open();
      const both = [client, second];
      await Promise.all(both.map((one) => call ? answered(one) : one.list()));
      await second.close();
    });
  }
  const steps = {
    progress: async ({ tool, arguments: input }) => {
      let seen = 0;
      said(await client.call(tool, input, () => seen++));
      if (seen === 0) throw new Error("no progress was told");
    },
    // The call ends at once, and the session goes on.
    cancel: async ({ tool, arguments: input }) => {
      const cancelled = new AbortController();
      const asked = client.call(tool, input, undefined, cancelled.signal);
      setTimeout(() => cancelled.abort(), 1_000);
      const ended = await asked.then(() => "was answered", () => undefined);
      if (ended) throw new Error(`the call ${ended}`);
      await client.list();
    },
    large: async ({ tool, arguments: input, bytes }) => {
      const all = said(await client.call(tool, input));
      if (all.length < bytes) throw new Error(`${all.length} characters instead of ${bytes}`);
    },
  };
  for (const name of ["progress", "cancel", "large", "elicit", "sample", "roots"]) {
    const todo = job[name];
    if (!todo || !offers.includes(name)) continue;
    const only = job.only?.[name];
    if (only && only !== (client.revision >= STATELESS ? "stateless" : "sessions")) continue;
    await step(name, async () => {
      if (steps[name]) return await steps[name](todo);
      expect(said(await client.call(todo.tool, todo.arguments)), todo.expect);
    });
  }
  await step("close", () => client.close());
  process.exit(0);
}
