/// <reference lib="dom" />
// Every page, wide and narrow, light and dark, at 200 %, empty, loading and failed: nothing for axe to find, nothing that is lost where
// there is less room, nothing that the Content-Security-Policy forbids, nothing secret. With TOOLBOX_SCREENSHOTS=folder, pictures of all of them.

import assert from "node:assert/strict";
import { Database, eventually, signIn, signUp } from "../e2e/lib/mod.ts";
import { isClean, openConsole, type Person, picture } from "./lib/console.ts";

const SAMPLE = "00000000-0000-0000-0000-0000000000aa";

/** Each page: its name, its address below a toolbox or by itself, and what shows that it is there. */
const PAGES: [string, (toolbox: string, tool: string) => string, string][] = [
  ["toolboxes", () => "/toolboxes", "link:local"],
  ["new-own", () => "/toolboxes/new?kind=byo", "button:Create and show the command"],
  ["overview", (id) => `/toolboxes/${id}`, "heading:What runs there"],
  ["tools", (id) => `/toolboxes/${id}/tools`, "button:Actions of Sample"],
  ["toolbox-connect", (id) => `/toolboxes/${id}/connect`, "heading:One URL for all servers"],
  ["system", (id) => `/toolboxes/${id}/system`, "heading:Keys and firewall"],
  ["activity", (id) => `/toolboxes/${id}/activity`, "link:Agent's log"],
  ["log", (id) => `/toolboxes/${id}/activity?show=log`, "log:Log of the agent"],
  ["tool-use", (id, tool) => `/toolboxes/${id}/tools/${tool}`, "heading:Sample"],
  ["tool-tools", (id, tool) => `/toolboxes/${id}/tools/${tool}/tools`, "heading:Sample"],
  ["tool-logs", (id, tool) => `/toolboxes/${id}/tools/${tool}/logs`, "heading:Sample"],
  ["tool-configuration", (id, tool) => `/toolboxes/${id}/tools/${tool}/configuration`, "heading:Sample"],
  ["tool-activity", (id, tool) => `/toolboxes/${id}/tools/${tool}/activity`, "heading:Sample"],
  ["tool-usage", (id, tool) => `/toolboxes/${id}/tools/${tool}/usage`, "heading:Calls of its tools"],
  ["tool-sharing", (id, tool) => `/toolboxes/${id}/tools/${tool}/sharing`, "heading:Sample"],
  ["marketplace", () => "/marketplace", "heading:Marketplace"],
  ["deploy", () => `/marketplace/${SAMPLE}/deploy`, "heading:What will run"],
  ["history", () => "/activity", "heading:Activity"],
  ["settings", () => "/settings", "heading:Settings"],
  ["settings-access", () => "/settings/access", "heading:Settings"],
  ["settings-applications", () => "/settings/applications", "heading:Settings"],
  ["settings-alerts", () => "/settings/alerts", "heading:Settings"],
  ["operators-fleet", () => "/operators", "heading:Toolboxes of all users"],
  ["operators-catalog", () => "/operators/catalog", "link:New entry"],
  ["operators-entry", () => `/operators/catalog/${SAMPLE}`, "button:Save the entry"],
  ["operators-quotas", () => "/operators/quotas", "heading:How much users may have"],
];

/** What a page says beside headings of columns, without what changes by itself, and what is under way ("Connecting…"). */
function textsOf({ page }: Person): Promise<string[]> {
  return page.evaluate(() => {
    const texts = new Set<string>();
    const walker = document.createTreeWalker(document.querySelector("main")!, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const { parentElement, textContent } = walker.currentNode;
      const text = textContent?.trim() ?? "";
      const isSeen = parentElement?.checkVisibility({ visibilityProperty: true }) ?? false;
      const section = parentElement?.closest("section")?.querySelector("h2")?.textContent ?? "";
      // What comes and goes by itself: containers of others, and lines that two minutes bring.
      if (/^Other containers|^Machine, last hour/.test(section)) continue;
      if (
        isSeen && /[a-z]{2}/i.test(text) && !/\d|ing…$/.test(text) &&
        !parentElement?.closest("th, option, time, pre, [data-state-word]")
      ) {
        texts.add(text);
      }
    }
    return [...texts];
  });
}

/** What a page says when nothing more comes: what is asked beside the page itself may take a moment. */
async function settled(person: Person): Promise<string[]> {
  let before = await textsOf(person);
  for (let round = 0; round < 20; round++) {
    await person.page.waitForTimeout(500);
    const now = await textsOf(person);
    if (now.join("\n") === before.join("\n")) break;
    before = now;
  }
  return before;
}

/** Waits until a page says all of these, for 10 s. */
async function says(person: Person, texts: string[]): Promise<void> {
  let lost: string[] = [];
  for (let round = 0; round < 20; round++) {
    const here = await textsOf(person);
    lost = texts.filter((text) => !here.includes(text));
    if (lost.length === 0) return;
    await person.page.waitForTimeout(500);
  }
  assert.fail(`not said here: ${lost.join(" | ")}`);
}

/** Ends a process, unless it has ended with its companion. */
function end(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) && !String(error).includes("ESRCH")) throw error;
  }
}

/** No more to scroll sideways than the page is wide. */
async function fits({ page }: Person): Promise<void> {
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(sideways <= 0, `it is ${sideways} px too wide`);
}

async function seen(person: Person, what: string): Promise<void> {
  const [role, name] = what.split(":") as ["link", string];
  await person.page.getByRole(role, { name, exact: true }).filter({ visible: true }).first().waitFor();
}

Deno.test("every page in every state", async (t) => {
  await using web = await openConsole({
    companion: true,
    functionEnv: { TOOLBOX_RELEASE_URL: "http://127.0.0.1:8099" },
  });
  const { demo, toolbox_id: toolbox, url, functions } = web.stack.ready;

  const owner = await signIn(web.stack.ready, demo.email, demo.password);
  const deployed = await owner.tools.on(toolbox).deploy("Sample", {}, { catalogId: SAMPLE, wait: 40 });
  assert.equal(deployed.status, 201, deployed.text);
  const tool = deployed.json.instanceId as string;

  // Whoever is an operator, the project's service says.
  const db = new Database(web.stack.ready.admin_db_url);
  await db.execute(
    `update auth.users set raw_app_meta_data = raw_app_meta_data || '{"toolbox_role": "operator"}' where email = :'email'`,
    { email: demo.email },
  );

  // What is said of the firewall changes once a container has tried it.
  await eventually("the firewall was tried", async () => {
    const { state } = await db.row<{ state: string | null }>(
      `select dtma_health_details_json -> 'system_metrics' -> 'host_firewall' ->> 'state' as state
       from public.account_tool_environments where id = :'id'`,
      { id: toolbox },
    );
    return state === "verified" || undefined;
  }, { ms: 90_000, everyMs: 1000 });

  /** What each page says where there is room. */
  const texts = new Map<string, string[]>();
  for (const look of [{}, { dark: true }, { width: 360, height: 740 }, { zoomed: true }]) {
    const name = "dark" in look ? "dark" : "width" in look ? "narrow" : "zoomed" in look ? "zoomed" : "wide";
    const person = await web.person(look);
    if (name !== "zoomed") {
      await t.step(`signed out, ${name}`, async () => {
        for (
          const [page, heading] of [["sign-in", "Sign in"], ["sign-up", "Create an account"], [
            "reset-password",
            "Reset your password",
          ]]
        ) {
          await person.go(`/${page}`);
          await seen(person, `heading:${heading}`);
          await picture(person.page, `${page}-${name}`);
          await isClean(person.page);
        }
      });
    }
    await t.step(`with a toolbox, ${name}`, async () => {
      await person.signIn(demo.email, demo.password);
      const wrong: string[] = [];
      for (const [page, address, shows] of PAGES) {
        try {
          await person.go(address(toolbox, tool));
          await seen(person, shows);
          const here = await settled(person);
          await picture(person.page, `${page}-${name}`);
          await fits(person);
          if (name !== "zoomed") await isClean(person.page);
          if (name === "wide") texts.set(page, here);
          else if (name !== "dark") await says(person, texts.get(page) ?? []);
        } catch (error) {
          wrong.push(`${page}: ${error instanceof Error ? error.message : error}`);
        }
      }
      if (wrong.length > 0) throw new Error(wrong.join("\n"));
    });
    if (name !== "zoomed") {
      await t.step(`diagnosed, palette and dialog, ${name}`, async () => {
        await person.go(`/toolboxes/${toolbox}/system`);
        await person.page.getByRole("button", { name: "Diagnose" }).click();
        await person.page.getByText(/\d+ checks/).waitFor();
        await picture(person.page, `diagnosis-${name}`);
        await isClean(person.page);
        await person.page.keyboard.press("Control+k");
        await person.page.getByPlaceholder("Go to a toolbox").waitFor();
        await person.page.getByRole("option", { name: "local" }).waitFor();
        await picture(person.page, `palette-${name}`);
        await isClean(person.page);
        await person.page.keyboard.press("Escape");
        await person.page.getByRole("button", { name: "More for local" }).click();
        await person.page.getByRole("menuitem", { name: "Forget…" }).click();
        await person.page.getByRole("dialog").waitFor();
        assert.equal(await person.page.getByRole("button", { name: "Forget the machine" }).isDisabled(), true);
        await picture(person.page, `forget-${name}`);
        await isClean(person.page);
      });
    }
    assert.deepEqual(person.complaints, []);
    await person.context.close();
  }

  // Nothing is heard of the machine from now on; the last step looks at its silence.
  await web.stack.control("stop", "companion");
  end(web.stack.ready.dtma?.pid);

  const person = await web.person();
  await t.step("empty: a new account is told what a toolbox is, and the next step", async () => {
    await person.signUp("empty@toolbox.local", "correct horse battery staple");
    await seen(person, "heading:You have no toolbox yet");
    await picture(person.page, "toolboxes-empty");
    await isClean(person.page);
  });

  await t.step("who is no operator finds no way to their pages, and is told why", async () => {
    assert.equal(await person.page.getByRole("link", { name: "Operators" }).count(), 0);
    for (const address of ["/operators", "/operators/catalog", "/operators/quotas"]) {
      await person.go(address);
      await seen(person, "heading:Only operators see this page");
    }
    await picture(person.page, "operators-refused");
    await isClean(person.page);
    assert.ok(!person.requests.some((request) => request.includes("/functions/v1/operators")), "nothing is asked");
  });

  await t.step("what is somebody else's, or nothing, says so and leads back", async () => {
    for (const address of [`/toolboxes/${toolbox}`, "/nothing/here"]) {
      await person.go(address);
      await person.page.getByRole("link", { name: "To your toolboxes" }).waitFor();
      await picture(person.page, address.includes("nothing") ? "no-page" : "no-toolbox");
      await isClean(person.page);
    }
  });

  await t.step("who goes to another page has the focus there", async () => {
    const { page } = person;
    await person.go("/toolboxes");
    await page.getByRole("link", { name: "Marketplace" }).press("Enter");
    await seen(person, "heading:Marketplace");
    await page.waitForFunction(() => document.activeElement?.id === "page");
  });

  await t.step("loading: the page is there before its answer", async () => {
    const { page } = person;
    let release = () => {};
    const held = new Promise<void>((resolve) => release = resolve);
    await page.route(`${url}/**`, async (route) => {
      await held;
      await route.continue();
    });
    await person.go("/toolboxes");
    await page.getByRole("heading", { name: "Toolboxes" }).waitFor();
    await picture(page, "toolboxes-loading");
    await isClean(page);
    release();
    await seen(person, "heading:You have no toolbox yet");
    await page.unroute(`${url}/**`);
  });

  await t.step("failed: the sentence, the code, what to do, and another try that succeeds", async () => {
    const { page } = person;
    await web.stack.control("stop", "toolboxes-user");
    await person.go("/toolboxes");
    await page.getByRole("alert").getByTestId("error-code").waitFor();
    await page.getByText(/^No answer since \d\d:\d\d$/).waitFor();
    await picture(page, "toolboxes-failed");
    await isClean(page);
    await web.stack.control("start", "toolboxes-user");
    await page.getByRole("button", { name: "Try again" }).click();
    await seen(person, "heading:You have no toolbox yet");
  });

  await t.step("offline: the page says so and since when, and goes on by itself", async () => {
    await person.context.setOffline(true);
    await person.page.getByText(/^Offline since \d\d:\d\d$/).waitFor();
    await picture(person.page, "toolboxes-offline");
    await person.context.setOffline(false);
    await person.page.getByText("Live", { exact: true }).waitFor();
  });

  await t.step("a session that ends elsewhere leads to the sign-in and back to the page", async () => {
    const { page } = person;
    await person.go("/toolboxes/new?kind=byo");
    await page.evaluate(() => localStorage.removeItem("toolbox-session"));
    const other = await person.context.newPage();
    await person.go("/sign-in", other);
    await other.getByLabel("Email").fill("empty@toolbox.local");
    await other.getByLabel("Password").fill("correct horse battery staple");
    await other.getByRole("button", { name: "Sign in", exact: true }).click();
    await other.waitForURL("**/toolboxes");
    await other.getByRole("button", { name: "Account" }).click();
    await other.getByRole("menuitem", { name: "Sign out" }).click();
    await other.waitForURL("**/sign-in**");
    await page.waitForURL("**/sign-in?next=**");
    await page.getByText("Your session has ended").waitFor();
    await picture(page, "session-ended");
    await isClean(page);
    await page.getByLabel("Email").fill("empty@toolbox.local");
    await page.getByLabel("Password").fill("correct horse battery staple");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.waitForURL("**/toolboxes/new?kind=byo");
    await other.close();
  });

  await t.step("who signs out while the server does not answer is signed out here, also after a reload", async () => {
    const { page } = person;
    await page.route("**/auth/v1/logout**", (route) => route.abort());
    await page.getByRole("button", { name: "Account" }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.waitForURL("**/sign-in**");
    assert.equal(await page.evaluate(() => localStorage.getItem("toolbox-session")), null);
    await page.unroute("**/auth/v1/logout**");
    await person.go("/toolboxes");
    await page.waitForURL("**/sign-in**");
  });

  await t.step("a forgotten password is replaced by the link in a mail, once, in the browser that asked", async () => {
    const { page } = person;
    await person.go("/reset-password");
    await page.getByLabel("Email").fill("empty@toolbox.local");
    await page.getByRole("button", { name: "Send the link" }).click();
    await page.getByText("a mail with a link is on its way").waitFor();
    const folder = `${web.stack.ready.data_dir}/mail`;
    const [mail] = [...Deno.readDirSync(folder)];
    const link = (await Deno.readTextFile(`${folder}/${mail.name}`)).match(/http\S+/)?.[0] ?? "";
    await person.go(link);
    await page.getByLabel("New password for empty@toolbox.local").fill("another horse battery staple");
    assert.ok(!page.url().includes("code="), "the code stays in no address");
    await picture(page, "new-password");
    await isClean(page);
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForURL("**/toolboxes");
    const stranger = await web.person();
    await stranger.go(link);
    await seen(stranger, "heading:This link does not serve");
    await stranger.signIn("empty@toolbox.local", "another horse battery staple");
    await stranger.context.close();
  });

  await t.step("nothing secret is in addresses, in what is written, or in storage beyond the session", async () => {
    const { page } = person;
    const session = await page.evaluate(() => ({ ...localStorage }));
    const unexpected = Object.keys(session).filter((key) => key !== "toolbox-session" && key !== "toolbox-rail");
    assert.deepEqual(unexpected, []);
    // Where one had scrolled to.
    assert.deepEqual(await page.evaluate(() => Object.keys(sessionStorage)), ["tsr-scroll-restoration-v1_3"]);
    assert.equal(await page.evaluate(() => document.cookie), "");
    const { access_token, refresh_token } = JSON.parse(session["toolbox-session"]);
    for (const secret of [access_token, refresh_token, web.stack.ready.secret_key, "another horse battery staple"]) {
      assert.ok(!person.requests.some((request) => request.includes(secret)), "a secret is in an address");
      assert.ok(!person.written.some((text) => text.includes(secret)), "a secret was written");
    }
    assert.deepEqual(person.complaints, []);
  });

  await t.step("names of others are text and nothing else", async () => {
    const ann = await signUp(web.stack.ready, "ann@toolbox.local");
    const name = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    for (const each of [name, "Second"]) {
      const reply = await fetch(functions["toolboxes-user"], {
        method: "POST",
        headers: {
          authorization: `Bearer ${ann.token}`,
          apikey: web.stack.ready.publishable_key,
          "content-type": "application/json",
        },
        body: JSON.stringify({ kind: "byo", name: each }),
      });
      assert.equal(reply.status, 201, await reply.text());
    }
    const reader = await web.person();
    await reader.signIn("ann@toolbox.local", "correct horse battery staple");
    await reader.page.getByRole("link", { name }).first().click();
    await reader.page.getByRole("heading", { name }).waitFor();
    await picture(reader.page, "own-machine-waits");
    await isClean(reader.page);
    assert.equal(await reader.page.evaluate(() => document.querySelectorAll("main img, main script").length), 0);
    assert.ok(!(await reader.page.title()).startsWith("owned"));
    // What is shown of one toolbox is gone on the page of the next.
    await reader.page.getByRole("button", { name: "New command" }).click();
    await reader.page.getByTestId("snippet").waitFor();
    await reader.page.keyboard.press("Control+k");
    await reader.page.getByRole("option", { name: "Second" }).click();
    await reader.page.getByRole("heading", { name: "Second" }).waitFor();
    await reader.page.getByText("The command is shown only when it is made").waitFor();
    assert.deepEqual(reader.complaints, []);
  });

  await t.step(
    "an operator changes the catalog and a quota, and finds a silent toolbox of somebody else's",
    async () => {
      await db.execute(
        `update public.account_tool_environments set status = 'provisioning' where name = 'Second';
       update public.account_tool_environments set status = 'awaiting_heartbeat' where name = 'Second';
       update public.account_tool_environments set status = 'active' where name = 'Second';
       update public.account_tool_environments set status = 'unresponsive' where name = 'Second';
       update public.account_tool_environments set status = 'provisioning' where name like '<img%';
       update public.account_tool_environments set status = 'awaiting_heartbeat' where name like '<img%';
       update public.account_tool_environments set status = 'active', last_heartbeat_at = now(), heartbeat_interval_seconds = 300,
         dtma_last_known_version = '0.1.0' where name like '<img%';
       -- Its machine is down, and is not silent for the next quarter of an hour.
       update public.account_tool_environments set status = 'active', last_heartbeat_at = now(), heartbeat_interval_seconds = 300
         where name = 'local';`,
      );
      const operator = await web.person();
      const { page } = operator;
      await operator.signIn(demo.email, demo.password, "/operators");
      await page.getByRole("link", { name: /^Silent/ }).click();
      await page.getByRole("row", { name: /Second/ }).getByText("ann@toolbox.local").waitFor();
      await page.getByLabel("Search by owner or name").fill("nobody@");
      await seen(operator, "heading:No toolbox is like this");
      await picture(page, "operators-fleet-none");
      await isClean(page);

      await page.getByLabel("Wanted version").fill("99.0.0");
      await page.getByRole("button", { name: "Save version" }).click();
      await page.getByText(/^\d toolbox(es)? reports? and ha(s|ve) another version than 99\.0\.0\. \d (is|are) silent/)
        .waitFor();
      await page.getByRole("button", { name: /^Replace \d agents?$/ }).waitFor();
      await page.getByLabel("Search by owner or name").fill("");
      await page.getByRole("link", { name: /^Old/ }).click();
      await page.getByRole("row", { name: /^local/ }).getByText(", old").waitFor();
      await picture(page, "operators-fleet-old");
      await isClean(page);

      // No machine here can be replaced. The clock finds it out at the first, and the page shows it by itself.
      await page.getByRole("button", { name: /^Replace \d agents?$/ }).click();
      const rollout = page.getByRole("region", { name: "To 99.0.0: stopped, 0 of 2 replaced, 1 failed, 1 not asked" });
      await rollout.getByText(/No further toolbox is asked\. Mend this one/).waitFor({ timeout: 45_000 });
      await rollout.getByText(new RegExp(`^begun .* by ${demo.email}, read `)).waitFor();
      await rollout.getByRole("listitem").filter({ hasText: "failed" }).waitFor();
      await picture(page, "operators-fleet-rollout-stopped");
      await isClean(page);

      await operator.go("/operators/catalog/new");
      await page.getByLabel("Name", { exact: true }).fill("Weather");
      await page.getByLabel("Machine name").fill("Weather!");
      await page.getByLabel("What runs").fill('{"image": "ghcr.io/example/weather:1", "transport": "stdio"');
      assert.equal(await page.getByRole("button", { name: "Make the entry" }).isDisabled(), true);
      await page.getByLabel("What runs").fill('{"image": "ghcr.io/example/weather:1", "transport": "stdio"}');
      await page.getByRole("button", { name: "Make the entry" }).click();
      await page.getByRole("alert").getByText("tool_name", { exact: true }).waitFor();
      await picture(page, "operators-entry-refused");
      await isClean(page);
      await page.getByLabel("Machine name").fill("weather");
      await page.getByLabel("Description").fill("Tells the weather.");
      await page.getByRole("button", { name: "Make the entry" }).click();
      await page.waitForURL("**/operators/catalog");
      await page.getByRole("link", { name: "Weather" }).click();
      await page.getByLabel("Description").fill("Tells the weather of tomorrow.");
      await page.getByRole("button", { name: "Save the entry" }).click();
      await page.waitForURL("**/operators/catalog");

      await operator.go("/operators/quotas?q=ann");
      await page.getByText(/^Everybody may have 20 toolboxes, machines for \$200 a month, 100 tools in each,/)
        .waitFor();
      await page.getByRole("button", { name: "Change what ann@toolbox.local may have" }).click();
      await page.getByLabel("Toolboxes").fill("2");
      await picture(page, "operators-quota");
      await isClean(page);
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByText("may have 2 toolboxes").waitFor();

      // What came of it for the user.
      const reader = await web.person();
      await reader.signIn("ann@toolbox.local", "correct horse battery staple", "/marketplace");
      await reader.page.getByText("Tells the weather of tomorrow.").waitFor();
      await reader.go("/settings");
      await reader.page.getByText("2 of 2", { exact: true }).waitFor();
      await reader.go("/toolboxes/new?kind=byo");
      await reader.page.getByText("You have 2 of 2 toolboxes").waitFor();
      await picture(reader.page, "new-own-full");
      await reader.page.getByLabel("Name").fill("Third");
      await reader.page.getByRole("button", { name: "Create and show the command" }).click();
      await reader.page.getByRole("alert").getByText("You have 2 toolboxes").waitFor();

      // Loading, and failed.
      let release = () => {};
      const held = new Promise<void>((resolve) => release = resolve);
      await page.route(`${url}/functions/v1/operators/**`, async (route) => {
        await held;
        await route.abort();
      });
      await operator.go("/operators");
      await seen(operator, "heading:Operators");
      await picture(page, "operators-fleet-loading");
      release();
      await page.getByRole("alert").getByText("The fleet could not be read").waitFor();
      await picture(page, "operators-fleet-failed");
      await isClean(page);
      await page.unroute(`${url}/functions/v1/operators/**`);
      await page.getByRole("button", { name: "Try again" }).click();
      await seen(operator, "heading:Toolboxes of all users");
      assert.deepEqual([...operator.complaints, ...reader.complaints], []);
    },
  );

  await t.step(
    "silent: since when, what was last known without its colour, and how to have the machine back",
    async () => {
      await db.execute(
        "update public.account_tool_environments set heartbeat_interval_seconds = 1 where name = 'local';",
      );
      await eventually("it is marked", async () => {
        const { status } = await db.row<{ status: string }>(
          "select status from public.account_tool_environments where id = :'id'",
          { id: toolbox },
        );
        return status === "unresponsive" || undefined;
      }, { ms: 30_000 });
      const owner = await web.person();
      const { page } = owner;
      await owner.signIn(demo.email, demo.password);
      await page.getByRole("region", { name: "Needs attention" }).getByText("has been silent for").waitFor({
        timeout: 90_000,
      });
      await page.getByText("1, last known").filter({ visible: true }).waitFor();
      for (
        const [name, address] of [
          ["toolboxes", "/toolboxes"],
          ...PAGES.slice(2, 4).map(([name, of]) => [name, of(toolbox, tool)]),
        ]
      ) {
        await owner.go(address);
        await page.locator('[data-state-word="Silent"]').filter({ visible: true }).waitFor();
        await page.waitForTimeout(2_000);
        // The database is there.
        const green = await page.locator('main [data-tone="ok"]').filter({ visible: true }).count();
        assert.ok(green <= (name === "overview" ? 1 : 0), `${green} states are green on ${address}`);
        await picture(page, `${name}-silent`);
        await isClean(page);
      }
      await page.getByRole("button", { name: "Let it join again" }).click();
      await page.getByRole("button", { name: "New command" }).click();
      await page.getByTestId("snippet").waitFor();
      assert.deepEqual(owner.complaints, []);
    },
  );
});
