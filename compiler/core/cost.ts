/**
 * What equations and transfers take on a machine, before kernels are cut: estimates by which passes choose between ways to
 * say the same. Sums of products, tiles and reductions are counted; other elementwise work is taken to be part of them.
 * Blocks that masks leave out count as if they ran.
 */
import { type Dim, type DimAtom, dimAtoms, evalDim } from "../base/dim.ts";
import { launchSeconds, linkOf, type Machine, peakOf } from "../base/machine.ts";
import { bytesEach } from "./dtype.ts";
import type { Atom, Block, Eqn, Index, Mesh, OpEqn, Type } from "./ir.ts";
import { ringSize } from "./mesh-layout.ts";
import { freeVars, outsOf } from "./walk.ts";

/** A choice that was made, for people: what it is about, what was done, and the seconds that it saves in a run. */
export type Choice = { readonly about: string; readonly what: string; readonly saves: number };

/** What people call a value: its name, or that of what it is a part or another form of. */
export function nameOf(a: Atom, defs: ReadonlyMap<number, Eqn>, or = "a value"): string {
  for (let x: Atom | undefined = a; x?.kind === "var"; ) {
    if (x.name !== undefined) return x.name;
    const e: Eqn | undefined = defs.get(x.id);
    x = e?.kind === "op" ? e.args[0] : undefined;
  }
  return or;
}

/** Bytes of a value in memory. */
export const bytesOf = ({ dtype, shape }: Type): number =>
  shape.reduce<number>((n, d) => n * sizeIn(new Map(), d), bytesEach(dtype));

/** Whether a sum over n devices is taken by gathering everything everywhere: up to 64 KiB over all devices. */
export const isSmallSum = (x: Type, n: number): boolean => n * bytesOf(x) <= 64 * 1024;

// --- Kernels ---------------------------------------------------------------------------------------------------------

/** What the kernels of an equation take: 0 for what becomes part of others. Loops count all their steps. */
export function secondsOf(m: Machine, e: Eqn): number {
  if (e.kind === "fold" && e.over.kind === "steps") return sizeIn(new Map(), e.over.count) * blockSeconds(m, e.body);
  if (e.kind === "if") return blockSeconds(m, e.then) + blockSeconds(m, e.else);
  if (e.kind === "op" && !isHeavy(e)) return 0;
  if (e.kind !== "op" && e.kind !== "tiles" && e.kind !== "fold") return 0;
  const read: readonly Atom[] = e.kind === "op" ? e.args : [...freeVars({ eqns: [e], results: [] })];
  const bytes = [...read, ...outsOf(e)].reduce((n, a) => n + bytesOf(a.type), 0);
  return launchSeconds(m, arithmetic(m, e, new Map(), 1), bytes);
}
export const blockSeconds = (m: Machine, b: Block): number => b.eqns.reduce((sum, e) => sum + secondsOf(m, e), 0);

const isHeavy = (e: OpEqn): boolean => e.op === "einsum" || e.op === "reduce" || e.op === "cumsum" || e.op === "argmax";

/** Sizes of blocks of tile indices, by atom: every block of an index runs, so all of its elements are counted. */
type Extents = Map<string, number>;
const sizeIn = (sizes: Extents, d: Dim): number => {
  if (typeof d === "number") return d;
  const value = evalDim(d, (atom: DimAtom) => sizes.get(atom.key));
  return value.kind === "missing" ? 1 : value.value;
};

/** Seconds at the peaks. */
function arithmetic(m: Machine, e: Eqn, sizes: Extents, times: number): number {
  const inside = (b: Block, n: number): number => b.eqns.reduce((sum, x) => sum + arithmetic(m, x, sizes, n), 0);
  const through = (indices: readonly Index[], b: Block): number => {
    let n = times;
    for (const { extent, block, size } of indices) {
      if (block === null) n *= sizeIn(sizes, extent);
      else for (const atom of dimAtoms(size)) sizes.set(atom.key, sizeIn(sizes, extent));
    }
    return inside(b, n);
  };
  switch (e.kind) {
    case "op":
      return (times * operations(e, sizes)) / rateOf(m, e);
    case "fold":
      return e.over.kind === "steps"
        ? inside(e.body, times * sizeIn(sizes, e.over.count))
        : through([e.over.index], e.body);
    case "tiles":
      return through(e.indices, e.body);
    case "if":
      return inside(e.then, times) + inside(e.else, times);
    default:
      return 0;
  }
}
const rateOf = (m: Machine, e: OpEqn): number =>
  e.op === "einsum" && e.args.length > 1 ? Math.min(...e.args.map((a) => peakOf(m, a.type.dtype))) : m.vector;

/** A multiply-add is 2. */
function operations(e: OpEqn, sizes: Extents): number {
  const elements = (shape: readonly Dim[]): number => shape.reduce<number>((n, d) => n * sizeIn(sizes, d), 1);
  if (e.op !== "einsum") return elements((e.args[0] ?? e.out).type.shape);
  const labels = new Map<string, number>();
  for (const [i, own] of e.params.ins.entries())
    for (const [d, label] of own.entries())
      labels.set(label, Math.max(labels.get(label) ?? 1, sizeIn(sizes, e.args[i]!.type.shape[d]!)));
  return 2 * [...labels.values()].reduce((n, size) => n * size, 1);
}

// --- Transfers -------------------------------------------------------------------------------------------------------

/** Rings of some axes (flattened, major first), or of the parts of them with `within` places that follow each other. */
export type Way = { readonly axes: readonly string[]; readonly within?: number };

/** How many places that follow each other along axes are surely in one node, everywhere in the mesh. */
export function placesInNode({ devicesPerNode }: Machine, mesh: Mesh, axes: readonly string[]): number {
  let places = 1;
  for (const name of axes.toReversed()) {
    const at = mesh.axes.findIndex((a) => a.name === name);
    const apart = mesh.axes.slice(at + 1).reduce((n, a) => n * a.size, 1);
    const { size } = mesh.axes[at]!;
    if (size === 1) continue;
    if (devicesPerNode % (apart * size) !== 0) {
      const part = devicesPerNode / apart;
      return part > 1 && Number.isInteger(part) && size % part === 0 ? places * part : places;
    }
    places *= size;
  }
  return places;
}

/** What a transfer of `bytes` takes: on its link, and until it is there. `bothWays`: how much of it two directions carry at once. */
export function transferSeconds(m: Machine, mesh: Mesh, { axes, within = ringSize(mesh, axes) }: Way, bytes: number) {
  const inside = placesInNode(m, mesh, axes) % within === 0;
  const { link, message, rate } = linkOf(m, inside);
  return { inside, onLink: message + bytes / rate, message, latency: link.latency, bothWays: link.shared ? 1 : 2 };
}
