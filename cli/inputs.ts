/** `--in`: from array files to the arrays that a program asks for. */
import { elementCount, type HostArray, isFloat, type Tensor } from "../runtime/dtype.ts";
import { readNpy } from "../runtime/formats/npy.ts";
import { readNpz } from "../runtime/formats/npz.ts";
import { readSafetensors } from "../runtime/formats/safetensors.ts";
import type { PartialTensor } from "../runtime/inputs.ts";
import { partialTensor } from "../runtime/parts.ts";
import { type Stop, usage, wrong } from "./exit.ts";
import { readBytes } from "./files.ts";
import { type InFlag, nearest } from "./flags.ts";
import { type Stored, storedArrays } from "./stored.ts";

/**
 * An array from a file, and how messages call it. `asked`: the command line named it, so it must be an input. `read` gives
 * some of its elements, where parts of the file can be read.
 */
export type Given = {
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  readonly tensor: () => Tensor;
  readonly read?: Stored["read"];
  readonly file: string;
  readonly asked: boolean;
};

/** What an input of a program is called, and what it must be. */
export type Wanted = {
  readonly path: string;
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  /** The shape as the source has it: `B, S`. */
  readonly written: readonly string[];
};

/**
 * Reads the files of all `--in` flags; `inParts`: only what stands in front of their elements, where that is possible. A
 * .txt or .bin file is an array of its bytes; what any other file holds is told by its first bytes, not by its name. A
 * name in front of a file with several arrays goes in front of their names: `p=weights.npz` gives `p.w1`, `p.w2`.
 */
export function readInputs(flags: readonly InFlag[], inParts = false): ReadonlyMap<string, Given> {
  const all = new Map<string, Given>();
  for (const { name, file } of flags) {
    const arrays = (inParts && !isPlain(file) ? storedArrays(file) : undefined) ?? wholeArrays(file);
    for (const [key, array] of arrays) {
      if (key === "" && name === undefined)
        throw usage(`${file} holds one array, without a name`, `write --in NAME=${file}`);
      const { dtype, shape } = array;
      const given = "data" in array ? { tensor: () => array } : { tensor: () => wholeOf(array), read: array.read };
      if (key === "") all.set(name!, { dtype, shape, ...given, file, asked: true });
      else {
        const path = name === undefined ? key : `${name}.${key}`;
        all.set(path, { dtype, shape, ...given, file: `${file} (${key})`, asked: false });
      }
    }
  }
  return all;
}

const isPlain = (file: string): boolean => /\.(txt|bin)$/.test(file);

/** The arrays of a file by name, `` for the only one. */
function wholeArrays(file: string): ReadonlyMap<string, Tensor> {
  const bytes = readBytes(file);
  const starts = (magic: string): boolean => Buffer.from(bytes.subarray(0, magic.length)).toString("latin1") === magic;
  if (isPlain(file)) return new Map([["", bytesOf(bytes, file)]]);
  if (starts("\x93NUMPY")) return new Map([["", readNpy(bytes, file)]]);
  return starts("PK") ? readNpz(bytes, file) : readSafetensors(bytes, file);
}

function wholeOf({ dtype, shape, read }: Stored): Tensor {
  const count = elementCount(shape);
  return { dtype, shape, data: read([{ global: 0, local: 0, length: count }], count) };
}

/** A file's bytes, each a number from 0 to 255: i32[bytes]. Error: there are none (exit 1). */
function bytesOf(bytes: Uint8Array, file: string): Tensor {
  if (bytes.length === 0) throw wrong(`${file} is empty`, "give a file with at least one byte");
  return { dtype: "i32", shape: [bytes.length], data: Int32Array.from(bytes) };
}

/**
 * Arrays that the command line names must be inputs; of an .npz or .safetensors file at least one must be, and the
 * others are left aside. Errors: exit 2.
 */
export function checkNames(names: readonly string[], given: ReadonlyMap<string, Given>): void {
  for (const [name, { asked }] of given) if (asked && !names.includes(name)) throw unknown(name, names);
  if (given.size > 0 && names.every((name) => !given.has(name))) throw unknown([...given.keys()].join(", "), names);
}

/** An input that was given: all of it, or where it is read in parts, those. */
export type Matched = { readonly tensor: () => Tensor; readonly parts: PartialTensor | undefined };

/**
 * The given arrays that the program asks for, with their shapes checked and in its dtypes. Errors: a wrong shape,
 * numbers that the dtype cannot hold (exit 1).
 */
export function matchInputs(
  wanted: readonly Wanted[],
  given: ReadonlyMap<string, Given>,
): ReadonlyMap<string, Matched> {
  return new Map(
    wanted.flatMap((w) => {
      const one = given.get(w.path);
      if (!one) return [];
      checkShape(w, one);
      const { read, dtype, file } = one;
      const parts =
        read &&
        partialTensor(w.dtype, w.shape, (runs, count) => converted({ dtype, data: read(runs, count) }, w, count, file));
      let made: Tensor | undefined;
      const tensor = () => (made ??= fitted(w, one.tensor(), file));
      if (!parts) tensor(); // what does not fit is told now
      return [[w.path, { tensor, parts }] as const];
    }),
  );
}

function unknown(name: string, names: readonly string[]): Stop {
  const parts = names.filter((n) => n.startsWith(`${name}.`));
  if (parts.length > 0) return usage(`the input ${name} has parts, each with a file`, `give ${parts.join(", ")}`);
  const near = nearest(name, names);
  const has = names.length === 0 ? "it has none" : `its inputs are ${names.join(", ")}`;
  return usage(`the program has no input ${name}`, near ? `did you mean ${near}? ${has}` : has);
}

function checkShape(w: Wanted, { shape, file }: Given): void {
  const same = shape.length === w.shape.length && shape.every((n, i) => n === w.shape[i]);
  if (same) return;
  const written = w.written.join(", ") === w.shape.join(", ") ? "" : `, that is ${w.dtype}[${w.shape.join(", ")}]`;
  throw wrong(
    `${file} has shape [${shape.join(", ")}], and ${w.path} is ${w.dtype}[${w.written.join(", ")}]${written}`,
    "give an array of that shape, or other --dims",
  );
}

const fitted = (w: Wanted, tensor: Tensor, file: string): Tensor => ({
  dtype: w.dtype,
  shape: w.shape,
  data: converted(tensor, w, elementCount(w.shape), file),
});

const LARGEST = { f32: 3.4028235677973366e38, f16: 65520, bf16: 3.3961775292304601e38 } as const;

/** The elements as the wanted dtype's host array. Floats are rounded later, when they go to a device. */
function converted({ dtype, data }: Pick<Tensor, "dtype" | "data">, w: Wanted, count: number, file: string): HostArray {
  const toFloat = isFloat(w.dtype);
  const fromFloat = isFloat(dtype);
  const bad = (i: number, why: string): never => {
    throw wrong(`${file} has ${data[i]} at element ${i}, ${why}`, `${w.path} is ${w.dtype}[${w.written.join(", ")}]`);
  };
  if (toFloat) {
    const largest = LARGEST[w.dtype as keyof typeof LARGEST];
    for (let i = 0; i < data.length; i++) {
      const x = data[i]!;
      if (Math.abs(x) >= largest && Number.isFinite(x)) bad(i, `which is too large for ${w.dtype}`);
      if (!fromFloat && Math.fround(x) !== x) bad(i, "a whole number that f32 does not hold exactly");
    }
    return data instanceof Float32Array ? data : Float32Array.from(data);
  }
  if (fromFloat) {
    throw wrong(
      `${file} holds floating-point numbers, and ${w.path} is ${w.dtype}[${w.written.join(", ")}]`,
      `save it as integers, for instance with x.astype(numpy.${w.dtype === "bool" ? "bool_" : w.dtype === "u32" ? "uint32" : "int32"})`,
    );
  }
  const [least, most] = { i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1], bool: [0, 1] }[
    w.dtype as "i32" | "u32" | "bool"
  ];
  for (let i = 0; i < data.length; i++) if (data[i]! < least! || data[i]! > most!) bad(i, `outside ${w.dtype}'s range`);
  const out =
    w.dtype === "i32" ? new Int32Array(count) : w.dtype === "u32" ? new Uint32Array(count) : new Uint8Array(count);
  out.set(data);
  return out;
}
