/**
 * Global arrays ↔ the parts that the devices of a mesh hold.
 *
 * A mesh is an ordered list of axes; devices are numbered with the first axis the slowest. A spec has one entry for
 * each dimension of an array: the axes that split it (major first; none: not split) and the layout, which says where
 * row `r` of device `d` (of `n` along those axes, `c` rows each) stands in the global array:
 *
 *     contiguous   d·c + r
 *     striped      r·n + d
 *     zigzag       the dimension is cut into 2n pieces of h = c/2, and device d holds pieces d and 2n-1-d:
 *                  d·h + r  for r < h,  (2n-1-d)·h + (r - h)  for r ≥ h
 *
 * Over axes that a spec leaves out the array is replicated; when reading, the first holder speaks for all.
 */
import { fail } from "./errors.ts";

export type MeshAxis = { readonly name: string; readonly size: number };
export type Mesh = readonly MeshAxis[];
export type Layout = "contiguous" | "striped" | "zigzag";
export type SpecEntry = { readonly axes: readonly string[]; readonly layout: Layout };
export type PartitionSpec = readonly SpecEntry[];

/** Any typed array can be cut. */
export type AnyArray = Float64Array | Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

/** How many devices a mesh has. */
export const meshSize = (mesh: Mesh): number => mesh.reduce((product, axis) => product * axis.size, 1);

/** The coordinate of device `device` along each axis: `(sp=4, tp=2)`, device 5 → `[2, 1]`. */
export function coordinates(mesh: Mesh, device: number): number[] {
  const at: number[] = [];
  let rest = device;
  for (let i = mesh.length - 1; i >= 0; i--) {
    at[i] = rest % mesh[i]!.size;
    rest = Math.floor(rest / mesh[i]!.size);
  }
  return at;
}

/** Where a device stands along the axes of one spec entry: index `d` of `n`, the first axis the slowest. */
function along(entry: SpecEntry, mesh: Mesh, device: number): { readonly d: number; readonly n: number } {
  const at = coordinates(mesh, device);
  let d = 0;
  let n = 1;
  for (const name of entry.axes) {
    const i = mesh.findIndex((axis) => axis.name === name);
    const axis = mesh[i] ?? fail("internal", `the mesh has no axis '${name}'`, "please report this with the program");
    d = d * axis.size + at[i]!;
    n *= axis.size;
  }
  return { d, n };
}

/** The shape of each device's part. Error (`input`): a dimension that does not divide. */
export function localShape(shape: readonly number[], spec: PartitionSpec, mesh: Mesh): number[] {
  return shape.map((size, dim) => {
    const entry = spec[dim];
    if (!entry) return size;
    const { n } = along(entry, mesh, 0);
    const pieces = entry.layout === "zigzag" && n > 1 ? 2 * n : n;
    if (size % pieces !== 0) {
      const over = `${entry.axes.join("*")}${pieces === n ? "" : " in zigzag layout"}`;
      fail(
        "input",
        `dimension ${dim} has size ${size}, which does not divide into ${pieces} pieces (${over})`,
        `use a multiple of ${pieces}, such as ${Math.ceil(size / pieces) * pieces}, or another mesh`,
      );
    }
    return size / n;
  });
}

/** The global index of local row `r` of device `d`, of `n` devices with `c` rows each. */
export function globalIndex(layout: Layout, r: number, d: number, n: number, c: number): number {
  if (layout === "striped") return r * n + d;
  if (layout === "contiguous" || n === 1) return d * c + r;
  const h = c / 2;
  return r < h ? d * h + r : (2 * n - 1 - d) * h + (r - h);
}

/** Stretches of rows that are adjacent both in the part and in the whole. */
type Run = { readonly local: number; readonly global: number; readonly length: number };

function runsOf(layout: Layout, d: number, n: number, c: number): Run[] {
  if (n === 1 || layout === "contiguous") return [{ local: 0, global: d * c, length: c }];
  if (layout === "zigzag") {
    const h = c / 2;
    return [
      { local: 0, global: d * h, length: h },
      { local: h, global: (2 * n - 1 - d) * h, length: h },
    ];
  }
  return Array.from({ length: c }, (_, r) => ({ local: r, global: r * n + d, length: 1 }));
}

/** Visits the stretches of elements, as long as they can be, that a device's part shares with the whole. */
export function forEachRun(
  shape: readonly number[],
  spec: PartitionSpec,
  mesh: Mesh,
  device: number,
  visit: (global: number, local: number, length: number) => void,
): void {
  const local = localShape(shape, spec, mesh);
  if (local.includes(0)) return;
  const places = shape.map((_, dim) => (spec[dim] ? along(spec[dim], mesh, device) : { d: 0, n: 1 }));
  let last = shape.length - 1; // the last dimension that is split: all beneath it is adjacent
  while (last >= 0 && places[last]!.n === 1) last--;
  if (last < 0) {
    visit(
      0,
      0,
      shape.reduce((product, size) => product * size, 1),
    );
    return;
  }
  const inner = shape.slice(last + 1).reduce((product, size) => product * size, 1);
  const runs = shape
    .slice(0, last + 1)
    .map((_, dim) => runsOf(spec[dim]?.layout ?? "contiguous", places[dim]!.d, places[dim]!.n, local[dim]!));
  const walk = (dim: number, global: number, at: number) => {
    for (const run of runs[dim]!) {
      const g = global * shape[dim]! + run.global;
      const l = at * local[dim]! + run.local;
      if (dim === last) visit(g * inner, l * inner, run.length * inner);
      else for (let i = 0; i < run.length; i++) walk(dim + 1, g + i, l + i);
    }
  };
  walk(0, 0, 0);
}

/** Stretches shorter than this are copied element by element: `subarray` costs more. */
const SHORT = 16;

function copyRun(from: AnyArray, fromAt: number, to: AnyArray, toAt: number, length: number): void {
  if (length >= SHORT) to.set(from.subarray(fromAt, fromAt + length), toAt);
  else for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]!;
}

/**
 * The part of `array` (row-major, of shape `shape`) that device `device` holds. Shares memory with `array` where the
 * part is one stretch of it.
 */
export function shard<T extends AnyArray>(
  array: T,
  shape: readonly number[],
  spec: PartitionSpec,
  mesh: Mesh,
  device: number,
): T {
  const count = localShape(shape, spec, mesh).reduce((product, size) => product * size, 1);
  let runs = 0;
  let start = 0;
  forEachRun(shape, spec, mesh, device, (global) => {
    if (runs++ === 0) start = global;
  });
  if (runs === 1) return array.subarray(start, start + count) as T;
  const part = sameKind(array, count);
  forEachRun(shape, spec, mesh, device, (global, local, length) => copyRun(array, global, part, local, length));
  return part;
}

/** The devices whose parts together make the whole, each part once: those at 0 along the axes that `spec` leaves out. */
export function holders(spec: PartitionSpec, mesh: Mesh): number[] {
  const used = new Set(spec.flatMap((entry) => entry.axes));
  const devices: number[] = [];
  for (let device = 0; device < meshSize(mesh); device++) {
    const at = coordinates(mesh, device);
    if (mesh.every((axis, i) => used.has(axis.name) || at[i] === 0)) devices.push(device);
  }
  return devices;
}

/**
 * The whole array of shape `shape` from its parts. `parts[device]` is needed for the devices in `holders(spec, mesh)`
 * only. Where there is one holder, the whole is its part (no copy).
 */
export function unshard<T extends AnyArray>(
  parts: readonly (T | undefined)[],
  shape: readonly number[],
  spec: PartitionSpec,
  mesh: Mesh,
): T {
  const from = holders(spec, mesh);
  const part = (device: number): T =>
    parts[device] ?? fail("internal", `the part of device ${device} is missing`, "please report this with the program");
  if (from.length === 1) return part(from[0]!);
  const whole = sameKind(
    part(from[0]!),
    shape.reduce((product, size) => product * size, 1),
  );
  for (const device of from) {
    const array = part(device);
    forEachRun(shape, spec, mesh, device, (global, local, length) => copyRun(array, local, whole, global, length));
  }
  return whole;
}

function sameKind<T extends AnyArray>(array: T, length: number): T {
  return new (array.constructor as new (length: number) => T)(length);
}
