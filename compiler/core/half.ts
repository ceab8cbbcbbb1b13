/** Rounding to 16-bit floats. */

/** The 16-bit dtypes: bits of precision with the leading one, the exponent of the least normal number, the largest number. */
const formats = {
  f16: { precision: 11, least: -14, largest: 65504 },
  bf16: { precision: 8, least: -126, largest: (2 - 2 ** -7) * 2 ** 127 },
} as const;
export type Half = keyof typeof formats;
export const isHalf = (dtype: string): dtype is Half => dtype in formats;

/** The value of `dtype` that is nearest to `x`, the even one of two; infinity beyond the largest. NaN stays NaN. */
export function rounded(x: number, dtype: Half): number {
  const size = Math.abs(x);
  if (size === 0 || !Number.isFinite(x)) return x;
  const { precision, least, largest } = formats[dtype];
  // Of the last bit, which is the same for all subnormal numbers.
  const unit = 2 ** (Math.max(exponentOf(size), least) - precision + 1);
  const near = nearestEven(size / unit) * unit;
  return Math.sign(x) * (near > largest ? Number.POSITIVE_INFINITY : near);
}
function exponentOf(size: number): number {
  const guess = Math.floor(Math.log2(size));
  return size < 2 ** guess ? guess - 1 : size >= 2 ** (guess + 1) ? guess + 1 : guess;
}
function nearestEven(size: number): number {
  const low = Math.floor(size);
  const rest = size - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}
