/**
 * A kernel → two: the first goes through a loop in parts, along a new axis of the grid, and stores what each part comes to; the
 * second makes one of them, in the order of the parts, and does what was done after the loop. What the loop begins with comes in
 * once, in the second.
 *
 *   c(i) = sum d: 4096 x(i, d);  store y [i] = f c
 *       ⟶   c(part, i) = sum d: 512 x(i, part · 512 + d);  store c_parts [part, i] = c        grid part: 8 by 1, i
 *       and  c(i) = sum part: 8 (load c_parts [part, i]);   store y [i] = f c                 grid i
 *
 * A fold's carries are merged as reblock.ts has proven: joined by their op, or summed relative to the extreme of all parts. The
 * elements that parts of one length leave over are gone through in the second kernel.
 */
import { invariant } from "../../base/invariant.ts";
import type { ReduceKind } from "../../core/ir.ts";
import { add, map, plus, times } from "../arithmetic.ts";
import { constant, edge, type KernelBuilder, load, named, newAxis, operandsOf, pos, reduce } from "../build.ts";
import { axisIn, type Copy, copyFold, copyFolds, copyValue, foldsUnder } from "../copy.ts";
import type { Axis, BufferParam, Kernel, Store, Value } from "../ir.ts";
import type { Loop } from "./loops.ts";
import { type Piece, pieceOf, type Reads, readBuffer, readScalar, readsOf } from "./reads.ts";

/** Along each axis of a loop: how many parts, of how many elements. What they leave over is the second kernel's; of one axis only. */
export type Parts = readonly { readonly parts: number; readonly piece: number }[];

/** `arrays`: what the parts of each result come to. */
export type Cut = {
  readonly first: Piece;
  readonly second: Piece;
  readonly arrays: readonly Omit<BufferParam, "access">[];
};
type FoldLoop = Extract<Loop, { readonly kind: "fold" }>;

export function cut(kernel: Kernel, loop: Loop, parts: Parts): Cut {
  const { first, arrays } = inParts(kernel, loop, parts);
  return { first, arrays, second: together(kernel, loop, parts, arrays) };
}
export const countOf = (parts: Parts): number => parts.reduce((n, p) => n * p.parts, 1);

/** The results that have parts, as the kernel calls them. */
const resultsOf = (loop: Loop): readonly Value[] =>
  loop.kind === "sums"
    ? loop.sums.map((s) => s.root)
    : loop.fold.results.filter((_, k) => loop.merges[k]!.kind !== "same");

// ── The parts ────────────────────────────────────────────────────────────────────────────────────────────────────

function inParts(kernel: Kernel, loop: Loop, parts: Parts): Pick<Cut, "first" | "arrays"> {
  const reads = readsOf(kernel);
  const { b } = reads;
  const numbers = loop.axes.map((a, k) =>
    newAxis(b, { name: `${a.name}_part`, role: "grid", extent: parts[k]!.parts, block: 1 }),
  );
  /** Of each axis that is gone through in parts, its place in the loop. */
  const places = new Map(axesOf(loop).flatMap((axes) => axes.map((a, k) => [a.id, k] as const)));
  const views = viewsOf(kernel, loop, places, parts);
  const c: Copy = {
    b,
    values: new Map(),
    folds: new Set(),
    axes: new Map(),
    pos(a) {
      const k = places.get(a.id);
      if (k === undefined) return undefined;
      return add(b, times(b, pos(b, numbers[k]!), parts[k]!.piece), pos(b, pieceAxis(c, a, parts[k]!.piece)));
    },
    load(d, copy) {
      const view = views.get(d.buffer);
      const param = kernel.buffers[d.buffer]!;
      const shape = param.shape.flatMap((n, dim) =>
        view?.has(dim) ? [view.get(dim)!.parts, view.get(dim)!.piece] : n,
      );
      const index = d.index.flatMap((v, dim): readonly Value[] => {
        if (!view?.has(dim) || v.def.kind !== "pos") return [copy(v)];
        const { axis } = v.def;
        const k = places.get(axis.id)!;
        return [pos(b, numbers[k]!), pos(b, pieceAxis(c, axis, parts[k]!.piece))];
      });
      return { buffer: readBuffer(reads, { kind: "buffer", index: d.buffer }, { ...param, shape }), index };
    },
    scalar: (k) => readScalar(reads, k),
  };
  const grid = [...numbers.filter((a) => a.extent > 1), ...kernel.grid.map((a) => axisIn(c, a))];
  if (loop.kind === "fold") {
    const init = loop.fold.init.map((v, k) => beginning(c, loop, k) ?? copyValue(c, v));
    pieceAxis(c, loop.axes[0], parts[0]!.piece);
    copyFold(c, loop.fold, init, numbers);
  } else
    for (const { root, axes, arg } of loop.sums) {
      const sum = axes.reduceRight(
        (v, a, k) => (parts[k]!.piece === 1 ? v : reduce(b, opOf(root), pieceAxis(c, a, parts[k]!.piece), v)),
        copyValue(c, arg),
      );
      c.values.set(root.id, named(sum, root.name, root.span));
    }
  const results = resultsOf(loop);
  const stores = results.map((old): Omit<Store, "buffer"> => {
    const axes = [...grid.filter((a) => a.extent > 1), ...innerAxes(old).map((a) => axisIn(c, a))];
    return { index: axes.map((a) => pos(b, a)), value: copyValue(c, old) };
  });
  const arrays = results.map((old, k) => ({
    name: `${old.name ?? (loop.kind === "fold" ? nameOf(loop, old) : undefined) ?? kernel.name}_parts`,
    dtype: old.dtype,
    shape: stores[k]!.index.map((v) => (v.def.kind === "pos" ? v.def.axis.extent : 1)),
  }));
  const outputs = arrays.map((a): BufferParam => ({ ...a, access: "write" }));
  const made = arrays.map((_, index) => ({ kind: "parts", index }) as const);
  return { first: pieceOf(reads, `${kernel.name}_parts`, grid, stores, outputs, made), arrays };
}
const axesOf = (loop: Loop): readonly (readonly Axis[])[] =>
  loop.kind === "sums" ? loop.sums.map((s) => s.axes) : [loop.axes];
/** Leaves have no names: that of a carry is what it becomes. */
const nameOf = ({ fold }: FoldLoop, result: Value): string | undefined =>
  fold.next[fold.results.findIndex((r) => r.id === result.id)]!.name;
const innerAxes = (v: Value): readonly Axis[] => v.axes.filter((a) => a.role === "inner" && a.extent > 1);
/** An axis as far as one part goes, or what all leave over. */
function pieceAxis(c: Copy, a: Axis, extent: number): Axis {
  const block = a.role === "inner" ? extent : a.block === "auto" ? a.block : Math.min(a.block, extent);
  return axisIn(c, { ...a, extent, block });
}
function opOf({ def }: Value): ReduceKind {
  invariant(def.kind === "reduce" && def.op !== "argmax", "a sum is a reduction");
  return def.op;
}

/**
 * Buffers of which dimensions are gone through in parts, wherever they are read, are arrays that have two dimensions there: the
 * part, and the element of it.
 */
function viewsOf(
  kernel: Kernel,
  loop: Loop,
  places: ReadonlyMap<number, number>,
  parts: Parts,
): ReadonlyMap<number, ReadonlyMap<number, Parts[number]>> {
  type Dims = Map<number, Parts[number] | undefined>;
  const found = new Map<number, Dims>();
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    operandsOf(v.def).forEach(see);
    if (v.def.kind !== "load") return;
    const { buffer, index, clamp } = v.def;
    const dims: Dims = found.get(buffer) ?? new Map();
    found.set(buffer, dims);
    index.forEach((i, dim) => {
      const k = i.def.kind === "pos" && !clamp ? places.get(i.def.axis.id) : undefined;
      const own = k === undefined ? undefined : parts[k]!;
      const whole = own && own.parts * own.piece === kernel.buffers[buffer]!.shape[dim] ? own : undefined;
      dims.set(dim, dims.has(dim) && dims.get(dim) !== whole ? undefined : whole);
    });
  };
  (loop.kind === "fold" ? loop.fold.next : loop.sums.map((s) => s.arg)).forEach(see);
  return new Map(
    [...found].map(([buffer, dims]) => {
      const two = [...dims].flatMap(([dim, p]) => (p && p.piece > 1 && p.parts > 1 ? [[dim, p] as const] : []));
      return [buffer, new Map(two)] as const;
    }),
  );
}

/** What parts begin with where that is not what the loop begins with. */
function beginning(c: Copy, loop: FoldLoop, k: number): Value | undefined {
  const merge = loop.merges[k]!;
  const { dtype, def } = loop.fold.init[k]!;
  if (merge.kind === "same") return undefined;
  const op = merge.kind === "joined" ? merge.op : "sum";
  if (op === "sum" || op === "prod") return constant(c.b, op === "sum" ? 0 : 1, dtype);
  const known = def.kind === "const" || dtype !== "f32" || (op !== "max" && op !== "min");
  return known ? undefined : constant(c.b, op === "max" ? -Infinity : Infinity, dtype);
}

// ── All of them ──────────────────────────────────────────────────────────────────────────────────────────────────

function together(kernel: Kernel, loop: Loop, parts: Parts, arrays: Cut["arrays"]): Piece {
  const reads = readsOf(kernel);
  const { b } = reads;
  const results = resultsOf(loop);
  const stored = kernel.stores.flatMap((s) => [...s.index, s.value]);
  const done: readonly Value[] = loop.kind === "fold" ? loop.fold.results : results;
  const c: Copy = {
    b,
    values: new Map(),
    folds: foldsUnder(kernel.body, stored, new Set(done.map((v) => v.id))),
    axes: new Map(),
    pos: () => undefined,
    load: (d, copy) => ({
      buffer: readBuffer(reads, { kind: "buffer", index: d.buffer }, kernel.buffers[d.buffer]!),
      index: d.index.map(copy),
    }),
    scalar: (k) => readScalar(reads, k),
  };
  const grid = kernel.grid.map((a) => axisIn(c, a));
  const count = countOf(parts);
  const part = newAxis(b, { name: "part", role: "inner", extent: count, block: count });
  const partsOf = (old: Value): Value => readParts(c, reads, part, arrays, results.indexOf(old), old);
  if (loop.kind === "sums") {
    for (const { root, axes, arg } of loop.sums) {
      const sum = reduce(b, opOf(root), part, partsOf(root));
      const left = leftOver(c, axes, parts);
      const more = left && reduce(b, opOf(root), left.axis, copyValue(left.c, arg));
      c.values.set(root.id, named(more ? join(b, opOf(root), sum, more) : sum, root.name, root.span));
    }
  } else {
    const merged = mergedOf(c, loop, part, partsOf);
    const left = leftOver(c, loop.axes, parts);
    if (left) copyFold(left.c, loop.fold, merged);
    loop.fold.results.forEach((r, k) => void c.values.set(r.id, left?.c.values.get(r.id) ?? merged[k]!));
  }
  copyFolds(c, kernel.body);
  const stores = kernel.stores.map((s) => ({
    index: s.index.map((v) => copyValue(c, v)),
    value: copyValue(c, s.value),
  }));
  const outputs = kernel.stores.map((s) => kernel.buffers[s.buffer]!);
  const made = kernel.stores.map((s) => ({ kind: "buffer", index: s.buffer }) as const);
  return pieceOf(reads, kernel.name, grid, stores, outputs, made);
}

/** What the parts of a result came to, one for each of `part`. */
function readParts(c: Copy, reads: Reads, part: Axis, arrays: Cut["arrays"], k: number, old: Value): Value {
  const { b } = c;
  const array = arrays[k]!;
  const grid = reads.of.grid.filter((a) => a.extent > 1);
  const others = [...grid, ...innerAxes(old)];
  // Where a result hangs on no element of an axis of the grid, it may still be one for each of its blocks.
  const placeOf = (a: Axis): Value =>
    old.axes.some((x) => x.id === a.id)
      ? pos(b, axisIn(c, a))
      : a.block === "auto"
        ? constant(b, 0, "i32")
        : edge(b, axisIn(c, a), "first");
  const shape = [part.extent, ...others.map((a) => a.extent)];
  const buffer = readBuffer(reads, { kind: "parts", index: k }, { ...array, shape });
  return load(b, array.dtype, buffer, [pos(b, part), ...others.map(placeOf)]);
}

/** The axis of what parts leave over of a loop, and how values are copied that are for its elements. */
function leftOver(c: Copy, axes: readonly Axis[], parts: Parts): { readonly c: Copy; readonly axis: Axis } | undefined {
  const first = axes.map((_, k) => parts[k]!.parts * parts[k]!.piece);
  if (axes.every((a, k) => a.extent === first[k])) return undefined;
  const [whole] = axes;
  invariant(whole && axes.length === 1, "only of one axis elements are left over");
  const own: Copy = {
    ...c,
    values: new Map(c.values),
    axes: new Map(c.axes),
    pos: (a) => (a.id === whole.id ? plus(c.b, pos(c.b, axis), first[0]!) : undefined),
  };
  const axis = pieceAxis(own, whole, whole.extent - first[0]!);
  return { c: own, axis };
}

/** What the carries of a fold come to over all parts. */
function mergedOf(c: Copy, loop: FoldLoop, part: Axis, partsOf: (old: Value) => Value): readonly Value[] {
  const { b } = c;
  const { fold, merges } = loop;
  const parts = fold.results.map((r, k) => (merges[k]!.kind === "same" ? undefined : partsOf(r)));
  const begin = (k: number): Value => copyValue(c, fold.init[k]!);
  const merged: (Value | undefined)[] = merges.map((m, k) => {
    if (m.kind === "same") return begin(k);
    if (m.kind === "rescaled") return undefined;
    const all = reduce(b, m.op, part, parts[k]!);
    return isNothing(fold.init[k]!, m.op) ? all : join(b, m.op, begin(k), all);
  });
  merges.forEach((m, k) => {
    if (m.kind !== "rescaled") return;
    /** `x`, which is relative to running values as `at` has them by their places, relative to those of all parts. */
    const relative = (x: Value, at: (place: number) => Value): Value => {
      const values = new Map(c.values);
      for (const { carry, next } of m.running) {
        const place = fold.carry.findIndex((v) => v.id === carry.id);
        values.set(carry.id, at(place));
        values.set(next.id, merged[place]!);
      }
      return m.scale.reduce((y, s) => map(b, "mul", [copyValue({ ...c, values }, s), y], x.dtype), x);
    };
    const all = reduce(
      b,
      "sum",
      part,
      relative(parts[k]!, (place) => parts[place]!),
    );
    merged[k] = isNothing(fold.init[k]!, "sum") ? all : join(b, "sum", relative(begin(k), begin), all);
  });
  return merged.map((v, k) => named(v!, fold.next[k]!.name));
}
/** Whether what a loop begins with changes nothing, or is in what parts begin with as well. */
function isNothing({ def }: Value, op: ReduceKind): boolean {
  if (def.kind !== "const") return false;
  return op === "sum" ? def.value === 0 : op === "prod" ? def.value === 1 : true;
}
const ops: { readonly [K in ReduceKind]: "add" | "mul" | "max" | "min" | "or" | "and" } = {
  sum: "add",
  prod: "mul",
  max: "max",
  min: "min",
  any: "or",
  all: "and",
};
const join = (b: KernelBuilder, op: ReduceKind, x: Value, y: Value): Value => map(b, ops[op], [x, y], x.dtype);
