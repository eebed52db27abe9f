/// <reference lib="dom" />
// The console in a real browser on a whole stack: how soon it can be used, how long it is held up at most, and how much a tab
// asks for that nobody touches.

import { GENERIC_CATALOG_ID, SAMPLE_CATALOG_ID, signIn } from "../tests/e2e/lib/mod.ts";
import { type Console, openConsole, type Person, watchTasks } from "../tests/web/lib/console.ts";
import { hostileImage } from "../tests/web/lib/hostile.ts";
import { connect } from "../tests/web/lib/tool.ts";
import { onCleanup } from "./cleanup.ts";
import { type Line, samples } from "./report.ts";

export interface WebSetting {
  rounds: number;
  /** How long the requests of tabs at rest are counted, in minutes. */
  minutes: number;
}

const MANY = 200;
const LINES = 100_000;
/** Nobody is taken to be at a page that was not touched for a minute, and what waits for a client waits for five. */
const UNTIL_REST = 65_000;
const UNTIL_NOBODY_IS_WAITED_FOR = 5 * 60_000 + 15_000;

export async function benchWeb(setting: WebSetting, progress: (text: string) => void): Promise<Line[]> {
  progress("starting a stack for the console");
  const web = await openConsole({ functionEnv: { TOOLBOX_RELEASE_URL: "http://127.0.0.1:8099" } });
  const stop = onCleanup(() => web[Symbol.asyncDispose]());
  try {
    const { ready } = web.stack;
    const owner = await signIn(ready, ready.demo.email, ready.demo.password);
    const image = await hostileImage();
    const deploy = async (name: string, config: Record<string, unknown>, catalogId: string) => {
      const reply = await owner.tools.deploy(name, config, { catalogId, wait: 40 });
      if (reply.status !== 201) throw new Error(`${name} was not deployed: ${reply.text}`);
      return reply.json.instanceId as string;
    };
    const sample = await deploy("Sample", {}, SAMPLE_CATALOG_ID);
    const many = await deploy("Many", { dockerImage: image, command: [String(MANY)] }, GENERIC_CATALOG_ID);
    const long = await deploy("Long", { dockerImage: image }, GENERIC_CATALOG_ID);
    return [
      ...await soon(web, setting.rounds, progress),
      await heldUpByTools(web, many, progress),
      ...await heldUpByLog(web, long, owner.token, progress),
      ...await atRest(web, sample, setting.minutes, progress),
    ];
  } finally {
    await stop();
  }
}

/** From the start of the navigation until the list is there and nothing holds the page up any more. */
async function soon(web: Console, rounds: number, progress: (text: string) => void): Promise<Line[]> {
  progress("time to interactive");
  const { demo } = web.stack.ready;
  const first: number[] = [];
  const again: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const person = await web.person();
    await person.signIn(demo.email, demo.password);
    const state = await person.context.storageState();
    await person.context.close();
    // Signed in, with an empty cache; then with what the browser keeps.
    const context = await web.browser.newContext({ viewport: { width: 1280, height: 800 }, storageState: state });
    const page = await context.newPage();
    await page.addInitScript(() => {
      const kept = globalThis as { busy?: number };
      kept.busy = 0;
      new PerformanceObserver((list) => {
        for (const { startTime, duration } of list.getEntries()) kept.busy = startTime + duration;
      }).observe({ type: "longtask", buffered: true });
    });
    for (const times of [first, again]) {
      await page.goto(`${web.url}/toolboxes`);
      await page.getByRole("link", { name: "local" }).filter({ visible: true }).first().waitFor();
      times.push(
        await page.evaluate(async () => {
          const there = performance.now();
          await new Promise((resolve) => setTimeout(resolve, 300));
          const busy = (globalThis as { busy?: number }).busy ?? 0;
          return busy > there ? busy : there;
        }),
      );
    }
    await context.close();
  }
  const line = (measure: string, values: number[]): Line => ({
    measure,
    unit: "ms",
    ours: samples(values),
    target: { limit: 1000, of: "value", better: "less" },
  });
  return [line("time to interactive, first load", first), line("time to interactive, once more", again)];
}

function longest(measure: string, ms: number): Line {
  return { measure, unit: "ms", ours: samples([ms]), target: { limit: 100, of: "value", better: "less" } };
}

async function signedIn(web: Console, path: string): Promise<Person> {
  const { demo } = web.stack.ready;
  const person = await web.person();
  await person.signIn(demo.email, demo.password);
  await person.go(path);
  return person;
}

/** A server of many tools is listed, searched, and each of some tools is opened. */
async function heldUpByTools(web: Console, id: string, progress: (text: string) => void): Promise<Line> {
  progress(`${MANY} tools`);
  const base = `/toolboxes/${web.stack.ready.toolbox_id}/tools/${id}`;
  const { page, context } = await signedIn(web, `${base}/logs`);
  await page.getByRole("log").waitFor();
  const tasks = await watchTasks(page);
  await page.getByRole("navigation", { name: "Parts of this tool" }).getByRole("link", { name: "Tools" }).click();
  // Found by their texts: to find them by role and name, the browser's driver holds a page of many up for longer than the page does.
  const tool = (number: number) => page.locator("li button", { hasText: `tool_${number}` });
  await tool(MANY).waitFor();
  await page.getByRole("searchbox", { name: "Search the tools" }).pressSequentially("tool_19");
  for (const number of [190, 195, 199]) await tool(number).click();
  await page.getByRole("heading", { name: "tool_199", exact: true }).waitFor();
  const ms = await tasks();
  await context.close();
  return longest(`longest task, a server of ${MANY} tools`, ms);
}

/** A long log comes while one looks, is searched, and is scrolled through. */
async function heldUpByLog(
  web: Console,
  id: string,
  token: string,
  progress: (text: string) => void,
): Promise<Line[]> {
  progress(`a log of ${LINES} lines`);
  const { page, context } = await signedIn(web, `/toolboxes/${web.stack.ready.toolbox_id}/tools/${id}/logs`);
  const log = page.getByRole("log");
  await log.getByText("<script>").waitFor();
  const coming = await watchTasks(page);
  await using client = await connect(`${web.stack.ready.functions["mcp"]}/${id}`, token);
  await client.callTool({ name: "flood", arguments: {} });
  await log.getByText(`line ${LINES} of`).waitFor({ timeout: 120_000 });
  const whileItComes = await coming();
  const looking = await watchTasks(page);
  const search = page.getByRole("searchbox", { name: "Search in the log" });
  await search.pressSequentially("line 9");
  await search.fill("line 99999 of");
  await page.getByText("1 line found").waitFor();
  await search.fill("");
  await log.evaluate(async (box) => {
    for (let part = 20; part >= 0; part--) {
      box.scrollTop = (box.scrollHeight * part) / 20;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
  const whileOneLooks = await looking();
  await context.close();
  return [
    longest(`longest task, while ${LINES} lines of a log come`, whileItComes),
    longest(`longest task, they are searched and scrolled`, whileOneLooks),
  ];
}

/** What a tab asks for that nobody touches. */
async function atRest(
  web: Console,
  tool: string,
  minutes: number,
  progress: (text: string) => void,
): Promise<Line[]> {
  const toolbox = `/toolboxes/${web.stack.ready.toolbox_id}`;
  const base = `${toolbox}/tools/${tool}`;
  const pages = {
    "toolboxes": "/toolboxes",
    "a machine's overview": toolbox,
    "a machine's tools": `${toolbox}/tools`,
    "a machine's connect": `${toolbox}/connect`,
    "a machine's system": `${toolbox}/system`,
    "a machine's activity": `${toolbox}/activity`,
    "a tool's connect": base,
    "a tool's tools": `${base}/tools`,
    "a tool's log": `${base}/logs`,
    "a tool's configuration": `${base}/configuration`,
    "a tool's activity": `${base}/activity`,
    "a tool's usage": `${base}/usage`,
    "a tool's sharing": `${base}/sharing`,
    "marketplace": "/marketplace",
    "activity": "/activity",
    "rollouts": "/rollouts",
    "access": "/settings/access",
    "applications": "/settings/applications",
    "alerts": "/settings/alerts",
  };
  progress("tabs at rest");
  const { context } = await signedIn(web, "/toolboxes");
  const counts = new Map<string, number>();
  for (const [name, address] of Object.entries(pages)) {
    const page = await context.newPage();
    await page.goto(web.url + address);
    await page.getByRole("heading").first().waitFor();
    page.on("request", (request) => {
      // What a browser asks before it asks is not ours.
      if (request.method() !== "OPTIONS") counts.set(name, (counts.get(name) ?? 0) + 1);
    });
  }
  await new Promise((resolve) => setTimeout(resolve, UNTIL_REST));
  counts.clear();
  const begun = performance.now();
  await new Promise((resolve) => setTimeout(resolve, minutes * 60_000));
  const passed = (performance.now() - begun) / 60_000;
  const line = (name: string, note?: string): Line => ({
    measure: `requests a minute at rest: ${name}`,
    unit: "requests",
    ours: samples([(counts.get(name) ?? 0) / passed]),
    target: { limit: 4, of: "value", better: "less" },
    note,
  });
  const lines = Object.keys(pages).filter((name) => !name.endsWith("connect")).map((name) => line(name));
  const waited = Object.keys(pages).filter((name) => name.endsWith("connect"));
  for (const name of waited) lines.push({ ...line(name, "while a client is waited for"), target: undefined });
  progress("tabs that have waited for a client");
  const left = UNTIL_NOBODY_IS_WAITED_FOR - UNTIL_REST - minutes * 60_000;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, left)));
  counts.clear();
  const again = performance.now();
  await new Promise((resolve) => setTimeout(resolve, minutes * 60_000));
  const since = (performance.now() - again) / 60_000;
  for (const name of waited) lines.push({ ...line(name), ours: samples([(counts.get(name) ?? 0) / since]) });
  await context.close();
  return lines;
}
