/**
 * Where a loop over blocks begins and ends: what a mask leaves out at either end is no round. Drivers that are CPUs go through
 * all statements of a round that is skipped, with no thread taking part; and nobody need ask, round by round.
 */
import type { Value } from "../tile/ir.ts";
import { conjuncts } from "../tile/values.ts";
import { type Affine, affineOf, apart, writeAffine } from "./address.ts";
import { type Context, within } from "./context.ts";
import { add, lit, min, mul, op } from "./expr.ts";
import type { Expr } from "./ir.ts";
import type { Scope } from "./scope.ts";

export type Ends = {
  readonly from: Expr;
  readonly below: Expr;
  /** What has to hold besides for a round to do anything. */
  readonly besides: readonly Value[];
};

/** The rounds of a loop `name = 0, step, … < extent` in which `run` may hold. `around`: the scope that the loop stands in. */
export function endsOf(
  ctx: Context,
  run: Value | undefined,
  loop: { readonly name: string; readonly below: number; readonly step: number },
  around: Scope,
): Ends {
  let from: Expr = lit(0);
  let below: Expr = lit(loop.below);
  const besides: Value[] = [];
  for (const cond of run ? conjuncts(run) : []) {
    const end = endOf(ctx, cond, loop.name, around);
    if (!end) besides.push(cond);
    else if (end.kind === "below") below = min(below, end.at);
    else from = op("max", [from, upTo(end.at, loop.step)], "i32");
  }
  return { from, below, besides };
}

/** The first number for which a comparison holds, or no longer does, where it bounds the loop's by what it does not change. */
function endOf(
  ctx: Context,
  cond: Value,
  name: string,
  around: Scope,
): { readonly kind: "first" | "below"; readonly at: Expr } | undefined {
  const { def } = cond;
  if (def.kind !== "map" || !["lt", "le", "gt", "ge"].includes(def.op) || def.args[0]!.dtype !== "i32")
    return undefined;
  const [x, y] = def.args.map((a) => affineOf(ctx, a, new Map())) as [Affine, Affine];
  // 0 ≤ left + coef · name
  const { coef, rest } = def.op === "lt" || def.op === "le" ? apart(y, x, name) : apart(x, y, name);
  const left = def.op === "lt" || def.op === "gt" ? { ...rest, constant: rest.constant - 1 } : rest;
  if (Math.abs(coef) !== 1 || left.terms.some((t) => (ctx.names.get(t.name)?.level ?? 0) > around.level))
    return undefined;
  const written = (a: Affine): Expr => within(ctx, around, () => writeAffine(ctx, a));
  if (coef < 0) return { kind: "below", at: written({ ...left, constant: left.constant + 1 }) };
  const negated = { constant: -left.constant, terms: left.terms.map((t) => ({ ...t, coef: -t.coef })) };
  return { kind: "first", at: written(negated) };
}

/** The next multiple of `step`. */
const upTo = (e: Expr, step: number): Expr =>
  step === 1 ? e : mul(op("div", [add(e, lit(step - 1)), lit(step)], "i32"), lit(step));
