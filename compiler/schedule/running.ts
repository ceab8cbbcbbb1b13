/**
 * What share of a kernel's blocks runs, at given scalars.
 *
 * A condition is evaluated on whole regions of blocks, with intervals: it holds on all of a region, on none, or the region
 * is halved and looked at again. Where that takes more than `budget` evaluations, what is left is estimated from samples.
 */
import type { Masked, WorkNode, WorkOp } from "./schedule.ts";

/** A share of the blocks by elements, between 0 and 1. `scalars[i]` is the kernel's scalar i. Exact while `budget` lasts. */
export type ShareOf = (scalars: readonly number[], budget?: number) => number;

/** Of axis i, the blocks `[2i]` … `[2i + 1]` - 1. */
type Region = readonly number[];

/** The share of the blocks on which the condition of `masked` holds. */
export function runningShare(masked: Masked): ShareOf {
  const { axes } = masked;
  const elementsIn = (region: Region): number =>
    axes.reduce(
      (n, { extent, block }, i) =>
        n * (Math.min(region[2 * i + 1]! * block, extent) - Math.min(region[2 * i]! * block, extent)),
      1,
    );
  const whole: Region = axes.flatMap((a) => [0, Math.ceil(a.extent / a.block)]);
  const all = elementsIn(whole);
  const condition = conditionOf(masked);

  return (scalars, budget = 4096) => {
    const truth = condition(scalars);
    let queue: Region[] = [whole];
    let running = 0;
    let left = budget;
    while (queue.length > 0 && left > 0) {
      const mixed: Region[] = [];
      for (const region of queue) {
        left--;
        const known = truth(region);
        if (known === NEVER) continue;
        const axis = known === ALWAYS ? -1 : longest(region);
        if (axis < 0) running += elementsIn(region);
        else mixed.push(...halves(region, axis));
      }
      queue = mixed;
    }
    const samples = Math.max(1, Math.ceil(SAMPLES / queue.length));
    for (const [i, region] of queue.entries())
      running += elementsIn(region) * sampled(region, i * samples, samples, truth);
    return running / all;
  };
}

const NEVER = 0;
const MIXED = 1;
const ALWAYS = 2;
type Truth = typeof NEVER | typeof MIXED | typeof ALWAYS;

/** The axis with the most blocks; -1 where all have one. */
function longest(region: Region): number {
  let best = -1;
  let most = 1;
  for (let i = 0; i < region.length; i += 2) {
    const length = region[i + 1]! - region[i]!;
    if (length > most) {
      most = length;
      best = i / 2;
    }
  }
  return best;
}

function halves(region: Region, axis: number): readonly [Region, Region] {
  const low = [...region];
  const high = [...region];
  const middle = Math.ceil((region[2 * axis]! + region[2 * axis + 1]!) / 2);
  low[2 * axis + 1] = middle;
  high[2 * axis] = middle;
  return [low, high];
}

/** Of all regions together, at least. */
const SAMPLES = 64;
/** The share of single blocks on which the condition may hold, of a few that lie evenly (an additive recurrence). */
function sampled(region: Region, first: number, samples: number, truth: (region: Region) => Truth): number {
  let held = 0;
  for (let k = first; k < first + samples; k++) {
    const block: number[] = [];
    for (let i = 0; i < region.length; i += 2) {
      const place = (0.5 + k * 0.7548776662466927 ** (i / 2 + 1)) % 1;
      const from = region[i]! + Math.floor(place * (region[i + 1]! - region[i]!));
      block.push(from, from + 1);
    }
    if (truth(block) !== NEVER) held++;
  }
  return held / samples;
}

// --- The condition on a region ---------------------------------------------------------------------------------------

/** Nodes that look at no edge are computed once for given scalars, the others for each region. */
function conditionOf({ axes, nodes }: Masked): (scalars: readonly number[]) => (region: Region) => Truth {
  const low = new Float64Array(nodes.length);
  const high = new Float64Array(nodes.length);
  const moving: boolean[] = [];
  for (const node of nodes)
    moving.push(node.kind === "edge" || (node.kind === "op" && node.args.some((a) => moving[a])));
  const leaf = (node: WorkNode, k: number, scalars: readonly number[]): void => {
    const value = node.kind === "number" ? node.value : node.kind === "scalar" ? scalars[node.index]! : 0;
    low[k] = node.kind === "unknown" ? Number.NEGATIVE_INFINITY : value;
    high[k] = node.kind === "unknown" ? Number.POSITIVE_INFINITY : value;
  };
  /** What computes node `k`, of given scalars or of a region. */
  const stepOf = (node: WorkNode, k: number): ((scalars: readonly number[], region: Region) => void) => {
    if (node.kind === "edge") {
      const { extent, block } = axes[node.axis]!;
      const [from, to] = [2 * node.axis, 2 * node.axis + 1];
      const end = node.end === "first" ? (b: number) => b * block : (b: number) => min((b + 1) * block, extent) - 1;
      return (_, region) => {
        low[k] = end(region[from]!);
        high[k] = end(region[to]! - 1);
      };
    }
    if (node.kind !== "op") return (scalars) => leaf(node, k, scalars);
    const [x = 0, y = 0, z = 0] = node.args;
    const rule = RULES[node.op];
    return () => {
      rule(low[x]!, high[x]!, low[y]!, high[y]!, low[z]!, high[z]!);
      low[k] = least;
      high[k] = most;
    };
  };
  const fixed = nodes.flatMap((node, k) => (moving[k] ? [] : [stepOf(node, k)]));
  const rest = nodes.flatMap((node, k) => (moving[k] ? [stepOf(node, k)] : []));
  const at = nodes.length - 1;
  return (scalars) => {
    for (const step of fixed) step(scalars, []);
    return (region) => {
      for (const step of rest) step(scalars, region);
      return low[at]! > 0 ? ALWAYS : high[at]! <= 0 ? NEVER : MIXED;
    };
  };
}

/** What the last rule gave: millions of them are applied, and none of them makes an object. */
let least = 0;
let most = 0;
type Rule = (a: number, b: number, c: number, d: number, e: number, f: number) => void;
const is = (low: number, high: number): void => {
  least = low;
  most = high;
};
const bool = (must: boolean, may: boolean): void => is(must ? 1 : 0, may ? 1 : 0);
const any = (): void => is(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
/** Not 0 for sure; not 0 perhaps. */
const must = (low: number, high: number): boolean => low > 0 || high < 0;
const may = (low: number, high: number): boolean => low !== 0 || high !== 0;
const { min, max, floor } = Math;
function spread(p: number, q: number, r: number, s: number): void {
  if (Number.isNaN(p + q + r + s)) any();
  else is(min(p, q, r, s), max(p, q, r, s));
}

/** Least and largest of a result, from those of its arguments: [a, b], [c, d], [e, f]. */
const RULES: { readonly [K in WorkOp]: Rule } = {
  add: (a, b, c, d) => is(a + c, b + d),
  sub: (a, b, c, d) => is(a - d, b - c),
  mul: (a, b, c, d) => spread(a * c, a * d, b * c, b * d),
  div: (a, b, c, d) => (c > 0 ? spread(floor(a / c), floor(a / d), floor(b / c), floor(b / d)) : any()),
  mod: (a, b, c, d) => {
    if (c !== d || c <= 0) any();
    else if (floor(a / c) === floor(b / c)) is(a - c * floor(a / c), b - c * floor(b / c));
    else is(0, c - 1);
  },
  min: (a, b, c, d) => is(min(a, c), min(b, d)),
  max: (a, b, c, d) => is(max(a, c), max(b, d)),
  neg: (a, b) => is(-b, -a),
  abs: (a, b) => is(max(0, a, -b), max(-a, b)),
  lt: (a, b, c, d) => bool(b < c, a < d),
  le: (a, b, c, d) => bool(b <= c, a <= d),
  gt: (a, b, c, d) => bool(a > d, b > c),
  ge: (a, b, c, d) => bool(a >= d, b >= c),
  eq: (a, b, c, d) => bool(a === b && c === d && a === c, a <= d && c <= b),
  ne: (a, b, c, d) => bool(a > d || c > b, !(a === b && c === d && a === c)),
  and: (a, b, c, d) => bool(must(a, b) && must(c, d), may(a, b) && may(c, d)),
  or: (a, b, c, d) => bool(must(a, b) || must(c, d), may(a, b) || may(c, d)),
  not: (a, b) => bool(!may(a, b), !must(a, b)),
  select: (a, b, c, d, e, f) => {
    if (must(a, b)) is(c, d);
    else if (!may(a, b)) is(e, f);
    else is(min(c, e), max(d, f));
  },
};
