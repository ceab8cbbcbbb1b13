/** The buffers while they are given out: which array is in which one, and from when to when each is in use. */
import { invariant } from "../base/invariant.ts";
import type { Buffer, Value } from "./schedule.ts";
import type { Range, Wanted } from "./share.ts";

type Held = Omit<Wanted, "inUse" | "exact" | "holds"> & {
  exact: boolean;
  readonly inUse: { from: number; to: number }[];
  readonly holds: number[];
};

export type Shelf = {
  /** Counts the steps as they are written. */
  clock: number;
  readonly buffers: Held[];
  /** For each array, the buffer that it is in. */
  readonly places: Map<number, number>;
  /** Buffers whose contents must stay: inputs, and carries that stand for another buffer in the first step. */
  readonly fixed: Set<number>;
};
export const emptyShelf = (): Shelf => ({ clock: 0, buffers: [], places: new Map(), fixed: new Set() });

/** A buffer that nobody had, in use from now on. */
export function newBuffer(shelf: Shelf, bytes: number, role: Buffer["role"]): number {
  const inUse = [{ from: shelf.clock, to: Number.POSITIVE_INFINITY }];
  return shelf.buffers.push({ bytes, role, exact: false, inUse, holds: [] }) - 1;
}

const isFree = (shelf: Shelf, buffer: number): boolean =>
  shelf.buffers[buffer]!.inUse.at(-1)!.to < Number.POSITIVE_INFINITY;
export function take(shelf: Shelf, buffer: number): void {
  if (isFree(shelf, buffer)) shelf.buffers[buffer]!.inUse.push({ from: shelf.clock, to: Number.POSITIVE_INFINITY });
}
export function release(shelf: Shelf, buffer: number): void {
  if (!isFree(shelf, buffer)) shelf.buffers[buffer]!.inUse.at(-1)!.to = shelf.clock;
}
/** It exchanges names with others all the while: only what is as large, and needed at no step of it, may be one with it. */
export function keepExact(shelf: Shelf, buffer: number, during: Range): void {
  shelf.buffers[buffer]!.exact = true;
  shelf.buffers[buffer]!.inUse.unshift({ ...during });
}

/** The array is in that buffer from now on. */
export function put(shelf: Shelf, array: number, value: Value, buffer: number): void {
  shelf.places.set(array, buffer);
  shelf.buffers[buffer]!.holds.push(value.id);
}
/** The buffer that an array is in. */
export function placeOf(shelf: Shelf, array: number): number {
  const buffer = shelf.places.get(array);
  invariant(buffer !== undefined, `array ${array} is read and has no buffer`);
  return buffer;
}
/** Gives an array the first of some buffers that is free, or a new one. */
export function place(shelf: Shelf, array: number, value: Value, among: readonly number[] = []): void {
  const found = among.find((b) => isFree(shelf, b) && shelf.buffers[b]!.bytes === value.bytes);
  if (found !== undefined) take(shelf, found);
  put(shelf, array, value, found ?? newBuffer(shelf, value.bytes, "temp"));
}
