/** Operands into shared memory: copied piece by piece as memory has them, computed element by element, or out of registers. */
import { invariant } from "../../base/invariant.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { add, less, lit, mul, op, ref, unrounded, vec } from "../expr.ts";
import type { Expr, LaneStmt } from "../ir.ts";
import {
  type At,
  allExist,
  type Context,
  layoutFor,
  local,
  nest,
  nowhere,
  partOf,
  push,
  type Tile,
  within,
} from "./context.ts";
import { wide } from "./dealt.ts";
import { onlyFirst, prepare, sharedArray } from "./registers.ts";
import { elementsOf, placeAt } from "./shared.ts";
import type { Staged } from "./staged.ts";
import { evaluate, offset } from "./value.ts";

/** Rounds of filling a shared array that are unrolled. */
const MOST_UNROLLED = 16;

/** Declares the shared array of a staged value: all of its stages. */
export function openTile(ctx: Context, s: Staged): void {
  const { dtype, width, stages } = s.tile;
  const name = sharedArray(ctx, `${s.tile.name}_tile`, dtype, elementsOf(s.tile) * stages, width);
  ctx.tiles.set(s.value.id, { tile: { ...s.tile, name }, base: lit(0) });
}
export const tileOf = (ctx: Context, v: Value): Tile => {
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
  const { width } = tile;
  const axes = [tile.rows.axis, tile.columns.axis].map((a) => partOf(ctx, a).axis);
  each(ctx, tile.rows.count, tile.columns.count / width, tile.name, (row, group) => {
    const first = mul(group, lit(width));
    const values = Array.from({ length: width }, (_, k) => {
      const at = nowhere(
        new Map([
          [tile.rows.axis, row],
          [tile.columns.axis, add(first, lit(k))],
        ]),
      );
      return existing(ctx, s.value, at, axes);
    });
    push(ctx, {
      kind: "setElem",
      array: tile.name,
      index: placeAt(tile, row, first),
      value: unrounded(vec(values), tile.dtype),
    });
  });
}
function spill(ctx: Context, s: Staged): void {
  const { tile } = tileOf(ctx, s.value);
  const layout = layoutFor(ctx, s.value);
  const [rows, columns] = [partOf(ctx, tile.rows.axis).axis, partOf(ctx, tile.columns.axis).axis];
  const axes = [rows, columns].filter((a) => s.value.axes.some((x) => x.id === a.id));
  const { width } = tile;
  prepare(ctx, s.value, layout);
  onlyFirst(ctx, layout, () =>
    nest(
      ctx,
      layout,
      (inner) => {
        const all = Array.from({ length: width }, (_, k): At => {
          if (width === 1) return inner;
          return { ...inner, digits: [lit(k), ...inner.digits.slice(1)], memo: new Map() };
        });
        const index = placeAt(tile, local(ctx, all[0]!, rows), local(ctx, all[0]!, columns));
        const value = vec(all.map((at) => existing(ctx, s.value, at, axes)));
        push(ctx, { kind: "setElem", array: tile.name, index, value });
      },
      width === 4 ? 1 : 0,
    ),
  );
}
/** An element; 0 where it does not exist. */
function existing(ctx: Context, v: Value, at: At, axes: readonly Axis[]): Expr {
  const valid = allExist(ctx, at, axes);
  const value = evaluate(ctx, v, at);
  return valid ? op("select", [valid, value, lit(0, "f32")], "f32") : value;
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
