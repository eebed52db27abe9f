/// <reference lib="dom" />
// A droplet, from its price to its removal, at the simulator of DigitalOcean's API: what one sees of the order while it
// goes on, also after leaving the page.

import assert from "node:assert/strict";
import { makeRelease } from "../install/machine.ts";
import { isClean, openConsole, picture } from "./lib/console.ts";

Deno.test("a droplet is ordered, watched, left alone, and removed", async (t) => {
  await using web = await openConsole({ dtma: false, args: ["--droplets"] });
  await makeRelease(`${web.stack.ready.data_dir}/releases`);
  const person = await web.person();
  const { page } = person;
  await person.signUp("bo@toolbox.local", "correct horse battery staple");

  await t.step("the price is in the button before it is pressed", async () => {
    await page.getByRole("link", { name: "New toolbox" }).click();
    await page.getByText("A droplet", { exact: true }).click();
    await page.getByLabel("Name").fill("fra-1");
    const button = page.getByRole("button", { name: /^Create for \$\d+ a month$/ });
    await button.waitFor();
    const before = await button.innerText();
    const sizes = page.getByLabel("Size");
    const other = await sizes.locator("option:not(:checked)").last().getAttribute("value");
    await sizes.selectOption(other);
    assert.notEqual(await button.innerText(), before);
    await sizes.selectOption({ index: 0 });
    await picture(page, "droplet-order");
    await isClean(page);
    await button.click();
    await page.getByRole("heading", { name: "fra-1" }).waitFor();
  });

  await t.step("its steps are on the page, also after one was away", async () => {
    await page.getByText("It goes on without this page").waitFor();
    assert.equal(await page.locator('main [data-tone="ok"]').count(), 0, "nothing is green yet");
    await picture(page, "droplet-steps");
    await isClean(page);
    await person.go("/toolboxes");
    await page.getByRole("link", { name: "fra-1" }).filter({ visible: true }).click();
    await page.locator('h1 ~ [data-state-word="Active"]').waitFor({ timeout: 120_000 });
    await page.getByRole("heading", { name: "Health" }).waitFor();
    await picture(page, "droplet-active");
  });

  await t.step("removing says what is lost, wants the name, and costs nothing any more", async () => {
    await page.getByRole("button", { name: "More for fra-1" }).click();
    await page.getByRole("menuitem", { name: "Remove…" }).click();
    await page.getByText("their volumes and what is in them").waitFor();
    await isClean(page);
    await page.getByLabel("Type “fra-1” to go on").fill("fra-1");
    await page.getByRole("button", { name: "Remove the machine" }).click();
    await page.waitForURL("**/toolboxes");
    // One that was ordered less than a minute ago may still come.
    await page.getByText("You have no toolbox yet").waitFor({ timeout: 120_000 });
  });
  assert.deepEqual(person.complaints, []);
});
