/**
 * Which arrays share memory. Each wants a buffer of its own for as long as it is needed; buffers that are never in use at
 * the same time are one. The largest come first, and each joins the smallest that it fits in, so that nothing small keeps
 * something large from being used, and what is allocated comes close to what is needed at the worst moment.
 */
import type { Step } from "./schedule.ts";

/** From one step to another, both included; the clock counts the steps of the schedule as they are written. */
export type Range = { readonly from: number; readonly to: number };
/** A buffer that is wanted. `exact`: it exchanges names with others, which must be as large. `given`: it is there already. */
export type Wanted = {
  readonly bytes: number;
  readonly inUse: readonly Range[];
  readonly exact: boolean;
  readonly given: boolean;
};

/** For each wanted buffer the first one (by number) of those that it is one with. */
export function shared(wanted: readonly Wanted[]): readonly number[] {
  type Shared = { first: number; readonly bytes: number; readonly inUse: Range[] };
  const all: Shared[] = [];
  const found: Shared[] = [];
  const open = (i: number): void => {
    found[i] = { first: i, bytes: wanted[i]!.bytes, inUse: [...wanted[i]!.inUse] };
    all.push(found[i]);
  };
  const order = [...wanted.keys()].sort((a, b) => wanted[b]!.bytes - wanted[a]!.bytes || a - b);
  for (const i of order) if (wanted[i]!.given) open(i);
  for (const i of order) {
    const { bytes, inUse, exact, given } = wanted[i]!;
    if (given) continue;
    const fits = (s: Shared): boolean =>
      (exact ? s.bytes === bytes : s.bytes >= bytes) && !s.inUse.some((r) => inUse.some((q) => overlap(q, r)));
    const best = all.reduce<Shared | undefined>(
      (a, s) => (fits(s) && (a === undefined || s.bytes < a.bytes) ? s : a),
      undefined,
    );
    if (!best) {
      open(i);
      continue;
    }
    best.inUse.push(...inUse);
    best.first = Math.min(best.first, i);
    found[i] = best;
  }
  return found.map((s) => s.first);
}
const overlap = (a: Range, b: Range): boolean => a.from <= b.to && b.from <= a.to;

/** The same step, loops all the way down, with other buffers. */
export function renameBuffers(step: Step, to: (buffer: number) => number): Step {
  switch (step.kind) {
    case "launch":
      return { ...step, args: step.args.map((a) => ({ ...a, buffer: to(a.buffer) })) };
    case "send":
    case "receive":
      return { ...step, buffer: to(step.buffer) };
    case "copy":
      return { ...step, from: to(step.from), to: to(step.to) };
    case "wait":
      return step;
    case "loop":
      return {
        ...step,
        carry: step.carry.map((c) => ({
          ...c,
          buffer: to(c.buffer),
          ...(c.first === undefined ? {} : { first: to(c.first) }),
        })),
        body: step.body.map((s) => renameBuffers(s, to)),
        rotate: step.rotate.map((cycle) => cycle.map(to)),
      };
  }
}
