/** Small constructors of lane expressions, which fold what is known. */
import { isHalf } from "../core/half.ts";
import type { DType, ReduceKind } from "../core/ir.ts";
import type { Expr, LaneOp, LaneType, Width } from "./ir.ts";

/** What a stored dtype is computed in. */
export const laneType = (d: DType): LaneType => (isHalf(d) ? "f32" : d);

export const lit = (value: number, type: LaneType = "i32"): Expr => ({ kind: "lit", value, type, width: 1 });
export const ref = (name: string, type: LaneType = "i32", width: Width = 1): Expr => ({
  kind: "ref",
  name,
  type,
  width,
});
export const op = (name: LaneOp, args: readonly Expr[], type: LaneType, width?: Width): Expr => ({
  kind: "op",
  op: name,
  args,
  type,
  width: width ?? (args.some((a) => a.width === 4) ? 4 : 1),
});
export const isLit = (e: Expr, value?: number): boolean =>
  e.kind === "lit" && (value === undefined || e.value === value);

/** A number of dtype `from` as one of `to`, both as they are computed with. */
export function cast(x: Expr, from: DType, to: DType): Expr {
  const type = laneType(to);
  const arg: Expr = x.type === type ? x : { kind: "cast", arg: x, type, width: x.width };
  const exact = from === to || from === "bool" || !isHalf(to);
  return exact ? arg : op(`round_${to}`, [arg], "f32", x.width);
}
/** What rounds to the same when it is stored as `dtype`, which rounds. */
export function unrounded(x: Expr, dtype: DType): Expr {
  if (x.kind === "vec") return { ...x, args: x.args.map((a) => unrounded(a, dtype)) };
  if (x.kind !== "op") return x;
  // What does not exist is 0.
  const [cond, kept, other] = x.args;
  if (x.op === "select" && isLit(other!)) return { ...x, args: [cond!, unrounded(kept!, dtype), other!] };
  return x.op === `round_${dtype}` ? x.args[0]! : x;
}

/** Arithmetic on i32, which wraps, with constants folded. */
export function add(a: Expr, b: Expr): Expr {
  if (a.kind === "lit" && b.kind === "lit") return lit((a.value + b.value) | 0);
  if (isLit(a, 0)) return b;
  if (isLit(b, 0)) return a;
  if (b.kind !== "lit") return op("add", [a, b], "i32");
  const [x, c] = a.kind === "op" && (a.op === "add" || a.op === "sub") ? a.args : [];
  if (x && c?.kind === "lit" && a.kind === "op")
    return add(x, lit((b.value + (a.op === "add" ? c.value : -c.value)) | 0));
  return b.value < 0 && b.value > -(2 ** 31) ? op("sub", [a, lit(-b.value)], "i32") : op("add", [a, b], "i32");
}
export const subtract = (a: Expr, b: Expr): Expr =>
  b.kind === "lit" ? add(a, lit(-b.value | 0)) : op("sub", [a, b], "i32");
export function mul(a: Expr, b: Expr): Expr {
  if (a.kind === "lit" && b.kind === "lit") return lit(Math.imul(a.value, b.value));
  if (isLit(a, 0) || isLit(b, 0)) return lit(0);
  if (isLit(a, 1)) return b;
  if (isLit(b, 1)) return a;
  return op("mul", [a, b], "i32");
}
export const min = (a: Expr, b: Expr): Expr =>
  a.kind === "lit" && b.kind === "lit" ? lit(Math.min(a.value, b.value)) : op("min", [a, b], "i32");
export const less = (a: Expr, b: Expr): Expr => op("lt", [a, b], "bool", 1);
export const and = (a: Expr, b: Expr): Expr => op("and", [a, b], "bool");

/** One component of a 4-wide value; taken apart where it was just put together. */
export function component(e: Expr, at: number): Expr {
  if (e.width === 1) return e;
  if (e.kind === "vec") return e.args[at]!;
  return { kind: "component", arg: e, at, type: e.type, width: 1 };
}
/** Four scalars side by side; whole again where they were one. One scalar is itself. */
export function vec(args: readonly Expr[]): Expr {
  const first = args[0]!;
  if (args.length === 1) return first;
  const whole = first.kind === "component" ? first.arg : undefined;
  if (
    whole?.kind === "ref" &&
    args.every((a, i) => a.kind === "component" && a.at === i && a.arg.kind === "ref" && a.arg.name === whole.name)
  )
    return whole;
  return { kind: "vec", args, type: first.type, width: 4 };
}

/** The value that a reduction of nothing gives. */
export function identity(kind: ReduceKind | "argmax", type: LaneType): number {
  const lowest = type === "f32" ? -Infinity : type === "i32" ? -2147483648 : 0;
  const highest = type === "f32" ? Infinity : type === "i32" ? 2147483647 : 4294967295;
  return { sum: 0, prod: 1, max: lowest, argmax: lowest, min: highest, any: 0, all: 1 }[kind];
}
/** The op that joins two partial results. */
export const joinOp = (kind: ReduceKind): LaneOp =>
  (({ sum: "add", prod: "mul", max: "max", min: "min", any: "or", all: "and" }) as const)[kind];
