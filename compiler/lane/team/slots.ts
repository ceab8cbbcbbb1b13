/**
 * Layouts of kernels without products of matrices. The digits of a thread's number are slots, fastest first, and a slot
 * counts along one axis of each value: axes that no value has together share slots. So all layouts are projections of one,
 * and values are combined as they lie. Along an axis a thread has `side` elements side by side, those of the slots lie
 * next, and what is left are further registers:
 *
 *   s(i, d), d: 512, side 4, slots d × 32, i × 4       registers  d 1×4, d 128×4        threads  d 4×32, i 1×4
 */
import type { Axis } from "../../tile/ir.ts";
import { type Digit, everywhere, type Layout } from "./layout.ts";

/** How much of an axis a team has; a thread's elements `rolled` apart are gone over in a loop, and never held together. */
export type Cover = { readonly cover: number; readonly rolled?: number };
export type Slot = { readonly count: number; readonly axes: readonly number[] };
export type Slots = {
  readonly slots: readonly Slot[];
  /** Elements that a thread has side by side, of axes of which it has more than one so. */
  readonly side: ReadonlyMap<number, number>;
};

/** How many threads count along an axis. */
export const threadsAlong = (s: Slots, axis: number): number =>
  s.slots.reduce((n, slot) => (slot.axes.includes(axis) ? n * slot.count : n), 1);
/** Elements of an axis that all threads have in one round. */
export const roundOf = (s: Slots, axis: number): number => threadsAlong(s, axis) * (s.side.get(axis) ?? 1);

export function slotLayout(s: Slots, parts: ReadonlyMap<number, Cover>, axes: readonly Axis[]): Layout {
  const below = new Map(axes.map((a) => [a.id, s.side.get(a.id) ?? 1]));
  const threads = s.slots.map((slot): Digit => {
    const axis = axes.find((a) => slot.axes.includes(a.id))?.id;
    if (axis === undefined) return { axis: everywhere, stride: 0, count: slot.count };
    const stride = below.get(axis)!;
    below.set(axis, stride * slot.count);
    return { axis, stride, count: slot.count };
  });
  const side = axes.map((a): Digit => ({ axis: a.id, stride: 1, count: s.side.get(a.id) ?? 1 }));
  const rounds = axes.flatMap((a): readonly Digit[] => {
    const { cover, rolled } = parts.get(a.id)!;
    const stride = below.get(a.id)!;
    if (rolled === undefined) return [{ axis: a.id, stride, count: cover / stride }];
    return [
      { axis: a.id, stride, count: rolled / stride },
      { axis: a.id, stride: rolled, count: cover / rolled },
    ];
  });
  return {
    registers: [...side, ...rounds].filter((d) => d.count > 1),
    threads: threads.filter((d) => d.count > 1),
  };
}
