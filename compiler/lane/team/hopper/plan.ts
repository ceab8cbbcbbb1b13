/** What warpgroups can compute: asked of each part of a plan, which otherwise is one for mma.sync. */
import { bytesEach } from "../../../core/dtype.ts";
import type { Kernel } from "../../../tile/ir.ts";
import { foldsOf } from "../../map.ts";
import { type Dealt, layoutOf } from "../dealt.ts";
import { isLoaded, type Product } from "../operands.ts";
import { depths } from "../roles.ts";
import { give } from "../rule.ts";
import { elementsOf } from "../shared.ts";
import type { Staged } from "../staged.ts";
import { mapOf } from "./tensors.ts";

/** Threads of a warpgroup, and the rows and the most columns of its products. */
export const WARPGROUP = 128;
const ROWS = 64;
const MOST_COLUMNS = 256;
/** Bytes at whose multiples in shared memory a box begins. */
const BOX_ALIGNED = 128;

/** Registers of a thread that fetches and of one that computes, by how many warpgroups compute; and such blocks on a processor. */
export const shares: Readonly<
  Record<number, { readonly fetching: number; readonly computing: number; readonly resident: number }>
> = {
  1: { fetching: 24, computing: 232, resident: 2 },
  2: { fetching: 24, computing: 240, resident: 1 },
};

/** Whether a strip's elements lie side by side, and each of its stages begins where a box may. */
const isBox = (s: Staged): boolean => s.piece > 1 && (elementsOf(s.tile) * bytesEach(s.tile.dtype)) % BOX_ALIGNED === 0;

/**
 * The tiles that the copy engine fetches. Strips that are no boxes are left to the threads that need
 * them, which load them into registers. Gives up where a part has no rule for warpgroups.
 */
export function fetchedTiles(
  kernel: Kernel,
  d: Dealt,
  products: ReadonlyMap<number, Product>,
  all: ReadonlyMap<number, Staged>,
): ReadonlyMap<number, Staged> {
  for (const p of products.values()) {
    const name = p.sum.name ?? "a product";
    if (p.dtype === "f32") give(`${name} multiplies f32`);
    const rows = layoutOf(d, [p.m, p.n]).threads.find((t) => t.axis === p.m.id && t.stride === 16)?.count ?? 1;
    if (rows % (ROWS / 16) !== 0) give(`${name} has fewer than ${ROWS} rows of ${p.m.name}`);
    if (d.parts.get(p.n.id)!.cover > MOST_COLUMNS) give(`${name} has more than ${MOST_COLUMNS} columns of ${p.n.name}`);
  }
  const staged = new Map([...all].filter(([, s]) => s.tile.rows.count > 1 || isBox(s)));
  const around = depths(kernel);
  for (const s of staged.values()) {
    mapOf(kernel, d, s);
    if (around.get(s.value.id)?.at(-1)?.over.kind === "steps")
      give(`${s.value.name ?? "a factor"} is loaded in each step`);
  }
  for (const f of foldsOf(kernel.body))
    if (f.bounds?.run && !isLoaded(f.bounds.run)) give("which blocks do something is computed from what they did");
  return staged;
}
