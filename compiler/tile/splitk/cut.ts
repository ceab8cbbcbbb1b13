/**
 * A kernel → two: the first goes through a loop in parts, along a new axis of the grid, and stores what each part comes to
 * (parts.ts); the second makes one of them, in the order of the parts, and does what was done after the loop (whole.ts). What the
 * loop begins with comes in once, in the second.
 *
 *   c(i) = sum d: 4096 x(i, d);  store y [i] = f c
 *       ⟶   c(part, i) = sum d: 512 x(i, part · 512 + d);  store c_parts [part, i] = c        grid part: 8 by 1, i
 *       and  c(i) = sum parts: 8 (load c_parts [parts, i]);   store y [i] = f c                 grid i
 *
 * A fold's carries are merged as reblock.ts has proven: joined by their op, or summed relative to the extreme of all parts. The
 * elements that parts of one length leave over are gone through in the second kernel.
 *
 * Of a running sum the second kernel has the parts too (onward.ts): each goes on from the sum of those before it.
 */
import type { Kernel } from "../ir.ts";
import type { Loop, Parts } from "./loops.ts";
import { onward } from "./onward.ts";
import { type Arrays, inParts } from "./parts.ts";
import type { Piece } from "./reads.ts";
import { together } from "./whole.ts";

export type Cut = { readonly first: Piece; readonly second: Piece; readonly arrays: Arrays };

export function cut(kernel: Kernel, loop: Loop, parts: Parts): Cut {
  const { first, arrays } = inParts(kernel, loop, parts);
  const second = loop.kind === "scans" ? onward(kernel, loop, parts, arrays) : together(kernel, loop, parts, arrays);
  return { first, arrays, second };
}
