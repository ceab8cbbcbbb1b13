import fc from "fast-check";
import { expect, test } from "vitest";
import { rounded } from "../../compiler/core/half.ts";
import {
  deviceBytes,
  fromBf16,
  fromDevice,
  fromF16,
  type HostArray,
  roundTo,
  toBf16,
  toDevice,
  toF16,
} from "../../runtime/dtype.ts";

const inf = Number.POSITIVE_INFINITY;

test.each([
  [0, 0x0000],
  [-0, 0x8000],
  [1, 0x3c00],
  [-2, 0xc000],
  [65504, 0x7bff],
  [65519.99, 0x7bff],
  [65520, 0x7c00], // half way to what would be the next: rounds to infinity
  [-inf, 0xfc00],
  [Number.NaN, 0x7e00],
  [2 ** -14, 0x0400], // the least normal
  [2 ** -24, 0x0001], // the least subnormal
  [2 ** -25, 0x0000], // half of it: to even
  [2 ** -25 * (1 + 1e-15), 0x0001],
  [1023 * 2 ** -24, 0x03ff],
  [1023.5 * 2 ** -24, 0x0400], // a subnormal that rounds to the least normal
  [1 + 2 ** -11, 0x3c00], // ties to even
  [1 + 3 * 2 ** -11, 0x3c02],
  [1 + 2 ** -11 + 2 ** -40, 0x3c01], // float32 would have made a tie of it
])("%d is the f16 0x%s", (value, bits) => {
  expect(toF16(value)).toBe(bits);
});

test.each([
  [1, 0x3f80],
  [-2.5, 0xc020],
  [inf, 0x7f80],
  [Number.NaN, 0x7fc0],
  [3.3895313892515355e38, 0x7f7f],
  [3.4e38, 0x7f80],
  [-1e300, 0xff80],
  [9.183549615799121e-41, 0x0001], // the least subnormal
  [1e-60, 0x0000],
  [1 + 2 ** -8, 0x3f80],
  [1 + 3 * 2 ** -8, 0x3f82],
  [1 + 2 ** -8 + 2 ** -40, 0x3f81],
])("%d is the bf16 0x%s", (value, bits) => {
  expect(toBf16(value)).toBe(bits);
});

test("every 16-bit float survives the way to its value and back", () => {
  const all = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
  for (const [from, to] of [
    [fromF16, toF16],
    [fromBf16, toBf16],
  ] as const) {
    from(all).forEach((value, bits) => {
      if (!Number.isNaN(value)) expect(to(value)).toBe(bits);
    });
  }
});

test("rounding is to the nearest", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, min: -70000, max: 70000 }), (x) => {
      const bits = toF16(x);
      if ((bits & 0x7fff) >= 0x7bff) return;
      const [below, here, above] = fromF16([bits - 1, bits, bits + 1]);
      if ((bits & 0x7fff) > 0) expect(Math.abs(here! - x)).toBeLessThanOrEqual(Math.abs(below! - x));
      expect(Math.abs(here! - x)).toBeLessThanOrEqual(Math.abs(above! - x));
    }),
  );
});

test("the compiler rounds as the runtime does", () => {
  fc.assert(
    fc.property(fc.oneof(fc.double(), fc.double({ min: -70000, max: 70000 }), fc.float()), (x) => {
      expect(fromF16([toF16(x)])[0]).toBe(rounded(x, "f16"));
      expect(fromBf16([toBf16(x)])[0]).toBe(rounded(x, "bf16"));
    }),
  );
});

test("halves are packed two to a word, the first in the low half, padded to words", () => {
  expect(deviceBytes("bf16", 3)).toBe(8);
  expect([...new Uint32Array(toDevice(Float32Array.of(1, -2, 0.5), "bf16").buffer)]).toEqual([0xc0003f80, 0x3f00]);
  expect([...fromDevice(toDevice(Float32Array.of(1, -2, 0.5), "f16") as Uint8Array<ArrayBuffer>, "f16", 3)]).toEqual([
    1, -2, 0.5,
  ]);
});

test("values survive the way to a device and back", () => {
  const back = (values: HostArray, dtype: Parameters<typeof deviceBytes>[0]) => {
    const bytes = toDevice(values, dtype);
    expect(bytes.length).toBe(deviceBytes(dtype, values.length));
    return fromDevice(bytes as Uint8Array<ArrayBuffer>, dtype, values.length);
  };
  expect(back(Float64Array.of(0.1, 2), "f32")).toEqual(Float32Array.of(0.1, 2));
  expect(back(Float64Array.of(-1, 2 ** 31 - 1), "i32")).toEqual(Int32Array.of(-1, 2 ** 31 - 1));
  expect(back(Float64Array.of(0, 2 ** 32 - 1), "u32")).toEqual(Uint32Array.of(0, 2 ** 32 - 1));
  expect(back(Uint8Array.of(0, 1, 7), "bool")).toEqual(Uint8Array.of(0, 1, 1));
  expect(roundTo(Float32Array.of(0.1), "bf16")).toEqual(Float32Array.of(0.10009765625));
});
