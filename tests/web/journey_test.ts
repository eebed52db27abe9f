/// <reference lib="dom" />
// One person's way through the console on a whole stack with a machine of their own: what is on the screen is compared
// with what is. What breaks the machine is real, and the screen says so within fifteen seconds.

import assert from "node:assert/strict";
import { docker, eventually } from "../e2e/lib/mod.ts";
import { isClean, openConsole, type Person, picture } from "./lib/console.ts";
import { OwnMachine } from "./lib/machine.ts";
import { connect, makeToken, open, SAMPLE, tab } from "./lib/tool.ts";

const EMAIL = "ada@toolbox.local";
const PASSWORD = "correct horse battery staple";
const IMAGE = "toolbox/sample-mcp:dev";
/** How long the screen may take to say what is, in milliseconds: the pause between two questions, and an answer. */
const TRUTH = 15_000;

/** What the heading says of a machine that does not answer: the answer is missed, or it is known. */
const NO_ANSWER = 'h1 ~ [data-state-word="No answer yet"], h1 ~ [data-state-word="Does not answer"]';

/** Waits until something on the page says it; how long that took. */
async function says(person: Person, text: string | RegExp, ms: number): Promise<number> {
  const begun = performance.now();
  await person.page.getByText(text).filter({ visible: true }).first().waitFor({ timeout: ms });
  return Math.round(performance.now() - begun);
}

Deno.test("from signing up to forgetting the machine", async (t) => {
  await using web = await openConsole({ dtma: false });
  await using own = await OwnMachine.open(web.stack);
  const { machine, droplet } = own;
  const person = await web.person();
  const { page } = person;
  let toolbox = "";
  /** A list of the machine's containers that are tools; the agent is one, too. */
  const tools = (
    ...list: string[]
  ) => ["--host", droplet.dockerHost, ...list, "--filter", "label=io.toolbox.instance_id"];

  /** A step that leaves a picture of the page where it failed. */
  const step = (name: string, work: () => Promise<void>) =>
    t.step(name, async () => {
      try {
        await work();
      } catch (error) {
        await picture(page, `journey-failed-${name.slice(0, 20)}`);
        throw error;
      }
    });

  await step("sign up", async () => {
    await person.signUp(EMAIL, PASSWORD);
    await says(person, "You have no toolbox yet", 10_000);
  });

  await step("connect a machine with the one command; the page greets it", async () => {
    await page.getByRole("link", { name: "New toolbox" }).click();
    await page.getByText("A machine of mine").click();
    await page.getByLabel("Name").fill("berlin-1");
    await page.getByRole("button", { name: "Create and show the command" }).click();
    const command = await page.getByTestId("snippet").innerText();
    await picture(page, "journey-connect");
    await isClean(page);
    toolbox = new URL(page.url()).pathname.split("/").at(-1) ?? "";
    const { code, text } = await own.type(command);
    assert.equal(code, 0, text);
    await says(person, "Your machine has joined", 30_000);
    await page.getByRole("heading", { name: "Health" }).waitFor();
    await says(person, /version \d.* answers/, 20_000);
    await picture(page, "journey-joined");
    // The token in the command is nowhere but in this page's memory.
    const token = command.match(/tbe_[\w-]{43}/)?.[0] ?? "";
    assert.ok(
      token !== "" &&
        !(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).includes(token),
    );
    assert.ok(!person.requests.some((url) => url.includes(token)));
  });

  await step("a tool that is deployed is seen to start, and green only once it runs", async () => {
    await run(`docker save ${IMAGE} | docker --host ${droplet.dockerHost} load`);
    await page.getByRole("link", { name: "Tools", exact: true }).click();
    await says(person, "No tool runs here yet", 10_000);
    await page.getByRole("link", { name: "Deploy a tool" }).first().click();
    await page.getByRole("link", { name: `Deploy ${SAMPLE}` }).click();
    await page.getByLabel("Name", { exact: true }).fill("Sample");
    await page.getByRole("button", { name: "Deploy to berlin-1" }).click();
    await page.locator('[data-state-word="Running"][data-tone="ok"]').waitFor({ timeout: 40_000 });
    const running = await docker("--host", droplet.dockerHost, "ps", "--format", "{{.Image}}");
    assert.match(running, /sample-mcp/, "it runs in Docker when the page says so");
    await page.locator('[data-state-word="Healthy"]').waitFor({ timeout: 40_000 });
  });

  await step("one of its tools is tried, a real MCP client connects, and its log goes on", async () => {
    await open(person, "echo");
    await page.getByLabel("message").fill("hello from Berlin");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await page.getByRole("region", { name: "Result" }).getByText("hello from Berlin").waitFor();
    await tab(person, "Connect");
    const { url, token } = await makeToken(person);
    // The machine's own way to the project is not this program's.
    await using client = await connect(web.stack.ready.url + new URL(url).pathname, token);
    assert.match(JSON.stringify(await client.callTool({ name: "add", arguments: { a: 2, b: 3 } })), /5/);
    await says(person, /Connected: Deno 2/, 15_000);
    await picture(page, "journey-client");
    await tab(person, "Logs");
    await page.getByRole("log").getByText('tools/call "add" ok').waitFor();
    await client.callTool({ name: "uptime", arguments: {} });
    await page.getByRole("log").getByText('tools/call "uptime" ok').waitFor({ timeout: 10_000 });
    await person.go(`/toolboxes/${toolbox}/tools`);
    const row = page.getByRole("listitem").filter({ hasText: "Sample" });
    await row.locator('[data-state-word="Healthy"]').waitFor({ timeout: 20_000 });
    await picture(page, "journey-tools");
    await isClean(page);
    const readme = Deno.env.get("TOOLBOX_README_PICTURE");
    if (readme !== undefined) await page.screenshot({ path: readme, clip: { x: 0, y: 0, width: 1280, height: 420 } });
  });

  await step("stopped and started from the list, each is seen before it is said", async () => {
    const row = page.getByRole("listitem").filter({ hasText: "Sample" });
    for (const [action, word, count] of [["Stop", "Stopped", 0], ["Start", "Running", 1]] as const) {
      await page.getByRole("button", { name: "Actions of Sample" }).click();
      await page.getByRole("menuitem", { name: action, exact: true }).click();
      await row.locator(`[data-state-word="${word}"]`).waitFor({ timeout: 40_000 });
      const ids = await docker(...tools("ps", "--quiet"));
      assert.equal(ids.split("\n").filter((id) => id !== "").length, count, `${word} in Docker`);
    }
  });

  await step("an agent that hangs is told within fifteen seconds, and is brought back from System", async () => {
    await page.getByRole("link", { name: "System", exact: true }).click();
    await page.locator('[data-state-word="Healthy"]').first().waitFor();
    const agent = await agentOf(own);
    await machine.sh(`kill -STOP ${agent}`);
    const took = await eventuallySays(person, NO_ANSWER, TRUTH + 12_000);
    console.log(`the page says after ${took} ms that the agent hangs`);
    assert.ok(took <= TRUTH, `${took} ms`);
    await page.locator('h1 ~ [data-state-word="Does not answer"]').waitFor({ timeout: 60_000 });
    await picture(page, "journey-agent-hangs");
    await isClean(page);
    await page.getByRole("button", { name: "Restart the agent" }).click();
    await page.locator('[data-state-word="Active"]').waitFor({ timeout: 90_000 });
    assert.notEqual(await agentOf(own), agent, "another process");
    await picture(page, "journey-restarted");
  });

  await step("a dead agent is told within fifteen seconds, wherever one looks", async () => {
    await page.getByRole("link", { name: "Overview", exact: true }).click();
    await says(person, /version \d.* answers/, 20_000);
    await machine.sh("/etc/init.d/dtma-companion stop");
    await droplet.docker("kill", "dtma");
    const took = await eventuallySays(person, NO_ANSWER, TRUTH + 5_000);
    console.log(`the page says after ${took} ms that the agent is dead`);
    assert.ok(took <= TRUTH, `${took} ms`);
    assert.equal(await page.locator('main [data-tone="ok"]').filter({ hasText: "Active" }).count(), 0);
    await picture(page, "journey-agent-dead");
    await isClean(page);
    await page.getByRole("link", { name: "Tools", exact: true }).click();
    await says(person, "The agent does not answer, so this is what was last known", 10_000);
    await picture(page, "journey-tools-last-known");
    await isClean(page);
    await machine.sh("/etc/init.d/dtma-companion start");
    await page.locator('h1 ~ [data-state-word="Active"]').waitFor({ timeout: 60_000 });
  });

  await step("a Docker that is down is told within fifteen seconds", async () => {
    await page.getByRole("link", { name: "Overview", exact: true }).click();
    await says(person, /version \d.* answers/, 20_000);
    await droplet.stopDocker("SIGKILL");
    const took = await says(person, /Docker does not answer on this machine/, TRUTH + 5_000);
    console.log(`the page says after ${took} ms that Docker is down`);
    assert.ok(took <= TRUTH, `${took} ms`);
    await picture(page, "journey-docker-down");
    await isClean(page);
    await droplet.startDocker();
    await page.getByText(/Docker does not answer on this machine/).waitFor({ state: "hidden", timeout: 60_000 });
  });

  await step("what happened is in Activity: who, what, from what to what", async () => {
    const parts = page.getByRole("navigation", { name: "Parts of this toolbox" });
    await parts.getByRole("link", { name: "Activity" }).click();
    await says(person, /Sample: .*→ running/, 10_000);
    await says(person, /agent restart/, 10_000);
    await picture(page, "journey-activity");
    await isClean(page);
    await page.getByRole("link", { name: "Agent's log" }).click();
    await says(person, /listening/, 20_000);
    await picture(page, "journey-agent-log");
  });

  await step("delete asks for the name, and the container is gone when the row is", async () => {
    await page.getByRole("link", { name: "Tools", exact: true }).click();
    await page.getByRole("button", { name: "Actions of Sample" }).click();
    await page.getByRole("menuitem", { name: "Delete…" }).click();
    const go = page.getByRole("button", { name: "Delete the tool" });
    assert.equal(await go.isDisabled(), true);
    await page.getByLabel("Type “Sample” to go on").fill("Sample");
    await go.click();
    await says(person, "No tool runs here yet", 40_000);
    const ids = await docker(...tools("ps", "--all", "--quiet"));
    assert.equal(ids.trim(), "");
  });

  await step("forget the machine", async () => {
    await page.getByRole("button", { name: "More for berlin-1" }).click();
    await page.getByRole("menuitem", { name: "Forget…" }).click();
    await page.getByLabel("Type “berlin-1” to go on").fill("berlin-1");
    await page.getByRole("button", { name: "Forget the machine" }).click();
    await page.waitForURL("**/toolboxes");
    await says(person, "You have no toolbox yet", 10_000);
  });

  assert.deepEqual(person.complaints, []);
});

/** Waits until an element is on the page; how long that took. */
async function eventuallySays(person: Person, selector: string, ms: number): Promise<number> {
  const begun = performance.now();
  await person.page.locator(selector).first().waitFor({ timeout: ms });
  return Math.round(performance.now() - begun);
}

/** The process of the agent, as the machine counts processes. */
async function agentOf({ droplet }: OwnMachine): Promise<number> {
  return await eventually("the agent runs", async () => {
    const pid = Number(await droplet.docker("inspect", "--format", "{{.State.Pid}}", "dtma"));
    return pid > 0 ? pid : undefined;
  }, { ms: 20_000 });
}

async function run(script: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", { args: ["-ec", script] }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
