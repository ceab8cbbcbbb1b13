/** What kind of op an op is, where more than one pass asks. */
import type { Binary, Op, Unary } from "./ir.ts";

const unaries: Record<Unary, true> = {
  neg: true,
  not: true,
  exp: true,
  exp2: true,
  log: true,
  log2: true,
  sqrt: true,
  rsqrt: true,
  tanh: true,
  sigmoid: true,
  sin: true,
  cos: true,
  abs: true,
  floor: true,
  sign: true,
  stop_gradient: true,
};
const binaries: Record<Binary, true> = {
  add: true,
  sub: true,
  mul: true,
  div: true,
  mod: true,
  pow: true,
  min: true,
  max: true,
  eq: true,
  ne: true,
  lt: true,
  le: true,
  gt: true,
  ge: true,
  and: true,
  or: true,
};
/** Elementwise ops of one operand. */
export const isUnary = (op: Op): op is Unary => op in unaries;
/** Elementwise ops of two operands. */
export const isBinary = (op: Op): op is Binary => op in binaries;

const slow: ReadonlySet<Op> = new Set<Op>([
  "exp",
  "exp2",
  "log",
  "log2",
  "tanh",
  "sigmoid",
  "sin",
  "cos",
  "pow",
  "random_uniform",
]);
/** Ops of which one element takes as long as several of an addition. */
export const isSlow = (op: Op): boolean => slow.has(op);
