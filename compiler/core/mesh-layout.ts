/**
 * Where things are on a mesh: places along axes, and which global rows of a split dimension a device holds.
 * Devices are numbered with the mesh's first axis major; a tuple of axes is one ring with its first axis major.
 */
import type { Layout } from "../base/dim.ts";
import { invariant } from "../base/invariant.ts";
import type { Mesh } from "./ir.ts";

/** A device's index along each axis of the mesh. */
export type Coordinates = readonly number[];

export const axisSize = (mesh: Mesh, axis: string): number => {
  const found = mesh.axes.find((a) => a.name === axis);
  invariant(found, `mesh ${mesh.name} has no axis ${axis}`);
  return found.size;
};
/** The number of devices along several axes. */
export const ringSize = (mesh: Mesh, axes: readonly string[]): number =>
  axes.reduce((n, a) => n * axisSize(mesh, a), 1);
export const deviceCount = (mesh: Mesh): number => mesh.axes.reduce((n, a) => n * a.size, 1);

export function coordinatesOf(mesh: Mesh, device: number): Coordinates {
  const at: number[] = [];
  for (let i = mesh.axes.length - 1, rest = device; i >= 0; i--) {
    const { size } = mesh.axes[i]!;
    at[i] = rest % size;
    rest = Math.floor(rest / size);
  }
  return at;
}

/** The place along `axes` of a device: 0 … ringSize-1. */
export const placeAlong = (mesh: Mesh, axes: readonly string[], at: Coordinates): number =>
  axes.reduce((n, name) => {
    const i = mesh.axes.findIndex((a) => a.name === name);
    invariant(i >= 0, `mesh ${mesh.name} has no axis ${name}`);
    return n * mesh.axes[i]!.size + at[i]!;
  }, 0);

/**
 * The global row that is local row `row` on device `place` of `n`, where each device holds `size` rows.
 *
 *   contiguous: place*size + row
 *   striped:    row*n + place
 *   zigzag:     of 2n pieces of size/2 rows, pieces `place` and `2n-1-place`
 */
function globalRow(layout: Layout, n: number, size: number, place: number, row: number): number {
  switch (layout) {
    case "contiguous":
      return place * size + row;
    case "striped":
      return row * n + place;
    case "zigzag": {
      const half = size / 2;
      return row < half ? place * half + row : (2 * n - 1 - place) * half + (row - half);
    }
  }
}
/** The global rows that device `place` of `n` holds, in local order. */
export const globalRows = (layout: Layout, n: number, size: number, place: number): readonly number[] =>
  Array.from({ length: size }, (_, row) => globalRow(layout, n, size, place, row));

/** Mesh coordinates (0 along other axes) of each place along `axes`, the first axis major. */
export function places(mesh: Mesh, axes: readonly string[]): readonly (readonly number[])[] {
  let all: number[][] = [mesh.axes.map(() => 0)];
  for (const axis of axes) {
    const i = mesh.axes.findIndex((a) => a.name === axis);
    all = all.flatMap((at) => Array.from({ length: axisSize(mesh, axis) }, (_, k) => at.with(i, k)));
  }
  return all;
}
/** For each of some mesh coordinates, its place along `axes`. */
export const placesIn = (mesh: Mesh, at: readonly (readonly number[])[], axes: readonly string[]): Int32Array => {
  const dims = axes.map((axis) => mesh.axes.findIndex((a) => a.name === axis));
  return Int32Array.from(at, (c) => dims.reduce((n, i) => n * mesh.axes[i]!.size + c[i]!, 0));
};
/** For each place along `to`, the place along `from` that it lies in. */
export function projection(mesh: Mesh, to: readonly string[], from: readonly string[]): Int32Array {
  const lost = from.find((a) => !to.includes(a) && axisSize(mesh, a) > 1);
  invariant(lost === undefined, `a value that varies over ${lost} stands where it must not`);
  return placesIn(mesh, places(mesh, to), from);
}
