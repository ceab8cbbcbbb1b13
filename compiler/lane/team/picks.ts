/** What reductions are not: the place of the largest, running sums, elements picked by number. */
import { invariant } from "../../base/invariant.ts";
import type { DType } from "../../core/ir.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { add, and, identity, laneType, lit, op, ref } from "../expr.ts";
import type { Expr } from "../ir.ts";
import {
  type At,
  axisIds,
  bind,
  type Context,
  declare,
  exists,
  type Held,
  hintOf,
  hold,
  initial,
  layoutFor,
  local,
  nest,
  nowhere,
  position,
  push,
  readHeld,
  startOf,
  within,
  writeHeld,
} from "./context.ts";
import { wide } from "./dealt.ts";
import { nestByFours } from "./fours.ts";
import { type Digit, type Layout, project, threadBits } from "./layout.ts";
import { isLoaded } from "./operands.ts";
import { layoutAlong, parts, prepare, share, sharedArray } from "./registers.ts";
import { evaluate } from "./value.ts";

/** The place of the first of the largest: in the thread, then between threads, which exchange the largest and its place. */
export function largest(ctx: Context, v: Value): void {
  invariant(v.def.kind === "reduce", "what is largest is looked for along an axis");
  const { axis, arg } = v.def;
  const type = laneType(arg.dtype);
  const layout = layoutAlong(ctx, arg, axis);
  const rest = project(layout, axisIds(ctx, v));
  prepare(ctx, arg, layout);
  const best = initial(ctx, "best", type, rest, () => lit(identity("max", type), type));
  const place = initial(ctx, hintOf(v), "i32", rest, () => startOf(ctx, axis));
  const take = (at: At, better: Expr, value: Expr, where: Expr): void => {
    const then = within(ctx, () => {
      writeHeld(ctx, best, at, value);
      writeHeld(ctx, place, at, where);
    });
    push(ctx, { kind: "if", cond: better, then, else: [] });
  };
  nestByFours(ctx, layout, [arg], (at) => {
    const value = bind(ctx, "candidate", evaluate(ctx, arg, at));
    const larger = op("gt", [value, readHeld(best, at)], "bool");
    const here = exists(ctx, at, axis);
    take(at, here ? and(larger, here) : larger, value, position(ctx, at, axis));
  });
  for (const bit of threadBits(layout, axis.id)) {
    const [value, where] = [best, place].map((h) => exchanged(ctx, h, bit)) as [Reader, Reader];
    nest(ctx, rest, (at) => {
      const [other, there] = [bind(ctx, "other", value(at)), bind(ctx, "there", where(at))];
      const mine = readHeld(best, at);
      const earlier = and(op("eq", [other, mine], "bool"), op("lt", [there, readHeld(place, at)], "bool"));
      take(at, op("or", [op("gt", [other, mine], "bool"), earlier], "bool"), other, there);
    });
  }
  hold(ctx, v, place);
}

type Reader = (at: At) => Expr;
/** What the thread holds whose number differs in a bit: by a shuffle, or through shared memory from another warp. */
function exchanged(ctx: Context, h: Held, bit: number): Reader {
  if (bit < ctx.plan.exchange) return (at) => op("shuffle_xor", [readHeld(h, at), lit(bit)], h.type);
  const read = parts(ctx, h);
  const thread = op("xor", [ref("lane"), lit(bit)], "i32");
  return (at) => read(thread, at);
}

/**
 * A running sum. A thread's elements side by side first; then, over the bits of threads from the nearest neighbours on, what
 * those before have in all; then rounds.
 */
export function runningSum(ctx: Context, v: Value): void {
  invariant(v.def.kind === "scan", "what runs is a scan");
  const { axis, arg } = v.def;
  const type = laneType(v.dtype);
  const layout = layoutFor(ctx, v);
  const along = (d: Digit): boolean => d.axis === axis.id;
  const side = layout.registers.find((d) => along(d) && d.stride === 1 && d === layout.registers[0]);
  const rest = project(
    layout,
    axisIds(ctx, v).filter((a) => a !== axis.id),
  );
  const bits = threadBits(layout, axis.id);
  // Rounds along the axis come last: outermost.
  const first = side ? [side] : [];
  const others = layout.registers.filter((d) => !first.includes(d));
  const inOrder: Layout = {
    registers: [...first, ...others.filter((d) => !along(d)), ...others.filter(along)],
    threads: layout.threads,
  };
  prepare(ctx, arg, layout);
  const held = declare(ctx, hintOf(v), type, layout);
  const running = initial(ctx, "running", type, rest, () => lit(0, type));
  const plus = (a: Expr, b: Expr): Expr => op("add", [a, b], type);
  const variable = (hint: string, value: Expr): { readonly name: string; readonly value: Expr } => {
    const name = ctx.fresh(hint);
    push(ctx, { kind: "var", name, type, width: 1, value });
    return { name, value: ref(name, type) };
  };
  const between = bits.some((b) => b >= ctx.plan.exchange)
    ? sharedArray(ctx, "sum_parts", type as DType, ctx.plan.warps * 32)
    : "";
  nestByFours(
    ctx,
    inOrder,
    [arg],
    (at, more) => {
      const all = [at, ...more];
      let sum: Expr | undefined;
      const sums = all.map((one) => {
        const here = exists(ctx, one, axis);
        const value = evaluate(ctx, arg, one);
        const x = here ? op("select", [here, value, lit(0, type)], type) : value;
        sum = bind(ctx, "sum", sum ? plus(sum, x) : x);
        return sum;
      });
      const total = variable("total", sum!);
      const before = variable("before", readHeld(running, at));
      for (const bit of bits) {
        const other = bind(ctx, "other", exchange(ctx, total.value, bit, between));
        const isLater = op(
          "eq",
          [op("mod", [op("div", [ref("lane"), lit(bit)], "i32"), lit(2)], "i32"), lit(1)],
          "bool",
        );
        const set = { kind: "set" as const, name: before.name, value: plus(before.value, other) };
        push(ctx, { kind: "if", cond: isLater, then: [set], else: [] });
        push(ctx, { kind: "set", name: total.name, value: plus(total.value, other) });
      }
      for (const [k, one] of all.entries()) writeHeld(ctx, held, one, plus(before.value, sums[k]!));
      writeHeld(ctx, running, at, plus(readHeld(running, at), total.value));
    },
    side?.count ?? 1,
  );
  hold(ctx, v, held);
}
function exchange(ctx: Context, value: Expr, bit: number, between: string): Expr {
  if (bit < ctx.plan.exchange) return op("shuffle_xor", [value, lit(bit)], value.type);
  push(ctx, { kind: "barrier" }, { kind: "setElem", array: between, index: ref("lane"), value }, { kind: "barrier" });
  const index = op("xor", [ref("lane"), lit(bit)], "i32");
  return { kind: "elem", array: between, index, type: value.type, width: 1 };
}

/** Elements of `arg` with other numbers along some axes: loaded from where they are, or out of shared memory. */
export function picked(ctx: Context, v: Value): void {
  invariant(v.def.kind === "at", "what is picked is at some place");
  const { arg, bind: bound } = v.def;
  const layout = layoutFor(ctx, v);
  for (const { index } of bound) prepare(ctx, index, layout);
  const axes: readonly Axis[] = wide(ctx.dealt, arg.axes);
  const shared = isLoaded(arg) ? undefined : share(ctx, arg);
  const held = initial(ctx, hintOf(v), laneType(v.dtype), layout, (at) => {
    const own = new Map<number, Expr>();
    for (const a of axes) if (!bound.some((b) => b.axis.id === a.id)) own.set(a.id, local(ctx, at, a));
    for (const { axis, index } of bound) {
      const start = startOf(ctx, axis);
      const there = evaluate(ctx, index, at);
      own.set(axis.id, start.kind === "lit" ? add(there, lit(-start.value)) : op("sub", [there, start], "i32"));
    }
    return shared ? shared(nowhere(own)) : evaluate(ctx, arg, nowhere(own));
  });
  hold(ctx, v, held);
}
