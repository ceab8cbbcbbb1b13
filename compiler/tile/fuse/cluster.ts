/** Which cluster an anchor joins: that of the anchors that use it, where one kernel can hold them all. */
import type { Eqn, OpEqn, Var } from "../../core/ir.ts";
import { outsOf } from "../../core/walk.ts";
import { groupsOf, isElementwise, isHeavy, type Link, linksOf } from "./links.ts";
import { type Region, readsOf } from "./region.ts";

/** No kernel reaches from one side of it to the other. */
const isBarrier = (e: Eqn): e is Exclude<Eqn, OpEqn> | Extract<OpEqn, { op: "ppermute" | "optimization_barrier" }> =>
  e.kind !== "op" || e.op === "ppermute" || e.op === "optimization_barrier";

/** A kernel to be. `axes`: for each member, which grid or inner axis each of its dims is. */
export type Cluster = {
  readonly id: number;
  readonly members: Set<number>;
  readonly axes: Map<number, readonly (string | undefined)[]>;
  readonly extents: Map<string, number>;
  grid: ReadonlySet<string>;
  heavy: boolean;
};

/** The shape that an anchor's kernel runs over: its own, or that of the rows it updates. */
export const spaceOf = (e: OpEqn, updates: ReadonlySet<number>): readonly number[] =>
  (updates.has(e.out.id) ? e.args[1]!.type.shape : e.out.type.shape) as readonly number[];
const scannedDim = (e: OpEqn): number | undefined => (e.op === "cumsum" ? e.params.dim : undefined);

/** A cluster of one anchor, added to `all`. Its grid is the anchor's dims, but for one that is scanned along. */
export function newCluster(all: Cluster[], e: OpEqn, updates: ReadonlySet<number>): Cluster {
  const id = all.length;
  const [member, heavy] = [e.out.id, isHeavy(e.op)];
  const [space, scanned] = [spaceOf(e, updates), scannedDim(e)];
  const axes = space.map((n, d) => (n === 1 ? undefined : `grid ${id}:${d}`));
  const extents = new Map(axes.flatMap((a, d) => (a === undefined ? [] : [[a, space[d]!] as const])));
  const grid = new Set(axes.filter((a, d): a is string => a !== undefined && d !== scanned));
  const cluster: Cluster = { id, members: new Set([member]), axes: new Map([[member, axes]]), extents, grid, heavy };
  all.push(cluster);
  return cluster;
}

/**
 * An anchor that uses a value. `map`: for each dim of the value the dim of the anchor along which it is used, "reduced"
 * where the anchor reduces over it; undefined where it is used elsewhere than at its own place. `apart`: the value must
 * be in memory before, for it is what is updated.
 */
type Sink = { readonly v: number; readonly apart: boolean; readonly map: readonly (number | "reduced" | undefined)[] };
/** On the way: a dim that was split into `dim` and groups of `of` elements, few, of which any may be meant. */
type Split = { readonly dim: number; readonly of: number };
type Way = number | "reduced" | Split | undefined;
/** The most elements of a group that are in one kernel, for one thread has them all. */
const MOST_GROUPED = 4;

/** Where a way leads through an equation. */
function through(e: OpEqn, links: readonly Link[], arg: number, way: Way): Way {
  if (way === undefined || way === "reduced") return way;
  if (isSplit(way) && !picksPlainly(e)) return undefined;
  const from = isSplit(way) ? way.dim : way;
  const to = links.find((l) => l.arg === arg && l.dim === from)?.to;
  if (typeof to === "string") return "reduced";
  if (to !== undefined) return isSplit(way) ? { ...way, dim: to } : to;
  return e.op === "reshape" ? regrouped(e, way, from) : undefined;
}
/** Whether an equation takes of a group's elements those that the program names, one by one. */
function picksPlainly(e: OpEqn): boolean {
  if (e.op === "index")
    return e.params.selectors.every((s) => s.kind !== "gather" && (s.kind !== "at" || e.args[s.arg]!.kind === "lit"));
  return isElementwise(e.op) || e.op === "reshape" || e.op === "broadcast" || e.op === "transpose" || e.op === "concat";
}
/** A dim that a reshape splits into groups of a few, or one that it puts together again from the same groups. */
function regrouped(e: OpEqn, way: number | Split, from: number): Way {
  const [before, after] = [e.args[0]!.type.shape, e.out.type.shape] as readonly (readonly number[])[];
  const group = groupsOf(before!, after!).find((g) => g.from.includes(from));
  if (!group) return undefined;
  const sizeOf = (shape: readonly number[], dims: readonly number[]): number => dims.reduce((n, d) => n * shape[d]!, 1);
  if (!isSplit(way)) {
    const [dim, ...inner] = group.to;
    const of = sizeOf(after!, inner);
    return group.from.length === 1 && of <= MOST_GROUPED ? { dim: dim!, of } : undefined;
  }
  const [first, ...inner] = group.from;
  return group.to.length === 1 && first === from && sizeOf(before!, inner) === way.of ? group.to[0] : undefined;
}
const isSplit = (way: Way): way is Split => typeof way === "object";

function sinksOf(r: Region, v: Var, isAnchor: (id: number) => boolean, updates: ReadonlySet<number>): readonly Sink[] {
  const sinks: Sink[] = [];
  const seen = new Set<string>();
  const walk = (x: Var, map: readonly Way[]): void => {
    for (const e of r.consumers.get(x.id) ?? []) {
      if (isBarrier(e)) continue;
      const links = linksOf(e);
      for (const [arg, a] of e.args.entries()) {
        if (a.kind !== "var" || a.id !== x.id) continue;
        const next = map.map((d) => {
          if (updates.has(e.out.id) && arg === 1) return d;
          const to = through(e, links, arg, d);
          return isSplit(to) && !r.outer.groups ? undefined : to;
        });
        const key = `${e.out.id} ${JSON.stringify(next)}`;
        if (seen.has(key)) continue;
        seen.add(key);
        const ends = next.map((d) => (isSplit(d) ? undefined : d));
        if (isAnchor(e.out.id)) sinks.push({ v: e.out.id, apart: arg === 0 && updates.has(e.out.id), map: ends });
        else walk(e.out, next);
      }
    }
  };
  walk(v, [...v.type.shape.keys()]);
  return sinks;
}

/** The cluster that an anchor joins, made ready for it; undefined where there is none. */
export function sinkCluster(
  r: Region,
  e: OpEqn,
  anchors: ReadonlySet<number>,
  clusterOf: Map<number, Cluster>,
  updates: ReadonlySet<number>,
): Cluster | undefined {
  const sinks = sinksOf(r, e.out, (id) => anchors.has(id), updates);
  if (sinks.length === 0 || updates.has(e.out.id) || sinks.some((s) => s.apart)) return undefined;
  const cluster = oneCluster(r, e, sinks, clusterOf, updates);
  if (!cluster) return undefined;
  const shape = e.out.type.shape as readonly number[];
  const uses: (string | undefined)[][] = [];
  for (const s of sinks) {
    const axes = s.map.map((to, d) =>
      shape[d] === 1 ? undefined : typeof to === "number" ? cluster.axes.get(s.v)![to] : to,
    );
    if (axes.some((a, d) => a === undefined && shape[d] !== 1)) return undefined;
    uses.push(axes);
  }
  const grid = isHeavy(e.op) ? gridFor(cluster, uses[0]!.toSpliced(scannedDim(e) ?? shape.length, 1)) : cluster.grid;
  if (!grid || !uses.every((axes) => coversOnce(axes, grid))) return undefined;
  // Along the grid an element is used where it is computed.
  const onGrid = (axes: (string | undefined)[]): string => axes.map((a) => (a && grid.has(a) ? a : "")).join();
  if (uses.some((axes) => onGrid(axes) !== onGrid(uses[0]!))) return undefined;
  if (leavesAndReturns(r, e.out, cluster, anchors, clusterOf)) return undefined;
  cluster.grid = grid;
  cluster.heavy ||= isHeavy(e.op);
  cluster.members.add(e.out.id);
  cluster.axes.set(
    e.out.id,
    shape.map((n, d) => memberAxis(cluster, e.out.id, d, n, uses)),
  );
  return cluster;
}
/**
 * The cluster of the first use of a pointwise anchor that others use too, if it is one of pointwise values: the anchor is
 * computed there once, at its own place, and stored for the others on the way. Where the cluster needs what comes after the
 * anchor, the others would have to wait for that: then there is none.
 */
export function besideCluster(
  r: Region,
  e: OpEqn,
  anchors: ReadonlySet<number>,
  clusterOf: ReadonlyMap<number, Cluster>,
  updates: ReadonlySet<number>,
): Cluster | undefined {
  if (isHeavy(e.op) || updates.has(e.out.id)) return undefined;
  const sinks = sinksOf(r, e.out, (id) => anchors.has(id), updates);
  const users = new Set(sinks.map((s) => s.v));
  const first = r.eqns.find((x) => x.kind === "op" && users.has(x.out.id)) as OpEqn | undefined;
  const c = first && clusterOf.get(first.out.id);
  if (!c || c.heavy || [...c.members].some((v) => updates.has(v))) return undefined;
  const [place, ...others] = sinks.flatMap((s) => (clusterOf.get(s.v) === c ? [placeIn(c, e, s)] : []));
  if (!place || others.some((p) => p?.join() !== place.join())) return undefined;
  if (needsLater(r, e, c, clusterOf) || leavesAndReturns(r, e.out, c, anchors, clusterOf)) return undefined;
  c.members.add(e.out.id);
  c.axes.set(e.out.id, place);
  return c;
}
/** The axes of a cluster's grid, each once, that the dims of a value are where a member uses it; undefined elsewhere. */
function placeIn(c: Cluster, e: OpEqn, s: Sink): readonly (string | undefined)[] | undefined {
  const axes = s.map.map((to, d) =>
    e.out.type.shape[d] === 1 ? undefined : typeof to === "number" ? c.axes.get(s.v)![to] : to,
  );
  const used = axes.flatMap((a, d) => (e.out.type.shape[d] === 1 ? [] : [a]));
  return used.length === c.grid.size && coversOnce(used, c.grid) ? axes : undefined;
}
/** Whether a cluster reads what another kernel, a permute, tiles or a loop computes after an equation. */
function needsLater(r: Region, e: OpEqn, c: Cluster, clusterOf: ReadonlyMap<number, Cluster>): boolean {
  const later = new Set(r.eqns.slice(r.eqns.indexOf(e) + 1));
  const seen = new Set<number>();
  const needs = (id: number): boolean => {
    const from = r.defs.get(id);
    if (!from || !later.has(from) || seen.has(id)) return false;
    seen.add(id);
    const elsewhere = clusterOf.has(id) && clusterOf.get(id) !== c;
    return elsewhere || isBarrier(from) || readsOf(from).some((v) => needs(v.id));
  };
  return [...c.members].some(needs);
}
/**
 * The cluster of all sinks. Clusters that run over the same elements of a shared value, and do not wait for each other,
 * become one.
 */
function oneCluster(
  r: Region,
  e: OpEqn,
  sinks: readonly Sink[],
  clusterOf: Map<number, Cluster>,
  updates: ReadonlySet<number>,
): Cluster | undefined {
  const [first, ...others] = new Set(sinks.map((s) => clusterOf.get(s.v)!));
  if (others.length === 0) return first;
  const all = [first!, ...others];
  if (all.some((c) => [...c.members].some((v) => updates.has(v)))) return undefined;
  // Each dim of the shared value is one axis of each grid.
  const axesIn = all.map((c) => {
    const s = sinks.find((x) => clusterOf.get(x.v) === c)!;
    return s.map.map((to, d) =>
      e.out.type.shape[d] === 1 || typeof to !== "number" ? undefined : c.axes.get(s.v)![to],
    );
  });
  const onGrid = (k: number): string => axesIn[k]!.map((a) => a !== undefined && all[k]!.grid.has(a)).join();
  if (all.some((c, k) => !coversOnce(axesIn[k]!, c.grid) || onGrid(k) !== onGrid(0))) return undefined;
  if (all.some((c) => all.some((d) => c !== d && leads(r, c, d, clusterOf)))) return undefined;
  others.forEach((c, k) => {
    const renamed = new Map(
      axesIn[k + 1]!.flatMap((a, d) => (a !== undefined && c.grid.has(a) ? [[a, axesIn[0]![d]!] as const] : [])),
    );
    for (const [v, axes] of c.axes)
      first!.axes.set(
        v,
        axes.map((a) => (a === undefined ? a : (renamed.get(a) ?? a))),
      );
    for (const [a, n] of c.extents) if (!renamed.has(a)) first!.extents.set(a, n);
    for (const v of c.members) {
      first!.members.add(v);
      clusterOf.set(v, first!);
    }
    first!.heavy ||= c.heavy;
  });
  return first;
}
/** Whether anything that a cluster computes leads to another; clusters on the way are walked whole. */
function leads(r: Region, from: Cluster, to: Cluster, clusterOf: ReadonlyMap<number, Cluster>): boolean {
  const seen = new Set<number>();
  const walk = (id: number): boolean => {
    if (to.members.has(id)) return true;
    if (seen.has(id)) return false;
    seen.add(id);
    const others = clusterOf.get(id)?.members ?? [];
    return (r.consumers.get(id) ?? []).some((e) => outsOf(e).some((v) => walk(v.id))) || [...others].some(walk);
  };
  return [...from.members].some(walk);
}
/** The grid that a cluster gets if work is done once for each element along `axes`; undefined where that does not pay. */
function gridFor(c: Cluster, axes: readonly (string | undefined)[]): ReadonlySet<string> | undefined {
  const wanted = new Set(axes.filter((a): a is string => a !== undefined));
  if (![...wanted].every((a) => c.grid.has(a))) return undefined;
  const lost = [...c.grid].filter((a) => !wanted.has(a));
  return lost.length > 0 && (c.heavy || !worthLooping(c, wanted, lost)) ? undefined : wanted;
}
/** Whether each axis of a grid is there exactly once. */
const coversOnce = (axes: readonly (string | undefined)[], grid: ReadonlySet<string>): boolean =>
  [...grid].every((g) => axes.filter((a) => a === g).length === 1);
/** The axis of a member's dim: one of its users' where there is one, else one of its own. */
function memberAxis(
  c: Cluster,
  v: number,
  d: number,
  size: number,
  uses: readonly (readonly (string | undefined)[])[],
): string | undefined {
  if (size === 1) return undefined;
  const found = uses.map((axes) => axes[d]).find((a) => a !== "reduced");
  if (found !== undefined) return found;
  c.extents.set(`inner ${c.id}:${v}:${d}`, size);
  return `inner ${c.id}:${v}:${d}`;
}
/** Giving up grid axes pays where enough of the grid is left, or there is little to do at all. */
function worthLooping(c: Cluster, kept: ReadonlySet<string>, lost: readonly string[]): boolean {
  const size = (axes: Iterable<string>): number => [...axes].reduce((n, a) => n * c.extents.get(a)!, 1);
  return size(kept) >= 256 || size(kept) * size(lost) <= 65536;
}
/** Whether some path from v to a cluster leads through what cannot be in one kernel with both; clusters are walked whole. */
function leavesAndReturns(
  r: Region,
  v: Var,
  c: Cluster,
  anchors: ReadonlySet<number>,
  clusterOf: ReadonlyMap<number, Cluster>,
): boolean {
  const seen = new Set<string>();
  const walk = (id: number, left: boolean): boolean => {
    const key = `${id} ${left}`;
    if (seen.has(key)) return false;
    seen.add(key);
    for (const e of r.consumers.get(id) ?? [])
      for (const out of outsOf(e)) {
        const cluster = anchors.has(out.id) ? clusterOf.get(out.id) : undefined;
        if (cluster === c && left) return true;
        const next = left || isBarrier(e) || (cluster !== undefined && cluster !== c);
        const beyond = cluster && cluster !== c ? cluster.members : [out.id];
        for (const member of beyond) if (walk(member, next)) return true;
      }
    return false;
  };
  return walk(v.id, false);
}
