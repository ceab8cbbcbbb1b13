/**
 * Products on the tensor cores: k in steps of 16, the right factor read from shared memory 16 columns at a time, each
 * piece used for all rows that a warp holds; the left factor from registers, packed, or from shared memory too.
 */
import type { Half } from "../../core/half.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { add, lit, mul, op, ref, unrounded } from "../expr.ts";
import type { Expr, LaneStmt } from "../ir.ts";
import {
  type At,
  bind,
  type Context,
  declare,
  exists,
  type Held,
  hintOf,
  layoutFor,
  local,
  nest,
  numbered,
  partOf,
  push,
  readHeld,
  threadPart,
  within,
  writeHeld,
} from "./context.ts";
import { leftLayout } from "./dealt.ts";
import { type Layout, project, sizeOf } from "./layout.ts";
import { multiplyBlocks } from "./multiplyBlocks.ts";
import type { Product } from "./operands.ts";
import { prepare } from "./registers.ts";
import { mod, pieceAt, placeAt, xor } from "./shared.ts";
import { arrive, tileOf } from "./stage.ts";
import { evaluate } from "./value.ts";

/** Adds a product to registers that hold what it is added to. */
export function multiply(ctx: Context, p: Product, into: Held): void {
  if (ctx.plan.pattern === "blocks") multiplyBlocks(ctx, p, into);
  else if (p.dtype === "f32") multiplyAdd(ctx, p, into);
  else multiplyMatrices(ctx, p, p.dtype, into);
}

/** In f32: for each k, a thread's rows of the left factor times its columns of the right one. */
function multiplyAdd(ctx: Context, p: Product, into: Held): void {
  arrive(ctx);
  const four = ctx.fresh(`${p.k.name}4`);
  const one = ctx.fresh(`${p.k.name}1`);
  const body = within(ctx, () => {
    const factor = (v: Value, axis: Axis): Held => {
      const { tile, base } = tileOf(ctx, v);
      const held = declare(ctx, hintOf(v), "f32", project(into.layout, [axis.id]));
      nest(ctx, held.layout, (at) => {
        const [side, k] = [local(ctx, at, axis), add(ref(four), ref(one))];
        const place =
          tile.columns.axis === axis.id
            ? placeAt(tile, k, side)
            : add(pieceAt(tile, side, op("div", [ref(four), lit(4)], "i32")), ref(one));
        writeHeld(ctx, held, at, { kind: "elem", array: tile.name, index: add(base, place), type: "f32", width: 1 });
      });
      return held;
    };
    const [left, right] = [factor(p.a, p.m), factor(p.b, p.n)];
    nest(ctx, into.layout, (at) => {
      const term = op("mul", [readHeld(left, at), readHeld(right, at)], "f32");
      writeHeld(ctx, into, at, op("add", [readHeld(into, at), term], "f32"));
    });
  });
  const fours: LaneStmt = {
    kind: "for",
    name: four,
    from: lit(0),
    below: lit(partOf(ctx, p.k).cover),
    step: 4,
    body: [unrolled(one, 4, body)],
  };
  push(ctx, fours);
}

function multiplyMatrices(ctx: Context, p: Product, dtype: Half, into: Held): void {
  const [m, n, k] = [p.m, p.n, p.k].map((a) => partOf(ctx, a));
  const layout = into.layout;
  const steps = k!.cover / 16;
  const tiles = layout.registers.find((d) => d.axis === n!.axis.id && d.stride === 8)?.count ?? 1;
  const repeats = sizeOf(layout.registers.filter((d) => d.axis === m!.axis.id && d.stride > 8));
  const packed = p.left.kind === "registers" ? pack(ctx, p, dtype) : undefined;
  arrive(ctx);
  const step = ctx.fresh(`${k!.axis.name}16`);
  const pair = ctx.fresh(`${n!.axis.name}16`);
  const warpOf = (axis: number): Expr => threadPart(ctx, layout, axis, 32);
  const leftRows = packed ? undefined : rowsOf(ctx, p.left.value, m!.axis.id, warpOf(m!.axis.id), "left");
  const rightRows = rowsOf(ctx, p.right.value, n!.axis.id, warpOf(n!.axis.id), "right");
  const inK = mul(ref(step), lit(16));
  const body = within(ctx, () => {
    const left = packed?.name ?? ctx.fresh("left");
    if (leftRows) {
      push(ctx, { kind: "array", name: left, type: "pair", width: 1, size: 4 * repeats });
      for (let r = 0; r < repeats; r++)
        push(ctx, {
          kind: "matrices",
          to: left,
          at: lit(4 * r),
          shared: leftRows.shared,
          from: leftRows.at(lit(r * strideOf(layout, m!.axis.id)), inK),
          transposed: leftRows.transposed,
        });
    }
    const right = ctx.fresh("right");
    push(ctx, { kind: "array", name: right, type: "pair", width: 1, size: 4 });
    const columns = within(ctx, () => {
      push(ctx, {
        kind: "matrices",
        to: right,
        at: lit(0),
        shared: rightRows.shared,
        from: rightRows.at(mul(ref(pair), lit(16)), inK),
        transposed: rightRows.transposed,
      });
      for (let r = 0; r < repeats; r++)
        for (const half of [0, 1])
          push(ctx, {
            kind: "mma",
            dtype,
            to: into.name,
            at: add(mul(ref(pair), lit(8)), lit(4 * (r * tiles + half))),
            a: left,
            aAt: packed ? add(mul(ref(step), lit(4)), lit(4 * r * steps)) : lit(4 * r),
            b: right,
            bAt: lit(2 * half),
          });
    });
    push(ctx, unrolled(pair, tiles / 2, columns));
  });
  push(ctx, unrolled(step, steps, body));
}
export const unrolled = (name: string, below: number, body: readonly LaneStmt[]): LaneStmt => ({
  kind: "for",
  name,
  from: lit(0),
  below: lit(below),
  step: 1,
  unroll: true,
  body,
});
/** How far apart the sixteens of a warp are. */
const strideOf = (l: Layout, axis: number): number =>
  l.registers.find((d) => d.axis === axis && d.stride > 8)?.stride ?? 0;

/** Registers for a left factor in pairs. */
export function openPairs(ctx: Context, p: Product): Held {
  const whole = leftLayout(ctx.dealt, p.m, p.k);
  const pairs: Layout = { ...whole, registers: whole.registers.slice(1) };
  return declare(ctx, `${hintOf(p.left.value)}_pairs`, "pair", pairs);
}
/** The left factor's elements in pairs: where it lies is how it is wanted. What does not exist is 0. */
export function pack(ctx: Context, p: Product, dtype: Half, into?: Held): Held {
  const v = p.left.value;
  prepare(ctx, v, layoutFor(ctx, v));
  const whole = leftLayout(ctx.dealt, p.m, p.k);
  const held = into ?? openPairs(ctx, p);
  nest(
    ctx,
    whole,
    (at) => {
      const half = (bit: number): Expr => {
        const here: At = { ...at, digits: [lit(bit), ...at.digits.slice(1)], memo: new Map() };
        const value = unrounded(evaluate(ctx, v, here), dtype);
        const there = exists(ctx, here, p.k);
        return there ? op("select", [there, value, lit(0, "f32")], "f32") : value;
      };
      writeHeld(ctx, held, at, { kind: "pack", low: half(0), high: half(1), dtype, type: "pair", width: 1 });
    },
    1,
  );
  return held;
}

/** The first of a thread's rows in a tile's 16 x 16 pieces, and how the others lie from it. */
type Rows = { readonly at: (side: Expr, k: Expr) => Expr; readonly shared: string; readonly transposed: boolean };

/**
 * Where a thread's row of each 16 x 16 piece of a factor is; the pieces that its warp begins with are `warp` along the
 * product's side. The four 8 x 8 matrices come in the order that the factor's registers want: a left one side first, a
 * right one k first. They are read as they lie where k is along the tile's columns, and turned round where it is along
 * its rows.
 */
function rowsOf(ctx: Context, v: Value, sideAxis: number, warp: Expr, which: "left" | "right"): Rows {
  const { tile, base } = tileOf(ctx, v);
  const transposed = tile.columns.axis === sideAxis;
  const eighth = (n: number): Expr => op("mod", [op("div", [ref("lane"), lit(n)], "i32"), lit(2)], "i32");
  // The second matrix is 8 further along the side of a left factor, and along k of a right one; the third the other way.
  const [alongSide, alongK] = which === "left" ? [eighth(8), eighth(16)] : [eighth(16), eighth(8)];
  const [rowEight, piece] = transposed ? [alongK, alongSide] : [alongSide, alongK];
  const own = add(op("mod", [ref("lane"), lit(8)], "i32"), mul(rowEight, lit(8)));
  const [row, firstPiece] = transposed ? [own, add(pieces(warp), piece)] : [add(warp, own), piece];
  const first = bind(
    ctx,
    `${tile.name}_at`,
    add(base, numbered(ctx, `${tile.name}_own`, pieceAt(tile, row, firstPiece))),
  );
  const perRow = tile.columns.count / 8;
  const { of } = tile.swizzle;
  // Rows in steps of 16 leave the exchange as it is, and so do pieces in steps of all that it changes; others are exchanged too.
  const whole = (perRow & (perRow - 1)) === 0;
  const at = (side: Expr, k: Expr): Expr => {
    const [down, along] = transposed ? [k, side] : [side, k];
    const c = pieces(along);
    const exchanged = whole ? c : mod(c, of);
    const moved = add(xor(first, mul(exchanged, lit(8))), mul(down, lit(tile.columns.count)));
    return whole ? moved : add(moved, mul(op("div", [c, lit(of)], "i32"), lit(8 * of)));
  };
  return { at, shared: tile.name, transposed };
}
/** How many eights. */
function pieces(e: Expr): Expr {
  if (e.kind === "lit") return lit(e.value / 8);
  if (e.kind === "op" && e.op === "mul" && e.args[1]!.kind === "lit") return mul(e.args[0]!, lit(e.args[1]!.value / 8));
  if (e.kind === "op" && e.op === "add") return add(pieces(e.args[0]!), pieces(e.args[1]!));
  return op("div", [e, lit(8)], "i32");
}
