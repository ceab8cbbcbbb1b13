/**
 * Every message of the checker, as its user sees it. `errors.expect.md` is the golden of all pictures: its diff is what a
 * change of wording or of place looks like.
 */
import { describe, expect, test } from "vitest";
import { checkMessages } from "../../compiler/base/checkMessages.ts";
import { derivativeMessages } from "../../compiler/base/derivativeMessages.ts";
import { renderDiagnostics } from "../../compiler/base/diagnostic.ts";
import { checkFiles, elaborateEntry, entrySignature, inferDims } from "../../compiler/core/elaborate.ts";
import { type Case, cases } from "./cases.ts";

const run = (c: Case) => {
  const files: Readonly<Record<string, string>> = { "main.gyre": c.source, ...c.files };
  const read = (path: string) => files[path];
  return c.compile ? elaborateEntry("main.gyre", read, c.compile).diagnostics : checkFiles(["main.gyre"], read);
};

describe("each message", () => {
  for (const [i, c] of cases.entries())
    test(`${c.code} (${i})`, () => {
      const diagnostics = run(c);
      expect(diagnostics.map((d) => d.code)).toContain(c.code);
      // One mistake, one message: what follows from it is silent.
      expect(new Set(diagnostics.map((d) => d.code))).toEqual(new Set([c.code]));
    });
});

test("pictures", async () => {
  const pictures = cases.map((c) => `## ${c.code}\n\n\`\`\`\n${renderDiagnostics(run(c))}\n\`\`\`\n`);
  await expect(`# What the checker says\n\n${pictures.join("\n")}`).toMatchFileSnapshot("errors.expect.md");
});

test("every code of the checker has a program that provokes it", () => {
  const elsewhere = ["GY8001"];
  const provoked = new Set([...cases.map((c) => c.code), ...elsewhere]);
  const ours = [...Object.keys(checkMessages), ...Object.keys(derivativeMessages)];
  expect(ours.filter((c) => !provoked.has(c))).toEqual([]);
});

test("GY8001: shapes of inputs that contradict the signature", () => {
  const source =
    "mesh ring(sp: 2)\nexport shard_map main<N>(x: f32[N, 2*N] @ P(sp, _), y: f32[N] @ P(sp)) -> f32[N] @ P(sp) on ring { y }";
  const { signature } = entrySignature("main.gyre", () => source);
  expect(inferDims(signature!, { x: [4, 8] }).dims).toEqual({ N: 4 });
  const { diagnostics } = inferDims(signature!, { x: [4, 8], y: [5] });
  expect(diagnostics.map((d) => `${d.code} ${d.message}`)).toEqual([
    "GY8001 input `y` has shape `[5]`, but `[N]` is needed (where `N = 4`)",
  ]);
  expect(inferDims(signature!, { x: [4] }).diagnostics).toHaveLength(1);
});

test("a mesh that is missing is told by the parser alone", () => {
  const source =
    "mesh ring(sp: 4)\nshard_map main<N>(x: f32[N] @ P(_)) -> (f32[N], f32[N]) @ (P(_), P(_)) on ring { (x, x) }";
  expect(run({ code: "", source }).map((d) => d.code)).toEqual(["GY1102"]);
});

test("of a line that could not be read, the checker says nothing", () => {
  const source = "fn f(x: f32) {\n  let y = (a) => a * 2\n  y + missing\n}";
  expect(run({ code: "", source }).map((d) => d.code)).toEqual(["GY1101", "GY2001"]);
  // What was read as what was meant is checked.
  expect(run({ code: "", source: "fn f(x: bool) = x and missing" }).map((d) => d.code)).toEqual(["GY1008", "GY2001"]);
});
