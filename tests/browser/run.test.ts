/** A page that compiles a program and runs it on the threads of the CPU, by the package's own door for pages. */
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { open as openHere } from "../../runtime/api.ts";
import { browser, lacking } from "./browser.ts";

const root = resolve(import.meta.dirname, "../..");
const example = "examples/05-ring-attention.gyre";
const sizes = { dims: { B: 1, S: 64, H: 2, D: 16 }, meshSizes: { sp: 4 } };
const input = (seed: number): number[] => Array.from({ length: 64 * 2 * 16 }, (_, i) => Math.sin(seed + 0.37 * i));

/** The files of the page's own: the door, the program, the standard library. */
const texts = Object.fromEntries(
  readdirSync(join(root, "stdlib"))
    .filter((name) => name.endsWith(".gyre"))
    .map((name) => [`gyre/${name.slice(0, -5)}`, readFileSync(join(root, "stdlib", name), "utf8")])
    .concat([[example, readFileSync(join(root, example), "utf8")]]),
);
const page = `<!doctype html><script type="module">
import { compile, open } from "/browser.js";
const texts = ${JSON.stringify(texts)};
const { compiled, diagnostics } = compile("${example}", (path) => texts[path], { target: "cpu", ...${JSON.stringify(sizes)} });
if (!compiled) throw new Error(JSON.stringify(diagnostics));
window.run = async (inputs) => {
  const session = await open({ devices: 4 });
  const program = await session.load(compiled);
  const given = Object.fromEntries(Object.entries(inputs).map(([name, data]) => [name, new Float32Array(data)]));
  const { "": out } = await program.run(given);
  const { data } = await out.read();
  session.close();
  return [...data];
};
window.refused = () => open().then(() => "opened", (error) => error.message);
</script>`;

describe.skipIf(lacking)("in a page", () => {
  const visit = browser();
  let server: ReturnType<typeof createServer>;
  let isolated = true;
  beforeAll(async () => {
    server = createServer(({ url }, answer) => {
      if (isolated) {
        answer.setHeader("Cross-Origin-Opener-Policy", "same-origin");
        answer.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
      }
      answer.setHeader("Content-Type", url === "/browser.js" ? "text/javascript" : "text/html");
      answer.end(url === "/browser.js" ? readFileSync(join(root, "dist/browser.js")) : url === "/" ? page : "");
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  });
  afterAll(() => void server.close());
  const opened = async () => {
    const all = await visit(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await all.page.waitForFunction("window.run !== undefined");
    return all;
  };

  test("ring attention on four devices is what it is in Node", async () => {
    const inputs = { q: input(1), k: input(2), v: input(3) };
    isolated = true;
    const { page, errors } = await opened();
    const there = (await page.evaluate(`run(${JSON.stringify(inputs)})`)) as number[];
    expect(errors).toEqual([]);

    const { compiled } = compile(join(root, example), readSource, { target: "cpu", ...sizes });
    const session = await openHere({ backend: "cpu", devices: 4 });
    const program = await session.load(compiled!);
    const { "": out } = await program.run({
      q: Float32Array.from(inputs.q),
      k: Float32Array.from(inputs.k),
      v: Float32Array.from(inputs.v),
    });
    const { data } = await out!.read();
    session.close();
    expect(there.length).toBe(data.length);
    const off = there.reduce((most, x, i) => Math.max(most, Math.abs(x - Number(data[i]))), 0);
    expect(off).toBeLessThan(1e-6);
    expect(there.every(Number.isFinite)).toBe(true);
  });

  test("a page without shared memory is told what to serve", async () => {
    isolated = false;
    const { page } = await opened();
    expect(await page.evaluate("refused()")).toMatch(/not cross-origin isolated/);
  });
});
