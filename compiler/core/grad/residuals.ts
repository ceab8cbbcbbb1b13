/**
 * How the way back through a loop gets at the values of a forward step. For each value, the first that holds:
 *
 *   it hangs on the step and on what is around the loop only      computed again
 *   it is a cheap function of others that are there               computed again
 *   it is a carry that only moves round a ring                    moved back, a step at a time
 *   else                                                          collected forward, its row read back
 */
import { dimNumber, dimProduct } from "../../base/dim.ts";
import { type Builder, emit, fresh } from "../build.ts";
import { copyBlock, type Names } from "../copy.ts";
import type { Atom, Block, Eqn, FoldEqn, Op, OpEqn, Route, Var } from "../ir.ts";
import { isBinary, isSlow, isUnary } from "../ops.ts";
import type { TypingContext } from "../typing.ts";
import { freeVars, mapEqn, outsOf } from "../walk.ts";
import type { Grad, Linear } from "./context.ts";

export type Residuals = {
  readonly stacks: readonly { readonly value: Var; readonly stacked: Var }[];
  readonly moved: readonly Moved[];
  /** In order; each reads only what is there by then. */
  readonly again: readonly OpEqn[];
};
/** A carry that each step sends on: `shift` and `perStep` say how far in step s, offset + perStep * s. */
export type Moved = {
  readonly carry: number;
  readonly axes: readonly string[];
  readonly offset: number;
  readonly perStep: number;
  /** Whether it is back where it began after the last step. */
  readonly comesHome: boolean;
};

export function planResiduals(g: Grad, e: FoldEqn, body: Linear, reads: readonly Var[]): Residuals {
  const made = new Map<number, Eqn>();
  for (const x of body.eqns) for (const v of outsOf(x)) made.set(v.id, x);
  const carries = new Map(e.carry.map((v, i) => [v.id, i]));
  const local = (v: Var): boolean => made.has(v.id) || carries.has(v.id);
  const constant = ofStepOnly(body, local);
  const needed = new Map(reads.filter(local).map((v) => [v.id, v]));
  const again: OpEqn[] = [];
  const stacks: Var[] = [];
  for (const x of body.eqns.toReversed()) {
    const wanted = outsOf(x).filter((v) => needed.has(v.id));
    if (wanted.length === 0) continue;
    const operands = [...freeVars({ eqns: [x], results: [] })].filter(local);
    const there = operands.every((v) => needed.has(v.id) || constant.has(v.id));
    if (x.kind === "op" && (constant.has(x.out.id) || (isCheap(x) && there))) {
      again.push(x);
      for (const v of operands) needed.set(v.id, v);
    } else stacks.push(...wanted);
  }
  const held = e.carry.filter((v) => needed.has(v.id));
  const moved = held.map((v) => movesOn(g.typing, e, body, carries.get(v.id)!));
  stacks.push(...held.filter((_, i) => !moved[i]));
  const count = e.over.kind === "steps" ? e.over.count : 1;
  return {
    stacks: stacks.map((value) => ({
      value,
      stacked: fresh(g.ids, { ...value.type, shape: [count, ...value.type.shape] }, value.name),
    })),
    moved: moved.filter((m) => m !== undefined),
    again: again.toReversed(),
  };
}

/** Variables that are functions of the step and of what is around the loop. */
function ofStepOnly(body: Linear, local: (v: Var) => boolean): ReadonlySet<number> {
  const found = new Set<number>();
  for (const x of body.eqns) {
    if (x.kind !== "op") continue;
    const reads = [...freeVars({ eqns: [x], results: [] })];
    if (reads.every((v) => !local(v) || found.has(v.id))) found.add(x.out.id);
  }
  return found;
}
const rearranging: ReadonlySet<Op> = new Set<Op>([
  "cast",
  "select",
  "full",
  "iota",
  "reshape",
  "transpose",
  "broadcast",
  "pvary",
]);
/** Cheaper to compute again than to keep: one pass over operands that are read anyway. */
const isCheap = (e: OpEqn): boolean =>
  ((isUnary(e.op) || isBinary(e.op)) && !isSlow(e.op)) ||
  rearranging.has(e.op) ||
  (e.op === "index" && e.params.selectors.every((s) => s.kind !== "gather"));

/** Whether the next value of a carry is what the device before sends of it, whatever else the body does. */
function movesOn(c: TypingContext, e: FoldEqn, body: Linear, carry: number): Moved | undefined {
  const next = body.results[carry]!;
  const x = body.eqns.find((y) => y.kind === "op" && next.kind === "var" && y.out.id === next.id);
  if (x?.kind !== "op" || x.op !== "ppermute" || e.over.kind !== "steps") return undefined;
  const from = x.args[0]!;
  const { axes, route } = x.params;
  if (from.kind !== "var" || from.id !== e.carry[carry]!.id || route.kind !== "shift") return undefined;
  if (route.step && route.step.id !== e.over.step.id) return undefined;
  const count = dimNumber(e.over.count);
  if (count === undefined) return undefined;
  const n = dimNumber(dimProduct(axes.map((a) => c.axes.find((x) => x.name === a)!.size)));
  const perStep = route.step ? (route.perStep ?? 1) : 0;
  const total = route.offset * count + (perStep * count * (count - 1)) / 2;
  return { carry, axes, offset: route.offset, perStep, comesHome: n !== undefined && total % n === 0 };
}
const shift = (offset: number, step?: Var, perStep = 0): Route =>
  step && perStep !== 0 ? { kind: "shift", offset, step, perStep } : { kind: "shift", offset };

/** The carry as it was in the last step: the value after it (which may be the first one), sent back. */
export function startOfMoved(b: Builder, e: FoldEqn, { carry, axes, offset, perStep, comesHome }: Moved): Atom {
  const steps = e.over.kind === "steps" ? (dimNumber(e.over.count) ?? 1) : 1;
  const after = comesHome ? e.init[carry]! : e.outs[carry]!;
  return emit(b, "ppermute", { axes, route: shift(-offset - perStep * (steps - 1)) }, after);
}

/** The row of a stack that a step left. */
export const rowAt = (b: Builder, stack: Atom, step: Atom): Var => {
  const rest = stack.type.shape.slice(1).map(() => ({ kind: "all" as const }));
  return emit(b, "index", { selectors: [{ kind: "at", arg: 1 }, ...rest] }, stack, step);
};

/**
 * The equation with its permutes told by step t of the way back where they were told by the forward step N - 1 - t: what
 * goes offset + perStep * s further goes offset + perStep * (N - 1) - perStep * t.
 */
export function reversed(e: Eqn, over: FoldEqn["over"], t: Var): Eqn {
  if (over.kind !== "steps") return e;
  if (e.kind !== "op") {
    const region = (b: Block): Block => ({ ...b, eqns: b.eqns.map((x) => reversed(x, over, t)) });
    return mapEqn(e, (a) => a, region);
  }
  if (e.op !== "ppermute") return e;
  const { route } = e.params;
  if (route.kind !== "shift" || route.step?.id !== over.step.id) return e;
  const perStep = route.perStep ?? 1;
  const offset = route.offset + perStep * ((dimNumber(over.count) ?? 1) - 1);
  return { ...e, params: { ...e.params, route: shift(offset, t, -perStep) } };
}

/** Where the way back is: step `t` of its own, `step` of the forward loop, and the moved carries as they were then. */
type Place = { readonly step: Atom; readonly t: Var; readonly moved: readonly Atom[] };

/** Emits the values of a forward step; gives what stands for them, and the moved carries a step earlier. */
export function supply(
  g: Grad,
  b: Builder,
  e: FoldEqn,
  r: Residuals,
  at: Place,
): { readonly values: Names; readonly moved: readonly Atom[] } {
  const values: Names = new Map();
  if (e.over.kind !== "steps") return { values, moved: [] };
  values.set(e.over.step.id, at.step);
  for (const [k, m] of r.moved.entries()) values.set(e.carry[m.carry]!.id, at.moved[k]!);
  for (const { value, stacked } of r.stacks) values.set(value.id, rowAt(b, stacked, at.step));
  const again = r.again.map((x) => reversed(x, e.over, at.t));
  const copy = copyBlock(g.ids, { eqns: again, results: r.again.map((x) => x.out) }, values);
  b.eqns.push(...copy.eqns);
  for (const [k, x] of r.again.entries()) values.set(x.out.id, copy.results[k]!);
  const steps = dimNumber(e.over.count) ?? 1;
  const moved = r.moved.map(({ axes, offset, perStep }, k) =>
    emit(b, "ppermute", { axes, route: shift(-offset - perStep * (steps - 2), at.t, perStep) }, at.moved[k]!),
  );
  return { values, moved };
}
