/**
 * NumPy's .npy, versions 1 to 3: `\x93NUMPY`, two bytes of version, the header's length (2 bytes, 4 from version 2),
 * the header (a Python dict: descr, fortran_order, shape), and the elements.
 */
import { elementCount, type Tensor } from "../dtype.ts";
import { fail } from "../errors.ts";
import { decodeElements, type ElementType, encodeElements, type StoredArray } from "./elements.ts";

const MAGIC = "\x93NUMPY";

/** Reads the bytes of an .npy file. `file` names it in errors (kind `input`). Fortran order becomes row-major. */
export function readNpy(bytes: Uint8Array, file: string): Tensor {
  const { type, bigEndian, fortran, shape, start } = npyHeader(bytes, file, bytes.length);
  const { dtype, data } = decodeElements(type, bytes.subarray(start), elementCount(shape), bigEndian, file);
  return { dtype, shape, data: fortran && shape.length > 1 ? fromFortran(data, shape) : data };
}

/** Reads the header from the first bytes of an .npy file of `size` bytes. Errors as in `readNpy`. */
export function npyHeader(bytes: Uint8Array, file: string, size: number): StoredArray {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (buffer.length < 10 || buffer.toString("latin1", 0, 6) !== MAGIC) {
    fail("input", `${file} is not an .npy file`, "write it with numpy.save, or give an .npz or .safetensors file");
  }
  const version = buffer[6]!;
  if (version < 1 || version > 3) fail("input", `${file} is .npy version ${version}`, "save it again with numpy.save");
  const start = version === 1 ? 10 : 12;
  if (buffer.length < start) truncated(file, start, buffer.length);
  const end = start + (version === 1 ? buffer.readUInt16LE(8) : buffer.readUInt32LE(8));
  if (buffer.length < end) truncated(file, end, buffer.length);
  const header = buffer.toString(version === 3 ? "utf8" : "latin1", start, end);
  const { type, bigEndian, fortran, shape } = parseHeader(header, file);
  const count = elementCount(shape);
  if (size < end + count * type.bytes) truncated(file, end + count * type.bytes, size);
  return { type, bigEndian, fortran, shape, start: end };
}

function truncated(file: string, needed: number, has: number): never {
  return fail("input", `${file} is cut off: ${needed} bytes are announced, ${has} are there`, "write or copy it again");
}

type Header = {
  readonly type: ElementType;
  readonly bigEndian: boolean;
  readonly fortran: boolean;
  readonly shape: readonly number[];
};

function parseHeader(header: string, file: string): Header {
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const dims = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (/'descr':\s*\[/.test(header)) {
    fail("input", `${file} holds records`, "save each field as an array of its own");
  }
  const shape = dims
    ?.split(",")
    .map((size) => size.trim())
    .filter((size) => size !== "")
    .map((size) => Number(size.replace(/L$/, ""))); // Python 2 wrote 3L
  if (descr === undefined || order === undefined || !shape?.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    return fail("input", `${file} has a header that cannot be read: ${header.trim()}`, "save it again with numpy.save");
  }
  const [, endian, kind, size] = /^([<>|=]?)([a-zA-Z])(\d+)$/.exec(descr) ?? [];
  // ml_dtypes saves bfloat16, which numpy does not know, as two opaque bytes.
  const name = kind === "V" && size === "2" ? "bf" : kind;
  const known = /^(f[248]|[iu][1248]|b1|bf2)$/.test(`${name}${size}`);
  if (!known) {
    fail("input", `${file} has elements of dtype '${descr}'`, "convert it, for instance with x.astype(numpy.float32)");
  }
  const type = { kind: name, bytes: Number(size) } as ElementType;
  return { type, bigEndian: endian === ">", fortran: order === "True", shape };
}

/** First index fastest → last index fastest. */
function fromFortran<T extends Tensor["data"]>(data: T, shape: readonly number[]): T {
  const out = data.slice() as T;
  const index = shape.map(() => 0);
  const strides = shape.map((_, dim) => elementCount(shape.slice(0, dim)));
  for (let at = 0; at < out.length; at++) {
    let from = 0;
    for (let dim = 0; dim < shape.length; dim++) from += index[dim]! * strides[dim]!;
    out[at] = data[from]!;
    for (let dim = shape.length - 1; dim >= 0 && ++index[dim]! === shape[dim]; dim--) index[dim] = 0;
  }
  return out;
}

const DESCR = { f32: "<f4", f16: "<f2", bf16: "<f4", i32: "<i4", u32: "<u4", bool: "|b1" } as const;

/** The bytes of an .npy file, version 1. bf16, which NumPy lacks, is written as float32. */
export const writeNpy = (tensor: Tensor): Uint8Array =>
  Buffer.concat([npyStart(tensor.dtype, tensor.shape), npyElements(tensor)]);

/** The bytes of the elements, or of some of them. */
export const npyElements = (tensor: Tensor): Uint8Array =>
  encodeElements(tensor.dtype === "bf16" ? { ...tensor, dtype: "f32" } : tensor);

/** How many bytes an element takes. */
export const npyElementBytes = (dtype: Tensor["dtype"]): number => Number(DESCR[dtype].slice(2));

/** What stands before the elements. */
export function npyStart(dtype: Tensor["dtype"], shape: readonly number[]): Uint8Array {
  const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  const dict = `{'descr': '${DESCR[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // The elements begin at a multiple of 64: 10 bytes, the dict, spaces, and a newline.
  const header = `${dict.padEnd(Math.ceil((10 + dict.length + 1) / 64) * 64 - 11)}\n`;
  const start = Buffer.alloc(10);
  start.write(`${MAGIC}\x01\x00`, "latin1");
  start.writeUInt16LE(header.length, 8);
  return Buffer.concat([start, Buffer.from(header, "latin1")]);
}
