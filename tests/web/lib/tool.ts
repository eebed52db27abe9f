/// <reference lib="dom" />
/** What tests of the console do with the page of a tool, and beside it. */

import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Page } from "playwright-core";
import type { Person } from "./console.ts";

/** The catalog's sample server. */
export const SAMPLE = "Toolbox sample MCP server";

/** Opens a part of the page of a tool. */
export async function tab(person: Person, name: string): Promise<void> {
  await person.page.getByRole("navigation", { name: "Parts of this tool" }).getByRole("link", { name }).click();
}

/** Opens a tool of the server. */
export async function open(person: Person, tool: string): Promise<void> {
  const { page } = person;
  await tab(person, "Tools");
  await page.getByRole("list", { name: "Tools of the server" }).getByRole("button", { name: tool }).click();
  await page.getByRole("heading", { name: tool, exact: true }).waitFor();
}

/** Makes a token where the page says how clients connect; the URL that it shows, and the token. */
export async function makeToken({ page }: Person): Promise<{ url: string; token: string }> {
  const url = (await page.locator("code").filter({ hasText: "/functions/v1/mcp/" }).first().innerText()).trim();
  await page.getByRole("button", { name: "With a token" }).click();
  await page.getByRole("button", { name: "Create token" }).click();
  const token = await page.getByTestId("snippet").filter({ hasText: /^tbx_[0-9a-f]{64}$/ }).innerText();
  return { url, token };
}

/** A real MCP client, as another program on another machine would be. */
export async function connect(url: string, token: string): Promise<Client & AsyncDisposable> {
  const client = new Client({ name: "another-program", version: "1.2" });
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
  });
  await client.connect(transport);
  return Object.assign(client, {
    async [Symbol.asyncDispose]() {
      await transport.terminateSession().catch(() => {});
      await client.close();
    },
  });
}

/** Presses Tab until something with this name has the focus. */
export async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 100; presses++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement & { labels?: NodeListOf<HTMLElement> };
      return element.ariaLabel ?? element.labels?.[0]?.innerText ?? element.innerText ?? "";
    });
    if (focused.trim() === name) return;
  }
  throw new Error(`Tab does not lead to “${name}” on ${page.url()}`);
}
