/** How large the tiles of a team may be, best first, and what each axis then has. */
import type { Axis, Kernel } from "../../tile/ir.ts";
import { blocksAreFree } from "../../tile/reblock.ts";
import { dependsOn } from "../../tile/values.ts";
import { meetingAxes } from "../allowed.ts";
import { axesOf, foldsOf } from "../map.ts";
import { type Part, partWith, roundUp, type Shape } from "./dealt.ts";
import type { Factors } from "./products.ts";
import { give } from "./rule.ts";
import type { Sizes } from "./target.ts";

/** The axes of loops whose blocks may be of any size. */
const freeFolds = (kernel: Kernel): ReadonlySet<number> =>
  new Set(
    foldsOf(kernel.body).flatMap((f) =>
      f.over.kind === "blocks" && blocksAreFree(f) && f.over.axis.block !== 1 ? [f.over.axis.id] : [],
    ),
  );

/** The shapes to try. */
export function shapesFor(
  kernel: Kernel,
  factors: readonly Factors[],
  sizes: Sizes,
): readonly Omit<Shape, "foldBlock">[] {
  const meeting = meetingAxes(kernel);
  const free = (a: Axis): boolean => a.role === "grid" && !meeting.has(a.id) && a.block !== 1;
  const oneSided = (f: Factors, a: Axis): boolean => dependsOn(f.a, a) !== dependsOn(f.b, a);
  const weight = (a: Axis): number =>
    factors.filter((f) => oneSided(f, a)).length * 1e12 +
    (a.block === "auto" ? 0 : 1e11) +
    (isLast(kernel, a) ? 0 : 1e10) +
    a.extent;
  const fixed = kernel.grid.find((a) => a.role === "grid" && meeting.has(a.id) && a.block !== 1 && a.extent > 1);
  const usable = kernel.grid.filter((a) => free(a) && factors.some((f) => oneSided(f, a)));
  const rows = fixed ?? [...usable].sort((a, b) => weight(b) - weight(a))[0];
  if (!rows) return [];
  const fixedBlock = fixed ? blockOf(fixed) : undefined;
  // The side of a product across from the rows, where it is made of grid axes alone: its longest axis.
  const across = usable.filter(
    (a) =>
      a !== rows &&
      factors.every((f) => {
        if (!oneSided(f, rows) || !oneSided(f, a) || dependsOn(f.a, rows) === dependsOn(f.a, a)) return false;
        const side = dependsOn(f.a, rows) ? f.b : f.a;
        return side.axes.every((x) => x.role === "grid" || x.id === f.k.id || blockOf(x) === 1);
      }),
  );
  const last = (a: Axis): number => (isLast(kernel, a) ? 1e10 : 0) + a.extent;
  const columns = [...across].sort((a, b) => last(b) - last(a))[0];
  const found: Omit<Shape, "foldBlock">[] = [];
  const most = roundUp(rows.extent, 16);
  if (columns)
    for (const [m, n, wm, wn] of sizes.across) {
      if (m > most || n > roundUp(columns.extent, 16)) continue;
      if (fixedBlock !== undefined && roundUp(fixedBlock, 16 * wm) !== m) continue;
      found.push({
        rows,
        columns,
        rowBlock: fixedBlock ?? m,
        columnBlock: n,
        rowWarps: wm,
        columnWarps: wn,
      });
    }
  else
    for (const [m, , w] of sizes.along) {
      if (m > most && m > 16) continue;
      if (fixedBlock !== undefined && roundUp(fixedBlock, 16 * w) !== m) continue;
      found.push({
        rows,
        columns: undefined,
        rowBlock: fixedBlock ?? m,
        columnBlock: 1,
        rowWarps: w,
        columnWarps: 1,
      });
    }
  return found;
}

export const isLast = (kernel: Kernel, a: Axis): boolean =>
  kernel.stores.some((s) => {
    const def = s.index.at(-1)?.def;
    return def?.kind === "pos" && def.axis.id === a.id;
  });
export const blockOf = (a: Axis): number =>
  a.role === "inner" ? a.extent : Math.min(a.extent, a.block === "auto" ? 64 : a.block);
/** What parts are made from, whatever the shape: all axes, those of the grid along which elements meet, and loops with blocks of any size. */
export type Axes = {
  readonly all: readonly Axis[];
  readonly meeting: ReadonlySet<number>;
  readonly anySize: ReadonlySet<number>;
};
export const axesFor = (kernel: Kernel): Axes => ({
  all: axesOf(kernel),
  meeting: meetingAxes(kernel),
  anySize: freeFolds(kernel),
});
export function partsOf({ all, meeting, anySize }: Axes, shape: Shape): ReadonlyMap<number, Part> {
  const parts = new Map<number, Part>();
  for (const axis of all) {
    const block =
      axis.id === shape.rows.id
        ? Math.min(shape.rowBlock, axis.extent)
        : axis.id === shape.columns?.id
          ? Math.min(shape.columnBlock, axis.extent)
          : axis.role === "grid" && !meeting.has(axis.id)
            ? 1
            : anySize.has(axis.id)
              ? Math.min(shape.foldBlock, axis.extent)
              : blockOf(axis);
    const step =
      axis.id === shape.rows.id ? 16 * shape.rowWarps : axis.id === shape.columns?.id ? 16 * shape.columnWarps : 16;
    const cover = block === 1 && axis.id !== shape.rows.id ? 1 : roundUp(block, step);
    if (axis.role === "inner" && cover > 512)
      give(`axis ${axis.name} has ${axis.extent} elements, too many to hold at once`);
    parts.set(axis.id, partWith(axis, block, cover));
  }
  return parts;
}
