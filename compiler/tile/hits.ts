/**
 * Sums of which few terms count: of products with one-hot vectors, however they are written, those terms where a number that
 * does not run along an axis is the element's own place on it. A factor (place = c) of a term is a *hit* on the axis c.
 *
 *   sum c (place = c) x(c)            one term counts:    0 ≤ place < C ? x(place) : 0           read there (sumHits.ts)
 *   y(g) = sum t (place(t) = g) x(t)  each term counts once:    y(place(t)) += x(t)              added there (lane/scatter.ts)
 *
 * So a pick of one logit, the way back through a table, tokens dealt to experts, histograms and sums of segments take the work
 * of their elements, not of those times the classes. Terms that do not count are taken for 0, whatever they are times 0.
 */
import type { Axis, Kernel, Store, Value } from "./ir.ts";
import { dependsOn } from "./values.ts";

/** A term of a sum: it counts where all of `conds` hold, and is the product of `factors` (1 where there are none). */
export type Term = { readonly conds: readonly Value[]; readonly factors: readonly Value[] };

export function termOf(v: Value): Term {
  const d = v.def;
  if (v.dtype === "bool") {
    if (d.kind !== "map" || d.op !== "and") return { conds: [v], factors: [] };
    return all(d.args);
  }
  if (d.kind === "cast") {
    const term = termOf(d.arg);
    return term.factors.length === 0 ? term : { conds: [], factors: [v] };
  }
  if (d.kind === "const" && d.value === 1) return { conds: [], factors: [] };
  if (d.kind === "map" && d.op === "mul") return all(d.args);
  if (d.kind === "map" && d.op === "select" && isZero(d.args[2]!)) return all(d.args.slice(0, 2));
  return { conds: [], factors: [v] };
}
function all(parts: readonly Value[]): Term {
  const terms = parts.map(termOf);
  return { conds: terms.flatMap((t) => t.conds), factors: terms.flatMap((t) => t.factors) };
}
const isZero = (v: Value): boolean => v.def.kind === "const" && v.def.value === 0;

/** place = c, or place = c + moved. */
export type Hit = { readonly axis: Axis; readonly place: Value; readonly moved?: Value };
/** What a condition says of the place on an axis; undefined where it says something else. */
export function hitOn(cond: Value, axis: Axis): Hit | undefined {
  const d = cond.def;
  if (d.kind !== "map" || d.op !== "eq") return undefined;
  for (const [own, place] of [d.args, [...d.args].reverse()] as const) {
    if (!own || !place || dependsOn(place, axis) || place.dtype !== "i32") continue;
    if (isPos(own, axis)) return { axis, place };
    if (own.def.kind !== "map" || own.def.op !== "add") continue;
    const [x, y] = own.def.args as readonly [Value, Value];
    if (isPos(y, axis) && !dependsOn(x, axis)) return { axis, place, moved: x };
    if (isPos(x, axis) && !dependsOn(y, axis)) return { axis, place, moved: y };
  }
  return undefined;
}
const isPos = (v: Value, a: Axis): boolean => v.def.kind === "pos" && v.def.axis.id === a.id;

/** A sum whose terms are each added at one place of the result; `over`: what it goes over, outermost first. */
export type Scatter = { readonly over: readonly Axis[]; readonly hits: readonly Hit[]; readonly term: Term };
export function scatterOf(v: Value): Scatter | undefined {
  const over: Axis[] = [];
  let arg = v;
  while (arg.def.kind === "reduce" && arg.def.op === "sum" && arg.def.axis.role === "inner") {
    over.push(arg.def.axis);
    arg = arg.def.arg;
  }
  if (over.length === 0 || !v.axes.every((a) => a.role === "grid" && a.block === "auto")) return undefined;
  const { conds, factors } = termOf(arg);
  const hits: Hit[] = [];
  const others: Value[] = [];
  for (const c of conds) {
    const hit = v.axes.flatMap((a) => hitOn(c, a) ?? [])[0];
    const counts =
      hit && !hit.moved && over.some((a) => dependsOn(hit.place, a)) && !hits.some((h) => h.axis.id === hit.axis.id);
    if (counts) hits.push(hit);
    else others.push(c);
  }
  // A place is known before any place is.
  if (hits.length === 0 || hits.some((h) => hits.some((g) => dependsOn(h.place, g.axis)))) return undefined;
  if (![...hits.map((h) => h.place), ...others, ...factors].every(isPlain)) return undefined;
  return { over, hits, term: { conds: others, factors } };
}
/** Made element by element of what is in memory. */
function isPlain({ def: d }: Value): boolean {
  if (d.kind === "load") return d.index.every(isPlain);
  if (d.kind === "map") return d.args.every(isPlain);
  return d.kind === "cast" ? isPlain(d.arg) : d.kind === "const" || d.kind === "pos" || d.kind === "scalar";
}

/** A kernel that does nothing but add at places: what is stored is the sum, along the grid. */
export type ScatterKernel = Scatter & { readonly store: Store };
export function scatterIn(kernel: Kernel): ScatterKernel | undefined {
  const [store, ...others] = kernel.stores;
  if (!store || others.length > 0 || kernel.body.some((s) => s.kind === "fold")) return undefined;
  const { access, dtype } = kernel.buffers[store.buffer]!;
  const { value, index } = store;
  const axes = index.flatMap((i) => (i.def.kind === "pos" ? [i.def.axis] : []));
  const plain =
    index.every((i) => i.def.kind === "pos" || isZero(i)) &&
    kernel.grid.every(
      (a) => a.extent === 1 || (dependsOn(value, a) && axes.filter((x) => x.id === a.id).length === 1),
    ) &&
    axes.every((a) => dependsOn(value, a));
  const scatter = plain && access === "write" && dtype === value.dtype && isWhole(dtype) && scatterOf(value);
  return scatter ? { ...scatter, store } : undefined;
}
/** Can be added to where it lies in memory, with nothing lost. */
export const isWhole = (dtype: Value["dtype"]): boolean => dtype === "f32" || dtype === "i32" || dtype === "u32";

/** The hit by which one term of a sum counts. */
export function oneTerm(v: Value): { readonly hit: Hit; readonly term: Term } | undefined {
  const d = v.def;
  if (d.kind !== "reduce" || d.op !== "sum" || d.axis.role !== "inner") return undefined;
  const { conds, factors } = termOf(d.arg);
  const at = conds.findIndex((c) => hitOn(c, d.axis));
  if (at < 0 || ![...conds, ...factors].every((x) => !dependsOn(x, d.axis) || isPlain(x))) return undefined;
  return { hit: hitOn(conds[at]!, d.axis)!, term: { conds: conds.toSpliced(at, 1), factors } };
}
