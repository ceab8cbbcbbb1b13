/**
 * Kernels for teams of threads as CUDA C++, on the stand-in: every schedule of threads, copies early and late, shared
 * memory that begins as NaN. All of wide.ts with `npm run test:cuda -- --stand-in`, which takes minutes; else a few.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compile } from "../../compiler/compile.ts";
import { type NDArray, tabulate } from "../../compiler/core/ndarray.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { random } from "../core/programs.ts";
import { launch } from "../lane/device.ts";
import { devices } from "./device.ts";
import { standIn } from "./stand-in.ts";
import { type Case, few, wide } from "./wide.ts";

const read = (p: string): string =>
  readFileSync(p.startsWith("gyre/") ? new URL(`../../stdlib/${p.slice(5)}.gyre`, import.meta.url) : p, "utf8");

/** The largest error of each result of each kernel, as a part of its largest number. */
async function errors({ file, entry, dims, mesh, dtype }: Case, schedule: number) {
  const path = new URL(`../../${file}`, import.meta.url).pathname;
  const from = (p: string): string =>
    dtype === "f32" && p === path ? read(p).replace(/\b(bf16|f16)\b/g, "f32") : read(p);
  const { compiled, diagnostics } = compile(path, from, { entry, dims, meshSizes: mesh ?? {}, target: "cuda" });
  expect(diagnostics).toEqual([]);
  const [device] = await devices(1, { schedule });
  const found: { readonly of: string; readonly error: number }[] = [];
  for (const [i, k] of compiled!.tile.kernels.entries()) {
    const program = compiled!.lanes[i]!;
    if (program.notes.some((n) => n.startsWith("each thread alone"))) continue;
    const next = random(11);
    // Eighths: exact in 16 bits. What a launch writes begins as zeros.
    const one = (dtype: string): number =>
      dtype === "bool" ? +(next() > 0) : dtype === "i32" ? Math.floor((next() + 0.5) * 3) : Math.round(next() * 16) / 8;
    const buffers = k.buffers.map((b) => tabulate(b.dtype, b.shape, () => (b.access === "read" ? one(b.dtype) : 0)));
    const scalars = k.scalars.map(() => 0);
    const expected = evalKernel(k, buffers, scalars);
    const after = (await launch(device!, program, buffers, scalars)).filter((_, b) => k.buffers[b]!.access !== "read");
    for (const [r, x] of after.entries())
      found.push({ of: `result ${r} of ${k.name}\n${program.notes.join("\n")}`, error: worst(x, expected[r]!) });
  }
  expect(found.length).toBeGreaterThan(0);
  return found;
}
/** NaN where numbers are not finite, and not the same. */
function worst(x: NDArray, expected: NDArray): number {
  const largest = [...expected.data].reduce((n, e) => (Number.isFinite(e) ? Math.max(n, Math.abs(e)) : n), 1e-30);
  let worst = 0;
  x.data.forEach((v, at) => {
    const e = expected.data[at]!;
    const error = Object.is(v + 0, e + 0) ? 0 : Math.abs(v - e) / largest;
    if (!(error <= worst)) worst = error;
  });
  return worst;
}

const bounds = { "16 bits": 1e-2, f32: 3e-5 } as const;
const chosen = process.env.GYRE_WIDE ? [...few, ...wide] : few;
// Each in turn under another schedule of threads and copies.
test.skipIf("why" in standIn).each(chosen.map((c, k) => [c.file, c.entry, c.dims, c.dtype, k % 4, c] as const))(
  "%s %s %o in %s, schedule %i",
  async (_file, _entry, _dims, dtype, schedule, c) => {
    for (const { of, error } of await errors(c, schedule)) expect(error, of).toBeLessThan(bounds[dtype]);
  },
  600_000,
);
