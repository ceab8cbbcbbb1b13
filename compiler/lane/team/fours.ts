/** Loads of four elements at once, where a thread's registers lie side by side in memory. */
import { operandsOf, unionOf } from "../../tile/build.ts";
import type { Store, Value } from "../../tile/ir.ts";
import { component, laneType, lit } from "../expr.ts";
import type { Expr } from "../ir.ts";
import { besideAlong } from "./beside.ts";
import { type At, bind, type Context, hintOf, nest, partOf } from "./context.ts";
import { layoutOf } from "./dealt.ts";
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
  const fours = digit?.stride === 1 && digit.count === 4;
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
  if (v.def.kind !== "load" || !seenInFours(ctx, v.def.buffer)) return false;
  const { shape } = ctx.kernel.buffers[v.def.buffer]!;
  return besideAlong(4, shape, v.def.index, v.def.clamp, (a) => partOf(ctx, a).block)?.id === digit.axis;
}

/** Whether a buffer may be read and written in fours: always, but where a dialect sees it in one way and something is written one by one. */
export const seenInFours = (ctx: Context, buffer: number): boolean =>
  ctx.plan.pattern === "matrices" || ctx.kernel.stores.every((s) => s.buffer !== buffer || widthOf(ctx, s) === 4);

/** How many of a thread's registers a store may write at once: neighbouring elements, the first at a multiple of as many. */
export function widthOf(ctx: Context, s: Store): 1 | 2 | 4 {
  const digit = layoutOf(ctx.dealt, unionOf(...[...s.index, s.value].map((v) => v.axes))).registers[0];
  const { shape, dtype } = ctx.kernel.buffers[s.buffer]!;
  if (digit?.stride !== 1 || dtype === "bool") return 1;
  // WGSL has no stores of two.
  const size = digit.count === 4 ? 4 : digit.count === 2 && ctx.plan.pattern === "matrices" ? 2 : 1;
  const beside = size > 1 && besideAlong(size, shape, s.index, false, (a) => partOf(ctx, a).block);
  return beside && beside.id === digit.axis ? size : 1;
}
