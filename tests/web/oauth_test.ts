/// <reference lib="dom" />
/** An application asks for access, and its user decides in a real browser: signs in, chooses, refuses, takes back. */

import assert from "node:assert/strict";
import { App } from "../e2e/lib/oauth.ts";
import { mayLeaveTo, whoIsAt } from "../../web/src/lib/leave.ts";
import { type Console, isClean, openConsole, type Person, picture } from "./lib/console.ts";

const NAME = 'Chat <img src=x onerror="document.title=1">';

Deno.test("the browser is sent to sites and applications, and to nothing that would run in the page", () => {
  for (
    const address of ["https://claude.ai/api/callback?code=1", "http://localhost:7777/cb", "cursor://anysphere/cb"]
  ) {
    assert.ok(mayLeaveTo(address), address);
  }
  for (
    const address of [
      "javascript:alert(1)",
      "JavaScript:alert(1)",
      " javascript:alert(1)",
      "data:text/html,x",
      "blob:x",
      "/x",
      "",
    ]
  ) {
    assert.ok(!mayLeaveTo(address), address);
  }
  assert.equal(whoIsAt("https://claude.ai/api/callback"), "claude.ai");
  assert.equal(whoIsAt("https://claude.ai.evil.example/"), "claude.ai.evil.example");
  assert.equal(whoIsAt("http://127.0.0.1:33418/"), "a program on this computer (127.0.0.1:33418)");
  assert.equal(whoIsAt("cursor://anysphere.cursor-retrieval/oauth"), "the application for cursor:");
});

Deno.test("a user lets an application in, to what they choose, and takes it back", async (t) => {
  await using web = await openConsole();
  const { ready } = web.stack;
  const one = await deploy(web, "Notes");
  const url = (id: string) => `${ready.url}/functions/v1/mcp/${id}`;
  // Where the application waits for its user.
  let back: (address: string) => void = () => {};
  await using waiting = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    if (new URL(request.url).pathname === "/callback") back(request.url);
    return new Response("You may close this window.", { headers: { "content-type": "text/plain" } });
  });
  const callback = `http://127.0.0.1:${waiting.addr.port}/callback`;
  const app = new App(NAME, callback);
  const person = await web.person();
  const { page } = person;
  const returned = () => new Promise<URL>((resolve) => back = (address) => resolve(new URL(address)));

  await t.step("who is not signed in signs in first, and comes back to the request", async () => {
    await app.ask(url(one));
    await person.go(String(app.asked));
    await page.waitForURL("**/sign-in?**");
    await page.getByLabel("Email").fill(ready.demo.email);
    await page.getByLabel("Password").fill(ready.demo.password);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.waitForURL("**/oauth/consent?authorization_id=*");
    await page.getByText(`“${NAME}”`).waitFor();
    const text = await page.locator("main").innerText();
    assert.match(text, new RegExp(`a program on this computer \\(127\\.0\\.0\\.1:${waiting.addr.port}\\)`));
    assert.ok(text.includes(`Signed in as ${ready.demo.email}`), text);
    assert.notEqual(await page.title(), "1", "a name is a text");
    await page.getByText("Now: echo, add").waitFor();
    await shown(person, "consent");
  });

  await t.step("the page is shown in no frame", async () => {
    const reply = await fetch(`${web.url}/oauth/consent`);
    await reply.body?.cancel();
    assert.equal(reply.headers.get("x-frame-options"), "DENY");
    assert.match(reply.headers.get("content-security-policy")!, /frame-ancestors 'none'/);
  });

  await t.step("the one server is chosen already; its tools can be chosen one by one", async () => {
    assert.ok(await page.getByLabel("Notes").isChecked());
    await page.getByLabel("All its tools, also those to come").uncheck();
    const tools = page.getByRole("group", { name: "Tools of Notes" });
    for (const name of ["echo", "environment", "uptime"]) await tools.getByLabel(name).uncheck();
    await page.getByLabel("For how long").selectOption({ label: "30 days" });
    const gone = returned();
    await page.getByRole("button", { name: "Let it in" }).click();
    await app.finish(String(await gone));
    assert.deepEqual(await toolsOf(app, url(one)), ["add"]);
  });

  const two = await deploy(web, "Calendar");
  await t.step("refused at a second server, it names the page where its user lets it in there", async () => {
    const refusal = await app.connect(url(two)).then(() => "", String);
    const address = /http:\S+\/oauth\/grant\?\S+?(?=;|\s|"|\\)/.exec(refusal)?.[0];
    assert.ok(address, refusal);
    assert.equal(new URL(address).origin, web.url);
    await person.go(address);
    await page.getByText(`“${NAME}”`).waitFor();
    assert.ok(await page.getByLabel("Calendar").isChecked());
    assert.ok(!await page.getByLabel("Notes").isChecked());
    await page.getByText("Now: echo, add").waitFor();
    await shown(person, "grant");
    await page.getByLabel("Only those that the server calls read-only").check();
    await page.getByText("Now: echo, add").waitFor();
    await page.getByRole("button", { name: "Let it in" }).click();
    await page.getByText("Done. Go back to the application").waitFor();
    assert.equal((await toolsOf(app, url(two))).length, 4);
    assert.deepEqual(await toolsOf(app, url(one)), ["add"], "what was chosen before stays");
  });

  await t.step("at the URL of the toolbox, the page offers all its servers at once", async () => {
    const all = url(`toolbox/${ready.toolbox_id}`);
    const whole = new App("Whole", callback);
    await whole.ask(all);
    await person.go(String(whole.asked));
    await page.getByText("“Whole”").waitFor();
    await page.getByLabel("Calendar").check();
    const gone = returned();
    await page.getByRole("button", { name: "Let it in" }).click();
    await whole.finish(String(await gone));
    const parts = async () => new Set((await toolsOf(whole, all)).map((name) => name.split("__")[0]));
    assert.deepEqual(await parts(), new Set([`calendar-${two.slice(0, 8)}`]));
    await person.go(`/oauth/grant?client_id=${whole.client!.client_id}&server=toolbox%2F${ready.toolbox_id}`);
    await page.getByText("“Whole”").waitFor();
    assert.ok(await page.getByLabel("All servers of this toolbox, also those to come").isChecked());
    await page.getByRole("button", { name: "Let it in" }).click();
    await page.getByText("Done. Go back to the application").waitFor();
    assert.equal((await parts()).size, 2);
    await person.go("/settings/applications");
    const heading = page.getByRole("heading", { name: "Whole" });
    await page.getByText("All servers of local · all tools").waitFor();
    await heading.locator("xpath=..").getByRole("button", { name: "Disconnect" }).click();
    await page.getByRole("button", { name: "Disconnect Whole" }).click();
    await heading.waitFor({ state: "detached" });
    await assert.rejects(whole.connect(all), /has not been let in/);
  });

  await t.step("an application that is not connected cannot be let in by a link", async () => {
    await person.go(`/oauth/grant?client_id=${crypto.randomUUID()}&server=${two}`);
    await page.getByText("This application is not connected to your account").waitFor();
    assert.equal(await page.getByRole("button", { name: "Let it in" }).count(), 0);
  });

  await t.step("an application that is refused is told so", async () => {
    const other = new App("Other", callback);
    await other.ask(url(one));
    await person.go(String(other.asked));
    await page.getByText("“Other”").waitFor();
    const gone = returned();
    await page.getByRole("button", { name: "Refuse" }).click();
    assert.equal((await gone).searchParams.get("error"), "access_denied");
    await page.waitForURL("**/callback?**");
  });

  await t.step("an application whose consent does not come through is left with nothing", async () => {
    const other = new App("Third", callback);
    await other.ask(url(one));
    await person.go(String(other.asked));
    await page.getByText("“Third”").waitFor();
    await page.getByLabel("Notes").check();
    await page.getByLabel("Calendar").check();
    await page.route("**/consent", (route) => route.request().method() === "POST" ? route.abort() : route.continue());
    await page.getByRole("button", { name: "Let it in" }).click();
    await page.getByRole("alert").getByText("could not be reached").waitFor();
    await page.unroute("**/consent");
    await person.go("/settings/applications");
    await page.getByRole("heading", { name: NAME }).waitFor();
    assert.equal(await page.getByRole("heading", { name: "Third" }).count(), 0);
  });

  await t.step("connected applications are listed; one server is taken back, then all", async () => {
    await person.go("/settings/applications");
    await page.getByRole("heading", { name: NAME }).waitFor();
    await page.getByText("Notes (local) · add · until").waitFor();
    await page.getByText("Calendar (local) · all tools · read-only · until").waitFor();
    await shown(person, "applications");
    const calendar = page.getByRole("listitem").filter({ hasText: "Calendar (local)" });
    await calendar.getByRole("button", { name: "Take back" }).click();
    await calendar.waitFor({ state: "detached" });
    await assert.rejects(app.connect(url(two)), /has not been let in/);
    assert.deepEqual(await toolsOf(app, url(one)), ["add"]);
    await page.getByRole("button", { name: "Disconnect", exact: true }).click();
    await page.getByRole("button", { name: `Disconnect ${NAME}` }).click();
    await page.getByText("No application is connected").waitFor();
    await assert.rejects(app.connect(url(one)), /has not been let in/);
  });

  complaintsOf(person);
});

/** Nothing for axe to find, wide and narrow. */
async function shown({ page }: Person, name: string): Promise<void> {
  await picture(page, name);
  await isClean(page);
  await page.setViewportSize({ width: 360, height: 740 });
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(sideways <= 0, `${name} is ${sideways} px too wide`);
  await picture(page, `${name}-narrow`);
  await page.setViewportSize({ width: 1280, height: 800 });
}

function complaintsOf({ complaints }: Person): void {
  assert.deepEqual(complaints, []);
}

async function toolsOf(app: App, url: string): Promise<string[]> {
  const { client } = await app.connect(url);
  const { tools } = await client.listTools();
  await client.close();
  return tools.map(({ name }) => name);
}

/** The sample server as a tool of the demo user's. */
async function deploy({ stack: { ready } }: Console, name: string): Promise<string> {
  const reply = await fetch(`${ready.functions["toolbox-tools"]}/${ready.toolbox_id}/tools`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${ready.demo.access_token}`,
      "content-type": "application/json",
      prefer: "wait=40",
    },
    body: JSON.stringify({
      toolCatalogId: "00000000-0000-0000-0000-0000000000aa",
      instanceNameOnToolbox: name,
      baseConfigOverrideJson: { transport: "stdio", command: ["--stdio"] },
    }),
  });
  const answer = await reply.json();
  assert.equal(reply.status, 201, JSON.stringify(answer));
  return answer.tool_instance.id;
}
