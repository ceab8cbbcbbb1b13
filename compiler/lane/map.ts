/**
 * Mapping: which part of a kernel's axes each thread owns. Data, chosen here and only here; lower.ts obeys it.
 *
 * A thread owns a box of the grid's elements and computes all that depends on it, so threads never wait for each
 * other. A grid axis whose elements never meet (no reduction, scan or re-indexing along it) may be dealt out freely;
 * the program's own block size is then only a hint. Along every axis a thread's elements come in
 * `loop` rounds of `unroll` registers; with `vector`, registers come in groups of four that lie side by side in memory.
 *
 *   grid axis:   element = group * block + (register / w * lanes + lane) * w + register % w,  w = 4 with `vector`, else 1
 *   other axes:  element = start of block + round * unroll + register
 */
import { operandsOf } from "../tile/build.ts";
import type { Axis, Kernel, Stmt, Value } from "../tile/ir.ts";

export type AxisMap = {
  readonly axis: Axis;
  /** Elements per tile or step, after the mapping's choice. */
  readonly block: number;
  readonly lanes: number;
  readonly unroll: number;
  readonly vector: boolean;
  /** Rounds a thread makes over its part of a block. */
  readonly loop: number;
  /** The last block is partial. */
  readonly ragged: boolean;
};
export type Mapping = {
  readonly axes: ReadonlyMap<number, AxisMap>;
  readonly threads: number;
  readonly groups: number;
  /** Threads in fours load rows that all need, one each. */
  readonly spread: boolean;
};

/** What a mapping is chosen for. */
export type MapTarget = {
  /** Threads in a workgroup to aim at. */
  readonly threads: number;
  readonly maxThreads: number;
  /** Registers along a grid axis that products are blocked over. */
  readonly rows: number;
  /** Elements of a sequential block unrolled at a time. */
  readonly columns: number;
  /** The most multiply-adds unrolled in one loop body. */
  readonly body: number;
  /** The most elements of an array that a thread keeps, as far as fewer registers along the grid can help. */
  readonly array: number;
  /** Whether handing a value round four threads is cheaper than loading it in each. */
  readonly spread: boolean;
};
/** A CPU behind a WebGPU driver: loads are dear, threads are SIMD lanes, and long bodies compile slowly. */
export const softwareTarget: MapTarget = {
  threads: 8,
  maxThreads: 256,
  rows: 4,
  columns: 8,
  body: 512,
  array: 1024,
  spread: true,
};
/** A GPU: many threads, few registers each. */
export const gpuTarget: MapTarget = {
  threads: 64,
  maxThreads: 256,
  rows: 2,
  columns: 8,
  body: 256,
  array: 512,
  spread: false,
};

/** Every value a kernel computes, in order, those inside folds (and what their bounds are made of) included. */
export function valuesOf(kernel: Kernel, withBounds = true): readonly Value[] {
  const found = new Map<number, Value>();
  const visit = (v: Value): void => {
    if (found.has(v.id)) return;
    for (const a of operandsOf(v.def)) visit(a);
    found.set(v.id, v);
  };
  const walk = (body: readonly Stmt[]): void => {
    for (const s of body) {
      if (s.kind === "let") visit(s.value);
      else {
        s.init.forEach(visit);
        if (s.over.kind === "steps") visit(s.over.step);
        s.carry.forEach(visit);
        walk(s.body);
        s.next.forEach(visit);
        s.results.forEach(visit);
        if (withBounds) s.bounds?.prelude.forEach(visit);
      }
    }
  };
  walk(kernel.body);
  for (const s of kernel.stores) {
    s.index.forEach(visit);
    visit(s.value);
  }
  return [...found.values()];
}

export function foldsOf(body: readonly Stmt[]): readonly Extract<Stmt, { kind: "fold" }>[] {
  return body.flatMap((s) => (s.kind === "fold" ? [s, ...foldsOf(s.body)] : []));
}

/** Chooses a mapping for a kernel. Deterministic. */
export function chooseMapping(kernel: Kernel, target: MapTarget): Mapping {
  const values = valuesOf(kernel);
  const axes = new Map<number, Axis>();
  for (const a of kernel.grid) axes.set(a.id, a);
  for (const f of foldsOf(kernel.body)) if (f.over.kind === "blocks") axes.set(f.over.axis.id, f.over.axis);
  for (const v of values) for (const a of axesSeen(v)) axes.set(a.id, a);

  const meeting = meetingAxes(kernel);
  const adjacent = adjacentAxes(values, kernel);
  const products = productReductions(values);
  const unroll = new Map<number, number>();
  const free = (a: Axis): boolean => a.role === "grid" && !meeting.has(a.id);
  const canVector = (a: Axis): boolean => adjacent.has(a.id) && a.extent % 4 === 0;

  // Sequential and inner axes first: registers along them are what a thread reuses.
  for (const a of axes.values()) {
    if (free(a)) continue;
    const size = blockOf(a, target.columns);
    const want = a.role === "fold" ? target.columns : canVector(a) ? 4 : size <= 8 ? size : 4;
    unroll.set(a.id, divisor(size, want, canVector(a)));
  }
  // Then the grid: rows where a product reuses what is loaded, four neighbours where memory lies side by side.
  const grid = kernel.grid.filter(free);
  const innermost = [...grid].reverse().find((a) => canVector(a)) ?? grid.at(-1);
  for (const a of grid) {
    const reused = products.some((p) => p.axes.some((x) => x.id === a.id) && onOneSide(p, a));
    const size = a.block === "auto" || a.block === 1 ? a.extent : Math.min(a.block, a.extent);
    let u = 1;
    if (reused && a.block !== 1)
      u =
        canVector(a) && a === innermost && grid.length > 1 && otherRows(products, grid, a)
          ? target.columns
          : target.rows;
    else if (products.length === 0 && a === innermost && canVector(a)) u = 4;
    while (u > 1 && u > size) u = u / 2;
    unroll.set(a.id, Math.max(1, Math.floor(u)));
  }
  shrink(values, unroll, grid, target);

  const lanes = dealLanes(grid, unroll, target);
  const maps = new Map<number, AxisMap>();
  let groups = 1;
  let threads = 1;
  for (const a of axes.values()) {
    const u = unroll.get(a.id) ?? 1;
    const l = lanes.get(a.id) ?? 1;
    const block = free(a) ? Math.min(u * l, Math.max(u * l, 1)) : blockOf(a, target.columns);
    maps.set(a.id, {
      axis: a,
      block,
      lanes: l,
      unroll: u,
      vector: canVector(a) && u % 4 === 0,
      loop: Math.ceil(block / (u * l)),
      ragged: a.extent % block !== 0,
    });
    if (a.role === "grid") groups *= Math.ceil(a.extent / block);
    threads *= l;
  }
  return { axes: maps, threads, groups, spread: target.spread && threads % 4 === 0 };
}

function axesSeen(v: Value): readonly Axis[] {
  const d = v.def;
  if (d.kind === "reduce" || d.kind === "scan") return [...v.axes, d.axis];
  if (d.kind === "at") return [...v.axes, ...d.arg.axes];
  if (d.kind === "pos" || d.kind === "edge") return [d.axis];
  return v.axes;
}
const blockOf = (a: Axis, columns: number): number =>
  a.role === "inner" ? a.extent : Math.min(a.extent, a.block === "auto" ? 8 * columns : a.block);

/** The largest divisor of `n` up to `most`, a multiple of four when `fours` and there is one. */
function divisor(n: number, most: number, fours: boolean): number {
  let best = 1;
  for (let d = 1; d <= Math.min(n, most); d++) {
    if (n % d !== 0) continue;
    if (fours && n % 4 === 0 && d % 4 !== 0 && d > 1) continue;
    best = d;
  }
  return best;
}

/**
 * Grid axes along which elements meet (reduced, scanned or re-indexed), or whose elements are counted from the first of
 * their block: the program's blocks are then what they are, and each belongs to one thread.
 */
function meetingAxes(kernel: Kernel): ReadonlySet<number> {
  const met = new Set<number>();
  for (const { def } of valuesOf(kernel, false)) {
    if (def.kind === "reduce" || def.kind === "scan" || def.kind === "edge") met.add(def.axis.id);
    if (def.kind === "at") for (const b of def.bind) met.add(b.axis.id);
  }
  return new Set(kernel.grid.filter((a) => met.has(a.id)).map((a) => a.id));
}

/** Axes along which some array lies side by side in memory: the last index is the axis itself. */
function adjacentAxes(values: readonly Value[], kernel: Kernel): ReadonlySet<number> {
  const found = new Set<number>();
  const last = (index: readonly Value[]): void => {
    const def = index.at(-1)?.def;
    if (def?.kind === "pos") found.add(def.axis.id);
  };
  for (const v of values) if (v.def.kind === "load") last(v.def.index);
  for (const s of kernel.stores) last(s.index);
  return found;
}

type Product = { readonly axes: readonly Axis[]; readonly sides: readonly (readonly Axis[])[] };
/** Sums of products whose factors depend on different axes: where blocking over registers saves loads. */
function productReductions(values: readonly Value[]): readonly Product[] {
  const found: Product[] = [];
  for (const v of values) {
    if (v.def.kind !== "reduce" || v.def.op !== "sum") continue;
    const factors = factorsOf(v.def.arg);
    if (factors.length < 2) continue;
    const sides = factors.map((f) => f.axes);
    const differ = sides.some((s) => s.some((a) => !sides.every((t) => t.some((b) => b.id === a.id))));
    if (differ) found.push({ axes: v.axes, sides });
  }
  return found;
}
function factorsOf(v: Value): readonly Value[] {
  if (v.def.kind === "cast") return factorsOf(v.def.arg);
  if (v.def.kind === "map" && v.def.op === "mul") return v.def.args.flatMap(factorsOf);
  return [v];
}
/** Some factor doesn't depend on `a`: loading it once serves many elements of `a`. */
const onOneSide = (p: Product, a: Axis): boolean => p.sides.some((s) => !s.some((x) => x.id === a.id));
const otherRows = (products: readonly Product[], grid: readonly Axis[], a: Axis): boolean =>
  products.some((p) =>
    grid.some((g) => g !== a && g.block !== 1 && p.axes.some((x) => x.id === g.id) && onOneSide(p, g)),
  );

/**
 * Halves the registers along the grid until no loop body is longer than the target allows, and no array of a thread
 * larger than drivers compile quickly; then other registers, for the body's sake.
 */
function shrink(values: readonly Value[], unroll: Map<number, number>, grid: readonly Axis[], target: MapTarget): void {
  const free = (a: Axis): boolean => grid.some((g) => g.id === a.id);
  const product = (axes: readonly Axis[], along: (a: Axis) => number): number =>
    axes.reduce((n, a, i, all) => (all.indexOf(a) === i ? n * along(a) : n), 1);
  const body = (v: Value): number => product(axesSeen(v), (a) => unroll.get(a.id) ?? 1);
  const array = (v: Value): number =>
    product(v.axes, (a) => (free(a) ? (unroll.get(a.id) ?? 1) : blockOf(a, target.columns)));
  const kept = keptValues(values);
  for (;;) {
    const longBody = values.some((v) => body(v) > target.body);
    const largeArray = kept.some((v) => array(v) > target.array);
    if (!longBody && !largeArray) return;
    const byRegisters = [...unroll.entries()].sort((a, b) => b[1] - a[1]);
    const rows = byRegisters.find(([id, u]) => u > 1 && grid.some((g) => g.id === id));
    const pick = rows ?? (longBody ? byRegisters.find(([, u]) => u > 4 && u % 2 === 0) : undefined);
    if (!pick) return;
    unroll.set(pick[0], pick[1] % 2 === 0 ? pick[1] / 2 : 1);
  }
}
/** Values that a thread may have to keep in an array: carries, and what several others are computed from. */
function keptValues(values: readonly Value[]): readonly Value[] {
  const uses = new Map<number, number>();
  for (const v of values) for (const a of operandsOf(v.def)) uses.set(a.id, (uses.get(a.id) ?? 0) + 1);
  return values.filter(
    (v) =>
      v.def.kind === "carry" ||
      v.def.kind === "scan" ||
      ((v.def.kind === "map" || v.def.kind === "reduce") && (uses.get(v.id) ?? 0) > 1),
  );
}

/** Deals threads to grid axes, innermost first, up to the program's own blocks, then over single elements. */
function dealLanes(
  grid: readonly Axis[],
  unroll: ReadonlyMap<number, number>,
  target: MapTarget,
): ReadonlyMap<number, number> {
  const lanes = new Map<number, number>();
  let left = target.threads;
  const deal = (a: Axis, most: number): void => {
    const want = Math.min(left, Math.max(1, most));
    const l = 2 ** Math.floor(Math.log2(want));
    lanes.set(a.id, (lanes.get(a.id) ?? 1) * l);
    left = Math.floor(left / l);
  };
  const inner = [...grid].reverse();
  for (const a of inner) {
    const u = unroll.get(a.id) ?? 1;
    // Threads along one axis load alike what does not depend on it, and can hand it round: worth more than the block asked for.
    if (a.block === "auto" || (a.block > 1 && target.spread)) deal(a, Math.ceil(a.extent / u));
    else if (a.block > 1) deal(a, Math.ceil(Math.min(a.block, a.extent) / u));
  }
  for (const a of inner) if (a.block === 1 && left > 1) deal(a, a.extent);
  return lanes;
}
