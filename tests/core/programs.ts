/** Small helpers for tests of Core: random numbers that repeat, and arrays made of them. */
import { type NDArray, tabulate } from "../../compiler/core/ndarray.ts";

/** Numbers in [-0.5, 0.5) that depend on the seed alone. */
export function random(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}
export const randomArray = (seed: number, ...shape: number[]): NDArray => tabulate("f32", shape, random(seed));
/** Small whole numbers as floats: their sums are exact in any order. */
export function wholeArray(seed: number, ...shape: number[]): NDArray {
  const next = random(seed);
  return tabulate("f32", shape, () => Math.floor(next() * 200));
}
export const numbers = (x: NDArray | undefined): number[] => Array.from(x!.data);
