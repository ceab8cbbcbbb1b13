/**
 * Trials: a Gyre program, inputs, and a plain TypeScript function that says what the results should be.
 * Each runs on the reference interpreter, in WebAssembly and on WebGPU, and some in CUDA C++ (support/backends.ts).
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Backend, backendsFor, type Inputs, open, reference, unrounded } from "../support/backends.ts";
import { type Results, relativeError } from "../support/compare.ts";

/** An array as a function of its indices. */
export type Element = (...index: number[]) => number;
/** What a trial expects of one result. */
export type Expected = { readonly shape: readonly number[]; readonly at: Element };
export const array = (shape: readonly number[], at: Element): Expected => ({ shape, at });
export const scalar = (value: number): Expected => ({ shape: [], at: () => value });

export type Trial<I extends string> = {
  /** Where the program is: `programs/NAME` is tests/programs/NAME.gyre. */
  readonly program: string;
  readonly entry?: string;
  readonly dims?: Readonly<Record<string, number>>;
  readonly mesh?: Readonly<Record<string, number>>;
  /** Names of the inputs that `expect` reads. Those without a function are standard normal (whole numbers: 0). */
  readonly inputs: Readonly<Record<I, Element | undefined>>;
  /** It casts to 16 bits on the way: the reference is asked without that rounding, which the function knows nothing of. */
  readonly halves?: true;
  /** By path: `` for a sole result, `0`, `mean`, `layers.up`. */
  readonly expect: (inputs: Readonly<Record<I, Element>>) => Readonly<Record<string, Expected>>;
  /** Largest ‖result - expected‖ / ‖expected‖ on WebGPU; 1e-5 where it is left out. */
  readonly bound?: number;
};

/** Runs one trial on every backend. */
export function trial<I extends string>(title: string, t: Trial<I>): void {
  describe(title, () => {
    for (const backend of backendsFor(title))
      test.skipIf(!backend.ready)(backend.name, () =>
        check(t, t.halves && backend === reference ? unrounded : backend),
      );
  });
}

async function check<I extends string>(t: Trial<I>, backend: Backend): Promise<void> {
  const path = new URL(`../${t.program}.gyre`, import.meta.url).pathname;
  const program = await open(path, readFileSync(path, "utf8"), t);
  const given: Inputs = Object.fromEntries(
    Object.entries(t.inputs).map(([name, f]) => [name, f as Element | undefined]),
  );
  const inputs = program.inputs(given);
  const read = (name: string): Element => {
    const { shape, data } = inputs.get(name)!;
    return (...index) => data[offset(shape, index)]!;
  };
  const results = await backend.run(program, inputs);
  const expected = t.expect(
    Object.fromEntries(Object.keys(t.inputs).map((name) => [name, read(name)])) as Record<I, Element>,
  );
  expect([...results.keys()].sort()).toEqual(Object.keys(expected).sort());
  for (const [name, e] of Object.entries(expected)) compare(name, results, e, backend.exact ? 1e-6 : (t.bound ?? 1e-5));
}

function compare(name: string, results: Results, e: Expected, bound: number): void {
  const got = results.get(name)!;
  expect(got.shape, `shape of '${name}'`).toEqual(e.shape);
  expect(relativeError(got.data, tabulate(e.shape, e.at)), `relative error of '${name}'`).toBeLessThan(bound);
}

/** Every element in row-major order. */
export function tabulate(shape: readonly number[], at: Element): Float64Array {
  const data = new Float64Array(shape.reduce((n, size) => n * size, 1));
  const index = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = at(...index);
    for (let d = shape.length - 1; d >= 0 && ++index[d]! === shape[d]; d--) index[d] = 0;
  }
  return data;
}
const offset = (shape: readonly number[], index: readonly number[]): number =>
  shape.reduce((at, size, d) => at * size + index[d]!, 0);

// --- Words for expectations ------------------------------------------------------------------------------------------

/** 0, 1, …, n-1 */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** f(0) + f(1) + … + f(n-1) */
export const sum = (n: number, f: (i: number) => number): number => {
  let total = 0;
  for (let i = 0; i < n; i++) total += f(i);
  return total;
};
/** The largest of f(0) … f(n-1). */
export const largest = (n: number, f: (i: number) => number): number => Math.max(...range(n).map(f));
/** The first i < n for which f(i) is largest. */
export const argmax = (n: number, f: (i: number) => number): number => {
  let best = 0;
  for (let i = 1; i < n; i++) if (f(i) > f(best)) best = i;
  return best;
};
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** The non-negative remainder. */
export const mod = (a: number, n: number): number => ((a % n) + n) % n;
/** A function of indices that is computed once for each. */
export function once(f: Element): Element {
  const known = new Map<string, number>();
  return (...index) => {
    const key = index.join();
    let value = known.get(key);
    if (value === undefined) known.set(key, (value = f(...index)));
    return value;
  };
}

export type AttentionOptions = {
  readonly keys: number;
  readonly width: number;
  readonly mask?: (q: number, k: number, b: number, h: number) => boolean;
  readonly score?: (s: number, q: number, k: number, b: number, h: number) => number;
  /** Query heads that share a key head. */
  readonly group?: number;
};
/** Softmax attention of one element of the result, over the whole sequence; 0 where nothing is seen. */
export function attention(q: Element, k: Element, v: Element, o: AttentionOptions): Element {
  const { keys, width, mask = () => true, score = (s) => s, group = 1 } = o;
  const weights = new Map<string, number[]>();
  const row = (b: number, i: number, h: number): number[] => {
    const key = `${b},${i},${h}`;
    const known = weights.get(key);
    if (known) return known;
    const g = Math.floor(h / group);
    const s = range(keys).map((j) =>
      mask(i, j, b, h)
        ? score(sum(width, (d) => q(b, i, h, d) * k(b, j, g, d)) / Math.sqrt(width), i, j, b, h)
        : Number.NEGATIVE_INFINITY,
    );
    const top = Math.max(...s);
    const e = s.map((x) => (top === Number.NEGATIVE_INFINITY ? 0 : Math.exp(x - top)));
    const total = e.reduce((a, b) => a + b, 0) || 1;
    const made = e.map((x) => x / total);
    weights.set(key, made);
    return made;
  };
  return (b, i, h, d) => sum(keys, (j) => row(b!, i!, h!)[j]! * v(b!, j, Math.floor(h! / group), d!));
}
