/** Computing a whole value into an array: loops over its rounds, or sums that run over the blocks of a product. */
import type { Axis, Value } from "../tile/ir.ts";
import {
  type Context,
  type Coords,
  dependsOn,
  looped,
  mapOf,
  nest,
  push,
  registersOf,
  type Stored,
  within,
} from "./context.ts";
import { nameOf, roundOf } from "./evaluate.ts";
import { identity, joinOp, laneType, lit, op, ref, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { allocate, elementOf, setElement } from "./storage.ts";

/** Gives a value an array of its own, filled where the value's region begins to need it. */
export function storeValue(ctx: Context, v: Value): void {
  const region = ctx.regions[ctx.facts.depth.get(v.id) ?? 0]!;
  const target = allocate(ctx, v, nameOf(v));
  ctx.filling.add(v.id);
  within(ctx, region, () => fill(ctx, target, v));
  ctx.filling.delete(v.id);
  ctx.stored.set(v.id, target);
}

/** Writes every element of `v` to `target`. An element is written after the last read of it, so `v` may read the target's old elements in place. */
export function fill(ctx: Context, target: Stored, v: Value): void {
  const split = sumOverRounds(ctx, v);
  if (v.def.kind === "scan" && looped(ctx, v.axes).length > 0) fillScan(ctx, target, v, v.def.axis, v.def.arg);
  else if (split) fillByRounds(ctx, target, v, split);
  else fillEach(ctx, target, v.axes, v);
}

/** target = base; then, round by round of the sum's axis: target = target ⊕ (that round's part). */
function fillByRounds(ctx: Context, target: Stored, v: Value, split: SumOverRounds): void {
  const { base, axis, arg, kind } = split;
  const type = laneType(v.dtype);
  const none = identity(kind, type);
  if (base) fillEach(ctx, target, v.axes, base);
  else fillWith(ctx, target, v.axes, () => lit(none, type));
  nest(ctx, [axis], () =>
    nest(ctx, v.axes, () => {
      for (const c of registersOf(ctx, v.axes, target.vector)) {
        const width = target.vector ? 4 : 1;
        const join = (a: Expr, b: Expr): Expr => op(joinOp(kind), [a, b], type, width);
        const part = roundOf(ctx, axis, arg, c, target.vector, none, join, kind === "sum");
        push(ctx, setElement(ctx, target, c, join(elementOf(ctx, target, c, target.vector), part)));
      }
    }),
  );
}

function fillEach(ctx: Context, target: Stored, axes: readonly Axis[], v: Value): void {
  fillWith(ctx, target, axes, (c) => {
    const e = ctx.evaluate(v, c, target.vector);
    return target.vector && e.width === 1 ? vec([e, e, e, e]) : e;
  });
}
function fillWith(ctx: Context, target: Stored, axes: readonly Axis[], value: (c: Coords) => Expr): void {
  nest(ctx, axes, () => {
    const all = registersOf(ctx, axes, target.vector);
    for (const c of all) {
      const e = value(c);
      push(ctx, setElement(ctx, target, c, target.vector && e.width === 1 ? vec([e, e, e, e]) : e));
    }
  });
}

type SumOverRounds = { readonly base: Value | null; readonly axis: Axis; readonly arg: Value; readonly kind: "sum" };
/** `base + Σ` or `Σ` alone, where both the sum's axis and the result have rounds: the sum is then the outer loop. */
function sumOverRounds(ctx: Context, v: Value): SumOverRounds | undefined {
  if (looped(ctx, v.axes).length === 0) return undefined;
  const asSum = (x: Value): SumOverRounds | undefined =>
    x.def.kind === "reduce" && x.def.op === "sum" && mapOf(ctx, x.def.axis).loop > 1
      ? { base: null, axis: x.def.axis, arg: x.def.arg, kind: "sum" }
      : undefined;
  const alone = asSum(v);
  if (alone) return alone;
  if (v.def.kind !== "map" || v.def.op !== "add") return undefined;
  const [a, b] = v.def.args;
  for (const [x, y] of [
    [a!, b!],
    [b!, a!],
  ] as const) {
    const s = asSum(x);
    if (
      s &&
      !ctx.facts.stored.has(x.id) &&
      (ctx.facts.uses.get(x.id) ?? 0) === 1 &&
      v.axes.every((ax) => dependsOn(x, ax))
    )
      return { ...s, base: y };
  }
  return undefined;
}

function fillScan(ctx: Context, target: Stored, v: Value, axis: Axis, arg: Value): void {
  const others = v.axes.filter((a) => a.id !== axis.id);
  nest(ctx, others, () => {
    const all = registersOf(ctx, others, null);
    const names = all.map(() => ctx.fresh("running"));
    const type = laneType(v.dtype);
    for (const name of names) push(ctx, { kind: "var", name, type, width: 1, value: lit(0, type) });
    nest(ctx, [axis], () => {
      for (const [k, c] of all.entries())
        for (let u = 0; u < mapOf(ctx, axis).unroll; u++) {
          const cc = new Map(c).set(axis.id, u);
          push(ctx, {
            kind: "set",
            name: names[k]!,
            value: op("add", [ref(names[k]!, type), ctx.evaluate(arg, cc, null)], type, 1),
          });
          push(ctx, setElement(ctx, target, cc, ref(names[k]!, type)));
        }
    });
  });
}
