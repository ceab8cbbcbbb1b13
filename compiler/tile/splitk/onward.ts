/**
 * The second of two kernels where the first summed the parts of an axis along which there are running sums: it has the parts
 * along a new axis of its grid as well, and each goes on from the sum of those before it.
 *
 *   y(d) = scan sum d: 4096 x(d)   ⟶   y(part, d) = (sum q: 8 of those before part (load x_parts [q])) + scan sum d: 512 x(part · 512 + d)
 */
import { compare, map, select } from "../arithmetic.ts";
import { constant, named, newAxis, pos, reduce, scan } from "../build.ts";
import { axisIn, copyValue } from "../copy.ts";
import type { Kernel } from "../ir.ts";
import type { Parts, ScanLoop } from "./loops.ts";
import { type Arrays, partCopy, pieceAxis, readParts } from "./parts.ts";
import { type Piece, pieceOf, readsOf } from "./reads.ts";

export function onward(kernel: Kernel, loop: ScanLoop, parts: Parts, arrays: Arrays): Piece {
  const reads = readsOf(kernel);
  const { b } = reads;
  const stored = kernel.stores.flatMap((s) => [...s.index, s.value]);
  const { c, numbers, viewed } = partCopy(reads, loop, parts, stored);
  const grid = [...numbers, ...kernel.grid.map((a) => axisIn(c, a))];
  const [{ parts: count, piece }] = parts as [Parts[number]];
  const before = newAxis(b, { name: "before", role: "inner", extent: count, block: count });
  const isBefore = compare(b, "lt", pos(b, before), pos(b, numbers[0]!));
  loop.sums.forEach(({ root, arg, axes }, k) => {
    const sums = readParts(c, reads, loop, before, arrays, k);
    const from = reduce(b, "sum", before, select(b, isBefore, sums, constant(b, 0, root.dtype)));
    const own = scan(b, pieceAxis(c, axes[0]!, piece), copyValue(c, arg));
    c.values.set(root.id, named(map(b, "add", [from, own], root.dtype), root.name, root.span));
  });
  const outputs = kernel.stores.map((s) => ({ ...kernel.buffers[s.buffer]!, shape: viewed.shape(s.buffer) }));
  const stores = kernel.stores.map((s) => ({
    index: viewed.index(s.buffer, s.index, (v) => copyValue(c, v)),
    value: copyValue(c, s.value),
  }));
  const made = kernel.stores.map((s) => ({ kind: "buffer", index: s.buffer }) as const);
  return pieceOf(reads, kernel.name, grid, stores, outputs, made);
}
