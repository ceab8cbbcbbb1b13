/**
 * How long launches take on a machine, for every place in the mesh and every step.
 *
 *   seconds = launch + max(Σ products / peak, other / vector, bytes / bandwidth),  each rate times its efficiency
 *
 * Sums of products, other arithmetic and memory traffic run beside each other; the longest of them is what a launch takes.
 * Every array is read or written once.
 */
import { launchSeconds, type Machine, peakOf } from "../base/machine.ts";
import { runningShare } from "./running.ts";
import type { DType, Kernel, Masked, Ops, Schedule, Step, Work } from "./schedule.ts";

/**
 * What launches of a kernel cost. `scalars`: those of the kernel's scalars that it hangs on, and how many values each has;
 * `seconds` and `flops` (in sums of products) are tables over them, the last running fastest.
 */
export type LaunchCost = {
  readonly scalars: readonly { readonly index: number; readonly size: number }[];
  readonly seconds: Float64Array;
  readonly flops: Float64Array;
};

/** The size of the largest table that `launchCosts` would make; each entry takes about 24 bytes. */
export function largestTable(s: Schedule): number {
  const counts = loopCounts(s.steps);
  return s.kernels.reduce((most, kernel) => {
    const used = kernel.work ? usedScalars(kernel.work) : [];
    return Math.max(
      most,
      used.reduce((n, index) => n * sizeOf(s, kernel, index, counts), 1),
    );
  }, 1);
}

/**
 * Launches that were measured, by kernel: the mean seconds of one, and the mean share of its operations that masks left. At
 * other places and steps a launch takes as much longer as more of it runs.
 */
export type Measured = ReadonlyMap<number, { readonly seconds: number; readonly share: number }>;

/** Of every kernel of a schedule. `measured` stands in the place of the machine's rates. */
export function launchCosts(s: Schedule, machine: Machine, measured: Measured = new Map()): readonly LaunchCost[] {
  const counts = loopCounts(s.steps);
  return s.kernels.map((kernel, k) => {
    const known = measured.get(k);
    const work = kernel.work ?? { always: { products: {}, other: kernel.cost?.flops ?? 0 }, masked: [] };
    const scalars = usedScalars(work).map((index) => ({ index, size: sizeOf(s, kernel, index, counts) }));
    const shares = work.masked.map((m) => shareTable(m, kernel, scalars));
    const cells = scalars.reduce((n, x) => n * x.size, 1);
    const seconds = new Float64Array(cells);
    const flops = new Float64Array(cells);
    const [always, ...parts] = [work.always, ...work.masked.map((m) => m.ops)].map((ops) => loadOf(ops, machine));
    const bytes = bytesOf(s, kernel);
    for (let cell = 0; cell < cells; cell++) {
      let { products, other, count } = always!;
      for (let i = 0; i < parts.length; i++) {
        const share = shares[i]![cell]!;
        products += share * parts[i]!.products;
        other += share * parts[i]!.other;
        count += share * parts[i]!.count;
      }
      seconds[cell] = known
        ? known.seconds *
          relative(
            shareAt(work, (i) => shares[i]![cell]!),
            known.share,
          )
        : launchSeconds(machine, Math.max(products, other), bytes);
      flops[cell] = count;
    }
    return { scalars, seconds, flops };
  });
}

/** Of every kernel, the mean share of its operations that masks leave, over all places and steps. */
export function meanShares(s: Schedule): readonly number[] {
  const counts = loopCounts(s.steps);
  return s.kernels.map((kernel) => {
    const { work } = kernel;
    if (!work || work.masked.length === 0) return 1;
    const scalars = usedScalars(work).map((index) => ({ index, size: sizeOf(s, kernel, index, counts) }));
    const shares = work.masked.map((m) => shareTable(m, kernel, scalars));
    const cells = scalars.reduce((n, x) => n * x.size, 1);
    return sum(Array.from({ length: cells }, (_, cell) => shareAt(work, (i) => shares[i]![cell]!))) / cells;
  });
}
/** The share of the operations that run, where `share(i)` of the masked part i does. */
function shareAt(work: Work, share: (part: number) => number): number {
  const count = ({ products, other }: Ops): number => other + sum(Object.values(products));
  const always = count(work.always);
  const parts = work.masked.map(({ ops }) => count(ops));
  const all = always + sum(parts);
  return all === 0 ? 1 : (always + sum(parts.map((n, i) => n * share(i)))) / all;
}
/** Where nothing ran when it was measured, nothing is known but that time. */
const relative = (share: number, measured: number): number => (measured > 0 ? share / measured : 1);

const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);

/** Seconds at the peaks of a machine, and the flops in sums of products. */
function loadOf({ products, other }: Ops, machine: Machine) {
  const all = Object.entries(products) as [DType, number][];
  return {
    products: sum(all.map(([dtype, flops]) => flops / peakOf(machine, dtype))),
    other: other / machine.vector,
    count: sum(all.map(([, flops]) => flops)),
  };
}

function bytesOf(s: Schedule, kernel: Kernel): number {
  if (kernel.cost) return kernel.cost.bytes;
  const launch = launchOf(s.steps, s.kernels.indexOf(kernel));
  return sum((launch?.args ?? []).map((a) => s.values[a.value]!.bytes));
}
function launchOf(steps: readonly Step[], kernel: number): Extract<Step, { kind: "launch" }> | undefined {
  for (const step of steps) {
    if (step.kind === "launch" && step.kernel === kernel) return step;
    const inside = step.kind === "loop" ? launchOf(step.body, kernel) : undefined;
    if (inside) return inside;
  }
  return undefined;
}

/** The scalars that some condition reads, in order. */
function usedScalars(work: Work): readonly number[] {
  const used = work.masked.flatMap((m) => m.nodes.flatMap((n) => (n.kind === "scalar" ? [n.index] : [])));
  return [...new Set(used)].sort((a, b) => a - b);
}

function sizeOf(s: Schedule, kernel: Kernel, index: number, counts: ReadonlyMap<number, number>): number {
  const scalar = kernel.scalars[index]!;
  if (scalar.kind === "step") return counts.get(scalar.loop) ?? 1;
  return scalar.axes.reduce((n, name) => n * s.mesh.axes.find((a) => a.name === name)!.size, 1);
}

/** How many steps each loop has, by its id. */
function loopCounts(steps: readonly Step[], counts = new Map<number, number>()): ReadonlyMap<number, number> {
  for (const step of steps)
    if (step.kind === "loop") {
      counts.set(step.id, step.count);
      loopCounts(step.body, counts);
    }
  return counts;
}

// --- Shares over all places and steps --------------------------------------------------------------------------------

/** Up to so many, every value is worked out. */
const EXACT = 4096;
/** With more of them, they are rounded to multiples of this, so that devices that do nearly alike are one class. */
const CLOSE = 1 / 256;

/**
 * `runningShare` at all values of `scalars`. Where these are many, masks are taken to change along lines: what is the same at
 * the corners and in the middle of a rectangle (of the two largest scalars) is the same in all of it; else it is halved.
 */
function shareTable(masked: Masked, kernel: Kernel, scalars: LaunchCost["scalars"]): Float64Array {
  const cells = scalars.reduce((n, x) => n * x.size, 1);
  const table = new Float64Array(cells).fill(Number.NaN);
  const strides = scalars.map((_, i) => scalars.slice(i + 1).reduce((n, x) => n * x.size, 1));
  const values = kernel.scalars.map(() => 0);
  const budget = cells <= EXACT ? Math.max(128, Math.min(4096, Math.floor(120_000 / cells))) : 96;
  const share = runningShare(masked);
  const at = (cell: number): number => {
    if (Number.isNaN(table[cell]!)) {
      scalars.forEach((x, i) => {
        values[x.index] = Math.floor(cell / strides[i]!) % x.size;
      });
      const exact = share(values, budget);
      table[cell] = cells <= EXACT ? exact : Math.round(exact / CLOSE) * CLOSE;
    }
    return table[cell]!;
  };
  if (cells <= EXACT || scalars.length < 2) {
    for (let cell = 0; cell < cells; cell++) at(cell);
    return table;
  }
  const [p, q] = scalars.map((_, i) => i).sort((i, j) => scalars[j]!.size - scalars[i]!.size) as [number, number];
  const [rows, columns] = [scalars[p]!.size, scalars[q]!.size];
  for (const base of bases(scalars, strides, [p, q]))
    fillRectangles(
      rows,
      columns,
      (i, j) => at(base + i * strides[p]! + j * strides[q]!),
      (i, j, value) => {
        table[base + i * strides[p]! + j * strides[q]!] = value;
      },
    );
  return table;
}

/** The cells at which two of the scalars are 0. */
function bases(scalars: LaunchCost["scalars"], strides: readonly number[], free: readonly number[]): readonly number[] {
  return scalars.reduce<readonly number[]>(
    (all, x, i) =>
      free.includes(i) ? all : all.flatMap((cell) => Array.from({ length: x.size }, (_, v) => cell + v * strides[i]!)),
    [0],
  );
}

/** Sets all cells of a table from few of them. At first it is cut into tiles of about 1/16. */
function fillRectangles(
  rows: number,
  columns: number,
  at: (i: number, j: number) => number,
  set: (i: number, j: number, value: number) => void,
): void {
  const fill = (i0: number, i1: number, j0: number, j1: number): void => {
    const seen = [at(i0, j0), at(i0, j1), at(i1, j0), at(i1, j1), at((i0 + i1) >> 1, (j0 + j1) >> 1)];
    const [least, most] = [Math.min(...seen), Math.max(...seen)];
    if (i1 - i0 <= 1 && j1 - j0 <= 1) return;
    if (most === least) {
      for (let i = i0; i <= i1; i++) for (let j = j0; j <= j1; j++) set(i, j, most);
    } else if (i1 - i0 >= j1 - j0) {
      const half = (i0 + i1) >> 1;
      fill(i0, half, j0, j1);
      fill(half + 1, i1, j0, j1);
    } else {
      const half = (j0 + j1) >> 1;
      fill(i0, i1, j0, half);
      fill(i0, i1, half + 1, j1);
    }
  };
  const [tall, wide] = [Math.ceil(rows / 16), Math.ceil(columns / 16)];
  for (let i = 0; i < rows; i += tall)
    for (let j = 0; j < columns; j += wide) fill(i, Math.min(i + tall, rows) - 1, j, Math.min(j + wide, columns) - 1);
}
