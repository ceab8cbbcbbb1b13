/** How much of each axis a team holds, and the layout of every value by its axes. */
import { invariant } from "../../base/invariant.ts";
import type { Axis } from "../../tile/ir.ts";
import { deal, type Layout, type Pattern, type Side } from "./layout.ts";
import { type Cover, type Slots, slotLayout } from "./slots.ts";

/** How much of an axis a team holds. `cover`: `block` rounded up to what layouts deal out. */
export type Part = Cover & {
  readonly axis: Axis;
  readonly block: number;
  /** Some of the cover's elements do not exist, in some block at least. */
  readonly ragged: boolean;
};

export type Shape = {
  readonly rows: Axis;
  readonly columns: Axis | undefined;
  readonly rowBlock: number;
  readonly columnBlock: number;
  readonly rowWarps: number;
  readonly columnWarps: number;
  /** Elements of a step of loops whose blocks may be of any size. */
  readonly foldBlock: number;
};
/** A part whose last block may end early, and whose blocks may be less than what is dealt out. */
export const partWith = (axis: Axis, block: number, cover: number): Part => {
  const lastStart = Math.floor((axis.extent - 1) / block) * block;
  return { axis, block, cover, ragged: lastStart + cover > axis.extent };
};
export const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;
/** What layouts are made from. */
export type Dealt = {
  readonly parts: ReadonlyMap<number, Part>;
  readonly by: Shape | Slots;
  readonly warps: number;
  readonly pattern: Pattern;
};
export const shapeOf = (d: Dealt): Shape => {
  invariant("rows" in d.by, "a team with products of matrices has rows");
  return d.by;
};

/** The axes that a team holds more than one element of. */
export const wide = (d: Dealt, axes: readonly Axis[]): readonly Axis[] =>
  axes.filter((a) => d.parts.get(a.id)!.cover > 1);

/**
 * The layout of every value with these axes. The rows are dealt to warps and to the threads' upper digits; then the
 * columns, or else the first other axis, to the lower ones. Without the rows, grid axes come before those of loops, and
 * those before inner ones.
 */
export function layoutOf(d: Dealt, axes: readonly Axis[]): Layout {
  if ("slots" in d.by) return slotLayout(d.by, d.parts, wide(d, axes));
  const { rows, columns, rowWarps, columnWarps } = d.by;
  const rank = (a: Axis): number =>
    a.id === rows.id ? 0 : a.id === columns?.id ? 1 : a.role === "grid" ? 2 : a.role === "fold" ? 3 : 4;
  const all = [...wide(d, axes)].sort((a, b) => rank(a) - rank(b) || a.id - b.id);
  const first = all[0];
  if (!first) return deal(undefined, undefined, [], d.warps, d.pattern);
  const asRows = first.id === rows.id || (all.length > 1 && first.id !== columns?.id);
  const m = asRows ? first : undefined;
  const [n, ...others] = asRows ? all.slice(1) : all;
  const side = (a: Axis, warps: number): Side => ({ axis: a.id, cover: d.parts.get(a.id)!.cover, warps });
  return deal(
    m && side(m, warpsFor(d.parts.get(m.id)!.cover, rowWarps)),
    n && side(n, n.id === columns?.id ? columnWarps : 1),
    others.map((a) => side(a, 1)),
    d.warps,
    d.pattern,
  );
}

/** As many of the warps as there are sixteens for. */
export function warpsFor(cover: number, warps: number): number {
  let w = warps;
  while (w > 1 && cover % (16 * w) !== 0) w /= 2;
  return w;
}

/** How a product wants its left factor. */
export const leftLayout = (d: Dealt, m: Axis, k: Axis): Layout =>
  deal(
    { axis: m.id, cover: d.parts.get(m.id)!.cover, warps: warpsFor(d.parts.get(m.id)!.cover, shapeOf(d).rowWarps) },
    { axis: k.id, cover: d.parts.get(k.id)!.cover, warps: 1 },
    [],
    d.warps,
  );
