/** Element numbers of registers along an axis, and which of them exist. */
import type { Axis, Value } from "../tile/ir.ts";
import { bindIn, type Context, type Coords, homeFor, mapOf, overruns, rawPosition, splits, sum } from "./context.ts";
import { add, less, lit, min, op, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { find } from "./scope.ts";

/**
 * Element number of a register; past the end of a partial block it is the last element that exists. Four neighbours of which
 * some exist are `loose` where they are: the others are of no use, but may be asked for.
 */
export function position(ctx: Context, a: Axis, c: Coords, v: Value, loose = false): Expr {
  const m = mapOf(ctx, a);
  const u = c.get(a.id) ?? 0;
  const raw = rawPosition(ctx, a, u);
  if (!overruns(ctx, a)) return sum(raw.refs, raw.constant);
  const place = m.vector ? u % 4 : 0;
  const first = m.vector ? rawPosition(ctx, a, u - place) : raw;
  const home = homeFor(ctx, v, [a]);
  const key = `inside ${a.id} ${u - place}`;
  const last = lit(m.vector ? a.extent - 1 - ((a.extent - 1) % 4) : a.extent - 1);
  const inside =
    find(ctx.scope, key) ??
    bindIn(ctx, home, key, () => ctx.fresh(a.name), min(sum(first.refs, first.constant), last), m.vector ? 4 : 1);
  const at = add(inside, lit(place));
  return loose || !splits(ctx, a) ? at : min(at, lit(a.extent - 1));
}

/** Whether a register's element exists; undefined where it always does. */
export function inRange(ctx: Context, a: Axis, u: number): Expr | undefined {
  if (!overruns(ctx, a)) return undefined;
  const raw = rawPosition(ctx, a, u);
  if (raw.refs.length > 0) return less(sum(raw.refs, raw.constant), lit(a.extent));
  return raw.constant < a.extent ? undefined : lit(0, "bool");
}
/** The same of each of four neighbours. */
export function fourInRange(ctx: Context, a: Axis, u: number): Expr | undefined {
  const first = inRange(ctx, a, u);
  if (!first || first.kind === "lit" || !splits(ctx, a)) return first && vec([first, first, first, first]);
  const raw = rawPosition(ctx, a, u);
  const base = bindIn(ctx, ctx.scope, `raw ${a.id} ${u}`, () => ctx.fresh(a.name), sum(raw.refs, raw.constant));
  const end = lit(a.extent);
  return op("lt", [vec([0, 1, 2, 3].map((k) => add(base, lit(k)))), vec([end, end, end, end])], "bool", 4);
}

export function edge(ctx: Context, a: Axis, end: "first" | "last"): Expr {
  const m = mapOf(ctx, a);
  const start = ctx.starts.get(a.id) ?? lit(0);
  if (end === "first") return start;
  const last = add(start, lit(m.block - 1));
  return m.ragged ? min(last, lit(a.extent - 1)) : last;
}
