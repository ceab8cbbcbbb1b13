/**
 * Dtypes, and how values lie on a device.
 *
 *     f32 i32 u32   4 bytes
 *     bool          4 bytes, 0 or 1 (WGSL has no smaller storage)
 *     f16 bf16      2 bytes, two to a 32-bit word, the first in the low half
 *
 * All little endian; sizes are padded to a multiple of 4 bytes. On the host values are typed arrays, one element each:
 * what a device gives back is `Float32Array` for the floats, `Int32Array`, `Uint32Array`, and `Uint8Array` for bool.
 */
import { fail } from "./errors.ts";

export type Dtype = "f32" | "f16" | "bf16" | "i32" | "u32" | "bool";
export type HostArray = Float64Array | Float32Array | Int32Array | Uint32Array | Uint8Array;

/** A row-major array on the host. `data` has one element for each element of `shape`, whatever the dtype. */
export type Tensor = { readonly dtype: Dtype; readonly shape: readonly number[]; readonly data: HostArray };

/** The number of elements of a shape; 1 for a scalar. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** How many bytes `count` elements take on a device: a multiple of 4. */
export function deviceBytes(dtype: Dtype, count: number): number {
  return Math.ceil((count * bytesEach(dtype)) / 4) * 4;
}

const isHalf = (dtype: Dtype): dtype is "f16" | "bf16" => dtype === "f16" || dtype === "bf16";
export const isFloat = (dtype: Dtype): boolean => dtype === "f32" || isHalf(dtype);
/** Bytes of one element on a device. */
export const bytesEach = (dtype: Dtype): number => (isHalf(dtype) ? 2 : 4);

/** A zeroed host array of the kind that a device gives back for `dtype`. */
export function hostArray(dtype: Dtype, count: number): Float32Array | Int32Array | Uint32Array | Uint8Array {
  switch (dtype) {
    case "i32":
      return new Int32Array(count);
    case "u32":
      return new Uint32Array(count);
    case "bool":
      return new Uint8Array(count);
    default:
      return new Float32Array(count);
  }
}

/** Host values → the bytes on a device. Floats are rounded to nearest even; bool is `value !== 0`. May share memory with `values`. */
export function toDevice(values: HostArray, dtype: Dtype): Uint8Array {
  if (dtype === "f32") return bytesOf(values instanceof Float32Array ? values : Float32Array.from(values));
  if (dtype === "i32") return bytesOf(values instanceof Int32Array ? values : Int32Array.from(values));
  if (dtype === "u32") return bytesOf(values instanceof Uint32Array ? values : Uint32Array.from(values));
  if (dtype === "bool") {
    const words = new Uint32Array(values.length);
    for (let i = 0; i < words.length; i++) words[i] = values[i] !== 0 ? 1 : 0;
    return bytesOf(words);
  }
  const halves = new Uint16Array(deviceBytes(dtype, values.length) / 2);
  const round = dtype === "f16" ? toF16 : toBf16;
  for (let i = 0; i < values.length; i++) halves[i] = round(values[i]!);
  return bytesOf(halves);
}

/** The bytes of a device → `count` host values. May share memory with `bytes`. */
export function fromDevice(
  bytes: ArrayBuffer | Uint8Array<ArrayBuffer>,
  dtype: Dtype,
  count: number,
): Float32Array | Int32Array | Uint32Array | Uint8Array {
  const whole = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  if (whole.length < deviceBytes(dtype, count)) {
    fail("internal", `${whole.length} bytes for ${count} elements of ${dtype}`, "please report this with the program");
  }
  // Typed arrays must begin at a multiple of their element's size.
  const { buffer, byteOffset } = whole.byteOffset % 4 === 0 ? whole : new Uint8Array(whole);
  if (dtype === "f32") return new Float32Array(buffer, byteOffset, count);
  if (dtype === "i32") return new Int32Array(buffer, byteOffset, count);
  if (dtype === "u32") return new Uint32Array(buffer, byteOffset, count);
  if (dtype === "bool") {
    const words = new Uint32Array(buffer, byteOffset, count);
    const flags = new Uint8Array(count);
    for (let i = 0; i < count; i++) flags[i] = words[i] !== 0 ? 1 : 0;
    return flags;
  }
  return (dtype === "f16" ? fromF16 : fromBf16)(new Uint16Array(buffer, byteOffset, count));
}

/** The values as `dtype` can hold them: what a device computes with when it is given `values`. */
export function roundTo(values: HostArray, dtype: Dtype): HostArray {
  return dtype === "f32" && values instanceof Float32Array
    ? values
    : fromDevice(toDevice(values, dtype) as Uint8Array<ArrayBuffer>, dtype, values.length);
}

const bytesOf = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

// ---- 16-bit floats -------------------------------------------------------------------------------------------------

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/**
 * The bits of `x` as f32, *rounded to odd*: cut off toward zero, with the last bit set when anything was cut off. A
 * second rounding, to 16 bits, then gives what one rounding from float64 would have given. NaN stays NaN.
 */
function oddBits(x: number): number {
  float[0] = x;
  const near = float[0]!;
  const bits = word[0]!;
  if (near === x || Number.isNaN(x)) return bits;
  const cut = Math.abs(near) > Math.abs(x) ? bits - 1 : bits;
  return (cut | 1) >>> 0;
}

/** `bits >>> shift`, rounded to nearest, ties to even. `shift` is 1 … 31. */
function shiftRounded(bits: number, shift: number): number {
  const kept = bits >>> shift;
  const rest = bits - kept * 2 ** shift;
  const half = 2 ** (shift - 1);
  return kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0);
}

/** A number → the 16 bits of the nearest bf16 (1 sign, 8 exponent, 7 mantissa bits). */
export function toBf16(x: number): number {
  if (Number.isNaN(x)) return 0x7fc0;
  const bits = oddBits(x);
  return ((bits >>> 16) & 0x8000) | shiftRounded(bits & 0x7fffffff, 16);
}

/** A number → the 16 bits of the nearest f16 (1 sign, 5 exponent, 10 mantissa bits; subnormals from 2^-24). */
export function toF16(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const bits = oddBits(x);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  const exponent = (magnitude >>> 23) - 127;
  if (exponent > 15) return sign | 0x7c00;
  // Normal: rebias the exponent (127 → 15) and drop 13 mantissa bits; a carry moves into the exponent, up to infinity.
  if (exponent >= -14) return sign | (shiftRounded(magnitude, 13) - ((127 - 15) << 10));
  // Subnormal, in units of 2^-24: the mantissa with its leading one is in units of 2^(exponent - 23).
  const shift = -1 - exponent;
  return sign | (shift > 31 ? 0 : shiftRounded((magnitude & 0x7fffff) | 0x800000, shift));
}

/** The bits of bf16 numbers → their values. */
export function fromBf16(bits: ArrayLike<number>): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < words.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

let f16Values: Float32Array | undefined;

/** The bits of f16 numbers → their values; by a table of all 65536. */
export function fromF16(bits: ArrayLike<number>): Float32Array {
  f16Values ??= Float32Array.from({ length: 1 << 16 }, (_, half) => f16Value(half));
  const out = new Float32Array(bits.length);
  for (let i = 0; i < out.length; i++) out[i] = f16Values[bits[i]!]!;
  return out;
}

/** (-1)^sign · 2^(e - 15) · 1.m, or 2^-14 · 0.m where e = 0; e = 31 is infinity (m = 0) or NaN. */
function f16Value(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 0x3ff;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}
