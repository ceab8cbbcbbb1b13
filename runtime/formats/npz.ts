/**
 * NumPy's .npz: a zip archive of .npy files, stored or deflated. A zip ends with a record (`PK\5\6`) that says where
 * its directory is; each entry of the directory (`PK\1\2`) says where the file's own header (`PK\3\4`) is, and the
 * file's bytes follow that header.
 */
import { crc32, inflateRawSync } from "node:zlib";
import type { Tensor } from "../dtype.ts";
import { fail } from "../errors.ts";
import { readNpy, writeNpy } from "./npy.ts";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const STORED = 0;
const DEFLATED = 8;

/** Reads every array of an .npz file, by name (without `.npy`). `file` names it in errors (kind `input`). */
export function readNpz(bytes: Uint8Array, file: string): ReadonlyMap<string, Tensor> {
  const zip = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const damaged = (what: string) => fail("input", `${file} is no whole .npz file: ${what}`, "write or copy it again");
  const end = zip.lastIndexOf("PK\x05\x06", undefined, "latin1");
  if (end < 0 || end + 22 > zip.length || zip.readUInt32LE(end) !== END) return damaged("its directory is missing");
  const arrays = new Map<string, Tensor>();
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (at + 46 > zip.length || zip.readUInt32LE(at) !== ENTRY) return damaged("its directory is cut off");
    const method = zip.readUInt16LE(at + 10);
    const crc = zip.readUInt32LE(at + 16);
    const packedBytes = zip.readUInt32LE(at + 20);
    const nameBytes = zip.readUInt16LE(at + 28);
    const local = zip.readUInt32LE(at + 42);
    const name = zip.toString("utf8", at + 46, at + 46 + nameBytes);
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
    if (!name.endsWith(".npy")) continue;
    if (local + 30 > zip.length || zip.readUInt32LE(local) !== LOCAL) return damaged(`'${name}' is missing`);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    if (start + packedBytes > zip.length) return damaged(`'${name}' is cut off`);
    const packed = zip.subarray(start, start + packedBytes);
    if (method !== STORED && method !== DEFLATED) return damaged(`'${name}' is packed by method ${method}`);
    let npy: Uint8Array;
    try {
      npy = method === STORED ? packed : inflateRawSync(packed);
    } catch {
      return damaged(`'${name}' cannot be inflated`);
    }
    if (crc32(npy) !== crc) return damaged(`the checksum of '${name}' is wrong`);
    arrays.set(name.slice(0, -4), readNpy(npy, `${file} (${name})`));
  }
  return arrays;
}

/** The bytes of an .npz file with these arrays, stored without compression as numpy.savez does. */
export function writeNpz(arrays: ReadonlyMap<string, Tensor>): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const [key, tensor] of arrays) {
    const name = Buffer.from(`${key}.npy`);
    const npy = writeNpy(tensor);
    // What the local header and the directory's entry have in common, from "version needed" to "extra length".
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // version 2.0
    common.writeUInt16LE(0x0800, 2); // names are UTF-8
    common.writeUInt16LE(0x21, 8); // 1 January 1980: the same arrays give the same file
    common.writeUInt32LE(crc32(npy), 10);
    common.writeUInt32LE(npy.length, 14);
    common.writeUInt32LE(npy.length, 18);
    common.writeUInt16LE(name.length, 22);
    const entry = Buffer.alloc(20);
    entry.writeUInt32LE(ENTRY, 0);
    entry.writeUInt16LE(20, 4);
    const rest = Buffer.alloc(14); // comment, disk and attributes are 0
    rest.writeUInt32LE(at, 10);
    directory.push(entry.subarray(0, 6), common, rest, name);
    const local = Buffer.alloc(4);
    local.writeUInt32LE(LOCAL, 0);
    parts.push(local, common, name, npy);
    at += 30 + name.length + npy.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(END, 0);
  end.writeUInt16LE(arrays.size, 8);
  end.writeUInt16LE(arrays.size, 10);
  end.writeUInt32LE(
    directory.reduce((sum, part) => sum + part.length, 0),
    12,
  );
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, end]);
}
