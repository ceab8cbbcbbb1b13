/** What the laws share: running a program of a few lines, and masks of the library at random. */
import fc from "fast-check";
import { expect } from "vitest";
import { type Backend, type Choices, type Inputs, open } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

/** How far apart two computations of the same may be: the reference interpreter computes in float64, kernels in f32. */
export const tolerance = (backend: Backend): number => (backend.exact ? 1e-9 : 1e-5);

const path = new URL("law.gyre", import.meta.url).pathname;
/** One result for each path, with the inputs of seed 0 where `inputs` has none. */
export async function results(
  backend: Backend,
  text: string,
  choices: Choices,
  inputs: Inputs = {},
): ReturnType<Backend["run"]> {
  const program = await open(path, text, choices);
  return backend.run(program, program.inputs(inputs));
}
type Found = Awaited<ReturnType<Backend["run"]>>;

/** `a` and `b` have the same results, but for rounding. */
export function expectSame(a: Found, b: Found, bound: number): void {
  expect([...a.keys()]).toEqual([...b.keys()]);
  for (const [name, { shape, data }] of b) {
    expect(a.get(name)!.shape, `shape of '${name}'`).toEqual(shape);
    expect(relativeError(a.get(name)!.data, data), `relative error of '${name}'`).toBeLessThan(bound);
  }
}

const small = fc.integer({ min: 1, max: 20 });
/** Masks of the library, and combinations of them; they read an input `ids: i32[B, S]`. */
export const masks: fc.Arbitrary<string> = fc.letrec<{ mask: string; leaf: string }>((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom("causal()", "same_segment(ids)", "|q, k, b, h| q >= k || h == 1"),
    small.map((n) => `causal(block = ${n})`),
    small.map((n) => `sliding_window(${n})`),
    small.map((n) => `prefix(${n})`),
  ),
  mask: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    tie("leaf"),
    tie("mask").map((a) => `negate(${a})`),
    fc.tuple(tie("mask"), tie("leaf")).map(([a, b]) => `all_of(${a}, ${b})`),
    fc.tuple(tie("mask"), tie("leaf")).map(([a, b]) => `any_of(${a}, ${b})`),
  ),
})).mask;
export const maskImports = "causal, sliding_window, prefix, same_segment, all_of, any_of, negate";
/** Packed documents of different lengths in each row of a batch. */
export const ids = (...[b, s]: number[]): number => Math.floor(s! / (7 + b!));
