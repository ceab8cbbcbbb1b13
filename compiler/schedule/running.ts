/**
 * What share of a kernel's blocks runs, at given scalars.
 *
 * A condition is evaluated on whole regions of blocks, with intervals: it holds on all of a region, on none, or the region
 * is halved and looked at again. Where that takes more than `budget` evaluations, what is left is estimated from samples.
 */
import type { Masked, WorkOp } from "./schedule.ts";

/** A share of the blocks by elements, between 0 and 1. `scalars[i]` is the kernel's scalar i. Exact while `budget` lasts. */
export type ShareOf = (scalars: readonly number[], budget?: number) => number;

/**
 * Regions of blocks, one after another: of axis i, the blocks `[2i]` … `[2i + 1]` - 1. Millions of them are looked at, so they are
 * numbers in arrays that are used again.
 */
type Regions = number[];

/** The share of the blocks on which the condition of `masked` holds. */
export function runningShare(masked: Masked): ShareOf {
  const { axes } = masked;
  const wide = 2 * axes.length;
  const whole = axes.flatMap((a) => [0, Math.ceil(a.extent / a.block)]);
  const elementsIn = (regions: Regions, at: number): number => {
    let n = 1;
    for (let i = 0; i < axes.length; i++) {
      const { extent, block } = axes[i]!;
      const [from, to] = [regions[at + 2 * i]!, regions[at + 2 * i + 1]!];
      n *= Math.min(to * block, extent) - Math.min(from * block, extent);
    }
    return n;
  };
  const all = elementsIn(whole, 0);
  const { given, truth } = conditionOf(masked);
  let [queue, mixed]: [Regions, Regions] = [[], []];
  const block: Regions = [];

  return (scalars, budget = 4096) => {
    given(scalars);
    whole.forEach((x, i) => {
      queue[i] = x;
    });
    let count = 1;
    let running = 0;
    let left = budget;
    while (count > 0 && left > 0) {
      left -= count;
      let halved = 0;
      for (let r = 0; r < count; r++) {
        const at = r * wide;
        const known = truth(queue, at);
        if (known === NEVER) continue;
        const axis = known === ALWAYS ? -1 : longest(queue, at, wide);
        if (axis < 0) running += elementsIn(queue, at);
        else {
          halve(queue, at, wide, axis, mixed, halved * wide);
          halved += 2;
        }
      }
      [queue, mixed] = [mixed, queue];
      count = halved;
    }
    const samples = Math.max(1, Math.ceil(SAMPLES / count));
    for (let r = 0; r < count; r++)
      running += elementsIn(queue, r * wide) * sampled(queue, r * wide, wide, r * samples, samples, truth, block);
    return running / all;
  };
}

const NEVER = 0;
const MIXED = 1;
const ALWAYS = 2;
type Truth = typeof NEVER | typeof MIXED | typeof ALWAYS;

/** The axis with the most blocks; -1 where all have one. */
function longest(regions: Regions, at: number, wide: number): number {
  let best = -1;
  let most = 1;
  for (let i = 0; i < wide; i += 2) {
    const length = regions[at + i + 1]! - regions[at + i]!;
    if (length > most) {
      most = length;
      best = i;
    }
  }
  return best;
}

/** Puts the two halves of a region along an axis at `low` of `into`. */
function halve(regions: Regions, at: number, wide: number, axis: number, into: Regions, low: number): void {
  const middle = Math.ceil((regions[at + axis]! + regions[at + axis + 1]!) / 2);
  const high = low + wide;
  for (let i = 0; i < wide; i++) into[low + i] = regions[at + i]!;
  for (let i = 0; i < wide; i++) into[high + i] = regions[at + i]!;
  into[low + axis + 1] = middle;
  into[high + axis] = middle;
}

/** Of all regions together, at least. */
const SAMPLES = 64;
/** The share of single blocks on which the condition may hold, of a few that lie evenly (an additive recurrence). */
function sampled(
  regions: Regions,
  at: number,
  wide: number,
  first: number,
  samples: number,
  truth: (regions: Regions, at: number) => Truth,
  block: Regions,
): number {
  let held = 0;
  for (let k = first; k < first + samples; k++) {
    for (let i = 0; i < wide; i += 2) {
      const place = (0.5 + k * 0.7548776662466927 ** (i / 2 + 1)) % 1;
      const from = regions[at + i]! + Math.floor(place * (regions[at + i + 1]! - regions[at + i]!));
      block[i] = from;
      block[i + 1] = from + 1;
    }
    if (truth(block, 0) !== NEVER) held++;
  }
  return held / samples;
}

// --- The condition on a region ---------------------------------------------------------------------------------------

type Condition = {
  /** Computes what hangs on scalars alone. */
  readonly given: (scalars: readonly number[]) => void;
  /** Computes the rest on the region that begins at `at`. */
  readonly truth: (regions: Regions, at: number) => Truth;
};

/** Nodes that look at no edge are computed once for given scalars, the others for each region. */
function conditionOf({ axes, nodes }: Masked): Condition {
  // Least and largest of each node; those that are numbers stay what they are.
  const low = Float64Array.from(nodes, (n) => (n.kind === "number" ? n.value : Number.NEGATIVE_INFINITY));
  const high = Float64Array.from(nodes, (n) => (n.kind === "number" ? n.value : Number.POSITIVE_INFINITY));
  const edges = nodes.flatMap((n, k) => (n.kind === "edge" ? [{ ...n, ...axes[n.axis]!, k }] : []));
  const known = nodes.flatMap((n, k) => (n.kind === "scalar" ? [{ k, index: n.index }] : []));
  const moving: boolean[] = [];
  for (const node of nodes)
    moving.push(node.kind === "edge" || (node.kind === "op" && node.args.some((a) => moving[a])));
  const rowsOf = (those: boolean): readonly Row[] =>
    nodes.flatMap((n, k) => {
      if (n.kind !== "op" || moving[k] !== those) return [];
      const [x = 0, y = 0, z = 0] = n.args;
      return [{ op: n.op, k, x, y, z }];
    });
  const [fixed, rest] = [rowsOf(false), rowsOf(true)];
  const last = nodes.length - 1;
  return {
    given(scalars) {
      for (const { k, index } of known) low[k] = high[k] = scalars[index]!;
      compute(fixed, low, high);
    },
    truth(regions, at) {
      for (let i = 0; i < edges.length; i++) {
        const { k, axis, end, block, extent } = edges[i]!;
        const from = regions[at + 2 * axis]!;
        const to = regions[at + 2 * axis + 1]!;
        low[k] = end === "first" ? from * block : min((from + 1) * block, extent) - 1;
        high[k] = end === "first" ? (to - 1) * block : min(to * block, extent) - 1;
      }
      compute(rest, low, high);
      return low[last]! > 0 ? ALWAYS : high[last]! <= 0 ? NEVER : MIXED;
    },
  };
}

/** A node, and those that it is computed from. */
type Row = { readonly op: WorkOp; readonly k: number; readonly x: number; readonly y: number; readonly z: number };

const { min, max, floor } = Math;

/** Computes nodes from others. */
function compute(rows: readonly Row[], low: Float64Array, high: Float64Array): void {
  for (let i = 0; i < rows.length; i++) {
    const { op, k, x, y, z } = rows[i]!;
    const a = low[x]!;
    const b = high[x]!;
    const c = low[y]!;
    const d = high[y]!;
    // What is not known below may be anything.
    let least = Number.NEGATIVE_INFINITY;
    let most = Number.POSITIVE_INFINITY;
    switch (op) {
      case "add":
        least = a + c;
        most = b + d;
        break;
      case "sub":
        least = a - d;
        most = b - c;
        break;
      case "mul": {
        const p = a * c;
        const q = a * d;
        const r = b * c;
        const s = b * d;
        if (Number.isNaN(p + q + r + s)) break;
        least = min(p, q, r, s);
        most = max(p, q, r, s);
        break;
      }
      case "div": {
        const p = floor(a / c);
        const q = floor(a / d);
        const r = floor(b / c);
        const s = floor(b / d);
        if (!(c > 0) || Number.isNaN(p + q + r + s)) break;
        least = min(p, q, r, s);
        most = max(p, q, r, s);
        break;
      }
      case "mod": {
        if (c !== d || c <= 0) break;
        const same = floor(a / c) === floor(b / c);
        least = same ? a - c * floor(a / c) : 0;
        most = same ? b - c * floor(b / c) : c - 1;
        break;
      }
      case "min":
        least = min(a, c);
        most = min(b, d);
        break;
      case "max":
        least = max(a, c);
        most = max(b, d);
        break;
      case "neg":
        least = -b;
        most = -a;
        break;
      case "abs":
        least = max(0, a, -b);
        most = max(-a, b);
        break;
      case "lt":
        least = +(b < c);
        most = +(a < d);
        break;
      case "le":
        least = +(b <= c);
        most = +(a <= d);
        break;
      case "gt":
        least = +(a > d);
        most = +(b > c);
        break;
      case "ge":
        least = +(a >= d);
        most = +(b >= c);
        break;
      case "eq":
        least = +(a === b && c === d && a === c);
        most = +(a <= d && c <= b);
        break;
      case "ne":
        least = +(a > d || c > b);
        most = +!(a === b && c === d && a === c);
        break;
      case "and":
        least = +(must(a, b) && must(c, d));
        most = +(may(a, b) && may(c, d));
        break;
      case "or":
        least = +(must(a, b) || must(c, d));
        most = +(may(a, b) || may(c, d));
        break;
      case "not":
        least = +!may(a, b);
        most = +!must(a, b);
        break;
      case "select": {
        const yes = may(a, b);
        const no = !must(a, b);
        least = yes ? (no ? min(c, low[z]!) : c) : low[z]!;
        most = yes ? (no ? max(d, high[z]!) : d) : high[z]!;
        break;
      }
    }
    low[k] = least;
    high[k] = most;
  }
}
/** Not 0 for sure; not 0 perhaps. */
const must = (least: number, most: number): boolean => least > 0 || most < 0;
const may = (least: number, most: number): boolean => least !== 0 || most !== 0;
