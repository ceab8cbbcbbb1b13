/**
 * Which elements of an array a loop's step can change: where its next value is `select c x carry`, those for which c holds. What
 * c says of an element's number along an axis bounds the rounds that have to be gone through:
 *
 *   d + k ≥ 0 and d + k < n        elements -k … n - 1 - k;  one row of many, mostly
 */
import { operandsOf } from "../tile/build.ts";
import type { Axis, Value } from "../tile/ir.ts";
import { conjuncts, dependsOn } from "../tile/values.ts";
import { type Context, looped, mapOf, type Rounds } from "./context.ts";
import { add, lit, min, op } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { stepsAlong } from "./map.ts";

/** The rounds outside of which `next` is the carry as it was; undefined where that may be all, or nothing is known. */
export function changedRounds(ctx: Context, carry: Value, next: Value): Rounds | undefined {
  const d = next.def;
  if (d.kind !== "map" || d.op !== "select" || d.args[2]!.id !== carry.id) return undefined;
  const conds = conjuncts(d.args[0]!);
  for (const axis of looped(ctx, carry.axes)) {
    if (axis.role !== "inner" || isKeptOnTheWay(ctx, next, axis)) continue;
    const lows = conds.flatMap((c) => boundOf(ctx, c, axis, "low") ?? []);
    const highs = conds.flatMap((c) => boundOf(ctx, c, axis, "high") ?? []);
    if (lows.length === 0 || highs.length === 0) continue;
    const { block, unroll } = mapOf(ctx, axis);
    const first = lows.reduce((x, y) => op("max", [x, y], "i32", 1), lit(0));
    const from = unroll === 1 ? first : op("sub", [first, op("mod", [first, lit(unroll)], "i32", 1)], "i32", 1);
    return { axis, from, below: highs.reduce(min, lit(block)) };
  }
  return undefined;
}

/** What an axis's element is at least, or what it is below. */
function boundOf(ctx: Context, cond: Value, axis: Axis, end: "low" | "high"): Expr | undefined {
  if (cond.def.kind !== "map") return undefined;
  const { op: name, args } = cond.def;
  const [x, y] = args as readonly [Value, Value];
  const turned = { lt: "gt", le: "ge", gt: "lt", ge: "le", eq: "eq" } as const;
  if (!(name in turned) || x.dtype !== "i32") return undefined;
  const compared = name as keyof typeof turned;
  // element + rest, compared with what is the same for all
  const own = stepsAlong(x, axis) ? x : stepsAlong(y, axis) ? y : undefined;
  const other = own === x ? y : x;
  if (!own || !isOne(ctx, other) || dependsOn(other, axis)) return undefined;
  const how = own === x ? compared : turned[compared];
  const beyond = { low: { ge: 0, gt: 1, eq: 0 }, high: { lt: 0, le: 1, eq: 1 } }[end] as Partial<
    Record<string, number>
  >;
  const more = beyond[how];
  const rest = more === undefined ? undefined : without(ctx, own, axis);
  return rest && add(op("sub", [ctx.evaluate(other, new Map(), null), rest], "i32", 1), lit(more!));
}
/** What is added to the element's number in a value that rises with it. */
function without(ctx: Context, v: Value, axis: Axis): Expr | undefined {
  if (!dependsOn(v, axis)) return isOne(ctx, v) ? ctx.evaluate(v, new Map(), null) : undefined;
  if (v.def.kind === "pos") return lit(0);
  if (v.def.kind !== "map") return undefined;
  const [x, y] = v.def.args.map((a) => without(ctx, a, axis));
  return x && y && (v.def.op === "add" ? add(x, y) : op("sub", [x, y], "i32", 1));
}
/** The same for all elements that a thread has. */
const isOne = (ctx: Context, v: Value): boolean =>
  v.axes.every((a) => mapOf(ctx, a).unroll === 1 && mapOf(ctx, a).loop === 1);

/** Whether an array that others may read is filled in the rounds of an axis as they go. */
function isKeptOnTheWay(ctx: Context, v: Value, axis: Axis): boolean {
  if (!dependsOn(v, axis) || ctx.stored.has(v.id)) return false;
  return ctx.facts.stored.has(v.id) || operandsOf(v.def).some((x) => isKeptOnTheWay(ctx, x, axis));
}
