/// <reference lib="dom" />
// The pages of tools on a whole stack: from the catalog to a tool that a real MCP client uses; a server that means harm; a tool
// that does not start; a log of 100,000 lines; each page in each look.

import assert from "node:assert/strict";
import { docker, GENERIC_CATALOG_ID, SAMPLE_CATALOG_ID, signIn } from "../e2e/lib/mod.ts";
import { isClean, openConsole, type Person, picture, watchTasks } from "./lib/console.ts";
import { hostileImage } from "./lib/hostile.ts";
import { connect, makeToken, open, SAMPLE, tab, tabTo } from "./lib/tool.ts";

/** A name that would be a script if it were shown as anything but text. */
const BAD = "<img src=x onerror='globalThis.harmed=1'>";

async function says(person: Person, text: string | RegExp, timeout = 20_000): Promise<void> {
  await person.page.getByText(text).filter({ visible: true }).first().waitFor({ timeout });
}

const state = (person: Person, word: string) =>
  person.page.locator(`[data-state-word="${word}"][data-tone="ok"]`).first();

Deno.test("from the catalog to a tool that is used, changed, closed and deleted", async (t) => {
  await using web = await openConsole();
  const { demo, toolbox_id: toolbox } = web.stack.ready;
  const person = await web.person();
  const { page } = person;
  await person.signIn(demo.email, demo.password, "/marketplace");

  await web.stack.control("stop", "clock");
  await t.step("two clicks from the catalog to a tool that runs, and a third to pin its tools", async () => {
    await page.getByRole("searchbox", { name: "Search the catalog" }).fill("harmless toolbox");
    await page.waitForURL(/q=harmless/);
    await page.getByRole("link", { name: `Deploy ${SAMPLE}` }).click();
    await says(person, "only through your URL");
    await page.getByLabel("Pin its tools").check();
    await page.getByRole("button", { name: "Deploy to local" }).click();
    await page.getByRole("list", { name: "What is under way" }).waitFor();
    await picture(page, "tool-deploying");
    await state(person, "Running").waitFor();
    await state(person, "Healthy").waitFor({ timeout: 40_000 });
    const running = await docker("ps", "--format", "{{.Names}} {{.Image}}");
    assert.match(running, /toolbox-sample-\S+ toolbox\/sample-mcp:dev/, "it runs in Docker when the page says so");
  });
  const tool = page.url();

  await t.step("a name that is taken is refused while one types", async () => {
    await person.go(`/marketplace/${SAMPLE_CATALOG_ID}/deploy`);
    const name = page.getByLabel("Name", { exact: true });
    assert.equal(await name.inputValue(), "toolbox-sample-2", "the name that is proposed is free");
    await name.fill("toolbox-sample");
    await says(person, "A tool of this toolbox has this name already");
    await person.go(tool);
  });

  await t.step("its tools are called from the page as a client calls them", async () => {
    await open(person, "echo");
    await page.getByLabel("message").fill(`hello ${BAD}`);
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await page.getByRole("region", { name: "Result" }).getByText(`hello ${BAD}`).waitFor();
    await picture(page, "tool-try");
    assert.equal(await page.evaluate(() => (globalThis as { harmed?: number }).harmed), undefined);
    await isClean(page);
  });

  await t.step("pinned tools that change hold clients back, until the difference was seen and accepted", async () => {
    await says(person, "The tools of its first answer are being pinned");
    await picture(page, "tool-pin-pending");
    await isClean(page);
    await web.stack.control("start", "clock");
    await says(person, /^Pinned: 4 tools/);
    const owner = await signIn(web.stack.ready, demo.email, demo.password);
    const id = new URL(tool).pathname.split("/").at(-1)!;
    const updated = await owner.tools.update(id, { command: ["--drift"] }, { wait: 40 });
    assert.equal(updated.status, 200, updated.text);
    await page.locator('[data-state-word="Tools changed"][data-tone="warn"]').first().waitFor({ timeout: 30_000 });
    const panel = page.getByRole("region", { name: "What changed" });
    await panel.getByText("Makes the tools of this server others").waitFor();
    await picture(page, "tool-held");
    await isClean(page);
    await panel.getByRole("button", { name: "Accept these tools" }).click();
    await says(person, /^Pinned: 5 tools/);
    await page.getByRole("button", { name: "Unpin" }).click();
    await says(person, /^Not pinned/);
    await page.getByRole("button", { name: "Pin these tools" }).click();
    await says(person, /^Pinned: 5 tools/);
    await page.getByRole("button", { name: "Unpin" }).click();
    await says(person, /^Not pinned/);
    await person.go(tool);
  });

  let token = "";
  let url = "";
  await t.step("a client with a token is waited for, and seen", async () => {
    await tab(person, "Connect");
    ({ url, token } = await makeToken(person));
    await says(person, "Waiting for your client…");
    assert.ok((await page.getByTestId("snippet").nth(1).innerText()).includes(token), "it is in what the host needs");
    await picture(page, "tool-waiting");
    await using client = await connect(url, token);
    const { content } = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
    assert.match(JSON.stringify(content), /5/);
    await says(person, /Connected: Deno 2/, 15_000);
    await picture(page, "tool-connected");
    await isClean(page);
    const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(!kept.includes(token) && !person.requests.some((each) => each.includes(token)), "it is kept nowhere");
    await page.reload();
    await says(person, "Your client");
    assert.ok(!(await page.content()).includes(token), "it is shown once");
  });

  await t.step("its log goes on while one looks", async () => {
    await tab(person, "Logs");
    await page.getByRole("log").getByText('tools/call "add" ok').waitFor();
    await using client = await connect(url, token);
    await client.callTool({ name: "uptime", arguments: {} });
    await page.getByRole("log").getByText('tools/call "uptime" ok').waitFor({ timeout: 10_000 });
    await picture(page, "tool-log");
    await isClean(page);
  });

  await t.step("one URL has the tools of the whole toolbox, with a token of its own", async () => {
    await person.go(`/toolboxes/${toolbox}/connect`);
    await says(person, "Now: toolbox-sample.");
    const all = await makeToken(person);
    assert.equal(all.url, `${web.stack.ready.url}/functions/v1/mcp/toolbox/${toolbox}`);
    await says(person, "Waiting for your client…");
    await using client = await connect(all.url, all.token);
    const { tools } = await client.listTools();
    const add = tools.find(({ name }) => name.endsWith("__add"));
    assert.ok(add, JSON.stringify(tools));
    const { content } = await client.callTool({ name: add.name, arguments: { a: 20, b: 3 } });
    assert.match(JSON.stringify(content), /23/);
    await says(person, /Connected: Deno 2/, 15_000);
    await picture(page, "toolbox-connected");
    await isClean(page);
    await person.go(tool);
  });

  await t.step("its use is told by day, tool and client", async () => {
    await tab(person, "Usage");
    // The agent tells it with a heartbeat, and the page asks at rest.
    const row = page.getByRole("row").filter({ hasText: "add" }).filter({ hasText: "Deno" });
    await row.waitFor({ timeout: 120_000 });
    await page.getByRole("img", { name: /^Calls by day.*: \d+ calls?, 0 errors, / }).locator("canvas").waitFor();
    await picture(page, "tool-usage");
    await isClean(page);
  });

  await t.step("what changes is shown before it is applied, and is then seen on the machine", async () => {
    await tab(person, "Configuration");
    await page.getByLabel("Image (optional)").fill("toolbox/sample-mcp:v2");
    await page.getByRole("button", { name: "See what changes" }).click();
    const changes = page.getByRole("region", { name: "What changes" });
    await changes.getByText("toolbox/sample-mcp:dev").waitFor();
    await changes.getByText("toolbox/sample-mcp:v2").waitFor();
    await picture(page, "tool-changes");
    await isClean(page);
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByRole("button", { name: "Copy the image" }).filter({ hasText: "sample-mcp:v2" }).first().waitFor();
    await state(person, "Running").waitFor({ timeout: 40_000 });
    await tab(person, "Activity");
    await says(person, /update/);
  });

  await t.step("it goes back to the version before, once what that changes was shown", async () => {
    await tab(person, "Configuration");
    const versions = page.getByRole("region", { name: "Versions" });
    await versions.getByText("current", { exact: true }).waitFor();
    await versions.getByRole("button", { name: "Compare version 1" }).click();
    const dialog = page.getByRole("dialog", { name: "Back to version 1" });
    await dialog.getByText("toolbox/sample-mcp:dev").waitFor();
    await picture(page, "tool-versions");
    await isClean(page);
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await versions.getByText("brings back 1").waitFor();
    await page.getByRole("button", { name: "Copy the image" }).filter({ hasText: "sample-mcp:dev" }).first().waitFor();
    await state(person, "Running").waitFor({ timeout: 40_000 });
  });

  await t.step("who lost access is refused", async () => {
    await tab(person, "Sharing");
    const own = page.getByRole("listitem").filter({ hasText: "for toolbox-sample" });
    await own.getByRole("button", { name: /Revoke/ }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox").fill("My client");
    await dialog.getByRole("button", { name: "Revoke" }).click();
    await says(person, "revoked");
    await assert.rejects(connect(url, token), /401|Unauthorized|not valid|revoked/i);
    await person.go("/settings/access?all=true");
    await says(person, "toolbox-sample on local");
    await isClean(page);
  });

  await t.step("it is deleted by its name, and gone from Docker", async () => {
    await person.go(tool);
    await page.getByRole("button", { name: "More for toolbox-sample" }).click();
    await page.getByRole("menuitem", { name: "Delete…" }).click();
    await page.getByRole("dialog").getByRole("textbox").fill("toolbox-sample");
    await page.getByRole("button", { name: "Delete the tool" }).click();
    await page.waitForURL(`**/toolboxes/${toolbox}/tools`);
    await says(person, "No tool runs here yet", 40_000);
    const container = `toolbox-sample-${new URL(tool).pathname.split("/").at(-1)?.slice(0, 8)}`;
    assert.ok(!(await docker("ps", "--all", "--format", "{{.Names}}")).includes(container), container);
    await person.go(tool);
    await page.getByTestId("error-code").getByText("instance_not_found").waitFor();
    await picture(page, "tool-gone");
  });
  assert.deepEqual(person.complaints, []);
});

Deno.test("a server that means harm reaches nothing of the page, and its log does not slow it", async (t) => {
  await using web = await openConsole();
  const { demo, toolbox_id: toolbox } = web.stack.ready;
  const image = await hostileImage();
  const owner = await signIn(web.stack.ready, demo.email, demo.password);
  const reply = await owner.tools.deploy(BAD, { dockerImage: image }, {
    catalogId: GENERIC_CATALOG_ID,
    wait: 40,
  });
  assert.equal(reply.status, 201, reply.text);
  const { instanceId } = JSON.parse(reply.text);
  const base = `/toolboxes/${toolbox}/tools/${instanceId}`;
  const person = await web.person();
  const { page } = person;
  await person.signIn(demo.email, demo.password);
  const unharmed = async () => {
    await page.waitForTimeout(500);
    assert.equal(await page.evaluate(() => (globalThis as { harmed?: number }).harmed), undefined, page.url());
    assert.deepEqual(await page.locator("script:not([src]), main a[href^='javascript']").count(), 0);
  };

  await t.step("by its name, its tools, and what they answer", async () => {
    await person.go(base);
    await page.getByRole("heading", { name: BAD }).waitFor();
    await unharmed();
    await open(person, "harm");
    await unharmed();
    await page.getByRole("button", { name: "Call", exact: true }).click();
    const result = page.getByRole("region", { name: "Result" });
    await result.getByRole("heading", { name: "Structured" }).waitFor();
    assert.equal(await result.locator("img").count(), 1, "only the picture of a known kind is drawn");
    await picture(page, "tool-hostile");
    await unharmed();
    await isClean(page);
  });

  await t.step("by its log, on every list that names it, and in the palette", async () => {
    await person.go(`${base}/logs`);
    await page.getByRole("log").getByText("<script>").waitFor();
    await page.getByRole("log").getByText("odd level").first().waitFor();
    await unharmed();
    for (const path of [`${base}/activity`, "/activity", "/settings/alerts", `/toolboxes/${toolbox}/tools`]) {
      await person.go(path);
      await page.getByRole("heading").first().waitFor();
      await unharmed();
    }
    await page.keyboard.press("Control+k");
    await page.getByRole("option", { name: BAD }).waitFor();
    await unharmed();
    await page.keyboard.press("Escape");
  });

  await t.step("100,000 lines in the log hold up nothing", async () => {
    await person.go(`${base}/logs`);
    await page.getByRole("log").getByText("<script>").waitFor();
    const long = await watchTasks(page);
    const mcp = web.stack.ready.functions["mcp"];
    await using client = await connect(`${mcp}/${instanceId}`, owner.token);
    await client.callTool({ name: "flood", arguments: {} });
    const log = page.getByRole("log");
    await log.getByText("line 100000 of").waitFor({ timeout: 180_000 }).catch(async (cause) => {
      throw new Error(await page.getByRole("main").innerText(), { cause });
    });
    // Lines that have come before the page is told of its own scroll do not end the following; who scrolls up does.
    const follow = page.getByRole("button", { name: "Follow" });
    await log.evaluate((box) => {
      const lines = box.lastElementChild as HTMLElement;
      const { height } = lines.style;
      lines.style.height = `${lines.offsetHeight + 500}px`;
      box.dispatchEvent(new Event("scroll"));
      lines.style.height = height;
    });
    await page.waitForTimeout(500);
    assert.equal(await follow.count(), 0, "it still follows");
    await log.hover();
    await page.mouse.wheel(0, -600);
    await follow.click();
    await follow.waitFor({ state: "detached" });
    await log.getByText("line 100000 of").waitFor();
    await picture(page, "tool-log-long");
    const count = await page.getByText(/[\d,]+ lines/).innerText();
    await page.getByRole("searchbox", { name: "Search in the log" }).fill("line 99999 of");
    await page.getByText("1 line found").waitFor();
    const longest = await long();
    console.log(`a log of ${count}: the longest task took ${longest} ms`);
    assert.ok(longest < 1_000, "none holds the page up for a second");
  });
  assert.deepEqual(person.complaints, []);
});

Deno.test("every page of tools in every look, and what does not start says what to do", async (t) => {
  await using web = await openConsole();
  const { demo, toolbox_id: toolbox } = web.stack.ready;
  const owner = await signIn(web.stack.ready, demo.email, demo.password);
  const { tools } = owner;
  let base = "";
  await t.step("with the keyboard alone, from signing in to a tool that runs", async () => {
    const person = await web.person();
    const { page } = person;
    await person.go("/sign-in?next=/marketplace");
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await tabTo(page, "Email");
    await page.keyboard.type(demo.email);
    await tabTo(page, "Password");
    await page.keyboard.type(demo.password);
    await page.keyboard.press("Enter");
    await says(person, SAMPLE);
    await tabTo(page, "Search the catalog");
    await page.keyboard.type("harmless toolbox");
    await tabTo(page, `Deploy ${SAMPLE}`);
    await page.keyboard.press("Enter");
    await says(person, "only through your URL");
    await tabTo(page, "Deploy to local");
    await page.keyboard.press("Enter");
    await state(person, "Running").waitFor();
    await state(person, "Healthy").waitFor({ timeout: 40_000 });
    base = new URL(page.url()).pathname;
    assert.deepEqual(person.complaints, []);
    await person.context.close();
  });
  const options = { catalogId: SAMPLE_CATALOG_ID, wait: 40, pinTools: true };
  const broken = await tools.deploy("broken", { entrypoint: ["/nothing"] }, options);
  const brokenId = JSON.parse(broken.text).error?.details?.tool_instance?.id;
  assert.ok(brokenId, broken.text);
  const PAGES: [string, string, string | RegExp][] = [
    ["marketplace", "/marketplace", "Context7"],
    ["marketplace-nothing", "/marketplace?q=nosuchthing", "Nothing in the catalog is like this"],
    ["deploy", `/marketplace/${SAMPLE_CATALOG_ID}/deploy`, "What will run"],
    ["deploy-image", `/marketplace/${GENERIC_CATALOG_ID}/deploy`, "Environment variables"],
    ["deploy-settings", "/marketplace/00000000-0000-0000-0000-000000000006/deploy", "Personal access token"],
    ["connect", base, "The URL of this server"],
    ["tools", `${base}/tools?name=add`, "Adds two numbers"],
    ["logs", `${base}/logs`, "serving MCP"],
    ["configuration", `${base}/configuration`, "As it is"],
    ["history", `${base}/activity`, "starting → running"],
    ["usage", `${base}/usage`, "No tool was called in the last 30 days"],
    ["sharing", `${base}/sharing`, "Nobody but you"],
    ["connect-all", `/toolboxes/${toolbox}/connect`, "Waiting for your client…"],
    ["broken", `/toolboxes/${toolbox}/tools/${brokenId}`, "start_failed"],
    ["broken-tools", `/toolboxes/${toolbox}/tools/${brokenId}/tools`, "Its tools will be pinned at its first answer"],
    ["all-activity", "/activity", "now deploying"],
    ["rollouts", "/rollouts", "Replace agents"],
    ["profile", "/settings", "Your account"],
    ["access", "/settings/access", "Nobody but you"],
    ["alerts", "/settings/alerts", "You are told nowhere yet"],
  ];
  for (const look of [{}, { dark: true }, { width: 360, height: 740 }]) {
    const name = "dark" in look ? "dark" : "width" in look ? "narrow" : "wide";
    const person = await web.person(look);
    await person.signIn(demo.email, demo.password);
    for (const [page, path, text] of PAGES) {
      await t.step(`${page}, ${name}`, async () => {
        await person.go(path);
        await says(person, text);
        await person.page.waitForTimeout(300);
        await picture(person.page, `${page}-${name}`);
        await isClean(person.page);
        const sideways = await person.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(sideways <= 0, `${page} is ${sideways} px too wide`);
      });
    }
    assert.deepEqual(person.complaints, [], name);
  }

  await t.step("loading and failed", async () => {
    const person = await web.person();
    await person.signIn(demo.email, demo.password);
    await person.page.route("**/mcp/usage?*", (route) => route.abort());
    await person.go(`${base}/usage`);
    await says(person, "The use could not be read");
    await picture(person.page, "usage-failed");
    await isClean(person.page);
    await web.stack.control("stop", "postgrest");
    for (
      const [page, path, text] of [
        ["marketplace", "/marketplace", "The catalog could not be read"],
        ["activity", "/activity", "The history could not be read"],
        ["alerts", "/settings/alerts", "Your alerts could not be read"],
      ]
    ) {
      await person.go(path);
      await says(person, text);
      await picture(person.page, `${page}-failed`);
      await isClean(person.page);
    }
    await web.stack.control("start", "postgrest");
    await person.go("/marketplace");
    await says(person, "Context7");
    await web.stack.control("stop", "dtma");
    await person.go(base);
    await says(person, "The agent does not answer, so this is what was last known");
    await says(person, "The agent does not answer, so no client can come in now");
    for (const word of ["Healthy", "Running"]) {
      assert.equal(await state(person, word).count(), 0, `nothing is called ${word} that nobody can ask`);
    }
    await picture(person.page, "tool-failed");
    await isClean(person.page);
  });
});
