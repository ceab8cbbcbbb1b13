/**
 * A mapping for a processor with SIMD. A thread is alone, and one axis of the kernel is its vector axis: all that depends on
 * it is held by fours, so that what is the same for four neighbours is computed for all at once. Which axis that is, is
 * estimated: loads that lie side by side, and ops, cost a quarter; loads that do not are gathered; sums along the axis
 * itself are joined at their end. Products are blocked over the registers that there are.
 */
import { isHalf } from "../core/half.ts";
import { isSlow } from "../core/ops.ts";
import type { Axis, Kernel, Value } from "../tile/ir.ts";
import { dependsOn } from "../tile/values.ts";
import { type Allowed, allowedOf, type Product, reuses } from "./allowed.ts";
import { type AxisMap, foldsOf, type Mapping, stepsAlong } from "./map.ts";

export type SimdTarget = {
  /** Values in a vector register. */
  readonly simd: 4;
  /** Vector registers for the sums of a product. */
  readonly sums: number;
  /** Elements of a fold's block, where the program leaves it open. */
  readonly block: number;
  /** Rounds that one thread makes in a kernel without a fold, those of sums among them. */
  readonly chunk: number;
  /** Elements of a product's factor that one thread keeps laid together, and rounds over them. */
  readonly panel: number;
  readonly rounds: number;
};

/** x86-64 and ARM have 16 and 32 registers of 128 bits; what is not for sums is for their factors. */
export const cpuTarget: SimdTarget = { simd: 4, sums: 8, block: 32, chunk: 64, panel: 32768, rounds: 16 };

/** Chooses a mapping for a kernel. Deterministic. */
export function chooseSimd(kernel: Kernel, target: SimdTarget): Mapping {
  const allowed = allowedOf(kernel);
  const open = (a: Axis): boolean => a.block === "auto" || (a.role === "fold" && allowed.free.has(a.id));
  const blockOf = (a: Axis): number => {
    if (a.role === "inner") return a.extent;
    const most = Math.min(a.extent, open(a) ? target.block : (a.block as number));
    return a.role === "fold" && open(a) && most > 4 ? most - (most % 4) : most;
  };
  const vector = vectorAxis(kernel, allowed, blockOf);
  const unroll = registersOf(allowed, vector, target, blockOf);
  const chunks = chunksOf(kernel, allowed, unroll, target);

  const maps = new Map<number, AxisMap>();
  let groups = 1;
  for (const axis of allowed.axes) {
    const u = unroll.get(axis.id) ?? 1;
    const rounds = isFree(allowed, axis) ? (chunks.get(axis.id) ?? 1) : Math.ceil(blockOf(axis) / u);
    const block = u * rounds;
    maps.set(axis.id, {
      axis,
      block,
      lanes: 1,
      unroll: u,
      vector: axis === vector,
      loop: Math.ceil(block / u),
      ragged: axis.extent % block !== 0,
    });
    if (axis.role === "grid") groups *= Math.ceil(axis.extent / block);
  }
  return { axes: maps, threads: 1, groups, spread: false, simd: { axis: vector?.id ?? null } };
}

/** The axis along which computing by fours saves most; undefined where none saves anything. */
function vectorAxis(kernel: Kernel, allowed: Allowed, blockOf: (a: Axis) => number): Axis | undefined {
  const able = allowed.axes.filter(
    (a) => a.extent >= 4 && (a.role === "inner" || isFree(allowed, a) || blockOf(a) % 4 === 0),
  );
  let best: Axis | undefined;
  let least = costAlong(kernel, allowed, undefined);
  // Later axes lie closer together in memory, mostly: they win a draw.
  for (const a of [...able].reverse()) {
    const cost = costAlong(kernel, allowed, a);
    if (cost < least) {
      best = a;
      least = cost;
    }
  }
  return best;
}

const has = (axes: readonly Axis[], a: Axis): boolean => axes.some((x) => x.id === a.id);
const sameAxes = (a: readonly Axis[], b: readonly Axis[]): boolean =>
  a.length === b.length && a.every((x) => b.some((y) => y.id === x.id));
/** A grid axis whose blocks the mapping chooses. */
const isFree = ({ free }: Allowed, a: Axis): boolean => a.role === "grid" && free.has(a.id);
const foldAxes = (kernel: Kernel): ReadonlySet<number> =>
  new Set(foldsOf(kernel.body).flatMap((f) => (f.over.kind === "blocks" ? [f.over.axis.id] : [])));
const count = (axes: readonly Axis[]): number =>
  axes.reduce((n, a, i) => (axes.findIndex((b) => b.id === a.id) === i ? n * a.extent : n), 1);

/** About how many instructions the kernel takes when `vector` is computed by fours. */
function costAlong(kernel: Kernel, { values, products }: Allowed, vector: Axis | undefined): number {
  const along = (v: { readonly axes: readonly Axis[] }): boolean => vector !== undefined && dependsOn(v, vector);
  const adjacent = (index: readonly Value[]): boolean => {
    const last = index.at(-1);
    return !!vector && !!last && stepsAlong(last, vector) && !index.slice(0, -1).some((i) => along(i));
  };
  const folded = foldAxes(kernel);
  /** A factor is loaded anew for each block of registers along what its partner has and it has not; before a fold it is kept. */
  const repeats = (v: Value): number =>
    products.reduce((most, p) => {
      if (!p.sides.some((side) => sameAxes(side, v.axes))) return most;
      const others = p.axes.filter((a) => !dependsOn(v, a) && !folded.has(a.id));
      const again = folded.size > 0 && !v.axes.some((a) => folded.has(a.id)) ? 1 : Math.max(1, count(others) / 4);
      return Math.max(most, again);
    }, 1);
  let cost = 0;
  for (const v of values) {
    const d = v.def;
    const each = along(v) ? 0.25 : 1;
    const n = count(v.axes);
    if (d.kind === "load") cost += n * repeats(v) * (!along(v) ? 0.5 : adjacent(d.index) && !d.clamp ? 0.25 : 1.25);
    else if (d.kind === "map") cost += n * each * (isSlow(d.op) ? 15 : 1);
    else if (d.kind === "cast") cost += n * each;
    else if (d.kind === "scan") cost += n * 2;
    else if (d.kind === "at") cost += n * 2;
    else if (d.kind === "reduce") {
      const inside = n * d.axis.extent;
      const across = vector?.id === d.axis.id;
      if (d.op === "argmax") cost += inside * (across ? 1.5 : 1);
      else cost += inside * (across ? 0.25 : each) + (across ? 6 * n : 0);
    }
  }
  for (const s of kernel.stores) {
    const all = [...s.value.axes, ...s.index.flatMap((i) => i.axes)];
    cost += count(all) * (vector && all.some((a) => a.id === vector.id) ? (adjacent(s.index) ? 0.25 : 1.25) : 1);
  }
  return cost;
}

/** Registers along each axis. */
function registersOf(
  allowed: Allowed,
  vector: Axis | undefined,
  target: SimdTarget,
  blockOf: (a: Axis) => number,
): ReadonlyMap<number, number> {
  const { axes, products } = allowed;
  const unroll = new Map<number, number>();
  const reused = (a: Axis): boolean => products.some((p) => reuses(p, a));
  const groupOf = (a: Axis): number => allowed.groups.get(a.id) ?? 1;
  const registersFor = (a: Axis, want: number): number => {
    let most = Math.max(want, groupOf(a));
    while (most > 1 && most > a.extent) most /= 2;
    if (isFree(allowed, a)) return most;
    const u = divisor(blockOf(a), want, a === vector);
    // The last round over a whole axis may go past its end, where that saves more than it wastes.
    const wanted = a === vector ? u % 4 !== 0 : reused(a) && 2 * u < most;
    return a.role === "inner" && wanted ? most : u;
  };
  // Four vectors along the vector axis, and the other sums along the other axes. Sums along it alone wait for each other less.
  const summed = (a: Axis): boolean => products.some((p) => p.over.id === a.id);
  const met = (a: Axis): boolean => allowed.values.some(({ def }) => def.kind === "reduce" && def.axis.id === a.id);
  // Sums along other axes go down columns: neighbours of them share what is fetched from memory.
  const besideSums = (a: Axis): boolean =>
    isFree(allowed, a) &&
    allowed.values.some(({ def, axes }) => def.kind === "reduce" && axes.some((x) => x.id === a.id));
  const thin = vector && products.find((p) => isThin(allowed, p, vector));
  if (vector && thin) {
    unroll.set(vector.id, registersFor(vector, ROW));
    for (const a of rowsOf(thin, vector)) unroll.set(a.id, a.extent);
  } else if (vector) {
    const many = reused(vector) || (met(vector) && !summed(vector)) || besideSums(vector);
    unroll.set(vector.id, registersFor(vector, many ? 16 : 4));
  }
  for (const p of products) {
    const across = vector && p.axes.some((a) => a.id === vector.id) ? (unroll.get(vector.id) ?? 4) / 4 : 1;
    let left = target.sums / across;
    // First along what the factor that is held by fours does not depend on: each of its fours serves several sums then.
    const beside = (a: Axis): boolean => p.sides.some((s) => vector && has(s, vector) && has(s, a));
    const inTurn = [...p.axes].reverse();
    for (const a of [...inTurn.filter((x) => !beside(x)), ...inTurn.filter(beside)]) {
      if (a === vector || !reuses(p, a) || (isFree(allowed, a) && a.block === 1)) continue;
      const known = unroll.get(a.id);
      const u = known ?? registersFor(a, Math.min(4, left));
      unroll.set(a.id, u);
      left = Math.max(1, Math.floor(left / u));
    }
  }
  for (const a of axes) {
    if (unroll.has(a.id)) continue;
    const size = blockOf(a);
    const free = registersFor(a, isTurned(allowed, a, vector) ? 16 : groupOf(a));
    unroll.set(a.id, isFree(allowed, a) ? free : registersFor(a, summed(a) ? 1 : size <= 4 ? size : 4));
  }
  return unroll;
}

/**
 * Whether a product has few rows and goes down the columns of its other factor, which is then read once and no more: as fast
 * as memory gives it, in rows as long as can be; sums that do not fit the registers cost less than jumps between pages.
 */
function isThin(allowed: Allowed, p: Product, vector: Axis): boolean {
  const rows = rowsOf(p, vector).reduce((n, a) => n * a.extent, 1);
  const alone = rowsOf(p, vector).every((a) => isFree(allowed, a) && a.block !== 1);
  const down = p.axes.some((a) => a.id === vector.id) && isFree(allowed, vector) && vector.extent >= ROW;
  // What takes work to be read is not as fast as memory anyway.
  const plain = allowed.values.every((v) => v.def.kind !== "load" || !dependsOn(v, vector) || !isHalf(v.dtype));
  return down && alone && plain && rows <= FEW && p.over.extent >= ROW;
}
/** The axes along which one factor serves many elements, but for the vector axis. */
const rowsOf = (p: Product, vector: Axis): readonly Axis[] =>
  p.axes.filter((a) => a.id !== vector.id && a.extent > 1 && reuses(p, a));
/** Rows of a product that are few; elements of a row that are read side by side: two lines of a cache. */
const FEW = 8;
const ROW = 32;

/**
 * Whether neighbours along `a` lie side by side in an array that is gathered along the vector axis, as in a transpose: what is
 * fetched from memory for one is there for the others.
 */
function isTurned({ values }: Allowed, a: Axis, vector: Axis | undefined): boolean {
  if (!vector || values.some(({ def }) => def.kind === "reduce" || def.kind === "scan" || def.kind === "at"))
    return false;
  return values.some(({ def }) => {
    const last = def.kind === "load" ? def.index.at(-1) : undefined;
    return (
      def.kind === "load" && !!last && stepsAlong(last, a) && def.index.some((i) => i !== last && dependsOn(i, vector))
    );
  });
}

/** Rounds along the free axes of a kernel without a fold: a thread is worth starting for many elements only, sums' among them. */
function chunksOf(
  kernel: Kernel,
  allowed: Allowed,
  unroll: ReadonlyMap<number, number>,
  target: SimdTarget,
): ReadonlyMap<number, number> {
  const chunks = new Map<number, number>();
  if (foldAxes(kernel).size > 0 || kernel.body.some((s) => s.kind === "fold")) return chunks;
  // Panels of a product's factors are kept while rounds along the other one's axes go over them.
  for (const p of allowed.products) {
    const free = p.axes.filter((a) => isFree(allowed, a) && reuses(p, a));
    if (free.length < 2) continue;
    for (const a of free) {
      const registers = unroll.get(a.id) ?? 1;
      const most = Math.min(target.rounds, Math.floor(target.panel / (registers * p.over.extent)));
      chunks.set(a.id, divisor(Math.ceil(a.extent / registers), Math.max(1, most), false));
    }
    return chunks;
  }
  const inner = allowed.values.reduce((most, { def, axes }) => {
    const all = def.kind === "reduce" ? [...axes, def.axis] : axes;
    return Math.max(most, count(all.filter((a) => a.role === "inner")));
  }, 1);
  let left = Math.max(1, Math.floor(target.chunk / inner));
  for (const a of [...allowed.axes].reverse()) {
    if (!isFree(allowed, a)) continue;
    const rounds = Math.ceil(a.extent / (unroll.get(a.id) ?? 1));
    const own = Math.min(rounds, left);
    chunks.set(a.id, own);
    left = Math.max(1, Math.floor(left / own));
  }
  return chunks;
}

/** The largest divisor of `n` up to `most`; by fours where it can be. */
function divisor(n: number, most: number, fours: boolean): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0 && (!fours || d % 4 === 0)) return d;
  return 1;
}
