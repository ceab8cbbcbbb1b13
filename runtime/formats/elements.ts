/** The element types of array files, and their bytes ↔ host arrays. Shared by the formats; knows none of them. */
import { bytesEach, type Dtype, fromBf16, fromF16, type HostArray, type Tensor, toDevice } from "../dtype.ts";
import { fail } from "../errors.ts";

/** f: IEEE float, bf: bfloat16, i and u: integers, b: a byte that is 0 or 1. `bytes` is the size of one element. */
export type ElementType = { readonly kind: "f" | "bf" | "i" | "u" | "b"; readonly bytes: 1 | 2 | 4 | 8 };

/** Where the elements of an array stand in a file, and how they lie there. `fortran`: first index fastest. */
export type StoredArray = {
  readonly type: ElementType;
  readonly bigEndian: boolean;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** The byte at which they begin. */
  readonly start: number;
};

/**
 * `count` elements in `raw` → a host array and the dtype nearest to them. float64 stays float64 on the host (dtype
 * f32); integers of 64 bits must fit 32. Error (`input`): one does not. `what` names the array in errors.
 */
export function decodeElements(
  type: ElementType,
  raw: Uint8Array,
  count: number,
  bigEndian: boolean,
  what: string,
): { readonly dtype: Dtype; readonly data: HostArray } {
  const bytes = new Uint8Array(raw.subarray(0, count * type.bytes)); // a copy (Buffer.slice is none), and so aligned
  if (bigEndian) swapBytes(bytes, type.bytes);
  const { buffer } = bytes;
  switch (`${type.kind}${type.bytes}`) {
    case "f8":
      return { dtype: "f32", data: new Float64Array(buffer) };
    case "f4":
      return { dtype: "f32", data: new Float32Array(buffer) };
    case "f2":
      return { dtype: "f16", data: fromF16(new Uint16Array(buffer)) };
    case "bf2":
      return { dtype: "bf16", data: fromBf16(new Uint16Array(buffer)) };
    case "b1":
      return { dtype: "bool", data: bytes.map((byte) => (byte ? 1 : 0)) };
    case "i1":
      return { dtype: "i32", data: Int32Array.from(new Int8Array(buffer)) };
    case "i2":
      return { dtype: "i32", data: Int32Array.from(new Int16Array(buffer)) };
    case "i4":
      return { dtype: "i32", data: new Int32Array(buffer) };
    case "i8":
      return { dtype: "i32", data: narrow(new BigInt64Array(buffer), new Int32Array(count), what) };
    case "u1":
      return { dtype: "u32", data: Uint32Array.from(bytes) };
    case "u2":
      return { dtype: "u32", data: Uint32Array.from(new Uint16Array(buffer)) };
    case "u4":
      return { dtype: "u32", data: new Uint32Array(buffer) };
    case "u8":
      return { dtype: "u32", data: narrow(new BigUint64Array(buffer), new Uint32Array(count), what) };
    default:
      return fail("input", `${what} has elements of kind ${type.kind}${type.bytes * 8}`, "convert it to float32");
  }
}

function narrow<T extends Int32Array | Uint32Array>(wide: BigInt64Array | BigUint64Array, out: T, what: string): T {
  wide.forEach((value, i) => {
    out[i] = Number(value);
    if (BigInt(out[i]!) !== value) {
      fail("input", `${what} holds ${value}, which does not fit 32 bits`, "Gyre's integers have 32 bits: rescale it");
    }
  });
  return out;
}

function swapBytes(bytes: Uint8Array, size: number): void {
  if (size > 1) for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

/** The bytes of a tensor in a file: as on a device, but without padding, and bool in one byte. */
export function encodeElements(tensor: Tensor): Uint8Array {
  if (tensor.dtype === "bool") return Uint8Array.from(tensor.data, (value) => (value !== 0 ? 1 : 0));
  return toDevice(tensor.data, tensor.dtype).subarray(0, tensor.data.length * bytesEach(tensor.dtype));
}
