/**
 * Sums with one-hot vectors (hits.ts): where one term of a sum counts, the sum becomes that term; where each term is added at one
 * place, the sum gets a kernel of its own on devices where that pays, so that nothing else is in the way of adding there.
 *
 *   sum c: 4096 (place = c) · load x [i, c]     ⟶   place is in 0 … 4095 ? load x [i, place] : 0
 */
import { clamp, map } from "./arithmetic.ts";
import { constant, type KernelBuilder, kernelBuilder, load, pos } from "./build.ts";
import { axisIn, type Copy, copyKernel, copyValue, foldsUnder } from "./copy.ts";
import { uniqueName } from "./fuse/names.ts";
import { isWhole, oneTerm, type Scatter, scatterIn, scatterOf } from "./hits.ts";
import type { ArrayInfo, DeviceProgram, HostStep, Kernel, Value } from "./ir.ts";
import { type Piece, pieceOf, type Reads, readBuffer, readScalar, readsOf } from "./splitk/reads.ts";
import { dependsOn, valuesOf } from "./values.ts";

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
    const values = new Map([...c.values].filter(([id]) => !dependsOn(old.get(id) ?? v, axis)));
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
  return copyKernel(c, kernel);
}
