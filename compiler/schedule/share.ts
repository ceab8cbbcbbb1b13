/**
 * Which arrays share memory. Each wants a buffer of its own for as long as it is needed; buffers that are never in use at
 * the same time are one. The largest come first, and each joins the smallest that it fits in, so that nothing small keeps
 * something large from being used, and what is allocated comes close to what is needed at the worst moment.
 */
import { uniqueNames } from "./names.ts";
import type { Buffer, Step, Value } from "./schedule.ts";

/** From one step to another, both included; the clock counts the steps of the schedule as they are written. */
export type Range = { readonly from: number; readonly to: number };
/** A buffer that is wanted. `exact`: it exchanges names with others, which must be as large. Inputs are there already. */
export type Wanted = {
  readonly bytes: number;
  readonly role: Buffer["role"];
  readonly inUse: readonly Range[];
  readonly exact: boolean;
  /** The numbers of the values that are in it at one time or another. */
  readonly holds: readonly number[];
};
export type SharedBuffer = Buffer & Pick<Wanted, "holds">;

/** The buffers that there are, named after the first value in each; `of`: which one a wanted buffer is. */
export function share(wanted: readonly Wanted[], values: readonly Value[]) {
  const first = firsts(wanted);
  const numbers = new Map([...new Set(first)].sort((a, b) => a - b).map((b, id) => [b, id]));
  const names = uniqueNames();
  const buffers = [...numbers].map(([b, id]): SharedBuffer => {
    const members = wanted.filter((_, m) => first[m] === b);
    const bytes = Math.max(...members.map((m) => m.bytes));
    const holds = [...new Set(members.flatMap((m) => m.holds))];
    const role = members.some((m) => m.role === "input") ? "input" : "temp";
    return { id, name: names(values[holds[0]!]!.name), bytes, role, holds };
  });
  return { buffers, of: (buffer: number): number => numbers.get(first[buffer]!)! };
}

/** For each wanted buffer the first one (by number) of those that it is one with. */
function firsts(wanted: readonly Wanted[]): readonly number[] {
  type Shared = { first: number; readonly bytes: number; readonly inUse: Range[] };
  const all: Shared[] = [];
  const found: Shared[] = [];
  const open = (i: number): void => {
    found[i] = { first: i, bytes: wanted[i]!.bytes, inUse: [...wanted[i]!.inUse] };
    all.push(found[i]);
  };
  const order = [...wanted.keys()].sort((a, b) => wanted[b]!.bytes - wanted[a]!.bytes || a - b);
  for (const i of order) if (wanted[i]!.role === "input") open(i);
  for (const i of order) {
    const { bytes, inUse, exact, role } = wanted[i]!;
    if (role === "input") continue;
    const fits = (s: Shared): boolean =>
      (exact ? s.bytes === bytes : s.bytes >= bytes) && !s.inUse.some((r) => inUse.some((q) => overlap(q, r)));
    const best = all.reduce<Shared | undefined>(
      (a, s) => ((a === undefined || s.bytes < a.bytes) && fits(s) ? s : a),
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
