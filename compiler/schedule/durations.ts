/**
 * How long launches take on a machine, for every place in the mesh and every step.
 *
 *   seconds = launch + max(Σ products / peak, other / vector, bytes / bandwidth),  each rate times its efficiency
 *
 * Sums of products, other arithmetic and memory traffic run beside each other; the longest of them is what a launch takes.
 * Every array is read or written once.
 */
import { launchSeconds, type Machine, peakOf } from "../base/machine.ts";
import { indexAlong } from "./places.ts";
import { runningShare } from "./running.ts";
import type { DType, Kernel, Masked, Ops, Schedule, Step, Work } from "./schedule.ts";

/**
 * What launches of a kernel cost. `seconds` and `flops` (in sums of products) are tables over the coordinates that it hangs
 * on, the last running fastest.
 */
export type LaunchCost = {
  readonly coordinates: readonly Coordinate[];
  readonly seconds: Float64Array;
  readonly flops: Float64Array;
};

/** The place in the mesh along `axes` (in the mesh's order, flattened), or the step of a loop; `size`: how many there are. */
export type Coordinate = { readonly size: number } & (
  | { readonly kind: "place"; readonly axes: readonly string[] }
  | { readonly kind: "step"; readonly loop: number }
);

/** The size of the largest table that `launchCosts` would make; each entry takes about 24 bytes. */
export function largestTable(s: Schedule): number {
  const counts = loopCounts(s.steps);
  return s.kernels.reduce((most, kernel) => {
    return Math.max(most, cellsOf(coordinatesOf(s, kernel, counts)));
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
  const sharesOf = shareTables(s);
  return s.kernels.map((kernel, k) => {
    const known = measured.get(k);
    const work = kernel.work ?? { always: { products: {}, other: kernel.cost?.flops ?? 0 }, masked: [] };
    const coordinates = coordinatesOf(s, kernel, counts);
    const shares = work.masked.map((m) => sharesOf(m, kernel, coordinates));
    const cells = cellsOf(coordinates);
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
    return { coordinates, seconds, flops };
  });
}

/** Of every kernel, the mean share of its operations that masks leave, over all places and steps. */
export function meanShares(s: Schedule): readonly number[] {
  const counts = loopCounts(s.steps);
  const sharesOf = shareTables(s);
  return s.kernels.map((kernel) => {
    const { work } = kernel;
    if (!work || work.masked.length === 0) return 1;
    const coordinates = coordinatesOf(s, kernel, counts);
    const shares = work.masked.map((m) => sharesOf(m, kernel, coordinates));
    const cells = cellsOf(coordinates);
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

/** What the scalars hang on that some condition of the kernel reads. Several places along the same axes are one coordinate. */
function coordinatesOf(s: Schedule, kernel: Kernel, counts: ReadonlyMap<number, number>): readonly Coordinate[] {
  const masked = kernel.work?.masked ?? [];
  const used = masked.flatMap((m) => m.nodes.flatMap((n) => (n.kind === "scalar" ? [kernel.scalars[n.index]!] : [])));
  const along = s.mesh.axes.filter((a) => used.some((x) => x.kind === "axis_index" && x.axes.includes(a.name)));
  const loops = new Set(used.flatMap((x) => (x.kind === "step" ? [x.loop] : [])));
  const size = along.reduce((n, a) => n * a.size, 1);
  return [
    ...(along.length > 0 ? [{ kind: "place", axes: along.map((a) => a.name), size } as const] : []),
    ...[...loops].map((loop) => ({ kind: "step", loop, size: counts.get(loop) ?? 1 }) as const),
  ];
}
const cellsOf = (coordinates: readonly Coordinate[]): number => coordinates.reduce((n, x) => n * x.size, 1);
/** The number of cells from one value of each coordinate to the next. */
export const stridesOf = (coordinates: readonly Coordinate[]): readonly number[] =>
  coordinates.map((_, i) => cellsOf(coordinates.slice(i + 1)));

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

/** The tables of a schedule's masks. Kernels of one mask, as those of a function and its gradients are, have one table. */
function shareTables(s: Schedule): (m: Masked, kernel: Kernel, coordinates: readonly Coordinate[]) => Float64Array {
  const made = new Map<string, Float64Array>();
  return (masked, kernel, coordinates) => {
    // Loops go by their places: that of the gradients is another one, of as many steps.
    const loops = coordinates.map((x) => (x.kind === "step" ? x.loop : undefined));
    const scalars = kernel.scalars.map((x) => (x.kind === "step" ? loops.indexOf(x.loop) : x.axes));
    const places = coordinates.map((x) => (x.kind === "step" ? x.size : x.axes));
    const key = JSON.stringify([masked.axes, masked.nodes, scalars, places]);
    const table = made.get(key) ?? shareTable(s, masked, kernel, coordinates);
    made.set(key, table);
    return table;
  };
}

/**
 * `runningShare` at all `coordinates`. Where these are many, masks are taken to change along lines: what is the same at
 * the corners and in the middle of a rectangle (of the two largest coordinates) is the same in all of it; else it is halved.
 */
function shareTable(s: Schedule, masked: Masked, kernel: Kernel, coordinates: readonly Coordinate[]): Float64Array {
  const cells = cellsOf(coordinates);
  const table = new Float64Array(cells).fill(Number.NaN);
  const strides = stridesOf(coordinates);
  const values = kernel.scalars.map(() => 0);
  const setters = coordinates.map((x) => setterOf(s, kernel, x, values));
  const budget = cells <= EXACT ? Math.max(128, Math.min(4096, Math.floor(120_000 / cells))) : 96;
  const share = runningShare(masked);
  const at = (cell: number): number => {
    if (Number.isNaN(table[cell]!)) {
      coordinates.forEach((x, i) => {
        setters[i]!(Math.floor(cell / strides[i]!) % x.size);
      });
      const exact = share(values, budget);
      table[cell] = cells <= EXACT ? exact : Math.round(exact / CLOSE) * CLOSE;
    }
    return table[cell]!;
  };
  if (cells <= EXACT || coordinates.length < 2) {
    for (let cell = 0; cell < cells; cell++) at(cell);
    return table;
  }
  const [p, q] = coordinates.map((_, i) => i).sort((i, j) => coordinates[j]!.size - coordinates[i]!.size) as [
    number,
    number,
  ];
  const [rows, columns] = [coordinates[p]!.size, coordinates[q]!.size];
  for (const base of bases(coordinates, strides, [p, q]))
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

/** Sets the values of the kernel's scalars that hang on a coordinate. */
function setterOf(s: Schedule, kernel: Kernel, x: Coordinate, values: number[]): (at: number) => void {
  const places = { name: "", axes: s.mesh.axes.filter((a) => x.kind === "place" && x.axes.includes(a.name)) };
  const sets = kernel.scalars.flatMap((scalar, k): ((at: number) => void)[] => {
    if (scalar.kind === "step") {
      if (x.kind !== "step" || scalar.loop !== x.loop) return [];
      return [
        (at) => {
          values[k] = at;
        },
      ];
    }
    if (!scalar.axes.every((name) => places.axes.some((a) => a.name === name))) return [];
    const along = indexAlong(places, scalar.axes);
    return [
      (at) => {
        values[k] = along[at]!;
      },
    ];
  });
  return (at) => {
    for (const set of sets) set(at);
  };
}

/** The cells at which two of the coordinates are 0. */
function bases(
  coordinates: readonly Coordinate[],
  strides: readonly number[],
  free: readonly number[],
): readonly number[] {
  return coordinates.reduce<readonly number[]>(
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
