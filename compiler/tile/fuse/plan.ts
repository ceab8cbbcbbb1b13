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
 *
 * A pointwise anchor that several clusters use joins one of pointwise values among them, and is stored for the others.
 */
import type { Atom, Eqn, OpEqn, Var } from "../../core/ir.ts";
import { anchorsOf, inlineValues, storedValues } from "./anchors.ts";
import { cutsOf } from "./chains.ts";
import { besideCluster, type Cluster, newCluster, sinkCluster } from "./cluster.ts";
import { linksOf } from "./links.ts";
import { type Outer, type Region, regionOf } from "./region.ts";

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
  /** Who reads each value. */
  readonly consumers: Region["consumers"];
};

/** `maxBuffers`: the most arrays that a kernel may read and write. */
export function planRegion(eqns: readonly Eqn[], results: readonly Atom[], outer: Outer, maxBuffers: number): Plan {
  const r = regionOf(eqns, results, outer);
  const forced = cutsOf(eqns);
  for (;;) {
    const plan = planWith(r, forced);
    mergeFills(r, plan, maxBuffers);
    joinUpdates(r, plan, maxBuffers);
    // What its own kernel alone reads, now that updates have joined it, need not be in memory.
    for (const v of plan.beside) if (readWithin(r, plan, v, plan.clusterOf.get(v)!)) plan.stored.delete(v);
    const more = [...new Set(plan.clusterOf.values())].flatMap((c) => partOfTooMuch(r, plan, c, maxBuffers) ?? []);
    if (more.length === 0) return plan;
    for (const v of more) forced.add(v);
  }
}
/** A plan in which the values of `forced` are stored by kernels of their own. */
function planWith(
  r: Region,
  forced: ReadonlySet<number>,
): Plan & {
  readonly clusterOf: Map<number, Cluster>;
  readonly stored: Set<number>;
  readonly beside: ReadonlySet<number>;
} {
  const inline = inlineValues(r, forced);
  const { stored, views, updates, alone } = storedValues(r, inline, forced);
  const anchors = anchorsOf(r, stored, views);
  const clusterOf = new Map<number, Cluster>();
  const clusters: Cluster[] = [];
  const beside = new Set<number>();
  const ids = new Set(anchors.map((v) => v.id));
  for (const v of [...anchors].reverse()) {
    const e = r.defs.get(v.id) as OpEqn;
    const joined = alone.has(v.id) ? undefined : sinkCluster(r, e, ids, clusterOf, updates);
    const shared = joined || alone.has(v.id) ? undefined : besideCluster(r, e, ids, clusterOf, updates);
    if (shared) beside.add(v.id);
    clusterOf.set(v.id, joined ?? shared ?? newCluster(clusters, e, updates));
    if (!joined) stored.add(v.id);
  }
  return { clusterOf, stored, views, updates, inline, beside, consumers: r.consumers };
}

/** Whether all that is made of a value is made in one kernel. */
function readWithin(r: Region, p: Plan, v: number, c: Cluster): boolean {
  if (r.results.some((a) => a.kind === "var" && a.id === v)) return false;
  return (r.consumers.get(v) ?? []).every((e) => {
    if (e.kind !== "op" || e.op === "ppermute" || e.op === "optimization_barrier" || p.views.has(e.out.id))
      return false;
    const cluster = p.clusterOf.get(e.out.id);
    return cluster ? cluster === c : !p.inline.has(e.out.id) && readWithin(r, p, e.out.id, c);
  });
}
/** Whether a kernel with these members computes a value, rather than read it. */
function isInside(
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
function partOfTooMuch(
  r: Region,
  p: Plan & { readonly beside: ReadonlySet<number> },
  c: Cluster,
  maxBuffers: number,
): number | undefined {
  const { eqns, reads } = coneOf(p, r.defs, c.members, c.members);
  const writes = [...c.members].filter((v) => p.stored.has(v)).length;
  if (reads.size + writes <= maxBuffers) return undefined;
  const joined = [...c.members].find((v) => p.beside.has(v));
  if (joined !== undefined) return joined;
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
/**
 * Rows that only go into an array, which nobody else reads meanwhile (a loop that collects), are written there by the kernel
 * that computes them.
 */
function joinUpdates(r: Region, p: Plan & { readonly clusterOf: Map<number, Cluster> }, maxBuffers: number): void {
  for (const id of p.updates) {
    const e = r.defs.get(id) as OpEqn;
    const [into, rows, start] = e.args;
    const onlyHere = into?.kind === "var" && r.consumers.get(into.id)!.length === 1 && !r.results.includes(into);
    const at = onlyHere && rows?.kind === "var" ? memberBehind(r, p, rows) : undefined;
    const cluster = at && p.clusterOf.get(at.v);
    if (!at || !cluster || p.clusterOf.get(id)!.members.size > 1) continue;
    if ([...cluster.members].some((v) => p.updates.has(v)) || (start!.kind === "var" && r.defs.has(start!.id)))
      continue;
    const own = cluster.axes.get(at.v)!;
    const axes = at.dims.map((d) => (d === undefined ? undefined : own[d]));
    if (axes.filter((a) => a !== undefined && cluster.grid.has(a)).length !== cluster.grid.size) continue;
    const members = new Set([...cluster.members, id]);
    const writes = [...members].filter((v) => p.stored.has(v)).length;
    if (coneOf(p, r.defs, members, members).reads.size + writes > maxBuffers) continue;
    cluster.members.add(id);
    cluster.axes.set(id, axes);
    p.clusterOf.set(id, cluster);
  }
}
/** The member of a kernel that a value is, under another shape; `dims`: for each dim of the value the member's. */
function memberBehind(
  r: Region,
  p: Pick<Plan, "clusterOf" | "updates">,
  x: Var,
): { readonly v: number; readonly dims: readonly (number | undefined)[] } | undefined {
  if (p.clusterOf.has(x.id)) return p.updates.has(x.id) ? undefined : { v: x.id, dims: [...x.type.shape.keys()] };
  const e = r.defs.get(x.id);
  if (e?.kind !== "op" || e.op !== "reshape" || e.args[0]!.kind !== "var") return undefined;
  const behind = memberBehind(r, p, e.args[0]!);
  const links = linksOf(e);
  const dims = x.type.shape.map((_, to) => behind?.dims[links.find((l) => l.to === to)?.dim ?? -1]);
  return behind && dims.every((d, k) => d !== undefined || x.type.shape[k] === 1) ? { v: behind.v, dims } : undefined;
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
