/** Memory of a device over time: what every buffer holds, and how much of it is in use. */
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import type { Hold } from "./play.ts";

/** A buffer's band in the picture; `top` and `height` in bytes, the largest at the bottom. */
export type Band = { readonly buffer: number; readonly top: number; readonly height: number };

/** Buffers as the schedule's memory lists them, the largest first. */
export function bands(s: Schedule): readonly Band[] {
  let top = 0;
  return s.memory.parts.map(({ buffer, bytes }) => {
    const band = { buffer, top, height: bytes };
    top += bytes;
    return band;
  });
}

/** Bytes in use from `time` on, until the next point. */
export type Point = { readonly time: number; readonly bytes: number };

/** Bytes of values that will still be read, as a staircase; its highest step is at most the schedule's peak. */
export function inUse(s: Schedule, holds: readonly Hold[]): readonly Point[] {
  const changes = new Map<number, number>();
  const add = (time: number, bytes: number): void => void changes.set(time, (changes.get(time) ?? 0) + bytes);
  for (const { slot, from, to } of holds) {
    add(from, s.buffers[slot]!.bytes);
    add(to, -s.buffers[slot]!.bytes);
  }
  let bytes = 0;
  return [...changes]
    .toSorted(([a], [b]) => a - b)
    .map(([time, change]) => {
      bytes += change;
      return { time, bytes };
    });
}
