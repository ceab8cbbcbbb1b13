/**
 * Kernels for teams of threads as CUDA C++, on the stand-in: every schedule of threads, copies early and late, shared
 * memory that begins as NaN.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compile } from "../../compiler/compile.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { random } from "../core/programs.ts";
import { launch } from "../lane/device.ts";
import { devices } from "./device.ts";
import { standIn } from "./stand-in.ts";

const path = new URL("../lane/team.gyre", import.meta.url).pathname;
const read = (p: string): string =>
  readFileSync(p.startsWith("gyre/") ? new URL(`../../stdlib/${p.slice(5)}.gyre`, import.meta.url) : p, "utf8");
const inF32 = (p: string): string => (p === path ? read(p).replace(/\b(bf16|f16)\b/g, "f32") : read(p));

/** The largest error of each result, as a part of its largest number. */
async function errors(entry: string, dims: Readonly<Record<string, number>>, from: typeof read, schedule: number) {
  const { compiled } = compile(path, from, { entry, dims, target: "cuda" });
  const [device] = await devices(1, { schedule });
  const found: number[] = [];
  for (const [i, k] of compiled!.tile.kernels.entries()) {
    const program = compiled!.lanes[i]!;
    if (!program.body.some((s) => s.kind === "shared")) continue;
    const next = random(11);
    // Eighths: exact in 16 bits. What a launch writes begins as zeros.
    const one = (dtype: string): number =>
      dtype === "i32" ? Math.floor((next() + 0.5) * 3) : Math.round(next() * 16) / 8;
    const buffers = k.buffers.map((b) => tabulate(b.dtype, b.shape, () => (b.access === "read" ? one(b.dtype) : 0)));
    const scalars = k.scalars.map(() => 0);
    const expected = evalKernel(k, buffers, scalars);
    const after = (await launch(device!, program, buffers, scalars)).filter((_, b) => k.buffers[b]!.access !== "read");
    for (const [r, x] of after.entries()) {
      const largest = Math.max(...[...expected[r]!.data].map(Math.abs));
      let worst = 0;
      x.data.forEach((v, at) => {
        const error = Math.abs(v - expected[r]!.data[at]!) / largest;
        if (!(error <= worst)) worst = error;
      });
      found.push(worst);
    }
  }
  expect(found.length).toBeGreaterThan(0);
  return found;
}

// Each in turn under another schedule of threads and copies.
const cases: readonly (readonly [entry: string, dims: Readonly<Record<string, number>>, dtype: "16 bits" | "f32"])[] = [
  ["product", { M: 24, N: 40, K: 136 }, "16 bits"],
  ["transposed", { M: 19, N: 18, K: 21 }, "16 bits"],
  ["feedforward", { B: 1, S: 16, E: 16, F: 32 }, "16 bits"],
  ["causal_attention", { B: 1, S: 24, H: 2, G: 1, D: 16 }, "16 bits"],
  ["packed_attention", { B: 1, S: 24, H: 1, D: 16 }, "16 bits"],
  ["heads", { B: 1, S: 24, H: 3, D: 16, E: 32 }, "f32"],
  ["sigmoid_weights", { B: 1, S: 24, H: 1, D: 16 }, "f32"],
];
test.skipIf("why" in standIn).each(cases.map((c, k) => [...c, k % 4] as const))(
  "%s %o in %s, schedule %i",
  async (entry, dims, dtype, schedule) => {
    const [from, bound] = dtype === "f32" ? [inF32, 1e-5] : [read, 1e-2];
    for (const e of await errors(entry, dims, from, schedule)) expect(e).toBeLessThan(bound);
  },
);
