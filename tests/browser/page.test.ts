/** The page of `gyre inspect --html` and `gyre run --report`, as a reader has it: opened from the disk, by mouse and keyboard. */
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { folder, gyre } from "../cli/gyre.ts";
import { browser, lacking, type Opened } from "./browser.ts";

if (lacking) console.log(`skipped: ${lacking}`);

const root = resolve(import.meta.dirname, "../..");
const example = join(root, "examples/05-ring-attention.gyre");

describe.skipIf(lacking)("the page", () => {
  const open = browser();

  /** Opens a page that `gyre ARGS` wrote, and waits until it is drawn. */
  async function opened(args: readonly string[], options?: { dark: boolean }): Promise<Opened> {
    const path = join(folder(), "page.html");
    const { code, err } = await gyre(...args, path);
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    const all = await open(pathToFileURL(path).href, options);
    await all.page.waitForSelector("html[data-opened]");
    return all;
  }
  const ring = (sp: number, S: number) =>
    ["inspect", example, "--mesh", `sp=${sp}`, "--dims", `B=1,S=${S},H=2,D=16`, "--html"] as const;
  const tab = (page: Page) => page.locator("[role=tab][aria-selected=true]").innerText();
  const details = (page: Page) => page.locator(".tab.on aside").first().innerText();

  test("opens offline, without an error, and asks for nothing but itself", async () => {
    const { page, errors, asked } = await opened(ring(4, 256));
    expect(await page.title()).toBe("attention · Gyre");
    expect(await tab(page)).toBe("Timeline");
    for (const key of ["2", "3", "4", "5", "1"]) await page.keyboard.press(key);
    expect(errors).toEqual([]);
    expect(asked.filter((url) => !url.startsWith("file:"))).toEqual([]);
    expect(asked.length).toBe(1);
  });

  test("a run shows what was measured beside what was predicted", async () => {
    const { page, errors } = await opened(["run", example, "--dims", "B=1,S=64,H=2,D=16", "--report"]);
    expect(await page.locator(".tab.on").innerText()).toMatch(/predicted\s+[\d.]+ .s\s+measured\s+[\d.]+ .s/);
    expect(errors).toEqual([]);
  });

  test("the keyboard leads to a step, to its code, and back", async () => {
    const { page, errors } = await opened(ring(4, 256));
    const whole = await details(page);
    await page.keyboard.press("n");
    await page.keyboard.press("n");
    const first = await details(page);
    expect(first).not.toBe(whole);
    await page.keyboard.press("n");
    expect(await details(page)).not.toBe(first);
    await page.keyboard.press("p");
    expect(await details(page)).toBe(first);
    await page.keyboard.press("Enter");
    expect(await tab(page)).toBe("Code");
    await page.keyboard.press("1");
    await page.keyboard.press("Escape");
    expect(await details(page)).toBe(whole);
    expect(errors).toEqual([]);
  });

  test("hovering a step tells what it is, clicking it selects it", async () => {
    const { page } = await opened(ring(4, 256));
    const box = (await page.locator(".tab.on canvas").first().boundingBox())!;
    const whole = await details(page);
    let tip = "";
    // Somewhere below the ruler, along the first lanes, there is a step.
    for (let y = 30; y < 90 && tip === ""; y += 8)
      for (let x = 0.2; x < 1 && tip === ""; x += 0.02) {
        await page.mouse.move(box.x + x * box.width, box.y + y);
        tip = await page.locator(".tip").first().innerText();
      }
    expect(tip).toMatch(/out_lse|fill|k_\d|k to/);
    await page.mouse.down();
    await page.mouse.up();
    expect(await details(page)).not.toBe(whole);
  });

  test("is dark where the system is, and the other way at a key", async () => {
    const { page } = await opened(ring(2, 64), { dark: true });
    const theme = () => page.evaluate("document.documentElement.dataset.theme");
    const paper = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(await theme()).toBe("dark");
    const dark = await paper();
    await page.keyboard.press("t");
    expect(await theme()).toBe("light");
    expect(await paper()).not.toBe(dark);
  });

  test("1024 devices: only what can be seen is in the document, and the last of them can be reached", async () => {
    const { page, errors } = await opened(ring(1024, 1024 * 16));
    expect(await page.locator("*").count()).toBeLessThan(3000);
    expect(await page.locator(".tab.on").innerText()).not.toContain("sp 1023");
    const before = await page.locator(".tab.on canvas").first().screenshot();
    for (let i = 0; i < 40; i++) await page.keyboard.press("ArrowDown");
    const after = await page.locator(".tab.on canvas").first().screenshot();
    expect(after.equals(before)).toBe(false);
    for (const key of ["2", "3", "4", "5"]) await page.keyboard.press(key);
    expect(errors).toEqual([]);
  });
});
