import { expect, test } from "vitest";
import { defaultInput, randomNormal, threefry } from "../../runtime/random.ts";

test("Threefry-2x32-20 gives the known answers of its authors", () => {
  const ones = 0xffffffff;
  expect(threefry(0, 0, 0, 0)).toEqual([0x6b200159, 0x99ba4efe]);
  expect(threefry(ones, ones, ones, ones)).toEqual([0x1cb996fc, 0xbb002be7]);
  expect(threefry(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3)).toEqual([0xc4923a9c, 0x483df7a0]);
});

test("inputs are standard normal", () => {
  const x = randomNormal(0, "q", 100_001);
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const moment = (p: number) => x.reduce((sum, value) => sum + (value - mean) ** p, 0) / x.length;
  expect(Math.abs(mean)).toBeLessThan(0.01);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.02);
  expect(Math.abs(moment(3))).toBeLessThan(0.03);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1);
});

test("an element depends on the seed, the name and its place, and on nothing else", () => {
  const x = randomNormal(0, "q", 10);
  expect(randomNormal(0, "q", 7)).toEqual(x.subarray(0, 7));
  for (const other of [randomNormal(1, "q", 10), randomNormal(0, "k", 10), randomNormal(2 ** 32, "q", 10)]) {
    expect(other.some((value, i) => value === x[i])).toBe(false);
  }
  // Kept from release to release: these numbers are what examples print.
  expect(x.subarray(0, 3)).toMatchInlineSnapshot(`
    Float32Array [
      -0.9301166534423828,
      -1.9876384735107422,
      -1.3899811506271362,
    ]
  `);
});

test("integers and booleans are zero, and 16-bit floats are rounded", () => {
  expect(defaultInput(0, "n", "i32", 2)).toEqual(new Int32Array(2));
  expect(defaultInput(0, "m", "bool", 2)).toEqual(new Uint8Array(2));
  const bits = new Uint32Array(Float32Array.from(defaultInput(0, "q", "bf16", 64)).buffer);
  expect(bits.every((word) => (word & 0xffff) === 0)).toBe(true);
});
