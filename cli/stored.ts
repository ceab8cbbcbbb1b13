/**
 * Arrays in files, read in parts: each process of a cluster reads what its devices hold, by positioned reads. Of .npz files
 * (compressed) and arrays in Fortran order, all is read.
 */

import type { Dtype, HostArray } from "../runtime/dtype.ts";
import { decodeElements, type StoredArray } from "../runtime/formats/elements.ts";
import { npyHeader } from "../runtime/formats/npy.ts";
import { safetensorsHeader, safetensorsHeaderBytes } from "../runtime/formats/safetensors.ts";
import type { Run } from "../runtime/parts.ts";
import { openFile } from "./files.ts";

/** An array of a file: its type, and its elements in some runs, `count` in all. */
export type Stored = {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly read: (runs: readonly Run[], count: number) => HostArray;
};

const NPY_HEADER = 1 << 16;
/** Runs whose gaps are smaller are read together, up to so many bytes. */
const GAP = 1 << 16;
const TOGETHER = 1 << 24;

/** The arrays of a file, by name (`` for the only one of an .npy file); undefined where it must be read as a whole. */
export function storedArrays(path: string): ReadonlyMap<string, Stored> | undefined {
  const file = openFile(path);
  const start = file.read(0, NPY_HEADER);
  const magic = Buffer.from(start.subarray(0, 6)).toString("latin1");
  if (magic.startsWith("PK")) return undefined;
  if (magic === "\x93NUMPY") {
    const array = npyHeader(start, path, file.size);
    return array.fortran && array.shape.length > 1 ? undefined : new Map([["", stored(file.read, array, path)]]);
  }
  const header = file.read(0, Math.min(file.size, safetensorsHeaderBytes(start)));
  const arrays = safetensorsHeader(header, path, file.size);
  return new Map([...arrays].map(([name, array]) => [name, stored(file.read, array, `'${name}' in ${path}`)]));
}

function stored(read: ReturnType<typeof openFile>["read"], array: StoredArray, what: string): Stored {
  const { type, bigEndian, shape, start } = array;
  const decode = (raw: Uint8Array, count: number) => decodeElements(type, raw, count, bigEndian, what);
  return {
    dtype: decode(new Uint8Array(0), 0).dtype,
    shape,
    read(runs, count) {
      const raw = new Uint8Array(count * type.bytes);
      for (const near of groups(runs, type.bytes)) {
        const [first, last] = [near[0]!, near.at(-1)!];
        const bytes = (last.global + last.length - first.global) * type.bytes;
        const from = read(start + first.global * type.bytes, bytes);
        for (const { global, local, length } of near) {
          const at = (global - first.global) * type.bytes;
          raw.set(from.subarray(at, at + length * type.bytes), local * type.bytes);
        }
      }
      return decode(raw, count).data;
    },
  };
}

/** Runs that are read together. */
function groups(runs: readonly Run[], elementBytes: number): readonly (readonly Run[])[] {
  const all: Run[][] = [];
  for (const run of [...runs].sort((a, b) => a.global - b.global)) {
    const near = all.at(-1);
    const before = near?.at(-1);
    const gap = before ? (run.global - before.global - before.length) * elementBytes : 0;
    const bytes = near ? (run.global + run.length - near[0]!.global) * elementBytes : 0;
    if (near && gap < GAP && bytes < TOGETHER) near.push(run);
    else all.push([run]);
  }
  return all;
}
