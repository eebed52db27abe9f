/// <reference lib="dom" />
/** The console in a real browser, on a whole stack: `await using web = await openConsole();`. */

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { type Stack, type StackOptions, startStack } from "../../lib/stack.ts";

const REPOSITORY = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");

/** Docker's networks come and go on this machine, and the browser then ends what it loads. The page is loaded anew. */
const NETWORKS = "net::ERR_NETWORK_CHANGED";
/** So often in a test at most. */
const MOST = 10;

export interface PersonOptions {
  width?: number;
  height?: number;
  dark?: boolean;
  /** Zoomed to 200 %: half the width, of twice the pixels. */
  zoomed?: boolean;
}

/** Somebody with a browser of their own. What their pages complain of is kept. */
export class Person {
  /** Errors of scripts, and what the Content-Security-Policy forbade. */
  readonly complaints: string[] = [];
  /** What pages wrote to the console of the browser. */
  readonly written: string[] = [];
  /** Addresses of requests. */
  readonly requests: string[] = [];
  /** How often the machine's changing networks have broken the loading of a page. */
  #broken = 0;
  #loading = false;

  constructor(readonly context: BrowserContext, readonly page: Page, readonly url: string) {
    page.on("pageerror", (error) => {
      if (this.#broken > 0 && error.message.includes("dynamically imported module")) return;
      this.complaints.push(`${error.name}: ${error.message}`);
    });
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
      // Who leaves a page ends its requests.
      if (!request.url().startsWith(`${url}/assets/`) || why === "net::ERR_ABORTED") return;
      if (why === NETWORKS && this.#broken < MOST) this.#loadAnew();
      else this.complaints.push(`${why} ${request.url()}`);
    });
    page.on("request", (request) => this.requests.push(request.url()));
  }

  /** Once what is loading has ended, whole or not. A page that is gone by then needs nothing; what waits for it fails. */
  #loadAnew(): void {
    if (this.#loading) return;
    this.#loading = true;
    this.#broken++;
    this.page.waitForLoadState().then(() => this.page.reload()).catch(() => {}).finally(() => this.#loading = false);
  }

  /** Opens a path of the console, or another address. */
  async go(address: string, page = this.page): Promise<void> {
    const url = new URL(address, this.url).href;
    await page.goto(url).catch((error) => {
      if (!String(error).includes(NETWORKS)) throw error;
      return page.goto(url);
    });
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

  async person({ width = 1280, height = 800, dark = false, zoomed = false }: PersonOptions = {}): Promise<Person> {
    const scale = zoomed ? 2 : 1;
    const context = await this.browser.newContext({
      viewport: { width: width / scale, height: height / scale },
      deviceScaleFactor: scale,
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
  // What fades in or out has no colour to judge: here it comes and goes at once.
  await page.emulateMedia({ reducedMotion: "reduce" });
  const found = await page.evaluate(async () => {
    // deno-lint-ignore no-explicit-any
    const result = await (globalThis as any).axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    });
    return result.violations;
  });
  await page.emulateMedia({ reducedMotion: null });
  type Found = { id: string; help: string; nodes: { target: string[]; failureSummary: string }[] };
  const faults = (found as Found[]).flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll("\n", " ")}`)
  );
  if (faults.length > 0) throw new Error(`${page.url()}:\n${faults.join("\n")}`);
}

/** Watches what holds the page up from now on; the longest so far, in whole milliseconds: 0 if nothing took 50. */
export async function watchTasks(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(() => {
    const long: number[] = [];
    (globalThis as { long?: number[] }).long = long;
    new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)))
      .observe({ type: "longtask" });
  });
  return () => page.evaluate(() => Math.round(Math.max(0, ...(globalThis as { long?: number[] }).long ?? [])));
}

/** Keeps a picture of the page where TOOLBOX_SCREENSHOTS says, if it does. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("TOOLBOX_SCREENSHOTS");
  if (folder !== undefined) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
