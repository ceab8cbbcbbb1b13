/** The derivative of every op by its rule = finite differences, on meshes of 1, 2 and 4 devices; of derivatives too. */
import { describe, expect, test } from "vitest";
import { type Dim, dimAdd, dimMul, dimVar } from "../../compiler/base/dim.ts";
import { type Builder, emit, i32, lit, mesh } from "../../compiler/core/build.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { rules } from "../../compiler/core/grad/rules.ts";
import type { Atom, Op, Ops, Selector, Var } from "../../compiler/core/ir.ts";
import { type NDArray, ndarray } from "../../compiler/core/ndarray.ts";
import {
  as,
  expectGradient,
  type Fn,
  flags,
  float,
  gradientOf,
  type Input,
  over,
  places,
  positive,
  programOf,
  traced,
} from "./gradients.ts";
import { numbers } from "./programs.ts";

/** A size: the number, or, where only types are looked at, a name for it. */
type Size = (n: number) => Dim;
type Case = (d: Size) => Fn;

const fn = (inputs: readonly Input[], build: (b: Builder, ...xs: Var[]) => Atom): Fn => ({
  inputs,
  build: (b, ...xs) => [build(b, ...xs)],
});
/** The op on its operands. */
const op = <P extends Op>(name: P, params: Ops[P], ...inputs: Input[]): Fn =>
  fn(inputs, (b, ...xs) => emit(b, name, params, ...xs));

type OfNothing<P> = { [K in P & Op]: Record<never, never> extends Ops[K] ? K : never }[P & Op];
/** f of an array, of a scalar and of one that varies. */
const unary = <P extends OfNothing<Op>>(name: P, of: (...shape: Dim[]) => Input = float): readonly Case[] => [
  (d) => op(name, {} as Ops[P], of(d(2), d(3))),
  () => op(name, {} as Ops[P], over(["a"], of())),
];
/** f of arrays that broadcast, of one array twice, of a number, and of what varies beside what doesn't. */
const binary = <P extends OfNothing<Op>>(
  name: P,
  of: (...shape: Dim[]) => Input = float,
  by: (...shape: Dim[]) => Input = of,
): readonly Case[] => [
  (d) => op(name, {} as Ops[P], of(d(2), d(3)), by(d(2), d(3))),
  (d) => op(name, {} as Ops[P], of(d(2), 1, d(3)), by(d(4), 1)),
  (d) => op(name, {} as Ops[P], over(["a"], of(d(3))), by(d(2), d(3))),
  (d) => op(name, {} as Ops[P], of(), over(["b"], by(d(3)))),
  (d) => fn([of(d(3))], (b, x) => emit(b, name, {} as Ops[P], x, lit(1.5))),
  (d) => fn([by(d(3))], (b, y) => emit(b, name, {} as Ops[P], lit(1.5), y)),
];

const reduce =
  (kind: "sum" | "max" | "min" | "prod", dims: readonly number[], keep: boolean): Case =>
  (d) =>
    op("reduce", { kind, dims, keep }, over(["a"], float(d(2), d(3), d(2))));
const reduces = (["sum", "max", "min", "prod"] as const).flatMap((kind) => [
  reduce(kind, [1], false),
  reduce(kind, [0, 2], true),
  reduce(kind, [2, 0], false),
  reduce(kind, [0, 1, 2], false),
]);

const all: Selector = { kind: "all" },
  fresh: Selector = { kind: "new" },
  at = (arg: number): Selector => ({ kind: "at", arg }),
  gather = (arg: number): Selector => ({ kind: "gather", arg }),
  slice = (start: Dim, size: Dim): Selector => ({ kind: "slice", start, size });
const index =
  (selectors: (d: Size) => readonly Selector[], ...inputs: readonly ((d: Size) => Input)[]): Case =>
  (d) =>
    op("index", { selectors: selectors(d) }, ...inputs.map((i) => i(d)));
const indexes: readonly Case[] = [
  index(
    (d) => [slice(d(1), d(2)), all, fresh, slice(0, d(2))],
    (d) => float(dimAdd(d(1), dimAdd(d(2), d(3))), d(3), dimAdd(d(2), d(3))),
  ),
  index(
    () => [all, at(1)],
    (d) => float(d(3), d(4)),
    () => places(4),
  ),
  index(
    (d) => [at(1), slice(d(1), d(2)), fresh, at(2)],
    (d) => float(d(3), dimAdd(d(1), d(2)), d(4)),
    () => places(3),
    () => over(["a"], as("u32", { ...places(4), value: (r) => Math.floor(8 * (r + 0.5)) })),
  ),
  // rows of a table: a row may be asked for twice, and out of range
  index(
    () => [gather(1), all],
    (d) => float(d(4), d(2)),
    (d) => over(["a"], places(4, d(3), d(2))),
  ),
  index(
    () => [all, gather(1), fresh],
    (d) => over(["b"], float(d(2), d(3))),
    (d) => as("u32", { ...places(3, d(5)), value: (r) => Math.floor(6 * (r + 0.5)) }),
  ),
  // two gathers over one group; over a dimension each; with what is kept between them
  index(
    () => [gather(1), all, gather(2)],
    (d) => float(d(3), d(2), d(4)),
    (d) => places(3, d(5)),
    (d) => places(4, d(5)),
  ),
  index(
    () => [gather(1), gather(2)],
    (d) => float(d(3), d(4)),
    (d) => places(3, d(2), 1),
    (d) => places(4, d(5)),
  ),
  index(
    () => [all, gather(1), fresh, gather(2), gather(3)],
    (d) => float(d(2), d(3), d(4), d(2)),
    (d) => places(3, d(2), 1),
    (d) => places(4, 1, d(5)),
    (d) => places(2, d(2), 1),
  ),
  // beside single rows and ranges
  index(
    (d) => [at(1), gather(2), slice(d(1), d(2)), fresh, all],
    (d) => float(d(3), d(4), dimAdd(d(1), d(2)), d(2)),
    () => places(3),
    (d) => places(4, d(3)),
  ),
  index(
    (d) => [gather(1), slice(0, d(2)), fresh],
    (d) => as("bf16", float(d(3), dimAdd(d(2), d(1)))),
    (d) => places(3, 1, d(2)),
  ),
  index(
    () => [gather(1), all],
    (d) => float(d(3), d(2)),
    () => places(3, 1),
  ),
];

const einsum =
  (text: string, ...shapes: readonly (readonly number[])[]): Case =>
  (d) => {
    const [ins, out] = text.split("->") as [string, string];
    const params = { ins: ins.split(",").map((s) => [...s.trim()]), out: [...out.trim()] };
    return op(
      "einsum",
      params,
      ...shapes.map((s, i) => over(i === 0 ? ["a"] : [], float(...s.map((n) => (n === 1 ? 1 : d(n)))))),
    );
  };
const einsums: readonly Case[] = [
  einsum("mk,kn->mn", [2, 3], [3, 4]),
  einsum("bqhd,bkhd->bhqk", [2, 3, 2, 4], [2, 5, 2, 4]),
  einsum("ij->ji", [2, 3]),
  einsum("ijk->k", [2, 3, 4]),
  einsum("i,i->", [3], [3]),
  einsum("i,j->ij", [3], [2]),
  // summed in one operand alone
  einsum("ij,k->k", [2, 3], [4]),
  einsum("ij,jk->i", [2, 3], [3, 4]),
  // three operands
  einsum("ij,jk,kl->il", [2, 3], [3, 4], [4, 2]),
  einsum("i,i,i->i", [3], [3], [3]),
  // a size of 1 stretches
  einsum("bij,bjk->bik", [1, 2, 3], [4, 3, 2]),
  einsum("ij,ij->i", [3, 1], [3, 2]),
  einsum("ij,ij->j", [3, 1], [1, 2]),
  einsum("ij->i", [3, 1]),
  einsum("ij,ij->ij", [3, 1], [3, 1]),
  // diagonals
  einsum("ii->i", [3, 3]),
  einsum("ii->", [3, 3]),
  einsum("iji,jk->ik", [3, 2, 3], [2, 4]),
  einsum("iii,i->i", [2, 2, 2], [2]),
  // halves give f32
  (d) => op("einsum", { ins: [["m", "k"], ["k"]], out: ["m"] }, as("bf16", float(d(2), d(3))), as("bf16", float(d(3)))),
  (d) => op("einsum", { ins: [["m", "k"]], out: ["k"] }, as("f16", float(d(2), d(3)))),
];

/** Over one axis, over two of them, and of a value that varies over more. */
const collective = <P extends Op>(name: P, params: (axes: readonly string[]) => Ops[P]): readonly Case[] => [
  (d) => op(name, params(["a"]), over(["a"], float(d(4), d(8)))),
  (d) => op(name, params(["a"]), over(["a", "b"], float(d(4), d(8)))),
  (d) => op(name, params(["b", "a"]), over(["a", "b"], float(d(4), d(8)))),
];

/** `nothing`: no derivative flows through the op. */
const cases: { readonly [P in Op]: readonly Case[] | "nothing" } = {
  neg: unary("neg"),
  exp: unary("exp"),
  exp2: unary("exp2"),
  log: unary("log", positive),
  log2: unary("log2", positive),
  sqrt: unary("sqrt", positive),
  rsqrt: unary("rsqrt", positive),
  tanh: unary("tanh"),
  sigmoid: unary("sigmoid"),
  sin: unary("sin"),
  cos: unary("cos"),
  abs: unary("abs"),
  not: "nothing",
  floor: "nothing",
  sign: "nothing",
  stop_gradient: "nothing",
  add: binary("add"),
  sub: binary("sub"),
  mul: binary("mul"),
  div: binary("div", float, positive),
  mod: binary("mod", float, positive),
  pow: [
    ...binary("pow", positive, float),
    (d) => fn([float(d(4))], (b, x) => emit(b, "pow", {}, x, lit(3))),
    (d) => fn([float(d(4))], (b, x) => emit(b, "pow", {}, x, lit(-2))),
  ],
  min: binary("min"),
  max: binary("max"),
  eq: "nothing",
  ne: "nothing",
  lt: "nothing",
  le: "nothing",
  gt: "nothing",
  ge: "nothing",
  and: "nothing",
  or: "nothing",
  cast: [
    (d) => op("cast", { dtype: "bf16" }, over(["a"], float(d(3)))),
    (d) => op("cast", { dtype: "f32" }, as("f16", float(d(3), d(2)))),
    (d) => op("cast", { dtype: "f32" }, places(3, d(2))),
  ],
  select: [
    (d) => op("select", {}, flags(d(3)), float(d(2), d(3)), float(d(2), 1)),
    (d) => op("select", {}, over(["a"], flags(d(3))), float(), over(["b"], float(d(2), 1))),
    (d) => fn([flags(d(3)), float(d(3))], (b, c, x) => emit(b, "select", {}, c, lit(7), x)),
  ],
  random_uniform: "nothing",
  iota: "nothing",
  pos: "nothing",
  axis_index: "nothing",
  argmax: "nothing",
  optimization_barrier: [(d) => op("optimization_barrier", { id: 0 }, over(["a"], float(d(3))))],
  full: [(d) => op("full", { shape: [d(2), d(3)] }, over(["a"], float())), () => op("full", { shape: [] }, float())],
  broadcast: [
    (d) => op("broadcast", { shape: [d(4), d(2), d(3)] }, float(d(2), 1)),
    (d) => op("broadcast", { shape: [d(2), 1] }, float()),
    (d) => op("broadcast", { shape: [1, d(3)] }, float(1, d(3))),
  ],
  reshape: [
    (d) => op("reshape", { shape: [dimMul(d(2), d(3)), d(4)] }, over(["b"], float(d(2), dimMul(d(3), d(4))))),
    () => op("reshape", { shape: [] }, float(1, 1)),
  ],
  transpose: [(d) => op("transpose", { perm: [2, 0, 1] }, over(["a"], float(d(2), d(3), d(4))))],
  concat: [
    (d) => op("concat", { dim: 1 }, float(d(2), d(3)), over(["a"], float(d(2), d(4))), float(d(2), 1)),
    (d) => fn([float(d(2))], (b, x) => emit(b, "concat", { dim: 0 }, x, emit(b, "full", { shape: [d(3)] }, lit(1)), x)),
  ],
  index: indexes,
  dynamic_slice: [
    (d) => op("dynamic_slice", { dim: 1, size: d(2) }, float(d(2), dimAdd(d(2), d(3))), places(4)),
    (d) => op("dynamic_slice", { dim: 0, size: d(2) }, over(["b"], float(dimAdd(d(2), d(1)))), over(["a"], places(2))),
    // twice from one array
    (d) =>
      fn([float(d(5)), places(4)], (b, x, i) => {
        const from = (start: Atom) => emit(b, "dynamic_slice", { dim: 0, size: d(2) }, x, start);
        return emit(
          b,
          "mul",
          {},
          emit(b, "mul", {}, from(i), from(i32(1))),
          emit(b, "reduce", { kind: "sum", dims: [0], keep: true }, x),
        );
      }),
  ],
  dynamic_update: [
    (d) => op("dynamic_update", { dim: 1 }, float(d(2), dimAdd(d(3), d(2))), float(d(2), d(3)), places(3)),
    (d) =>
      op("dynamic_update", { dim: 0 }, float(dimAdd(d(2), d(1))), over(["a"], float(d(2))), over(["b"], places(2))),
  ],
  reduce: reduces,
  cumsum: [
    (d) => op("cumsum", { dim: 1 }, over(["a"], float(d(2), d(4), d(2)))),
    (d) => op("cumsum", { dim: 0 }, float(d(3))),
  ],
  einsum: einsums,
  pvary: [
    (d) => op("pvary", { axes: ["a"] }, float(d(3))),
    (d) => op("pvary", { axes: ["a", "b"] }, over(["b"], float(d(3)))),
  ],
  // the same on every device of the ring, as it must be
  unvary: [
    (d) =>
      fn([over(["b"], float(d(3)))], (b, x) => {
        const y = emit(b, "sin", {}, emit(b, "pvary", { axes: ["a"] }, x));
        return emit(b, "unvary", { axes: ["a"] }, y);
      }),
  ],
  psum: collective("psum", (axes) => ({ axes })),
  pmax: collective("pmax", (axes) => ({ axes })),
  pmin: collective("pmin", (axes) => ({ axes })),
  ppermute: [
    ...collective("ppermute", (axes) => ({ axes, route: { kind: "shift", offset: 1 } })),
    ...collective("ppermute", (axes) => ({ axes, route: { kind: "shift", offset: -3 } })),
    (d) =>
      op("ppermute", { axes: ["b", "a"], route: { kind: "pairs", pairs: [[0, 0]] } }, over(["a", "b"], float(d(3)))),
  ],
  all_gather: [
    ...collective("all_gather", (axes) => ({ axes, dim: 0 })),
    ...collective("all_gather", (axes) => ({ axes, dim: 1 })),
  ],
  psum_scatter: [
    ...collective("psum_scatter", (axes) => ({ axes, dim: 0 })),
    ...collective("psum_scatter", (axes) => ({ axes, dim: 1 })),
  ],
  all_to_all: [
    ...collective("all_to_all", (axes) => ({ axes, split: 0, concat: 1 })),
    ...collective("all_to_all", (axes) => ({ axes, split: 1, concat: 0 })),
    ...collective("all_to_all", (axes) => ({ axes, split: 1, concat: 1 })),
  ],
};

const meshes = [
  { a: 1, b: 1 },
  { a: 2, b: 1 },
  { a: 2, b: 2 },
].map(mesh);
const number: Size = (n) => n;
const name: Size = (n) => (n === 1 ? 1 : dimVar(`N${n}`));

for (const [op, some] of Object.entries(cases) as [Op, readonly Case[] | "nothing"][]) {
  if (some === "nothing") {
    test(`${op}: nothing`, () => expect(rules[op]).toBeNull());
    continue;
  }
  test(op, () => {
    for (const [k, make] of some.entries()) {
      const f = make(number);
      for (const m of meshes) expectGradient(m, f, k + 1);
      // The derivative of the derivative, in the operands and in the cotangent.
      const m = meshes[2]!;
      expect(traced(f, m).b.eqns.some((e) => e.kind === "op" && e.op === op)).toBe(true);
      expectGradient(m, gradientOf(f, m), k + 2);
    }
  });
  test(`${op}, before sizes are known`, () => {
    const axes = ["a", "b"].map((n) => ({ name: n, size: dimVar(n) }));
    for (const make of some) {
      const f = gradientOf(make(name), { axes });
      traced(f, { axes });
      traced(gradientOf(f, { axes }), { axes });
    }
  });
}

test("a wrong gradient is found", () => {
  const m = meshes[2]!;
  const f = op("sin", {}, over(["a"], float(3)));
  const right = gradientOf(f, m);
  const wrong: Fn = {
    ...right,
    build: (b, ...xs) => right.build(b, ...xs).map((d) => emit(b, "mul", {}, d, lit(1.001))),
  };
  expect(() => expectGradient(m, f, 1, wrong)).toThrow("finite differences");
});

describe("at kinks", () => {
  const one = mesh({ a: 1 });
  const of = (shape: readonly number[], ...values: number[]): NDArray => ndarray("f32", [1, ...shape], values);
  const grads = (f: Fn, ...xs: NDArray[]): number[][] => {
    const gradient = gradientOf(f, one);
    return evaluate(programOf(one, gradient), xs).map(numbers);
  };
  const ones = (n: number): NDArray => of([n], ...Array<number>(n).fill(1));

  test.each([
    ["max", [0, 1, 0.5]],
    ["min", [1, 0, 0.5]],
  ] as const)("%s of equals: half each", (name, left) => {
    const [x, y] = grads(op(name, {}, float(3), float(3)), of([3], 1, 2, 3), of([3], 2, 1, 3), ones(3));
    expect(x).toEqual(left);
    expect(y).toEqual(left.map((v) => 1 - v));
  });
  test("abs at 0: 0", () => {
    expect(grads(op("abs", {}, float(3)), of([3], -2, 0, 2), ones(3))).toEqual([[-1, 0, 1]]);
  });
  test("reductions: equal shares", () => {
    const f = op("reduce", { kind: "max", dims: [1], keep: false }, float(2, 3));
    expect(grads(f, of([2, 3], 1, 5, 5, -1, -1, -1), of([2], 1, 3))).toEqual([[0, 0.5, 0.5, 1, 1, 1]]);
  });
  test("pmax: equal shares", () => {
    const m = mesh({ a: 4 });
    const f = op("pmax", { axes: ["a"] }, over(["a"], float()));
    const [x] = evaluate(programOf(m, gradientOf(f, m)), [ndarray("f32", [4], [1, 3, 2, 3]), ndarray("f32", [1], [1])]);
    expect(numbers(x)).toEqual([0, 0.5, 0, 0.5]);
  });
  test("products with zeros", () => {
    const f = op("reduce", { kind: "prod", dims: [1], keep: false }, float(3, 3));
    expect(grads(f, of([3, 3], 2, 0, 3, 0, 0, 5, 1, 2, 3), of([3], 1, 1, 1))).toEqual([[0, 6, 0, 0, 0, 0, 6, 3, 2]]);
  });
  test("powers at 0", () => {
    const [x, y] = grads(op("pow", {}, float(4), float(4)), of([4], 0, 0, 0, 2), of([4], 0, 1, 2, 0), ones(4));
    expect(x).toEqual([0, 1, 0, 0]);
    expect(y).toEqual([0, 0, 0, Math.LN2]);
  });
  test("a branch not taken gives no NaN", () => {
    // where(x > 0, x, 0) / 2: nothing of the other branch
    const f = fn([float(2)], (b, x) => emit(b, "select", {}, emit(b, "gt", {}, x, lit(0)), x, lit(0)));
    expect(grads(f, of([2], Number.NaN, 1), ones(2))).toEqual([[0, 1]]);
  });
});

test("the route of a permute that moves with a step goes back", () => {
  const f = (step: Var): Fn =>
    op("ppermute", { axes: ["a"], route: { kind: "shift", offset: 2, step } }, over(["a"], float(2)));
  const step: Var = { kind: "var", id: 999, type: { dtype: "i32", shape: [], varying: [] } };
  const { b } = traced(gradientOf(f(step), mesh({ a: 4 })), mesh({ a: 4 }));
  const routes = b.eqns.flatMap((e) => (e.kind === "op" && e.op === "ppermute" ? [e.params.route] : []));
  expect(routes).toEqual([
    { kind: "shift", offset: 2, step },
    { kind: "shift", offset: -2, step, perStep: -1 },
  ]);
});
