/** Arrays of a thread: their layout, and reading and writing one element (or four neighbours). */
import type { Axis, Value } from "../tile/ir.ts";
import { type Context, type Coords, rawPlace, type Stored, sum, vectorAxis } from "./context.ts";
import { add, laneType, lit, mul } from "./expr.ts";
import { registers } from "./facts.ts";
import type { Expr, LaneStmt } from "./ir.ts";

/** Axes as the elements of a loaded array follow each other in memory: what is laid together is read there in order. */
export function memoryOrder(v: Value, axes: readonly Axis[] = v.axes): readonly Axis[] {
  const { def } = v;
  if (def.kind !== "load") return axes;
  const place = (a: Axis): number => def.index.findIndex((i) => i.axes.some((x) => x.id === a.id));
  return [...axes].sort((a, b) => place(a) - place(b));
}

/** Declares an array for all elements of a value that the thread holds. The axis held by fours is innermost. */
export function allocate(ctx: Context, v: Value, hint: string): Stored {
  const addressed = ctx.facts.addressed.get(v.id);
  const vector = vectorAxis(ctx, v);
  const by = vector && !addressed?.has(vector.id) && v.def.kind !== "scan" ? vector : null;
  const axesHeld = ctx.mapping.simd ? memoryOrder(v) : v.axes;
  const order = [...axesHeld.filter((a) => a.id !== by?.id), ...(by ? [by] : [])];
  let size = 1;
  const axes: { axis: Axis; stride: number }[] = [];
  for (const axis of [...order].reverse()) {
    axes.unshift({ axis, stride: size });
    size *= registers(ctx.mapping, axis);
  }
  const type = laneType(v.dtype);
  const array = ctx.fresh(hint);
  ctx.arrays.push({ kind: "array", name: array, type, width: by ? 4 : 1, size });
  return { array, type, axes: axes.filter(({ axis }) => registers(ctx.mapping, axis) > 1), vector: by };
}

/** Element number within the thread's own part of a block. */
export function rawLocal(ctx: Context, a: Axis, u: number): Expr {
  if (ctx.bases.has(a.id)) return lit(u);
  const start = ctx.starts.get(a.id);
  const raw = rawPlace(ctx, a, u);
  return sum(
    raw.refs.filter((r) => !(start?.kind === "ref" && r.kind === "ref" && r.name === start.name)),
    raw.constant,
  );
}

function indexOf(ctx: Context, s: Stored, c: Coords): Expr {
  let constant = 0;
  let index: Expr = lit(0);
  for (const { axis, stride } of s.axes) {
    const u = c.get(axis.id) ?? 0;
    const first = rawLocal(ctx, axis, 0);
    constant += u * stride;
    index = add(index, mul(first, lit(stride)));
  }
  return add(index, lit(constant));
}

export const elementOf = (ctx: Context, s: Stored, c: Coords, along: Axis | null): Expr => ({
  kind: "elem",
  array: s.array,
  index: indexOf(ctx, s, c),
  type: s.type,
  width: along ? 4 : 1,
});
export const setElement = (ctx: Context, s: Stored, c: Coords, value: Expr): LaneStmt => ({
  kind: "setElem",
  array: s.array,
  index: indexOf(ctx, s, c),
  value,
});
