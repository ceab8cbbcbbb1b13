/** Operators and elementwise functions on values: static numbers stay static, and take the dtype of the arrays they meet. */
import {
  type Dim,
  dimAdd,
  dimDiv,
  dimFloorDiv,
  dimMax,
  dimMin,
  dimMod,
  dimMul,
  dimNeg,
  dimSub,
  evalDim,
} from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { isFloat } from "../dtype.ts";
import type { Atom, Binary, DType, Unary } from "../ir.ts";
import { axisSize } from "./axes.ts";
import { asValue, type Context, dimAtom, emit, fail, known, lit, poison } from "./context.ts";
import {
  type Affine,
  arrayOf,
  describe,
  errorValue,
  hasBlock,
  intValue,
  type UnknownValue,
  type Value,
} from "./value.ts";

/** Names that stand for a size count as it: a mesh axis, a blocked tile index. A single-element index is a run-time scalar. */
export function operand(c: Context, v: Value): Value {
  if (v.kind === "axis") return intValue(axisSize(c, v.axes));
  if (v.kind === "index") return v.index.element ? arrayOf(v.index.element) : intValue(v.index.size);
  return v;
}

/**
 * A value as a run-time array. Static numbers become literals of `dtype` (left out: i32 for whole numbers, f32 for others).
 * What is no array is reported, with `shown` as what asked for one.
 */
export function toAtom(c: Context, value: Value, span: Span, dtype?: DType, shown?: string): Atom {
  const v = operand(c, value);
  switch (v.kind) {
    case "array":
      return v.atom;
    case "int":
      if (dtype === "bool") break;
      if (v.fraction !== undefined && dtype && isFloat(dtype)) return lit(v.fraction, dtype);
      if (!holds(dtype ?? "i32", known(c, v.dim))) {
        fail(c, "GY3040", span, { value: String(known(c, v.dim)), dtype: dtype ?? "i32" });
        return poison;
      }
      return dimAtom(c, v.dim, dtype ?? "i32", span);
    case "float":
      if (dtype === "bool") break;
      if (dtype && !isFloat(dtype)) {
        fail(c, "GY3012", span, { value: String(v.value ?? "this number"), dtype });
        return poison;
      }
      return lit(v.value ?? 0, dtype ?? "f32");
    case "bool":
      if (dtype && dtype !== "bool") break;
      return lit(v.value ? 1 : 0, "bool");
    case "unknown":
      if (v.fill) return toAtom(c, v.fill, span, dtype, shown);
      if (dtype) return lit(0, dtype);
      // Of a carry whose type is not found yet: the fold that it belongs to tells, if it never is.
      return poison;
    case "error":
      return poison;
    default:
      break;
  }
  fail(c, "GY3017", span, { found: describe(v), op: shown ?? "", ...(dtype && { dtype }) });
  return poison;
}

/** Whether a static number, if it is known, is one of a dtype's. */
function holds(dtype: DType, n: number | undefined): boolean {
  if (n === undefined || isFloat(dtype)) return true;
  return dtype === "u32" ? n >= -(2 ** 31) && n < 2 ** 32 : n >= -(2 ** 31) && n < 2 ** 31;
}
type StaticNumber = Extract<Value, { kind: "int" | "float" }>;
const isNumber = (v: Value): v is StaticNumber => v.kind === "int" || v.kind === "float";
/** A static value that is used as one: a size counted in blocks is a run-time number where it meets fractions or comparisons. */
const isStatic = (v: Value): boolean => isNumber(v) || v.kind === "bool";

/** The number a static value comes to, if the sizes are known. */
function numberOf(c: Context, v: Value): number | undefined {
  if (v.kind === "float") return v.value;
  return v.kind === "int" ? (v.fraction ?? known(c, v.dim)) : undefined;
}

/**
 * Applies an op to values elementwise. `fold` computes it on static operands, and gives undefined where it can't.
 * A value of unknown type takes the type of the others.
 */
export function elementwise(
  c: Context,
  values: readonly Value[],
  spans: readonly Span[],
  shown: string,
  fold: (values: readonly Value[]) => Value | undefined,
  run: (atoms: readonly Atom[]) => Atom,
): Value {
  const ops = values.map((v) => operand(c, v));
  if (ops.some((v) => v.kind === "error")) return errorValue;
  const arrays = ops.filter((v) => v.kind === "array");
  const first = arrays[0];
  if (!first && ops.every((v) => isStatic(v) || v.kind === "unknown")) {
    const filled = ops.map((v) => (v.kind === "unknown" ? v.fill : v));
    const open = ops.find((v): v is UnknownValue => v.kind === "unknown");
    const result = filled.every((v) => v !== undefined) ? fold(filled) : undefined;
    if (open) return { kind: "unknown", ...(result && { fill: result }), ...(open.span && { span: open.span }) };
    if (result) return result;
  }
  const dtype = first ? first.atom.type.dtype : ops.some((v) => v.kind === "float") ? "f32" : undefined;
  const atoms = ops.map((v, i) => toAtom(c, v, spans[i]!, v.kind === "array" ? undefined : dtype, shown));
  return atoms.includes(poison) ? errorValue : asValue(run(atoms));
}

const binaryOps: Readonly<Record<Exclude<Ast.BinaryOp, "@">, Binary>> = {
  "||": "or",
  "&&": "and",
  "==": "eq",
  "!=": "ne",
  "<": "lt",
  "<=": "le",
  ">": "gt",
  ">=": "ge",
  "+": "add",
  "-": "sub",
  "*": "mul",
  "/": "div",
  "%": "mod",
};

/** `a + b` and its like. */
export function binaryOp(
  c: Context,
  op: Exclude<Ast.BinaryOp, "@">,
  a: Value,
  b: Value,
  spans: readonly [Span, Span],
  span: Span,
): Value {
  const core = binaryOps[op];
  const result = binary(c, core, a, b, spans, span, op);
  const affine = result.kind === "array" ? affineOf(c, core, a, b) : undefined;
  return affine && result.kind === "array" ? { ...result, affine } : result;
}
export function binary(
  c: Context,
  op: Binary,
  a: Value,
  b: Value,
  spans: readonly [Span, Span],
  span: Span,
  shown: string,
): Value {
  return elementwise(
    c,
    [a, b],
    spans,
    shown,
    ([x, y]) => {
      if ((op === "div" || op === "mod") && y!.kind === "int" && y!.dim === 0) return fail(c, "GY3011", span, {});
      return foldBinary(c, op, x!, y!);
    },
    (atoms) => emit(c, op, {}, atoms, span, shown),
  );
}

/** `step + 1`, `2 * step`, `1 - step`: what a permute's shift may be. */
function affineOf(c: Context, op: Binary, a: Value, b: Value): Affine | undefined {
  const x = a.kind === "array" ? a.affine : undefined;
  const y = b.kind === "array" ? b.affine : undefined;
  const m = operand(c, a),
    n = operand(c, b);
  if (x && n.kind === "int") {
    if (op === "add") return { ...x, offset: dimAdd(x.offset, n.dim) };
    if (op === "sub") return { ...x, offset: dimSub(x.offset, n.dim) };
    if (op === "mul") return scaled(c, x, n.dim);
  }
  if (y && m.kind === "int") {
    if (op === "add") return { ...y, offset: dimAdd(y.offset, m.dim) };
    if (op === "sub") return { ...y, perStep: -y.perStep, offset: dimSub(m.dim, y.offset) };
    if (op === "mul") return scaled(c, y, m.dim);
  }
  return undefined;
}
const scaled = (c: Context, x: Affine, by: Dim): Affine | undefined => {
  const k = known(c, by);
  return k === undefined ? undefined : { ...x, perStep: x.perStep * k, offset: dimMul(x.offset, by) };
};

/** A binary op on static operands; undefined where it has to be done at run time. */
function foldBinary(c: Context, op: Binary, a: Value, b: Value): Value | undefined {
  if (a.kind === "bool" && b.kind === "bool") return foldLogic(op, a.value, b.value);
  if (!isNumber(a) || !isNumber(b)) return undefined;
  const whole = (v: StaticNumber): boolean => v.kind === "int" && (op !== "pow" || v.fraction === undefined);
  if (a.kind === "int" && b.kind === "int" && whole(a) && whole(b))
    return withFraction(c, op, a, b, foldInts(c, op, a.dim, b.dim));
  if ((a.kind === "int" && hasBlock(a.dim)) || (b.kind === "int" && hasBlock(b.dim))) return undefined;
  return foldFloats(op, numberOf(c, a), numberOf(c, b));
}
function foldLogic(op: Binary, a: boolean | undefined, b: boolean | undefined): Value | undefined {
  const bool = (value: boolean | undefined): Value => ({ kind: "bool", value });
  if (op === "and")
    return bool(a === false || b === false ? false : a === undefined || b === undefined ? undefined : true);
  if (op === "or")
    return bool(a === true || b === true ? true : a === undefined || b === undefined ? undefined : false);
  if (op === "eq" || op === "ne")
    return bool(a === undefined || b === undefined ? undefined : (a === b) === (op === "eq"));
  return undefined;
}
/** The same value with what it is as a float, where that is another number: 1 / 16, and 2 * (1 / 16). */
function withFraction(c: Context, op: Binary, a: Value, b: Value, result: Value | undefined): Value | undefined {
  if (result?.kind !== "int" || !["add", "sub", "mul", "div", "min", "max"].includes(op)) return result;
  if (op !== "div" && ![a, b].some((v) => v.kind === "int" && v.fraction !== undefined)) return result;
  const [x, y] = [numberOf(c, a), numberOf(c, b)];
  if (x === undefined || y === undefined || y === 0) return result;
  const fraction = calculate(op, x, y);
  return fraction === known(c, result.dim) ? result : { ...result, fraction };
}
function foldInts(c: Context, op: Binary, a: Dim, b: Dim): Value | undefined {
  switch (op) {
    case "add":
      return intValue(dimAdd(a, b));
    case "sub":
      return intValue(dimSub(a, b));
    case "mul":
      return intValue(dimMul(a, b));
    case "div":
      return intValue(floorQuotient(c, a, b));
    case "mod":
      return intValue(dimMod(a, b));
    case "min":
      return intValue(dimMin(a, b));
    case "max":
      return intValue(dimMax(a, b));
    case "pow": {
      const exponent = known(c, b),
        base = known(c, a);
      if (exponent === undefined || base === undefined) return undefined;
      return exponent >= 0 ? intValue(base ** exponent) : { kind: "float", value: base ** exponent };
    }
    default: {
      if (hasBlock(a) || hasBlock(b)) return undefined;
      const difference = known(c, dimSub(a, b));
      return { kind: "bool", value: difference === undefined ? undefined : compare(op, difference, 0) };
    }
  }
}
/**
 * Floor division of static integers. While sizes are open it is taken to be exact, so that `S/sp` in an expression is
 * the `S/sp` of a type; once they are given and a rest is left, it is a floor division.
 */
function floorQuotient(c: Context, a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return dimFloorDiv(a, b);
  const exact = dimDiv(a, b);
  if (typeof exact === "number") return exact;
  return evalDim(exact, (atom) => c.sizes.get(atom.key)).kind === "inexact" ? dimFloorDiv(a, b) : exact;
}
function foldFloats(op: Binary, a: number | undefined, b: number | undefined): Value | undefined {
  const compares = ["eq", "ne", "lt", "le", "gt", "ge"].includes(op);
  if (op === "and" || op === "or") return undefined;
  if (a === undefined || b === undefined)
    return compares ? { kind: "bool", value: undefined } : { kind: "float", value: undefined };
  return compares ? { kind: "bool", value: compare(op, a, b) } : { kind: "float", value: calculate(op, a, b) };
}
function calculate(op: Binary, a: number, b: number): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
      return a / b;
    case "mod":
      return a - b * Math.floor(a / b);
    case "pow":
      return a ** b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    default:
      return Number.NaN;
  }
}
function compare(op: Binary, a: number, b: number): boolean {
  switch (op) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "lt":
      return a < b;
    case "le":
      return a <= b;
    case "gt":
      return a > b;
    default:
      return a >= b;
  }
}

/** Unary functions on static numbers. */
const staticUnary: { readonly [P in Unary]?: (x: number) => number } = {
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  log: Math.log,
  log2: Math.log2,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  sin: Math.sin,
  cos: Math.cos,
  floor: Math.floor,
};

/** `-x`, `!x`, `exp(x)`, … A static whole number counts as a float where the function is one of floats. */
export function unary(c: Context, op: Unary, x: Value, at: Span, span: Span, shown: string): Value {
  const v = operand(c, x);
  if (v.kind === "int" && hasBlock(v.dim) && op in staticUnary)
    return asValue(emit(c, op, {}, [dimAtom(c, v.dim, "f32", at)], span, shown));
  return elementwise(
    c,
    [v],
    [at],
    shown,
    ([y]) => foldUnary(c, op, y!),
    (atoms) => emit(c, op, {}, atoms, span, shown),
  );
}
function foldUnary(c: Context, op: Unary, v: Value): Value | undefined {
  if (op === "not")
    return v.kind === "bool" ? { kind: "bool", value: v.value === undefined ? undefined : !v.value } : undefined;
  if (op === "stop_gradient") return v;
  if (!isNumber(v)) return undefined;
  if (op === "neg" && v.kind === "int")
    return { ...v, dim: dimNeg(v.dim), ...(v.fraction !== undefined && { fraction: -v.fraction }) };
  const n = numberOf(c, v);
  const result = (f: (x: number) => number): Value => ({ kind: "float", value: n === undefined ? undefined : f(n) });
  if (op === "neg") return result((x) => -x);
  if (op === "abs" || op === "sign") {
    if (v.kind === "float") return result(op === "abs" ? Math.abs : Math.sign);
    if (n === undefined || v.fraction !== undefined) return n === undefined ? undefined : result(Math[op]);
    return intValue(Math[op](n));
  }
  const f = staticUnary[op];
  return f && result(f);
}
