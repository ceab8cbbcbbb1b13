/**
 * What the steps of a schedule take on a machine, a number for each: launches at the mean over places in the mesh and steps
 * of loops, transfers on the slowest link that they take anywhere. The simulator does it for every device and every step.
 */
import { launchSeconds, type Machine, peakOf } from "../base/machine.ts";
import { transferSeconds } from "../core/cost.ts";
import { runningShare } from "./running.ts";
import type { Copy, DType, Kernel, Launch, Masked, Mesh, Ops, Route, Schedule, Transfer } from "./schedule.ts";

export type Costs = {
  readonly launch: (step: Launch) => number;
  readonly copy: (step: Copy) => number;
  /**
   * `port`: transfers of one port follow each other. `onLink`: how long it keeps it busy, `message` of it whatever its size;
   * `latency` comes on top.
   */
  readonly transfer: (step: Transfer) => {
    readonly port: string;
    readonly onLink: number;
    readonly message: number;
    readonly latency: number;
  };
};

export function costsOf(s: Schedule, machine: Machine): Costs {
  const seconds = kernelSeconds(s.kernels, s.mesh, s.steps, machine);
  return {
    launch: ({ kernel }) => seconds[kernel]!,
    copy: ({ bytes }) => launchSeconds(machine, 0, 2 * bytes),
    transfer({ axes, route, bytes, stream }) {
      return linkSeconds(machine, s.mesh, axes, route, bytes, stream);
    },
  };
}

/** The link that a transfer takes, and for how long. `stream` tells links apart where each direction has its own. */
export function linkSeconds(
  machine: Machine,
  mesh: Mesh,
  axes: readonly string[],
  route: Route,
  bytes: number,
  stream: string,
) {
  const within = route.kind === "shift" && route.within !== undefined ? { within: route.within } : {};
  const { inside, onLink, message, latency, bothWays } = transferSeconds(machine, mesh, { axes, ...within }, bytes);
  return { port: `${inside} ${bothWays > 1 ? stream : ""}`, onLink, message, latency };
}

type Looping = {
  readonly kind: string;
  readonly id?: number;
  readonly count?: number;
  readonly body?: readonly Looping[];
};
/** Of each kernel, the seconds of a launch. `steps`: where the loops are that kernels hang on. */
export function kernelSeconds(
  kernels: readonly Kernel[],
  mesh: Mesh,
  steps: readonly Looping[],
  machine: Machine,
): readonly number[] {
  const counts = new Map<number, number>();
  const count = (body: readonly Looping[]): void => {
    for (const step of body)
      if (step.kind === "loop") {
        counts.set(step.id!, step.count!);
        count(step.body!);
      }
  };
  count(steps);
  return kernels.map((k) => secondsOf(k, mesh, counts, machine));
}

function secondsOf(k: Kernel, mesh: Mesh, counts: ReadonlyMap<number, number>, machine: Machine): number {
  const work = k.work ?? { always: { products: {}, other: k.cost?.flops ?? 0 }, masked: [] };
  let { products, other } = loadOf(work.always, machine);
  for (const part of work.masked) {
    const share = meanShare(part, k, mesh, counts);
    const load = loadOf(part.ops, machine);
    products += share * load.products;
    other += share * load.other;
  }
  const bytes = k.cost?.bytes ?? k.bindings.reduce((n, b) => n + b.shape.reduce((m, d) => m * d, 4), 0);
  return launchSeconds(machine, Math.max(products, other), bytes);
}
/** Seconds at the peaks of a machine. */
const loadOf = ({ products, other }: Ops, machine: Machine) => ({
  products: (Object.entries(products) as [DType, number][]).reduce((sum, [d, n]) => sum + n / peakOf(machine, d), 0),
  other: other / machine.vector,
});

/** The mean over a few places and steps, spread evenly so that no two scalars go in step. */
function meanShare(masked: Masked, k: Kernel, mesh: Mesh, counts: ReadonlyMap<number, number>): number {
  const share = runningShare(masked);
  const used = new Set(masked.nodes.flatMap((n) => (n.kind === "scalar" ? [n.index] : [])));
  const sizes = k.scalars.map((scalar, i) => {
    if (!used.has(i)) return 1;
    if (scalar.kind === "step") return counts.get(scalar.loop) ?? 1;
    return scalar.axes.reduce((n, name) => n * mesh.axes.find((a) => a.name === name)!.size, 1);
  });
  const all = sizes.reduce((n, size) => n * size, 1);
  const samples = Math.min(all, SAMPLES);
  let sum = 0;
  for (let i = 0; i < samples; i++) {
    const values = sizes.map((size, d) =>
      all <= SAMPLES
        ? Math.floor(i / sizes.slice(d + 1).reduce((n, x) => n * x, 1)) % size
        : Math.floor(size * (((i + 0.5) * TURNS[d % TURNS.length]!) % 1)),
    );
    sum += share(values, 48);
  }
  return sum / samples;
}
const SAMPLES = 16;
/** Powers of the inverse of the plastic number: multiples of them fill squares and cubes evenly. */
const TURNS = [0.754877666, 0.569840291, 0.430159709];
