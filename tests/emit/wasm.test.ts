/** Kernels as WebAssembly: random ones, arrays of every dtype among them, against the meaning of their Tile programs. */
import { expect, test } from "vitest";
import { choiceOf } from "../../compiler/lane/allowed.ts";
import { check } from "../../compiler/lane/check.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { chooseSimd, cpuTarget, type SimdTarget } from "../../compiler/lane/chooseSimd.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import type { Mapping } from "../../compiler/lane/map.ts";
import { givenSimd, rankSimd } from "../../compiler/lane/rankSimd.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { randomKernel, randomTarget } from "../lane/random.ts";
import { runWasm } from "./run-wasm.ts";

function expectKept(seed: number, size: number, choose: (kernel: Kernel) => Mapping): void {
  const { kernel, buffers, scalars } = randomKernel(seed, size, true);
  const expected = evalKernel(kernel, buffers, scalars);
  const bounded = deriveBounds(kernel);
  const mapping = choose(bounded);
  const program = lowerKernel(bounded, mapping);
  expect(check(program)).toEqual([]);
  const after = runWasm(program, buffers, scalars);
  const written = after.filter((_, k) => kernel.buffers[k]!.access !== "read");
  for (const [k, x] of written.entries())
    expect(
      [...x.data].map((n) => n + 0),
      `${seed} ${x.dtype} ${program.notes.join("; ")}\n${printKernel(kernel)}`,
    ).toEqual([...expected[k]!.data].map((n) => n + 0));
}

const runs = Number(process.env.LANE_RUNS ?? 100);
/** Small registers and chunks make many rounds, and large ones few. */
const machines: readonly SimdTarget[] = [
  cpuTarget,
  { simd: 4, sums: 4, block: 4, chunk: 1, panel: 64, rounds: 2 },
  { simd: 4, sums: 12, block: 16, chunk: 7, panel: 4096, rounds: 3 },
];
for (const [k, machine] of machines.entries())
  test(`random kernels, as ${JSON.stringify(machine)} maps them`, () => {
    for (let seed = 0; seed < runs; seed++)
      expectKept(1000 * k + seed, 4 + (seed % 9), (kernel) => chooseSimd(kernel, machine));
  });
test("random kernels, as random machines without SIMD would", () => {
  for (let seed = 5000; seed < 5000 + runs; seed++)
    expectKept(seed, 7, (kernel) => chooseMapping(kernel, { ...randomTarget(seed), spread: false }));
});
test("random kernels, in all the ways that a tuner tries", () => {
  for (let seed = 7000; seed < 7000 + runs / 4; seed++) {
    const { kernel } = randomKernel(seed, 8, true);
    const [first, ...others] = rankSimd(deriveBounds(kernel), cpuTarget, chooseSimd);
    expect(choiceOf(first!), "the default is the first").toEqual(choiceOf(chooseSimd(deriveBounds(kernel), cpuTarget)));
    for (const m of others.slice(0, 4))
      expectKept(seed, 8, (k) => {
        const again = givenSimd(k, JSON.parse(JSON.stringify(choiceOf(m))));
        expect(again, "a choice that was kept is taken again").toEqual(m);
        return m;
      });
  }
});
