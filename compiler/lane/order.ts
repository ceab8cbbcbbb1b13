/**
 * In which order workgroups go over a kernel's grid. Where masks leave some blocks of an axis more to do than others,
 * those begin first, of all the grid: no long one is left when all others are done. Any order is right.
 */
import type { Axis, Kernel } from "../tile/ir.ts";
import { type EdgeOf, numberOf } from "./known.ts";
import { foldsOf } from "./map.ts";

/** Elements of an axis that a workgroup holds. */
type BlockOf = (a: Axis) => number;

/** The grid axes whose blocks have unequal work, and whether the last block has more to do than the first. */
export function unevenAxes(kernel: Kernel, blockOf: BlockOf): ReadonlyMap<number, "first" | "last"> {
  const found = new Map<number, "first" | "last">();
  if (!foldsOf(kernel.body).some((f) => f.bounds?.run)) return found;
  for (const axis of kernel.grid) {
    const block = blockOf(axis);
    const last = Math.floor((axis.extent - 1) / block) * block;
    const [atFirst, atLast] = [0, last].map((start) => stepsRun(kernel, blockOf, new Map([[axis.id, start]])));
    if (atFirst !== atLast) found.set(axis.id, atFirst! > atLast! ? "first" : "last");
  }
  return found;
}

/** The steps of loops that do something for the blocks that begin there; those not given begin at 0, and scalars are 0. */
function stepsRun(kernel: Kernel, blockOf: BlockOf, starts: ReadonlyMap<number, number>): number {
  let count = 0;
  for (const f of foldsOf(kernel.body)) {
    const run = f.bounds?.run;
    if (!run || f.over.kind !== "blocks") continue;
    const { axis } = f.over;
    for (let j = 0; j < axis.extent; j += blockOf(axis))
      if (numberOf(run, new Map(), edgeOf(blockOf, new Map([...starts, [axis.id, j]])), Number.NaN) !== 0) count++;
  }
  return count;
}
/** First or last element of blocks that begin at `starts`; of others the first block's. */
const edgeOf =
  (blockOf: BlockOf, starts: ReadonlyMap<number, number>): EdgeOf =>
  (axis, end) => {
    const start = starts.get(axis.id) ?? 0;
    return end === "first" ? start : Math.min(start + blockOf(axis), axis.extent) - 1;
  };
