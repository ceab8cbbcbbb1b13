/**
 * Every collective by rings of `ppermute`: afterwards a program knows no other.
 *
 * The axes of a collective are one ring of n devices, the first axis major. Each result is built in an accumulator that
 * is read only by the `dynamic_update` that replaces it, so it can be updated where it lies. What comes out the same on
 * every device says so by `unvary`. The size of the code depends on nothing but the number of collectives.
 */
import { type Dim, dimDiv, dimMul, dimNumber } from "../base/dim.ts";
import { invariant } from "../base/invariant.ts";
import { type Builder, builder, emit, fold, type Ids, i32, lit } from "./build.ts";
import type { Atom, Block, Mesh, OpEqn, Ops, Program, ReduceKind, Route, Var } from "./ir.ts";
import { isCollective } from "./meaning.ts";
import { ringSize } from "./mesh-layout.ts";
import { mapEqn, nextId } from "./walk.ts";

/** Up to how many bytes, over all devices, a sum is taken by gathering everything everywhere. */
const smallSum = 64 * 1024;

export function decompose(p: Program): Program {
  const d: Decomposing = { mesh: p.mesh, ids: { next: nextId(p) }, renamed: new Map() };
  return { ...p, body: decomposeBlock(d, p.body) };
}

type Decomposing = {
  readonly mesh: Mesh;
  readonly ids: Ids;
  /** What stands for the results of collectives that are gone. */
  readonly renamed: Map<number, Atom>;
};

function decomposeBlock(d: Decomposing, b: Block): Block {
  const to = builder({ axes: d.mesh.axes }, d.ids);
  const atom = (a: Atom): Atom => (a.kind === "var" ? (d.renamed.get(a.id) ?? a) : a);
  for (const old of b.eqns) {
    const e = mapEqn(old, atom, (region) => decomposeBlock(d, region));
    if (e.kind === "op" && isCollective(e.op)) {
      const value = ring(d, { ...to, ...(e.span && { span: e.span }) }, e);
      if (value) d.renamed.set(e.out.id, value);
      else to.eqns.push(e);
    } else to.eqns.push(e);
  }
  return { eqns: to.eqns, results: b.results.map(atom) };
}

/** What the collective gives, in permutes emitted to `b`; undefined where it stays as it is. */
function ring(d: Decomposing, b: Builder, e: OpEqn): Atom | undefined {
  const x = e.args[0]!;
  switch (e.op) {
    case "ppermute": {
      const { axes, route } = e.params;
      return staysPut(route, ringSize(d.mesh, axes)) ? x : undefined;
    }
    case "psum":
      return allReduce(around(d, b, e.params), x, "sum");
    case "pmax":
      return allReduce(around(d, b, e.params), x, "max");
    case "pmin":
      return allReduce(around(d, b, e.params), x, "min");
    case "all_gather": {
      const r = around(d, b, e.params);
      return same(r, gather(r, x, e.params.dim));
    }
    case "psum_scatter":
      return reduceScatter(around(d, b, e.params), x, e.params.dim, "sum");
    case "all_to_all":
      return exchange(around(d, b, e.params), x, e.params);
    default:
      return undefined;
  }
}

/** Whether every device keeps what it has. */
const staysPut = (r: Route, n: number): boolean =>
  r.kind === "shift"
    ? n === 1 || (r.offset % n === 0 && (r.step === undefined || (r.perStep ?? 1) % n === 0))
    : r.pairs.length === n && r.pairs.every(([from, to]) => from === to);

/** Where code is emitted, and round which ring. */
type Ring = { readonly b: Builder; readonly axes: readonly string[]; readonly n: number };
const around = (d: Decomposing, b: Builder, { axes }: { readonly axes: readonly string[] }): Ring => ({
  b,
  axes,
  n: ringSize(d.mesh, axes),
});

const sizeOf = (a: Atom, dim: number): Dim => a.type.shape[dim]!;
const numeric = (d: Dim): number => {
  const value = dimNumber(d);
  invariant(value !== undefined, "collectives are made into rings when sizes are numbers");
  return value;
};
const permuted = (r: Ring, b: Builder, x: Atom, route: Route): Var => emit(b, "ppermute", { axes: r.axes, route }, x);
const zeros = (b: Builder, x: Atom, dim: number, size: Dim): Var =>
  emit(b, "full", { shape: x.type.shape.with(dim, size) }, lit(0, x.type.dtype));
/** ((place + offset ± t) mod n) * size, an i32: where the rows of that device start. */
function startOf(
  r: Ring,
  b: Builder,
  t: { readonly step: Var; readonly sign: 1 | -1 } | undefined,
  offset: number,
  size: Dim,
): Atom {
  const me = emit(b, "axis_index", { axes: r.axes });
  const moved = t ? emit(b, t.sign > 0 ? "add" : "sub", {}, me, t.step) : me;
  const place = offset === 0 && !t ? moved : emit(b, "mod", {}, emit(b, "add", {}, moved, i32(offset)), i32(r.n));
  return emit(b, "mul", {}, place, i32(numeric(size)));
}
/** Says that what the devices of the ring have is one value. */
const same = (r: Ring, x: Atom): Atom => emit(r.b, "unvary", { axes: r.axes }, x);

/**
 * Everyone's x along `dim`, in ring order:
 *
 *   out[me] = x;  for t in 0 … n-2: cur ← from the device before; out[me - t - 1] = cur
 */
function gather(r: Ring, x: Atom, dim: number): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const c = sizeOf(x, dim);
  const own = emit(b, "dynamic_update", { dim }, zeros(b, x, dim, dimMul(c, n)), x, startOf(r, b, undefined, 0, c));
  const [out] = fold(b, n - 1, [own, x], (b, step, [out, cur]) => {
    const came = permuted(r, b, cur!, { kind: "shift", offset: 1 });
    return [emit(b, "dynamic_update", { dim }, out!, came, startOf(r, b, { step, sign: -1 }, -1, c)), came];
  });
  return out!;
}

type Reduction = Extract<ReduceKind, "sum" | "max" | "min">;
const combine = { sum: "add", max: "max", min: "min" } as const;

/**
 * The device's own chunk of the reduction of everyone's x along `dim`:
 *
 *   acc = x[me - 1];  for t in 0 … n-2: acc ← from the device before; acc = acc ∘ x[me - 2 - t]
 */
function reduceScatter(r: Ring, x: Atom, dim: number, kind: Reduction): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const size = dimDiv(sizeOf(x, dim), n);
  const first = emit(b, "dynamic_slice", { dim, size }, x, startOf(r, b, undefined, -1, size));
  const [acc] = fold(b, n - 1, [first], (b, step, [acc]) => {
    const came = permuted(r, b, acc!, { kind: "shift", offset: 1 });
    const own = emit(b, "dynamic_slice", { dim, size }, x, startOf(r, b, { step, sign: -1 }, -2, size));
    return [emit(b, combine[kind], {}, came, own)];
  });
  return acc!;
}

/**
 * The reduction of everyone's x, everywhere. Small: everyone gathers everything and reduces it in ring order, so all
 * come to the same bits. Large: each device reduces a chunk of it, and the chunks are gathered.
 */
function allReduce(r: Ring, x: Atom, kind: Reduction): Atom {
  const { b, n } = r;
  if (n === 1) return same(r, x);
  const { shape } = x.type;
  const count = shape.reduce<number>((m, d) => m * numeric(d), 1);
  if (n * count * bytesOf(x) <= smallSum) {
    const all = gather(r, emit(b, "reshape", { shape: [1, ...shape] }, x), 0);
    return same(r, emit(b, "reduce", { kind, dims: [0], keep: false }, all));
  }
  const flat = emit(b, "reshape", { shape: [count] }, x);
  const over = (n - (count % n)) % n;
  const padded =
    over === 0 ? flat : emit(b, "concat", { dim: 0 }, flat, emit(b, "full", { shape: [over] }, lit(0, x.type.dtype)));
  const whole = gather(r, reduceScatter(r, padded, 0, kind), 0);
  const cut = over === 0 ? whole : emit(b, "index", { selectors: [{ kind: "slice", start: 0, size: count }] }, whole);
  return same(r, emit(b, "reshape", { shape }, cut));
}
/** Bytes of an element in memory. */
const bytesOf = (a: Atom): number => (a.type.dtype === "f16" || a.type.dtype === "bf16" ? 2 : 4);

/**
 * Device p gets piece p (along `split`) of everyone's x, joined along `concat` in ring order:
 *
 *   out[me] = x[me];  for t in 0 … n-2: out[me - t - 1] ← x[me + t + 1] sent t + 1 further round
 */
function exchange(r: Ring, x: Atom, { split, concat }: Ops["all_to_all"]): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const size = dimDiv(sizeOf(x, split), n);
  const mine = emit(b, "dynamic_slice", { dim: split, size }, x, startOf(r, b, undefined, 0, size));
  const c = sizeOf(mine, concat);
  const place = (b: Builder, out: Atom, piece: Atom, at: Atom): Var =>
    emit(b, "dynamic_update", { dim: concat }, out, piece, at);
  const own = place(b, zeros(b, mine, concat, dimMul(c, n)), mine, startOf(r, b, undefined, 0, c));
  const [out] = fold(b, n - 1, [own], (b, step, [out]) => {
    const piece = emit(b, "dynamic_slice", { dim: split, size }, x, startOf(r, b, { step, sign: 1 }, 1, size));
    const came = permuted(r, b, piece, { kind: "shift", offset: 1, step, perStep: 1 });
    return [place(b, out!, came, startOf(r, b, { step, sign: -1 }, -1, c))];
  });
  return out!;
}
