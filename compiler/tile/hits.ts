/**
 * Sums of which few terms count: of products with one-hot vectors, however they are written, those terms where a number that
 * does not run along an axis is the element's own place on it. A factor (place = c) of a term is a *hit* on the axis c.
 *
 *   sum c (place = c) x(c)            one term counts:    0 ≤ place < C ? x(place) : 0           read there, by this pass
 *   y(g) = sum t (place(t) = g) x(t)  each term counts once:    y(place(t)) += x(t)              added there (lane/scatter.ts)
 *
 * So a pick of one logit, the way back through a table, tokens dealt to experts, histograms and sums of segments take the work
 * of their elements, not of those times the classes. Terms that do not count are taken for 0, whatever they are times 0.
 */
import { clamp, map } from "./arithmetic.ts";
import { constant, type KernelBuilder, kernelBuilder, load, pos } from "./build.ts";
import { axisIn, type Copy, copyFolds, copyValue, foldsUnder } from "./copy.ts";
import { uniqueName } from "./fuse/names.ts";
import type { ArrayInfo, Axis, DeviceProgram, HostStep, Kernel, Store, Value } from "./ir.ts";
import { type Piece, pieceOf, type Reads, readBuffer, readScalar, readsOf } from "./splitk/reads.ts";
import { valuesOf } from "./values.ts";

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
const along = (v: Value, a: Axis): boolean => v.axes.some((x) => x.id === a.id);

/** place = c, or place = c + moved. */
export type Hit = { readonly axis: Axis; readonly place: Value; readonly moved?: Value };
/** What a condition says of the place on an axis; undefined where it says something else. */
export function hitOn(cond: Value, axis: Axis): Hit | undefined {
  const d = cond.def;
  if (d.kind !== "map" || d.op !== "eq") return undefined;
  for (const [own, place] of [d.args, [...d.args].reverse()] as const) {
    if (!own || !place || along(place, axis) || place.dtype !== "i32") continue;
    if (isPos(own, axis)) return { axis, place };
    if (own.def.kind !== "map" || own.def.op !== "add") continue;
    const [x, y] = own.def.args as readonly [Value, Value];
    if (isPos(y, axis) && !along(x, axis)) return { axis, place, moved: x };
    if (isPos(x, axis) && !along(y, axis)) return { axis, place, moved: y };
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
      hit && !hit.moved && over.some((a) => along(hit.place, a)) && !hits.some((h) => h.axis.id === hit.axis.id);
    if (counts) hits.push(hit);
    else others.push(c);
  }
  // A place is known before any place is.
  if (hits.length === 0 || hits.some((h) => hits.some((g) => along(h.place, g.axis)))) return undefined;
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
    kernel.grid.every((a) => a.extent === 1 || (along(value, a) && axes.filter((x) => x.id === a.id).length === 1)) &&
    axes.every((a) => along(value, a));
  const scatter = plain && access === "write" && dtype === value.dtype && isWhole(dtype) && scatterOf(value);
  return scatter ? { ...scatter, store } : undefined;
}
/** Can be added to where it lies in memory, with nothing lost. */
const isWhole = (dtype: Value["dtype"]): boolean => dtype === "f32" || dtype === "i32" || dtype === "u32";

/** Whether adding at places is worth it on a device. */
export type Pays = (s: Scatter, result: Value) => boolean;

/** The program in which sums of which one term counts are that term; sums that are added at places have kernels of their own where that pays. */
export function sumHits(p: DeviceProgram, pays: Pays): DeviceProgram {
  return scattersApart({ ...p, kernels: p.kernels.map(withTerms) }, pays);
}

function scattersApart(p: DeviceProgram, pays: Pays): DeviceProgram {
  const taken = { kernels: new Set(p.kernels.map((k) => k.name)), arrays: new Set(p.arrays.map((a) => a.name)) };
  const kernels: Kernel[] = [];
  const arrays: ArrayInfo[] = [...p.arrays];
  /** Where each kernel is now, and what is launched before it. */
  const now = p.kernels.map((k) => {
    const sums: { readonly kernel: number; readonly cut: Cut }[] = [];
    let rest = k;
    for (let turn = 0; turn < 4 && !scatterIn(rest); turn++) {
      const cut = sumApart(rest, pays);
      if (!cut) break;
      const name = uniqueName(taken.kernels, cut.first.kernel.name);
      sums.push({ kernel: kernels.push({ ...cut.first.kernel, name }) - 1, cut });
      rest = cut.second.kernel;
    }
    return { kernel: kernels.push(rest) - 1, sums };
  });
  const steps = (s: HostStep): readonly HostStep[] => {
    if (s.kind === "loop") return [{ ...s, body: s.body.flatMap(steps) }];
    if (s.kind === "permute") return [s.still === undefined ? s : { ...s, still: now[s.still]!.kernel }];
    const before: HostStep[] = [];
    let { buffers, updates } = s;
    for (const { kernel, cut } of now[s.kernel]!.sums) {
      const { name, dtype, shape } = cut.sums;
      const id = arrays.push({ id: arrays.length, name: uniqueName(taken.arrays, name), dtype, shape }) - 1;
      const old = buffers;
      const arrayOf = (x: Piece["sources"][number]): number => (x.kind === "buffer" ? old[x.index]! : id);
      before.push({ kind: "launch", kernel, buffers: cut.first.sources.map(arrayOf), updates: [] });
      const { sources } = cut.second;
      const to = (buffer: number): number => sources.findIndex((x) => x.kind === "buffer" && x.index === buffer);
      updates = updates.map((u) => ({ ...u, buffer: to(u.buffer) }));
      buffers = sources.map(arrayOf);
    }
    return [...before, { ...s, kernel: now[s.kernel]!.kernel, buffers, updates }];
  };
  return { ...p, kernels, arrays, steps: p.steps.flatMap(steps) };
}

/** The first kernel makes `sums`, the second all else. */
type Cut = { readonly first: Piece; readonly second: Piece; readonly sums: Omit<ArrayInfo, "id"> };
function sumApart(kernel: Kernel, pays: Pays): Cut | undefined {
  const written = kernel.stores.map((s) => s.buffer);
  if (new Set(written).size < written.length || kernel.body.some((s) => s.kind === "fold")) return undefined;
  const sum = valuesOf(kernel).find((v) => {
    const scatter = isWhole(v.dtype) && v.def.kind === "reduce" && scatterOf(v);
    return scatter && pays(scatter, v);
  });
  if (!sum) return undefined;
  const name = sum.name ?? kernel.name;
  const sums = { name, dtype: sum.dtype, shape: sum.axes.map((a) => a.extent) };
  const own = readsOf(kernel);
  const a = copyInto(own);
  const value = copyValue(a, sum);
  const grid = sum.axes.map((x) => axisIn(a, x));
  const first = pieceOf(
    own,
    name,
    grid,
    [{ index: grid.map((x) => pos(own.b, x)), value }],
    [{ ...sums, access: "write" }],
    [{ kind: "parts", index: 0 }],
  );
  const rest = readsOf(kernel);
  const c = copyInto(rest);
  const all = kernel.grid.map((x) => axisIn(c, x));
  const index = sum.axes.map((x) => pos(rest.b, axisIn(c, x)));
  c.values.set(sum.id, load(rest.b, sum.dtype, readBuffer(rest, { kind: "parts", index: 0 }, sums), index));
  const stores = kernel.stores.map((s) => ({
    index: s.index.map((v) => copyValue(c, v)),
    value: copyValue(c, s.value),
  }));
  const outputs = written.map((k) => kernel.buffers[k]!);
  const second = pieceOf(
    rest,
    kernel.name,
    all,
    stores,
    outputs,
    written.map((k) => ({ kind: "buffer", index: k })),
  );
  return { first, second, sums };
}
/** Copies values of a kernel without folds into the kernel that is under construction. */
const copyInto = (r: Reads): Copy => ({
  b: r.b,
  values: new Map(),
  folds: new Set(),
  axes: new Map(),
  pos: () => undefined,
  load: (d, copy) => ({
    buffer: readBuffer(r, { kind: "buffer", index: d.buffer }, r.of.buffers[d.buffer]!),
    index: d.index.map(copy),
  }),
  scalar: (k) => readScalar(r, k),
});

/** A kernel whose sums of which one term counts are that term. */
function withTerms(kernel: Kernel): Kernel {
  let now = kernel;
  // A sum of sums takes two turns.
  for (let turn = 0; turn < 4 && valuesOf(now).some(oneTerm); turn++) now = copied(now, (c) => picked(c, now));
  return now;
}
/** The hit by which one term of a sum counts. */
function oneTerm(v: Value): { readonly hit: Hit; readonly term: Term } | undefined {
  const d = v.def;
  if (d.kind !== "reduce" || d.op !== "sum" || d.axis.role !== "inner") return undefined;
  const { conds, factors } = termOf(d.arg);
  const at = conds.findIndex((c) => hitOn(c, d.axis));
  if (at < 0 || ![...conds, ...factors].every((x) => !along(x, d.axis) || isPlain(x))) return undefined;
  return { hit: hitOn(conds[at]!, d.axis)!, term: { conds: conds.toSpliced(at, 1), factors } };
}
/** What stands for such sums, in a copy of their kernel. */
function picked(c: Copy, kernel: Kernel): NonNullable<Copy["other"]> {
  const old = new Map(valuesOf(kernel).map((v) => [v.id, v]));
  return (v, copy) => {
    const one = oneTerm(v);
    if (!one) return undefined;
    const { hit, term } = one;
    const { axis } = hit;
    const place = hit.moved ? map(c.b, "sub", [copy(hit.place), copy(hit.moved)], "i32") : copy(hit.place);
    const there = clamp(c.b, place, axis.extent - 1);
    const values = new Map([...c.values].filter(([id]) => !along(old.get(id) ?? v, axis)));
    const own: Copy = { ...c, values, pos: (a) => (a.id === axis.id ? there : c.pos(a)) };
    const inside = map(c.b, "eq", [place, there], "bool");
    const cond = term.conds.reduce((x, y) => map(c.b, "and", [x, copyValue(own, y)], "bool"), inside);
    return map(
      c.b,
      "select",
      [
        cond,
        productOf(
          c.b,
          term.factors.map((x) => copyValue(own, x)),
          v,
        ),
        constant(c.b, 0, v.dtype),
      ],
      v.dtype,
    );
  };
}
const productOf = (b: KernelBuilder, [first, ...rest]: readonly Value[], like: Value): Value =>
  first ? rest.reduce((x, y) => map(b, "mul", [x, y], like.dtype), first) : constant(b, 1, like.dtype);

/** A kernel anew, with what `other` says in the place of some values. */
function copied(kernel: Kernel, other: (c: Copy) => NonNullable<Copy["other"]>): Kernel {
  const b = kernelBuilder();
  const stored = kernel.stores.flatMap((s) => [...s.index, s.value]);
  const c: { -readonly [K in keyof Copy]: Copy[K] } = {
    b,
    values: new Map(),
    folds: foldsUnder(kernel.body, stored),
    axes: new Map(),
    pos: () => undefined,
    load: (d, copy) => ({ buffer: d.buffer, index: d.index.map(copy) }),
    scalar: (k) => k,
  };
  c.other = other(c);
  const grid = kernel.grid.map((a) => axisIn(c, a));
  copyFolds(c, kernel.body);
  const stores = kernel.stores.map((s) => ({
    ...s,
    index: s.index.map((v) => copyValue(c, v)),
    value: copyValue(c, s.value),
  }));
  return { ...kernel, grid, body: b.scopes[0]!.stmts, stores };
}
