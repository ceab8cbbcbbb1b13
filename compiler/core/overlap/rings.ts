/**
 * Gathers and scattered sums in permutes: round one ring in one of several ways, or by nodes, which is round two of them.
 * Results are built in accumulators that are read only by the `dynamic_update` that replaces them.
 */
import { type Dim, dimDiv, dimMul, dimNumber } from "../../base/dim.ts";
import { invariant } from "../../base/invariant.ts";
import { type Builder, emit, fold, i32, lit } from "../build.ts";
import type { Atom, ReduceKind, Route, Var } from "../ir.ts";
import type { RingWay, Round } from "./ways.ts";

/**
 * Where code is emitted, and round which ring: n places of the ring of `axes`. `place`: a device's place among them; `hop`:
 * the route to the device that is so far further round.
 */
export type Ring = {
  readonly b: Builder;
  readonly axes: readonly string[];
  readonly n: number;
  readonly place: (b: Builder) => Atom;
  readonly hop: (shift: number) => Route;
};
export const wholeRing = (b: Builder, axes: readonly string[], n: number): Ring => ({
  b,
  axes,
  n,
  place: (b) => emit(b, "axis_index", { axes }),
  hop: (shift) => ({ kind: "shift", offset: shift }),
});
/** The devices with the same place in their nodes, of `inside` devices each, and those of a node. */
const between = (r: Ring, inside: number): Ring => ({
  ...r,
  n: r.n / inside,
  place: (b) => emit(b, "div", {}, r.place(b), i32(inside)),
  hop: (shift) => ({ kind: "shift", offset: shift * inside }),
});
const within = (r: Ring, inside: number): Ring => ({
  ...r,
  n: inside,
  place: (b) => emit(b, "mod", {}, r.place(b), i32(inside)),
  hop: (shift) => ({ kind: "shift", offset: shift, within: inside }),
});

export const sizeOf = (a: Atom, dim: number): Dim => a.type.shape[dim]!;
export const numeric = (d: Dim): number => {
  const value = dimNumber(d);
  invariant(value !== undefined, "collectives are made into rings when sizes are numbers");
  return value;
};
export const permuted = (r: Ring, b: Builder, x: Atom, route: Route): Var =>
  emit(b, "ppermute", { axes: r.axes, route }, x);
export const zeros = (b: Builder, x: Atom, dim: number, size: Dim): Var =>
  emit(b, "full", { shape: x.type.shape.with(dim, size) }, lit(0, x.type.dtype));
/** ((place + offset ± t) mod n) * size + more, an i32: where the rows of that device start. */
export function startOf(
  r: Ring,
  b: Builder,
  t: { readonly step: Var; readonly sign: 1 | -1 } | undefined,
  offset: number,
  size: Dim,
  more = 0,
): Atom {
  const me = r.place(b);
  const moved = t ? emit(b, t.sign > 0 ? "add" : "sub", {}, me, t.step) : me;
  const place = offset === 0 && !t ? moved : emit(b, "mod", {}, emit(b, "add", {}, moved, i32(offset)), i32(r.n));
  const start = emit(b, "mul", {}, place, i32(numeric(size)));
  return more === 0 ? start : emit(b, "add", {}, start, i32(more));
}
type Reduction = Extract<ReduceKind, "sum" | "max" | "min">;
const combine = { sum: "add", max: "max", min: "min" } as const;

/** Everyone's x along `dim`, in ring order. */
export function gather(r: Ring, { nodes, round, inside }: RingWay, x: Atom, dim: number): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  if (nodes === undefined) return gatherRound(r, round, x, dim);
  // [nodes, …] of the same place, then [places, nodes, …], and both to where the rows are.
  const { shape } = x.type;
  const one = gatherRound(between(r, nodes), round, emit(b, "reshape", { shape: [1, ...shape] }, x), 0);
  const all = gatherRound(within(r, nodes), inside, emit(b, "reshape", { shape: [1, ...one.type.shape] }, one), 0);
  const rest = shape.map((_, d) => d + 2);
  const perm = [...rest.slice(0, dim), 1, 0, ...rest.slice(dim)];
  const ordered = emit(b, "transpose", { perm }, all);
  return emit(b, "reshape", { shape: shape.with(dim, dimMul(shape[dim]!, n)) }, ordered);
}

/** The device's own chunk of the reduction of everyone's x along `dim`. */
export function reduceScatter(r: Ring, { nodes, round, inside }: RingWay, x: Atom, dim: number, kind: Reduction): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  if (nodes === undefined) return reduceRound(r, round, x, dim, kind);
  // [places, nodes, …, chunk, …]: to each place in a node what is its, then to each node.
  const { shape } = x.type;
  const chunk = dimDiv(shape[dim]!, n);
  const split = [...shape.slice(0, dim), n / nodes, nodes, chunk, ...shape.slice(dim + 1)];
  const apart = emit(b, "reshape", { shape: split }, x);
  const rest = split.map((_, d) => d).filter((d) => d !== dim && d !== dim + 1);
  const ordered = emit(b, "transpose", { perm: [dim + 1, dim, ...rest] }, apart);
  const mine = reduceRound(within(r, nodes), inside, ordered, 0, kind);
  const own = reduceRound(between(r, nodes), round, mine, 1, kind);
  return emit(b, "reshape", { shape: shape.with(dim, chunk) }, own);
}

const gatherRound = (r: Ring, round: Round, x: Atom, dim: number): Atom =>
  r.n === 1 ? x : round === "doubling" ? gatherDoubling(r, x, dim) : gatherStepwise(r, x, dim, round === "both ways");
const reduceRound = (r: Ring, round: Round, x: Atom, dim: number, kind: Reduction): Atom =>
  r.n === 1
    ? x
    : round === "doubling"
      ? reduceHalving(r, x, dim, kind)
      : reduceStepwise(r, x, dim, kind, round === "both ways");

// --- A part at a time --------------------------------------------------------------------------------------------------

/**
 *   out[me] = x;  for t in 0 … n-2: cur ← from the device before; out[me - t - 1] = cur
 *
 * In both directions, the device behind sends as well, and (n - 1) / 2 steps do; of an even n the last one has one sender.
 */
function gatherStepwise(r: Ring, x: Atom, dim: number, both: boolean): Atom {
  const { b, n } = r;
  const c = sizeOf(x, dim);
  const put = (b: Builder, out: Atom, came: Atom, at: Atom): Var => emit(b, "dynamic_update", { dim }, out, came, at);
  const own = put(b, zeros(b, x, dim, dimMul(c, n)), x, startOf(r, b, undefined, 0, c));
  if (!both) {
    const [out] = fold(b, n - 1, [own, x], (b, step, [out, cur]) => {
      const came = permuted(r, b, cur!, r.hop(1));
      return [put(b, out!, came, startOf(r, b, { step, sign: -1 }, -1, c)), came];
    });
    return out!;
  }
  const [out, last] = fold(b, Math.floor((n - 1) / 2), [own, x, x], (b, step, [out, left, right]) => {
    const before = permuted(r, b, left!, r.hop(1));
    const behind = permuted(r, b, right!, r.hop(-1));
    const one = put(b, out!, before, startOf(r, b, { step, sign: -1 }, -1, c));
    return [put(b, one, behind, startOf(r, b, { step, sign: 1 }, 1, c)), before, behind];
  });
  return n % 2 === 1 ? out! : put(b, out!, permuted(r, b, last!, r.hop(1)), startOf(r, b, undefined, n / 2, c));
}

/**
 *   acc = x[me - 1];  for t in 0 … n-2: acc ← from the device before; acc = acc ∘ x[me - 2 - t]
 *
 * In both directions, half of each chunk goes one way and half the other; chunks of an odd size go one way.
 */
function reduceStepwise(r: Ring, x: Atom, dim: number, kind: Reduction, both: boolean): Atom {
  const { b, n } = r;
  const size = dimDiv(sizeOf(x, dim), n);
  const halves = both && numeric(size) % 2 === 0 ? ([1, -1] as const) : ([1] as const);
  const part = numeric(size) / halves.length;
  const rows = (b: Builder, start: Atom): Var => emit(b, "dynamic_slice", { dim, size: part }, x, start);
  const first = halves.map((sign, k) => rows(b, startOf(r, b, undefined, -sign, size, k * part)));
  const all = fold(b, n - 1, first, (b, step, acc) => {
    const came = halves.map((sign, k) => permuted(r, b, acc[k]!, r.hop(sign)));
    return halves.map((sign, k) => {
      const t = { step, sign: sign > 0 ? (-1 as const) : (1 as const) };
      return emit(b, combine[kind], {}, came[k]!, rows(b, startOf(r, b, t, -2 * sign, size, k * part)));
    });
  });
  return all.length === 1 ? all[0]! : emit(b, "concat", { dim }, ...all);
}

// --- In a few steps ------------------------------------------------------------------------------------------------------

/**
 * After Bruck et al. (1997): what is held doubles with each transfer, and lies in order from the device's own place on.
 *
 *   a = [x];  while less than all is held: a = [a, what the device so many places on holds of what is missing]
 *   out[i] = a[i - me]
 *
 * As many transfers as n has binary digits, none of them in a loop, so that other work can go on between them.
 */
function gatherDoubling(r: Ring, x: Atom, dim: number): Atom {
  const { b, n } = r;
  const { shape } = x.type;
  let a: Atom = emit(b, "reshape", { shape: [1, ...shape] }, x);
  for (let held = 1; held < n; held = Math.min(2 * held, n)) {
    const missing = rows(b, a, 0, Math.min(held, n - held));
    a = emit(b, "concat", { dim: 0 }, a, permuted(r, b, missing, r.hop(-held)));
  }
  const all = turned(r, a, -1);
  const rest = shape.map((_, d) => d + 1);
  const ordered = emit(b, "transpose", { perm: [...rest.slice(0, dim), 0, ...rest.slice(dim)] }, all);
  return emit(b, "reshape", { shape: shape.with(dim, dimMul(shape[dim]!, n)) }, ordered);
}
/** The same the other way round: half of what is left goes to whom it is for, or to one who is nearer to them. */
function reduceHalving(r: Ring, x: Atom, dim: number, kind: Reduction): Atom {
  const { b, n } = r;
  const { shape } = x.type;
  const chunk = dimDiv(shape[dim]!, n);
  const split = emit(b, "reshape", { shape: [...shape.slice(0, dim), n, chunk, ...shape.slice(dim + 1)] }, x);
  const rest = split.type.shape.map((_, d) => d).filter((d) => d !== dim);
  let a: Atom = turned(r, emit(b, "transpose", { perm: [dim, ...rest] }, split), 1);
  const sizes = [1];
  while (sizes.at(-1)! < n) sizes.push(Math.min(2 * sizes.at(-1)!, n));
  for (const held of sizes.toReversed().slice(1)) {
    const now = numeric(sizeOf(a, 0));
    const came = permuted(r, b, rows(b, a, held, now - held), r.hop(held));
    const sum = emit(b, combine[kind], {}, came, rows(b, a, 0, now - held));
    a = now - held === held ? sum : emit(b, "concat", { dim: 0 }, sum, rows(b, a, now - held, 2 * held - now));
  }
  return emit(b, "reshape", { shape: shape.with(dim, chunk) }, a);
}
const rows = (b: Builder, a: Atom, start: number, size: number): Atom => {
  if (start === 0 && sizeOf(a, 0) === size) return a;
  const rest = a.type.shape.slice(1).map(() => ({ kind: "all" as const }));
  return emit(b, "index", { selectors: [{ kind: "slice", start, size }, ...rest] }, a);
};
/** Row i of the result is row i ± place, going round. */
function turned(r: Ring, a: Atom, sign: 1 | -1): Atom {
  const { b, n } = r;
  const place = r.place(b);
  const at = emit(b, sign > 0 ? "add" : "sub", {}, emit(b, "iota", { size: n }), place);
  const rest = a.type.shape.slice(1).map(() => ({ kind: "all" as const }));
  return emit(b, "index", { selectors: [{ kind: "gather", arg: 1 }, ...rest] }, a, emit(b, "mod", {}, at, i32(n)));
}
