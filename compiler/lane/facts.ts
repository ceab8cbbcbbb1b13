/**
 * What lowering has to know of a kernel's values before it writes a line: how often each is used and where, which loops
 * it needs, in which region it can first be computed, and whether it is kept in an array.
 */
import { isSlow } from "../core/ops.ts";
import { operandsOf } from "../tile/build.ts";
import type { Axis, Fold, Kernel, Stmt, Value } from "../tile/ir.ts";
import { valuesOf } from "../tile/values.ts";
import { isHeld, type Mapping } from "./map.ts";

export type Facts = {
  readonly uses: ReadonlyMap<number, number>;
  /** Depth of the fold body in which a value must be computed: 0 is the kernel's. */
  readonly depth: Map<number, number>;
  /** Values kept in an array of the thread: recomputing them in every loop would cost more. */
  readonly stored: ReadonlySet<number>;
  /** Axes along which a value's elements lie side by side in some array that it is loaded from. */
  readonly natural: ReadonlyMap<number, ReadonlySet<number>>;
  /** Values that stand inside the one expression that uses them. */
  readonly inlined: ReadonlySet<number>;
  /** Reductions over an axis of several rounds that can share one loop: by the name of the loop. */
  readonly loops: ReadonlyMap<string, readonly Value[]>;
  readonly loopOf: ReadonlyMap<number, string>;
  /** The first reduction to run over a value's rounds. A value kept in an array is filled in its loop, before any other needs it. */
  readonly firstReader: ReadonlyMap<number, Value>;
  /** By carry: a sum over rounds that is added to the carry in place, within the loop that it shares. */
  readonly accumulated: ReadonlyMap<number, Accumulated>;
  /** Axes that re-indexing addresses at run time, for each value so addressed. */
  readonly addressed: ReadonlyMap<number, ReadonlySet<number>>;
};

/** carry = base + Σ over rounds of `sum`'s axis. `base` reads the carry at the same elements only. */
export type Accumulated = { readonly sum: Value; readonly base: Value; readonly loop: string };

const storedLimit = 4096;
/** What stays in a processor's second cache beside another. */
const panelLimit = 32768;

/**
 * A factor that lies across the rows of a sum, and that several rounds of something else read again: laid together once, it
 * is read in order from then on.
 */
function isPanel(v: Value, used: readonly Value[], looped: (axes: readonly Axis[]) => readonly Axis[]): boolean {
  if (v.def.kind !== "load" || v.def.clamp) return false;
  const rounds = looped(v.axes);
  const last = v.def.index.at(-1)?.def;
  const across = rounds.some((a) => a.role !== "grid" && !(last?.kind === "pos" && last.axis.id === a.id));
  return across && used.some((u) => u.def.kind === "map" && looped(u.axes).length > rounds.length);
}

export function factsOf(kernel: Kernel, mapping: Mapping): Facts {
  const values = valuesOf(kernel);
  const folds = collectFolds(kernel.body, 1);
  const foldDepth = new Map(folds.map(({ fold, depth }) => [fold.id, depth]));
  const axisDepth = new Map(
    folds.flatMap(({ fold, depth }) => (fold.over.kind === "blocks" ? [[fold.over.axis.id, depth] as const] : [])),
  );
  const looped = (axes: readonly Axis[]): readonly Axis[] =>
    axes.filter((a) => (mapping.axes.get(a.id)?.loop ?? 1) > 1);

  const uses = new Map<number, number>();
  const consumers = new Map<number, Value[]>();
  const use = (v: Value, by?: Value): void => {
    uses.set(v.id, (uses.get(v.id) ?? 0) + 1);
    if (by) consumers.set(v.id, [...(consumers.get(v.id) ?? []), by]);
  };
  for (const v of values) for (const a of operandsOf(v.def)) use(a, v);
  for (const { fold } of folds) {
    for (const v of [...fold.init, ...fold.next]) use(v);
    for (const f of fold.bounds?.full ?? []) use(f.when);
  }
  for (const s of kernel.stores) {
    use(s.value);
    for (const i of s.index) use(i);
  }

  /** In how many folds a value has to be computed, for what it is and not for what it is computed from. */
  const ownDepth = ({ def }: Value): number => {
    switch (def.kind) {
      case "carry":
      case "step":
        return foldDepth.get(def.fold) ?? 0;
      case "result":
        return (foldDepth.get(def.fold) ?? 1) - 1;
      case "pos":
      case "edge":
        return axisDepth.get(def.axis.id) ?? 0;
      case "reduce":
      case "scan":
        // Of a constant too: the last block has fewer elements.
        return mapping.axes.get(def.axis.id)?.ragged ? (axisDepth.get(def.axis.id) ?? 0) : 0;
      default:
        return 0;
    }
  };
  const depth = new Map<number, number>();
  for (const v of values)
    depth.set(
      v.id,
      operandsOf(v.def).reduce((d, a) => Math.max(d, depth.get(a.id) ?? 0), ownDepth(v)),
    );

  const addressed = new Map<number, Set<number>>();
  for (const v of values)
    if (v.def.kind === "at") {
      const at = addressed.get(v.def.arg.id) ?? new Set<number>();
      for (const b of v.def.bind) if (!isHeld(mapping, b)) at.add(b.axis.id);
      if (at.size > 0) addressed.set(v.def.arg.id, at);
    }

  const natural = new Map<number, ReadonlySet<number>>();
  const carried = new Map(folds.flatMap(({ fold }) => fold.carry.map((c, k) => [c.id, fold.next[k]!] as const)));
  const results = new Map(folds.flatMap(({ fold }) => fold.results.map((r, k) => [r.id, fold.next[k]!] as const)));
  const naturalOf = (v: Value, guard: number): ReadonlySet<number> => {
    const known = natural.get(v.id);
    if (known) return known;
    if (guard > 64) return new Set();
    const of = (x: Value): ReadonlySet<number> => naturalOf(x, guard + 1);
    let found = new Set<number>();
    const d = v.def;
    if (d.kind === "load") {
      const last = d.index.at(-1)?.def;
      if (last?.kind === "pos") found.add(last.axis.id);
    } else if (d.kind === "map") {
      for (const a of d.args) if (a.dtype !== "bool" || v.dtype === "bool") for (const x of of(a)) found.add(x);
    } else if (d.kind === "cast" || d.kind === "scan") found = new Set(of(d.arg));
    else if (d.kind === "reduce") {
      found = new Set(of(d.arg));
      found.delete(d.axis.id);
    } else if (d.kind === "carry" || d.kind === "result") {
      natural.set(v.id, new Set());
      const next = carried.get(v.id) ?? results.get(v.id);
      if (next) found = new Set(of(next));
    }
    natural.set(v.id, found);
    return found;
  };
  const { simd } = mapping;
  if (simd)
    for (const v of values) natural.set(v.id, new Set(v.axes.filter((a) => a.id === simd.axis).map((a) => a.id)));
  else for (const v of values) naturalOf(v, 0);
  // A carry seen before its next value was known to lie side by side learns it from the stores.
  for (const { fold } of simd ? [] : folds)
    fold.carry.forEach((c, k) => {
      const all = new Set([...(natural.get(fold.next[k]!.id) ?? []), ...(natural.get(fold.init[k]!.id) ?? [])]);
      natural.set(c.id, all);
      natural.set(fold.results[k]!.id, all);
    });

  const shared = sharedLoops(values, folds, placesOf(values, folds), uses, consumers, mapping, looped);
  const cost = new Map<number, number>();
  const stored = new Set<number>();
  for (const v of values) {
    const d = v.def;
    const own = d.kind === "reduce" ? 8 : d.kind === "load" ? 1 : d.kind === "map" ? (isSlow(d.op) ? 4 : 0.25) : 0;
    const total = operandsOf(v.def).reduce((c, a) => c + (stored.has(a.id) ? 0.5 : (cost.get(a.id) ?? 0)), own);
    cost.set(v.id, total);
    if (
      d.kind === "carry" ||
      d.kind === "result" ||
      d.kind === "const" ||
      d.kind === "scalar" ||
      d.kind === "step" ||
      d.kind === "pos" ||
      d.kind === "edge"
    )
      continue;
    const loops = looped(v.axes);
    const used = consumers.get(v.id) ?? [];
    const here = depth.get(v.id) ?? 0;
    const size = v.axes.reduce((n, a) => n * registers(mapping, a), 1);
    const deeper = used.some((u) => (depth.get(u.id) ?? 0) > here);
    const wider = used.some(
      (u) => looped(u.def.kind === "reduce" ? [...u.axes, u.def.axis] : u.axes).length > loops.length,
    );
    const scanned = d.kind === "scan" && loops.length > 0;
    if (shared.once.has(v.id) && !addressed.has(v.id) && !scanned) continue;
    if (scanned || (mapping.simd && size <= panelLimit && isPanel(v, used, looped))) stored.add(v.id);
    else if (addressed.has(v.id)) stored.add(v.id);
    else if (loops.length === 0) continue;
    // Numbers of f16 take a processor as long to be widened as several products do.
    else if (mapping.simd && wider && d.kind === "cast" && d.arg.dtype === "f16" && size <= panelLimit)
      stored.add(v.id);
    else if (deeper && total >= 1 && size <= (mapping.simd ? panelLimit : storedLimit) / 4) stored.add(v.id);
    else if (total >= 4 && ((uses.get(v.id) ?? 0) > 1 || (wider && d.kind !== "load")) && size <= storedLimit * 4)
      stored.add(v.id);
  }

  const inlined = new Set<number>();
  for (const v of values) {
    const used = consumers.get(v.id) ?? [];
    if (v.def.kind !== "map" && v.def.kind !== "cast" && v.def.kind !== "load") continue;
    if ((uses.get(v.id) ?? 0) !== 1 || stored.has(v.id)) continue;
    const by = used[0];
    if (!by) inlined.add(v.id);
    else {
      const seen = by.def.kind === "reduce" || by.def.kind === "scan" ? unite(by.axes, [by.def.axis]) : by.axes;
      if (sameAxes(seen, v.axes, mapping)) inlined.add(v.id);
    }
  }
  const { loops, loopOf, accumulated, firstReader } = shared;
  return { uses, depth, stored, natural, inlined, addressed, loops, loopOf, accumulated, firstReader };
}

/** Where a value is computed: in the body of which fold (undefined: the kernel's), and after how many of the folds in it. */
type Place = { readonly depth: number; readonly fold: number | undefined; readonly after: number };

function placesOf(
  values: readonly Value[],
  folds: readonly { readonly fold: Fold; readonly depth: number }[],
): ReadonlyMap<number, Place> {
  const parent = new Map(
    folds.flatMap(({ fold }) => fold.body.flatMap((s) => (s.kind === "fold" ? [[s.id, fold.id] as const] : []))),
  );
  const depthOf = new Map(folds.map(({ fold, depth }) => [fold.id, depth]));
  const number = new Map(folds.map(({ fold }, k) => [fold.id, k + 1]));
  const byAxis = new Map(
    folds.flatMap(({ fold }) => (fold.over.kind === "blocks" ? [[fold.over.axis.id, fold.id] as const] : [])),
  );
  const inside = (fold: number | undefined): Place => ({
    depth: fold === undefined ? 0 : (depthOf.get(fold) ?? 0),
    fold,
    after: 0,
  });
  const places = new Map<number, Place>();
  for (const v of values) {
    const d = v.def;
    const own: Place =
      d.kind === "result"
        ? { ...inside(parent.get(d.fold)), after: number.get(d.fold) ?? 0 }
        : d.kind === "carry" || d.kind === "step"
          ? inside(d.fold)
          : inside(d.kind === "pos" || d.kind === "edge" ? byAxis.get(d.axis.id) : undefined);
    // The innermost of what it is made of; what is known from further out has no order in there.
    let place = own;
    for (const a of operandsOf(d)) {
      const p = places.get(a.id) ?? own;
      if (p.depth > place.depth || (p.depth === place.depth && p.after > place.after)) place = p;
    }
    places.set(v.id, place);
  }
  return places;
}

type Reduction = Value & { readonly def: Extract<Value["def"], { kind: "reduce" }> };
const isReduction = (v: Value): v is Reduction => v.def.kind === "reduce";

/**
 * Reductions over the same rounds share a loop when none needs another's result. A reduction's stage is the number of
 * reductions over the same axis that it waits for; those of one stage share that are in one fold's body and wait for the
 * same folds in it. `once`: values of those rounds that are needed in one loop only, so that they never leave the registers.
 */
function sharedLoops(
  values: readonly Value[],
  folds: readonly { readonly fold: Fold }[],
  places: ReadonlyMap<number, Place>,
  uses: ReadonlyMap<number, number>,
  consumers: ReadonlyMap<number, readonly Value[]>,
  mapping: Mapping,
  looped: (axes: readonly Axis[]) => readonly Axis[],
) {
  const stages = new Map<number, ReadonlyMap<number, number>>();
  const stageOf = (v: Value, axis: Axis): number => stages.get(v.id)?.get(axis.id) ?? 0;
  for (const v of values) {
    const own = new Map<number, number>();
    for (const a of operandsOf(v.def))
      for (const [axis, stage] of stages.get(a.id) ?? []) own.set(axis, Math.max(own.get(axis) ?? 0, stage));
    if (isReduction(v)) own.set(v.def.axis.id, (own.get(v.def.axis.id) ?? 0) + 1);
    stages.set(v.id, own);
  }
  const regionOf = (v: Value): number => places.get(v.id)?.fold ?? -1;
  const afterOf = (v: Value): number => places.get(v.id)?.after ?? 0;
  const loopName = (v: Reduction): string =>
    `${v.def.axis.id} in ${regionOf(v)}, ${stageOf(v, v.def.axis)} after ${afterOf(v)}`;
  const loopOf = new Map<number, string>();
  const loops = new Map<string, Value[]>();
  for (const v of values) {
    if (!isReduction(v) || looped([v.def.axis]).length === 0 || looped(v.axes).length > 0) continue;
    const name = loopName(v);
    loopOf.set(v.id, name);
    loops.set(name, [...(loops.get(name) ?? []), v]);
  }
  // A processor's arrays are as near as its registers; on a GPU a sum is kept in those where it can be.
  const alike = (a: readonly Axis[], b: readonly Axis[]): boolean =>
    mapping.simd ? sameAxes(a, b, mapping) : a.length === b.length;
  const accumulated = new Map<number, Accumulated>();
  for (const { fold } of folds)
    fold.carry.forEach((carry, k) => {
      const next = fold.next[k]!;
      if (looped(carry.axes).length === 0 || next.def.kind !== "map" || next.def.op !== "add") return;
      if ((uses.get(next.id) ?? 0) !== 1 || !readsOnce(carry, next, uses, consumers)) return;
      for (const [sum, base] of [next.def.args, [...next.def.args].reverse()] as const) {
        if (!sum || !base || !isReduction(sum) || sum.def.op !== "sum" || looped([sum.def.axis]).length === 0) continue;
        if ((uses.get(sum.id) ?? 0) !== 1 || !alike(sum.axes, next.axes)) continue;
        if (stageOf(base, sum.def.axis) >= stageOf(sum, sum.def.axis)) continue;
        const loop = loopName(sum);
        accumulated.set(carry.id, { sum, base, loop });
        loopOf.set(sum.id, loop);
        return;
      }
    });

  const wanted = new Map<number, ReadonlySet<string>>();
  const once = new Set<number>();
  for (const v of [...values].reverse()) {
    const mine = new Set<string>();
    for (const u of consumers.get(v.id) ?? []) {
      const loop = isReduction(u) ? loopOf.get(u.id) : undefined;
      if (isReduction(u)) mine.add(loop ?? "elsewhere");
      else for (const w of wanted.get(u.id) ?? ["elsewhere"]) mine.add(w);
    }
    if ((uses.get(v.id) ?? 0) > (consumers.get(v.id) ?? []).length) mine.add("elsewhere");
    wanted.set(v.id, mine.size > 0 ? mine : new Set(["elsewhere"]));
    const [only] = mine;
    const axes = looped(v.axes);
    if (
      mine.size === 1 &&
      only !== "elsewhere" &&
      axes.length === 1 &&
      only?.startsWith(`${axes[0]!.id} in ${regionOf(v)},`)
    )
      once.add(v.id);
  }

  const inPlace = new Set([...accumulated.values()].map(({ sum }) => sum.id));
  const readers = new Map<number, readonly Reduction[]>();
  const firstReader = new Map<number, Value>();
  for (const v of [...values].reverse()) {
    const axes = looped(v.axes);
    const mine = new Set<Reduction>();
    for (const u of consumers.get(v.id) ?? [])
      if (!isReduction(u)) for (const r of readers.get(u.id) ?? []) mine.add(r);
      else if (!inPlace.has(u.id)) mine.add(u);
    readers.set(v.id, [...mine]);
    const same = [...mine].filter(
      (r) =>
        loopOf.has(r.id) &&
        axes.some((a) => a.id === r.def.axis.id) &&
        regionOf(r) === regionOf(v) &&
        afterOf(r) === afterOf(v),
    );
    const first = same.reduce<Reduction | undefined>(
      (best, r) => (best && stageOf(best, best.def.axis) <= stageOf(r, r.def.axis) ? best : r),
      undefined,
    );
    if (first) firstReader.set(v.id, first);
  }
  return { loops, loopOf, accumulated, once, firstReader };
}

/** The carry is read once, on a path of single-use maps that ends in `next`. */
function readsOnce(
  carry: Value,
  next: Value,
  uses: ReadonlyMap<number, number>,
  consumers: ReadonlyMap<number, readonly Value[]>,
): boolean {
  for (let v = carry; v.id !== next.id; ) {
    const by = consumers.get(v.id)?.[0];
    if ((uses.get(v.id) ?? 0) !== 1 || !by || by.def.kind !== "map") return false;
    v = by;
  }
  return true;
}

const unite = (a: readonly Axis[], b: readonly Axis[]): readonly Axis[] => [
  ...a,
  ...b.filter((x) => !a.some((y) => y.id === x.id)),
];
/** The same registers and rounds: axes of one element don't count. */
function sameAxes(a: readonly Axis[], b: readonly Axis[], mapping: Mapping): boolean {
  const big = (axes: readonly Axis[]): string =>
    axes
      .filter((x) => registers(mapping, x) > 1)
      .map((x) => x.id)
      .sort((p, q) => p - q)
      .join();
  return big(a) === big(b);
}
/** How many elements of an axis one thread holds. */
export const registers = (mapping: Mapping, a: Axis): number => {
  const m = mapping.axes.get(a.id);
  return m ? m.unroll * m.loop : 1;
};

function collectFolds(
  body: readonly Stmt[],
  depth: number,
): readonly { readonly fold: Fold; readonly depth: number }[] {
  return body.flatMap((s) => (s.kind === "fold" ? [{ fold: s, depth }, ...collectFolds(s.body, depth + 1)] : []));
}
