/**
 * Folds whose blocks may be of any size: the program's is then a hint, and the mapping's to choose. Two kinds of carry
 * allow it; c is a carry, R a reduction over the fold's axis, and ⊕ the associative op of R.
 *
 *   joined      c ← c ⊕ R(x)                          x knows no carry and no block
 *   rescaled    c ← K(m, m′) c + Σ B(x, m′)           m is a running max or min, joined, and m′ its next value
 *
 * The second is a sum kept relative to m. It does not depend on the blocks if, for m ≤ m′ ≤ m″ (≥ for min),
 *
 *   K(m, m″) = K(m′, m″) K(m, m′)     and     B(x, m″) = K(m′, m″) B(x, m′)
 *
 * K and B are scalar functions of a few ops, and the two laws are tried out at many points, the infinities that a mask
 * makes among them. A law that fails anywhere, or gives NaN, leaves the program's blocks as they are.
 */
import type { ReduceKind } from "../core/ir.ts";
import { operandsOf } from "./build.ts";
import type { Axis, Fold, Value } from "./ir.ts";

export function blocksAreFree(f: Fold): boolean {
  if (f.over.kind !== "blocks") return false;
  const axis = f.over.axis;
  if (axis.block === "auto") return true;
  if (f.body.some((s) => s.kind === "fold")) return false;
  const single = singleOf(f, axis);
  const running = f.carry.flatMap((carry, k) => runningOf(carry, f.next[k]!, axis, single) ?? []);
  return f.next.every((next, k) => {
    const carry = f.carry[k]!;
    return (
      next.id === carry.id || isJoined(carry, next, axis, single) || isRescaled(carry, next, axis, single, running)
    );
  });
}

/**
 * How what several folds have, each over some of the blocks, becomes what one over all has:
 *
 *   joined      c = ⊕ of all c
 *   rescaled    c = Σ K(m of each, m of all) c, with K the product of `scale`, functions of `running` values: carries and their next
 */
export type Merge =
  | { readonly kind: "same" }
  | { readonly kind: "joined"; readonly op: ReduceKind }
  | {
      readonly kind: "rescaled";
      readonly scale: readonly Value[];
      readonly running: readonly { readonly carry: Value; readonly next: Value }[];
    };

/** For each carry; undefined where the fold's blocks are not free, or nothing is known but that. */
export function mergesOf(f: Fold): readonly Merge[] | undefined {
  if (f.over.kind !== "blocks" || f.body.some((s) => s.kind === "fold")) return undefined;
  const { axis } = f.over;
  const single = singleOf(f, axis);
  const running = f.carry.flatMap((carry, k) => runningOf(carry, f.next[k]!, axis, single) ?? []);
  const merges = f.carry.map((carry, k): Merge | undefined => {
    const next = f.next[k]!;
    if (next.id === carry.id) return { kind: "same" };
    if (isJoined(carry, next, axis, single) && next.def.kind === "map")
      return { kind: "joined", op: reductions[next.def.op]! };
    if (!isRescaled(carry, next, axis, single, running)) return undefined;
    const own = termsOf(next, "add").find((t) => termsOf(t, "mul").some((x) => x.id === carry.id))!;
    return { kind: "rescaled", scale: termsOf(own, "mul").filter((x) => x.id !== carry.id), running };
  });
  return merges.every((m) => m !== undefined) ? (merges as Merge[]) : undefined;
}

/** Whether a value is of single elements: no carry of the fold, nothing reduced, scanned or re-indexed along its axis. */
function singleOf(f: Fold, axis: Axis): (v: Value) => boolean {
  const known = new Map<number, boolean>();
  const single = (v: Value): boolean => {
    let is = known.get(v.id);
    if (is === undefined) {
      const d = v.def;
      is =
        !(d.kind === "carry" && d.fold === f.id) &&
        !((d.kind === "reduce" || d.kind === "scan" || d.kind === "edge") && d.axis.id === axis.id) &&
        !(d.kind === "at" && d.bind.some((b) => b.axis.id === axis.id)) &&
        operandsOf(d).every(single);
      known.set(v.id, is);
    }
    return is;
  };
  return single;
}
type Single = (v: Value) => boolean;

// --- Joined ----------------------------------------------------------------------------------------------------------

const reductions: Readonly<Record<string, ReduceKind>> = {
  add: "sum",
  max: "max",
  min: "min",
  mul: "prod",
  or: "any",
  and: "all",
};
const termsOf = (v: Value, op: string): readonly Value[] =>
  v.def.kind === "map" && v.def.op === op ? v.def.args.flatMap((a) => termsOf(a, op)) : [v];

/** What is reduced and joined to the carry; undefined where something else is done. */
function joinedOf(carry: Value, next: Value, axis: Axis, single: Single): readonly Value[] | undefined {
  if (next.def.kind !== "map") return undefined;
  const { op } = next.def;
  const kind = reductions[op];
  if (!kind) return undefined;
  const terms = termsOf(next, op);
  const others = terms.filter((t) => t.id !== carry.id);
  if (terms.length - others.length !== 1) return undefined;
  const args = others.map(({ def }) =>
    def.kind === "reduce" && def.op === kind && def.axis.id === axis.id ? def.arg : undefined,
  );
  return args.every((a) => a !== undefined && single(a)) ? (args as Value[]) : undefined;
}
const isJoined = (carry: Value, next: Value, axis: Axis, single: Single): boolean =>
  joinedOf(carry, next, axis, single) !== undefined;

/** A running max (`sign` 1) or min (-1): the carry, its next value, and what it is the largest of. */
type Running = { readonly carry: Value; readonly next: Value; readonly of: readonly Value[]; readonly sign: 1 | -1 };
function runningOf(carry: Value, next: Value, axis: Axis, single: Single): Running | undefined {
  if (next.def.kind !== "map" || (next.def.op !== "max" && next.def.op !== "min")) return undefined;
  const of = joinedOf(carry, next, axis, single);
  return of && { carry, next, of, sign: next.def.op === "max" ? 1 : -1 };
}

// --- Rescaled --------------------------------------------------------------------------------------------------------

function isRescaled(carry: Value, next: Value, axis: Axis, single: Single, running: readonly Running[]): boolean {
  const terms = termsOf(next, "add");
  const own = terms.filter((t) => termsOf(t, "mul").some((x) => x.id === carry.id));
  if (own.length !== 1) return false;
  const factors = termsOf(own[0]!, "mul");
  const scale = factors.filter((x) => x.id !== carry.id);
  if (factors.length - scale.length !== 1) return false;
  const parts = terms
    .filter((t) => t !== own[0])
    .map(({ def }) => (def.kind === "reduce" && def.op === "sum" && def.axis.id === axis.id ? def.arg : undefined));
  if (parts.some((p) => p === undefined)) return false;
  return points(running).every((point) => lawsHold(scale, parts as Value[], point, running, single));
}

/** Values of every running max or min, in the order in which they are reached, and a number for anything else. */
type Point = { readonly at: readonly (readonly [number, number, number])[]; readonly other: (v: Value) => number };

function lawsHold(
  scale: readonly Value[],
  parts: readonly Value[],
  { at, other }: Point,
  running: readonly Running[],
  single: Single,
): boolean {
  /** Of the running values from `before` to `after`. */
  const seen = (before: 0 | 1 | 2, after: 0 | 1 | 2): ((v: Value) => number | undefined) => {
    return (v) => {
      const k = running.findIndex((r) => r.carry.id === v.id || r.next.id === v.id);
      if (k >= 0) return at[k]![running[k]!.carry.id === v.id ? before : after];
      return v.def.kind !== "const" && single(v) ? other(v) : undefined;
    };
  };
  const K = (before: 0 | 1 | 2, after: 0 | 1 | 2): number =>
    scale.reduce((n, x) => n * numberOf(x, seen(before, after)), 1);
  const B = (x: Value, after: 0 | 1 | 2): number => numberOf(x, seen(after, after));
  return near(K(0, 2), K(1, 2) * K(0, 1)) && parts.every((x) => near(B(x, 2), K(1, 2) * B(x, 1)));
}
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));

/** A scalar function at a point; NaN for ops that are none of a rescaling's. */
function numberOf(v: Value, seen: (v: Value) => number | undefined): number {
  const known = new Map<number, number>();
  const compute = (x: Value): number => {
    const d = x.def;
    if (d.kind === "const") return d.value;
    if (d.kind === "cast" && x.dtype !== "bool" && d.arg.dtype !== "bool") return number(d.arg);
    if (d.kind !== "map") return Number.NaN;
    const [a = 0, b = 0, c = 0] = d.args.map(number);
    return ops[d.op]?.(a, b, c) ?? Number.NaN;
  };
  const number = (x: Value): number => {
    let n = seen(x) ?? known.get(x.id);
    if (n === undefined) known.set(x.id, (n = compute(x)));
    return n;
  };
  return number(v);
}
const ops: Readonly<Record<string, (a: number, b: number, c: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  max: Math.max,
  min: Math.min,
  exp: Math.exp,
  exp2: (a) => 2 ** a,
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  and: (a, b) => Number(a !== 0 && b !== 0),
  or: (a, b) => Number(a !== 0 || b !== 0),
  not: (a) => Number(a === 0),
  select: (a, b, c) => (a !== 0 ? b : c),
};

/** Points to try the laws at: ordinary ones of all sizes, equal ones, and those where nothing was seen yet. */
function points(running: readonly Running[]): readonly Point[] {
  let state = 1;
  const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  const normal = (): number => (random() + random() + random() - 1.5) * 2;
  const all: Point[] = [];
  const masked = running.map(({ of }) => isMasked(of));
  for (let n = 0; n < 96; n++) {
    const size = 4 ** (n % 5) / 4;
    const at = running.map(({ sign }, r): [number, number, number] => {
      const first = normal() * size;
      const second = n % 7 === 1 ? first : first + random() * size;
      const third = n % 7 === 2 ? second : second + random() * size;
      const nothing = masked[r] ? n % 4 : Math.min(n % 4, 1);
      return [first, second, third].map((x, k) => sign * (k < nothing ? -Infinity : x)) as [number, number, number];
    });
    const chosen = new Map<number, number>();
    const other = (v: Value): number => {
      let x = chosen.get(v.id);
      if (x === undefined) {
        const k = running.findIndex((r) => r.of.some((o) => o.id === v.id));
        // What a running value is the largest of is no larger, and may be masked.
        if (k >= 0)
          x =
            masked[k] && random() < 0.2 ? -Infinity * running[k]!.sign : at[k]![1] - running[k]!.sign * random() * size;
        else x = v.dtype === "bool" ? Number(random() < 0.5) : normal() * size;
        chosen.set(v.id, x);
      }
      return x;
    };
    all.push({ at, other });
  }
  return all;
}
/** Whether values may be infinite: an infinity, a logarithm, or an element of an array that is no factor of a sum is in them. */
function isMasked(of: readonly Value[]): boolean {
  const seen = new Set<string>();
  const look = (v: Value, summed: boolean): boolean => {
    const key = `${v.id} ${summed}`;
    if (seen.has(key)) return false;
    seen.add(key);
    const d = v.def;
    if (d.kind === "const") return !Number.isFinite(d.value);
    if (d.kind === "load") return !summed;
    if (d.kind === "map" && (d.op === "log" || d.op === "log2")) return true;
    return operandsOf(d).some((a) => look(a, summed || d.kind === "reduce"));
  };
  return of.some((v) => look(v, false));
}
