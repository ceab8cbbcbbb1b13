/**
 * From arrays to elements: `pull(p, x, index)` is the value of one element of x, as a value over whatever axes the index
 * depends on. Each op says which elements of its operands it needs for the element asked for, so transposes, slices,
 * reshapes and gathers become arithmetic on indices and leave no trace.
 *
 * A variable that is asked for at its own axes is computed once. Elsewhere it is pulled anew, down to the loads, unless
 * that repeats a reduction or a fold: then the value at its own axes is re-indexed (`at`). What the few elements of a group
 * share is computed for each of them: what it is made of is then re-indexed within the group (../groups.ts).
 *
 * An index counts elements of the whole dimension. For a dimension that is a block of a tile index these are the
 * elements of the index: from the block's first one on.
 */
import type { Dim } from "../../base/dim.ts";
import { invariant } from "../../base/invariant.ts";
import type { Span } from "../../base/span.ts";
import { accumulates } from "../../core/dtype.ts";
import { isHalf } from "../../core/half.ts";
import type { Atom, DType, Index, Op, OpEqn, Ops, Selector, Var } from "../../core/ir.ts";
import { add, and, clamp, compare, div, map, max, min, mod, plus, select, sub, times } from "../arithmetic.ts";
import { at, cast, constant, edge, type KernelBuilder, load, named, pos, reduce, scan } from "../build.ts";
import { isGroupNumber } from "../groups.ts";
import type { Axis, MapOp, Scalar, Value } from "../ir.ts";
import { groupsOf, isElementwise, isHeavy, placesOf, reducedOf } from "./links.ts";

/** Where a variable's elements come from. */
export type Source =
  | { readonly kind: "memory"; readonly buffer: () => number }
  /** A carry, or the result of a fold at the axes of its carry `of`. */
  | { readonly kind: "held"; readonly value: Value; readonly of: Var }
  /** The scalar that stands for an index of single elements, or a step. */
  | { readonly kind: "scalar"; readonly value: () => Value }
  | { readonly kind: "eqn"; readonly eqn: OpEqn };

/** The axis of a dimension. `base`: what is added to the axis's element numbers to count along the dimension. */
export type Place = { readonly axis: Axis; readonly base: Value | undefined };
export type Puller = {
  readonly b: KernelBuilder;
  readonly source: (v: Var) => Source;
  /** Undefined for what has no axes of its own here: captured variables. Not asked for dims of size 1. */
  readonly place: (value: number, dim: number | string) => Place | undefined;
  readonly axisOfIndex: (i: Index) => Axis;
  /** The index whose block a dim is. */
  readonly indexOf: (d: Dim) => Index | undefined;
  /** A dim as a number; where it has none, ends with a diagnostic that says so. */
  readonly size: (d: Dim, span: Span | undefined) => number;
  readonly scalar: (s: Scalar) => Value;
  readonly ringSize: (axes: readonly string[]) => number;
  readonly memo: Map<string, Value>;
  readonly anchored: Map<number, boolean>;
};

const zero = (p: Puller): Value => constant(p.b, 0, "i32");
const isOne = (d: Dim): boolean => d === 1;
/** The place of an element along a dimension: its number. */
export const coordinate = (p: Puller, place: Place): Value =>
  place.base ? add(p.b, place.base, pos(p.b, place.axis)) : pos(p.b, place.axis);
/** The first element of a dimension: not 0 only for a block. */
function first(p: Puller, d: Dim): Value | undefined {
  const index = p.indexOf(d);
  return index && edge(p.b, p.axisOfIndex(index), "first");
}
const fromFirst = (p: Puller, d: Dim, element: Value): Value => {
  const base = first(p, d);
  return base ? sub(p.b, element, base) : element;
};
const toElement = (p: Puller, d: Dim, offset: Value): Value => {
  const base = first(p, d);
  return base ? add(p.b, base, offset) : offset;
};

/** The element that a run-time index means, moved into range: of a block, which may be partial, into what it has. */
function elementInRange(p: Puller, d: Dim, v: Value, span: Span | undefined): Value {
  const index = p.indexOf(d);
  if (!index) return clamp(p.b, v, p.size(d, span) - 1);
  const axis = p.axisOfIndex(index);
  const begin = edge(p.b, axis, "first");
  const last = sub(p.b, edge(p.b, axis, "last"), begin);
  return add(p.b, begin, min(p.b, max(p.b, v, zero(p)), last));
}

/** The element of an atom at an index, one value for each dimension. */
export function pull(p: Puller, a: Atom, index: readonly Value[]): Value {
  if (a.kind === "lit") return constant(p.b, a.value, a.type.dtype);
  const source = p.source(a);
  const to = index.map((v, d) => (isOne(a.type.shape[d]!) ? zero(p) : v));
  switch (source.kind) {
    case "memory":
      return named(load(p.b, a.type.dtype, source.buffer(), to), a.name);
    case "scalar":
      return source.value();
    case "held":
      return elsewhere(p, source.of, source.value, to);
    case "eqn":
      return pullEqn(p, source.eqn, to);
  }
}

/** The index of a variable's own axes. */
export function ownIndex(p: Puller, v: Var): readonly Value[] | undefined {
  const index: Value[] = [];
  for (const [d, size] of v.type.shape.entries()) {
    const place = isOne(size) ? undefined : p.place(v.id, d);
    if (!place && !isOne(size)) return undefined;
    index.push(place ? coordinate(p, place) : zero(p));
  }
  return index;
}

/** A value that is known at a variable's own axes, at another index. */
function elsewhere(p: Puller, v: Var, own: Value, index: readonly Value[]): Value {
  const bind = index.flatMap((i, d) => {
    const place = isOne(v.type.shape[d]!) ? undefined : p.place(v.id, d);
    if (!place) return [];
    return [{ axis: place.axis, index: place.base ? sub(p.b, i, place.base) : i }];
  });
  return at(p.b, own, bind);
}

function pullEqn(p: Puller, e: OpEqn, index: readonly Value[]): Value {
  const key = `${e.out.id}:${index.map((v) => v.id).join()}`;
  const old = p.memo.get(key);
  if (old) return old;
  const own = ownIndex(p, e.out);
  const elsewhereThanOwn = own && index.some((v, d) => v !== own[d]);
  const byGroups = (): boolean =>
    index.some(isGroupNumber) && index.every((v, d) => v === own![d] || isGroupNumber(v) || v.def.kind === "const");
  const dear = isHeavy(e.op) || (isElementwise(e.op) && isAnchored(p, e.out) && !(elsewhereThanOwn && byGroups()));
  const value =
    elsewhereThanOwn && dear
      ? elsewhere(p, e.out, pullEqn(p, e, own), index)
      : named(element(p, e, index), e.out.name, e.span);
  p.memo.set(key, value);
  return value;
}
/** Whether pulling a variable anew would repeat a reduction, or needs what only a fold knows. */
function isAnchored(p: Puller, a: Atom): boolean {
  if (a.kind === "lit") return false;
  const old = p.anchored.get(a.id);
  if (old !== undefined) return old;
  const source = p.source(a);
  const found =
    source.kind === "held" ||
    (source.kind === "eqn" && (isHeavy(source.eqn.op) || source.eqn.args.some((x) => isAnchored(p, x))));
  p.anchored.set(a.id, found);
  return found;
}

/** What an element of an op's result is: one case for each op. */
function element(p: Puller, e: OpEqn, index: readonly Value[]): Value {
  const { b } = p;
  const { args, out } = e;
  if (isElementwise(e.op)) return elementwise(p, e, index);
  switch (e.op) {
    case "full":
      return pull(p, args[0]!, []);
    case "optimization_barrier":
      return pull(p, args[0]!, index);
    case "iota":
      return fromFirst(p, out.type.shape[0]!, index[0]!);
    case "pos":
      return e.params.index.block === null ? pos(b, p.axisOfIndex(e.params.index)) : index[0]!;
    case "axis_index":
      return p.ringSize(e.params.axes) === 1 ? zero(p) : p.scalar({ kind: "axis_index", axes: e.params.axes });
    case "transpose": {
      const to: Value[] = [];
      for (const [d, dim] of e.params.perm.entries()) to[dim] = index[d]!;
      return pull(p, args[0]!, to);
    }
    case "broadcast":
      return pull(p, args[0]!, index.slice(index.length - args[0]!.type.shape.length));
    case "reshape":
      return pull(p, args[0]!, reshaped(p, e, index));
    case "index":
      return pull(p, args[0]!, indexed(p, e, index));
    case "concat":
      return concat(p, e, index);
    case "dynamic_slice": {
      const { dim, size } = e.params;
      const start = clampedStart(p, args[0]!.type.shape[dim]!, size, args[1]!, e);
      const offset = add(b, start, fromFirst(p, out.type.shape[dim]!, index[dim]!));
      return pull(p, args[0]!, index.with(dim, toElement(p, args[0]!.type.shape[dim]!, offset)));
    }
    case "dynamic_update":
      return update(p, e, index);
    case "reduce":
      return reduction(p, e, e.params.kind, index);
    case "argmax": {
      const [only] = reducedOf(e);
      if (isOne(only!.size)) return zero(p);
      const place = p.place(out.id, only!.name)!;
      const found = reduction(p, e, "argmax", index);
      return place.base ? found : fromFirst(p, only!.size, found);
    }
    case "cumsum": {
      const { dim } = e.params;
      if (isOne(out.type.shape[dim]!)) return pull(p, args[0]!, index);
      const x = pull(p, args[0]!, index);
      return inF32(p, out.type.dtype, [x], ([wide]) => scan(b, p.place(out.id, dim)!.axis, wide!));
    }
    case "einsum":
      return einsum(p, e, index);
    default:
      invariant(false, `${e.op} has no place in a kernel`);
  }
}

/** Broadcasting: dims align at the last one. */
function elementwise(p: Puller, e: OpEqn, index: readonly Value[]): Value {
  const args = e.args.map((a) => pull(p, a, index.slice(index.length - a.type.shape.length)));
  const { dtype } = e.out.type;
  if (e.op === "cast") return cast(p.b, args[0]!, dtype);
  if (keeps.has(e.op)) return map(p.b, e.op as MapOp, args, dtype);
  return inF32(p, dtype, args, (wide, as) => map(p.b, e.op as MapOp, wide, as));
}
/** Ops that give one of their operands or its opposite: of 16-bit numbers, one without rounding. */
const keeps: ReadonlySet<Op> = new Set<Op>(["select", "min", "max", "neg", "abs", "floor", "sign", "stop_gradient"]);
/** What gives 16-bit numbers is computed in f32, and rounded. */
function inF32(
  p: Puller,
  dtype: DType,
  args: readonly Value[],
  make: (args: readonly Value[], dtype: DType) => Value,
): Value {
  if (!isHalf(dtype)) return make(args, dtype);
  const wide = args.map((a) => (isHalf(a.dtype) ? cast(p.b, a, "f32") : a));
  return cast(p.b, make(wide, "f32"), dtype);
}

/** Where the elements of a reduced dimension are, and what reduces over it; nothing for a size of 1. */
function reducedPlaces(p: Puller, e: OpEqn): ReadonlyMap<string, Place> {
  const found = new Map<string, Place>();
  for (const { name, size } of reducedOf(e)) if (!isOne(size)) found.set(name, p.place(e.out.id, name)!);
  return found;
}
/** Reduces over several axes, the last one innermost. */
function overAll(
  p: Puller,
  kind: Ops["reduce"]["kind"] | "argmax",
  places: ReadonlyMap<string, Place>,
  v: Value,
): Value {
  return [...places.values()].reduceRight((x, { axis }) => reduce(p.b, kind, axis, x), v);
}
function reduction(p: Puller, e: OpEqn, kind: Ops["reduce"]["kind"] | "argmax", index: readonly Value[]): Value {
  const places = reducedPlaces(p, e);
  const x = e.args[0]!;
  const keep = e.op === "reduce" || e.op === "argmax" ? e.params.keep : false;
  const dims = e.op === "reduce" ? e.params.dims : e.op === "argmax" ? [e.params.dim] : [];
  let next = 0;
  const to = x.type.shape.map((_, d) => {
    if (!dims.includes(d)) return index[next++]!;
    if (keep) next++;
    const place = places.get(`r${d}`);
    return place ? coordinate(p, place) : zero(p);
  });
  const all = pull(p, x, to);
  if (kind === "argmax") return overAll(p, kind, places, all);
  return inF32(p, e.out.type.dtype, [all], ([wide]) => overAll(p, kind, places, wide!));
}
/** Σ over the labels that the result lacks, of the product of the operands; f16 and bf16 are multiplied in f32. */
function einsum(p: Puller, e: Extract<OpEqn, { op: "einsum" }>, index: readonly Value[]): Value {
  const places = reducedPlaces(p, e);
  const where = (label: string): Value => {
    const place = places.get(label);
    const kept = e.params.out.indexOf(label);
    return kept >= 0 ? index[kept]! : place ? coordinate(p, place) : zero(p);
  };
  const factors = e.args.map((a, k) => {
    const value = pull(p, a, e.params.ins[k]!.map(where));
    return cast(p.b, value, accumulates(value.dtype));
  });
  const product = factors.reduce((x, y) => map(p.b, "mul", [x, y], e.out.type.dtype));
  return overAll(p, "sum", places, product);
}

/** (b0, b1) of a group with sizes (n0, n1) is element b0·n1 + b1, which is (e / m1, e mod m1) of sizes (m0, m1). */
function reshaped(p: Puller, e: OpEqn, index: readonly Value[]): readonly Value[] {
  const from = e.args[0]!.type.shape;
  const to = e.out.type.shape;
  const found: Value[] = from.map(() => zero(p));
  for (const g of groupsOf(from, to)) {
    if (g.from.length === 1 && g.to.length === 1) {
      found[g.from[0]!] = index[g.to[0]!]!;
      continue;
    }
    let flat = zero(p);
    for (const [k, d] of g.to.entries()) {
      if (k > 0) flat = times(p.b, flat, p.size(to[d]!, e.span));
      flat = add(p.b, flat, fromFirst(p, to[d]!, index[d]!));
    }
    for (const [k, d] of [...g.from].reverse().entries()) {
      const last = k === g.from.length - 1;
      const size = last ? 0 : p.size(from[d]!, e.span);
      found[d] = toElement(p, from[d]!, last ? flat : mod(p.b, flat, size));
      if (!last) flat = div(p.b, flat, size);
    }
  }
  return found;
}

function indexed(p: Puller, e: Extract<OpEqn, { op: "index" }>, index: readonly Value[]): readonly Value[] {
  const x = e.args[0]!.type;
  const { selectors } = e.params;
  const { places, group } = placesOf(
    selectors,
    e.args.map((a) => a.type),
  );
  const groupIndex: Value[] = [];
  const kept = new Map<number, Value>();
  for (const [to, place] of places.entries()) {
    if (place.kind === "group") groupIndex[place.dim] = index[to]!;
    else if (place.kind === "x") kept.set(place.dim, index[to]!);
  }
  const out = (d: number): Dim => e.out.type.shape[places.findIndex((q) => q.kind === "x" && q.dim === d)]!;
  /** A run-time index, moved into range. */
  const data = (v: Value, d: number): Value => elementInRange(p, x.shape[d]!, cast(p.b, v, "i32"), e.span);
  const chosen = (s: Selector, d: number): Value => {
    switch (s.kind) {
      case "new":
        invariant(false, "a new dimension takes nothing of x");
        break;
      case "all":
        return kept.get(d)!;
      case "block":
        return s.index.block === null ? pos(p.b, p.axisOfIndex(s.index)) : kept.get(d)!;
      case "slice": {
        const offset = fromFirst(p, out(d), kept.get(d)!);
        return toElement(p, x.shape[d]!, plus(p.b, offset, p.size(s.start, e.span)));
      }
      case "at":
        return data(pull(p, e.args[s.arg]!, []), d);
      case "gather": {
        const rank = e.args[s.arg]!.type.shape.length;
        return data(pull(p, e.args[s.arg]!, groupIndex.slice(group - rank)), d);
      }
    }
  };
  return selectors.filter((s) => s.kind !== "new").map(chosen);
}

/** Each operand has a stretch of the dimension; outside its own it is read at its nearest end, and not used. */
function concat(p: Puller, e: Extract<OpEqn, { op: "concat" }>, index: readonly Value[]): Value {
  const { dim } = e.params;
  const sizes = e.args.map((a) => p.size(a.type.shape[dim]!, e.span));
  const here = fromFirst(p, e.out.type.shape[dim]!, index[dim]!);
  const part = (k: number, start: number): Value => {
    const offset = clamp(p.b, plus(p.b, here, -start), sizes[k]! - 1);
    return pull(p, e.args[k]!, index.with(dim, toElement(p, e.args[k]!.type.shape[dim]!, offset)));
  };
  const choose = (k: number, start: number): Value => {
    if (k === e.args.length - 1) return part(k, start);
    const end = start + sizes[k]!;
    if (sizes[k] === 0) return choose(k + 1, end);
    const before = compare(p.b, "lt", here, constant(p.b, end, "i32"));
    if (before.def.kind === "const") return before.def.value ? part(k, start) : choose(k + 1, end);
    const rest = sizes.slice(k + 1).some((n) => n > 0);
    return rest ? select(p.b, before, part(k, start), choose(k + 1, end)) : part(k, start);
  };
  return choose(0, 0);
}

/** A run-time start, moved so that `part` rows of `whole` fit. */
function clampedStart(p: Puller, whole: Dim, part: Dim, start: Atom, e: OpEqn): Value {
  const slack =
    p.indexOf(whole) && p.indexOf(whole) === p.indexOf(part) ? 0 : p.size(whole, e.span) - p.size(part, e.span);
  return clamp(p.b, cast(p.b, pull(p, start, []), "i32"), slack);
}
/** The value's rows where they are, the old ones elsewhere. */
function update(p: Puller, e: Extract<OpEqn, { op: "dynamic_update" }>, index: readonly Value[]): Value {
  const { b } = p;
  const [x, value, start] = e.args as readonly [Atom, Atom, Atom];
  const { dim } = e.params;
  const rows = value.type.shape[dim]!;
  const whole = x.type.shape[dim]!;
  const from = clampedStart(p, whole, rows, start, e);
  const offset = sub(b, fromFirst(p, whole, index[dim]!), from);
  if (p.indexOf(whole) && p.indexOf(whole) === p.indexOf(rows)) return pull(p, value, index);
  const size = p.size(rows, e.span);
  const inside = and(b, compare(b, "ge", offset, zero(p)), compare(b, "lt", offset, constant(b, size, "i32")));
  if (inside.def.kind === "const")
    return inside.def.value ? pull(p, value, index.with(dim, toElement(p, rows, offset))) : pull(p, x, index);
  const fresh = pull(p, value, index.with(dim, toElement(p, rows, clamp(b, offset, size - 1))));
  return select(b, inside, fresh, pull(p, x, index));
}
