import { expect, test } from "vitest";
import { randomBits, randomUniform, threefry2x32 } from "../../compiler/core/threefry.ts";

// The known answers of Random123 (kat_vectors, threefry2x32 with 20 rounds): counter, key, result.
test.each([
  [
    [0, 0],
    [0, 0],
    [0x6b200159, 0x99ba4efe],
  ],
  [
    [0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x1cb996fc, 0xbb002be7],
  ],
  [
    [0x243f6a88, 0x85a308d3],
    [0x13198a2e, 0x03707344],
    [0xc4923a9c, 0x483df7a0],
  ],
] as [number, number][][])("threefry of %o under %o", (counter, key, result) => {
  expect(threefry2x32(key!, counter!)).toEqual(result);
});

test("counters are absorbed in pairs, under a key that knows how many there are", () => {
  expect(randomBits(7, [1, 2])).toBe(threefry2x32([7, 2], [1, 2])[0]);
  expect(randomBits(7, [1, 2, 3])).toBe(threefry2x32(threefry2x32([7, 3], [1, 2]), [3, 0])[0]);
  expect(randomBits(7, [1])).not.toBe(randomBits(7, [1, 0]));
  expect(randomBits(-1, [-1])).toBe(randomBits(0xffffffff, [0xffffffff]));
});

test("uniform numbers have 24 bits, lie in [0, 1) and average a half", () => {
  let sum = 0;
  for (let i = 0; i < 4096; i++) {
    const u = randomUniform(42, [i]);
    expect(Number.isInteger(u * 2 ** 24) && u >= 0 && u < 1).toBe(true);
    sum += u;
  }
  expect(sum / 4096).toBeCloseTo(0.5, 1);
});
