/**
 * What every op means, one row for each: on the values of one device (`meanings`), or on the values of all devices of a
 * ring, in its order (`collectives`). Well-typed operands are taken for granted.
 */
import type { Dim } from "../base/dim.ts";
import { invariant } from "../base/invariant.ts";
import { placeAfter } from "../base/ring.ts";
import { accumulates, inClass } from "./dtype.ts";
import { einsum } from "./einsum.ts";
import { binary, cast, mapAll, select, unary, wrap } from "./elementwise.ts";
import { isHalf } from "./half.ts";
import type { Atom, Binary, Index, Op, Ops, ReduceKind, Selector, Unary } from "./ir.ts";
import {
  broadcastShapes,
  broadcastTo,
  concatenated,
  copy,
  elements,
  item,
  type NDArray,
  ndarray,
  nest,
  reshaped,
  rows,
  scalar,
  sliced,
  stridesOf,
  transposed,
  updated,
} from "./ndarray.ts";
import { randomUniform } from "./threefry.ts";

/** What an op may ask about where it is evaluated. */
export type Context = {
  /** The number that a dim stands for here; a tile index's size is that of the block at hand. */
  readonly size: (d: Dim) => number;
  /** The elements of a tile index that are at hand. */
  readonly block: (index: Index) => { readonly start: number; readonly size: number };
  /** This device's place along the axes. */
  readonly place: (axes: readonly string[]) => number;
  /** Casts to 16-bit floats do not round. */
  readonly exact?: boolean;
};

export type Collective =
  | "ppermute"
  | "psum"
  | "pmax"
  | "pmin"
  | "all_gather"
  | "psum_scatter"
  | "all_to_all"
  | "unvary";
export type Local = Exclude<Op, Collective>;
type Meaning<P extends Op> = (args: readonly NDArray[], params: Ops[P], c: Context) => NDArray;

const one =
  (op: Unary): Meaning<Unary> =>
  ([x]) =>
    unary(op, x!);
const two =
  (op: Binary): Meaning<Binary> =>
  ([a, b]) =>
    binary(op, a!, b!);

export const meanings: { readonly [P in Local]: Meaning<P> } = {
  neg: one("neg"),
  not: one("not"),
  exp: one("exp"),
  exp2: one("exp2"),
  log: one("log"),
  log2: one("log2"),
  sqrt: one("sqrt"),
  rsqrt: one("rsqrt"),
  tanh: one("tanh"),
  sigmoid: one("sigmoid"),
  sin: one("sin"),
  cos: one("cos"),
  abs: one("abs"),
  floor: one("floor"),
  sign: one("sign"),
  stop_gradient: ([x]) => x!,
  add: two("add"),
  sub: two("sub"),
  mul: two("mul"),
  div: two("div"),
  mod: two("mod"),
  pow: two("pow"),
  min: two("min"),
  max: two("max"),
  eq: two("eq"),
  ne: two("ne"),
  lt: two("lt"),
  le: two("le"),
  gt: two("gt"),
  ge: two("ge"),
  and: two("and"),
  or: two("or"),

  cast: ([x], { dtype }, { exact }) => cast(x!, exact && isHalf(dtype) ? "f32" : dtype),
  select: ([c, a, b]) => select(c!, a!, b!),
  random_uniform: (args) => mapAll("f32", args, ([key, ...counters]) => randomUniform(key!, counters)),
  pvary: ([x]) => x!,
  optimization_barrier: ([x]) => x!,
  iota: (_, { size }, c) => counting(0, c.size(size)),
  pos: (_, { index }, c) => {
    const { start, size } = c.block(index);
    return index.block === null ? scalar("i32", start) : counting(start, size);
  },
  axis_index: (_, { axes }, c) => scalar("i32", c.place(axes)),
  full: ([x], { shape }, c) => {
    const sizes = shape.map(c.size);
    return { dtype: x!.dtype, shape: sizes, data: new Float64Array(elements(sizes)).fill(item(x!)) };
  },
  reshape: ([x], { shape }, c) => reshaped(x!, shape.map(c.size)),
  transpose: ([x], { perm }) => transposed(x!, perm),
  broadcast: ([x], { shape }, c) => broadcastTo(x!, shape.map(c.size)),
  index: (args, { selectors }, c) => index(args, selectors, c),
  concat: (args, { dim }) => concatenated(args, dim),
  dynamic_slice: ([x, start], { dim, size }, c) => {
    const n = c.size(size);
    return sliced(x!, dim, clamp(item(start!), x!.shape[dim]! - n), n);
  },
  dynamic_update: ([x, value, start], { dim }) =>
    updated(x!, value!, dim, clamp(item(start!), x!.shape[dim]! - value!.shape[dim]!)),
  reduce: ([x], { kind, dims, keep }) => reduce(x!, kind, dims, keep),
  argmax: ([x], { dim, keep }) => argmax(x!, dim, keep),
  cumsum: ([x], { dim }) => cumsum(x!, dim),
  einsum: (args, { ins, out }) => {
    const product = einsum(ins, out, args);
    wrap(product.dtype, product.data);
    return { ...product, dtype: accumulates(product.dtype) };
  },
};

const clamp = (start: number, last: number): number => Math.max(0, Math.min(start, last));
function counting(start: number, size: number): NDArray {
  const data = new Float64Array(size);
  for (let i = 0; i < size; i++) data[i] = start + i;
  return { dtype: "i32", shape: [size], data };
}

/** `x[…]`: each selector is a step of its own through `x`; the gathered offsets are computed first, then rows are copied. */
function index(args: readonly NDArray[], selectors: readonly Selector[], c: Context): NDArray {
  const x = args[0]!;
  const strides = stridesOf(x.shape);
  const shape: number[] = [],
    steps: number[] = [];
  const gathers: { readonly at: NDArray; readonly step: number; readonly size: number }[] = [];
  let start = 0,
    dim = 0,
    gatherAt = -1;
  for (const s of selectors) {
    if (s.kind === "new") {
      shape.push(1);
      steps.push(0);
      continue;
    }
    const size = x.shape[dim]!,
      step = strides[dim]!;
    dim++;
    if (s.kind === "at") start += clamp(item(args[s.arg]!), size - 1) * step;
    else if (s.kind === "gather") {
      if (gatherAt < 0) gatherAt = shape.length;
      gathers.push({ at: args[s.arg]!, step, size });
    } else {
      const part =
        s.kind === "block"
          ? c.block(s.index)
          : s.kind === "slice"
            ? { start: c.size(s.start), size: c.size(s.size) }
            : { start: 0, size };
      start += part.start * step;
      shape.push(part.size);
      steps.push(step);
    }
  }
  if (gatherAt < 0) {
    const data = new Float64Array(elements(shape));
    copy(shape, { data: x.data, start, strides: steps }, { data, start: 0, strides: stridesOf(shape) });
    return { dtype: x.dtype, shape, data };
  }
  const group = gathers.map((g) => g.at.shape).reduce(broadcastShapes);
  const offsets = new Float64Array(elements(group)).fill(start);
  for (const { at, step, size } of gathers) {
    const rowsAt = broadcastTo(at, group).data;
    for (let i = 0; i < offsets.length; i++) offsets[i]! += clamp(rowsAt[i]!, size - 1) * step;
  }
  const out = [...shape.slice(0, gatherAt), ...group, ...shape.slice(gatherAt)];
  const data = new Float64Array(elements(out));
  if (x.data.length === 0) return { dtype: x.dtype, shape: out, data };
  const outStrides = stridesOf(out);
  const rest = [...outStrides.slice(0, gatherAt), ...outStrides.slice(gatherAt + group.length)];
  const each = elements(shape.slice(gatherAt)); // the gathered dims, flat, step by what stands after them
  for (let i = 0; i < offsets.length; i++)
    copy(shape, { data: x.data, start: offsets[i]!, strides: steps }, { data, start: i * each, strides: rest });
  return { dtype: x.dtype, shape: out, data };
}

type Combine = (o: Float64Array, p: number, dp: number, a: Float64Array, i: number, di: number, n: number) => void;
/** o[p] ← o[p] ∘ a[i] along a loop; `dp` is 0 where the loop is reduced. */
const combines: { readonly [K in ReduceKind]: Combine } = {
  sum: (o, p, dp, a, i, di, n) => {
    for (let k = 0; k < n; k++, p += dp, i += di) o[p]! += a[i]!;
  },
  max: (o, p, dp, a, i, di, n) => {
    for (let k = 0; k < n; k++, p += dp, i += di) o[p] = Math.max(o[p]!, a[i]!);
  },
  min: (o, p, dp, a, i, di, n) => {
    for (let k = 0; k < n; k++, p += dp, i += di) o[p] = Math.min(o[p]!, a[i]!);
  },
  prod: (o, p, dp, a, i, di, n) => {
    for (let k = 0; k < n; k++, p += dp, i += di) o[p]! *= a[i]!;
  },
  any: (o, p, dp, a, i, di, n) => {
    for (let k = 0; k < n; k++, p += dp, i += di) if (a[i] !== 0) o[p] = 1;
  },
  all: (o, p, dp, a, i, di, n) => {
    for (let k = 0; k < n; k++, p += dp, i += di) if (a[i] === 0) o[p] = 0;
  },
};
const integerProduct: Combine = (o, p, dp, a, i, di, n) => {
  for (let k = 0; k < n; k++, p += dp, i += di) o[p] = Math.imul(o[p]!, a[i]!);
};

/** What a reduction of nothing is: the largest or smallest value that the dtype has for min and max. */
function neutral(kind: ReduceKind, dtype: NDArray["dtype"]): number {
  if (kind === "sum" || kind === "any") return 0;
  if (kind === "prod" || kind === "all") return 1;
  if (dtype === "i32") return kind === "max" ? -(2 ** 31) : 2 ** 31 - 1;
  if (dtype === "u32") return kind === "max" ? 0 : 2 ** 32 - 1;
  return kind === "max" ? -Infinity : Infinity;
}

/** Joined along some dimensions, which are left out or, with `keep`, of size 1. */
export function reduce(x: NDArray, kind: ReduceKind, dims: readonly number[], keep: boolean): NDArray {
  const gone = x.shape.map((_, d) => dims.includes(d));
  const kept = x.shape.map((n, d) => (gone[d] ? 1 : n));
  const data = new Float64Array(elements(kept)).fill(neutral(kind, x.dtype));
  const to = stridesOf(kept).map((s, d) => (gone[d] ? 0 : s));
  const loops = nest(x.shape, [to, stridesOf(x.shape)]);
  if (loops) {
    const last = loops.shape.length - 1;
    const n = loops.shape[last]!,
      dp = loops.strides[0]![last]!,
      di = loops.strides[1]![last]!;
    const combine = kind === "prod" && inClass(x.dtype, "int") ? integerProduct : combines[kind];
    rows(loops, [0, 0], (at) => combine(data, at[0]!, dp, x.data, at[1]!, di, n));
  }
  wrap(x.dtype, data);
  return { dtype: x.dtype, shape: keep ? kept : x.shape.filter((_, d) => !gone[d]), data };
}

/** The array as lines along `dim`: calls `line(at, step, out)` for each, `out` counting them. */
function lines(x: NDArray, dim: number, line: (at: number, step: number, out: number) => void): void {
  const step = elements(x.shape.slice(dim + 1)),
    size = x.shape[dim]!;
  const outer = elements(x.shape.slice(0, dim));
  for (let o = 0, out = 0; o < outer; o++) for (let i = 0; i < step; i++) line(o * size * step + i, step, out++);
}
/** The place of the first largest along a dimension; a NaN counts as largest. */
export function argmax(x: NDArray, dim: number, keep: boolean): NDArray {
  const shape = keep ? x.shape.with(dim, 1) : x.shape.filter((_, d) => d !== dim);
  const data = new Float64Array(elements(shape));
  lines(x, dim, (at, step, out) => {
    let best = 0;
    for (let k = 1; k < x.shape[dim]!; k++) {
      const value = x.data[at + k * step]!,
        old = x.data[at + best * step]!;
      if (value > old || (Number.isNaN(value) && !Number.isNaN(old))) best = k;
    }
    data[out] = best;
  });
  return { dtype: "i32", shape, data };
}
/** Running sums along a dimension. */
export function cumsum(x: NDArray, dim: number): NDArray {
  const data = new Float64Array(x.data.length);
  lines(x, dim, (at, step) => {
    let sum = 0;
    for (let k = 0; k < x.shape[dim]!; k++) data[at + k * step] = sum += x.data[at + k * step]!;
  });
  wrap(x.dtype, data);
  return { dtype: x.dtype, shape: x.shape, data };
}

/**
 * What a ring of devices gets from the values that its members hold; `xs[p]` is that of the device at place p.
 * `step` is the number of the fold's step that a route depends on.
 */
export const collectives: {
  readonly [P in Collective]: (xs: readonly NDArray[], params: Ops[P], step: number) => readonly NDArray[];
} = {
  ppermute: (xs, { route }, step) => {
    const n = xs.length;
    if (route.kind === "shift") {
      const shift = route.offset + step * (route.perStep ?? 1);
      return xs.map((_, p) => xs[placeAfter(p, -shift, n, route.within)]!);
    }
    const from = new Map(route.pairs.map(([a, b]) => [b, a]));
    return xs.map((x, p) => (from.has(p) ? xs[from.get(p)!]! : ndarray(x.dtype, x.shape)));
  },
  psum: (xs) =>
    everywhere(
      xs,
      xs.reduce((a, b) => binary("add", a, b)),
    ),
  pmax: (xs) =>
    everywhere(
      xs,
      xs.reduce((a, b) => binary("max", a, b)),
    ),
  pmin: (xs) =>
    everywhere(
      xs,
      xs.reduce((a, b) => binary("min", a, b)),
    ),
  all_gather: (xs, { dim }) => everywhere(xs, concatenated(xs, dim)),
  psum_scatter: (xs, { dim }) =>
    pieces(
      xs.reduce((a, b) => binary("add", a, b)),
      dim,
      xs.length,
    ),
  all_to_all: (xs, { split, concat }) => {
    const cut = xs.map((x) => pieces(x, split, xs.length));
    return xs.map((_, p) =>
      concatenated(
        cut.map((mine) => mine[p]!),
        concat,
      ),
    );
  },
  unvary: (xs) => {
    const [first, ...rest] = xs;
    const same = rest.every((x) => x === first || x.data.every((v, i) => Object.is(v, first!.data[i])));
    invariant(same, "a value said to be the same along its axes differs");
    return everywhere(xs, first!);
  },
};
const everywhere = (xs: readonly NDArray[], x: NDArray): readonly NDArray[] => xs.map(() => x);
const pieces = (x: NDArray, dim: number, n: number): readonly NDArray[] => {
  const size = x.shape[dim]! / n;
  return Array.from({ length: n }, (_, i) => sliced(x, dim, i * size, size));
};

const collectiveNames: ReadonlySet<string> = new Set(Object.keys(collectives));
export const isCollective = (op: Op): op is Collective => collectiveNames.has(op);

/** The value of a literal. */
export const literal = (a: Extract<Atom, { kind: "lit" }>): NDArray => scalar(a.type.dtype, a.value);
