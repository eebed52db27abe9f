/// <reference lib="dom" />
/** The console in a real browser, on a whole stack: `await using web = await openConsole();`. */

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { type Stack, type StackOptions, startStack } from "../../lib/stack.ts";

const REPOSITORY = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");

export interface PersonOptions {
  width?: number;
  height?: number;
  dark?: boolean;
}

/** Somebody with a browser of their own. What their pages complain of is kept. */
export class Person {
  /** Errors of scripts, and what the Content-Security-Policy forbade. */
  readonly complaints: string[] = [];
  /** What pages wrote to the console of the browser. */
  readonly written: string[] = [];
  /** Addresses of requests. */
  readonly requests: string[] = [];

  constructor(readonly context: BrowserContext, readonly page: Page, readonly url: string) {
    page.on("pageerror", (error) => this.complaints.push(`${error.name}: ${error.message}`));
    page.on("console", (message) => {
      this.written.push(message.text());
      if (/Content.Security.Policy|Refused to/i.test(message.text())) this.complaints.push(message.text());
    });
    page.on("response", (response) => {
      // The page itself must be whole; what the functions answer is the tests' business.
      if (response.url().startsWith(url) && response.status() >= 400) {
        this.complaints.push(`${response.status()} ${response.url()}`);
      }
    });
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText;
      // Who leaves a page ends its requests; containers that come and go change the machine's network, and what is missed
      // then is asked for again.
      const usual = why === "net::ERR_ABORTED" || why === "net::ERR_NETWORK_CHANGED";
      if (request.url().startsWith(`${url}/assets/`) && !usual) {
        this.complaints.push(`${why} ${request.url()}`);
      }
    });
    page.on("request", (request) => this.requests.push(request.url()));
  }

  async go(path: string): Promise<void> {
    await this.page.goto(this.url + path);
  }

  async signUp(email: string, password: string): Promise<void> {
    await this.go("/sign-up");
    await this.page.getByLabel("Email").fill(email);
    await this.page.getByLabel("Password").fill(password);
    await this.page.getByRole("button", { name: "Create account" }).click();
    await this.page.waitForURL("**/toolboxes");
  }

  async signIn(email: string, password: string, path = "/toolboxes"): Promise<void> {
    await this.go(`/sign-in?next=${encodeURIComponent(path)}`);
    await this.page.getByLabel("Email").fill(email);
    await this.page.getByLabel("Password").fill(password);
    await this.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await this.page.waitForURL(`**${path}`);
  }
}

export class Console implements AsyncDisposable {
  constructor(readonly stack: Stack, readonly browser: Browser, readonly url: string) {}

  async person({ width = 1280, height = 800, dark = false }: PersonOptions = {}): Promise<Person> {
    const context = await this.browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? "dark" : "light",
      locale: "en-GB",
    });
    context.setDefaultTimeout(20_000);
    return new Person(context, await context.newPage(), this.url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.close();
    await this.stack.stop();
  }
}

/** A stack that serves the built console, and a browser. */
export async function openConsole(options: StackOptions = {}): Promise<Console> {
  const args = ["--web", `${REPOSITORY}/web/dist`, ...(options.args ?? [])];
  const stack = await startStack({ ...options, args });
  try {
    const url = stack.ready.console_url;
    if (url === null) throw new Error("the stack serves no console");
    const browser = await launch();
    return new Console(stack, browser, url);
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

/** Debian's Chromium. */
export function launch(): Promise<Browser> {
  // Its sandbox needs rights that containers and root lack; it opens nothing here but our own pages.
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
}

/** Fails with what axe finds wrong with the page, one line each. */
export async function isClean(page: Page): Promise<void> {
  const axe = await Deno.readTextFile(`${REPOSITORY}/node_modules/axe-core/axe.min.js`);
  // Playwright evaluates in the page without a script element, so the page's policy stays as it is.
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    // deno-lint-ignore no-explicit-any
    const result = await (globalThis as any).axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return result.violations;
  });
  type Found = { id: string; help: string; nodes: { target: string[]; failureSummary: string }[] };
  const faults = (found as Found[]).flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll("\n", " ")}`)
  );
  if (faults.length > 0) throw new Error(`${page.url()}:\n${faults.join("\n")}`);
}

/** Keeps a picture of the page where TOOLBOX_SCREENSHOTS says, if it does. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("TOOLBOX_SCREENSHOTS");
  if (folder !== undefined) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
