/** What the rules of differentiation write their formulas with. */
import { type Dim, dimProduct } from "../../base/dim.ts";
import { type Builder, emit, lit } from "../build.ts";
import type { Atom, Binary, DType, Op, Selector, Unary, Var } from "../ir.ts";
import type { Contribution, RuleCall } from "./transpose.ts";

/** A number takes the dtype of the operand beside it. */
export type Term = Atom | number;

const dtypeOf = (...terms: readonly Term[]): DType => terms.find((t) => typeof t !== "number")?.type.dtype ?? "f32";
const atomOf = (t: Term, dtype: DType): Atom => (typeof t === "number" ? lit(t, dtype) : t);

/** Elementwise ops as functions that emit to `b`. */
export const on = (b: Builder) => {
  const one = (op: Unary) => (x: Atom) => emit(b, op, {}, x);
  const two = (op: Binary) => (x: Term, y: Term) => emit(b, op, {}, atomOf(x, dtypeOf(y)), atomOf(y, dtypeOf(x)));
  return {
    neg: one("neg"),
    log: one("log"),
    sin: one("sin"),
    cos: one("cos"),
    sign: one("sign"),
    floor: one("floor"),
    add: two("add"),
    sub: two("sub"),
    mul: two("mul"),
    div: two("div"),
    pow: two("pow"),
    min: two("min"),
    max: two("max"),
    eq: two("eq"),
    gt: two("gt"),
    and: two("and"),
    where: (c: Atom, x: Term, y: Term) => emit(b, "select", {}, c, atomOf(x, dtypeOf(y)), atomOf(y, dtypeOf(x))),
    cast: (x: Atom, dtype: DType): Atom => (x.type.dtype === dtype ? x : emit(b, "cast", { dtype }, x)),
  };
};
export type Terms = ReturnType<typeof on>;

/** The cotangent itself, which `contribute` sums over what was stretched, casts back and widens. */
export const through = ({ ct }: RuleCall<Op>): readonly Contribution[] => [ct];

/** One contribution for each operand, made only where it is wanted. */
export const wanted = (
  { wants }: RuleCall<Op>,
  ...parts: readonly (() => Contribution)[]
): readonly (Contribution | undefined)[] => parts.map((part, i) => (wants[i] ? part() : undefined));

/** `x` with dimensions of size 1 where `isNew` says so; the others are those of `x`, in order. */
export function withNew(b: Builder, x: Atom, isNew: readonly boolean[]): Atom {
  const selectors = isNew.map((n): Selector => ({ kind: n ? "new" : "all" }));
  return isNew.includes(true) ? emit(b, "index", { selectors }, x) : x;
}
/** 0 … size-1 along dimension `dim` of `rank`. */
export const counting = (b: Builder, size: Dim, dim: number, rank: number): Atom =>
  withNew(
    b,
    emit(b, "iota", { size }),
    Array.from({ length: rank }, (_, i) => i !== dim),
  );

export const reshaped = (b: Builder, x: Atom, shape: readonly Dim[]): Var => emit(b, "reshape", { shape }, x);
export const transposed = (b: Builder, x: Atom, perm: readonly number[]): Atom =>
  perm.every((p, i) => p === i) ? x : emit(b, "transpose", { perm }, x);
export const inverse = (perm: readonly number[]): readonly number[] => perm.map((_, i) => perm.indexOf(i));

/** The number of devices along axes. */
export const devices = (b: Builder, axes: readonly string[]): Dim =>
  dimProduct(b.context.axes.filter((a) => axes.includes(a.name)).map((a) => a.size));
