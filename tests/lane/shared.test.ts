/** Shared tiles: reading and writing them meets no bank twice, by count. */
import { expect, test } from "vitest";
import { bytesEach } from "../../compiler/core/dtype.ts";
import { bankConflicts, pieceOf, placeOf, type SharedTile, swizzleFor } from "../../compiler/lane/team/shared.ts";

const tile = (rows: number, columns: number): SharedTile => ({
  name: "t",
  dtype: "bf16",
  rows: { axis: 0, count: rows },
  columns: { axis: 1, count: columns },
  swizzle: swizzleFor(columns / pieceOf("bf16")),
  piece: pieceOf("bf16"),
  width: 1,
  stages: 1,
});
const bytes = (t: SharedTile, row: number, column: number): number => placeOf(t, row, column) * bytesEach(t.dtype);

test("conflicts are counted: rows of 128 bytes meet in their first bank, neighbours do not", () => {
  expect(
    bankConflicts(
      Array.from({ length: 8 }, (_, r) => 128 * r),
      16,
    ),
  ).toBe(7);
  expect(
    bankConflicts(
      Array.from({ length: 32 }, (_, t) => 4 * t),
      4,
    ),
  ).toBe(0);
  expect(
    bankConflicts(
      Array.from({ length: 32 }, (_, t) => 8 * t),
      4,
    ),
  ).toBe(1);
  expect(
    bankConflicts(
      Array.from({ length: 32 }, () => 0),
      4,
    ),
  ).toBe(0);
});

// Widths of heads and of blocks: 16 to 256, and such that are no powers of two.
test.each([16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256])("rows of %i elements", (columns) => {
  const t = tile(64, columns);
  const seen = new Set<number>();
  for (let row = 0; row < 64; row++) for (let c = 0; c < columns; c++) seen.add(placeOf(t, row, c));
  expect(seen.size).toBe(64 * columns);
  expect(Math.max(...seen)).toBe(64 * columns - 1);
  // A read of four 8 x 8 matrices, either way round: eight rows of one column of pieces at a time.
  for (let row = 0; row < 64; row += 16)
    for (let column = 0; column < columns; column += 8) {
      const eight = Array.from({ length: 8 }, (_, r) => bytes(t, row + r, column));
      expect(bankConflicts(eight, 16)).toBe(0);
    }
  // A write: threads copy pieces of a row one after another.
  const pieces = columns / 8;
  for (let first = 0; first < 64 * pieces; first += 32) {
    const warp = Array.from({ length: 32 }, (_, i) => first + i).filter((i) => i < 64 * pieces);
    const conflicts = bankConflicts(
      warp.map((i) => bytes(t, Math.floor(i / pieces), (i % pieces) * 8)),
      16,
    );
    expect(conflicts).toBe(0);
  }
});
