/** Values kept in registers: elementwise ones, reductions (in the thread, then between threads), and changes of layout. */
import { invariant } from "../../base/invariant.ts";
import type { DType, ReduceKind } from "../../core/ir.ts";
import { unionOf } from "../../tile/build.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { add, and, identity, joinOp, laneType, lit, mul, op } from "../expr.ts";
import type { Expr } from "../ir.ts";
import {
  type At,
  axisIds,
  type Context,
  declare,
  digitOf,
  exists,
  type Held,
  heldFor,
  hintOf,
  hold,
  initial,
  layoutFor,
  local,
  nest,
  partOf,
  push,
  readHeld,
  within,
  writeHeld,
} from "./context.ts";
import { layoutOf, wide } from "./dealt.ts";
import { nestByFours } from "./fours.ts";
import { joinThreads } from "./join.ts";
import { everywhere, type Layout, project, sizeOf, threadBits } from "./layout.ts";
import { evaluate, reads } from "./value.ts";

/** Sees to it that all that an expression for `v` reads is where threads of `layout` can read it. */
export function prepare(ctx: Context, v: Value, layout: Layout): void {
  for (const u of reads(ctx, v).values())
    if (!heldFor(ctx, u, layout)) convert(ctx, u, project(layout, axisIds(ctx, u)));
}

/** Computes an elementwise value into registers. `into`: registers that it replaces. */
export function keep(ctx: Context, v: Value, into?: Held): Held {
  const layout = layoutFor(ctx, v);
  const full = ctx.full.get(v.id);
  const [cond, chosen, other] = full && v.def.kind === "map" ? v.def.args : [];
  prepare(ctx, v, layout);
  const what = chosen ?? v;
  if (!into && !full && sizeOf(layout.registers) === 1) {
    const held = initial(ctx, hintOf(v), laneType(v.dtype), layout, (at) => evaluate(ctx, what, at), true);
    hold(ctx, v, held);
    return held;
  }
  const held = into ?? declare(ctx, hintOf(v), laneType(v.dtype), layout);
  nestByFours(ctx, layout, [what], (at) => writeHeld(ctx, held, at, evaluate(ctx, what, at)));
  if (full) {
    // where(c, a, b): a everywhere, then b where c does not hold, unless it is known to hold throughout the block.
    const masked = within(ctx, () =>
      nest(ctx, layout, (at) => {
        const value = op(
          "select",
          [evaluate(ctx, cond!, at), readHeld(held, at), evaluate(ctx, other!, at)],
          held.type,
        );
        writeHeld(ctx, held, at, value);
      }),
    );
    push(ctx, { kind: "if", cond: op("not", [full], "bool"), then: masked, else: [] });
  }
  if (!into) hold(ctx, v, held);
  else ctx.held.set(v.id, [held]);
  return held;
}

/** The layout of a value along an axis, which it may be the same along. */
export const layoutAlong = (ctx: Context, v: Value, axis: Axis): Layout => layoutOf(ctx.dealt, unionOf(v.axes, [axis]));

/** A reduction: over the thread's own elements, then between threads. */
export function reduce(ctx: Context, v: Value): void {
  invariant(v.def.kind === "reduce" && v.def.op !== "argmax", "the place of the largest is found in picks.ts");
  const { axis, arg, op: kind } = v.def as { axis: Axis; arg: Value; op: ReduceKind };
  const type = laneType(v.dtype);
  const layout = layoutAlong(ctx, arg, axis);
  const rest = project(layout, axisIds(ctx, v));
  const none = lit(identity(kind, type), type);
  const join = (a: Expr, b: Expr): Expr => op(joinOp(kind), [a, b], type);
  prepare(ctx, arg, layout);
  const held = initial(ctx, hintOf(v), type, rest, () => none);
  nestByFours(ctx, layout, [arg], (at) => {
    const here = exists(ctx, at, axis);
    const value = evaluate(ctx, arg, at);
    writeHeld(ctx, held, at, join(readHeld(held, at), here ? op("select", [here, value, none], type) : value));
  });
  joinThreads(ctx, [held], threadBits(layout, axis.id), (at, [other]) =>
    writeHeld(ctx, held, at, join(readHeld(held, at), other!)),
  );
  hold(ctx, v, held);
}

export function sharedArray(ctx: Context, hint: string, dtype: DType, size: number, width: 1 | 4 = 1): string {
  const name = ctx.fresh(hint);
  ctx.top.push({ kind: "shared", name, dtype, width, size });
  return name;
}

/** Whether the thread is the first of those that hold the same; undefined where no others do. */
function isFirst(ctx: Context, layout: Layout): Expr | undefined {
  let below = 1;
  const same: { below: number; count: number }[] = [];
  for (const { axis, count } of layout.threads) {
    const last = same.at(-1);
    if (axis === everywhere && last && last.below * last.count === below) last.count *= count;
    else if (axis === everywhere) same.push({ below, count });
    below *= count;
  }
  const zero = (d: (typeof same)[number]): Expr =>
    op("eq", [digitOf(d.below, d.count, ctx.plan.warps * 32), lit(0)], "bool");
  return same.map(zero).reduce<Expr | undefined>((a, b) => (a ? and(a, b) : b), undefined);
}

/** What `write` writes, done by the first of the threads that hold the same. */
export function onlyFirst(ctx: Context, layout: Layout, write: () => void): void {
  const first = isFirst(ctx, layout);
  if (!first) write();
  else push(ctx, { kind: "if", cond: first, then: within(ctx, write), else: [] });
}

/** Another layout of what is held, through shared memory. */
function convert(ctx: Context, v: Value, to: Layout): void {
  const read = share(ctx, v);
  const { type } = ctx.held.get(v.id)![0]!;
  hold(ctx, v, initial(ctx, hintOf(v), type, to, read, true));
}
/** Puts what is held into shared memory, for all threads to read any element of. */
export function share(ctx: Context, v: Value): (at: At) => Expr {
  const from = ctx.held.get(v.id)![0]!;
  const axes = wide(ctx.dealt, v.axes);
  const size = axes.reduce((n, a) => n * partOf(ctx, a).cover, 1);
  const array = sharedArray(ctx, `${hintOf(v)}_shared`, from.type as DType, size);
  const place = (at: At): Expr =>
    axes.reduce<Expr>((e, a) => add(mul(e, lit(partOf(ctx, a).cover)), local(ctx, at, a)), lit(0));
  push(ctx, { kind: "barrier" });
  const write = (at: At): void => push(ctx, { kind: "setElem", array, index: place(at), value: readHeld(from, at) });
  onlyFirst(ctx, from.layout, () => nest(ctx, from.layout, write));
  push(ctx, { kind: "barrier" });
  return (at) => ({ kind: "elem", array, index: place(at), type: from.type, width: 1 });
}
