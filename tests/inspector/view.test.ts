import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesText, flopsText, timeText } from "../../inspector/model/format.ts";
import { DENSITIES, eachVisible, pan, roomyRows, rowsOf, ticks, zoom } from "../../inspector/model/view.ts";

const all = { from: 0, to: 1000 };

describe("the range on the screen", () => {
  test("zooming leaves the time under the pointer where it is", () => {
    const near = zoom({ from: 100, to: 300 }, 0.5, 150, all);
    expect(near).toEqual({ from: 125, to: 225 });
  });
  test("it never leaves the whole", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.double({ min: -2000, max: 2000, noNaN: true }), fc.double({ min: 0.1, max: 9, noNaN: true })),
        ),
        (moves) => {
          let range = all;
          for (const [by, factor] of moves) range = zoom(pan(range, by, all), factor, by, all) as typeof all;
          expect(range.from).toBeGreaterThanOrEqual(-1e-6);
          expect(range.to).toBeLessThanOrEqual(1000 + 1e-6);
          expect(range.to).toBeGreaterThan(range.from);
        },
      ),
    );
  });
  test("marks are round, and far enough from each other to be read", () => {
    expect(ticks({ from: 0, to: 100 }, 1000)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(ticks({ from: 3.2, to: 3.9 }, 400).map((t) => t.toFixed(1))).toEqual(["3.2", "3.4", "3.6", "3.8"]);
  });
});

test("of many spans on a pixel one is drawn: the work depends on the width", () => {
  const spans = Array.from({ length: 100_000 }, (_, i) => ({ start: i / 100, end: (i + 0.6) / 100 }));
  let drawn = 0;
  eachVisible(spans, all, 800, () => drawn++);
  expect(drawn).toBeLessThanOrEqual(801);
  const seen: number[] = [];
  eachVisible(spans, { from: 500, to: 500.1 }, 800, (span) => seen.push(span.start));
  expect(seen.length).toBeGreaterThanOrEqual(10);
  expect(seen.length).toBeLessThanOrEqual(12);
});

test("rows grow where there is room, and never beyond it", () => {
  const [plain] = DENSITIES;
  const small = rowsOf(2, true, plain!);
  expect(roomyRows(2, true, plain!, 10).height).toBe(small.height);
  const tall = roomyRows(2, true, plain!, 110);
  expect(tall.height).toBeGreaterThan(small.height);
  expect(tall.height).toBeLessThanOrEqual(110);
});

test("numbers for people", () => {
  expect([bytesText(0), bytesText(1536), bytesText(3 * 2 ** 30)]).toEqual(["0 B", "1.5 KiB", "3 GiB"]);
  expect([timeText(0), timeText(0.25), timeText(12.34), timeText(2_500_000)]).toEqual([
    "0 µs",
    "250 ns",
    "12.3 µs",
    "2.5 s",
  ]);
  expect(flopsText(2_230_000)).toBe("2.23 Mflop");
});
