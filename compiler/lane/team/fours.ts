/** Loads of four elements at once, of eight where they have 16 bits, where a thread's registers lie side by side in memory. */

import { isHalf } from "../../core/half.ts";
import { operandsOf, unionOf } from "../../tile/build.ts";
import type { Store, Value } from "../../tile/ir.ts";
import { component, laneType, lit } from "../expr.ts";
import type { Expr, Width } from "../ir.ts";
import { besideAlong } from "./beside.ts";
import { type At, bind, type Context, hintOf, nest, partOf } from "./context.ts";
import { layoutOf } from "./dealt.ts";
import type { Digit, Layout } from "./layout.ts";
import { offset } from "./value.ts";

/**
 * As `nest`, for an expression of `values`: what it loads of four neighbours, or eight, is loaded at once. With `together` > 1, `write` is
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
  const size = digit?.stride === 1 ? groupOf(ctx, digit) : undefined;
  const loads = digit && size ? loadsInGroups(ctx, values, digit, size) : [];
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
      const width = groupIn(ctx, (v.def as { buffer: number }).buffer, size!);
      const groups = Array.from({ length: size! / width }, (_, k) => {
        const here = { ...one(k * width), group: { axis: digit.axis, size: width } };
        return bind(ctx, hintOf(v), groupAt(ctx, v, here, width));
      });
      return { id: v.id, at: (k: number): Expr => component(groups[Math.floor(k / width)]!, k % width) };
    });
    const all = Array.from({ length: digit.count }, (_, k) => one(k, new Map(loaded.map(({ id, at }) => [id, at(k)]))));
    for (let k = 0; k < all.length; k += together) write(all[k]!, all.slice(k + 1, k + together));
  };
  nest(ctx, layout, outer, 1);
}
type Group = 4 | 8;
/** How many of them a buffer has in one word of 16 bytes: of eight, where they have 32 bits, twice four. */
const groupIn = (ctx: Context, buffer: number, size: Group): Group =>
  isHalf(ctx.kernel.buffers[buffer]!.dtype) ? size : 4;
/** Eights are dealt out where most of what lies so has 16 bits (sums.ts). */
const groupOf = ({ dealt }: Context, { count }: Digit): Group | undefined =>
  count === 4 || (count === 8 && "slots" in dealt.by) ? (count as Group) : undefined;
const groupAt = (ctx: Context, v: Value, at: At, width: Group): Expr => ({
  kind: "load",
  buffer: (v.def as { buffer: number }).buffer,
  index: offset(ctx, v, at),
  type: laneType(v.dtype),
  width,
});

/** What is loaded, and not held, of elements that lie side by side from a multiple of their number on. */
function loadsInGroups(ctx: Context, values: readonly Value[], digit: Digit, size: Group): readonly Value[] {
  const found = new Map<number, Value>();
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id) || ctx.held.has(v.id) || ctx.tiles.has(v.id)) return;
    seen.add(v.id);
    if (isGroup(ctx, v, digit, size)) found.set(v.id, v);
    else operandsOf(v.def).forEach(see);
  };
  values.forEach(see);
  return [...found.values()];
}
function isGroup(ctx: Context, v: Value, digit: Digit, size: Group): boolean {
  if (v.def.kind !== "load" || !seenInFours(ctx, v.def.buffer)) return false;
  const { shape } = ctx.kernel.buffers[v.def.buffer]!;
  return (
    besideAlong(groupIn(ctx, v.def.buffer, size), shape, v.def.index, v.def.clamp, (a) => partOf(ctx, a).block)?.id ===
    digit.axis
  );
}

/** Whether a buffer may be read and written in fours: always, but where a dialect sees it in one way and something is written one by one. */
export const seenInFours = (ctx: Context, buffer: number): boolean =>
  ctx.plan.pattern === "matrices" || ctx.kernel.stores.every((s) => s.buffer !== buffer || widthOf(ctx, s) === 4);

/** How many of a thread's registers a store may write at once: neighbouring elements, the first at a multiple of as many. */
export function widthOf(ctx: Context, s: Store): Width {
  const digit = layoutOf(ctx.dealt, unionOf(...[...s.index, s.value].map((v) => v.axes))).registers[0];
  const { shape, dtype } = ctx.kernel.buffers[s.buffer]!;
  if (digit?.stride !== 1 || dtype === "bool") return 1;
  const group = groupOf(ctx, digit);
  // WGSL has no stores of two.
  const pair = digit.count === 2 && ctx.plan.pattern === "matrices";
  const size: Width = pair ? 2 : group ? groupIn(ctx, s.buffer, group) : 1;
  const beside = size > 1 && besideAlong(size, shape, s.index, false, (a) => partOf(ctx, a).block);
  return beside && beside.id === digit.axis ? size : 1;
}
