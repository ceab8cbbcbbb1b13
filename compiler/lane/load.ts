/** Loads: four neighbours at once where they lie side by side, or handed round where four threads need the same. */
import type { Axis, Value } from "../tile/ir.ts";
import { dependsOn } from "../tile/values.ts";
import { alignedToFour, evenStep, offsetOf, plusTerm, writeAffine } from "./address.ts";
import { bind, nameOf, settle } from "./bind.ts";
import {
  bindIn,
  type Context,
  type Coords,
  groupOf,
  homeFor,
  keyOf,
  mapOf,
  neighbours,
  push,
  registerName,
  splits,
  within,
} from "./context.ts";
import { crossedBy } from "./crosswise.ts";
import { add, component, laneType, lit, min, mul, op, ref, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { stepsAlong } from "./map.ts";
import { find } from "./scope.ts";

type Load = Extract<Value["def"], { kind: "load" }>;
export function load(ctx: Context, v: Value, d: Load, c: Coords, along: Axis | null): Expr {
  const side = sideBySide(ctx, v, d, c);
  if (along && side?.id !== along.id) return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
  const buffer = ctx.kernel.buffers[d.buffer]!;
  const type = laneType(buffer.dtype);
  if (side) {
    const first = groupOf(c, side);
    const whole =
      exchanged(ctx, v, d, first, side) ??
      spread(ctx, v, d, first, side) ??
      bind(ctx, v, first, side, () => ({
        kind: "load",
        buffer: d.buffer,
        index: writeAffine(ctx, offsetOf(ctx, d.index, buffer.shape, first)),
        type,
        width: 4,
      }));
    return along
      ? whole
      : component(whole.kind === "load" ? keep(ctx, v, first, side, whole) : whole, (c.get(side.id) ?? 0) % 4);
  }
  const shared = d.clamp ? undefined : (exchanged(ctx, v, d, c, null) ?? spread(ctx, v, d, c, null));
  if (shared) return shared;
  return bind(ctx, v, c, null, () => {
    // Of four neighbours of which some exist, the others may have been computed too.
    const loose = d.index.some((i) => i.def.kind !== "pos" && i.axes.some((a) => splits(ctx, a)));
    const index =
      d.clamp || loose
        ? clampedOffset(ctx, d.index, buffer.shape, c)
        : writeAffine(ctx, offsetOf(ctx, d.index, buffer.shape, c));
    return { kind: "load", buffer: d.buffer, index, type, width: 1 };
  });
}
/**
 * What four threads hold crosswise along an axis, and all need: each loads its own, and has the others' by an exchange. Undefined
 * where some thread needs what the others do not.
 */
function exchanged(ctx: Context, v: Value, d: Load, c: Coords, side: Axis | null): Expr | undefined {
  const axis = v.axes.find((a) => mapOf(ctx, a).crosswise);
  if (!axis || v.axes.some((a) => mapOf(ctx, a).lanes > 1)) return undefined;
  const u = c.get(axis.id) ?? 0;
  const by = crossedBy(mapOf(ctx, axis));
  const s = Math.floor(u / by) % 4;
  const home = homeFor(ctx, v);
  const type = laneType(ctx.kernel.buffers[d.buffer]!.dtype);
  const width = side ? 4 : 1;
  const mine = new Map(c).set(axis.id, u - s * by);
  const own = keyOf(ctx, v, mine, side);
  const load = (): Expr =>
    within(ctx, home, () => {
      const index = writeAffine(ctx, offsetOf(ctx, d.index, ctx.kernel.buffers[d.buffer]!.shape, mine));
      return { kind: "load", buffer: d.buffer, index, type, width };
    });
  const held = find(home, own) ?? bindIn(ctx, home, own, () => registerName(ctx, nameOf(v), v, mine), load());
  if (s === 0) return held;
  const given = op("shuffle_xor", [held, lit(s)], type, width);
  return bindIn(ctx, home, keyOf(ctx, v, c, side), () => registerName(ctx, nameOf(v), v, c), given);
}
/**
 * Four threads that need the same four rows load one each and hand them round: a load costs far more than a broadcast
 * where the target says so. The rows are registers of an axis along which the address rises evenly.
 */
function spread(ctx: Context, v: Value, d: Load, c: Coords, side: Axis | null): Expr | undefined {
  if (!ctx.mapping.spread || v.axes.some((a) => mapOf(ctx, a).lanes > 1)) return undefined;
  const rows = v.axes.find((a) => a.id !== side?.id && mapOf(ctx, a).unroll % 4 === 0 && !mapOf(ctx, a).ragged);
  if (!rows) return undefined;
  const shape = ctx.kernel.buffers[d.buffer]!.shape;
  const home = homeFor(ctx, v);
  const first = groupOf(c, rows);
  const four = neighbours(first, rows);
  const offsets = within(ctx, home, () => four.map((n) => offsetOf(ctx, d.index, shape, n)));
  const step = evenStep(offsets);
  if (step === undefined) return undefined;
  const type = laneType(ctx.kernel.buffers[d.buffer]!.dtype);
  const width = side ? 4 : 1;
  const mine = within(ctx, home, () => {
    const index = writeAffine(ctx, plusTerm(offsets[0]!, ref("quad"), step));
    const name = registerName(ctx, `${nameOf(v)}_mine`, v, first);
    push(ctx, { kind: "let", name, value: { kind: "load", buffer: d.buffer, index, type, width } });
    for (const [k, n] of four.entries()) {
      const given = op("quad_broadcast", [ref(name, type, width), lit(k)], type, width);
      bindIn(ctx, home, keyOf(ctx, v, n, side), () => registerName(ctx, nameOf(v), v, n), given);
    }
    return find(home, keyOf(ctx, v, c, side));
  });
  return mine;
}

function keep(ctx: Context, v: Value, c: Coords, along: Axis, value: Expr): Expr {
  return settle(ctx, v, c, along, value);
}
/** The axis along which four elements can be loaded at once: it alone moves the last index, and groups of four are aligned. */
function sideBySide(ctx: Context, v: Value, d: Load, c: Coords): Axis | null {
  const last = d.index.at(-1);
  if (d.clamp || !last) return null;
  const axis = nextTo(ctx, last, v.axes);
  if (!axis || d.index.slice(0, -1).some((i) => dependsOn(i, axis))) return null;
  if (ctx.mapping.simd) return axis;
  const shape = ctx.kernel.buffers[d.buffer]!.shape;
  return shape.at(-1)! % 4 === 0 && alignedToFour(ctx, offsetOf(ctx, d.index, shape, groupOf(c, axis))) ? axis : null;
}
/** The axis held by fours along which a last index moves by one; with SIMD four may begin anywhere. */
export function nextTo(ctx: Context, last: Value, axes: readonly Axis[]): Axis | undefined {
  const { simd } = ctx.mapping;
  const moves = (a: Axis): boolean =>
    simd ? a.id === simd.axis && stepsAlong(last, a) : last.def.kind === "pos" && last.def.axis.id === a.id;
  return axes.find((a) => mapOf(ctx, a).vector && moves(a));
}
function clampedOffset(ctx: Context, index: readonly Value[], shape: readonly number[], c: Coords): Expr {
  let offset: Expr = lit(0);
  index.forEach((i, k) => {
    const at = ctx.evaluate(i, c, null);
    const inside =
      at.kind === "lit"
        ? lit(Math.max(0, Math.min(at.value, shape[k]! - 1)))
        : op("max", [min(at, lit(shape[k]! - 1)), lit(0)], "i32");
    offset = add(mul(offset, lit(shape[k]!)), inside);
  });
  return offset;
}
