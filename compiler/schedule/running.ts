/**
 * What share of a kernel's blocks runs, at given scalars.
 *
 * A condition is evaluated on whole regions of blocks, with intervals: it holds on all of a region, on none, or the region
 * is halved and looked at again. Where that takes more than `budget` evaluations, what is left is estimated from samples.
 */
import type { Masked, WorkNode, WorkOp } from "./schedule.ts";

/** Of each axis, the blocks `from` … `to` - 1. */
type Region = readonly { readonly from: number; readonly to: number }[];

/** The share, by elements, between 0 and 1. `scalars[i]` is the kernel's scalar i. Exact while `budget` lasts. */
export function runningShare(masked: Masked, scalars: readonly number[], budget = 4096): number {
  const { axes, nodes } = masked;
  const low = new Float64Array(nodes.length);
  const high = new Float64Array(nodes.length);
  const elementsIn = (region: Region): number =>
    region.reduce((n, r, i) => {
      const { extent, block } = axes[i]!;
      return n * (Math.min(r.to * block, extent) - r.from * block);
    }, 1);
  const truth = (region: Region): Truth => evaluate(masked, scalars, region, low, high);

  const whole: Region = axes.map((a) => ({ from: 0, to: Math.ceil(a.extent / a.block) }));
  let queue: Region[] = [whole];
  let running = 0;
  let left = budget;
  while (queue.length > 0 && left > 0) {
    const mixed: Region[] = [];
    for (const region of queue) {
      left--;
      const known = truth(region);
      if (known === "never") continue;
      if (known === "always" || region.every((r) => r.to - r.from === 1)) running += elementsIn(region);
      else mixed.push(...halves(region));
    }
    queue = mixed;
  }
  for (const region of queue) running += elementsIn(region) * sampled(region, truth);
  return running / elementsIn(whole);
}

type Truth = "always" | "never" | "mixed";

/** Parted along the axis with the most blocks. */
function halves(region: Region): readonly Region[] {
  const length = (r: Region[number]) => r.to - r.from;
  const longest = region.reduce((best, r, i) => (length(r) > length(region[best]!) ? i : best), 0);
  const { from, to } = region[longest]!;
  const middle = from + Math.ceil((to - from) / 2);
  return [
    { from, to: middle },
    { from: middle, to },
  ].map((half) => region.map((r, i) => (i === longest ? half : r)));
}

const SAMPLES = 8;
/** The share of single blocks on which the condition may hold, of a few that are spread evenly (an additive recurrence). */
function sampled(region: Region, truth: (region: Region) => Truth): number {
  let held = 0;
  for (let k = 0; k < SAMPLES; k++) {
    const block = region.map((r, i) => {
      const place = (0.5 + (k + 1) * 0.7548776662466927 ** (i + 1)) % 1;
      const from = r.from + Math.floor(place * (r.to - r.from));
      return { from, to: from + 1 };
    });
    if (truth(block) !== "never") held++;
  }
  return held / SAMPLES;
}

function evaluate(
  { axes, nodes }: Masked,
  scalars: readonly number[],
  region: Region,
  low: Float64Array,
  high: Float64Array,
): Truth {
  for (let k = 0; k < nodes.length; k++) {
    const node: WorkNode = nodes[k]!;
    switch (node.kind) {
      case "number":
        low[k] = high[k] = node.value;
        break;
      case "scalar":
        low[k] = high[k] = scalars[node.index]!;
        break;
      case "unknown":
        low[k] = -Infinity;
        high[k] = Infinity;
        break;
      case "edge": {
        const { extent, block } = axes[node.axis]!;
        const { from, to } = region[node.axis]!;
        const end = (b: number) => (node.end === "first" ? b * block : Math.min((b + 1) * block, extent) - 1);
        low[k] = end(from);
        high[k] = end(to - 1);
        break;
      }
      case "op":
        [low[k], high[k]] = interval(node.op, node.args, low, high) as [number, number];
    }
  }
  const at = nodes.length - 1;
  if (low[at]! >= 1) return "always";
  return high[at]! <= 0 ? "never" : "mixed";
}

type Interval = readonly [low: number, high: number];
const ANY: Interval = [-Infinity, Infinity];
const bool = (must: boolean, may: boolean): Interval => [must ? 1 : 0, may ? 1 : 0];

/** Least and largest of a node, from those of its arguments. */
function interval(op: WorkOp, args: readonly number[], low: Float64Array, high: Float64Array): Interval {
  const [x = 0, y = 0, z = 0] = args;
  const a = low[x]!;
  const b = high[x]!;
  const c = low[y]!;
  const d = high[y]!;
  switch (op) {
    case "add":
      return [a + c, b + d];
    case "sub":
      return [a - d, b - c];
    case "mul":
      return spread([a * c, a * d, b * c, b * d]);
    case "div":
      return c > 0 ? spread([a / c, a / d, b / c, b / d].map(Math.floor)) : ANY;
    case "mod": {
      if (c !== d || c <= 0) return ANY;
      const same = Math.floor(a / c) === Math.floor(b / c);
      return same ? [a - c * Math.floor(a / c), b - c * Math.floor(b / c)] : [0, c - 1];
    }
    case "min":
      return [Math.min(a, c), Math.min(b, d)];
    case "max":
      return [Math.max(a, c), Math.max(b, d)];
    case "neg":
      return [-b, -a];
    case "abs":
      return [Math.max(0, a, -b), Math.max(-a, b)];
    case "lt":
      return bool(b < c, a < d);
    case "le":
      return bool(b <= c, a <= d);
    case "gt":
      return bool(a > d, b > c);
    case "ge":
      return bool(a >= d, b >= c);
    case "eq":
      return bool(a === b && c === d && a === c, a <= d && c <= b);
    case "ne":
      return bool(a > d || c > b, !(a === b && c === d && a === c));
    case "and":
      return bool(truly(a, b) && truly(c, d), possibly(a, b) && possibly(c, d));
    case "or":
      return bool(truly(a, b) || truly(c, d), possibly(a, b) || possibly(c, d));
    case "not":
      return bool(!possibly(a, b), !truly(a, b));
    case "select": {
      if (truly(a, b)) return [c, d];
      if (!possibly(a, b)) return [low[z]!, high[z]!];
      return [Math.min(c, low[z]!), Math.max(d, high[z]!)];
    }
  }
}
const truly = (low: number, high: number): boolean => low > 0 || high < 0;
const possibly = (low: number, high: number): boolean => low !== 0 || high !== 0;

function spread(corners: readonly number[]): Interval {
  return corners.some(Number.isNaN) ? ANY : [Math.min(...corners), Math.max(...corners)];
}
