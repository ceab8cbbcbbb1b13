/**
 * Elementwise ops on values, with what is known of integers put to use: an i32 is a sum `c0 + c1*a + c2*b + …` of other
 * values whose ranges may be known, so index arithmetic comes out short: `(64*i + r) / 64` with r in 0 … 63 is `i`.
 * Sums are exact in 32 bits as they wrap; quotients, remainders and comparisons are simplified only within known ranges.
 */
import type { DType } from "../core/ir.ts";
import { type Affine, constant, type KernelBuilder, type Range, rawMap } from "./build.ts";
import type { MapOp, Value } from "./ir.ts";

const limit = 2 ** 31;
const small = (n: number): boolean => Math.abs(n) < 2 ** 30;

/** A value as a sum. */
function affineOf(b: KernelBuilder, v: Value): Affine {
  if (v.def.kind === "const") return { constant: v.def.value, terms: new Map() };
  return b.affine.get(v.id) ?? { constant: 0, terms: new Map([[v.id, { value: v, by: 1 }]]) };
}
/** x + by·y; undefined where a coefficient is too large to be kept exactly. */
function combine(x: Affine, y: Affine, by: number): Affine | undefined {
  const terms = new Map(x.terms);
  for (const [id, t] of y.terms) {
    const sum = (terms.get(id)?.by ?? 0) + t.by * by;
    if (sum === 0) terms.delete(id);
    else terms.set(id, { value: t.value, by: sum });
  }
  const constant = x.constant + y.constant * by;
  return small(constant) && [...terms.values()].every((t) => small(t.by)) ? { constant, terms } : undefined;
}
/** Where a sum lies; undefined where that is unknown, or where it may wrap. */
function rangeOfAffine(b: KernelBuilder, x: Affine): Range | undefined {
  let low = x.constant;
  let high = x.constant;
  for (const { value, by } of x.terms.values()) {
    const r = b.range.get(value.id);
    if (!r) return undefined;
    low += by * (by > 0 ? r[0] : r[1]);
    high += by * (by > 0 ? r[1] : r[0]);
  }
  return low >= -limit && high < limit ? [low, high] : undefined;
}
/** What is known of where an i32 value lies. */
const rangeOf = (b: KernelBuilder, v: Value): Range | undefined =>
  v.def.kind === "const" ? [v.def.value, v.def.value] : (b.range.get(v.id) ?? rangeOfAffine(b, affineOf(b, v)));

const i32 = (b: KernelBuilder, n: number): Value => constant(b, n, "i32");
/** The value of a sum, its terms in a fixed order: larger factors first, what is taken away and the constant last. */
function fromAffine(b: KernelBuilder, x: Affine): Value {
  const terms = [...x.terms.values()].sort(
    (s, t) => Number(t.by > 0) - Number(s.by > 0) || Math.abs(t.by) - Math.abs(s.by) || s.value.id - t.value.id,
  );
  const scaled = (value: Value, by: number): Value => (by === 1 ? value : rawMap(b, "mul", [value, i32(b, by)], "i32"));
  let sum: Value | undefined;
  let rest = x.constant;
  for (const { value, by } of terms) {
    if (by > 0) sum = sum ? rawMap(b, "add", [sum, scaled(value, by)], "i32") : scaled(value, by);
    else if (sum) sum = rawMap(b, "sub", [sum, scaled(value, -by)], "i32");
    else {
      sum = rest !== 0 ? rawMap(b, "sub", [i32(b, rest), scaled(value, -by)], "i32") : scaled(value, by);
      rest = 0;
    }
  }
  if (!sum) return i32(b, x.constant);
  if (rest !== 0) sum = rawMap(b, rest > 0 ? "add" : "sub", [sum, i32(b, Math.abs(rest))], "i32");
  remember(b, sum, x);
  return sum;
}
function remember(b: KernelBuilder, v: Value, x: Affine): void {
  const [only] = x.terms.values();
  if (x.terms.size === 1 && x.constant === 0 && only!.by === 1) return;
  if (!b.affine.has(v.id)) b.affine.set(v.id, x);
  const range = rangeOfAffine(b, x);
  if (range && !b.range.has(v.id)) b.range.set(v.id, range);
}
/** The op as it stands, with its range. */
function opaque(b: KernelBuilder, op: MapOp, args: readonly Value[], range?: Range): Value {
  const v = rawMap(b, op, args, "i32");
  if (range && !b.range.has(v.id)) b.range.set(v.id, range);
  return v;
}

export function add(b: KernelBuilder, x: Value, y: Value): Value {
  const sum = combine(affineOf(b, x), affineOf(b, y), 1);
  return sum ? fromAffine(b, sum) : opaque(b, "add", [x, y]);
}
export function sub(b: KernelBuilder, x: Value, y: Value): Value {
  const sum = combine(affineOf(b, x), affineOf(b, y), -1);
  return sum ? fromAffine(b, sum) : opaque(b, "sub", [x, y]);
}
export function mul(b: KernelBuilder, x: Value, y: Value): Value {
  if (x.def.kind === "const" && y.def.kind !== "const") return mul(b, y, x);
  const zero: Affine = { constant: 0, terms: new Map() };
  const product = y.def.kind === "const" ? combine(zero, affineOf(b, x), y.def.value) : undefined;
  return product ? fromAffine(b, product) : opaque(b, "mul", [x, y], productRange(rangeOf(b, x), rangeOf(b, y)));
}
function productRange(x: Range | undefined, y: Range | undefined): Range | undefined {
  if (!x || !y) return undefined;
  const all = [x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1]];
  const low = Math.min(...all);
  const high = Math.max(...all);
  return low >= -limit && high < limit ? [low, high] : undefined;
}
export const plus = (b: KernelBuilder, x: Value, n: number): Value => (n === 0 ? x : add(b, x, i32(b, n)));
export const times = (b: KernelBuilder, x: Value, n: number): Value => (n === 1 ? x : mul(b, x, i32(b, n)));

/** x = n·whole + rest, with all terms that n divides in `whole`. */
function split(x: Affine, n: number): { readonly whole: Affine; readonly rest: Affine } {
  const whole = new Map<number, { readonly value: Value; readonly by: number }>();
  const rest = new Map<number, { readonly value: Value; readonly by: number }>();
  for (const [id, t] of x.terms) {
    if (t.by % n === 0) whole.set(id, { value: t.value, by: t.by / n });
    else rest.set(id, t);
  }
  const q = Math.floor(x.constant / n);
  return { whole: { constant: q, terms: whole }, rest: { constant: x.constant - q * n, terms: rest } };
}
/** ⌊x / n⌋ for n > 0: whole + ⌊rest / n⌋, and the latter is often a constant. */
export function div(b: KernelBuilder, x: Value, n: number): Value {
  if (n === 1) return x;
  const range = rangeOf(b, x);
  if (!range) return opaque(b, "div", [x, i32(b, n)]);
  const low = Math.floor(range[0] / n);
  const high = Math.floor(range[1] / n);
  if (low === high) return i32(b, low);
  const { whole, rest } = split(affineOf(b, x), n);
  const r = rangeOfAffine(b, rest);
  if (!r || !rangeOfAffine(b, whole)) return opaque(b, "div", [x, i32(b, n)], [low, high]);
  const c = Math.floor(r[0] / n);
  if (c === Math.floor(r[1] / n)) return fromAffine(b, { ...whole, constant: whole.constant + c });
  if (whole.terms.size === 0 && whole.constant === 0) return opaque(b, "div", [x, i32(b, n)], [low, high]);
  return add(b, fromAffine(b, whole), div(b, fromAffine(b, rest), n));
}
/** x mod n for n > 0, in 0 … n-1: only the rest counts. */
export function mod(b: KernelBuilder, x: Value, n: number): Value {
  if (n === 1) return i32(b, 0);
  const range = rangeOf(b, x);
  if (!range) return opaque(b, "mod", [x, i32(b, n)], [0, n - 1]);
  const { rest } = split(affineOf(b, x), n);
  const r = rangeOfAffine(b, rest);
  if (!r) return opaque(b, "mod", [x, i32(b, n)], [0, n - 1]);
  const c = Math.floor(r[0] / n);
  if (c === Math.floor(r[1] / n)) return fromAffine(b, { ...rest, constant: rest.constant - c * n });
  return opaque(b, "mod", [fromAffine(b, rest), i32(b, n)], [0, n - 1]);
}
export function min(b: KernelBuilder, x: Value, y: Value): Value {
  const p = rangeOf(b, x);
  const q = rangeOf(b, y);
  if (x === y || (p && q && p[1] <= q[0])) return x;
  if (p && q && q[1] <= p[0]) return y;
  return opaque(b, "min", [x, y], p && q && [Math.min(p[0], q[0]), Math.min(p[1], q[1])]);
}
export function max(b: KernelBuilder, x: Value, y: Value): Value {
  const p = rangeOf(b, x);
  const q = rangeOf(b, y);
  if (x === y || (p && q && p[0] >= q[1])) return x;
  if (p && q && q[0] >= p[1]) return y;
  return opaque(b, "max", [x, y], p && q && [Math.max(p[0], q[0]), Math.max(p[1], q[1])]);
}
/** x moved into 0 … last. */
export function clamp(b: KernelBuilder, x: Value, last: number): Value {
  const v = max(b, min(b, x, i32(b, last)), i32(b, 0));
  const r = rangeOf(b, v);
  if (!r && !b.range.has(v.id)) b.range.set(v.id, [0, last]);
  return v;
}

type Comparison = "eq" | "ne" | "lt" | "le" | "gt" | "ge";
/** Whether a difference in a range always, or never, compares so with 0. */
const decided: { readonly [K in Comparison]: (r: Range) => boolean | undefined } = {
  lt: ([low, high]) => (high < 0 ? true : low >= 0 ? false : undefined),
  le: ([low, high]) => (high <= 0 ? true : low > 0 ? false : undefined),
  gt: ([low, high]) => (low > 0 ? true : high <= 0 ? false : undefined),
  ge: ([low, high]) => (low >= 0 ? true : high < 0 ? false : undefined),
  eq: ([low, high]) => (low === 0 && high === 0 ? true : low > 0 || high < 0 ? false : undefined),
  ne: ([low, high]) => (low === 0 && high === 0 ? false : low > 0 || high < 0 ? true : undefined),
};
export function compare(b: KernelBuilder, op: Comparison, x: Value, y: Value): Value {
  if (x.dtype === "f32" && x.def.kind === "const" && y.def.kind === "const" && x.def.value === y.def.value)
    return constant(b, op === "eq" || op === "le" || op === "ge" ? 1 : 0, "bool");
  if (x.dtype === "i32" && rangeOf(b, x) && rangeOf(b, y)) {
    const difference = combine(affineOf(b, x), affineOf(b, y), -1);
    const range = difference && rangeOfAffine(b, difference);
    const known = range && decided[op](range);
    if (known !== undefined) return constant(b, known ? 1 : 0, "bool");
  }
  return rawMap(b, op, [x, y], "bool");
}

const isConst = (v: Value, value?: number): boolean =>
  v.def.kind === "const" && (value === undefined || v.def.value === value);
export function and(b: KernelBuilder, x: Value, y: Value): Value {
  if (isConst(x)) return isConst(x, 0) ? x : y;
  if (isConst(y)) return isConst(y, 0) ? y : x;
  return x === y ? x : rawMap(b, "and", [x, y], "bool");
}
export function or(b: KernelBuilder, x: Value, y: Value): Value {
  if (isConst(x)) return isConst(x, 0) ? y : x;
  if (isConst(y)) return isConst(y, 0) ? x : y;
  return x === y ? x : rawMap(b, "or", [x, y], "bool");
}
export function select(b: KernelBuilder, c: Value, x: Value, y: Value): Value {
  if (isConst(c)) return isConst(c, 0) ? y : x;
  if (x === y) return x;
  const v = rawMap(b, "select", [c, x, y], x.dtype);
  const p = x.dtype === "i32" ? rangeOf(b, x) : undefined;
  const q = p && rangeOf(b, y);
  if (p && q && !b.range.has(v.id)) b.range.set(v.id, [Math.min(p[0], q[0]), Math.max(p[1], q[1])]);
  return v;
}

/** Any elementwise op, simplified where integers and conditions allow it. */
export function map(b: KernelBuilder, op: MapOp, args: readonly Value[], dtype: DType): Value {
  const [x, y, z] = args as [Value, Value, Value];
  switch (op) {
    case "stop_gradient":
      return x;
    case "select":
      return select(b, x, y, z);
    case "and":
      return and(b, x, y);
    case "or":
      return or(b, x, y);
    case "not":
      return x.def.kind === "const" ? constant(b, 1 - x.def.value, "bool") : rawMap(b, op, args, dtype);
    case "eq":
    case "ne":
    case "lt":
    case "le":
    case "gt":
    case "ge":
      return compare(b, op, x, y);
  }
  if (dtype !== "i32") return rawMap(b, op, args, dtype);
  const by = y?.def.kind === "const" && y.def.value > 0 && Number.isInteger(y.def.value) ? y.def.value : undefined;
  switch (op) {
    case "add":
      return add(b, x, y);
    case "sub":
      return sub(b, x, y);
    case "mul":
      return mul(b, x, y);
    case "neg":
      return sub(b, i32(b, 0), x);
    case "div":
      return by ? div(b, x, by) : rawMap(b, op, args, dtype);
    case "mod":
      return by ? mod(b, x, by) : rawMap(b, op, args, dtype);
    case "min":
      return min(b, x, y);
    case "max":
      return max(b, x, y);
    default:
      return rawMap(b, op, args, dtype);
  }
}
