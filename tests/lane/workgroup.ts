/**
 * The memory that threads of a workgroup share, which tells on those that use it wrongly: an element is read or written
 * by one thread after another has written it (or written after another has read it) only with a barrier between; what a
 * copy brings is there for a thread when it has waited for the copy, and for others after a barrier too; what nobody has
 * written is not read. Whether threads run in step does not matter, so neither do schedules.
 */
import { invariant } from "../../compiler/base/invariant.ts";
import { bankConflicts } from "../../compiler/lane/team/shared.ts";

/** `all`: several threads have read. */
const all = -1;
const nobody = -2;
type Cell = { value: number; writer: number; written: number; reader: number; read: number; copier: number };
type Copy = { readonly cells: readonly Cell[]; readonly values: readonly number[] };

export type Workgroup = {
  readonly arrays: Map<string, Cell[]>;
  /** Elements that go together. */
  readonly widths: Map<string, number>;
  /** The number of barriers so far. */
  epoch: number;
  /** How often banks were asked again, and elements (or fours) read. */
  conflicts: number;
  reads: number;
  /** Of each thread: copies not committed, and groups not waited for. */
  open: Copy[][];
  groups: Copy[][][];
};
export const workgroup = (threads: number): Workgroup => ({
  arrays: new Map(),
  widths: new Map(),
  epoch: 0,
  conflicts: 0,
  reads: 0,
  open: Array.from({ length: threads }, () => []),
  groups: Array.from({ length: threads }, () => []),
});

export function declareShared(w: Workgroup, name: string, size: number, width = 1): void {
  w.widths.set(name, width);
  const cell = (): Cell => ({
    value: Number.NaN,
    writer: nobody,
    written: -1,
    reader: nobody,
    read: -1,
    copier: nobody,
  });
  w.arrays.set(name, Array.from({ length: size }, cell));
}
/** Nothing is known at the start of a workgroup. */
export function clearShared(w: Workgroup): void {
  for (const [name, cells] of w.arrays) declareShared(w, name, cells.length, w.widths.get(name));
  w.epoch = 0;
  w.open = w.open.map(() => []);
  w.groups = w.groups.map(() => []);
}
/** The elements from `at` on that are read or written at once. */
export function together(w: Workgroup, name: string, at: number, width: number): readonly number[] {
  const own = w.widths.get(name);
  invariant(width === own && at % width === 0, `${name}[${at}] goes by ${own}, not by ${width}`);
  return Array.from({ length: width }, (_, k) => at + k);
}
/** Counts what the threads ask of the banks together: `at[t]`, by those that take part. */
export function ask(w: Workgroup, at: readonly (number | undefined)[], width: number): void {
  for (let first = 0; first < at.length; first += 32) {
    const places = at.slice(first, first + 32).flatMap((x) => (x === undefined ? [] : [4 * x]));
    if (places.length > 0) w.conflicts += bankConflicts(places, 4 * width);
    w.reads += places.length;
  }
}
function cellAt(w: Workgroup, name: string, at: number): Cell {
  const cells = w.arrays.get(name)!;
  invariant(Number.isInteger(at) && at >= 0 && at < cells.length, `${name}[${at}] of ${cells.length}`);
  return cells[at]!;
}
export function readShared(w: Workgroup, name: string, at: number, thread: number): number {
  const c = cellAt(w, name, at);
  invariant(c.copier === nobody, `${name}[${at}] is read by thread ${thread} while a copy into it is under way`);
  invariant(c.writer !== nobody, `${name}[${at}] is read by thread ${thread} and was never written`);
  invariant(
    c.writer === thread || c.written < w.epoch,
    `${name}[${at}] is read by thread ${thread}, written by ${c.writer}, and there is no barrier between`,
  );
  c.reader = c.read === w.epoch && c.reader !== thread ? all : thread;
  c.read = w.epoch;
  return c.value;
}
function claim(w: Workgroup, c: Cell, what: string, thread: number): void {
  invariant(c.copier === nobody, `${what} is written by thread ${thread} while a copy into it is under way`);
  invariant(c.written < w.epoch || c.writer === thread, `${what} is written by threads ${c.writer} and ${thread}`);
  invariant(c.read < w.epoch || c.reader === thread, `${what} is written by thread ${thread} while others may read it`);
}
export function writeShared(w: Workgroup, name: string, at: number, thread: number, value: number): void {
  const c = cellAt(w, name, at);
  claim(w, c, `${name}[${at}]`, thread);
  c.value = value;
  c.writer = thread;
  c.written = w.epoch;
}
export function startCopy(w: Workgroup, name: string, at: number, thread: number, values: readonly number[]): void {
  const cells = values.map((_, k) => cellAt(w, name, at + k));
  cells.forEach((c, k) => {
    claim(w, c, `${name}[${at + k}]`, thread);
    c.copier = thread;
  });
  w.open[thread]!.push({ cells, values });
}
export function commit(w: Workgroup, thread: number): void {
  w.groups[thread]!.push(w.open[thread]!);
  w.open[thread] = [];
}
export function wait(w: Workgroup, thread: number, left: number): void {
  const groups = w.groups[thread]!;
  while (groups.length > left)
    for (const { cells, values } of groups.shift()!)
      cells.forEach((c, k) => {
        c.value = values[k]!;
        c.copier = nobody;
        c.writer = thread;
        c.written = w.epoch;
      });
}
