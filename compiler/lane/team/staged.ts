/** What goes through shared memory: factors of products, and strips of what a loop loads of its own axis. */
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Kernel, Value } from "../../tile/ir.ts";
import { dependsOn, valuesOf } from "../../tile/values.ts";
import { foldsOf } from "../map.ts";
import { type Dealt, layoutOf, wide } from "./dealt.ts";
import { everywhere, type Layout } from "./layout.ts";
import { isLoaded, type Product } from "./operands.ts";
import { pieceOf, type SharedTile, type Swizzle, swizzleFor } from "./shared.ts";

/** `copy`: asynchronously, piece by piece, as memory has it. `fill`: element by element. `spill`: from registers. */
export type Staged = {
  readonly tile: SharedTile;
  readonly value: Value;
  readonly how: "copy" | "fill" | "spill";
  /** Elements that are copied at once. */
  readonly piece: number;
};

/** The factors that go through shared memory. */
export function stagedOf(
  kernel: Kernel,
  d: Dealt,
  products: ReadonlyMap<number, Product>,
): ReadonlyMap<number, Staged> {
  const found = new Map<number, Staged>();
  for (const p of products.values())
    for (const [operand, side] of [
      [p.left, p.m],
      [p.right, p.n],
    ] as const) {
      const v = operand.value;
      if (operand.kind !== "shared" || found.has(v.id)) continue;
      const lies = besides(v, [side, p.k]);
      const columns = lies ?? p.k;
      const rows = columns.id === side.id ? p.k : side;
      const count = (a: Axis): number => d.parts.get(a.id)!.cover;
      const how = !isLoaded(v) ? "spill" : lies && inPieces(kernel, d, v, lies) ? "copy" : "fill";
      // What threads compute for themselves they have in f32.
      const dtype = d.pattern === "blocks" && how !== "copy" ? "f32" : p.dtype;
      const piece = pieceOf(dtype);
      const tile: SharedTile = {
        name: v.name ?? "operand",
        dtype,
        rows: { axis: rows.id, count: count(rows) },
        columns: { axis: columns.id, count: count(columns) },
        swizzle:
          d.pattern === "blocks"
            ? swizzleByK(d, products, v, columns, count(columns) / piece)
            : swizzleFor(count(columns) / piece),
        piece,
        width: d.pattern === "blocks" && inFours(d, products, v, columns, how) ? 4 : 1,
        stages: 1,
      };
      found.set(v.id, { tile, value: v, how, piece });
    }
  for (const v of stripsOf(kernel, d)) {
    const axis = wide(d, v.axes)[0]!;
    const tile: SharedTile = {
      name: v.name ?? "strip",
      dtype: v.dtype,
      rows: { axis: everywhere, count: 1 },
      columns: { axis: axis.id, count: d.parts.get(axis.id)!.cover },
      swizzle: { every: 1, of: 1 },
      piece: pieceOf(v.dtype),
      width: 1,
      stages: 1,
    };
    const lies = besides(v, [axis]);
    const whole = lies && inPieces(kernel, d, v, lies);
    found.set(v.id, { tile, value: v, how: "copy", piece: whole ? pieceOf(v.dtype) : 1 });
  }
  return found;
}

/** Elements side by side along an axis that a thread holds of a value. */
const neighbours = (layout: Layout, axis: Axis): number =>
  layout.registers.find((r) => r.axis === axis.id && r.stride === 1)?.count ?? 1;

/** Threads read rows of a tile by k that are as far apart as each has neighbours; what they read by its side lies together. */
function swizzleByK(
  d: Dealt,
  products: ReadonlyMap<number, Product>,
  v: Value,
  columns: Axis,
  pieces: number,
): Swizzle {
  const [byK] = [...products.values()].flatMap((p) => {
    const side = p.a.id === v.id ? p.m : p.b.id === v.id ? p.n : undefined;
    return side && side.id !== columns.id ? [neighbours(layoutOf(d, [p.m, p.n]), side)] : [];
  });
  return byK === undefined ? { every: 1, of: 1 } : swizzleFor(pieces, byK);
}

/** Whether all that write a tile and all that read it have four neighbours along its columns. */
function inFours(
  d: Dealt,
  products: ReadonlyMap<number, Product>,
  v: Value,
  columns: Axis,
  how: Staged["how"],
): boolean {
  const [fastest] = layoutOf(d, v.axes).registers;
  const written = how !== "spill" || (fastest?.axis === columns.id && fastest.stride === 1 && fastest.count === 4);
  const read = [...products.values()].every((p) => {
    const side = p.a.id === v.id ? p.m : p.b.id === v.id ? p.n : undefined;
    return side?.id !== columns.id || neighbours(layoutOf(d, [p.m, p.n]), columns) === 4;
  });
  return written && read;
}

/**
 * What a loop's body loads of its own axis alone (a statistic of each column): too little for a product, but to wait for
 * it in every round would cost as much. Not what says where other things are.
 */
export function stripsOf(kernel: Kernel, d: Dealt): readonly Value[] {
  const places = new Set<number>();
  const see = (v: Value): void => {
    places.add(v.id);
    operandsOf(v.def).forEach(see);
  };
  for (const v of valuesOf(kernel)) if (v.def.kind === "load") v.def.index.forEach(see);
  return foldsOf(kernel.body).flatMap((f) => {
    if (f.over.kind !== "blocks") return [];
    const { axis } = f.over;
    return f.body.flatMap((s) => {
      if (s.kind === "fold" || s.value.def.kind !== "load" || s.value.dtype !== "f32" || places.has(s.value.id))
        return [];
      const only = wide(d, s.value.axes);
      return only.length === 1 && only[0]!.id === axis.id && kernel.buffers[s.value.def.buffer]!.dtype === "f32"
        ? [s.value]
        : [];
    });
  });
}

/** The axis along which a load's elements lie side by side in memory. */
export function besides(v: Value, axes: readonly Axis[]): Axis | undefined {
  if (v.def.kind !== "load") return undefined;
  const last = v.def.index.at(-1)?.def;
  if (last?.kind !== "pos") return undefined;
  const { axis } = last;
  const alone = v.def.index.slice(0, -1).every((i) => !dependsOn(i, axis));
  return alone ? axes.find((a) => a.id === axis.id) : undefined;
}

/** Whether its rows begin and end at multiples of a piece. */
export function inPieces(kernel: Kernel, d: Dealt, v: Value, columns: Axis): boolean {
  if (v.def.kind !== "load") return false;
  const buffer = kernel.buffers[v.def.buffer]!;
  const piece = pieceOf(buffer.dtype);
  const part = d.parts.get(columns.id)!;
  return (
    buffer.shape.at(-1)! % piece === 0 &&
    part.block % piece === 0 &&
    columns.extent % piece === 0 &&
    buffer.dtype === v.dtype
  );
}
