/** What reductions are not: the place of the largest, running sums, elements picked by number. */
import { invariant } from "../../base/invariant.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { add, and, identity, laneType, lit, op } from "../expr.ts";
import type { Expr } from "../ir.ts";
import {
  type At,
  axisIds,
  bind,
  type Context,
  declare,
  exists,
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
import { joinThreads } from "./join.ts";
import { type Digit, type Layout, project, threadBits } from "./layout.ts";
import { isLoaded } from "./operands.ts";
import { layoutAlong, prepare, share } from "./registers.ts";
import { evaluate } from "./value.ts";

/** The place of the first of the largest: of a thread's own, then of all threads', which exchange the largest and its place. */
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
  joinThreads(ctx, [best, place], threadBits(layout, axis.id), (at, others) => {
    const [other, there] = [bind(ctx, "other", others[0]!), bind(ctx, "there", others[1]!)];
    const mine = readHeld(best, at);
    const earlier = and(op("eq", [other, mine], "bool"), op("lt", [there, readHeld(place, at)], "bool"));
    take(at, op("or", [op("gt", [other, mine], "bool"), earlier], "bool"), other, there);
  });
  hold(ctx, v, place);
}

/**
 * A running sum: of a thread's elements side by side, of what the threads before have in all of the same round, and of the
 * rounds before. All rounds' sums are exchanged together.
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
  // Rounds along the axis come last: outermost.
  const others = layout.registers.filter((d) => d !== side);
  const rounds = [...others.filter((d) => !along(d)), ...others.filter(along)];
  const inOrder: Layout = { registers: [...(side ? [side] : []), ...rounds], threads: layout.threads };
  const plus = (a: Expr, b: Expr): Expr => op("add", [a, b], type);
  prepare(ctx, arg, layout);
  const held = declare(ctx, hintOf(v), type, layout);
  const total = declare(ctx, "total", type, { registers: rounds, threads: layout.threads });
  nestByFours(
    ctx,
    inOrder,
    [arg],
    (at, more) => {
      let sum: Expr | undefined;
      for (const one of [at, ...more]) {
        const here = exists(ctx, one, axis);
        const value = evaluate(ctx, arg, one);
        const x = here ? op("select", [here, value, lit(0, type)], type) : value;
        sum = bind(ctx, "sum", sum ? plus(sum, x) : x);
        writeHeld(ctx, held, one, sum);
      }
      writeHeld(ctx, total, at, sum!);
    },
    side?.count ?? 1,
  );
  const before = initial(ctx, "before", type, total.layout, () => lit(0, type));
  joinThreads(ctx, [total], threadBits(layout, axis.id), (at, [heard], isEarlier) => {
    const other = bind(ctx, "other", heard!);
    const added = op("select", [isEarlier, other, lit(0, type)], type);
    writeHeld(ctx, before, at, plus(readHeld(before, at), added));
    writeHeld(ctx, total, at, plus(readHeld(total, at), other));
  });
  const running = initial(ctx, "running", type, rest, () => lit(0, type));
  nest(
    ctx,
    inOrder,
    (at) => {
      const start = bind(ctx, "start", plus(readHeld(running, at), readHeld(before, at)));
      for (let k = 0; k < (side?.count ?? 1); k++) {
        const one = side ? { ...at, digits: [lit(k), ...at.digits.slice(1)] } : at;
        writeHeld(ctx, held, one, plus(start, readHeld(held, one)));
      }
      writeHeld(ctx, running, at, plus(readHeld(running, at), readHeld(total, at)));
    },
    side ? 1 : 0,
  );
  hold(ctx, v, held);
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
