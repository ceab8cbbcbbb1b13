import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { PageData } from "../../inspector/data.ts";
import { pageHtml } from "../../inspector/html.ts";
import { machinesOf, modelOf } from "../../inspector/model/model.ts";
import { folder, gyre } from "../cli/gyre.ts";

const root = resolve(import.meta.dirname, "../..");
const example = join(root, "examples/05-ring-attention.gyre");
const sizes = ["--dims", "B=1,S=64,H=2,D=16"];

/** The data in a page. */
function dataIn(path: string): PageData {
  const packed = /<script id="data"[^>]*>([^<]*)</.exec(readFileSync(path, "utf8"))![1]!;
  return JSON.parse(gunzipSync(Buffer.from(packed, "base64")).toString("utf8")) as PageData;
}

test("a page names nothing outside, and cannot be broken out of", () => {
  const html = pageHtml("<b>", "QUJD", "const a = '</script>';");
  expect(html).toContain("&#60;b&#62; · Gyre");
  expect(html.match(/<\/script>/g)!.length).toBe(2);
  expect(html).toContain("default-src 'none'");
});

describe.runIf(existsSync(join(root, "dist/inspector.js")))("the page's file", () => {
  test("inspect --html writes one, small and from nothing outside", async () => {
    const path = join(folder(), "ring.html");
    const { code, out, err } = await gyre("inspect", example, ...sizes, "--html", path);
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(err).toContain("ring.html: open it in a browser");
    const html = readFileSync(path, "utf8");
    expect(html.length).toBeLessThan(300_000);
    expect(html).not.toMatch(/(src|href)="/);
    const data = dataIn(path);
    expect(data.schedule.name).toBe("attention");
    expect(data.measured).toBeUndefined();
  });

  test("with --json it prints the schedule as well", async () => {
    const path = join(folder(), "ring.html");
    const { out } = await gyre("inspect", example, ...sizes, "--html", path, "--json");
    expect(JSON.parse(out).name).toBe("attention");
  });

  test("run --report has what was measured, under the schedule's own names", async () => {
    const path = join(folder(), "run.html");
    const { code, err } = await gyre("run", example, ...sizes, "--backend", "webgpu", "--report", path);
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    const data = dataIn(path);
    const model = modelOf(data, machinesOf(data)[0]!);
    expect(data.measured!.names.length).toBeGreaterThan(3);
    expect(model.run!.spans.length).toBe(data.measured!.name.length);
    expect(new Set(model.run!.spans.map((s) => s.device)).size).toBe(4);
    expect(model.runPath.size).toBeGreaterThan(2);
    for (const i of model.runPath) for (const n of model.run!.needs(i)) expect(model.run!.spans[n]).toBeDefined();
  });

  test("on the reference there is nothing to measure, and the page shows the program", async () => {
    const path = join(folder(), "reference.html");
    const { code } = await gyre("run", example, ...sizes, "--backend", "reference", "--report", path);
    expect(code).toBe(0);
    expect(dataIn(path).measured).toBeUndefined();
  });
});
