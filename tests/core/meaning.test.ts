import fc from "fast-check";
import { expect, test } from "vitest";
import { einsum } from "../../compiler/core/einsum.ts";
import { binary, cast, select, unary } from "../../compiler/core/elementwise.ts";
import type { Binary, DType } from "../../compiler/core/ir.ts";
import { type Context, meanings } from "../../compiler/core/meaning.ts";
import { elements, type NDArray, ndarray, scalar, stridesOf, tabulate } from "../../compiler/core/ndarray.ts";
import { numbers, randomArray } from "./programs.ts";

const here: Context = { size: (d) => d as number, block: () => ({ start: 2, size: 3 }), place: () => 0 };
const of = (dtype: DType, ...values: number[]): NDArray => ndarray(dtype, [values.length], values);

test.each<[Binary, DType, number, number, number]>([
  ["add", "i32", 2 ** 31 - 1, 1, -(2 ** 31)],
  ["sub", "u32", 0, 1, 2 ** 32 - 1],
  ["mul", "i32", 65537, 65537, 131073],
  ["mul", "u32", 0xffffffff, 0xffffffff, 1],
  ["div", "i32", -7, 2, -4],
  ["div", "i32", 7, -2, -4],
  ["div", "u32", 0xffffffff, 2, 0x7fffffff],
  ["mod", "i32", -7, 4, 1],
  ["mod", "i32", 7, -4, -1],
  ["mod", "f32", -0.5, 2, 1.5],
  ["div", "f32", -7, 2, -3.5],
  ["pow", "i32", 3, 20, -808182895],
  ["pow", "f32", 2, 0.5, Math.SQRT2],
  ["max", "f32", -Infinity, 3, 3],
  ["ge", "i32", 3, 3, 1],
  ["and", "bool", 1, 0, 0],
])("%s of %s: %d, %d", (op, dtype, a, b, result) => {
  expect(numbers(binary(op, scalar(dtype, a), scalar(dtype, b)))).toEqual([result]);
});

test("casts", () => {
  expect(numbers(cast(of("f32", -1.7, 2.9, 1e10, Number.NaN), "i32"))).toEqual([-1, 2, 2 ** 31 - 1, 0]);
  expect(numbers(cast(of("f32", -1.7, 2.9, 1e10), "u32"))).toEqual([0, 2, 2 ** 32 - 1]);
  expect(numbers(cast(of("i32", -1, 5), "u32"))).toEqual([2 ** 32 - 1, 5]);
  expect(numbers(cast(of("f32", 0, 0.1), "bool"))).toEqual([0, 1]);
  expect(numbers(cast(of("f32", 0.1, -1e39), "bf16"))).toEqual([0.10009765625, Number.NEGATIVE_INFINITY]);
  expect(numbers(cast(of("f32", 65519, 65520, 2 ** -25), "f16"))).toEqual([65504, Number.POSITIVE_INFINITY, 0]);
});

test("unary functions", () => {
  expect(numbers(unary("neg", of("u32", 1)))).toEqual([2 ** 32 - 1]);
  expect(numbers(unary("rsqrt", of("f32", 4)))).toEqual([0.5]);
  expect(numbers(unary("sigmoid", of("f32", 0, -1000, 1000)))).toEqual([0.5, 0, 1]);
  expect(numbers(unary("not", of("bool", 0, 1)))).toEqual([1, 0]);
});

// ── Broadcasting ─────────────────────────────────────────────────────────────────────────────────────────────────

const shapes = fc
  .array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 })
  .chain((full) => fc.tuple(fc.constant(full), stretched(full), stretched(full), stretched(full)));
/** A shape that broadcasts to `full`: some sizes are 1, some leading ones missing. */
function stretched(full: number[]): fc.Arbitrary<number[]> {
  return fc
    .tuple(fc.nat(full.length), fc.array(fc.boolean(), { minLength: full.length, maxLength: full.length }))
    .map(([lead, ones]) => full.map((n, i) => (ones[i] ? 1 : n)).slice(lead));
}
const at = (x: NDArray, index: number[]): number => {
  const lead = index.length - x.shape.length;
  return x.data[stridesOf(x.shape).reduce((sum, s, d) => sum + (x.shape[d] === 1 ? 0 : s * index[d + lead]!), 0)]!;
};

test("elementwise ops broadcast as NumPy does", () => {
  fc.assert(
    fc.property(shapes, fc.nat(), ([, sa, sb, sc], seed) => {
      const [a, b] = [randomArray(seed, ...sa), randomArray(seed + 1, ...sb)];
      const sum = binary("add", a, b);
      expect(sum).toEqual(tabulate("f32", sum.shape, (...i) => at(a, i) + at(b, i)));
      const c = { ...tabulate("bool", sc, (...i) => (i.reduce((x, y) => x + y, seed) % 2 ? 1 : 0)) };
      const where = select(c, a, b);
      expect(where).toEqual(tabulate("f32", where.shape, (...i) => (at(c, i) ? at(a, i) : at(b, i))));
    }),
  );
});

// ── Einsum ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The sum of products, written as the loops that it is. */
function slowEinsum(ins: string[][], out: string[], args: NDArray[]): NDArray {
  const sizes: Record<string, number> = {};
  for (const [i, ls] of ins.entries()) for (const [d, l] of ls.entries()) sizes[l] = args[i]!.shape[d]!;
  const all = Object.keys(sizes);
  const result = ndarray(
    "f32",
    out.map((l) => sizes[l]!),
  );
  const strides = stridesOf(result.shape);
  tabulate(
    "f32",
    all.map((l) => sizes[l]!),
    (...index) => {
      const value = (l: string) => index[all.indexOf(l)]!;
      const product = args.reduce((p, x, i) => p * at(x, ins[i]!.map(value)), 1);
      result.data[out.reduce((sum, l, d) => sum + value(l) * strides[d]!, 0)]! += product;
      return 0;
    },
  );
  return result;
}
test("einsum is the sum of products over any labels", () => {
  const labels = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 4 });
  const cases = fc.tuple(
    fc.array(labels, { minLength: 1, maxLength: 3 }),
    fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 4, maxLength: 4 }),
    fc.nat(),
  );
  fc.assert(
    fc.property(cases, fc.nat(100), ([ins, sizes, seed], pick) => {
      const size = (l: string) => sizes["abcd".indexOf(l)]!;
      const present = [...new Set(ins.flat())];
      const out = present.filter((_, i) => (pick >> i) & 1).reverse();
      const args = ins.map((ls, i) => randomArray(seed + i, ...ls.map(size)));
      const [fast, slow] = [einsum(ins, out, args), slowEinsum(ins, out, args)];
      expect(fast.shape).toEqual(slow.shape);
      for (let i = 0; i < slow.data.length; i++) expect(fast.data[i]).toBeCloseTo(slow.data[i]!, 10);
    }),
    { numRuns: 300 },
  );
});
test("integer products wrap", () => {
  const x = ndarray("i32", [2], [2 ** 30, 3]);
  expect(numbers(einsum([["a"], ["a"]], [], [x, x]))).toEqual([9]);
});

// ── Indexing and moving ──────────────────────────────────────────────────────────────────────────────────────────

const x234 = tabulate("f32", [2, 3, 4], (i, j, k) => 100 * i + 10 * j + k);
test("an index drops, a slice cuts, None adds", () => {
  const y = meanings.index(
    [x234, scalar("i32", 1)],
    { selectors: [{ kind: "at", arg: 1 }, { kind: "new" }, { kind: "slice", start: 1, size: 2 }, { kind: "all" }] },
    here,
  );
  expect(y).toEqual(tabulate("f32", [1, 2, 4], (_, j, k) => 110 + 10 * j + k));
});
test("an index out of range is clamped", () => {
  const last = meanings.index(
    [x234, scalar("i32", 9)],
    { selectors: [{ kind: "at", arg: 1 }, { kind: "all" }, { kind: "all" }] },
    here,
  );
  expect(last.data[0]).toBe(100);
});
test("integer arrays gather together, where the first one stood", () => {
  const rows = tabulate("i32", [2, 1], (i) => 2 - i),
    cols = of("i32", 3, 0, 1);
  const y = meanings.index(
    [x234, rows, cols],
    { selectors: [{ kind: "all" }, { kind: "gather", arg: 1 }, { kind: "gather", arg: 2 }] },
    here,
  );
  expect(y).toEqual(tabulate("f32", [2, 2, 3], (i, r, c) => 100 * i + 10 * (2 - r) + [3, 0, 1][c]!));
  const z = meanings.index(
    [x234, cols],
    { selectors: [{ kind: "gather", arg: 1 }, { kind: "all" }, { kind: "slice", start: 2, size: 1 }] },
    here,
  );
  expect(z.shape).toEqual([3, 3, 1]);
  expect(numbers(z)).toEqual([102, 112, 122, 2, 12, 22, 102, 112, 122]);
});
test("run-time starts are clamped so that the rows fit", () => {
  const x = of("f32", 0, 1, 2, 3);
  expect(numbers(meanings.dynamic_slice([x, scalar("i32", 3)], { dim: 0, size: 2 }, here))).toEqual([2, 3]);
  expect(numbers(meanings.dynamic_update([x, of("f32", 8, 9), scalar("i32", -5)], { dim: 0 }, here))).toEqual([
    8, 9, 2, 3,
  ]);
  expect(numbers(x)).toEqual([0, 1, 2, 3]);
});
test("reductions over any dims, and of nothing", () => {
  const sum = meanings.reduce([x234], { kind: "sum", dims: [0, 2], keep: true }, here);
  expect(sum).toEqual(tabulate("f32", [1, 3, 1], (_, j) => 400 + 80 * j + 12));
  expect(numbers(meanings.reduce([x234], { kind: "max", dims: [1], keep: false }, here))).toEqual([
    20, 21, 22, 23, 120, 121, 122, 123,
  ]);
  const none = ndarray("f32", [0]);
  expect(numbers(meanings.reduce([none], { kind: "max", dims: [0], keep: false }, here))).toEqual([-Infinity]);
  expect(numbers(meanings.reduce([ndarray("i32", [0])], { kind: "min", dims: [0], keep: false }, here))).toEqual([
    2 ** 31 - 1,
  ]);
});
test("scans, arguments and moves", () => {
  expect(numbers(meanings.cumsum([of("f32", 1, 2, 3)], { dim: 0 }, here))).toEqual([1, 3, 6]);
  expect(numbers(meanings.argmax([of("f32", 1, 5, 5)], { dim: 0, keep: false }, here))).toEqual([1]);
  expect(meanings.transpose([x234], { perm: [2, 0, 1] }, here)).toEqual(
    tabulate("f32", [4, 2, 3], (k, i, j) => 100 * i + 10 * j + k),
  );
  expect(meanings.concat([x234, x234], { dim: 1 }, here)).toEqual(
    tabulate("f32", [2, 6, 4], (i, j, k) => 100 * i + 10 * (j % 3) + k),
  );
  expect(meanings.broadcast([of("f32", 1, 2)], { shape: [2, 2] }, here)).toEqual(
    tabulate("f32", [2, 2], (_, j) => j + 1),
  );
  expect(elements(meanings.full([scalar("f32", 2)], { shape: [3, 0] }, here).shape)).toBe(0);
});
