/** Arrays of which only parts are made or read: those that the devices of this process hold. */
import { type Dtype, elementCount, type HostArray } from "./dtype.ts";
import type { PartialTensor } from "./inputs.ts";
import { forEachRun, localShape } from "./layout.ts";
import { defaultElements } from "./random.ts";

/** A stretch of an array's elements in row-major order, and where it stands in a part. */
export type Run = { readonly global: number; readonly local: number; readonly length: number };

/** `read` gives the elements of a part, `count` of them, from its runs; these go up in both places. */
export const partialTensor = (
  dtype: Dtype,
  shape: readonly number[],
  read: (runs: readonly Run[], count: number) => HostArray,
): PartialTensor => ({
  dtype,
  shape,
  part(spec, mesh, position) {
    const runs: Run[] = [];
    forEachRun(shape, spec, mesh, position, (global, local, length) => runs.push({ global, local, length }));
    return read(runs, elementCount(localShape(shape, spec, mesh)));
  },
});

/** What an input is when none is given, part by part. */
export const defaultTensor = (seed: number, name: string, dtype: Dtype, shape: readonly number[]): PartialTensor =>
  partialTensor(dtype, shape, (runs, count) => defaultElements(seed, name, dtype, runs, count));
