/** Operands into shared memory: copied piece by piece as memory has them, computed element by element, or out of registers. */
import { invariant } from "../../base/invariant.ts";
import type { Value } from "../../tile/ir.ts";
import { add, less, lit, mul, op, ref } from "../expr.ts";
import type { Expr, LaneStmt } from "../ir.ts";
import { allExist, type Context, layoutFor, local, nest, nowhere, partOf, push, within } from "./context.ts";
import { wide } from "./dealt.ts";
import { onlyFirst, prepare, sharedArray } from "./registers.ts";
import { elementsOf, placeAt } from "./shared.ts";
import type { Staged } from "./staged.ts";
import { evaluate, offset } from "./value.ts";

/** Rounds of filling a shared array that are unrolled. */
const MOST_UNROLLED = 16;

/** Declares the shared array of a staged value: all of its stages. */
export function openTile(ctx: Context, s: Staged): void {
  const name = sharedArray(ctx, `${s.tile.name}_tile`, s.tile.dtype, elementsOf(s.tile) * s.tile.stages);
  ctx.tiles.set(s.value.id, { tile: { ...s.tile, name }, base: lit(0) });
}
export const tileOf = (ctx: Context, v: Value) => {
  const t = ctx.tiles.get(v.id);
  invariant(t, `a factor of kernel ${ctx.kernel.name} is staged`);
  return t;
};

/** Puts a value into its tile where it is let, for all threads to read. */
export function stage(ctx: Context, s: Staged): void {
  if (s.how === "copy") {
    push(ctx, { kind: "barrier" });
    copyPieces(ctx, s, lit(0));
    push(ctx, { kind: "commit" });
    ctx.pending = true;
    return;
  }
  push(ctx, { kind: "barrier" });
  if (s.how === "fill") fillElements(ctx, s);
  else spill(ctx, s);
  push(ctx, { kind: "barrier" });
}
/** Waits for copies that have been started outside of loops. */
export function arrive(ctx: Context): void {
  if (!ctx.pending) return;
  push(ctx, { kind: "wait", left: 0 }, { kind: "barrier" });
  ctx.pending = false;
}

/** Starts copying a tile into a stage that begins at `base`: each thread some pieces, neighbours to neighbours. */
export function copyPieces(ctx: Context, s: Staged, base: Expr): void {
  const { tile } = tileOf(ctx, s.value);
  const { def } = s.value;
  invariant(def.kind === "load", "what is copied is a load");
  const { piece } = s;
  const perRow = tile.columns.count / piece;
  each(ctx, tile.rows.count, perRow, tile.name, (row, column) => {
    const at = nowhere(
      new Map([
        [tile.rows.axis, row],
        [tile.columns.axis, mul(column, lit(piece))],
      ]),
    );
    const valid = allExist(
      ctx,
      at,
      wide(ctx.dealt, s.value.axes).filter((a) => at.own.has(a.id)),
    );
    push(ctx, {
      kind: "copy",
      shared: tile.name,
      at: add(base, placeAt(tile, row, mul(column, lit(piece)))),
      buffer: def.buffer,
      from: offset(ctx, s.value, at),
      count: piece,
      ...(valid ? { valid } : {}),
    });
  });
}
function fillElements(ctx: Context, s: Staged): void {
  const { tile } = tileOf(ctx, s.value);
  each(ctx, tile.rows.count, tile.columns.count, tile.name, (row, column) => {
    const at = nowhere(
      new Map([
        [tile.rows.axis, row],
        [tile.columns.axis, column],
      ]),
    );
    const valid = allExist(ctx, at, [partOf(ctx, tile.rows.axis).axis, partOf(ctx, tile.columns.axis).axis]);
    const value = evaluate(ctx, s.value, at);
    const kept = valid ? op("select", [valid, value, lit(0, "f32")], "f32") : value;
    push(ctx, { kind: "setElem", array: tile.name, index: placeAt(tile, row, column), value: kept });
  });
}
function spill(ctx: Context, s: Staged): void {
  const { tile } = tileOf(ctx, s.value);
  const layout = layoutFor(ctx, s.value);
  const [rows, columns] = [partOf(ctx, tile.rows.axis).axis, partOf(ctx, tile.columns.axis).axis];
  prepare(ctx, s.value, layout);
  onlyFirst(ctx, layout, () =>
    nest(ctx, layout, (at) => {
      const valid = allExist(
        ctx,
        at,
        [rows, columns].filter((a) => s.value.axes.some((x) => x.id === a.id)),
      );
      const value = evaluate(ctx, s.value, at);
      const kept = valid ? op("select", [valid, value, lit(0, "f32")], "f32") : value;
      const index = placeAt(tile, local(ctx, at, rows), local(ctx, at, columns));
      push(ctx, { kind: "setElem", array: tile.name, index, value: kept });
    }),
  );
}

/** All of a grid of rows and columns, dealt to the threads one after another. */
function each(
  ctx: Context,
  rows: number,
  columns: number,
  hint: string,
  write: (row: Expr, column: Expr) => void,
): void {
  const threads = ctx.plan.warps * 32;
  const total = rows * columns;
  const name = ctx.fresh(`${hint}_round`);
  const rounds = Math.ceil(total / threads);
  const body: readonly LaneStmt[] = within(ctx, () => {
    const inner = (row: Expr, column: Expr): void => {
      if (total % threads === 0) write(row, column);
      else
        push(ctx, {
          kind: "if",
          cond: less(add(mul(ref(name), lit(threads)), ref("lane")), lit(total)),
          then: within(ctx, () => write(row, column)),
          else: [],
        });
    };
    // Where threads fill whole rows, a thread stays in its column.
    if (threads % columns === 0)
      inner(
        add(mul(ref(name), lit(threads / columns)), op("div", [ref("lane"), lit(columns)], "i32")),
        op("mod", [ref("lane"), lit(columns)], "i32"),
      );
    else {
      const place = add(mul(ref(name), lit(threads)), ref("lane"));
      inner(op("div", [place, lit(columns)], "i32"), op("mod", [place, lit(columns)], "i32"));
    }
  });
  // Unrolled, all loads are under way at once; of many, registers would hold too few, and they spill.
  const unroll = rounds <= MOST_UNROLLED ? ({ unroll: true } as const) : {};
  push(ctx, { kind: "for", name, from: lit(0), below: lit(rounds), step: 1, ...unroll, body });
}
