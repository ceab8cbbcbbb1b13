/** Kernels hand values round only where they may. */
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { ndarray } from "../../compiler/core/ndarray.ts";
import { emitWgsl } from "../../compiler/emit/wgsl.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { softwareTarget } from "../../compiler/lane/map.ts";
import type { CompileOptions } from "../../compiler/options.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { interpret } from "./interpret.ts";
import { dice } from "./random.ts";

const texts = (options: CompileOptions): string => {
  const dims = { B: 1, S: 64, H: 1, D: 16 };
  const { compiled } = compile("examples/05-ring-attention.gyre", readSource, { ...options, dims });
  return compiled!.kernels.map((k) => k.text).join("\n");
};

test("on a software adapter with subgroups, rows are loaded once for four threads", () => {
  expect(texts({})).toContain("quadSwapX(");
});
test("without subgroups, and on a GPU, no kernel asks for them", () => {
  for (const options of [{ subgroups: false }, { target: "gpu" } as const]) {
    expect(texts(options)).not.toContain("quadSwapX(");
    expect(texts(options)).not.toContain("enable subgroups");
  }
});

/** Threads as a device may put them into subgroups of `size`: in a row, strided, backwards, in any order. */
function seatings(threads: number, size: number): readonly (readonly number[])[] {
  const all = Array.from({ length: threads }, (_, t) => t);
  const groups = Math.max(1, Math.ceil(threads / size));
  const strided = [...all].sort((a, b) => (a % groups) - (b % groups) || a - b);
  const d = dice(size);
  const any = all.map((t) => ({ t, key: d.below(1e9) })).sort((a, b) => a.key - b.key);
  return [all, strided, [...all].reverse(), any.map(({ t }) => t)];
}
/** A fold over keys whose rows are handed round, and a product, mapped to so many threads. */
function kernelsFor(threads: number, spread: boolean, text = source) {
  const read = (path: string) => (path === "k.gyre" ? text : readSource(path));
  const { compiled } = compile("k.gyre", read, { dims: { S: threads, D: 4 } });
  const target = { ...softwareTarget, threads, spread, rows: 1, columns: 4 };
  return compiled!.tile.kernels.map((k) => ({ k, lane: lowerKernel(k, chooseMapping(k, target)) }));
}
const source = `mesh one(x: 1)
export shard_map f<S, D>(q: f32[S, D] @ P(_, _), k: f32[S, D] @ P(_, _), w: f32[D, D] @ P(_, _)) -> f32[S, D] @ P(_, _) on one {
  let a = tiles i in S by 8 into [i, :] {
    fold j in S by 8 with o = 0.0 * q[i, :] { o + (q[i, :] @ k[j, :].T) @ k[j, :] }
  }
  a @ w
}`;
const values = (seed: number, shape: readonly number[]): Float64Array => {
  const d = dice(seed);
  return Float64Array.from({ length: shape.reduce((n, m) => n * m, 1) }, () => d.below(3) - 1);
};

test.each([4, 8, 16, 32, 64, 128])("subgroups of %i, however threads are seated in them, change nothing", (size) => {
  for (const { k, lane } of kernelsFor(size, true)) {
    expect(emitWgsl(lane).text).toMatch(/quad(Broadcast|SwapX)\(/);
    const arrays = k.buffers.map((b, i) => ndarray(b.dtype, b.shape, values(i, b.shape)));
    const expected = [...evalKernel(k, arrays, []).at(-1)!.data];
    for (const order of seatings(lane.threads, size))
      expect([...interpret(lane, arrays, [], order).at(-1)!.data].map((x) => x + 0)).toEqual(
        expected.map((x) => x + 0),
      );
  }
});
test("without subgroups, the same kernels load for themselves", () => {
  for (const { lane } of kernelsFor(16, false)) expect(emitWgsl(lane).text).not.toMatch(/quad|subgroup/);
});

test("truths are handed round as numbers: WGSL exchanges no others", () => {
  const masked = `mesh one(x: 1)
export shard_map f<S, D>(w: f32[D, S] @ P(_, _), keep: bool[S, D] @ P(_, _)) -> f32[D, D] @ P(_, _) on one {
  w @ cast(keep, f32)
}`;
  const text = kernelsFor(16, true, masked)
    .map(({ lane }) => emitWgsl(lane).text)
    .join("\n");
  expect(text).toMatch(/= \(quad(Broadcast|SwapX)\((u32|vec4<u32>)\(keep\w*\)(, 0u)?\) != /);
});
