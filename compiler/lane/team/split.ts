/**
 * Tile -> Tile: sums that are too long to hold at once become loops over blocks, so that what is summed is there a block
 * at a time. Sums of equal length that do not wait for each other share a loop (the two products of a gated feed-forward).
 *
 *   v(i, j) = sum r x(i, j, r)   ⟶   v(i, j) = fold r: n by 64 with (c = 0) { (c + sum r x(i, j, r)) }
 *
 * A sum of sums (over heads and the width of a head) becomes a loop over single elements of the outer axis.
 */
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Def, Fold, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { valuesOf } from "../../tile/values.ts";
import { allFactors, type Factors } from "./products.ts";
import { foldWith, keyOf, largest, largestAxis, withOperands } from "./rewrite.ts";

/** Elements of a sum that are held at once: rows of as many bytes whatever their type. */
const blockOf = (f: Factors, sums: number): number => (f.dtype === "f32" ? sums : 2 * sums);

/** `sums`: elements of a sum of f32 products that are there at once. */
export function splitLongSums(kernel: Kernel, sums: number): Kernel {
  const lets = kernel.body.flatMap((s) => (s.kind === "let" ? [s.value] : []));
  const products = new Map(allFactors(kernel).map((f) => [f.sum.id, blockOf(f, sums)]));
  const long = lets.filter(
    (v) =>
      v.def.kind === "reduce" &&
      v.def.op === "sum" &&
      v.def.axis.role === "inner" &&
      (v.def.axis.extent > (products.get(v.id) ?? Infinity) || sumOfProduct(v, products)) &&
      privateTo(kernel, v.def.axis, lets),
  );
  if (long.length === 0) return kernel;
  const w: Writer = {
    blocks: products,
    next: largest(kernel) + 1,
    axis: largestAxis(kernel) + 1,
    done: new Map(),
    out: [],
  };
  const left = [...long];
  for (const s of kernel.body) {
    if (s.kind === "fold") {
      for (const v of [...s.init, ...insideOf(s)]) emit(w, v, left);
      w.out.push(replaced(w, s));
    } else if (!onlyFor(s.value, long)) emit(w, s.value, left);
  }
  return {
    ...kernel,
    body: w.out,
    stores: kernel.stores.map((s) => ({ ...s, index: s.index.map((v) => now(w, v)), value: now(w, s.value) })),
  };
}
/** A sum over an outer axis of sums that are products. */
const sumOfProduct = (v: Value, products: ReadonlyMap<number, number>): boolean =>
  v.def.kind === "reduce" && v.def.arg.def.kind === "reduce" && products.has(v.def.arg.id);

/** Nothing but values let beside it, and sums, sees an axis. */
function privateTo(kernel: Kernel, axis: Axis, lets: readonly Value[]): boolean {
  const top = new Set(lets.map((v) => v.id));
  return valuesOf(kernel).every((v) => {
    const sees = v.axes.some((a) => a.id === axis.id) || ("axis" in v.def && v.def.axis.id === axis.id);
    if (!sees) return true;
    if (v.def.kind === "pos") return true;
    return top.has(v.id) && ["load", "map", "cast", "reduce"].includes(v.def.kind);
  });
}

type Writer = {
  /** Of products: the elements of a step. */
  readonly blocks: ReadonlyMap<number, number>;
  next: number;
  axis: number;
  /** Old values that have been written, as they are now. */
  readonly done: Map<number, Value>;
  readonly out: Stmt[];
};
const now = (w: Writer, v: Value): Value => w.done.get(v.id) ?? v;

/** Whether a value is of use only inside loops that are made of sums. */
const onlyFor = (v: Value, long: readonly Value[]): boolean =>
  long.some((l) => l.def.kind === "reduce" && v.axes.some((a) => a.id === (l.def as { axis: Axis }).axis.id));

/** Writes a value, and what it is computed from before it. */
function emit(w: Writer, v: Value, left: Value[]): void {
  if (w.done.has(v.id) || ["carry", "step", "result"].includes(v.def.kind)) return;
  if (left.includes(v)) {
    loopOf(w, v, left);
    return;
  }
  for (const a of operandsOf(v.def)) emit(w, a, left);
  const def = withOperands(v.def, (a) => now(w, a));
  const value = def === v.def ? v : { ...v, def };
  w.done.set(v.id, value);
  if (!["const", "scalar", "pos", "edge"].includes(v.def.kind)) w.out.push({ kind: "let", value });
}

/** The loop that makes a sum, and all sums of its length that do not wait for it. */
function loopOf(w: Writer, first: Value, left: Value[]): void {
  const axisOf = (v: Value): Axis => (v.def as { axis: Axis }).axis;
  const outer = (v: Value): boolean => (v.def as { arg: Value }).arg.def.kind === "reduce";
  const group = left.filter(
    (v) =>
      v === first ||
      (axisOf(v).extent === axisOf(first).extent && outer(v) === outer(first) && !left.some((o) => needs(v, o, v))),
  );
  for (const v of group) left.splice(left.indexOf(v), 1);
  const { name, extent } = axisOf(first);
  const axis: Axis = {
    id: w.axis++,
    name,
    role: "fold",
    extent,
    block: outer(first) ? 1 : Math.min(...group.map((v) => w.blocks.get(v.id)!)),
  };
  const gone = new Set(group.map((v) => axisOf(v).id));
  // What does not see the axis is computed before the loop.
  const before = (v: Value): void => {
    for (const a of operandsOf(v.def)) {
      if (a.axes.some((x) => gone.has(x.id))) before(a);
      else emit(w, a, left);
    }
  };
  group.forEach(before);
  const body: Stmt[] = [];
  const inside = new Map<number, Value>();
  const known = new Map<string, Value>();
  const move = (v: Value, whole = false): Value => {
    const old = inside.get(v.id);
    if (old) return old;
    if (!whole && !v.axes.some((a) => gone.has(a.id))) return now(w, v);
    const axes = swap(v.axes);
    const moved = withOperands(v.def, (a) => move(a));
    const def: Def = "axis" in moved && gone.has(moved.axis.id) ? ({ ...moved, axis } as Def) : moved;
    const key = keyOf(v, def);
    const value = known.get(key) ?? { ...v, id: w.next++, axes, def };
    if (!known.has(key) && !["const", "scalar", "pos", "edge"].includes(def.kind)) body.push({ kind: "let", value });
    known.set(key, value);
    inside.set(v.id, value);
    return value;
  };
  const swap = (axes: readonly Axis[]): readonly Axis[] =>
    [...new Map(axes.map((a) => (gone.has(a.id) ? [axis.id, axis] : [a.id, a]))).values()].sort((x, y) => x.id - y.id);
  const fold = w.next++;
  const fresh = (v: Value, def: Def): Value => ({
    id: w.next++,
    dtype: v.dtype,
    axes: v.axes,
    def,
    ...(v.name ? { name: v.name } : {}),
  });
  const carry = group.map((v, place) => fresh(v, { kind: "carry", fold, place }));
  const next = group.map((v, k) => {
    const part = outer(v) ? move((v.def as { arg: Value }).arg) : move(v, true);
    const value: Value = { ...fresh(v, { kind: "map", op: "add", args: [carry[k]!, part] }) };
    body.push({ kind: "let", value });
    return value;
  });
  const results = group.map((v, place) => fresh(v, { kind: "result", fold, place }));
  const init = group.map((v): Value => ({ id: w.next++, dtype: v.dtype, axes: [], def: { kind: "const", value: 0 } }));
  w.out.push({ kind: "fold", id: fold, over: { kind: "blocks", axis }, carry, init, body, next, results });
  group.forEach((v, k) => {
    w.done.set(v.id, results[k]!);
  });
}
/** Whether `v` is computed from `from`. */
function needs(v: Value, from: Value, self: Value): boolean {
  if (v === from && v !== self) return true;
  return operandsOf(v.def).some((a) => needs(a, from, self));
}
const insideOf = (f: Fold): readonly Value[] =>
  f.body
    .flatMap((s) => (s.kind === "let" ? operandsOf(s.value.def) : [...s.init, ...insideOf(s)]))
    .filter((v) => {
      const own = new Set(f.body.flatMap((s) => (s.kind === "let" ? [s.value.id] : s.results.map((r) => r.id))));
      return !own.has(v.id) && !["carry", "step", "result"].includes(v.def.kind);
    });

/** A fold whose values are as they are now. */
function replaced(w: Writer, f: Fold): Fold {
  const local = new Map<number, Value>();
  const swap = (v: Value): Value => {
    const known = local.get(v.id) ?? w.done.get(v.id);
    if (known) return known;
    const def = withOperands(v.def, swap);
    const value = def === v.def ? v : { ...v, def };
    local.set(v.id, value);
    return value;
  };
  return foldWith(f, swap);
}
