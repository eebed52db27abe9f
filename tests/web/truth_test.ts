/// <reference lib="dom" />
// The screen never lies: while seeded faults and operations happen, what it says is compared with Docker and with the
// processes. Something green is true of a moment that is no older than the age beside it.

import assert from "node:assert/strict";
import { docker, signIn, sleep } from "../e2e/lib/mod.ts";
import { thorough } from "../lib/thorough.ts";
import { openConsole } from "./lib/console.ts";

const SAMPLE = "00000000-0000-0000-0000-0000000000aa";
const STEPS = thorough ? 50 : 8;
/** How long after each step the screen is watched, in milliseconds. */
const WATCH = 8_000;
/** What passes between the machine's look and ours. */
const SLACK = 2_000;

type Act = "stop" | "start" | "kill container" | "kill agent" | "start agent" | "pause agent" | "resume agent";

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

Deno.test("nothing is green that was not so at the time beside it", async () => {
  const seed = Number(Deno.env.get("TOOLBOX_WEB_SEED") ?? 1);
  const next = random(seed);
  await using web = await openConsole();
  const { ready } = web.stack;
  const owner = await signIn(ready, ready.demo.email, ready.demo.password);
  const deployed = await owner.tools.deploy("Sample", {}, { catalogId: SAMPLE, wait: 40 });
  assert.equal(deployed.status, 201, deployed.text);
  const id = deployed.json.instanceId as string;
  const person = await web.person();
  await person.signIn(ready.demo.email, ready.demo.password, `/toolboxes/${ready.toolbox_id}/tools`);
  const row = person.page.getByRole("listitem").filter({ hasText: "Sample" });
  await row.locator('[data-state-word="Running"]').waitFor();

  let agent = "runs" as "runs" | "is dead" | "is paused";
  /** When the container was last seen to run, and when the agent's process was last seen to be there and not paused. */
  const lastTrue = { running: Date.now(), agent: Date.now() };
  let isOver = false;
  const looking = (async () => {
    while (!isOver) {
      const ids = await docker(
        "ps",
        "--quiet",
        "--filter",
        "status=running",
        "--filter",
        `label=io.toolbox.instance_id=${id}`,
      );
      if (ids.trim() !== "") lastTrue.running = Date.now();
      const pid = (await web.stack.state()).dtma?.pid ?? null;
      if (pid !== null && agent !== "is paused") lastTrue.agent = Date.now();
      await sleep(200);
    }
  })();

  let compared = 0;
  const lies: string[] = [];
  const told: string[] = [];
  for (let step = 0; step < STEPS; step++) {
    const acts: Act[] = agent === "runs"
      ? ["stop", "start", "kill container", "kill agent", "pause agent"]
      : [agent === "is dead" ? "start agent" : "resume agent"];
    const act = acts[Math.floor(next() * acts.length)];
    told.push(act);
    if (act === "stop" || act === "start") await owner.tools[act]("Sample");
    if (act === "kill container") {
      await docker("ps", "--quiet", "--filter", `label=io.toolbox.instance_id=${id}`).then(kill);
    }
    if (act === "kill agent") await web.stack.control("kill", "dtma");
    if (act === "pause agent") await web.stack.control("pause", "dtma");
    if (act === "start agent") await web.stack.control("start", "dtma");
    if (act === "resume agent") {
      await web.stack.control("resume", "dtma");
      // It answers the page before it is looked at again.
      lastTrue.agent = Date.now();
    }
    agent = act === "kill agent"
      ? "is dead"
      : act === "pause agent"
      ? "is paused"
      : act.endsWith("agent")
      ? "runs"
      : agent;

    const until = Date.now() + WATCH;
    while (Date.now() < until) {
      const green = await person.page.evaluate(() =>
        Array.from(document.querySelectorAll('main [data-tone="ok"]')).map((each) => ({
          word: each.getAttribute("data-state-word") ?? "",
          asOf: Number(each.getAttribute("data-as-of")),
        }))
      );
      for (const { word, asOf } of green) {
        compared++;
        const truth = word === "Active" ? lastTrue.agent : lastTrue.running;
        if (asOf > truth + SLACK) lies.push(`after ${act}: ${word} as of ${asOf - truth} ms after it was last true`);
      }
      await sleep(300);
    }
  }
  isOver = true;
  await looking;
  console.log(`seed ${seed}: ${told.join(", ")}; ${compared} green states compared`);
  assert.ok(compared > 0, "something was green");
  assert.deepEqual([...new Set(lies)].slice(0, 10), []);
  assert.deepEqual(person.complaints, []);
});

async function kill(ids: string): Promise<void> {
  for (const id of ids.split("\n").filter((each) => each !== "")) await docker("kill", id);
}
