/**
 * What an integer or a condition can be on a whole block: its least and largest value, as expressions of block edges and
 * scalars that are computed once for each block.
 */
import type { Binary, DType } from "../core/ir.ts";
import type { Axis, Def, Value } from "./ir.ts";

export type Interval = { readonly low: Value; readonly high: Value };
/** `may`: false where the condition holds nowhere on the block. `must`: true where it holds everywhere. */
export type Truth = { readonly may: Value; readonly must: Value };

/** Makes values that depend on no element, constants folded; `made` are those that have to be computed, in order. */
export type Maker = { readonly made: Value[]; nextId: number; readonly known: Map<string, Value> };

const value = (m: Maker, dtype: DType, def: Def, key: string): Value => {
  const old = m.known.get(key);
  if (old) return old;
  const v: Value = { id: m.nextId++, dtype, axes: [], def };
  m.known.set(key, v);
  if (def.kind === "map") m.made.push(v);
  return v;
};
export const int = (m: Maker, n: number): Value => value(m, "i32", { kind: "const", value: n }, `i${n}`);
export const truth = (m: Maker, b: boolean): Value => value(m, "bool", { kind: "const", value: b ? 1 : 0 }, `b${b}`);
const edge = (m: Maker, axis: Axis, end: "first" | "last"): Value =>
  axis.role === "inner"
    ? int(m, end === "first" ? 0 : axis.extent - 1)
    : value(m, "i32", { kind: "edge", axis, end }, `e${axis.id}${end}`);

export const known = (v: Value): number | undefined => (v.def.kind === "const" ? v.def.value : undefined);
const folded: Partial<Record<Binary, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  min: Math.min,
  max: Math.max,
  div: (a, b) => Math.floor(a / b),
  mod: (a, b) => ((a % b) + b) % b,
  lt: (a, b) => +(a < b),
  le: (a, b) => +(a <= b),
  gt: (a, b) => +(a > b),
  ge: (a, b) => +(a >= b),
  eq: (a, b) => +(a === b),
};
function map(m: Maker, op: Binary, a: Value, b: Value, dtype: DType = "i32"): Value {
  const x = known(a),
    y = known(b),
    f = folded[op];
  if (x !== undefined && y !== undefined && f) return dtype === "bool" ? truth(m, f(x, y) === 1) : int(m, f(x, y));
  if ((op === "add" || op === "sub") && y === 0) return a;
  if (op === "add" && x === 0) return b;
  if ((op === "mul" || op === "div") && y === 1) return a;
  if ((op === "min" || op === "max") && a === b) return a;
  return value(m, dtype, { kind: "map", op, args: [a, b] }, `${op} ${a.id} ${b.id}`);
}
const compare = (m: Maker, op: "lt" | "le" | "eq", a: Value, b: Value): Value => map(m, op, a, b, "bool");
export function both(m: Maker, a: Value, b: Value): Value {
  if (known(a) === 0 || known(b) === 0) return truth(m, false);
  if (known(a) === 1 || a === b) return b;
  return known(b) === 1 ? a : map(m, "and", a, b, "bool");
}
export function either(m: Maker, a: Value, b: Value): Value {
  if (known(a) === 1 || known(b) === 1) return truth(m, true);
  if (known(a) === 0 || a === b) return b;
  return known(b) === 0 ? a : map(m, "or", a, b, "bool");
}
export const not = (m: Maker, a: Value): Value =>
  known(a) !== undefined
    ? truth(m, known(a) === 0)
    : value(m, "bool", { kind: "map", op: "not", args: [a] }, `not ${a.id}`);
function pick(m: Maker, c: Value, a: Value, b: Value): Value {
  if (known(c) !== undefined) return known(c) ? a : b;
  return a === b
    ? a
    : value(m, a.dtype, { kind: "map", op: "select", args: [c, a, b] }, `select ${c.id} ${a.id} ${b.id}`);
}

/** Least and largest of an i32 on the block at hand, where that can be told without looking at data. */
export function intervalOf(m: Maker, v: Value): Interval | undefined {
  const d = v.def;
  if (d.kind === "pos") return { low: edge(m, d.axis, "first"), high: edge(m, d.axis, "last") };
  if (v.axes.length === 0) return v.dtype === "i32" ? { low: v, high: v } : undefined;
  if (d.kind === "cast" && d.arg.dtype === "bool") {
    const t = truthOf(m, d.arg);
    return { low: pick(m, t.must, int(m, 1), int(m, 0)), high: pick(m, t.may, int(m, 1), int(m, 0)) };
  }
  if (d.kind === "cast" && d.arg.dtype === "i32" && v.dtype === "i32") return intervalOf(m, d.arg);
  if (d.kind !== "map" || v.dtype !== "i32") return undefined;
  if (d.op === "select") {
    const c = truthOf(m, d.args[0]!);
    const a = intervalOf(m, d.args[1]!),
      b = intervalOf(m, d.args[2]!);
    if (!a || !b) return undefined;
    const side = (x: Value, y: Value, join: "min" | "max"): Value =>
      pick(m, c.must, x, pick(m, c.may, map(m, join, x, y), y));
    return { low: side(a.low, b.low, "min"), high: side(a.high, b.high, "max") };
  }
  const a = intervalOf(m, d.args[0]!);
  if (!a) return undefined;
  if (d.op === "neg") return { low: map(m, "sub", int(m, 0), a.high), high: map(m, "sub", int(m, 0), a.low) };
  if (d.op === "abs") {
    const less = map(m, "max", a.low, map(m, "sub", int(m, 0), a.high));
    return { low: map(m, "max", less, int(m, 0)), high: map(m, "max", a.high, map(m, "sub", int(m, 0), a.low)) };
  }
  const b = d.args[1] && intervalOf(m, d.args[1]);
  if (!b) return undefined;
  switch (d.op) {
    case "add":
      return { low: map(m, "add", a.low, b.low), high: map(m, "add", a.high, b.high) };
    case "sub":
      return { low: map(m, "sub", a.low, b.high), high: map(m, "sub", a.high, b.low) };
    case "min":
    case "max":
      return { low: map(m, d.op, a.low, b.low), high: map(m, d.op, a.high, b.high) };
    case "mul":
      return scaled(m, a, known(b.low), b) ?? scaled(m, b, known(a.low), a);
    case "div": {
      const n = known(b.low);
      return n !== undefined && b.low === b.high && n > 0
        ? { low: map(m, "div", a.low, b.low), high: map(m, "div", a.high, b.low) }
        : undefined;
    }
    case "mod": {
      const n = known(b.low);
      if (n === undefined || b.low !== b.high || n <= 0) return undefined;
      // Between two multiples of n the remainder rises by one; across one it can be anything.
      const same = compare(m, "eq", map(m, "div", a.low, b.low), map(m, "div", a.high, b.low));
      return {
        low: pick(m, same, map(m, "mod", a.low, b.low), int(m, 0)),
        high: pick(m, same, map(m, "mod", a.high, b.low), int(m, n - 1)),
      };
    }
    default:
      return undefined;
  }
}
/** By a known factor. */
function scaled(m: Maker, a: Interval, n: number | undefined, by: Interval): Interval | undefined {
  if (n === undefined || by.low !== by.high) return undefined;
  const low = map(m, "mul", a.low, by.low),
    high = map(m, "mul", a.high, by.low);
  return n >= 0 ? { low, high } : { low: high, high: low };
}

/** What a condition can be on the block at hand. Of data nothing is known. */
export function truthOf(m: Maker, v: Value): Truth {
  const anything: Truth = { may: truth(m, true), must: truth(m, false) };
  if (v.def.kind === "const") return { may: truth(m, v.def.value !== 0), must: truth(m, v.def.value !== 0) };
  if (v.axes.length === 0) return { may: v, must: v };
  if (v.def.kind !== "map") return anything;
  const [x, y, z] = v.def.args;
  switch (v.def.op) {
    case "not": {
      const t = truthOf(m, x!);
      return { may: not(m, t.must), must: not(m, t.may) };
    }
    case "and":
    case "or": {
      const a = truthOf(m, x!),
        b = truthOf(m, y!);
      const join = v.def.op === "and" ? both : either;
      return { may: join(m, a.may, b.may), must: join(m, a.must, b.must) };
    }
    case "select": {
      const c = truthOf(m, x!),
        a = truthOf(m, y!),
        b = truthOf(m, z!);
      return {
        may: either(m, both(m, c.may, a.may), both(m, not(m, c.must), b.may)),
        must: either(m, both(m, c.must, a.must), either(m, both(m, not(m, c.may), b.must), both(m, a.must, b.must))),
      };
    }
    case "lt":
    case "le":
      return ordered(m, v.def.op, x!, y!) ?? anything;
    case "gt":
    case "ge":
      return ordered(m, v.def.op === "gt" ? "lt" : "le", y!, x!) ?? anything;
    case "eq":
    case "ne": {
      const a = intervalOf(m, x!),
        b = intervalOf(m, y!);
      if (!a || !b) return anything;
      const may = both(m, compare(m, "le", a.low, b.high), compare(m, "le", b.low, a.high));
      const must = both(m, compare(m, "eq", a.low, b.high), compare(m, "eq", a.high, b.low));
      return v.def.op === "eq" ? { may, must } : { may: not(m, must), must: not(m, may) };
    }
    default:
      return anything;
  }
}
function ordered(m: Maker, op: "lt" | "le", x: Value, y: Value): Truth | undefined {
  const a = intervalOf(m, x),
    b = intervalOf(m, y);
  return a && b ? { may: compare(m, op, a.low, b.high), must: compare(m, op, a.high, b.low) } : undefined;
}
