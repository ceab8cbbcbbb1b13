/**
 * Arrays of the reference interpreter: float64 numbers in row-major order, never written after they are made.
 * Floats are float64; f16 and bf16 are rounded where they are computed. i32 and u32 are exact; a bool
 * is 0 or 1.
 */
import { invariant } from "../base/invariant.ts";
import type { DType } from "./ir.ts";

export type NDArray = { readonly dtype: DType; readonly shape: readonly number[]; readonly data: Float64Array };
export type Shape = readonly number[];

export const elements = (shape: Shape): number => {
  let n = 1;
  for (let i = 0; i < shape.length; i++) n *= shape[i]!;
  return n;
};
/** An array of the numbers given in row-major order; zeros where none are given. */
export function ndarray(
  dtype: DType,
  shape: Shape,
  data: ArrayLike<number> = new Float64Array(elements(shape)),
): NDArray {
  invariant(data.length === elements(shape), `${data.length} numbers for an array of shape [${shape.join(", ")}]`);
  return { dtype, shape, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}
export const scalar = (dtype: DType, value: number): NDArray => ({ dtype, shape: [], data: Float64Array.of(value) });
/** The sole number of an array with one element. */
export const item = (x: NDArray): number => x.data[0]!;

/** An array whose element at each index is what `f` gives there; for tests and small inputs. */
export function tabulate(dtype: DType, shape: Shape, f: (...index: number[]) => number): NDArray {
  const data = new Float64Array(elements(shape));
  const index = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = f(...index);
    for (let d = shape.length - 1; d >= 0 && ++index[d]! === shape[d]; d--) index[d] = 0;
  }
  return { dtype, shape, data };
}

/** Elements to the next index, for each dimension of a row-major array. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  for (let d = shape.length - 1, step = 1; d >= 0; d--) {
    strides[d] = step;
    step *= shape[d]!;
  }
  return strides;
}
export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** NumPy's rule: shapes meet at their last dimension, and a size of 1 stretches. */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1,
      y = b[b.length - rank + i] ?? 1;
    invariant(x === y || x === 1 || y === 1, `shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`);
    return x === 1 ? y : x;
  });
}
/** Strides that read an array of shape `from` as if it had shape `to`: 0 where it is stretched. */
export function broadcastStrides(from: Shape, to: Shape): number[] {
  const own = stridesOf(from);
  const lead = to.length - from.length;
  return to.map((_, i) => (i < lead || from[i - lead] === 1 ? 0 : own[i - lead]!));
}

/** A nest of loops over `shape`, with a stride for each of several arrays in each loop; loops that can be one loop are one. */
export type Nest = { readonly shape: readonly number[]; readonly strides: readonly (readonly number[])[] };

/** Joins neighbouring loops where every array's strides allow it. Undefined where there is nothing to do. */
export function nest(shape: Shape, strides: readonly (readonly number[])[]): Nest | undefined {
  const sizes: number[] = [];
  const joined: number[][] = strides.map(() => []);
  for (let d = 0; d < shape.length; d++) {
    const size = shape[d]!;
    if (size === 0) return undefined;
    if (size === 1) continue;
    const last = sizes.length - 1;
    let fits = last >= 0;
    for (let k = 0; fits && k < strides.length; k++) fits = joined[k]![last]! === strides[k]![d]! * size;
    if (fits) sizes[last]! *= size;
    else sizes.push(size);
    for (let k = 0; k < strides.length; k++) joined[k]![fits ? last : last + 1] = strides[k]![d]!;
  }
  if (sizes.length === 0) {
    sizes.push(1);
    for (const s of joined) s.push(0);
  }
  return { shape: sizes, strides: joined };
}

/**
 * Runs the outer loops of a nest; `row(at)` is the innermost loop, with each array's offset in `at`.
 * `start`: where each array begins.
 */
export function rows(n: Nest, start: readonly number[], row: (at: readonly number[]) => void): void {
  const at = start.slice();
  const loops = n.shape.length - 1;
  const arrays = at.length;
  if (loops === 0) {
    row(at);
    return;
  }
  const index = new Int32Array(loops);
  for (;;) {
    row(at);
    let d = loops - 1;
    for (; d >= 0; d--) {
      const more = ++index[d]! < n.shape[d]!;
      for (let k = 0; k < arrays; k++) at[k]! += more ? n.strides[k]![d]! : -n.strides[k]![d]! * (n.shape[d]! - 1);
      if (more) break;
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

/** A part of an array: where it starts, and the step of each of its dimensions. */
export type View = { readonly data: Float64Array; readonly start: number; readonly strides: readonly number[] };

/** Copies `shape` elements from one view to another. */
export function copy(shape: Shape, from: View, to: View): void {
  const n = nest(shape, [from.strides, to.strides]);
  if (!n) return;
  const last = n.shape.length - 1;
  const size = n.shape[last]!,
    si = n.strides[0]![last]!,
    di = n.strides[1]![last]!;
  const src = from.data,
    dst = to.data;
  rows(n, [from.start, to.start], (at) => {
    let i = at[0]!,
      o = at[1]!;
    if (si === 1 && di === 1 && size >= 32) dst.set(src.subarray(i, i + size), o);
    else for (let k = 0; k < size; k++, i += si, o += di) dst[o] = src[i]!;
  });
}

/** The array of `shape` that reads `x` through `strides` from `start`. */
export function gatherView(x: NDArray, shape: Shape, start: number, strides: readonly number[]): NDArray {
  const data = new Float64Array(elements(shape));
  copy(shape, { data: x.data, start, strides }, { data, start: 0, strides: stridesOf(shape) });
  return { dtype: x.dtype, shape, data };
}
export const broadcastTo = (x: NDArray, shape: Shape): NDArray =>
  sameShape(x.shape, shape) ? x : gatherView(x, shape, 0, broadcastStrides(x.shape, shape));
/** The same numbers under another shape. */
export const reshaped = (x: NDArray, shape: Shape): NDArray => ndarray(x.dtype, shape, x.data);
/** Dimension `d` of the result is dimension `perm[d]` of `x`. */
export function transposed(x: NDArray, perm: readonly number[]): NDArray {
  const strides = stridesOf(x.shape);
  return gatherView(
    x,
    perm.map((d) => x.shape[d]!),
    0,
    perm.map((d) => strides[d]!),
  );
}
/** Rows `start … start+size-1` of dimension `dim`. */
export function sliced(x: NDArray, dim: number, start: number, size: number): NDArray {
  const strides = stridesOf(x.shape);
  return gatherView(x, x.shape.with(dim, size), start * strides[dim]!, strides);
}
/** `x` with `value` in place of its rows from `start` on. */
export function updated(x: NDArray, value: NDArray, dim: number, start: number): NDArray {
  const data = x.data.slice();
  const strides = stridesOf(x.shape);
  copy(
    value.shape,
    { data: value.data, start: 0, strides: stridesOf(value.shape) },
    { data, start: start * strides[dim]!, strides },
  );
  return { dtype: x.dtype, shape: x.shape, data };
}
/** One after another along `dim`. */
export function concatenated(parts: readonly NDArray[], dim: number): NDArray {
  const first = parts[0]!;
  const shape = first.shape.with(
    dim,
    parts.reduce((n, p) => n + p.shape[dim]!, 0),
  );
  const data = new Float64Array(elements(shape));
  const strides = stridesOf(shape);
  let at = 0;
  for (const p of parts) {
    copy(
      p.shape,
      { data: p.data, start: 0, strides: stridesOf(p.shape) },
      { data, start: at * strides[dim]!, strides },
    );
    at += p.shape[dim]!;
  }
  return { dtype: first.dtype, shape, data };
}
/** Arrays of one shape along a new leading dimension. */
export function stacked(parts: readonly NDArray[], dtype: DType, shape: Shape): NDArray {
  const size = elements(shape);
  const data = new Float64Array(parts.length * size);
  for (const [i, p] of parts.entries()) data.set(p.data, i * size);
  return { dtype, shape: [parts.length, ...shape], data };
}
/** Rows of dimension `dim` in the order of `table`. */
export function taken(x: NDArray, dim: number, table: readonly number[]): NDArray {
  const outer = elements(x.shape.slice(0, dim)),
    inner = elements(x.shape.slice(dim + 1)),
    rowsIn = x.shape[dim]!;
  const shape = x.shape.with(dim, table.length);
  const data = new Float64Array(elements(shape));
  for (let o = 0; o < outer; o++)
    for (let r = 0; r < table.length; r++) {
      const from = (o * rowsIn + table[r]!) * inner;
      data.set(x.data.subarray(from, from + inner), (o * table.length + r) * inner);
    }
  return { dtype: x.dtype, shape, data };
}
