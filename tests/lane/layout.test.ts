/** Layouts deal every element out, to the threads that the tensor cores' documents name. */
import { expect, test } from "vitest";
import { deal, elementAt, everywhere, project, reaches, same, sizeOf } from "../../compiler/lane/team/layout.ts";

const [m, n, k] = [0, 1, 2];
const side = (axis: number, cover: number, warps = 1) => ({ axis, cover, warps });
const all = (l: ReturnType<typeof deal>) =>
  Array.from({ length: sizeOf(l.threads) }, (_, t) =>
    Array.from({ length: sizeOf(l.registers) }, (_, r) => elementAt(l, t, r)),
  );

test("the accumulator of m16n8k16: rows t/4 and 8 further, columns 2 (t mod 4) and the next", () => {
  const l = deal(side(m, 16), side(n, 16), [], 1);
  for (let t = 0; t < 32; t++)
    for (let r = 0; r < 8; r++) {
      const at = elementAt(l, t, r);
      expect(at.get(m)).toBe((t >> 2) + 8 * ((r >> 1) & 1));
      expect(at.get(n)).toBe(2 * (t & 3) + (r & 1) + 8 * (r >> 2));
    }
});

test.each([
  [64, 64, 4, 1],
  [128, 128, 2, 2],
  [32, 16, 1, 1],
  [16, 64, 1, 4],
])("every element of %i x %i once, dealt to %i x %i warps", (rows, columns, mWarps, nWarps) => {
  for (const pattern of ["matrices", "blocks"] as const) {
    const l = deal(side(m, rows, mWarps), side(n, columns, nWarps), [], mWarps * nWarps, pattern);
    const seen = all(l).flatMap((registers) => registers.map((at) => at.get(m)! * columns + at.get(n)!));
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: rows * columns }, (_, i) => i));
  }
});

test("what depends on rows alone lies with them, the same in the four threads of a row", () => {
  const l = deal(side(m, 64, 4), side(n, 32), [], 4);
  const rows = project(l, [m]);
  expect(rows.threads[0]).toEqual({ axis: everywhere, stride: 0, count: 4 });
  expect(reaches(rows, l)).toBe(true);
  expect(reaches(l, rows)).toBe(false);
  expect(same(rows, deal(side(m, 64, 4), undefined, [], 4))).toBe(true);
  for (const [t, registers] of all(rows).entries())
    for (const at of registers) expect(at.get(m)! % 8).toBe((t % 32) >> 2);
});

test("the accumulator of one product is the left factor of the next as it lies", () => {
  expect(same(deal(side(m, 64, 4), side(k, 64), [], 4), deal(side(m, 64, 4), side(k, 64, 1), [], 4))).toBe(true);
  // The pairs a0 … a3 of the documents: rows t/4, +8, then both 8 further along k.
  const l = deal(side(m, 16), side(k, 16), [], 1);
  const pairs = Array.from({ length: 4 }, (_, a) => elementAt(l, 5, 2 * a));
  expect(pairs.map((at) => [at.get(m), at.get(k)])).toEqual([
    [1, 2],
    [9, 2],
    [1, 10],
    [9, 10],
  ]);
});
