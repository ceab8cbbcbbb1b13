/** What the warps of a launch ask of memory, counted: sectors of 64 bytes that each load or store touches, in whatever order. */
import { bytesEach } from "../../compiler/core/dtype.ts";
import type { DType } from "../../compiler/core/ir.ts";

const SECTOR = 64;
const WARP = 32;

export type Traffic = { sectors: number };
/** Bytes of the sectors that were touched. */
export const bytesMoved = (t: Traffic): number => t.sectors * SECTOR;

/** Counts one load or store: of each thread that takes part, the first of `width` elements. */
export function countSectors(t: Traffic, first: readonly (number | undefined)[], width: number, dtype: DType): void {
  for (let from = 0; from < first.length; from += WARP) {
    const touched = new Set<number>();
    for (const at of first.slice(from, from + WARP))
      for (let k = 0; at !== undefined && k < width; k++)
        touched.add(Math.floor(((at + k) * bytesEach(dtype)) / SECTOR));
    t.sectors += touched.size;
  }
}
