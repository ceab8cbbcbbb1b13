/**
 * Tiles in shared memory: rows of elements that lie side by side, in pieces of 16 bytes. A row's pieces change places with
 * the row's number, so that neither reading eight rows of one column of pieces (`matrices`) nor writing rows meets the
 * same bank twice. Which exchange does that is not tabled: conflicts are counted, and the first exchange without any taken.
 *
 *   piece c of row r lies at   r · pieces + (c xor ((r / every) mod of))
 */
import { bytesEach } from "../../core/dtype.ts";
import type { DType } from "../../core/ir.ts";
import { add, lit, mul, op } from "../expr.ts";
import type { Expr, LaneProgram } from "../ir.ts";

export type Swizzle = { readonly every: number; readonly of: number };
/** `columns` is the axis whose elements lie side by side. */
export type SharedTile = {
  readonly name: string;
  readonly dtype: DType;
  readonly rows: { readonly axis: number; readonly count: number };
  readonly columns: { readonly axis: number; readonly count: number };
  readonly swizzle: Swizzle;
  /** Elements of a piece. */
  readonly piece: number;
  /** 4: read and written four elements at a time, and no other way. */
  readonly width: 1 | 4;
  /** How many blocks' tiles there are beside each other. */
  readonly stages: number;
};

/** Elements in a piece of 16 bytes. */
export const pieceOf = (d: DType): number => 16 / bytesEach(d);
export const elementsOf = (t: SharedTile): number => t.rows.count * t.columns.count;

/** Bytes of shared memory that a program takes. */
export const sharedBytesOf = ({ body, seated }: Pick<LaneProgram, "body" | "seated">): number =>
  body.reduce((n, s) => (s.kind === "shared" ? n + s.size * bytesEach(s.dtype) : n), seated ? 4 : 0);

/**
 * How often a bank is asked again: the threads of a warp access `bytes` each at byte addresses `at`, in turns of as many
 * threads as 128 bytes serve; of the 32 banks of 4 bytes each gives one word in a cycle. 0: no conflict.
 */
export function bankConflicts(at: readonly number[], bytes: number): number {
  const turn = 128 / Math.max(4, bytes);
  let conflicts = 0;
  for (let first = 0; first < at.length; first += turn) {
    const words = new Map<number, Set<number>>();
    for (const a of at.slice(first, first + turn))
      for (let w = Math.floor(a / 4); w < (a + bytes) / 4; w++)
        words.set(w % 32, (words.get(w % 32) ?? new Set()).add(w));
    conflicts += Math.max(...[...words.values()].map((s) => s.size)) - 1;
  }
  return conflicts;
}

const exchanges: readonly Swizzle[] = [
  { every: 1, of: 1 },
  ...[8, 4, 2].flatMap((of) => [1, 2, 4, 8].map((every) => ({ every, of }))),
];
/**
 * The exchange for rows of so many pieces: the first with which eight rows of a column of pieces, `apart` from each other,
 * meet no bank twice, or least often.
 */
export function swizzleFor(pieces: number, apart = 1): Swizzle {
  const conflicts = (s: Swizzle): number => {
    const rows = Array.from({ length: 8 }, (_, r) => 16 * (apart * r * pieces + exchange(s, apart * r)));
    return bankConflicts(rows, 16);
  };
  let best = { swizzle: exchanges[0]!, conflicts: Number.POSITIVE_INFINITY };
  for (const swizzle of exchanges) {
    if (best.conflicts === 0) break;
    if (pieces % swizzle.of !== 0) continue;
    const found = conflicts(swizzle);
    if (found < best.conflicts) best = { swizzle, conflicts: found };
  }
  return best.swizzle;
}

const exchange = (s: Swizzle, row: number): number => Math.floor(row / s.every) % s.of;
/** What the numbers of a row's pieces are exchanged by. */
export const exchangeAt = (t: SharedTile, row: number): number => exchange(t.swizzle, row);
/** Where an element is, as a number. */
export function placeOf(t: SharedTile, row: number, column: number): number {
  const { piece } = t;
  const moved = Math.floor(column / piece) ^ exchangeAt(t, row);
  return row * t.columns.count + moved * piece + (column % piece);
}

const isMultiple = (e: Expr, of: number): boolean =>
  e.kind === "op" && e.op === "mul" && e.args[1]!.kind === "lit" && e.args[1]!.value === of;
const div = (e: Expr, by: number): Expr =>
  by === 1
    ? e
    : e.kind === "op" && isMultiple(e, by)
      ? e.args[0]!
      : e.kind === "lit"
        ? lit(Math.floor(e.value / by))
        : op("div", [e, lit(by)], "i32");
export const mod = (e: Expr, by: number): Expr =>
  by === 1 || isMultiple(e, by) ? lit(0) : e.kind === "lit" ? lit(e.value % by) : op("mod", [e, lit(by)], "i32");
export const xor = (a: Expr, b: Expr): Expr =>
  b.kind === "lit" && b.value === 0
    ? a
    : a.kind === "lit" && b.kind === "lit"
      ? lit(a.value ^ b.value)
      : op("xor", [a, b], "i32");

/** Where piece `piece` of row `row` begins. */
export function pieceAt(t: SharedTile, row: Expr, piece: Expr): Expr {
  const moved = xor(piece, mod(div(row, t.swizzle.every), t.swizzle.of));
  return add(mul(row, lit(t.columns.count)), mul(moved, lit(t.piece)));
}
/** Where an element is. */
export function placeAt(t: SharedTile, row: Expr, column: Expr): Expr {
  if (t.rows.count === 1) return column;
  if (t.swizzle.of === 1) return add(mul(row, lit(t.columns.count)), column);
  return add(pieceAt(t, row, div(column, t.piece)), mod(column, t.piece));
}
