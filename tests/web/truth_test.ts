/// <reference lib="dom" />
// The screen never lies: while seeded faults and operations happen, what four pages say (word, colour, age) is compared with
// Docker, with the agent's process and with the database. Something green is true of a moment that is no older than the age
// beside it, and that age is no higher than such a state is good for.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { Database, docker, type EventRow, eventually, signIn, sleep } from "../e2e/lib/mod.ts";
import { thorough } from "../lib/thorough.ts";
import { type Console, openConsole, picture } from "./lib/console.ts";

const SAMPLE = "00000000-0000-0000-0000-0000000000aa";
const STEPS = thorough ? 50 : 8;
/** How long the screen is watched after each act, and after nothing was done, which is longer than any live state is good for. */
const WATCH = 7_000;
const WAIT = 45_000;
/** What passes between the machine's look and ours, and between two looks of the page at its clock; in milliseconds. */
const SLACK = 2_000;
const TICK = 3_000;

/** What green words may be there, and for how many seconds each is good: the promises of the console. */
const GOOD_FOR: Record<string, number> = {
  "machine Active": 180,
  "tool Running": 40,
  "server Healthy": 180,
  "agent Healthy": 40,
  "database Healthy": 40,
  "ssh Healthy": 100,
};

/** Something that a page says. */
interface Said {
  of: string;
  word: string;
  /** Its dot or its word has the colour of what is well. */
  green: boolean;
  /** The age beside it; of the list, the age in its row. */
  age: string | null;
  /** Of what moment it is, as the page knows it, and when it was read; by the one clock of this machine. */
  asOf: number | null;
  at: number;
}

/** Reads a page as somebody does who looks at it. */
function read(): Said[] {
  const probe = document.createElement("i");
  probe.className = "bg-ok text-ok";
  document.body.append(probe);
  const { backgroundColor, color } = getComputedStyle(probe);
  probe.remove();
  const said: Said[] = [];
  const at = Date.now();
  for (const state of Array.from(document.querySelectorAll<HTMLElement>("main [data-state-word]"))) {
    if (state.offsetParent === null) continue;
    const [dot, word, ...rest] = Array.from(state.children);
    const row = state.closest("tr");
    const service = state.closest("li")?.querySelector(":scope > span")?.textContent ?? "";
    const asOf = state.getAttribute("data-as-of");
    const isServer = state.previousElementSibling?.hasAttribute("data-state-word") ?? false;
    const isMachine = row !== null || (!location.pathname.includes("/tools") && state.closest("li") === null) ||
      (location.pathname.endsWith("/tools") && state.closest("li") === null);
    said.push({
      of: isMachine ? "machine" : isServer ? "server" : location.pathname.includes("/tools") ? "tool" : service,
      word: word.textContent ?? "",
      green: getComputedStyle(dot).backgroundColor === backgroundColor || getComputedStyle(word).color === color,
      age: (row?.querySelector("time") ?? rest.at(-1))?.textContent ?? null,
      asOf: asOf === null ? null : Number(asOf),
      at,
    });
    const count = row?.querySelector("td:nth-of-type(2)")?.textContent?.match(/^[1-9]\d* of \d+ running/);
    if (count) {
      const seen = row?.querySelector("time");
      const asOf = Date.parse(seen?.dateTime ?? "");
      said.push({ of: "list", word: "Running", green: true, age: seen?.textContent ?? null, asOf, at });
    }
  }
  return said.map((each) => ({ ...each, of: each.of.toLowerCase() }));
}

/** The seconds that an age in words may stand for. */
function seconds(age: string): [number, number] | null {
  if (age === "just now") return [0, 1];
  const [, count = "", unit = ""] = age.match(/^(\d+) (s|min|h|d) ago$/) ?? [];
  const size = { s: 1, min: 60, h: 3600, d: 86_400 }[unit];
  return size === undefined ? null : [Number(count) * size, (Number(count) + 1) * size];
}

/** When something was so: the moments at which that changed, beginning with `true`. */
class Truth {
  readonly #changes: { at: number; is: boolean }[] = [{ at: 0, is: true }];

  is(value: boolean, at = Date.now()): void {
    this.#changes.push({ at, is: value });
  }

  /** Whether it was so, or not so, at any moment between the two. */
  was(from: number, to: number, value = true): boolean {
    return this.#changes.some(({ at, is }, index) =>
      is === value && at <= to && (this.#changes[index + 1]?.at ?? Number.POSITIVE_INFINITY) >= from
    );
  }
}

/** When the container of an instance ran, as Docker tells by itself. */
function followDocker(id: string): AsyncDisposable & { runs: Truth } {
  const runs = new Truth();
  const process = new Deno.Command("docker", {
    args: ["events", "--format", "{{.Action}} {{.TimeNano}}", "--filter", `label=io.toolbox.instance_id=${id}`],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reading = (async () => {
    let rest = "";
    for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [action, nano] = line.split(" ");
        const at = Number(nano) / 1e6;
        if (action === "start" || action === "die") runs.is(action === "start", at);
      }
    }
  })();
  return {
    runs,
    async [Symbol.asyncDispose]() {
      process.kill();
      await process.status;
      await reading;
    },
  };
}

/** The same numbers for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What is broken now, and what was done about it. */
class World {
  agent: "runs" | "is dead" | "is paused" = "runs";
  down: string | null = null;
  offline = false;
  /** The agent can answer; PostgREST, by which functions read the database, can. */
  readonly answers = new Truth();
  readonly reads = new Truth();

  constructor(
    readonly web: Console,
    readonly pages: Page[],
    readonly id: string,
    readonly order: (action: "stop" | "start" | "restart") => Promise<unknown>,
  ) {}

  /** What can be done now, and undone. */
  acts(): { does: string[]; undoes: string[] } {
    const undoes = [
      ...(this.agent === "is dead" ? ["start the agent"] : []),
      ...(this.agent === "is paused" ? ["resume the agent"] : []),
      ...(this.down === null ? [] : ["start what is down"]),
      ...(this.offline ? ["go online"] : []),
    ];
    const does = [
      "wait",
      ...(this.offline ? [] : ["go offline"]),
      ...(this.agent !== "runs" ? [] : ["kill the agent", "pause the agent", "kill the container"]),
      ...(this.down !== null ? [] : SERVICES.map((service) => `stop ${service}`)),
      ...(this.agent !== "runs" || this.down !== null
        ? []
        : ["order stop", "order start", "order start", "order restart"]),
    ];
    return { does, undoes };
  }

  async do(act: string): Promise<void> {
    const { stack } = this.web;
    const [verb, ...rest] = act.split(" ");
    if (verb === "order") await this.order(rest[0] as "stop");
    else if (act === "kill the container") await killContainers(this.id);
    else if (act === "go offline" || act === "go online") {
      this.offline = act === "go offline";
      await this.pages[0].context().setOffline(this.offline);
    } else if (act.endsWith("the agent")) {
      await stack.control(verb as "kill", "dtma");
      this.answers.is(verb === "start" || verb === "resume");
      this.agent = verb === "kill" ? "is dead" : verb === "pause" ? "is paused" : "runs";
    } else if (act === "start what is down") {
      await stack.control("start", this.down!);
      if (this.down === "postgrest") this.reads.is(true);
      this.down = null;
    } else if (verb === "stop") {
      await stack.control("stop", rest[0]);
      if (rest[0] === "postgrest") this.reads.is(false);
      this.down = rest[0];
    }
  }
}

/** What the pages ask. */
const SERVICES = ["toolbox-tools", "toolbox-dtma-console", "toolboxes-user", "postgrest"];

Deno.test("nothing is green that was not so at the time beside it, nor for longer than it is good", async () => {
  const seed = Number(Deno.env.get("TOOLBOX_WEB_SEED") ?? 1);
  const next = random(seed);
  const one = <T>(list: T[]): T => list[Math.floor(next() * list.length)];
  await using web = await openConsole();
  const { ready } = web.stack;
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const deployed = await owner.tools.deploy("Sample", {}, { catalogId: SAMPLE, wait: 40 });
  assert.equal(deployed.status, 201, deployed.text);
  const id = deployed.json.instanceId as string;
  const person = await web.person();
  const base = `/toolboxes/${ready.toolbox_id}`;
  const addresses = ["/toolboxes", base, `${base}/tools`, `${base}/tools/${id}`];
  await person.signIn(ready.demo.email, ready.demo.password, addresses[0]);
  const told: string[] = [];
  const pages = [person.page];
  for (const address of addresses.slice(1)) {
    const page = await person.context.newPage();
    await person.go(address, page);
    pages.push(page);
  }
  const allGreen = async (ms: number) => {
    for (const [index, page] of pages.entries()) {
      const word = index < 2 ? "Active" : "Running";
      try {
        await page.locator(`main [data-state-word="${word}"][data-tone="ok"]`).filter({ visible: true }).first()
          .waitFor({ timeout: ms });
      } catch (error) {
        await picture(page, `truth-failed-${index}`);
        const shown = await page.locator("main").innerText();
        throw new Error(`after ${told.join(", ")}, ${page.url()} is not ${word}:\n${shown}`, { cause: error });
      }
    }
  };
  await allGreen(30_000);

  const world = new World(web, pages, id, (action) => owner.tools[action]("Sample"));
  const said: (Said & { page: string; after: string })[] = [];
  let runs: Truth;
  {
    await using events = followDocker(id);
    runs = events.runs;
    for (let step = 0; step < STEPS; step++) {
      const { does, undoes } = world.acts();
      const act = one(undoes.length > 0 && next() < 0.6 ? undoes : does);
      told.push(act);
      await world.do(act);
      // Somebody is at one of the pages.
      await one(pages).mouse.move(100 + Math.floor(next() * 200), 300);
      const until = Date.now() + (act === "wait" ? WAIT : WATCH);
      while (Date.now() < until) {
        for (const [index, page] of pages.entries()) {
          for (const each of await page.evaluate(read)) said.push({ ...each, page: addresses[index], after: act });
        }
        await sleep(300);
      }
    }
    for (let { undoes } = world.acts(); undoes.length > 0; { undoes } = world.acts()) await world.do(undoes[0]);
    await eventually("the tool runs again", async () => {
      const reply = await owner.tools.start("Sample");
      return reply.status < 300 || undefined;
    }, { ms: 60_000 });
    // Who says nothing tells no lie: what is well again is said to be.
    await allGreen(90_000);
    await sleep(SLACK);
  }

  const database = new Database(ready.admin_db_url);
  const stored = rowRuns(await database.events(id));
  const lies = new Set<string>();
  const green = new Map<string, number>();
  for (const { page, after, of, word, green: isGreen, age, asOf, at } of said) {
    if (!isGreen) continue;
    const lie = (text: string) => lies.add(`${addresses.indexOf(page)} after ${after}: ${of} ${word}: ${text}`);
    green.set(page, (green.get(page) ?? 0) + 1);
    const goodFor = of === "list" ? GOOD_FOR["machine Active"] : GOOD_FOR[`${of} ${word}`];
    if (goodFor === undefined) {
      lie("green that means nothing");
      continue;
    }
    if (asOf === null || age === null) {
      lie("without an age");
      continue;
    }
    const old = at - asOf;
    const stated = seconds(age);
    if (stated === null || stated[1] * 1000 < old - TICK || stated[0] * 1000 > old + TICK) lie(`“${age}” is ${old} ms`);
    if (old > goodFor * 1000 + TICK) lie(`it is good for ${goodFor} s, and ${old} ms old`);
    const [from, to] = [asOf - SLACK, asOf + SLACK];
    const runsIn = of === "tool" || of === "server" || of === "list";
    // The count of a list may be newer than the age of its row.
    if (runsIn && !runs.was(from, of === "list" ? at + SLACK : to)) {
      lie(`as of ${new Date(asOf).toISOString()} no container ran`);
    }
    if ((of === "machine" || of === "agent") && !world.answers.was(from, to)) lie("the agent could not answer then");
    if (of === "database" && !world.reads.was(from, to)) lie("PostgREST was down then");
    if (of === "list" && !stored.was(from, at + SLACK)) lie("the database did not say so");
  }
  const counts = addresses.map((address) => green.get(address) ?? 0);
  console.log(`seed ${seed}: ${told.join(", ")}; green states compared, by page: ${counts.join(", ")}`);
  assert.ok(Math.min(...counts) > 0, "something was green on every page");
  assert.deepEqual([...lies].slice(0, 10), []);
  assert.deepEqual(person.complaints, []);
});

/** When the row of an instance said that it runs. */
function rowRuns(events: EventRow[]): Truth {
  const truth = new Truth();
  truth.is(false, 1);
  for (const { to_status, occurred_at } of events) {
    if (to_status !== null) truth.is(to_status === "running", Date.parse(String(occurred_at)));
  }
  return truth;
}

async function killContainers(id: string): Promise<void> {
  const ids = await docker("ps", "--quiet", "--filter", `label=io.toolbox.instance_id=${id}`);
  for (const each of ids.split("\n").filter((line) => line !== "")) await docker("kill", each);
}
