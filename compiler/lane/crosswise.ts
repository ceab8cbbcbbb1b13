/**
 * Axes that four neighbouring threads hold crosswise. All four need the same elements along such an axis, in no order: they
 * load a quarter each and exchange it, and a thread's register s of four is the element that the thread loaded whose number
 * differs by the bits of s.
 *
 *     thread       0        1        2        3
 *     registers    0 1 2 3  1 0 3 2  2 3 0 1  3 2 1 0
 *
 * Each register is then one exchange between neighbours, which is an instruction or two where a broadcast takes a dozen.
 * An axis that is held by fours is crossed by fours.
 */
import type { Value } from "../tile/ir.ts";
import type { AxisMap } from "./map.ts";

/** What a kernel says of it: its loads of elements that surely exist, and axes whose elements have an order, or are picked by number. */
export type Crossable = { readonly loads: readonly Value[]; readonly ordered: ReadonlySet<number> };

export function crossableOf(values: readonly Value[]): Crossable {
  const ordered = new Set<number>();
  for (const { def } of values) {
    if (def.kind === "scan" || (def.kind === "reduce" && def.op === "argmax")) ordered.add(def.axis.id);
    if (def.kind === "at") for (const b of def.bind) ordered.add(b.axis.id);
  }
  return { loads: values.filter(({ def }) => def.kind === "load" && !def.clamp), ordered };
}

/** Elements that stay side by side. */
export const crossedBy = (m: AxisMap): number => (m.vector ? 4 : 1);

/** Along which axes a mapping holds elements crosswise: those along which loads can be shared, one for each load. */
export function crosswiseAxes(kernel: Crossable, axes: ReadonlyMap<number, AxisMap>): ReadonlySet<number> {
  const found = new Set<number>();
  const has = (v: Value, id: number): boolean => v.axes.some((a) => a.id === id);
  for (const m of axes.values()) {
    const { id } = m.axis;
    const able = m.lanes === 1 && !m.ragged && m.unroll % (4 * crossedBy(m)) === 0 && !kernel.ordered.has(id);
    if (!able) continue;
    const loads = kernel.loads.filter((v) => has(v, id));
    const alone = loads.every((v) => v.axes.every((a) => !found.has(a.id)));
    if (alone && loads.some((v) => isShared(v, axes))) found.add(id);
  }
  return found;
}

/** Whether all four threads need what is loaded. */
const isShared = (v: Value, axes: ReadonlyMap<number, AxisMap>): boolean =>
  v.axes.every((a) => axes.get(a.id)?.lanes === 1);
