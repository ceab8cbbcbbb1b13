/** Registers of values by name: each is computed once, in the outermost scope where it can be, and found again. */
import { invariant } from "../base/invariant.ts";
import type { Axis, Value } from "../tile/ir.ts";
import {
  bindIn,
  type Context,
  type Coords,
  groupOf,
  homeFor,
  keyOf,
  mapOf,
  neighbours,
  recast,
  registerName,
  vectorAxis,
  within,
} from "./context.ts";
import { component, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { find } from "./scope.ts";

/** A scalar out of four that are known, or four out of known scalars' group. */
export function partOfKnown(ctx: Context, v: Value, c: Coords, along: Axis | null): Expr | undefined {
  for (const a of v.axes) {
    if (a.id === along?.id || !mapOf(ctx, a).vector) continue;
    const whole = find(ctx.scope, keyOf(ctx, v, groupOf(c, a), a));
    if (!whole) continue;
    if (!along) return component(whole, (c.get(a.id) ?? 0) % 4);
    return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
  }
  if (along) {
    const scalars = neighbours(c, along).map((n) => find(ctx.scope, keyOf(ctx, v, n, null)));
    if (scalars.every((s) => s !== undefined)) return vec(scalars as Expr[]);
  }
  return undefined;
}

/** Binds what `make` gives where it can be reused, or leaves it in the one expression that uses it. */
export function bind(ctx: Context, v: Value, c: Coords, along: Axis | null, make: () => Expr): Expr {
  if (ctx.facts.inlined.has(v.id)) return make();
  const home = homeFor(ctx, v);
  const value = within(ctx, home, make);
  return bindIn(ctx, home, keyOf(ctx, v, c, along), () => registerName(ctx, nameOf(v), v, c), value);
}

export const nameOf = (v: Value): string =>
  v.name ??
  (v.def.kind === "reduce" ? v.def.op : v.def.kind === "map" ? v.def.op : v.def.kind === "load" ? "x" : v.def.kind);

/** Computes all registers of a value together, then gives the one that was asked for. */
export function group(
  ctx: Context,
  v: Value,
  c: Coords,
  along: Axis | null,
  write: (native: Axis | null) => void,
): Expr {
  const native =
    v.def.kind === "reduce" && v.def.op === "argmax" ? null : v.def.kind === "scan" ? null : vectorAxis(ctx, v);
  const home = homeFor(ctx, v);
  within(ctx, home, () => write(native));
  return recast(ctx, c, native, along, (cc, a) => {
    const hit = find(ctx.scope, keyOf(ctx, v, cc, a));
    invariant(hit, `${nameOf(v)} of kernel ${ctx.kernel.name} was not computed where it is used`);
    return hit;
  });
}
export const settle = (ctx: Context, v: Value, c: Coords, along: Axis | null, value: Expr): Expr =>
  bindIn(ctx, ctx.scope, keyOf(ctx, v, c, along), () => registerName(ctx, nameOf(v), v, c), value);
