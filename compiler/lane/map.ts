import { inGroup } from "../tile/groups.ts";
import type { Axis, Kernel, Stmt, Value } from "../tile/ir.ts";
import { valuesOf } from "../tile/values.ts";

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
  /** Four threads hold its elements crosswise (crosswise.ts). */
  readonly crosswise?: true;
};
export type Mapping = {
  readonly axes: ReadonlyMap<number, AxisMap>;
  readonly threads: number;
  readonly groups: number;
  /** Threads in fours load rows that all need, one each. */
  readonly spread: boolean;
  /** Rounds of inner axes in loops are written out: what they index is then constant, and arrays are registers. */
  readonly written?: true;
  /**
   * For a thread on a processor with SIMD: the axis along which all that depends on it is held by fours, side by side in
   * memory or not, and whatever it is aligned to. Sums go on from what there is, a multiply-add each.
   */
  readonly simd?: { readonly axis: number | null };
  /** Where a target has teams: how one is to own a tile (as is best where it is left out), or null for threads that work alone. */
  readonly team?: TeamChoice | null;
};

/** What is chosen for an axis; the rest of a mapping follows from it. */
export type AxisChoice = {
  readonly axis: string;
  readonly block: number;
  readonly lanes: number;
  readonly unroll: number;
};
export type TeamChoice = TileChoice | SlotChoice;
/**
 * How a team of threads owns a tile of a product together: elements of its rows and columns, warps along each, elements of a
 * step of loops whose blocks are free, and blocks that are fetched ahead and in use.
 */
export type TileChoice = {
  readonly rowBlock: number;
  readonly columnBlock: number;
  readonly rowWarps: number;
  readonly columnWarps: number;
  readonly foldBlock: number;
  readonly stages: number;
};
/**
 * How a team without products deals out axes (team/sums.ts): so many threads along one, whose number in `axesOf` it is, and along
 * another, or -1 for none; and whether loops are shared out among parts of the team.
 */
export type SlotChoice = {
  readonly along: number;
  readonly alongThreads: number;
  readonly across: number;
  readonly acrossThreads: number;
  readonly shared: 0 | 1;
};
/** A mapping as plain data: one choice for each axis, in the order of `axesOf`. `simd`: the number there of the vector axis. */
export type MappingChoice = {
  readonly axes: readonly AxisChoice[];
  readonly spread: boolean;
  readonly written?: true;
  readonly simd?: number | null;
  readonly team?: TeamChoice | null;
};

/** What a mapping is chosen for. */
export type MapTarget = {
  /** Threads in a workgroup to aim at. */
  readonly threads: number;
  readonly maxThreads: number;
  /** The most registers along a grid axis that products are blocked over. */
  readonly rows: number;
  /** The most elements of a sequential block unrolled at a time. */
  readonly columns: number;
  /** The most multiply-adds unrolled in one loop body. */
  readonly body: number;
  /** The same of a body in which rounds are written out; 0 where none are to be. */
  readonly written: number;
  /** The most elements of an array that a thread keeps, as far as fewer registers along the grid can help. */
  readonly array: number;
  /** Whether handing a value round four threads is cheaper than loading it in each. */
  readonly spread: boolean;
  readonly costs: Costs;
};
/** What things cost one thread (or as many as run as one), in nanoseconds; only ratios matter. Scalar, so four for four. */
export type Costs = {
  /** From a buffer, its address included. */
  readonly load: number;
  readonly store: number;
  /** From or to an array of the thread, at an index known at run time only. */
  readonly element: number;
  /** Of a value that another thread of four loaded. */
  readonly broadcast: number;
  /** The same where threads hold what they load crosswise. */
  readonly exchange: number;
  /** A multiply-add, or any op as simple. */
  readonly op: number;
  /** exp, log, division and the like. */
  readonly slow: number;
  /** Changing a variable that lives through a loop. */
  readonly update: number;
  /** Starting a workgroup. */
  readonly group: number;
  /** Threads that run as one, and how many such run at a time. */
  readonly wide: number;
  readonly atOnce: number;
  /** What the driver needs to compile one op; a load or store from memory is as long as `access` ops. */
  readonly compile: number;
  readonly access: number;
  /** Launches over which compiling is earned back. */
  readonly launches: number;
};
/**
 * A CPU behind a WebGPU driver: loads are dear, threads are SIMD lanes, and long bodies compile slowly. The costs were
 * measured on SwiftShader, whose loads are a scalar load for each thread.
 */
export const softwareTarget: MapTarget = {
  threads: 4,
  maxThreads: 256,
  rows: 32,
  columns: 32,
  body: 1024,
  written: 2048,
  array: 1024,
  spread: true,
  costs: {
    load: 12,
    store: 12,
    element: 11,
    broadcast: 2.3,
    exchange: 0.4,
    op: 0.5,
    slow: 8,
    update: 2,
    group: 200,
    wide: 4,
    atOnce: 2,
    compile: 120_000,
    access: 12,
    launches: 100,
  },
};
/** A GPU: many threads, few registers each. */
export const gpuTarget: MapTarget = {
  threads: 64,
  maxThreads: 256,
  rows: 2,
  columns: 8,
  body: 256,
  written: 0,
  array: 512,
  spread: false,
  costs: {
    load: 8,
    store: 8,
    element: 8,
    broadcast: 4,
    exchange: 4,
    op: 1,
    slow: 4,
    update: 0,
    group: 100,
    wide: 32,
    atOnce: 512,
    compile: 0,
    access: 1,
    launches: 1,
  },
};

/** Whether rounds are written out, in the body of so many folds. */
export const isWritten = (mapping: Mapping, m: AxisMap, depth: number): boolean =>
  mapping.written === true && depth > 0 && m.axis.role === "inner";

/** Whether what an index picks is in the registers of the thread that asks: in a group of neighbours that it has whole. */
export function isHeld(mapping: Mapping, bind: { readonly axis: Axis; readonly index: Value }): boolean {
  const m = mapping.axes.get(bind.axis.id);
  const group = inGroup(bind);
  return group !== undefined && m !== undefined && m.unroll % group.of === 0 && (m.vector || m.lanes === 1);
}

export function foldsOf(body: readonly Stmt[]): readonly Extract<Stmt, { kind: "fold" }>[] {
  return body.flatMap((s) => (s.kind === "fold" ? [s, ...foldsOf(s.body)] : []));
}

/** Whether an index is one larger at the next element of an axis: its number, and what does not depend on it. */
export function stepsAlong(index: Value, a: Axis): boolean {
  const free = (v: Value): boolean => !v.axes.some((x) => x.id === a.id);
  const d = index.def;
  if (d.kind === "pos") return d.axis.id === a.id;
  if (d.kind !== "map" || (d.op !== "add" && d.op !== "sub")) return false;
  const [x, y] = d.args as readonly [Value, Value];
  return (stepsAlong(x, a) && free(y)) || (d.op === "add" && free(x) && stepsAlong(y, a));
}

/** All axes of a kernel: those of its grid, of its folds, and those that its values have besides. */
export function axesOf(kernel: Kernel): readonly Axis[] {
  const axes = new Map<number, Axis>();
  for (const a of kernel.grid) axes.set(a.id, a);
  for (const f of foldsOf(kernel.body)) if (f.over.kind === "blocks") axes.set(f.over.axis.id, f.over.axis);
  for (const v of valuesOf(kernel)) for (const a of axesSeen(v)) axes.set(a.id, a);
  return [...axes.values()];
}
/** The axes over which a value is computed: its own, and those that it reduces. */
export function axesSeen(v: Value): readonly Axis[] {
  const d = v.def;
  if (d.kind === "reduce" || d.kind === "scan")
    return v.axes.some((a) => a.id === d.axis.id) ? v.axes : [...v.axes, d.axis];
  if (d.kind === "at") return [...v.axes, ...d.arg.axes];
  if (d.kind === "pos" || d.kind === "edge") return [d.axis];
  return v.axes;
}
