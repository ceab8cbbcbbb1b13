/**
 * Tiles as the copy engine (TMA) writes them and wgmma reads them: boxes of up to 128 bytes a row, one after another, the
 * pieces of 16 bytes of each row exchanged by the row's number. A tile of 32 rows of 128 elements of 16 bits is two boxes:
 *
 *   element (r, c)  =  (c / 64) · 32 · 64  +  r · 64  +  (c mod 64), its piece exchanged
 */
import { bytesEach } from "../../../core/dtype.ts";
import type { Kernel } from "../../../tile/ir.ts";
import type { TensorMap } from "../../ir.ts";
import { type Dealt, wide } from "../dealt.ts";
import { give } from "../rule.ts";
import { elementsOf, type SharedTile } from "../shared.ts";
import type { Staged } from "../staged.ts";

/** The most dimensions of an array, and elements of a box along one, that a tensor map has. */
const MOST_DIMENSIONS = 5;
const MOST_ELEMENTS = 256;

/** How a tile lies: `columns` elements of a row side by side, and so on with the next columns after all rows. */
export type Boxes = { readonly columns: number; readonly count: number; readonly span: TensorMap["span"] };

export function boxesOf(tile: SharedTile): Boxes {
  const { count } = tile.columns;
  // A strip of f32 is read element by element: as it is in memory.
  if (bytesEach(tile.dtype) === 4) return { columns: count, count: 1, span: 0 };
  const columns = [64, 32, 16].find((n) => count % n === 0)!;
  return { columns, count: count / columns, span: (2 * columns) as TensorMap["span"] };
}
/** Elements of one of a tile's boxes. */
export const boxElements = (tile: SharedTile): number => elementsOf(tile) / boxesOf(tile).count;

/** The map that a tile's boxes are copied by. Gives up where memory does not have them as boxes. */
export function mapOf(kernel: Kernel, d: Dealt, s: Staged): Omit<TensorMap, "name"> {
  const { value, tile } = s;
  const { def } = value;
  const what = value.name ?? "a factor";
  if (s.how !== "copy" || def.kind !== "load") return give(`${what} is not in memory as its product wants it`);
  const { shape, name } = kernel.buffers[def.buffer]!;
  if (shape.length < 2 || shape.length > MOST_DIMENSIONS)
    give(`${name} has ${shape.length} dimensions, and boxes are copied of 2 to ${MOST_DIMENSIONS}`);
  const boxes = boxesOf(tile);
  const box = def.index.map((i, k) => {
    const axes = wide(d, i.axes);
    const axis = axes[0];
    if (!axis) return 1;
    if (axes.length > 1 || i.def.kind !== "pos") give(`${what} is not read at the positions of its axes`);
    const part = d.parts.get(axis.id)!;
    // What does not exist must be outside of the array too, where the copy engine gives zeros.
    const whole = part.block === part.cover || axis.extent <= part.block;
    if (!whole || (axis.extent % part.block !== 0 && axis.extent !== shape[k]))
      give(`blocks of ${axis.name} end inside of ${name}`);
    if (axis.extent < part.cover && axis.extent !== shape[k]) give(`${axis.name} ends inside of ${name}`);
    const count = axis.id === tile.columns.axis ? boxes.columns : tile.rows.count;
    if (count > MOST_ELEMENTS) give(`${count} elements of ${axis.name} are too many for a box`);
    return count;
  });
  if ((shape.at(-1)! * bytesEach(tile.dtype)) % 16 !== 0) give(`rows of ${name} are no multiple of 16 bytes`);
  if (box.reduce((n, c) => n * c, 1) !== boxElements(tile)) give(`${what} is read at one place of its axes only`);
  return { buffer: def.buffer, box, span: boxes.span };
}
