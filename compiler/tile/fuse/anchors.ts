/** Which values of a region are in memory, which are computed wherever they are used, and which for their own sake. */
import type { Atom, OpEqn, Var } from "../../core/ir.ts";
import { freeVars } from "../../core/walk.ts";
import { type Cost, costOf, isCheap, isInline } from "./cost.ts";
import { isElementwise, isHeavy, linksOf, reducedOf } from "./links.ts";
import { sizeOf } from "./prepare.ts";
import { opOf, type Region, readsOf } from "./region.ts";

/** Values that tiles and loops compute for themselves rather than capture as arrays; not those of `forced`. */
export function inlineValues(r: Region, forced: ReadonlySet<number>): Set<number> {
  const inline = new Set<number>();
  const costs = new Map<number, Cost>();
  const cost = (a: Atom): Cost => (a.kind === "var" ? costs.get(a.id) : undefined) ?? { ops: 0, slow: false };
  const parts = new Set<number>();
  const isIn = (v: Var): boolean =>
    (inline.has(v.id) && !parts.has(v.id)) || (!r.defs.has(v.id) && r.outer.isInline(v));
  for (const e of r.eqns) {
    if (e.kind !== "op" || e.op === "ppermute" || forced.has(e.out.id)) continue;
    costs.set(e.out.id, costOf(e, cost));
    const isScalarArray = (v: Var): boolean => v.type.shape.length === 0 && !isIn(v);
    const part = isPart(r, e, isIn);
    if (part) parts.add(e.out.id);
    if (part || isInline(e, isIn, isScalarArray, cost(e.out))) inline.add(e.out.id);
  }
  return inline;
}
/** A part of an array that is in memory, at a place that can be computed anywhere: it is read there, not copied. */
function isPart(r: Region, e: OpEqn, isIn: (v: Var) => boolean): boolean {
  if (e.op !== "dynamic_slice" && e.op !== "index") return false;
  if (e.op === "index" && e.params.selectors.some((s) => s.kind === "gather")) return false;
  const [x, ...places] = e.args;
  if (x?.kind !== "var" || x.type.shape.length === 0 || isIn(x)) return false;
  const from = r.defs.get(x.id);
  const inMemory = from ? from.kind !== "op" || from.op === "ppermute" : r.outer.isArray(x);
  return inMemory && places.every((a) => a.kind === "lit" || isIn(a));
}

type Stored = {
  readonly stored: Set<number>;
  readonly views: Map<number, Var>;
  readonly updates: Set<number>;
  /** Values whose kernel must hold nothing else. */
  readonly alone: Set<number>;
};
/** What must be in memory, from the last equation to the first. */
export function storedValues(r: Region, inline: ReadonlySet<number>, forced: ReadonlySet<number>): Stored {
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
  // What passes a barrier is in memory: what comes behind it is computed later, from there.
  for (const e of r.eqns) if (e.kind === "op" && e.op === "optimization_barrier" && !inline.has(e.out.id)) must(e.out);
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
  if (x?.kind === "var" && isView(e) && !interleaves(r, e, x) && (inMemory(x) || (opOf(r, x) && !inline.has(x.id)))) {
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
/** Whether a value is put together of few others in turns (a0 b0 a1 b1 …), for nothing else: it is computed as it lies. */
function interleaves(r: Region, e: OpEqn, x: Var): boolean {
  const source = opOf(r, x);
  const last = x.type.shape.length - 1;
  if (e.op !== "reshape" || source?.op !== "concat" || source.params.dim !== last) return false;
  const alone = r.consumers.get(x.id)!.length === 1 && !r.results.includes(x);
  return alone && (x.type.shape[last] as number) <= 4 && linksOf(e).every((l) => l.dim !== last);
}
/** Whether a value is computed from x with no array in between that must be. */
function reads(r: Region, v: Var, x: Var): boolean {
  if (v.id === x.id) return true;
  const e = opOf(r, v);
  return e?.args.some((a) => a.kind === "var" && reads(r, a, x)) ?? false;
}
/** The same numbers in the same order: only the shape differs. */
function isView(e: OpEqn): boolean {
  if (e.op === "reshape" || e.op === "optimization_barrier") return true;
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
export function anchorsOf(r: Region, stored: ReadonlySet<number>, views: ReadonlyMap<number, Var>): readonly Var[] {
  const costs = new Map<number, Cost>();
  const cost = (a: Atom): Cost => (a.kind === "var" ? costs.get(a.id) : undefined) ?? { ops: 0, slow: false };
  /** The arrays that a value which is no anchor is computed from. */
  const arrays = new Map<number, ReadonlySet<Var>>();
  const arraysOf = (a: Atom): readonly Var[] => (a.kind === "lit" ? [] : [...(arrays.get(a.id) ?? [a])]);
  const anchors: Var[] = [];
  for (const e of r.eqns) {
    if (e.kind !== "op" || e.op === "ppermute" || views.has(e.out.id)) continue;
    const used = r.consumers.get(e.out.id) ?? [];
    const own = costOf(e, cost);
    const from = new Set(e.args.flatMap(arraysOf));
    const times = used.reduce((n, c) => n + (c.kind === "op" ? timesIn(c, e.out) : 1), 0);
    const again = used.length > 1 || times >= 4;
    const often =
      times >= OFTEN && own.ops >= 2 && [...from].some((x) => 2 * sizeOf(x.type.shape) > sizeOf(e.out.type.shape));
    const dear = often || (!isCheap(own) && !(from.size === 0 && own.ops <= 16 && isBesideSums(r, e.out, stored)));
    const shared = again && (dear || (own.ops > 0 && savesReads(r, e.out, from)));
    if (stored.has(e.out.id) || isHeavy(e.op) || shared) anchors.push(e.out);
    else {
      costs.set(e.out.id, own);
      arrays.set(e.out.id, from);
    }
  }
  return anchors;
}
/**
 * Whether a value's readers had better read it than the arrays that it is made of: one of these is a sum that nobody else
 * reads, and need not be stored then; or there are many of them. (A chain x + a + b + c …, each of whose links is read,
 * would else be computed from its beginning each time.)
 */
function savesReads(r: Region, v: Var, from: ReadonlySet<Var>): boolean {
  const whole = [...from].filter((x) => sizeOf(x.type.shape) >= sizeOf(v.type.shape));
  const onlyHere = (x: Var): boolean => {
    const [by, ...others] = r.consumers.get(x.id) ?? [];
    return others.length === 0 && by?.kind === "op" && (by.out.id === v.id || onlyHere(by.out));
  };
  const heavy = (x: Var): boolean => isHeavy(opOf(r, x)?.op ?? "full");
  return whole.length > 2 || whole.some((x) => heavy(x) && onlyHere(x));
}
/**
 * Whether a value is used only together with long sums of products, beside which computing it from positions alone (the
 * turns of rotary positions) is little, less than a kernel that keeps it.
 */
function isBesideSums(r: Region, v: Var, stored: ReadonlySet<number>): boolean {
  return (r.consumers.get(v.id) ?? []).every((e) => {
    if (e.kind !== "op" || stored.has(v.id) || r.results.includes(v)) return false;
    if (!isElementwise(e.op) && !arranges.has(e.op)) return false;
    const others = e.args.filter((a): a is Var => a.kind === "var" && a.id !== v.id);
    return others.some((o) => isLongSum(r, o)) || isBesideSums(r, e.out, stored);
  });
}
/** Made of a long sum of products, element by element. */
function isLongSum(r: Region, v: Var, seen: Set<number> = new Set()): boolean {
  if (seen.has(v.id)) return false;
  seen.add(v.id);
  const e = opOf(r, v);
  if (e?.op === "einsum") return sizeOf(reducedOf(e).map(({ size }) => size)) >= LONG;
  if (!e || (!isElementwise(e.op) && !arranges.has(e.op))) return false;
  return e.args.some((a) => a.kind === "var" && isLongSum(r, a, seen));
}
/** Elements of a sum of products beside which a few sines are little. */
const LONG = 64;
const arranges: ReadonlySet<string> = new Set(["index", "reshape", "transpose", "broadcast", "concat"]);

/** How many times over an op needs each element of x. */
function timesIn(e: OpEqn, x: Var): number {
  if (e.op !== "einsum") return 1;
  const mine = e.args.findIndex((a) => a === x || (a.kind === "var" && a.id === x.id));
  const others = e.params.out.filter((label) => !e.params.ins[mine]!.includes(label));
  return sizeOf(others.map((label) => e.out.type.shape[e.params.out.indexOf(label)]!));
}
/**
 * Elements of products for each of a factor's from which on the factor is read from memory, where it takes more than one op:
 * kernels go over their factors again and again, and what they only read they keep laid together, or fetch ahead. Not what is
 * made of much smaller arrays (masks, one-hot vectors).
 */
const OFTEN = 64;
