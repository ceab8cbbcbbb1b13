/** Values element by element: an expression for the element at hand, from what is held, in memory, or known. */
import { invariant } from "../../base/invariant.ts";
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { add, cast, laneType, lit, min, mul, op, ref, subtract } from "../expr.ts";
import type { Expr } from "../ir.ts";
import { type At, bind, type Context, heldFor, hintOf, local, partOf, position, readHeld, startOf } from "./context.ts";
import { wide } from "./dealt.ts";
import { isLoaded } from "./operands.ts";
import { pickedDigits } from "./picked.ts";

export function evaluate(ctx: Context, v: Value, at: At): Expr {
  const known = at.memo.get(v.id);
  if (known) return known;
  const held = heldFor(ctx, v, at.layout);
  if (held) return readHeld(held, at);
  const d = v.def;
  switch (d.kind) {
    case "const":
      return lit(d.value, laneType(v.dtype));
    case "scalar":
      return ref(ctx.scalars[d.index]!);
    case "step": {
      const step = ctx.steps.get(d.fold);
      invariant(step, `a step of kernel ${ctx.kernel.name} is used in its loop`);
      return step;
    }
    case "pos":
      return position(ctx, at, d.axis);
    case "edge":
      return edge(ctx, d.axis, d.end);
    case "load": {
      const strip = ctx.tiles.get(v.id);
      if (strip?.tile.rows.count === 1) {
        const axis = wide(ctx.dealt, v.axes)[0]!;
        const index = add(strip.base, local(ctx, at, axis));
        return { kind: "elem", array: strip.tile.name, index, type: "f32", width: 1 };
      }
      return remember(ctx, v, at, {
        kind: "load",
        buffer: d.buffer,
        index: offset(ctx, v, at),
        type: laneType(ctx.kernel.buffers[d.buffer]!.dtype),
        width: 1,
      });
    }
    case "cast":
      return remember(ctx, v, at, cast(evaluate(ctx, d.arg, at), d.arg.dtype, v.dtype));
    case "at":
      return evaluate(ctx, d.arg, { ...at, digits: pickedDigits(at.layout!, at.digits, d.bind), memo: new Map() });
    case "map":
      return remember(ctx, v, at, mapped(ctx, v, d.op, d.args, at));
    default:
      invariant(false, `${d.kind} ${hintOf(v)} of kernel ${ctx.kernel.name} is held where it is used`);
  }
}

/** A value used more than once is named, unless it is what is written down here. */
function remember(ctx: Context, v: Value, at: At, e: Expr): Expr {
  if (ctx.plan.kept.has(v.id) || (ctx.plan.uses.get(v.id) ?? 0) < 2) return e;
  const named = bind(ctx, hintOf(v), e);
  at.memo.set(v.id, named);
  return named;
}

function mapped(
  ctx: Context,
  v: Value,
  name: Extract<Value["def"], { kind: "map" }>["op"],
  args: readonly Value[],
  at: At,
): Expr {
  if (name === "stop_gradient") return evaluate(ctx, args[0]!, at);
  const type = laneType(v.dtype);
  const [x, y] = args;
  // x + 0
  if (name === "add" && y!.def.kind === "const" && y!.def.value === 0) return evaluate(ctx, x!, at);
  const difference = name === "exp" ? differenceOf(ctx, x!) : undefined;
  if (difference) {
    // exp(x - y) with one y for many x: a multiply-add and exp2 for each x, for y log2(e) is computed once.
    const [high, low] = difference.map((a) => times(ctx, a, Math.LOG2E, at));
    return op("exp2", [op("sub", [high!, low!], "f32")], "f32");
  }
  if (name === "exp" && x!.def.kind === "map" && x!.def.op === "sub")
    // Of a difference the exponential matters where that is small: exp2 is as good, and a third of the instructions.
    return op("exp2", [op("mul", [evaluate(ctx, x!, at), lit(Math.LOG2E, "f32")], "f32")], "f32");
  if (name === "div" && type === "f32" && isShared(ctx, x!, y!)) {
    // x / y with one y for many x: its reciprocal is taken once.
    const reciprocal = op("div", [lit(1, "f32"), evaluate(ctx, y!, at)], "f32");
    return op("mul", [evaluate(ctx, x!, at), reciprocal], "f32");
  }
  const all = args.map((a) => evaluate(ctx, a, at));
  // Sums and products of places are short.
  if (type === "i32" && name in places) return places[name as keyof typeof places](all[0]!, all[1]!);
  return op(name, all, type);
}
const places = { add, sub: subtract, mul };
/** A value times a number; what it is multiplied by itself, and nobody else asks for, is one factor with that. */
function times(ctx: Context, v: Value, by: number, at: At): Expr {
  const { plan } = ctx;
  const [x, c] = v.def.kind === "map" && v.def.op === "mul" ? (v.def.args as [Value, Value]) : [];
  if (x && c?.def.kind === "const" && !plan.kept.has(v.id) && (plan.uses.get(v.id) ?? 0) < 2)
    return times(ctx, x, by * c.def.value, at);
  return op("mul", [evaluate(ctx, v, at), lit(by, "f32")], "f32");
}
/** Whether y is the same along some axis of x. */
function isShared(ctx: Context, x: Value, y: Value): boolean {
  const axes = (a: Value): readonly Axis[] => wide(ctx.dealt, a.axes);
  return axes(y).length < axes(x).length && y.def.kind !== "const";
}
/** x - y where y is the same along some axis of x, and the difference is nothing else's. */
function differenceOf(ctx: Context, v: Value): readonly [Value, Value] | undefined {
  if (v.def.kind !== "map" || v.def.op !== "sub" || (ctx.plan.uses.get(v.id) ?? 0) > 1) return undefined;
  const [x, y] = v.def.args as [Value, Value];
  return isShared(ctx, x, y) ? [x, y] : undefined;
}

/** First or last element of the block at hand. */
function edge(ctx: Context, a: Axis, end: "first" | "last"): Expr {
  const first = startOf(ctx, a);
  if (end === "first") return first;
  const p = partOf(ctx, a);
  const last = add(first, lit(p.block - 1));
  return a.extent % p.block === 0 ? last : min(last, lit(a.extent - 1));
}

/** The row-major offset of a load's element. */
export function offset(ctx: Context, v: Value, at: At): Expr {
  invariant(v.def.kind === "load", "what is loaded has an offset");
  return offsetIn(ctx, v.def.buffer, v.def.index, v.def.clamp, at);
}
export function offsetIn(ctx: Context, buffer: number, index: readonly Value[], clamp: boolean, at: At): Expr {
  const { shape } = ctx.kernel.buffers[buffer]!;
  let stride = 1;
  let total: Expr = lit(0);
  for (let k = shape.length - 1; k >= 0; k--) {
    const i = evaluate(ctx, index[k]!, at);
    const d = index[k]!.def;
    const inside =
      !clamp || (d.kind === "pos" && d.axis.extent <= shape[k]!)
        ? i
        : i.kind === "lit"
          ? lit(Math.max(0, Math.min(i.value, shape[k]! - 1)))
          : op("max", [min(i, lit(shape[k]! - 1)), lit(0)], "i32");
    if (shape[k] !== 1) total = add(mul(inside, lit(stride)), total);
    stride *= shape[k]!;
  }
  return total;
}

/** The values in registers that an expression for `v` reads. */
export function reads(ctx: Context, v: Value, found: Map<number, Value> = new Map()): ReadonlyMap<number, Value> {
  if (found.has(v.id)) return found;
  if (ctx.held.has(v.id)) {
    found.set(v.id, v);
    return found;
  }
  if (isLoaded(v) && !operandsOf(v.def).some((a) => ctx.held.has(a.id)) && operandsOf(v.def).length === 0) return found;
  for (const a of operandsOf(v.def)) reads(ctx, a, found);
  return found;
}
