/**
 * Proofs that a block changes nothing: a fold's body is run on what is known of its values when a condition is false
 * throughout the block. If every carry comes out as it went in, the block can be skipped.
 *
 * A carry that the body takes a maximum or minimum of may be infinite from the start, so both cases are tried:
 * infinite, and any finite number. A body that would give NaN has nothing that skipping could lose.
 */
import { operandsOf } from "./build.ts";
import type { Fold, Stmt, Value } from "./ir.ts";

/** What is known of a value: a number, an old carry as it was, some finite number, or nothing. */
type Known =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "carry"; readonly place: number }
  | { readonly kind: "finite" }
  | { readonly kind: "unknown" };
const number = (value: number): Known => ({ kind: "number", value });
const finite: Known = { kind: "finite" };
const unknown: Known = { kind: "unknown" };
const isNumber = (k: Known, value: number): boolean => k.kind === "number" && k.value === value;
const isFiniteKnown = (k: Known): boolean =>
  k.kind === "finite" || k.kind === "carry" || (k.kind === "number" && Number.isFinite(k.value));
const isNaNumber = (k: Known): boolean => k.kind === "number" && Number.isNaN(k.value);
const same = (a: Known, b: Known): boolean =>
  (a.kind === "number" && b.kind === "number" && Object.is(a.value + 0, b.value + 0)) ||
  (a.kind === "carry" && b.kind === "carry" && a.place === b.place);

/**
 * Whether the fold's body leaves every carry as it is when `condition` is false throughout. `initial`: the number that a
 * carry's first value is known to be.
 *
 * Where all first values are known, an element is in one of two states: as it began, or (once the condition has held
 * somewhere) with every extreme finite; the second is proven too. Else every mixture of infinite extremes is tried.
 */
export function idleWithout(
  fold: Fold,
  condition: Value,
  initial: (v: Value) => number | undefined = () => undefined,
): boolean {
  const extremes = fold.carry.flatMap((c, k) => (isExtreme(fold.body, c) ? [k] : []));
  const start = fold.init.map((v) => (v.def.kind === "const" ? v.def.value : initial(v)));
  const symbolic: readonly Known[] = fold.carry.map((_, place) => ({ kind: "carry", place }));
  if (!keeps(fold, condition, symbolic)) return false;
  const fromFinite = extremes.every((k) => start[k] !== undefined && Number.isFinite(start[k]));
  if (fromFinite) return true;
  if (start.every((x) => x !== undefined)) {
    const began = start.map((x) => number(x!));
    const becomesFinite = (from: readonly Known[]): boolean => {
      const known = stateOf(fold, condition, 1, from);
      return extremes.every((k) => isFiniteKnown(knownOf(known, fold.next[k]!)));
    };
    if (keeps(fold, condition, began) && becomesFinite(began) && becomesFinite(symbolic)) return true;
  }
  if (extremes.length > 3) return false;
  for (let cases = 1; cases < 2 ** extremes.length; cases++) {
    const mixed = symbolic.map((s, k) => {
      const bit = extremes.indexOf(k);
      return bit >= 0 && ((cases >> bit) & 1) === 1 ? number(infinityOf(fold.body, fold.carry[k]!)) : s;
    });
    if (!keeps(fold, condition, mixed)) return false;
  }
  return true;
}

const stateOf = (fold: Fold, condition: Value, holds: 0 | 1, carries: readonly Known[]): Map<number, Known> =>
  new Map<number, Known>([[condition.id, number(holds)], ...fold.carry.map((c, k) => [c.id, carries[k]!] as const)]);

/** From these carries, without the condition, to the same carries; or to what is no number, which nobody can want. */
function keeps(fold: Fold, condition: Value, carries: readonly Known[]): boolean {
  const known = stateOf(fold, condition, 0, carries);
  return fold.next.every((n, k) => {
    const after = knownOf(known, n);
    return same(after, carries[k]!) || isNaNumber(after);
  });
}

function* valuesIn(body: readonly Stmt[]): Iterable<Value> {
  for (const s of body) if (s.kind === "let") yield s.value;
}
const takesExtreme = (v: Value, c: Value, op: "max" | "min"): boolean =>
  v.def.kind === "map" && v.def.op === op && v.def.args.some((a) => a.id === c.id);
const isExtreme = (body: readonly Stmt[], c: Value): boolean =>
  [...valuesIn(body)].some((v) => takesExtreme(v, c, "max") || takesExtreme(v, c, "min"));
const infinityOf = (body: readonly Stmt[], c: Value): number =>
  [...valuesIn(body)].some((v) => takesExtreme(v, c, "max")) ? -Infinity : Infinity;

function knownOf(known: Map<number, Known>, v: Value): Known {
  const old = known.get(v.id);
  if (old) return old;
  const found = derive(known, v);
  // Whole numbers are never infinite.
  const sure = found.kind === "unknown" && (v.dtype === "i32" || v.dtype === "u32") ? finite : found;
  known.set(v.id, sure);
  return sure;
}

function derive(known: Map<number, Known>, v: Value): Known {
  const d = v.def;
  const of = (x: Value): Known => knownOf(known, x);
  switch (d.kind) {
    case "const":
      return number(d.value);
    case "load":
      return v.dtype === "bool" ? unknown : finite;
    case "pos":
    case "edge":
    case "scalar":
    case "step":
      return finite;
    case "cast": {
      const a = of(d.arg);
      return a.kind === "unknown" && d.arg.dtype === "bool" ? finite : a;
    }
    case "at":
      return asElements(of(d.arg));
    case "reduce":
      return reduced(d.op, of(d.arg));
    case "scan":
      return isNumber(of(d.arg), 0) ? number(0) : isFiniteKnown(of(d.arg)) ? finite : unknown;
    case "map":
      // Known quotients of integers are not made here: they would have to be whole.
      return d.op === "div" && (v.dtype === "i32" || v.dtype === "u32") ? finite : mapped(d.op, operandsOf(d).map(of));
    case "carry":
    case "result":
      return unknown;
  }
}
/** Other elements of a carry are not this element's. */
const asElements = (a: Known): Known => (a.kind === "carry" ? finite : a);

function reduced(op: string, a: Known): Known {
  if (a.kind === "number" && (op === "max" || op === "min" || op === "any" || op === "all")) return a;
  if (op === "sum" && isNumber(a, 0)) return a;
  if (op === "prod" && isNumber(a, 1)) return a;
  return isFiniteKnown(a) && op !== "argmax" ? finite : unknown;
}

function mapped(op: string, args: readonly Known[]): Known {
  const [a, b, c] = args as [Known, Known, Known];
  switch (op) {
    case "select":
      if (a.kind === "number") return a.value ? b : c;
      return same(b, c) ? b : isFiniteKnown(b) && isFiniteKnown(c) ? finite : unknown;
    case "and":
      return isNumber(a, 0) || isNumber(b, 0)
        ? number(0)
        : a.kind === "number" && b.kind === "number"
          ? number(1)
          : unknown;
    case "or":
      return isNumber(a, 1) || isNumber(b, 1)
        ? number(1)
        : a.kind === "number" && b.kind === "number"
          ? number(0)
          : unknown;
    case "not":
      return a.kind === "number" ? number(a.value ? 0 : 1) : unknown;
    case "stop_gradient":
      return a;
  }
  if (args.some(isNaNumber)) return number(Number.NaN);
  const f = exact[op];
  if (f && args.every((x) => x.kind === "number")) return number(f(...args.map((x) => (x as { value: number }).value)));
  switch (op) {
    case "add":
      return isNumber(a, 0)
        ? b
        : isNumber(b, 0)
          ? a
          : (infinitePart(a, b) ?? (isFiniteKnown(a) && isFiniteKnown(b) ? finite : unknown));
    case "sub":
      if (isNumber(b, 0)) return a;
      if (same(a, b) && isFiniteKnown(a)) return number(0);
      if (b.kind === "number" && !Number.isFinite(b.value)) return isFiniteKnown(a) ? number(-b.value) : unknown;
      return infinitePart(a, b) ?? (isFiniteKnown(a) && isFiniteKnown(b) ? finite : unknown);
    case "mul":
      if (isNumber(a, 1)) return b;
      if (isNumber(b, 1)) return a;
      if ((isNumber(a, 0) && isFiniteKnown(b)) || (isNumber(b, 0) && isFiniteKnown(a))) return number(0);
      return isFiniteKnown(a) && isFiniteKnown(b) ? finite : unknown;
    case "div":
      if (isNumber(b, 1)) return a;
      if (b.kind !== "number" || b.value === 0 || !Number.isFinite(b.value)) return unknown;
      return isNumber(a, 0) ? a : isFiniteKnown(a) ? finite : unknown;
    case "max":
    case "min": {
      const least = op === "max" ? -Infinity : Infinity;
      return isNumber(a, least) || same(a, b)
        ? b
        : isNumber(b, least)
          ? a
          : isFiniteKnown(a) && isFiniteKnown(b)
            ? finite
            : unknown;
    }
    case "eq":
    case "ne": {
      const hit = same(a, b) ? 1 : oneInfinite(a, b) ? 0 : undefined;
      return hit === undefined ? unknown : number(op === "eq" ? hit : 1 - hit);
    }
    case "lt":
    case "le":
      return compared(a, b, op === "le");
    case "gt":
    case "ge":
      return compared(b, a, op === "ge");
    case "random_uniform":
      return finite;
    case "exp":
    case "exp2":
    case "tanh":
    case "sigmoid":
    case "sin":
    case "cos":
    case "abs":
    case "neg":
    case "floor":
    case "sign":
      return isFiniteKnown(a) ? finite : unknown;
    default:
      return unknown;
  }
}
const infinitePart = (a: Known, b: Known): Known | undefined => {
  if (a.kind === "number" && !Number.isFinite(a.value) && isFiniteKnown(b)) return a;
  if (b.kind === "number" && !Number.isFinite(b.value) && isFiniteKnown(a)) return b;
  return undefined;
};
const oneInfinite = (a: Known, b: Known): boolean =>
  (isFiniteKnown(a) && b.kind === "number" && !Number.isFinite(b.value)) ||
  (isFiniteKnown(b) && a.kind === "number" && !Number.isFinite(a.value));
/** a < b, or a <= b with `orEqual`. */
function compared(a: Known, b: Known, orEqual: boolean): Known {
  if (same(a, b)) return number(orEqual ? 1 : 0);
  if (isNumber(a, -Infinity) && isFiniteKnown(b)) return number(1);
  if (isNumber(b, Infinity) && isFiniteKnown(a)) return number(1);
  if (isNumber(a, Infinity) && isFiniteKnown(b)) return number(0);
  if (isNumber(b, -Infinity) && isFiniteKnown(a)) return number(0);
  return unknown;
}
const exact: Record<string, (...x: number[]) => number> = {
  add: (x, y) => x! + y!,
  sub: (x, y) => x! - y!,
  mul: (x, y) => x! * y!,
  div: (x, y) => x! / y!,
  max: (x, y) => Math.max(x!, y!),
  min: (x, y) => Math.min(x!, y!),
  exp: (x) => Math.exp(x!),
  exp2: (x) => 2 ** x!,
  log: (x) => Math.log(x!),
  log2: (x) => Math.log2(x!),
  neg: (x) => -x!,
  abs: (x) => Math.abs(x!),
  tanh: (x) => Math.tanh(x!),
  sigmoid: (x) => 1 / (1 + Math.exp(-x!)),
  sqrt: (x) => Math.sqrt(x!),
  rsqrt: (x) => 1 / Math.sqrt(x!),
  eq: (x, y) => +(x === y),
  ne: (x, y) => +(x !== y),
  lt: (x, y) => +(x! < y!),
  le: (x, y) => +(x! <= y!),
  gt: (x, y) => +(x! > y!),
  ge: (x, y) => +(x! >= y!),
  pow: (x, y) => x! ** y!,
  floor: (x) => Math.floor(x!),
  sign: (x) => Math.sign(x!),
};
