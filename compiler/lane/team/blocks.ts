/**
 * Which blocks of a loop do something. A condition that compares sums of edges bounds the loop: it holds from some block
 * on, or up to one. What is left of the loop's condition is asked block by block.
 *
 *   first(j) <= last(i)                       j below last(i) + 1
 *   first(i) - last(j) < n                    j from first(i) - n + 1 - (block - 1) on
 */
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Fold, Value } from "../../tile/ir.ts";
import { conjuncts } from "../../tile/values.ts";
import { add, and, less, lit, min, mul, op, ref, subtract } from "../expr.ts";
import type { Expr } from "../ir.ts";
import { bind, type Context, nowhere, partOf, push } from "./context.ts";
import { evaluate } from "./value.ts";

export type Blocks = {
  readonly from: Expr;
  readonly below: Expr;
  /** Whether some of the blocks between do nothing, as `runs` says. */
  readonly runs: readonly Value[];
};

export function blocksOf(ctx: Context, f: Fold, axis: Axis): Blocks {
  let from: Expr = lit(0);
  let below: Expr = lit(axis.extent);
  const runs: Value[] = [];
  const { block } = partOf(ctx, axis);
  for (const v of f.bounds?.run ? conjuncts(f.bounds.run) : []) {
    const [low, high, strict] = compared(v) ?? [];
    const slope = low && high ? minus(slopeOf(high, axis, block), slopeOf(low, axis, block)) : undefined;
    if (!low || !high || !slope || !Number.isInteger(slope)) {
      runs.push(v);
      continue;
    }
    // high - low = slope · j + rest, for the block that begins at j.
    const before = ctx.starts.get(axis.id);
    ctx.starts.set(axis.id, lit(0));
    const rest = subtract(evaluate(ctx, high, nowhere()), evaluate(ctx, low, nowhere()));
    if (before) ctx.starts.set(axis.id, before);
    const need = strict ? 1 : 0;
    const over = (e: Expr): Expr => (Math.abs(slope) === 1 ? e : op("div", [e, lit(Math.abs(slope))], "i32"));
    if (slope < 0) below = min(below, add(over(add(rest, lit(-need))), lit(1)));
    else {
      const first = over(add(subtract(lit(need), rest), lit(slope - 1)));
      const rounded = mul(op("div", [add(first, lit(block - 1)), lit(block)], "i32"), lit(block));
      from = op("max", [from, rounded], "i32");
    }
  }
  return { from: bind(ctx, `${axis.name}_from`, from), below: bind(ctx, `${axis.name}_below`, below), runs };
}
/** A variable for the first block from `from` on that does something; the end where there is none. */
export function searchBlock(ctx: Context, axis: Axis, { below, runs }: Blocks, hint: string, from: Expr): string {
  const { block } = partOf(ctx, axis);
  const name = ctx.fresh(hint);
  push(ctx, { kind: "var", name, type: "i32", width: 1, value: from, counts: true });
  if (runs.length > 0) {
    const before = ctx.starts.get(axis.id);
    ctx.starts.set(axis.id, ref(name));
    const idle = op("not", [runs.map((v) => evaluate(ctx, v, nowhere())).reduce(and)], "bool");
    push(ctx, {
      kind: "while",
      cond: op("select", [less(ref(name), below), idle, lit(0, "bool")], "bool"),
      body: [{ kind: "set", name, value: add(ref(name), lit(block)) }],
    });
    if (before) ctx.starts.set(axis.id, before);
  }
  return name;
}
const minus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a - b;

/** low <= high, or with `strict` low < high. */
function compared(v: Value): readonly [low: Value, high: Value, strict: boolean] | undefined {
  if (v.def.kind !== "map" || v.def.args[0]?.dtype !== "i32") return undefined;
  const [x, y] = v.def.args as [Value, Value];
  switch (v.def.op) {
    case "le":
      return [x, y, false];
    case "lt":
      return [x, y, true];
    case "ge":
      return [y, x, false];
    case "gt":
      return [y, x, true];
    default:
      return undefined;
  }
}
/** By how much a whole number grows with the first element of the axis's block; undefined where not evenly. */
function slopeOf(v: Value, axis: Axis, block: number): number | undefined {
  const d = v.def;
  if (d.kind === "edge" && d.axis.id === axis.id) return d.end === "first" || axis.extent % block === 0 ? 1 : undefined;
  const parts = operandsOf(d).map((a) => slopeOf(a, axis, block));
  if (d.kind === "map" && v.dtype === "i32") {
    const [a, b] = parts;
    if (d.op === "add" && a !== undefined && b !== undefined) return a + b;
    if (d.op === "sub") return minus(a, b);
    if (d.op === "neg") return minus(0, a);
    const by = d.args[1]?.def;
    if (d.op === "mul" && a !== undefined && by?.kind === "const") return a * by.value;
  }
  return parts.every((p) => p === 0) ? 0 : undefined;
}
