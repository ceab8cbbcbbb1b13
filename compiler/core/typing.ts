/**
 * One typing rule for each op: from the operands' types and the op's parameters to the result's type, or to what is wrong.
 *
 * Elementwise ops broadcast as NumPy does. A result varies over the union of its operands' axes, unless its rule says
 * otherwise. Where two equal dims meet, the one that knows which split it came from is kept.
 * The elaborator turns problems into diagnostics; the checker of Core turns them into blame.
 */
import { type Dim, dimAdd, dimDiv, dimEqual, dimMul, dimProduct, type Split, splitOf, withSplit } from "../base/dim.ts";
import { accumulates, type DTypeClass, inClass } from "./dtype.ts";
import type { Binary, DType, Op, Ops, ReduceKind, Selector, Type, Unary } from "./ir.ts";
import { isUnary } from "./ops.ts";

/** What typing needs to know besides operands. A Core `Mesh` will do. */
export type TypingContext = {
  /** The mesh's axes, major first; a size may be symbolic. */
  readonly axes: readonly { readonly name: string; readonly size: Dim }[];
  /** Whether two dims may be equal, as far as sizes are known; `dimEqual` where it is left out. */
  readonly same?: (a: Dim, b: Dim) => boolean;
  /** Whether they are, whatever the sizes that are open; `dimEqual` where it is left out. */
  readonly surely?: (a: Dim, b: Dim) => boolean;
};

/** Why an op has no type. Operands are counted from 0. */
export type Problem =
  | { readonly problem: "dtypes"; readonly a: DType; readonly b: DType }
  | { readonly problem: "class"; readonly operand: number; readonly dtype: DType; readonly wants: DTypeClass }
  /** `dim` counts from the end, as broadcasting aligns: -1 is the last. */
  | { readonly problem: "broadcast"; readonly a: Type; readonly b: Type; readonly dim: number }
  | { readonly problem: "rank"; readonly operand: number; readonly type: Type; readonly wants: number }
  | { readonly problem: "dim-range"; readonly dim: number; readonly rank: number }
  | { readonly problem: "sizes"; readonly what: string; readonly a: Dim; readonly b: Dim }
  /** The operand must vary over these axes and does not (Core only: the elaborator widens first). */
  | { readonly problem: "varying"; readonly axis: string }
  | { readonly problem: "axis"; readonly axis: string }
  | { readonly problem: "malformed"; readonly what: string };
export const isProblem = (x: Type | Problem): x is Problem => "problem" in x;

type Result = Type | Problem;
type Rule<P extends Op> = (args: readonly Type[], params: Ops[P], c: TypingContext) => Result;

const same = (c: TypingContext, a: Dim, b: Dim): boolean => (c.same ?? dimEqual)(a, b);
const surely = (c: TypingContext, a: Dim, b: Dim): boolean => (c.surely ?? dimEqual)(a, b);
/** Of two equal dims, the one that says where it came from; else the one that is a number. */
const preferDim = (a: Dim, b: Dim): Dim => (splitOf(a) ? a : splitOf(b) ? b : typeof b === "number" ? b : a);

/** Sets of axes are kept in mesh order, axes that the mesh does not have last; the first of `sets` is so already. */
export function unionAxes(c: TypingContext, ...sets: readonly (readonly string[])[]): readonly string[] {
  const first = sets[0] ?? [];
  if (sets.every((s) => s === first || s.every((a) => first.includes(a)))) return first;
  const all = new Set(sets.flat());
  const known = c.axes.map((a) => a.name).filter((a) => all.delete(a));
  return [...known, ...all];
}
const varyingOf = (c: TypingContext, args: readonly Type[]): readonly string[] =>
  unionAxes(c, ...args.map((a) => a.varying));
const without = (axes: readonly string[], gone: readonly string[]): readonly string[] =>
  axes.filter((a) => !gone.includes(a));
/** The number of devices along axes. */
const devices = (c: TypingContext, axes: readonly string[]): Dim | Problem => {
  const sizes = axes.map((name) => c.axes.find((a) => a.name === name)?.size);
  const missing = sizes.indexOf(undefined);
  return missing < 0 ? dimProduct(sizes as Dim[]) : { problem: "axis", axis: axes[missing]! };
};

/** The shape that shapes broadcast to, aligned at their last dims: 1 stretches, others must be equal. */
export function broadcastShapes(c: TypingContext, types: readonly Type[]): readonly Dim[] | Problem {
  const widest = types.reduce((a, b) => (b.shape.length > a.shape.length ? b : a));
  const shape = [...widest.shape];
  for (const t of types) {
    if (t === widest) continue;
    for (let i = 1; i <= t.shape.length; i++) {
      const a = shape[shape.length - i]!,
        b = t.shape[t.shape.length - i]!;
      if (b === 1) continue;
      if (a !== 1 && !same(c, a, b)) return { problem: "broadcast", a: { ...widest, shape }, b: t, dim: -i };
      shape[shape.length - i] = a === 1 ? b : preferDim(a, b);
    }
  }
  return shape;
}

const wants = (args: readonly Type[], c: DTypeClass): Problem | undefined => {
  const operand = args.findIndex((a) => !inClass(a.dtype, c));
  return operand < 0 ? undefined : { problem: "class", operand, dtype: args[operand]!.dtype, wants: c };
};
const elementwise = (args: readonly Type[], c: TypingContext, dtype: DType): Result => {
  const shape = broadcastShapes(c, args);
  return "problem" in shape ? shape : { dtype, shape, varying: varyingOf(c, args) };
};
const unary =
  (cls: DTypeClass): Rule<Unary> =>
  (args) =>
    wants(args, cls) ?? args[0]!;
const binary =
  (cls: DTypeClass, gives?: DType): Rule<Binary> =>
  (args, _, c) => {
    const [a, b] = args as [Type, Type];
    const wrong = wants(args, cls);
    if (wrong) return wrong;
    if (a.dtype !== b.dtype) return { problem: "dtypes", a: a.dtype, b: b.dtype };
    return elementwise(args, c, gives ?? a.dtype);
  };

const inRange = (dim: number, rank: number): Problem | undefined =>
  Number.isInteger(dim) && dim >= 0 && dim < rank ? undefined : { problem: "dim-range", dim, rank };
const withDim = (t: Type, dim: number, size: Dim): Type => ({
  ...t,
  shape: t.shape.map((d, i) => (i === dim ? size : d)),
});
const scalarInt = (args: readonly Type[], operand: number): Problem | undefined => {
  const t = args[operand]!;
  if (t.shape.length > 0) return { problem: "rank", operand, type: t, wants: 0 };
  return inClass(t.dtype, "int") ? undefined : { problem: "class", operand, dtype: t.dtype, wants: "int" };
};

const reduceClass: Record<ReduceKind, DTypeClass> = {
  sum: "number",
  max: "number",
  min: "number",
  prod: "number",
  any: "bool",
  all: "bool",
};
/** Drops `dims`, or leaves 1 in their place. */
const reduced = (t: Type, dims: readonly number[], keep: boolean): readonly Dim[] =>
  keep ? t.shape.map((d, i) => (dims.includes(i) ? 1 : d)) : t.shape.filter((_, i) => !dims.includes(i));

/** `x[s1, …]`: what each selector leaves; all gathers broadcast together and stand where the first one stood. */
function indexed(args: readonly Type[], selectors: readonly Selector[], c: TypingContext): Result {
  const x = args[0]!;
  const used = selectors.filter((s) => s.kind !== "new").length;
  if (used !== x.shape.length) return { problem: "rank", operand: 0, type: x, wants: used };
  const gathers = selectors.flatMap((s) => (s.kind === "gather" ? [args[s.arg]!] : []));
  const wrong = wants(gathers, "int");
  if (wrong) return wrong;
  const together = gathers.length > 0 ? broadcastShapes(c, gathers) : [];
  if ("problem" in together) return together;
  const shape: Dim[] = [];
  let dim = 0,
    gathered = false;
  for (const s of selectors) {
    const size = s.kind === "new" ? 1 : x.shape[dim++]!;
    if (s.kind === "new" || s.kind === "all") shape.push(size);
    else if (s.kind === "slice") shape.push(same(c, s.size, size) ? size : s.size);
    else if (s.kind === "block") {
      if (!same(c, size, s.index.extent))
        return { problem: "sizes", what: `index ${s.index.name}`, a: s.index.extent, b: size };
      shape.push(s.index.size);
    } else if (s.kind === "at") {
      const bad = scalarInt(args, s.arg);
      if (bad) return bad;
    } else if (!gathered) {
      gathered = true;
      shape.push(...together);
    }
  }
  return { dtype: x.dtype, shape, varying: varyingOf(c, args) };
}

function einsum(args: readonly Type[], { ins, out }: Ops["einsum"], c: TypingContext): Result {
  const wrong = wants(args, "number");
  if (wrong) return wrong;
  const [first, ...rest] = args as [Type, ...Type[]];
  const other = rest.find((t) => t.dtype !== first.dtype);
  if (other) return { problem: "dtypes", a: first.dtype, b: other.dtype };
  const sizes = new Map<string, Dim>();
  for (const [operand, labels] of ins.entries()) {
    const t = args[operand]!;
    if (labels.length !== t.shape.length) return { problem: "rank", operand, type: t, wants: labels.length };
    for (const [i, label] of labels.entries()) {
      const old = sizes.get(label),
        size = t.shape[i]!;
      if (old !== undefined && old !== 1 && size !== 1 && !same(c, old, size))
        return { problem: "sizes", what: label, a: old, b: size };
      sizes.set(label, old === undefined || old === 1 ? size : size === 1 ? old : preferDim(old, size));
    }
  }
  const unknown = out.find((label) => !sizes.has(label));
  if (unknown !== undefined) return { problem: "malformed", what: `label ${unknown} stands in no operand` };
  return { dtype: accumulates(first.dtype), shape: out.map((label) => sizes.get(label)!), varying: varyingOf(c, args) };
}

/** A collective's operand varies over all its axes; unvarying ones are widened by `pvary` before. */
const variesOver = (t: Type, axes: readonly string[]): Problem | undefined => {
  const axis = axes.find((a) => !t.varying.includes(a));
  return axis === undefined ? undefined : { problem: "varying", axis };
};
/** psum, pmax, pmin: the same value on every device along the axes. */
const allReduce: Rule<"psum" | "pmax" | "pmin"> = (args, { axes }) =>
  wants(args, "number") ?? variesOver(args[0]!, axes) ?? { ...args[0]!, varying: without(args[0]!.varying, axes) };

const sameAxes = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((x, i) => x === b[i]);
/** Size of a dim cut into one piece for each of `n` devices: device d holds piece d. */
function cutDim(d: Dim, n: Dim, axes: readonly string[]): Dim {
  const old = splitOf(d);
  const size = dimDiv(d, n);
  // What was joined in the order of its layout, cut again, is what it was before.
  if (old && old.layout !== "contiguous") {
    const { joined, ...before } = old;
    return sameAxes(joined ?? [], axes) ? withSplit(size, before) : size;
  }
  const split: Split = { axes: [...(old?.axes ?? []), ...axes], layout: "contiguous", global: old?.global ?? d };
  return withSplit(size, split);
}
/**
 * Size of a dim whose pieces from `n` devices are joined. Joined along the last of the axes that it was split over, rows that
 * lay contiguous do so again; the order of another layout stays on record.
 */
function joinDim(d: Dim, n: Dim, axes: readonly string[]): Dim {
  const old = splitOf(d);
  const size = dimMul(d, n);
  if (!old || old.joined) return size;
  const kept = old.axes.slice(0, old.axes.length - axes.length);
  if (!sameAxes(old.axes.slice(kept.length), axes)) return size;
  if (old.layout !== "contiguous") return withSplit(size, { ...old, joined: axes });
  return kept.length > 0 ? withSplit(size, { ...old, axes: kept }) : size;
}

/**
 * The shape after a reshape: leading and trailing dims that did not change are the ones they were. A dim whose rows lie contiguous
 * on the devices, and that is cut, or joined with dims after it, lies so still: `H/sp, W` are the devices' parts of `H*W`.
 */
function kept(c: TypingContext, from: readonly Dim[], to: readonly Dim[]): readonly Dim[] {
  const shape = [...to];
  const most = Math.min(from.length, to.length);
  for (let i = 0; i < most && surely(c, from[i]!, to[i]!); i++) shape[i] = preferDim(from[i]!, to[i]!);
  for (let i = 1; i <= most && surely(c, from.at(-i)!, to.at(-i)!); i++)
    shape[to.length - i] = preferDim(from.at(-i)!, shape.at(-i)!);
  for (const [i, d] of from.entries()) {
    const split = splitOf(d);
    if (split?.layout !== "contiguous" || shape.some((x) => splitOf(x) === split)) continue;
    const n = devices(c, split.axes);
    const begins = (at: number, k: number): boolean =>
      surely(c, dimProduct(from.slice(0, at)), dimProduct(to.slice(0, k)));
    const k = to.findLastIndex((_, k) => begins(i, k));
    if (k < 0 || splitOf(shape[k]!) || (typeof n === "object" && "problem" in n)) continue;
    const end = from.findIndex((_, at) => at > i && to.some((_, next) => next > k && begins(at, next)));
    if (from.slice(i + 1, end < 0 ? from.length : end).some(splitOf)) continue;
    shape[k] = withSplit(shape[k]!, { axes: split.axes, layout: "contiguous", global: dimMul(shape[k]!, n) });
  }
  return shape;
}

const math = unary("float"),
  number1 = unary("number");
const arithmetic = binary("number"),
  comparison = binary("number", "bool"),
  equality = binary("any", "bool"),
  logic = binary("bool");

const rules: { readonly [P in Op]: Rule<P> } = {
  neg: number1,
  abs: number1,
  sign: number1,
  not: unary("bool"),
  stop_gradient: unary("any"),
  floor: math,
  exp: math,
  exp2: math,
  log: math,
  log2: math,
  sqrt: math,
  rsqrt: math,
  tanh: math,
  sigmoid: math,
  sin: math,
  cos: math,
  add: arithmetic,
  sub: arithmetic,
  mul: arithmetic,
  div: arithmetic,
  mod: arithmetic,
  pow: arithmetic,
  min: arithmetic,
  max: arithmetic,
  eq: equality,
  ne: equality,
  lt: comparison,
  le: comparison,
  gt: comparison,
  ge: comparison,
  and: logic,
  or: logic,
  cast: ([x], { dtype }) => ({ ...x!, dtype }),
  select: (args, _, c) => {
    const [cond, a, b] = args as [Type, Type, Type];
    if (cond.dtype !== "bool") return { problem: "class", operand: 0, dtype: cond.dtype, wants: "bool" };
    if (a.dtype !== b.dtype) return { problem: "dtypes", a: a.dtype, b: b.dtype };
    return elementwise(args, c, a.dtype);
  },
  random_uniform: (args, _, c) => wants(args, "int") ?? elementwise(args, c, "f32"),
  pvary: ([x], { axes }, c) => ({ ...x!, varying: unionAxes(c, x!.varying, axes) }),
  optimization_barrier: ([x]) => x!,
  unvary: ([x], { axes }) => ({ ...x!, varying: without(x!.varying, axes) }),
  iota: (_, { size }) => ({ dtype: "i32", shape: [size], varying: [] }),
  pos: (_, { index }) => ({ dtype: "i32", shape: index.block === null ? [] : [index.size], varying: [] }),
  axis_index: (_, { axes }, c) => {
    const n = devices(c, axes);
    return typeof n === "object" && "problem" in n ? n : { dtype: "i32", shape: [], varying: unionAxes(c, [], axes) };
  },
  full: ([x], { shape }) =>
    x!.shape.length === 0 ? { ...x!, shape } : { problem: "rank", operand: 0, type: x!, wants: 0 },
  reshape: ([x], { shape }, c) => {
    const a = dimProduct(x!.shape),
      b = dimProduct(shape);
    return same(c, a, b)
      ? { ...x!, shape: kept(c, x!.shape, shape) }
      : { problem: "sizes", what: "number of elements", a, b };
  },
  transpose: ([x], { perm }) => {
    const rank = x!.shape.length;
    if (perm.length !== rank) return { problem: "rank", operand: 0, type: x!, wants: perm.length };
    const wrong = perm.map((p) => inRange(p, rank)).find((p) => p);
    if (wrong) return wrong;
    if (new Set(perm).size !== rank)
      return { problem: "malformed", what: "a dimension stands twice in the permutation" };
    return { ...x!, shape: perm.map((p) => x!.shape[p]!) };
  },
  broadcast: ([x], { shape }, c) => {
    const to: Type = { ...x!, shape };
    const joined = broadcastShapes(c, [to, x!]);
    if ("problem" in joined) return joined;
    const grown = joined.findIndex((d, i) => !same(c, d, shape[i] ?? -1));
    return joined.length === shape.length && grown < 0
      ? { ...x!, shape: joined }
      : { problem: "broadcast", a: to, b: x!, dim: grown - shape.length };
  },
  index: (args, { selectors }, c) => indexed(args, selectors, c),
  concat: (args, { dim }, c) => {
    const [first, ...rest] = args as [Type, ...Type[]];
    const wrong = inRange(dim, first.shape.length);
    if (wrong) return wrong;
    const shape = [...first.shape];
    for (const [k, t] of rest.entries()) {
      if (t.dtype !== first.dtype) return { problem: "dtypes", a: first.dtype, b: t.dtype };
      if (t.shape.length !== shape.length) return { problem: "rank", operand: k + 1, type: t, wants: shape.length };
      for (const [i, d] of t.shape.entries()) {
        if (i === dim) shape[i] = dimAdd(shape[i]!, d);
        else if (same(c, shape[i]!, d)) shape[i] = preferDim(shape[i]!, d);
        else return { problem: "sizes", what: `dimension ${i}`, a: shape[i]!, b: d };
      }
    }
    return { dtype: first.dtype, shape, varying: varyingOf(c, args) };
  },
  dynamic_slice: (args, { dim, size }, c) =>
    inRange(dim, args[0]!.shape.length) ??
    scalarInt(args, 1) ?? { ...withDim(args[0]!, dim, size), varying: varyingOf(c, args) },
  dynamic_update: (args, { dim }, c) => {
    const [x, value] = args as [Type, Type, Type];
    const wrong = inRange(dim, x.shape.length) ?? scalarInt(args, 2);
    if (wrong) return wrong;
    if (x.dtype !== value.dtype) return { problem: "dtypes", a: x.dtype, b: value.dtype };
    if (x.shape.length !== value.shape.length)
      return { problem: "rank", operand: 1, type: value, wants: x.shape.length };
    const off = x.shape.findIndex((d, i) => i !== dim && !same(c, d, value.shape[i]!));
    return off < 0
      ? { ...x, varying: varyingOf(c, args) }
      : { problem: "sizes", what: `dimension ${off}`, a: x.shape[off]!, b: value.shape[off]! };
  },
  reduce: (args, { kind, dims, keep }) => {
    const x = args[0]!;
    const wrong = wants(args, reduceClass[kind]) ?? dims.map((d) => inRange(d, x.shape.length)).find((p) => p);
    if (wrong) return wrong;
    if (new Set(dims).size !== dims.length) return { problem: "malformed", what: "a dimension stands twice in dim" };
    return { ...x, shape: reduced(x, dims, keep) };
  },
  argmax: (args, { dim, keep }) =>
    wants(args, "number") ??
    inRange(dim, args[0]!.shape.length) ?? { ...args[0]!, dtype: "i32", shape: reduced(args[0]!, [dim], keep) },
  cumsum: (args, { dim }) => wants(args, "number") ?? inRange(dim, args[0]!.shape.length) ?? args[0]!,
  einsum,
  ppermute: ([x], { axes }) => variesOver(x!, axes) ?? x!,
  psum: allReduce,
  pmax: allReduce,
  pmin: allReduce,
  all_gather: ([x], { axes, dim }, c) => {
    const n = devices(c, axes);
    if (typeof n === "object" && "problem" in n) return n;
    const wrong = inRange(dim, x!.shape.length) ?? variesOver(x!, axes);
    return wrong ?? { ...withDim(x!, dim, joinDim(x!.shape[dim]!, n, axes)), varying: without(x!.varying, axes) };
  },
  psum_scatter: (args, { axes, dim }, c) => {
    const x = args[0]!,
      n = devices(c, axes);
    if (typeof n === "object" && "problem" in n) return n;
    const wrong = wants(args, "number") ?? inRange(dim, x.shape.length) ?? variesOver(x, axes);
    return wrong ?? withDim(x, dim, cutDim(x.shape[dim]!, n, axes));
  },
  all_to_all: ([x], { axes, split, concat }, c) => {
    const n = devices(c, axes);
    if (typeof n === "object" && "problem" in n) return n;
    const rank = x!.shape.length;
    const wrong = inRange(split, rank) ?? inRange(concat, rank) ?? variesOver(x!, axes);
    if (wrong) return wrong;
    if (split === concat) return x!;
    return withDim(withDim(x!, split, cutDim(x!.shape[split]!, n, axes)), concat, joinDim(x!.shape[concat]!, n, axes));
  },
};

/** How many operands an op takes; undefined is any number from one on (`index`, `concat`, `einsum`, `random_uniform`). */
export const arityOf = (op: Op): number | undefined =>
  variadic.includes(op) ? undefined : (arities[op] ?? (isUnary(op) ? 1 : 2));
const variadic: readonly Op[] = ["index", "concat", "einsum", "random_uniform"];
const arities: { readonly [P in Op]?: number } = {
  cast: 1,
  select: 3,
  pvary: 1,
  unvary: 1,
  optimization_barrier: 1,
  iota: 0,
  pos: 0,
  axis_index: 0,
  full: 1,
  reshape: 1,
  transpose: 1,
  broadcast: 1,
  dynamic_slice: 2,
  dynamic_update: 3,
  reduce: 1,
  argmax: 1,
  cumsum: 1,
  ppermute: 1,
  psum: 1,
  pmax: 1,
  pmin: 1,
  all_gather: 1,
  psum_scatter: 1,
  all_to_all: 1,
};

/**
 * The type of `op` applied to operands of types `args`, or the problem. Shapes may be symbolic.
 * The number of operands must be right: it is the caller's to check (`arityOf`).
 */
export function typeOf<P extends Op>(
  op: P,
  args: readonly Type[],
  params: Ops[P],
  context: TypingContext,
): Type | Problem {
  const rule: Rule<P> = rules[op];
  return rule(args, params, context);
}
