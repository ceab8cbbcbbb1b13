import { expect, test } from "vitest";
import type { Place } from "../../inspector/data.ts";
import { kernelFrom, linesFrom, sourceLines } from "../../inspector/model/links.ts";

const listing = (...places: readonly (Place | null)[]) => ({ title: "", text: "", places });

test("a source line leads to the lines that come from it, and more faintly to what holds it", () => {
  const { strong, weak } = linesFrom(listing([0, 1, 9], [0, 4, 4], [0, 5, 5], [1, 4, 4], null, [0, 4, 4]), [0, 4, 4]);
  expect([...strong]).toEqual([1, 5]);
  expect([...weak]).toEqual([0]);
});

test("where nothing comes from just this line, what comes from the least around it counts", () => {
  const { strong } = linesFrom(listing([0, 1, 9], [0, 3, 5]), [0, 4, 4]);
  expect([...strong]).toEqual([1]);
});

test("the kernel with the most lines is shown; the one at hand where others have no more", () => {
  const kernels = [
    { place: null, tile: listing([0, 4, 4]) },
    { place: null, tile: listing([0, 4, 4], [0, 4, 4]) },
    { place: null, tile: listing([0, 4, 4], [0, 4, 4]) },
  ];
  expect(kernelFrom(kernels, [0, 4, 4], 0)).toBe(1);
  expect(kernelFrom(kernels, [0, 4, 4], 2)).toBe(2);
});

test("lines of a source from which something comes", () => {
  expect([...sourceLines([listing([0, 2, 3], [1, 7, 7], null)], 0)]).toEqual([2, 3]);
});
