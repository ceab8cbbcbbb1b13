/** Results: as files, as a summary for people, and held against the reference. */
import { closeSync, fsyncSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import type { DeviceArray } from "../runtime/array.ts";
import { elementCount, type Tensor } from "../runtime/dtype.ts";
import { npyElementBytes, npyElements, npyStart, writeNpy } from "../runtime/formats/npy.ts";
import { forEachRun, type Mesh } from "../runtime/layout.ts";
import type { Roster } from "../runtime/transport/roster.ts";
import { draftOf, publish, releaseDraft, shareDraft, writeAtomic, writing } from "./files.ts";
import type { Colors } from "./io.ts";

/** One result; `path` is `` for a sole array, else `0`, `loss`, `state.m`. */
export type Result = {
  readonly path: string;
  readonly tensor: Tensor;
  /** The sharding as the source writes it: `P(_, sp, _)`. */
  readonly spec: string;
};

/** `result`, `result.0`, `result.state.m`: what the command line and files call a result. */
const resultName = (path: string): string => (path === "" ? "result" : `result.${path}`);

/** Writes each result as `NAME.npy` into a folder; gives the paths. */
export function writeResults(results: readonly Result[], folder: string): readonly string[] {
  return results.map(({ path, tensor }) => {
    const file = join(folder, `${resultName(path)}.npy`);
    writeAtomic(file, writeNpy(tensor));
    return file;
  });
}

/** A result that is still on the devices. */
export type Held = {
  readonly path: string;
  readonly spec: string;
  readonly array: DeviceArray;
};

/**
 * The same by several processes, each of which writes what its devices hold into the same file: the folder is on a disk
 * that all see. The file has its name when everyone has written; where somebody cannot, nothing is left.
 */
export async function writeResultsTogether(
  results: readonly Held[],
  folder: string,
  mesh: Mesh,
  roster: Roster,
): Promise<readonly string[]> {
  const files: string[] = [];
  for (const { path, array } of results) {
    const file = join(folder, `${resultName(path)}.npy`);
    const { dtype, shape, spec } = array;
    const start = npyStart(dtype, shape);
    const each = npyElementBytes(dtype);
    const begin = (): string => {
      const draft = draftOf(resolve(file));
      writeFileSync(draft, start);
      truncateSync(draft, start.length + each * elementCount(shape));
      return draft;
    };
    const [draft] = await roster.exchange(roster.rank === 0 ? writing(file, begin) : "");
    shareDraft(draft!);
    const parts = await array.readParts();
    writing(file, () => {
      const open = openSync(draft!, "r+");
      for (const { position, data } of parts) {
        const bytes = npyElements({ dtype, shape, data });
        forEachRun(shape, spec, mesh, position, (global, local, length) => {
          const piece = bytes.subarray(local * each, (local + length) * each);
          for (let at = 0; at < piece.length; )
            at += writeSync(open, piece, at, piece.length - at, start.length + global * each + at);
        });
      }
      fsyncSync(open);
      closeSync(open);
    });
    await roster.exchange("written");
    if (roster.rank === 0) writing(file, () => publish(draft!, file));
    await roster.exchange("named");
    releaseDraft(draft!);
    files.push(file);
  }
  return files;
}

/** What is worth knowing of many numbers. NaN and infinities are counted and left out of the rest. */
export type Statistics = {
  readonly mean: number;
  readonly std: number;
  readonly min: number;
  readonly max: number;
  readonly nan: number;
  readonly infinite: number;
};

function statistics(data: ArrayLike<number>): Statistics {
  let n = 0,
    sum = 0,
    min = Number.POSITIVE_INFINITY,
    max = Number.NEGATIVE_INFINITY,
    nan = 0,
    infinite = 0;
  for (let i = 0; i < data.length; i++) {
    const x = data[i]!;
    if (Number.isNaN(x)) nan++;
    else if (!Number.isFinite(x)) infinite++;
    else {
      n++;
      sum += x;
      if (x < min) min = x;
      if (x > max) max = x;
    }
  }
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < data.length; i++) if (Number.isFinite(data[i]!)) squares += (data[i]! - mean) ** 2;
  return { mean, std: Math.sqrt(squares / n), min, max, nan, infinite };
}

/** Two lines for each result: what it is with its statistics, and its first values. */
export function summary(results: readonly Result[], { bold, dim, yellow }: Colors): string {
  return results
    .map(({ path, tensor, spec }) => {
      const head = `${bold(resultName(path))}  ${tensor.dtype}[${tensor.shape.join(", ")}]${tensor.shape.length > 0 ? dim(` @ ${spec}`) : ""}`;
      if (tensor.data.length === 1) return `${head}  ${shown(tensor, 0)}`;
      const s = statistics(tensor.data);
      const odd = [s.nan > 0 ? `${s.nan} NaN` : "", s.infinite > 0 ? `${s.infinite} infinite` : ""].filter(
        (x) => x !== "",
      );
      const facts =
        tensor.data.length === 0
          ? "empty"
          : `mean ${short(s.mean)}  std ${short(s.std)}  min ${short(s.min)}  max ${short(s.max)}`;
      const first = Array.from({ length: Math.min(6, tensor.data.length) }, (_, i) => shown(tensor, i));
      const rest = tensor.data.length > first.length ? ", …" : "";
      return [
        `${head}`,
        `  ${facts}${odd.map((o) => yellow(`  ${o}`)).join("")}`,
        `  [${first.join(", ")}${rest}]`,
      ].join("\n");
    })
    .join("\n");
}

const shown = ({ dtype, data }: Tensor, i: number): string =>
  dtype === "bool"
    ? data[i]
      ? "true"
      : "false"
    : dtype === "i32" || dtype === "u32"
      ? String(data[i])
      : short(data[i]!);
/** Six digits, without trailing zeros. */
const short = (x: number): string => (Number.isFinite(x) ? String(Number(x.toPrecision(6))) : String(x));

/** For `--json`: no NaN in JSON, so those become strings. */
export function resultJson({ path, tensor, spec }: Result): object {
  const s = statistics(tensor.data);
  const number = (x: number): number | null => (Number.isFinite(x) ? x : null);
  return {
    name: resultName(path),
    dtype: tensor.dtype,
    shape: tensor.shape,
    spec,
    mean: number(s.mean),
    std: number(s.std),
    min: number(s.min),
    max: number(s.max),
    nan: s.nan,
    infinite: s.infinite,
    first: Array.from(tensor.data.slice(0, 6), (x) => (Number.isFinite(x) ? x : String(x))),
  };
}

/** How far a result is from the reference, `‖out − ref‖ / ‖ref‖`, and how far it may be. */
export type Verdict = { readonly path: string; readonly error: number; readonly bound: number; readonly ok: boolean };

const BOUND = { f32: 1e-4, f16: 5e-3, bf16: 2e-2, i32: 0, u32: 0, bool: 0 } as const;

/**
 * Holds a result against the reference. `dtypes` are those of all that it is computed from: where one is coarser than the
 * result's own, its bound counts, since that is how exactly the program computes. Integers must be equal.
 */
export function verdict(path: string, out: Tensor, ref: ArrayLike<number>, dtypes: Iterable<Tensor["dtype"]>): Verdict {
  let difference = 0,
    norm = 0;
  for (let i = 0; i < ref.length; i++) {
    const x = out.data[i]!,
      y = ref[i]!;
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) norm += Number.isFinite(y) ? y * y : 0;
    else {
      difference += (x - y) ** 2;
      norm += y * y;
    }
  }
  const distance = Math.sqrt(difference);
  const error = distance === 0 ? 0 : norm === 0 ? distance : distance / Math.sqrt(norm);
  const bound = BOUND[out.dtype] === 0 ? 0 : Math.max(BOUND[out.dtype], ...[...dtypes].map((d) => BOUND[d]));
  return { path, error, bound, ok: error <= bound }; // NaN is not
}

/** `verified result: relative error 1.2e-7, bound 1e-4`. */
export function verdictLine({ path, error, bound, ok }: Verdict, { green, red }: Colors): string {
  const distance = bound === 0 ? "" : `relative error ${error.toExponential(2)}, bound ${bound.toExponential(0)}`;
  if (ok) return `${green("verified")} ${resultName(path)}: ${distance || "equal to the reference"}`;
  return `${red("WRONG")} ${resultName(path)}: ${distance || "differs from the reference"}`;
}
