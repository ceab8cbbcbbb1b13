/** What it takes to compute an element of a value anew, where it is needed a second time. */
import type { Atom, Op, OpEqn, Var } from "../../core/ir.ts";
import { isSlow } from "../../core/ops.ts";
import { isElementwise } from "./links.ts";

/** `ops`: elementwise ops on the way from memory; `slow`: there is one among them that takes as long as many others. */
export type Cost = { readonly ops: number; readonly slow: boolean };

/** Computing this again costs less than a trip through memory. */
export const isCheap = (c: Cost): boolean => !c.slow && c.ops <= 8;

/** The cost of an equation's element, given that of its operands. */
export function costOf(e: OpEqn, of: (a: Atom) => Cost): Cost {
  const own = isElementwise(e.op) && e.op !== "cast" ? 1 : 0;
  return e.args.map(of).reduce((x, y) => ({ ops: Math.min(x.ops + y.ops, 1000), slow: x.slow || y.slow }), {
    ops: own,
    slow: isSlow(e.op),
  });
}

const indexOps: ReadonlySet<Op> = new Set<Op>([
  "iota",
  "axis_index",
  "full",
  "reshape",
  "transpose",
  "broadcast",
  "index",
  "concat",
  "dynamic_slice",
  "dynamic_update",
  "optimization_barrier",
]);
/**
 * Values that every kernel computes for itself rather than read: functions of indices alone (positions, masks), which
 * stay visible to those who reason about them; and single numbers made of a few others.
 */
export function isInline(e: OpEqn, of: (v: Var) => boolean, isScalarArray: (v: Var) => boolean, cost: Cost): boolean {
  if (!indexOps.has(e.op) && !isElementwise(e.op)) return false;
  if (cost.slow) return false;
  const free = e.args.every((a) => a.kind === "lit" || of(a));
  if (free && (e.out.type.dtype === "i32" || e.out.type.dtype === "bool" || cost.ops <= 16)) return true;
  const few = e.out.type.shape.length === 0 && isElementwise(e.op) && isCheap(cost);
  return few && e.args.every((a) => a.kind === "lit" || of(a) || isScalarArray(a));
}
