/**
 * Which equations of array code share a kernel. Nothing is emitted here.
 *
 * An anchor is a value that is computed for its own sake: it must be in memory, or takes work along a dimension, or is
 * too dear to be computed by each of its consumers. All else is computed where it is used. Anchors form clusters, one
 * kernel each. From the last anchor to the first: an anchor joins the cluster of the anchors that use it (its sinks) if
 *
 *   - they are all in one cluster, and use it at their own place along every axis of the kernel's grid;
 *   - the grid is what the anchor's own dims are, so that nothing is computed twice; a cluster of pointwise values may
 *     give up axes of its grid for that (they become loops within a tile: a row-wise normalisation is one kernel);
 *   - no path from the anchor to the cluster leads through another kernel, a permute or a loop.
 */
import type { Atom, Eqn, OpEqn, Var } from "../../core/ir.ts";
import { bindersOf, freeVars, operandsOf, outsOf, regionsOf } from "../../core/walk.ts";
import { type Cost, costOf, isCheap, isInline } from "./cost.ts";
import { isHeavy, linksOf } from "./links.ts";
import { sizeOf } from "./prepare.ts";

/** A kernel to be. `axes`: for each member, which grid or inner axis each of its dims is. */
export type Cluster = {
  readonly id: number;
  readonly members: Set<number>;
  readonly axes: Map<number, readonly (string | undefined)[]>;
  readonly extents: Map<string, number>;
  grid: ReadonlySet<string>;
  heavy: boolean;
};
export type Plan = {
  /** The cluster that computes each anchor. */
  readonly clusterOf: ReadonlyMap<number, Cluster>;
  /** Anchors that are stored. */
  readonly stored: ReadonlySet<number>;
  /** Values that are another value's array under another shape. */
  readonly views: ReadonlyMap<number, Var>;
  /** Stored values of `dynamic_update` whose kernel writes only the new rows, over the old array. */
  readonly updates: ReadonlySet<number>;
  /** Values that tiles and loops compute for themselves. */
  readonly inline: ReadonlySet<number>;
};
/** What is known of the variables from around a region. */
export type Outer = { readonly isArray: (v: Var) => boolean; readonly isInline: (v: Var) => boolean };

type Region = {
  readonly eqns: readonly Eqn[];
  readonly results: readonly Atom[];
  readonly outer: Outer;
  readonly defs: ReadonlyMap<number, Eqn>;
  readonly order: ReadonlyMap<number, number>;
  readonly consumers: ReadonlyMap<number, readonly Eqn[]>;
};

/** `maxBuffers`: the most arrays that a kernel may read and write. */
export function planRegion(eqns: readonly Eqn[], results: readonly Atom[], outer: Outer, maxBuffers: number): Plan {
  const r = regionOf(eqns, results, outer);
  const forced = new Set<number>();
  for (;;) {
    const plan = planWith(r, forced);
    mergeFills(r, plan, maxBuffers);
    const more = [...new Set(plan.clusterOf.values())].flatMap((c) => partOfTooMuch(r, plan, c, maxBuffers) ?? []);
    if (more.length === 0) return plan;
    for (const v of more) forced.add(v);
  }
}
/** A plan in which the values of `forced` are stored by kernels of their own. */
function planWith(r: Region, forced: ReadonlySet<number>): Plan & { readonly clusterOf: Map<number, Cluster> } {
  const inline = inlineValues(r);
  const { stored, views, updates, alone } = storedValues(r, inline, forced);
  const anchors = anchorsOf(r, stored, views);
  const clusterOf = new Map<number, Cluster>();
  const clusters: Cluster[] = [];
  const ids = new Set(anchors.map((v) => v.id));
  for (const v of [...anchors].reverse()) {
    const e = r.defs.get(v.id) as OpEqn;
    const joined = alone.has(v.id) ? undefined : sinkCluster(r, e, ids, clusterOf, updates);
    const cluster = joined ?? newCluster(clusters, spaceOf(e, updates), scannedDim(e), v.id, isHeavy(e.op));
    clusterOf.set(v.id, cluster);
    if (!joined) stored.add(v.id);
  }
  return { clusterOf, stored, views, updates, inline };
}

/** Whether a kernel with these members computes a value, rather than read it. */
export function isInside(
  p: Pick<Plan, "clusterOf" | "views">,
  defs: ReadonlyMap<number, Eqn>,
  v: Var,
  members: ReadonlySet<number>,
): boolean {
  if (members.has(v.id)) return true;
  const e = defs.get(v.id);
  if (e?.kind !== "op" || e.op === "ppermute" || p.clusterOf.has(v.id)) return false;
  const view = p.views.get(v.id);
  return view ? isInside(p, defs, view, members) : true;
}
/** What a kernel computes, operands first, and the variables that it reads. */
export function coneOf(
  p: Pick<Plan, "clusterOf" | "views" | "updates">,
  defs: ReadonlyMap<number, Eqn>,
  roots: Iterable<number>,
  members: ReadonlySet<number>,
): { readonly eqns: readonly OpEqn[]; readonly reads: ReadonlySet<number> } {
  const eqns: OpEqn[] = [];
  const reads = new Set<number>();
  const seen = new Set<number>();
  const visit = (v: Var): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    const e = defs.get(v.id);
    if (!isInside(p, defs, v, members) || e?.kind !== "op") {
      reads.add(v.id);
      return;
    }
    const args = p.updates.has(v.id) ? e.args.slice(1) : e.args;
    for (const a of args) if (a.kind === "var") visit(a);
    eqns.push(e);
  };
  for (const id of roots) visit((defs.get(id) as OpEqn).out);
  return { eqns, reads };
}

/** A value inside a kernel that binds too many arrays: stored by a kernel of its own, it takes some of them away. */
function partOfTooMuch(r: Region, p: Plan, c: Cluster, maxBuffers: number): number | undefined {
  const { eqns, reads } = coneOf(p, r.defs, c.members, c.members);
  const writes = [...c.members].filter((v) => p.stored.has(v)).length;
  if (reads.size + writes <= maxBuffers) return undefined;
  let best: { readonly v: number; readonly reads: number } | undefined;
  for (const e of eqns) {
    const v = e.out.id;
    if (p.stored.has(v) || p.views.has(v)) continue;
    const part = coneOf(p, r.defs, [v], c.members).reads.size;
    if (part >= 2 && part < maxBuffers && part < reads.size + writes - 1 && part > (best?.reads ?? 0))
      best = { v, reads: part };
  }
  return best?.v;
}
/** Kernels that read nothing and run over the same sizes are one. */
function mergeFills(r: Region, p: Plan & { readonly clusterOf: Map<number, Cluster> }, maxBuffers: number): void {
  const bySizes = new Map<string, Cluster>();
  for (const c of new Set(p.clusterOf.values())) {
    const [only] = c.members;
    if (c.heavy || c.members.size > 1 || p.updates.has(only!)) continue;
    if (coneOf(p, r.defs, c.members, c.members).reads.size > 0) continue;
    const sizes = [...c.extents.values()].join();
    const first = bySizes.get(sizes);
    if (!first || first.members.size >= maxBuffers) {
      bySizes.set(sizes, c);
      continue;
    }
    const axes = [...first.grid];
    let next = 0;
    first.axes.set(
      only!,
      c.axes.get(only!)!.map((a) => (a === undefined ? undefined : axes[next++])),
    );
    first.members.add(only!);
    p.clusterOf.set(only!, first);
  }
}

function regionOf(eqns: readonly Eqn[], results: readonly Atom[], outer: Outer): Region {
  const defs = new Map<number, Eqn>();
  const order = new Map<number, number>();
  const consumers = new Map<number, Eqn[]>();
  eqns.forEach((e, k) => {
    for (const v of outsOf(e)) {
      defs.set(v.id, e);
      order.set(v.id, k);
    }
    for (const a of readsOf(e)) consumers.set(a.id, [...(consumers.get(a.id) ?? []), e]);
  });
  return { eqns, results, outer, defs, order, consumers };
}
/** Every variable that an equation reads, inside its regions too, each once. */
export function readsOf(e: Eqn): readonly Var[] {
  const found = new Set<Var>();
  for (const a of operandsOf(e)) if (a.kind === "var") found.add(a);
  const bound = new Set(bindersOf(e).map((v) => v.id));
  for (const region of regionsOf(e)) for (const v of freeVars(region)) if (!bound.has(v.id)) found.add(v);
  const byId = new Map([...found].map((v) => [v.id, v]));
  return [...byId.values()];
}
const opOf = (r: Region, v: Var): OpEqn | undefined => {
  const e = r.defs.get(v.id);
  return e?.kind === "op" && e.op !== "ppermute" ? e : undefined;
};

/** Values that tiles and loops compute for themselves rather than capture as arrays. */
function inlineValues(r: Region): Set<number> {
  const inline = new Set<number>();
  const costs = new Map<number, Cost>();
  const cost = (a: Atom): Cost => (a.kind === "var" ? costs.get(a.id) : undefined) ?? { ops: 0, slow: false };
  const isIn = (v: Var): boolean => inline.has(v.id) || (!r.defs.has(v.id) && r.outer.isInline(v));
  for (const e of r.eqns) {
    if (e.kind !== "op" || e.op === "ppermute") continue;
    costs.set(e.out.id, costOf(e, cost));
    if (isInline(e, isIn, (v) => v.type.shape.length === 0 && !isIn(v), cost(e.out))) inline.add(e.out.id);
  }
  return inline;
}

type Stored = {
  readonly stored: Set<number>;
  readonly views: Map<number, Var>;
  readonly updates: Set<number>;
  /** Values whose kernel must hold nothing else. */
  readonly alone: Set<number>;
};
/** What must be in memory, from the last equation to the first. */
function storedValues(r: Region, inline: ReadonlySet<number>, forced: ReadonlySet<number>): Stored {
  const stored = new Set(forced);
  const found: Stored = { stored, views: new Map(), updates: new Set(), alone: new Set(forced) };
  const must = (a: Atom): void => {
    if (a.kind === "var" && opOf(r, a)) stored.add(a.id);
  };
  /** Captured by tiles or a loop: an array, unless they compute it; then what that reads. */
  const capture = (v: Var): void => {
    const e = opOf(r, v);
    if (!e) return;
    if (!inline.has(v.id)) stored.add(v.id);
    else for (const a of e.args) if (a.kind === "var") capture(a);
  };
  r.results.forEach(must);
  for (const e of [...r.eqns].reverse()) {
    if (e.kind === "tiles") freeVars(e.body).forEach(capture);
    else if (e.kind === "fold") {
      e.init.forEach(must);
      readsOf(e)
        .filter((v) => !e.init.includes(v))
        .forEach(capture);
      for (const v of freeVars(e.body)) capture(v);
    } else if (e.kind === "op" && e.op === "ppermute") e.args.forEach(must);
    else if (e.kind === "op") {
      // A kernel reads a formula as tiles and loops do.
      if (!inline.has(e.out.id) || stored.has(e.out.id))
        for (const x of e.args) if (x.kind === "var" && inline.has(x.id)) capture(x);
      if (stored.has(e.out.id)) storeOp(r, e, inline, found);
    }
  }
  return found;
}
function storeOp(r: Region, e: OpEqn, inline: ReadonlySet<number>, { stored, views, updates, alone }: Stored): void {
  const x = e.args[0];
  const inMemory = (v: Var): boolean => stored.has(v.id) || (r.defs.has(v.id) ? !opOf(r, v) : r.outer.isArray(v));
  if (x?.kind === "var" && isView(e) && (inMemory(x) || (opOf(r, x) && !inline.has(x.id)))) {
    stored.delete(e.out.id);
    views.set(e.out.id, x);
    if (opOf(r, x)) stored.add(x.id);
    return;
  }
  if (e.op !== "dynamic_update" || x?.kind !== "var") return;
  const value = e.args[1]!;
  if (2 * sizeOf(value.type.shape) > sizeOf(x.type.shape)) return;
  const source = opOf(r, x);
  if (source?.op === "dynamic_update" && r.consumers.get(x.id)!.length === 1 && !inline.has(x.id)) stored.add(x.id);
  if (!inMemory(x)) return;
  updates.add(e.out.id);
  // Rows computed from the array that they go into are computed first.
  if (value.kind === "var" && opOf(r, value) && reads(r, value, x)) {
    stored.add(value.id);
    alone.add(value.id);
  }
}
/** Whether a value is computed from x with no array in between that must be. */
function reads(r: Region, v: Var, x: Var): boolean {
  if (v.id === x.id) return true;
  const e = opOf(r, v);
  return e?.args.some((a) => a.kind === "var" && reads(r, a, x)) ?? false;
}
/** The same numbers in the same order: only the shape differs. */
function isView(e: OpEqn): boolean {
  if (e.op === "reshape") return true;
  if (e.op !== "transpose" && e.op !== "broadcast" && e.op !== "index") return false;
  const from = e.args[0]!.type.shape;
  if (e.args.length > 1 || sizeOf(from) !== sizeOf(e.out.type.shape)) return false;
  if (e.op === "index" && e.params.selectors.some((s) => s.kind !== "all" && s.kind !== "new")) return false;
  const moved = linksOf(e)
    .filter((l) => from[l.dim] !== 1)
    .sort((l, m) => l.dim - m.dim)
    .map((l) => l.to as number);
  return moved.length === from.filter((n) => n !== 1).length && moved.every((to, k) => k === 0 || to > moved[k - 1]!);
}

/** Anchors in program order. */
function anchorsOf(r: Region, stored: ReadonlySet<number>, views: ReadonlyMap<number, Var>): readonly Var[] {
  const costs = new Map<number, Cost>();
  const cost = (a: Atom): Cost => (a.kind === "var" ? costs.get(a.id) : undefined) ?? { ops: 0, slow: false };
  const anchors: Var[] = [];
  for (const e of r.eqns) {
    if (e.kind !== "op" || e.op === "ppermute" || views.has(e.out.id)) continue;
    const used = r.consumers.get(e.out.id) ?? [];
    const own = costOf(e, cost);
    const shared = !isCheap(own) && (used.length > 1 || used.some((c) => c.kind === "op" && repeats(c, e.out)));
    if (stored.has(e.out.id) || isHeavy(e.op) || shared) anchors.push(e.out);
    else costs.set(e.out.id, own);
  }
  return anchors;
}
/** Whether an op needs each element of x many times over. */
function repeats(e: OpEqn, x: Var): boolean {
  if (e.op !== "einsum") return false;
  const mine = e.args.findIndex((a) => a === x || (a.kind === "var" && a.id === x.id));
  const others = e.params.out.filter((label) => !e.params.ins[mine]!.includes(label));
  return sizeOf(others.map((label) => e.out.type.shape[e.params.out.indexOf(label)]!)) >= 4;
}

/** The shape that an anchor's kernel runs over: its own, or that of the rows it updates. */
export const spaceOf = (e: OpEqn, updates: ReadonlySet<number>): readonly number[] =>
  (updates.has(e.out.id) ? e.args[1]!.type.shape : e.out.type.shape) as readonly number[];
const scannedDim = (e: OpEqn): number | undefined => (e.op === "cumsum" ? e.params.dim : undefined);

function newCluster(
  all: Cluster[],
  space: readonly number[],
  scanned: number | undefined,
  member: number,
  heavy: boolean,
): Cluster {
  const id = all.length;
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
function sinksOf(r: Region, v: Var, isAnchor: (id: number) => boolean, updates: ReadonlySet<number>): readonly Sink[] {
  const sinks: Sink[] = [];
  const seen = new Set<string>();
  const walk = (x: Var, map: Sink["map"]): void => {
    for (const e of r.consumers.get(x.id) ?? []) {
      if (e.kind !== "op" || e.op === "ppermute") continue;
      const links = linksOf(e);
      for (const [arg, a] of e.args.entries()) {
        if (a.kind !== "var" || a.id !== x.id) continue;
        const next = map.map((d) => {
          if (typeof d !== "number" || (updates.has(e.out.id) && arg === 1)) return d;
          const to = links.find((l) => l.arg === arg && l.dim === d)?.to;
          return typeof to === "string" ? "reduced" : to;
        });
        const key = `${e.out.id} ${next.join()}`;
        if (seen.has(key)) continue;
        seen.add(key);
        if (isAnchor(e.out.id)) sinks.push({ v: e.out.id, apart: arg === 0 && updates.has(e.out.id), map: next });
        else walk(e.out, next);
      }
    }
  };
  walk(v, [...v.type.shape.keys()]);
  return sinks;
}

/** The cluster that an anchor joins, made ready for it; undefined where there is none. */
function sinkCluster(
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
        const barrier = e.kind !== "op" || e.op === "ppermute";
        const next = left || barrier || (cluster !== undefined && cluster !== c);
        const beyond = cluster && cluster !== c ? cluster.members : [out.id];
        for (const member of beyond) if (walk(member, next)) return true;
      }
    return false;
  };
  return walk(v.id, false);
}
