/**
 * What a kernel allows of its mapping: which axes may be dealt out or blocked at will, along which four elements lie side
 * by side, and where products are that registers along several axes save loads of.
 */
import { inGroup } from "../tile/groups.ts";
import type { Axis, Kernel, Value } from "../tile/ir.ts";
import { blocksAreFree } from "../tile/reblock.ts";
import { valuesOf } from "../tile/values.ts";
import { type Crossable, crossableOf, crosswiseAxes } from "./crosswise.ts";
import { type AxisMap, axesOf, foldsOf, type Mapping, type MappingChoice } from "./map.ts";

export type Allowed = {
  readonly axes: readonly Axis[];
  readonly values: readonly Value[];
  /** Grid axes whose elements may be dealt to threads at will, and folds whose blocks may be of any size. */
  readonly free: ReadonlySet<number>;
  /** Axes of a multiple of four elements along which some array lies side by side in memory. */
  readonly vector: ReadonlySet<number>;
  readonly products: readonly Product[];
  readonly crossable: Crossable;
  /** Free axes whose elements meet in aligned groups of so many: a thread has whole groups, side by side. */
  readonly groups: ReadonlyMap<number, number>;
};
/** A sum of products whose factors depend on different axes: registers along its axes save loads. */
export type Product = {
  readonly axes: readonly Axis[];
  readonly over: Axis;
  readonly sides: readonly (readonly Axis[])[];
};

export function allowedOf(kernel: Kernel): Allowed {
  const axes = axesOf(kernel);
  const values = valuesOf(kernel);
  const adjacent = adjacentAxes(values, kernel);
  const vector = new Set(axes.filter((a) => adjacent.has(a.id) && a.extent % 4 === 0).map((a) => a.id));
  const grouped = groupedAxes(kernel);
  const meeting = meetingAxes(kernel);
  // Only groups of four neighbours are surely together in a thread.
  for (const id of grouped.keys()) if (!vector.has(id)) meeting.add(id);
  return {
    axes,
    values,
    free: new Set([
      ...kernel.grid.filter((a) => !meeting.has(a.id)).map((a) => a.id),
      ...foldsOf(kernel.body).flatMap((f) => (f.over.kind === "blocks" && blocksAreFree(f) ? [f.over.axis.id] : [])),
    ]),
    vector,
    products: productsOf(values),
    crossable: crossableOf(values),
    groups: new Map([...grouped].filter(([id]) => !meeting.has(id))),
  };
}

/** The block that the program asks for; that of an `auto` axis is the mapping's to choose. */
export const blockAsked = (a: Axis): number =>
  a.role === "inner" || a.block === "auto" ? a.extent : Math.min(a.extent, a.block);

/** The mapping that a choice makes. The choice is taken as it is: checkMapping says whether it may be. */
export function mappingOf(allowed: Allowed, choice: MappingChoice): Mapping {
  const dealt: ReadonlyMap<number, AxisMap> = new Map(
    allowed.axes.map((axis, k) => {
      const { block, lanes, unroll } = choice.axes[k]!;
      const vector = choice.simd === undefined ? allowed.vector.has(axis.id) && unroll % 4 === 0 : choice.simd === k;
      const loop = Math.ceil(block / (unroll * lanes));
      return [axis.id, { axis, block, lanes, unroll, vector, loop, ragged: axis.extent % block !== 0 }] as const;
    }),
  );
  const crosswise = choice.spread ? crosswiseAxes(allowed.crossable, dealt) : new Set();
  const axes = new Map([...dealt].map(([id, m]) => [id, crosswise.has(id) ? { ...m, crosswise: true as const } : m]));
  let groups = 1;
  let threads = 1;
  for (const m of axes.values()) {
    if (m.axis.role === "grid") groups *= Math.ceil(m.axis.extent / m.block);
    threads *= m.lanes;
  }
  const simd = typeof choice.simd === "number" ? (allowed.axes[choice.simd]?.id ?? null) : null;
  return {
    axes,
    threads,
    groups,
    spread: choice.spread,
    ...(choice.written && { written: true }),
    ...(choice.simd !== undefined && { simd: { axis: simd } }),
    ...(choice.team !== undefined && { team: choice.team }),
  };
}
/** The choice that a mapping was made by. */
export function choiceOf({ axes, spread, written, simd, team }: Mapping): MappingChoice {
  const number = [...axes.keys()].indexOf(simd?.axis ?? -1);
  return {
    axes: [...axes.values()].map(({ axis, block, lanes, unroll }) => ({ axis: axis.name, block, lanes, unroll })),
    spread,
    ...(written && { written }),
    ...(simd && { simd: number < 0 ? null : number }),
    ...(team !== undefined && { team }),
  };
}

/**
 * Grid axes along which elements meet (reduced, scanned or re-indexed), or whose elements are counted from the first of
 * their block: the program's blocks are then what they are, and each belongs to one thread.
 */
export function meetingAxes(kernel: Kernel): Set<number> {
  const met = new Set<number>();
  for (const { def } of valuesOf(kernel, false)) {
    if (def.kind === "reduce" || def.kind === "scan" || def.kind === "edge") met.add(def.axis.id);
    if (def.kind === "at") for (const b of def.bind) if (!inGroup(b)) met.add(b.axis.id);
  }
  return met;
}
/** Axes along which elements are picked within groups only, and how large these are. */
function groupedAxes(kernel: Kernel): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const { def } of valuesOf(kernel, false))
    if (def.kind === "at")
      for (const b of def.bind) found.set(b.axis.id, Math.max(found.get(b.axis.id) ?? 1, inGroup(b)?.of ?? 1));
  return new Map([...found].filter(([, of]) => of > 1));
}

/** Axes along which some array lies side by side in memory: the last index is the axis itself. */
function adjacentAxes(values: readonly Value[], kernel: Kernel): ReadonlySet<number> {
  const found = new Set<number>();
  const last = (index: readonly Value[]): void => {
    const def = index.at(-1)?.def;
    if (def?.kind === "pos") found.add(def.axis.id);
  };
  for (const v of values) if (v.def.kind === "load") last(v.def.index);
  for (const s of kernel.stores) last(s.index);
  return found;
}

function productsOf(values: readonly Value[]): readonly Product[] {
  const found: Product[] = [];
  for (const v of values) {
    if (v.def.kind !== "reduce" || v.def.op !== "sum") continue;
    const factors = factorsOf(v.def.arg);
    if (factors.length < 2) continue;
    const sides = factors.map((f) => f.axes);
    const differ = sides.some((s) => s.some((a) => !sides.every((t) => t.some((b) => b.id === a.id))));
    if (differ) found.push({ axes: v.axes, over: v.def.axis, sides });
  }
  return found;
}
function factorsOf(v: Value): readonly Value[] {
  if (v.def.kind === "cast") return factorsOf(v.def.arg);
  if (v.def.kind === "map" && v.def.op === "mul") return v.def.args.flatMap(factorsOf);
  return [v];
}
/** Some factor doesn't depend on `a`: loading it once serves many elements of `a`. */
export const reuses = (p: Product, a: Axis): boolean =>
  p.axes.some((x) => x.id === a.id) && p.sides.some((s) => !s.some((x) => x.id === a.id));
