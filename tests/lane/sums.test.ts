/**
 * Kernels that join things along axes, by teams: they mean what they meant, whatever way their axes are dealt out; and what GPUs
 * behind WebGPU like of them, by count.
 */
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile, type Variants } from "../../compiler/compile.ts";
import { bytesEach } from "../../compiler/core/dtype.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { emitWgsl } from "../../compiler/emit/wgsl.ts";
import { check } from "../../compiler/lane/check.ts";
import type { LaneProgram } from "../../compiler/lane/ir.ts";
import type { MappingChoice } from "../../compiler/lane/map.ts";
import { lowerPlan } from "../../compiler/lane/team/lower.ts";
import { planFor, rankedWays, type SumPlan, sumPlans } from "../../compiler/lane/team/sums.ts";
import { blockTarget, type TeamTarget, tensorTarget } from "../../compiler/lane/team/target.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel } from "../../compiler/tile/ir.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { random } from "../core/programs.ts";
import { interpret } from "./interpret.ts";
import { dice, randomKernel } from "./random.ts";
import { bytesMoved } from "./sectors.ts";

const runs = Number(process.env.LANE_RUNS ?? 16);

/** CUDA's, and what is behind WebGPU: with large subgroups, with small ones, and without. */
const targets: readonly TeamTarget[] = [
  tensorTarget,
  ...[1, 4, 8, 32].map((exchange) => ({ ...blockTarget, exchange })),
];

/** The best way, and another; undefined where there is no rule. */
function expectKept(seed: number, size: number, target: TeamTarget): number {
  const { kernel, buffers, scalars } = randomKernel(seed, size);
  const expected = evalKernel(kernel, buffers, scalars).map((x) => [...x.data].map((n) => n + 0));
  const ways = rankedWays(deriveBounds(kernel), target);
  if (ways.length === 0) return 0;
  let made = 0;
  for (const { kernel: k, way } of [ways[0]!, dice(seed).pick(ways)]) {
    const plan = planFor(k, target, way);
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
  for (let seed = 0; seed < runs; seed++) made += expectKept(seed, 4 + (seed % 10), targets[seed % targets.length]!);
  expect(made).toBeGreaterThan(runs / 2);
}, 120_000);

const source = `import { rms_norm, layer_norm, softmax, cross_entropy } from "gyre/nn"
mesh one(x: 1)
export shard_map rows<M, N>(a: f32[M, N] @ P(_, _)) -> f32[M] @ P(_) on one { sum(a * a, dim = 1) }
export shard_map whole<N>(a: f32[N] @ P(_)) -> f32 @ P() on one { sum(a * a) }
export shard_map columns<M, N>(a: f32[M, N] @ P(_, _)) -> f32[N] @ P(_) on one { max(a, dim = 0) }
export shard_map weights<M, N>(a: f32[M, N] @ P(_, _)) -> f32[M, N] @ P(_, _) on one { softmax(a) }
export shard_map norm<M, N>(a: f16[M, N] @ P(_, _), w: f16[N] @ P(_)) -> f16[M, N] @ P(_, _) on one { rms_norm(a, w) }
export shard_map running<M, N>(a: f32[M, N] @ P(_, _)) -> f32[M, N] @ P(_, _) on one { cumsum(a, dim = 1) }
export shard_map place<M, N>(a: f32[M, N] @ P(_, _)) -> i32[M] @ P(_) on one { argmax(a, dim = 1) }
export shard_map turned<M, N>(a: f32[M, N] @ P(_, _)) -> f32[N, M] @ P(_, _) on one { exp(a.T) }
export shard_map scaled<M, N>(a: f32[M, N] @ P(_, _), b: f32[N] @ P(_)) -> f32[M, N] @ P(_, _) on one { a * b }
export shard_map named<M, N>(load_1: f32[M, N] @ P(_, _)) -> f32[M] @ P(_) on one { sum(cumsum(load_1, dim = 0) * load_1, dim = 1) }
export shard_map norm_gradient<M, N>(a: f32[M, N] @ P(_, _), w: f32[N] @ P(_), g: f32[M, N] @ P(_, _)) -> f32[M, N] @ P(_, _) on one {
  let (y, pull) = vjp(|a| layer_norm(a, w, 0 * w), a)
  pull(g)
}`;
const read = (p: string): string | undefined => (p === "sums.gyre" ? source : readSource(p));

/** `over`: bytes of touched sectors for each byte of the arrays; `barriers`: where 32 threads exchange, 4, or none. */
const cases = [
  ["rows", { M: 32, N: 512 }, 1.03, [0, 1, 2]],
  ["whole", { N: 16384 }, 1.06, [0, 1, 3]],
  ["columns", { M: 64, N: 512 }, 1.01, [0, 1, 1]],
  ["weights", { M: 8, N: 512 }, 1, [0, 2, 4]],
  ["norm", { M: 8, N: 512 }, 1.45, [0, 1, 2]],
  ["running", { M: 2, N: 1024 }, 1, [1, 2, 2]],
  ["place", { M: 4, N: 1024 }, 1.02, [0, 1, 2]],
  ["turned", { M: 64, N: 64 }, 1.5, [0, 0, 0]],
  ["scaled", { M: 32, N: 64 }, 1.3, [0, 0, 0]],
  ["norm_gradient", { M: 8, N: 256 }, 1.5, [0, 4, 8]],
] as const;
test.each(cases)("%s %o as GPUs behind WebGPU like it", (entry, dims, over, barriers) => {
  const made = [32, 4, false].map(
    (subgroups) => compile("sums.gyre", read, { entry, dims, target: "gpu", subgroups }).compiled!,
  );
  const count = ({ body }: LaneProgram): number => JSON.stringify(body).split('"kind":"barrier"').length - 1;
  expect(made.map(({ lanes }) => lanes.reduce((n, p) => n + count(p), 0))).toEqual(barriers);
  const { lanes, tile } = made[1]!;
  const next = random(3);
  let [moved, needed] = [0, 0];
  for (const [i, program] of lanes.entries()) {
    const { buffers } = tile.kernels[i]!;
    const contents = buffers.map((b) => tabulate(b.dtype, b.shape, () => Math.round(8 * next()) / 4));
    needed += buffers.reduce((n, b) => n + b.shape.reduce((x, y) => x * y, bytesEach(b.dtype)), 0);
    interpret(program, contents, [], undefined, undefined, (_, traffic) => {
      moved += bytesMoved(traffic);
    });
  }
  expect(moved / needed).toBeLessThanOrEqual(over);
});

test.each([1, 4, 32])("a running sum longer than registers are, where %i threads exchange", (exchange) => {
  const { compiled } = compile("sums.gyre", read, { entry: "running", dims: { M: 2, N: 2500 }, target: "gpu" });
  const [kernel] = compiled!.tile.kernels as [Kernel];
  const [plan] = sumPlans(kernel, { ...blockTarget, threads: 64, exchange }).all as [SumPlan];
  expect(plan.spills).toBe(true);
  const program = lowerPlan(plan);
  expect(check(program)).toEqual([]);
  expect(emitWgsl(program).text.length).toBeLessThan(6000);
  const contents = kernel.buffers.map((b) => tabulate(b.dtype, b.shape, (n) => (n * 7) % 5));
  const after = interpret(program, contents, []).at(-1)!;
  expect([...after.data]).toEqual([...evalKernel(kernel, contents, [])[0]!.data]);
});
test("a running sum over a length of few divisors is one kernel, each row by a team", () => {
  const { compiled } = compile("sums.gyre", read, {
    entry: "running",
    dims: { M: 64, N: 50257 },
    target: "gpu",
    subgroups: 32,
  });
  expect(compiled!.lanes.map(({ groups, threads }) => [groups, threads])).toEqual([[64, 256]]);
});

test("ways to deal out axes, and threads alone, are mappings that can be asked for", () => {
  const options = { entry: "weights", dims: { M: 64, N: 512 }, target: "gpu", subgroups: 32 } as const;
  const { compiled } = compile("sums.gyre", read, options);
  const [{ key, all }] = compiled!.variants() as [Variants];
  expect(all[0]!.make().kernel.text).toBe(compiled!.kernels[0]!.text);
  const [other, alone] = [all[3]!, all.find(({ choice }) => choice.team === null)!];
  for (const variant of [other, alone]) {
    const mappings = { [key]: JSON.parse(JSON.stringify(variant.choice)) as MappingChoice };
    const made = compile("sums.gyre", read, { ...options, mappings }).compiled!;
    expect(made.kernels[0]!.text).toBe(variant.make().kernel.text);
    expect(made.kernels[0]!.text).not.toBe(compiled!.kernels[0]!.text);
  }
});

test("what is written out takes no name of an array", () => {
  const { compiled } = compile("sums.gyre", read, { entry: "named", dims: { M: 64, N: 512 }, target: "gpu" });
  // What is loaded of the running sum is called `load`, and by other names in each round that is written out.
  const { text } = compiled!.kernels[1]!;
  const names = [...text.matchAll(/(?:let|var(?:<[^>]*>)?) (\w+)/g)].map(([, name]) => name);
  expect(names).toContain("load_1");
  expect(new Set(names).size).toBe(names.length);
});
