/** The second of two kernels: what the parts of a loop came to is made one, in their order, and what was done after the loop. */
import { invariant } from "../../base/invariant.ts";
import type { ReduceKind } from "../../core/ir.ts";
import { map, plus } from "../arithmetic.ts";
import { type KernelBuilder, named, newAxis, pos, reduce } from "../build.ts";
import { axisIn, type Copy, copyFold, copyFolds, copyValue, foldsUnder } from "../copy.ts";
import type { Axis, Kernel, Value } from "../ir.ts";
import { countOf, type FoldLoop, type Parts, resultsOf, type SumLoop } from "./loops.ts";
import { type Arrays, opOf, pieceAxis, readParts } from "./parts.ts";
import { type Piece, pieceOf, readBuffer, readScalar, readsOf } from "./reads.ts";

export function together(kernel: Kernel, loop: SumLoop | FoldLoop, parts: Parts, arrays: Arrays): Piece {
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
  const part = newAxis(b, { name: "parts", role: "inner", extent: count, block: count });
  const partsOf = (old: Value): Value => readParts(c, reads, loop, part, arrays, results.indexOf(old));
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
  const { fold, laws, merges } = loop;
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
        const place = laws.carry.findIndex((v) => v.id === carry.id);
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
  return merged.map((v, k) => named(v!, laws.next[k]!.name));
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
