/**
 * What of a kernel can be done in parts: sums (or products, extremes) along inner axes, running sums, folds over blocks of which
 * it is proven how several make one (reblock.ts), and steps that go on by such folds. All are of single elements of their axes,
 * so that any elements may be taken together, as long as all are.
 */
import { operandsOf } from "../build.ts";
import type { Axis, Fold, Kernel, Value } from "../ir.ts";
import { type Merge, mergesOf } from "../reblock.ts";
import { dependsOn } from "../values.ts";

/**
 * `axes`: those that are gone through, the outer ones first; only a sum of sums has several. `sums`: the sums, products or
 * extremes that are made in it, each with what is reduced in the end; or the running sums.
 */
export type Loop = SumLoop | ScanLoop | FoldLoop;
export type SumLoop = { readonly kind: "sums"; readonly axes: readonly Axis[]; readonly sums: readonly Sum[] };
export type ScanLoop = { readonly kind: "scans"; readonly axes: readonly Axis[]; readonly sums: readonly Sum[] };
/** `laws`: the fold over blocks by which carries change: the loop itself, or what each of its steps goes on by, place for place. */
export type FoldLoop = {
  readonly kind: "fold";
  readonly axes: readonly [Axis];
  readonly fold: Fold;
  readonly laws: Fold;
  readonly merges: readonly Merge[];
};
/** `root` is the value, `arg` what is reduced along `axes`, one for each of its loop's. */
export type Sum = { readonly root: Value; readonly axes: readonly Axis[]; readonly arg: Value };

/** Along each axis of a loop: how many parts, of how many elements. What they leave over is the second kernel's; of one axis only. */
export type Parts = readonly { readonly parts: number; readonly piece: number }[];
export const countOf = (parts: Parts): number => parts.reduce((n, p) => n * p.parts, 1);

/** The results that have parts, as the kernel calls them. */
export const resultsOf = (loop: Loop): readonly Value[] =>
  loop.kind === "fold"
    ? loop.fold.results.filter((_, k) => loop.merges[k]!.kind !== "same")
    : loop.sums.map((s) => s.root);
/** The axes of each thing that is computed in a loop. */
export const axesOf = (loop: Loop): readonly (readonly Axis[])[] =>
  loop.kind === "fold" ? [loop.axes] : loop.sums.map((s) => s.axes);

export const elementsOf = (axes: readonly Axis[]): number => axes.reduce((n, a) => n * a.extent, 1);

/** A kernel's loops that can be done in parts, the longest first. */
export function loopsOf(kernel: Kernel): readonly Loop[] {
  // What is written over while it is read can't be read again later.
  const rewritten = new Set(kernel.buffers.flatMap((b, k) => (b.access === "read" ? [] : [k])));
  const folds = kernel.body.flatMap((s) => (s.kind === "fold" ? (foldLoop(s) ?? []) : []));
  const sums = kernel.body.flatMap((s) => (s.kind === "let" ? (sumOf(s.value) ?? []) : []));
  const parts = new Set(sums.flatMap(({ root, axes }) => innerSums(root, axes.length)));
  const roots = sums.filter(({ root }) => !parts.has(root.id));
  /** Whether parts could begin at once: nothing waits for another loop. */
  const ready = (v: Value): boolean =>
    !reaches([v], ({ def: d }) => d.kind === "result" || (d.kind === "load" && rewritten.has(d.buffer)));
  return [...folds, ...together(roots), ...scansOf(kernel)]
    .filter((l) => rootsOf(l).every(ready))
    .sort((x, y) => lengthOf(y) - lengthOf(x));
}
/** The elements that a loop goes through. */
export const lengthOf = (l: Loop): number =>
  elementsOf(l.axes) *
  (l.kind === "fold" && l.laws !== l.fold && l.laws.over.kind === "blocks" ? l.laws.over.axis.extent : 1);

/** A fold whose merge is known; or steps of which each goes on by such a fold from the last: that is one over all their blocks. */
function foldLoop(f: Fold): FoldLoop | undefined {
  if (f.over.kind === "blocks") {
    const merges = mergesOf(f);
    const { axis } = f.over;
    const fixed = merges?.every((m) => m.kind !== "rescaled" || m.scale.every((v) => !dependsOn(v, axis)));
    return merges && fixed ? { kind: "fold", axes: [axis], fold: f, laws: f, merges } : undefined;
  }
  const { count, step } = f.over;
  const inner = f.body.filter((s) => s.kind === "fold");
  const [laws] = inner;
  const own = laws && inner.length === 1 ? foldLoop(laws) : undefined;
  if (!own || own.laws !== laws) return undefined;
  const isCarry = (v: Value): boolean => f.carry.some((c) => c.id === v.id);
  const others = f.body.flatMap((s) => (s.kind === "let" ? [s.value] : [...s.next]));
  const goesOn =
    f.next.length === laws.results.length &&
    f.next.every((v, k) => v.id === laws.results[k]!.id && laws.init[k]!.id === f.carry[k]!.id) &&
    !reaches(others, isCarry) &&
    own.merges.every((m) => {
      if (m.kind !== "rescaled") return true;
      // But for the extremes that it is a function of, a scale must be the same in all steps.
      const running = new Set(m.running.map((r) => r.next.id));
      return !reaches(m.scale, (v) => v.id === step.id, running);
    });
  const axis: Axis = { id: -1 - f.id, name: step.name ?? "step", role: "fold", extent: count, block: 1 };
  return goesOn ? { kind: "fold", axes: [axis], fold: f, laws, merges: own.merges } : undefined;
}
/** What a loop computes, and begins with. */
const rootsOf = (l: Loop): readonly Value[] =>
  l.kind === "fold" ? [...l.laws.next, ...l.fold.init] : l.sums.map((s) => s.root);
/** Whether a loop needs what another computes. */
export const waitsFor = (l: Loop, other: Loop): boolean =>
  other.kind !== "fold" && other !== l && other.sums.some((s) => reaches(rootsOf(l), (v) => v.id === s.root.id));

/** A reduction along an inner axis, and those that it is one of along others: a sum of sums. */
function sumOf(root: Value): Sum | undefined {
  const axes: Axis[] = [];
  let arg = root;
  const op = root.def.kind === "reduce" ? root.def.op : undefined;
  while (arg.def.kind === "reduce" && arg.def.op === op && op !== "argmax" && arg.def.axis.role === "inner") {
    axes.push(arg.def.axis);
    arg = arg.def.arg;
  }
  return axes.length > 0 && axes.every((a) => isSingle(arg, a)) ? { root, axes, arg } : undefined;
}
const innerSums = (root: Value, count: number): readonly number[] => {
  const found: number[] = [];
  let v = root;
  for (let k = 1; k < count && v.def.kind === "reduce"; k++) found.push((v = v.def.arg).id);
  return found;
};

/** Whether a value is of single elements of an axis: nothing is joined or taken from elsewhere along it. */
const isSingle = (v: Value, axis: Axis): boolean => !reaches([v], (x) => joins(x, axis));
const joins = ({ def: d }: Value, axis: Axis): boolean =>
  ((d.kind === "reduce" || d.kind === "scan" || d.kind === "edge") && d.axis.id === axis.id) ||
  (d.kind === "at" && d.bind.some((b) => b.axis.id === axis.id));

/**
 * The running sums along an axis, where a kernel does nothing else along it than what it does element by element: then it may
 * have any part of it.
 */
function scansOf(kernel: Kernel): readonly ScanLoop[] {
  if (kernel.body.some((s) => s.kind === "fold")) return [];
  const values = kernel.body.flatMap((s) => (s.kind === "let" ? [s.value] : []));
  const found = new Map<number, { axis: Axis; sums: Sum[] }>();
  for (const v of values) {
    const d = v.def;
    if (d.kind !== "scan" || d.axis.role !== "inner") continue;
    const known = found.get(d.axis.id) ?? { axis: d.axis, sums: [] };
    found.set(d.axis.id, known);
    known.sums.push({ root: v, axes: [d.axis], arg: d.arg });
  }
  return [...found.values()].flatMap(({ axis, sums }): ScanLoop[] => {
    const roots = new Set(sums.map((s) => s.root.id));
    const plain =
      values.every((v) => roots.has(v.id) || !joins(v, axis)) &&
      sums.every((s) => isSingle(s.arg, axis)) &&
      kernel.stores.every((s) => s.index.some((i) => dependsOn(i, axis)));
    return plain ? [{ kind: "scans", axes: [axis], sums }] : [];
  });
}

/** Sums along axes of the same lengths that do not wait for each other, and have none of each other's axes, share a loop. */
function together(sums: readonly Sum[]): readonly Loop[] {
  const loops: { axes: readonly Axis[]; sums: Sum[] }[] = [];
  const lengths = (axes: readonly Axis[]): string => String(axes.map((a) => a.extent));
  /** Whether `s` goes through the axes of `o` where `o` does, or not at all. */
  const fits = (s: Sum, o: Sum): boolean =>
    !reaches([s.root], (v) => v.id === o.root.id) &&
    o.axes.every((a, k) => s.axes.every((x, j) => x.id !== a.id || j === k)) &&
    o.axes.every((a) => !dependsOn(s.root, a) && isSingle(s.arg, a));
  for (const s of sums) {
    const known = loops.find(
      (l) => lengths(l.axes) === lengths(s.axes) && l.sums.every((o) => fits(s, o) && fits(o, s)),
    );
    if (known) known.sums.push(s);
    else loops.push({ axes: s.axes, sums: [s] });
  }
  return loops.map((l) => ({ kind: "sums", ...l }));
}
/** Whether a value is found among some and what they are computed from; nothing is looked for in `given`. */
function reaches(values: readonly Value[], found: (v: Value) => boolean, given: Iterable<number> = []): boolean {
  const seen = new Set<number>(given);
  const look = (v: Value): boolean => {
    if (seen.has(v.id)) return false;
    seen.add(v.id);
    return found(v) || operandsOf(v.def).some(look);
  };
  return values.some(look);
}
