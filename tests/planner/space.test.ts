import { expect, test } from "vitest";
import { factorings } from "../../planner/space.ts";

test("the ways to write a number as a product, in order", () => {
  expect(factorings(1, 0)).toEqual([[]]);
  expect(factorings(6, 1)).toEqual([[6]]);
  expect(factorings(6, 2)).toEqual([
    [1, 6],
    [2, 3],
    [3, 2],
    [6, 1],
  ]);
  expect(factorings(4, 0)).toEqual([]);
  for (const [n, count] of [
    [16, 4],
    [36, 3],
    [97, 2],
  ] as const) {
    const all = factorings(n, count);
    expect(all.every((sizes) => sizes.reduce((a, b) => a * b, 1) === n)).toBe(true);
    expect(new Set(all.map(String)).size).toBe(all.length);
  }
  expect(factorings(16, 4)).toHaveLength(35);
});
