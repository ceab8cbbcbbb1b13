/** Lowering keeps the meaning of kernels, whatever they are mapped for, and whether their masks' bounds are used or not. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { gpuTarget, type MapTarget, softwareTarget } from "../../compiler/lane/map.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { checkKernel } from "../../compiler/tile/check.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { interpret } from "./interpret.ts";
import { type Case, randomKernel, randomTarget } from "./random.ts";

/** What a kernel's threads leave in its outputs. */
function lowered({ kernel, buffers, scalars }: Case, target: MapTarget, bounds: boolean): readonly number[][] {
  const k = bounds ? deriveBounds(kernel) : kernel;
  const after = interpret(lowerKernel(k, chooseMapping(k, target)), buffers, scalars);
  return after.flatMap((x, i) => (kernel.buffers[i]!.access === "read" ? [] : [[...x.data].map((n) => n + 0)]));
}
function expectKept(c: Case, targets: readonly MapTarget[]): void {
  expect(checkKernel(c.kernel), printKernel(c.kernel)).toEqual([]);
  const expected = evalKernel(c.kernel, c.buffers, c.scalars).map((x) => [...x.data].map((n) => n + 0));
  for (const target of targets)
    for (const bounds of [false, true])
      expect(lowered(c, target, bounds), `${JSON.stringify(target)}\n${printKernel(c.kernel)}`).toEqual(expected);
}

test("random kernels on random machines", () => {
  fc.assert(
    fc.property(fc.nat(1e6), fc.integer({ min: 4, max: 16 }), (seed, size) => {
      expectKept(randomKernel(seed, size), [softwareTarget, gpuTarget, randomTarget(seed)]);
    }),
    { numRuns: Number(process.env.LANE_RUNS ?? 60), seed: Number(process.env.LANE_SEED ?? 3), endOnFailure: true },
  );
}, 120_000);

/** Of the law's own finds: re-indexing, reductions in their own loops and beside other folds', scans, masks over fewer axes. */
test.each([
  [32, 6],
  [1101, 10],
  [1228, 10],
  [80084, 8],
  [140036, 14],
  [140194, 14],
  [200066, 20],
  [200306, 20],
  [300534, 30],
  [300557, 30],
])("kernel %i of about %i values", (seed, size) => {
  expectKept(randomKernel(seed, size), [softwareTarget, gpuTarget]);
});
