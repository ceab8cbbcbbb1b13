/**
 * Sums of sums over dimensions that lie side by side in memory, in all that is read there, are one sum: over tokens, not over
 * sequences and the places in each; over the features of all heads, not over heads and the features of each. What is one long
 * sum is blocked as such, on tensor cores too, and gone through in as many parts as is best.
 *
 *   sum d: 8 (sum e: 512 (x(d, e)))      x = load a [i, d, e]      a: f32[4, 8, 512]
 *       ⟶   sum d_e: 4096 (x(d_e))       x = load a [i, d_e]       a: f32[4, 4096]
 */
import { add, times } from "./arithmetic.ts";
import { kernelBuilder, newAxis, operandsOf, pos, reduce } from "./build.ts";
import { type Copy, copyKernel, foldsUnder } from "./copy.ts";
import type { Axis, BufferParam, Def, DeviceProgram, Kernel, Value } from "./ir.ts";
import { dependsOn, valuesOf } from "./values.ts";

export const flattenSums = (p: DeviceProgram): DeviceProgram => ({ ...p, kernels: p.kernels.map(flattened) });

/** `outer` and `inner` are summed over one after the other, and are dimensions k and k + 1 of these buffers wherever either is seen. */
type Pair = { readonly outer: Axis; readonly inner: Axis; readonly dims: ReadonlyMap<number, number> };

function flattened(kernel: Kernel): Kernel {
  let now = kernel;
  // A sum of sums of sums takes two turns.
  for (let turn = 0; turn < 4; turn++) {
    const [first, ...others] = pairsOf(now);
    if (!first) break;
    const alike = others.filter((p) => [...p.dims].every(([b, k]) => !first.dims.has(b) || first.dims.get(b) === k));
    now = joined(now, [first, ...apart(alike, first)]);
  }
  return now;
}
/** Those of which no two, nor one and `first`, have an axis in common. */
function apart(pairs: readonly Pair[], first: Pair): readonly Pair[] {
  const taken = new Set([first.outer.id, first.inner.id]);
  const dims = new Map(first.dims);
  return pairs.filter((p) => {
    if (taken.has(p.outer.id) || taken.has(p.inner.id)) return false;
    if ([...p.dims].some(([b, k]) => dims.has(b) && dims.get(b) !== k)) return false;
    for (const a of [p.outer, p.inner]) taken.add(a.id);
    for (const [b, k] of p.dims) dims.set(b, k);
    return true;
  });
}

function pairsOf(kernel: Kernel): readonly Pair[] {
  const values = valuesOf(kernel);
  const uses = new Map<number, number>();
  for (const v of values) for (const x of operandsOf(v.def)) uses.set(x.id, (uses.get(x.id) ?? 0) + 1);
  for (const s of kernel.stores) for (const x of [...s.index, s.value]) uses.set(x.id, 2);
  const seen = new Set<string>();
  return values.flatMap((v): Pair[] => {
    const sums = sumOfSums(v);
    if (!sums || uses.get(sums.within.id) !== 1) return [];
    const { outer: one, inner: other } = sums;
    return (
      [
        [one, other],
        [other, one],
      ] as const
    ).flatMap(([outer, inner]) => {
      const key = `${outer.id} ${inner.id}`;
      const dims = seen.has(key) ? undefined : dimsOf(kernel, values, outer, inner);
      seen.add(key);
      return dims ? [{ outer, inner, dims }] : [];
    });
  });
}
function sumOfSums({ def }: Value) {
  if (def.kind !== "reduce" || def.op === "argmax" || def.axis.role !== "inner") return undefined;
  const within = def.arg;
  const d = within.def;
  if (d.kind !== "reduce" || d.op !== def.op || d.axis.role !== "inner") return undefined;
  return { outer: def.axis, inner: d.axis, within, arg: d.arg, op: def.op };
}

/** Where two axes are in each buffer that is read along them; undefined where anything else is done along either. */
function dimsOf(
  kernel: Kernel,
  values: readonly Value[],
  outer: Axis,
  inner: Axis,
): ReadonlyMap<number, number> | undefined {
  const dims = new Map<number, number>();
  // What is stored along them keeps its place.
  const stored = kernel.stores.flatMap((s) => [...s.index, s.value]);
  if (stored.some((v) => dependsOn(v, outer) || dependsOn(v, inner))) return undefined;
  // What sums over both, and what over the first of them.
  const sums = values.flatMap((v) => {
    const s = sumOfSums(v);
    return s && [s.outer.id, s.inner.id].every((id) => id === outer.id || id === inner.id) ? [v.id, s.within.id] : [];
  });
  for (const v of values) {
    const d = v.def;
    const [o, i] = [dependsOn(v, outer), dependsOn(v, inner)];
    if (d.kind === "reduce" && (d.axis.id === outer.id || d.axis.id === inner.id)) {
      if (!sums.includes(v.id)) return undefined;
      continue;
    }
    if (!o && !i) continue;
    if (d.kind === "pos") continue;
    if (d.kind !== "load" && d.kind !== "map" && d.kind !== "cast" && d.kind !== "reduce") return undefined;
    if (d.kind !== "load") {
      if (operandsOf(d).some((x) => x.def.kind === "pos" && (dependsOn(x, outer) || dependsOn(x, inner))))
        return undefined;
      continue;
    }
    const k = d.index.findIndex((x) => isPos(x, outer));
    const others = d.index.filter((_, n) => n !== k && n !== k + 1);
    const fits =
      k >= 0 &&
      isPos(d.index[k + 1], inner) &&
      !d.clamp &&
      kernel.buffers[d.buffer]!.access === "read" &&
      kernel.buffers[d.buffer]!.shape[k] === outer.extent &&
      kernel.buffers[d.buffer]!.shape[k + 1] === inner.extent &&
      others.every((x) => !dependsOn(x, outer) && !dependsOn(x, inner)) &&
      (dims.get(d.buffer) ?? k) === k;
    if (!fits) return undefined;
    dims.set(d.buffer, k);
  }
  // Others read the same dimensions by an index that can be computed.
  const reads = values.flatMap(({ def: d }) => (d.kind === "load" && dims.has(d.buffer) ? [d] : []));
  return dims.size > 0 && reads.every((d) => !d.clamp) ? dims : undefined;
}
const isPos = (v: Value | undefined, a: Axis): boolean => v?.def.kind === "pos" && v.def.axis.id === a.id;

/** The kernel with the two axes of each pair as one. */
function joined(kernel: Kernel, pairs: readonly Pair[]): Kernel {
  const b = kernelBuilder();
  const dims = new Map(pairs.flatMap((p) => [...p.dims]));
  const buffers = kernel.buffers.map((param, k): BufferParam => {
    const at = dims.get(k);
    return at === undefined ? param : { ...param, shape: flat(param.shape, at) };
  });
  const axes = new Map<Pair, Axis>();
  const axisOf = (p: Pair): Axis => {
    const extent = p.outer.extent * p.inner.extent;
    const axis =
      axes.get(p) ?? newAxis(b, { name: `${p.outer.name}_${p.inner.name}`, role: "inner", extent, block: extent });
    axes.set(p, axis);
    return axis;
  };
  const of = (v: Value, w: Value | undefined): Pair | undefined =>
    pairs.find((p) => isPos(v, p.outer) && isPos(w, p.inner));
  const c: Copy = {
    b,
    values: new Map(),
    folds: foldsUnder(
      kernel.body,
      kernel.stores.flatMap((s) => [...s.index, s.value]),
    ),
    axes: new Map(),
    pos: () => undefined,
    load(d: Extract<Def, { kind: "load" }>, copy) {
      const at = dims.get(d.buffer);
      const index = d.index.flatMap((v, k): readonly Value[] => {
        if (at === undefined || k < at || k > at + 1) return [copy(v)];
        if (k > at) return [];
        const next = d.index[k + 1]!;
        const pair = of(v, next);
        if (pair) return [pos(b, axisOf(pair))];
        return [add(b, times(b, copy(v), kernel.buffers[d.buffer]!.shape[k + 1]!), copy(next))];
      });
      return { buffer: d.buffer, index };
    },
    scalar: (k) => k,
    other(v, copy) {
      const sums = sumOfSums(v);
      const ids = sums && [sums.outer.id, sums.inner.id];
      const pair = ids && pairs.find((p) => ids.includes(p.outer.id) && ids.includes(p.inner.id));
      return pair && reduce(b, sums.op, axisOf(pair), copy(sums.arg));
    },
  };
  return { ...copyKernel(c, kernel), buffers };
}
const flat = (shape: readonly number[], k: number): readonly number[] => [
  ...shape.slice(0, k),
  shape[k]! * shape[k + 1]!,
  ...shape.slice(k + 2),
];
