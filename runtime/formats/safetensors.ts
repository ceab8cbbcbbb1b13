/**
 * .safetensors: eight bytes with the header's length, the header (JSON: name → dtype, shape, and the range of its bytes
 * after the header), and the bytes.
 */
import { elementCount, type Tensor } from "../dtype.ts";
import { fail, GyreRuntimeError } from "../errors.ts";
import { decodeElements, type ElementType, encodeElements, type StoredArray } from "./elements.ts";

const TYPES: { readonly [dtype: string]: ElementType } = {
  F64: { kind: "f", bytes: 8 },
  F32: { kind: "f", bytes: 4 },
  F16: { kind: "f", bytes: 2 },
  BF16: { kind: "bf", bytes: 2 },
  I64: { kind: "i", bytes: 8 },
  I32: { kind: "i", bytes: 4 },
  I16: { kind: "i", bytes: 2 },
  I8: { kind: "i", bytes: 1 },
  U64: { kind: "u", bytes: 8 },
  U32: { kind: "u", bytes: 4 },
  U16: { kind: "u", bytes: 2 },
  U8: { kind: "u", bytes: 1 },
  BOOL: { kind: "b", bytes: 1 },
};

type Entry = { readonly dtype: string; readonly shape: readonly number[]; readonly data_offsets: readonly number[] };

/** Reads every array of a .safetensors file. `file` names it in errors (kind `input`). */
export function readSafetensors(bytes: Uint8Array, file: string): ReadonlyMap<string, Tensor> {
  const arrays = new Map<string, Tensor>();
  for (const [name, { type, shape, start }] of safetensorsHeader(bytes, file, bytes.length)) {
    const what = `'${name}' in ${file}`;
    const { dtype, data } = decodeElements(type, bytes.subarray(start), elementCount(shape), false, what);
    arrays.set(name, { dtype, shape, data });
  }
  return arrays;
}

/** How many bytes the header takes, from the file's first eight. */
export const safetensorsHeaderBytes = (bytes: Uint8Array): number =>
  bytes.length < 8 ? 0 : 8 + Number(Buffer.from(bytes.buffer, bytes.byteOffset, 8).readBigUInt64LE(0));

/** Where every array stands, from the first bytes of a file of `size` bytes. Errors as in `readSafetensors`. */
export function safetensorsHeader(bytes: Uint8Array, file: string, size: number): ReadonlyMap<string, StoredArray> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = safetensorsHeaderBytes(bytes);
  if (start < 10 || start > buffer.length || buffer[8] !== 0x7b) {
    fail("input", `${file} is no .npy, .npz or whole .safetensors file`, "write or copy it again");
  }
  let header: { readonly [name: string]: Entry };
  try {
    header = JSON.parse(buffer.toString("utf8", 8, start));
  } catch (cause) {
    return fail("input", `${file} has a header that is no JSON`, "write or copy it again", cause);
  }
  const arrays = new Map<string, StoredArray>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const what = `'${name}' in ${file}`;
    const { shape, from, to, type } = checkEntry(entry, what);
    const count = elementCount(shape);
    if (to - from !== count * type.bytes) {
      fail("input", `${what} has ${to - from} bytes for ${count} elements of ${entry.dtype}`, "write it again");
    }
    if (start + to > size) {
      fail("input", `${file} is cut off: ${what} ends at byte ${start + to} of ${size}`, "copy it again");
    }
    arrays.set(name, { type, bigEndian: false, fortran: false, shape, start: start + from });
  }
  return arrays;
}

function checkEntry(entry: Entry, what: string) {
  const { dtype, shape, data_offsets: offsets } = entry ?? {};
  const natural = (list: unknown): list is number[] =>
    Array.isArray(list) && list.every((value) => Number.isSafeInteger(value) && value >= 0);
  if (typeof dtype !== "string" || !natural(shape) || !natural(offsets) || offsets.length !== 2) {
    throw new GyreRuntimeError("input", `${what} has an entry that cannot be read`, "write the file again");
  }
  const type = TYPES[dtype];
  if (!type) throw new GyreRuntimeError("input", `${what} has dtype ${dtype}`, "convert it to F32 or BF16");
  return { shape, from: offsets[0]!, to: offsets[1]!, type };
}

const NAMES = { f32: "F32", f16: "F16", bf16: "BF16", i32: "I32", u32: "U32", bool: "BOOL" } as const;

/** The bytes of a .safetensors file with these arrays, in their order. */
export function writeSafetensors(arrays: ReadonlyMap<string, Tensor>): Uint8Array {
  const header: { [name: string]: Entry } = {};
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [name, tensor] of arrays) {
    const data = encodeElements(tensor);
    header[name] = { dtype: NAMES[tensor.dtype], shape: tensor.shape, data_offsets: [at, at + data.length] };
    parts.push(data);
    at += data.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, " ");
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...parts]);
}
