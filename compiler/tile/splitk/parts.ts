/** The first of two kernels: a loop in parts, along new axes of the grid, and what each part comes to. */
import { invariant } from "../../base/invariant.ts";
import type { ReduceKind } from "../../core/ir.ts";
import { add, times } from "../arithmetic.ts";
import { constant, edge, load, named, newAxis, operandsOf, pos, reduce } from "../build.ts";
import { axisIn, type Copy, copyFold, copyValue } from "../copy.ts";
import type { Axis, BufferParam, Kernel, Store, Value } from "../ir.ts";
import { axesOf, type FoldLoop, type Loop, type Parts, resultsOf } from "./loops.ts";
import { type Piece, pieceOf, type Reads, readBuffer, readScalar, readsOf } from "./reads.ts";

/** What the parts of each result come to. */
export type Arrays = readonly Omit<BufferParam, "access">[];

export function inParts(kernel: Kernel, loop: Loop, parts: Parts): { readonly first: Piece; readonly arrays: Arrays } {
  const reads = readsOf(kernel);
  const { b } = reads;
  const wanted = loop.kind === "fold" ? loop.laws.next : loop.sums.map((s) => s.arg);
  const { c, numbers } = partCopy(reads, loop, parts, wanted);
  const grid = [...numbers.filter((a) => a.extent > 1), ...kernel.grid.map((a) => axisIn(c, a))];
  if (loop.kind === "fold") {
    const init = loop.fold.init.map((v, k) => beginning(c, loop, k) ?? copyValue(c, v));
    onePart(c, loop, init, numbers, parts[0]!.piece);
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
    const axes = [...grid.filter((a) => a.extent > 1), ...innerAxes(loop, old).map((a) => axisIn(c, a))];
    return { index: axes.map((a) => pos(b, a)), value: copyValue(c, old) };
  });
  const arrays = results.map((old, k) => ({
    name: `${old.name ?? nameOf(loop, old) ?? kernel.name}_parts`,
    dtype: old.dtype,
    shape: stores[k]!.index.map((v) => (v.def.kind === "pos" ? v.def.axis.extent : 1)),
  }));
  const outputs = arrays.map((a): BufferParam => ({ ...a, access: "write" }));
  const made = arrays.map((_, index) => ({ kind: "parts", index }) as const);
  return { first: pieceOf(reads, `${kernel.name}_parts`, grid, stores, outputs, made), arrays };
}
/** The part of a fold that is the block at hand of `numbers`. */
function onePart(
  c: Copy,
  { fold, laws, axes }: FoldLoop,
  init: readonly Value[],
  numbers: readonly Axis[],
  piece: number,
): void {
  if (fold.over.kind === "blocks") {
    pieceAxis(c, axes[0], piece);
    copyFold(c, fold, init, numbers);
    return;
  }
  const from = times(c.b, pos(c.b, numbers[0]!), piece);
  if (piece > 1) {
    copyFold(c, fold, init, numbers, { count: piece, from });
    return;
  }
  // One step is what it goes on by.
  c.values.set(fold.over.step.id, from);
  copyFold(c, laws, init, numbers);
  fold.results.forEach((r, k) => void c.values.set(r.id, c.values.get(laws.results[k]!.id)!));
}
/** Leaves have no names: that of a carry is what it becomes. */
const nameOf = (loop: Loop, result: Value): string | undefined =>
  loop.kind === "fold" ? loop.laws.next[loop.fold.results.indexOf(result)]?.name : undefined;
/** What the parts of result `k` came to, one for each of `part`. */
export function readParts(c: Copy, reads: Reads, loop: Loop, part: Axis, arrays: Arrays, k: number): Value {
  const { b } = c;
  const result = resultsOf(loop)[k]!;
  const others = [...reads.of.grid.filter((a) => a.extent > 1), ...innerAxes(loop, result)];
  // Where a result hangs on no element of an axis of the grid, it may still be one for each of its blocks.
  const placeOf = (a: Axis): Value =>
    result.axes.some((x) => x.id === a.id)
      ? pos(b, axisIn(c, a))
      : a.block === "auto"
        ? constant(b, 0, "i32")
        : edge(b, axisIn(c, a), "first");
  const shape = [part.extent, ...others.map((a) => a.extent)];
  const buffer = readBuffer(reads, { kind: "parts", index: k }, { ...arrays[k]!, shape });
  return load(b, result.dtype, buffer, [pos(b, part), ...others.map(placeOf)]);
}
/** The inner axes of what a loop gives; a running sum's own is none of them. */
const innerAxes = (loop: Loop, v: Value): readonly Axis[] =>
  v.axes.filter((a) => a.role === "inner" && a.extent > 1 && !axesOf(loop).some((axes) => axes.includes(a)));
/** An axis as far as one part goes, or what all leave over. */
export function pieceAxis(c: Copy, a: Axis, extent: number): Axis {
  const block = a.role === "inner" ? extent : a.block === "auto" ? a.block : Math.min(a.block, extent);
  return axisIn(c, { ...a, extent, block });
}
export function opOf({ def }: Value): ReduceKind {
  if (def.kind === "scan") return def.op;
  invariant(def.kind === "reduce" && def.op !== "argmax", "a sum is a reduction");
  return def.op;
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

// ── One part of an axis ──────────────────────────────────────────────────────────────────────────────────────────

/**
 * How values are copied into a kernel that has a part of each of a loop's axes: `numbers` are the axes of the parts. Buffers
 * are seen as `viewed` says, whoever reads or writes them.
 */
export function partCopy(reads: Reads, loop: Loop, parts: Parts, wanted: readonly Value[]) {
  const { b, of: kernel } = reads;
  const numbers = loop.axes.map((a, k) =>
    newAxis(b, { name: `${a.name}_part`, role: "grid", extent: parts[k]!.parts, block: 1 }),
  );
  /** Of each axis that is gone through in parts, its place in the loop. */
  const places = new Map(axesOf(loop).flatMap((axes) => axes.map((a, k) => [a.id, k] as const)));
  const views = viewsOf(kernel, wanted, places, parts);
  const viewed = {
    shape(buffer: number): readonly number[] {
      const view = views.get(buffer);
      return kernel.buffers[buffer]!.shape.flatMap((n, dim) =>
        view?.has(dim) ? [view.get(dim)!.parts, view.get(dim)!.piece] : n,
      );
    },
    index: (buffer: number, index: readonly Value[], copy: (v: Value) => Value): readonly Value[] =>
      index.flatMap((v, dim): readonly Value[] => {
        if (!views.get(buffer)?.has(dim) || v.def.kind !== "pos") return [copy(v)];
        const { axis } = v.def;
        const k = places.get(axis.id)!;
        return [pos(b, numbers[k]!), pos(b, pieceAxis(c, axis, parts[k]!.piece))];
      }),
  };
  const c: Copy = {
    b,
    values: new Map(),
    folds: new Set(loop.kind === "fold" ? [loop.laws.id] : []),
    axes: new Map(),
    pos(a) {
      const k = places.get(a.id);
      if (k === undefined) return undefined;
      return add(b, times(b, pos(b, numbers[k]!), parts[k]!.piece), pos(b, pieceAxis(c, a, parts[k]!.piece)));
    },
    load(d, copy) {
      const param = { ...kernel.buffers[d.buffer]!, shape: viewed.shape(d.buffer) };
      const index = viewed.index(d.buffer, d.index, copy);
      return { buffer: readBuffer(reads, { kind: "buffer", index: d.buffer }, param), index };
    },
    scalar: (k) => readScalar(reads, k),
  };
  return { c, numbers, viewed };
}

/**
 * Buffers of which dimensions are gone through in parts, wherever they are read, and written, are arrays that have two
 * dimensions there: the part, and the element of it.
 */
function viewsOf(
  kernel: Kernel,
  wanted: readonly Value[],
  places: ReadonlyMap<number, number>,
  parts: Parts,
): ReadonlyMap<number, ReadonlyMap<number, Parts[number]>> {
  type Dims = Map<number, Parts[number] | undefined>;
  const found = new Map<number, Dims>();
  const look = (buffer: number, index: readonly Value[], clamp: boolean): void => {
    const dims: Dims = found.get(buffer) ?? new Map();
    found.set(buffer, dims);
    index.forEach((i, dim) => {
      const k = i.def.kind === "pos" && !clamp ? places.get(i.def.axis.id) : undefined;
      const own = k === undefined ? undefined : parts[k]!;
      const whole = own && own.parts * own.piece === kernel.buffers[buffer]!.shape[dim] ? own : undefined;
      dims.set(dim, dims.has(dim) && dims.get(dim) !== whole ? undefined : whole);
    });
  };
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    operandsOf(v.def).forEach(see);
    if (v.def.kind === "load") look(v.def.buffer, v.def.index, v.def.clamp);
  };
  wanted.forEach(see);
  for (const s of kernel.stores) look(s.buffer, s.index, false);
  return new Map(
    [...found].map(([buffer, dims]) => {
      const two = [...dims].flatMap(([dim, p]) => (p && p.piece > 1 && p.parts > 1 ? [[dim, p] as const] : []));
      return [buffer, new Map(two)] as const;
    }),
  );
}
