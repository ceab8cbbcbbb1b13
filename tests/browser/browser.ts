/** A Chromium of the machine's own, driven by Playwright. `GYRE_CHROMIUM` names one; else the usual places are looked at. */
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
export const executable = process.env.GYRE_CHROMIUM ?? places.find(existsSync);

/** Why there is nothing to test; undefined where there is a browser. */
export const lacking = executable
  ? undefined
  : "no Chromium found: `apt-get install chromium`, or name one in GYRE_CHROMIUM";

const flags = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** What a page said and asked for while it was open. */
export type Opened = { readonly page: Page; readonly errors: readonly string[]; readonly asked: readonly string[] };

/** One browser for a file of tests; the function opens a page in it, closed when the test ends. */
export function browser(): (url: string, options?: { readonly dark?: boolean }) => Promise<Opened> {
  let running: Browser | undefined;
  beforeAll(async () => {
    running = await chromium.launch({ executablePath: executable!, args: flags });
  });
  afterAll(() => running?.close());
  return async (url, { dark = false } = {}) => {
    const page = await running!.newPage({
      viewport: { width: 1280, height: 800 },
      colorScheme: dark ? "dark" : "light",
    });
    onTestFinished(() => page.close());
    const errors: string[] = [];
    const asked: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(url);
    return { page, errors, asked };
  };
}
