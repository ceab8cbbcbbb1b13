/**
 * In which order workgroups go over a kernel's grid. Where masks leave some blocks of an axis more to do than others,
 * those begin first, of all the grid: no long one is left when all others are done. Any order is right.
 */
import type { Axis, Kernel, Value } from "../tile/ir.ts";
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
      if (known(run, blockOf, new Map([...starts, [axis.id, j]])) !== 0) count++;
  }
  return count;
}
/** A scalar's number, with all blocks not given at their first; NaN where memory says it. */
function known(v: Value, blockOf: BlockOf, starts: ReadonlyMap<number, number>): number {
  const d = v.def;
  if (d.kind === "const") return d.value;
  if (d.kind === "edge") {
    const start = starts.get(d.axis.id) ?? 0;
    return d.end === "first" ? start : Math.min(start + blockOf(d.axis), d.axis.extent) - 1;
  }
  if (d.kind === "cast") return known(d.arg, blockOf, starts);
  if (d.kind !== "map") return d.kind === "scalar" ? 0 : Number.NaN;
  const f = meanings[d.op];
  return f ? f(...d.args.map((a) => known(a, blockOf, starts))) : Number.NaN;
}
const meanings: Readonly<Record<string, (...x: number[]) => number>> = {
  add: (x, y) => x! + y!,
  sub: (x, y) => x! - y!,
  mul: (x, y) => x! * y!,
  div: (x, y) => Math.floor(x! / y!),
  mod: (x, y) => x! - y! * Math.floor(x! / y!),
  min: (x, y) => Math.min(x!, y!),
  max: (x, y) => Math.max(x!, y!),
  neg: (x) => -x!,
  le: (x, y) => +(x! <= y!),
  lt: (x, y) => +(x! < y!),
  ge: (x, y) => +(x! >= y!),
  gt: (x, y) => +(x! > y!),
  eq: (x, y) => +(x! === y!),
  ne: (x, y) => +(x! !== y!),
  and: (x, y) => x! & y!,
  or: (x, y) => x! | y!,
  not: (x) => 1 - x!,
  select: (c, x, y) => (c ? x! : y!),
};
