/** Kernels that join things along axes, by teams: they mean what they meant, whatever way their axes are dealt out. */
import { expect, test } from "vitest";
import { check } from "../../compiler/lane/check.ts";
import { lowerPlan } from "../../compiler/lane/team/lower.ts";
import { planFor, rankedWays } from "../../compiler/lane/team/sums.ts";
import { tensorTarget } from "../../compiler/lane/team/target.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { interpret } from "./interpret.ts";
import { dice, randomKernel } from "./random.ts";

const runs = Number(process.env.LANE_RUNS ?? 16);

/** The best way, and another; undefined where there is no rule. */
function expectKept(seed: number, size: number): number {
  const { kernel, buffers, scalars } = randomKernel(seed, size);
  const expected = evalKernel(kernel, buffers, scalars).map((x) => [...x.data].map((n) => n + 0));
  const ways = rankedWays(deriveBounds(kernel));
  if (ways.length === 0) return 0;
  let made = 0;
  for (const { kernel: k, way } of [ways[0]!, dice(seed).pick(ways)]) {
    const plan = planFor(k, tensorTarget, way);
    if (typeof plan === "string") continue;
    const program = lowerPlan(plan);
    const what = `seed ${seed}\n${program.notes.join("\n")}\n${printKernel(kernel)}`;
    expect(check(program), what).toEqual([]);
    const after = interpret(program, buffers, scalars).filter((_, i) => kernel.buffers[i]!.access !== "read");
    expect(
      after.map((x) => [...x.data].map((n) => n + 0)),
      what,
    ).toEqual(expected);
    made++;
  }
  return made;
}

test("random kernels", () => {
  let made = 0;
  for (let seed = 0; seed < runs; seed++) made += expectKept(seed, 4 + (seed % 10));
  expect(made).toBeGreaterThan(runs / 2);
}, 120_000);
