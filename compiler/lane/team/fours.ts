/** Loads of four elements at once, where a thread's registers lie side by side in memory. */
import { operandsOf } from "../../tile/build.ts";
import type { Value } from "../../tile/ir.ts";
import { component, laneType, lit } from "../expr.ts";
import type { Expr } from "../ir.ts";
import { type At, bind, type Context, hintOf, nest, partOf } from "./context.ts";
import type { Digit, Layout } from "./layout.ts";
import { offset } from "./value.ts";

/**
 * As `nest`, for an expression of `values`: what it loads of four neighbours is loaded at once. With `together` > 1, `write` is
 * called once for so many neighbours: for the first, with the others.
 */
export function nestByFours(
  ctx: Context,
  layout: Layout,
  values: readonly Value[],
  write: (at: At, others: readonly At[]) => void,
  together = 1,
): void {
  const digit = layout.registers[0];
  // Where a dialect sees a buffer in one way only, fours are for products.
  const fours = ctx.plan.pattern === "matrices" && digit?.stride === 1 && digit.count === 4;
  const loads = fours ? loadsInFours(ctx, values, digit) : [];
  if (!digit || (loads.length === 0 && together === 1)) {
    nest(ctx, layout, (at) => write(at, []));
    return;
  }
  const outer = (at: At): void => {
    const one = (k: number, memo: At["memo"] = new Map()): At => ({
      ...at,
      digits: [lit(k), ...at.digits.slice(1)],
      memo,
    });
    const loaded = loads.map((v) => {
      const four = fourOf(ctx, v, { ...one(0), fours: digit.axis });
      return [v.id, bind(ctx, hintOf(v), four)] as const;
    });
    const all = Array.from({ length: digit.count }, (_, k) =>
      one(k, new Map(loaded.map(([id, four]) => [id, component(four, k)]))),
    );
    if (together > 1) write(all[0]!, all.slice(1));
    else for (const each of all) write(each, []);
  };
  nest(ctx, layout, outer, 1);
}
const fourOf = (ctx: Context, v: Value, at: At): Expr => ({
  kind: "load",
  buffer: (v.def as { buffer: number }).buffer,
  index: offset(ctx, v, at),
  type: laneType(v.dtype),
  width: 4,
});

/** What is loaded, and not held, of four elements that lie at a multiple of four. */
function loadsInFours(ctx: Context, values: readonly Value[], digit: Digit): readonly Value[] {
  const found = new Map<number, Value>();
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id) || ctx.held.has(v.id) || ctx.tiles.has(v.id)) return;
    seen.add(v.id);
    if (inFours(ctx, v, digit)) found.set(v.id, v);
    else operandsOf(v.def).forEach(see);
  };
  values.forEach(see);
  return [...found.values()];
}
function inFours(ctx: Context, v: Value, digit: Digit): boolean {
  if (v.def.kind !== "load") return false;
  const last = v.def.index.at(-1)?.def;
  if (last?.kind !== "pos" || last.axis.id !== digit.axis) return false;
  const { shape } = ctx.kernel.buffers[v.def.buffer]!;
  const part = partOf(ctx, digit.axis);
  return (
    v.def.index.slice(0, -1).every((i) => !i.axes.some((a) => a.id === digit.axis)) &&
    [shape.at(-1)!, part.block, part.axis.extent].every((n) => n % 4 === 0) &&
    part.axis.extent <= shape.at(-1)!
  );
}
