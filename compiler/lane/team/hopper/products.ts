/** Products of warpgroups: 64 rows of the left factor for each, all columns, k in steps of 16. */
import { bytesEach } from "../../../core/dtype.ts";
import type { Value } from "../../../tile/ir.ts";
import { add, lit, mul, op, ref } from "../../expr.ts";
import type { Expr, SharedMatrix } from "../../ir.ts";
import { type Context, type Held, partOf, push, within } from "../context.ts";
import type { Product } from "../operands.ts";
import { unrolled } from "../product.ts";
import { tileOf } from "../stage.ts";
import { WARPGROUP } from "./plan.ts";
import { boxElements, boxesOf } from "./tensors.ts";

/**
 * Starts a product into registers. `packed`: a left factor in registers. `add`: whether it is added to what they hold.
 * Its tiles are those at hand.
 */
export function start(ctx: Context, p: Product, into: Held, add: boolean, packed?: Held): void {
  if (p.dtype === "f32") return;
  const { dtype } = p;
  const [n, k] = [partOf(ctx, p.n).cover, partOf(ctx, p.k).cover];
  const rows = into.layout.threads.find((t) => t.axis === p.m.id && t.stride === 16)!.count * 16;
  const repeats = partOf(ctx, p.m).cover / rows;
  const step = ctx.fresh(`${p.k.name}16`);
  const own: Expr = rows > WARPGROUP / 2 ? mul(ref("warpgroup"), lit(64)) : lit(0);
  const body = within(ctx, () => {
    for (let r = 0; r < repeats; r++)
      push(ctx, {
        kind: "wgmma",
        dtype,
        columns: n,
        to: into.name,
        at: lit((r * n) / 2),
        a: packed
          ? { name: packed.name, at: addTo(mul(ref(step), lit(4)), (r * k) / 4) }
          : matrixOf(ctx, p.left.value, p.m.id, addTo(own, r * rows), step),
        b: matrixOf(ctx, p.right.value, p.n.id, lit(0), step),
        add: add ? lit(1, "bool") : op("gt", [ref(step), lit(0)], "bool"),
      });
  });
  push(ctx, unrolled(step, k / 16, body));
}
const addTo = (e: Expr, more: number): Expr =>
  more === 0 ? e : e.kind === "lit" ? lit(e.value + more) : add(e, lit(more));

/** A factor's part from element `first` of its side on, and of k from 16 · `step` on. */
function matrixOf(ctx: Context, v: Value, side: number, first: Expr, step: string): SharedMatrix {
  const { tile, base } = tileOf(ctx, v);
  const { columns, span } = boxesOf(tile);
  const box = boxElements(tile);
  const piece = 16 / bytesEach(tile.dtype);
  const turned = tile.columns.axis === side;
  const common = { shared: tile.name, span, stride: 8 * span, turned };
  if (turned) {
    // k down the rows; the side in boxes.
    const at = first.kind === "lit" && first.value === 0 ? base : add(base, sideInBoxes(first, columns, box));
    return { ...common, at, step: mul(ref(step), lit((16 * columns) / piece)), leading: box * bytesEach(tile.dtype) };
  }
  // k along the rows: 16 of them, and where a box ends, in the next.
  const perBox = columns / 16;
  const within = perBox === 1 ? lit(0) : mul(op("mod", [ref(step), lit(perBox)], "i32"), lit(16 / piece));
  const beyond = mul(perBox === 1 ? ref(step) : op("div", [ref(step), lit(perBox)], "i32"), lit(box / piece));
  const at = first.kind === "lit" && first.value === 0 ? base : add(base, mul(first, lit(columns)));
  return { ...common, at, step: tile.columns.count === columns ? within : add(beyond, within), leading: 16 };
}
/** `first` is a multiple of 64, and so of a box's columns. */
const sideInBoxes = (first: Expr, columns: number, box: number): Expr => mul(first, lit(box / columns));
