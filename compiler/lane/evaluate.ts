/**
 * Values on demand: an expression for one register of a value (or four neighbours), bound to a name in the outermost
 * scope where it can be, so that it is computed once.
 */
import { InvariantError, invariant } from "../base/invariant.ts";
import { isHalf } from "../core/half.ts";
import { inGroup } from "../tile/groups.ts";
import type { Axis, Value } from "../tile/ir.ts";
import { dependsOn } from "../tile/values.ts";
import { bind, group, nameOf, partOfKnown } from "./bind.ts";
import {
  type Context,
  type Coords,
  homeFor,
  isWhole,
  keyOf,
  mapOf,
  neighbours,
  push,
  recast,
  registerName,
  registersOf,
  type Stored,
  show,
  within,
} from "./context.ts";
import { add, cast, laneType, lit, mul, op, ref, vec } from "./expr.ts";
import type { Expr } from "./ir.ts";
import { load } from "./load.ts";
import { isHeld } from "./map.ts";
import { edge, position } from "./position.ts";
import { reduce, reduceArg, scan } from "./reduce.ts";
import { childScope, find, openLoop } from "./scope.ts";
import { elementOf, rawLocal } from "./storage.ts";

export function evaluate(ctx: Context, v: Value, c: Coords, wanted: Axis | null): Expr {
  const d = v.def;
  if (d.kind === "const") return lit(d.value, laneType(v.dtype));
  const along = wanted && dependsOn(v, wanted) && mapOf(ctx, wanted).unroll > 1 ? wanted : null;
  const known = find(ctx.scope, keyOf(ctx, v, c, along)) ?? partOfKnown(ctx, v, c, along);
  if (known) return known;
  if (ctx.facts.stored.has(v.id) && !ctx.stored.has(v.id) && !ctx.filling.has(v.id)) {
    ctx.store(v);
    const written = find(ctx.scope, keyOf(ctx, v, c, along)) ?? partOfKnown(ctx, v, c, along);
    if (written) return written;
  }
  const kept = ctx.stored.get(v.id);
  if (kept && isWhole(ctx, kept))
    return recast(ctx, c, kept.vector, along, (cc, a) => bind(ctx, v, cc, a, () => elementOf(ctx, kept, cc, a)));
  switch (d.kind) {
    case "scalar":
      return ref(ctx.scalars[d.index]!);
    case "pos":
      return along
        ? vec(neighbours(c, along).map((n) => position(ctx, d.axis, n, v, true)))
        : position(ctx, d.axis, c, v);
    case "edge":
      return edge(ctx, d.axis, d.end);
    case "load":
      return load(ctx, v, d, c, along);
    case "map":
      if (d.op === "stop_gradient") return ctx.evaluate(d.args[0]!, c, along);
      // A cipher has no 4-wide form.
      if (d.op === "random_uniform" && along) return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
      if (d.op === "select" && ctx.full.has(v.id))
        return group(ctx, v, c, along, (native) => maskedSelect(ctx, v, native));
      return bind(ctx, v, c, along, () =>
        op(
          d.op as Exclude<typeof d.op, "stop_gradient">,
          d.args.map((a) => ctx.evaluate(a, c, along)),
          laneType(v.dtype),
          along ? 4 : 1,
        ),
      );
    case "cast": {
      const same = laneType(d.arg.dtype) === laneType(v.dtype) && !isHalf(v.dtype);
      // The same register, unless what it is of has none of its own.
      if (same && !ctx.facts.inlined.has(d.arg.id)) return ctx.evaluate(d.arg, c, along);
      return bind(ctx, v, c, along, () => cast(ctx.evaluate(d.arg, c, along), d.arg.dtype, v.dtype));
    }
    case "reduce":
      if (insideRounds(ctx, v, d.axis)) return fromStore(ctx, v, c, along);
      ctx.begun.add(v.id);
      return group(ctx, v, c, along, (native) =>
        d.op === "argmax" ? reduceArg(ctx, v, d.axis, d.arg) : reduce(ctx, v, d, native),
      );
    case "scan":
      return group(ctx, v, c, along, () => scan(ctx, v, d.axis, d.arg));
    case "at": {
      const arg = d.arg;
      if (along) return vec(neighbours(c, along).map((n) => ctx.evaluate(v, n, null)));
      if (d.bind.every((b) => isHeld(ctx.mapping, b))) return ctx.evaluate(arg, inGroups(d.bind, c), null);
      if (!ctx.stored.has(arg.id)) ctx.store(arg);
      const from = ctx.stored.get(arg.id)!;
      return bind(ctx, v, c, null, () => elementAt(ctx, from, d.bind, c));
    }
    case "step":
    case "carry":
    case "result":
      throw new InvariantError(
        `compiler bug: ${d.kind} ${v.name ?? v.id} of kernel ${ctx.kernel.name} is used outside its loop`,
      );
  }
}

/** Whether the loop over `axis` is open where `v`, made of all its elements, would be computed. */
function insideRounds(ctx: Context, v: Value, axis: Axis): boolean {
  return openLoop(homeFor(ctx, v), axis.id) !== undefined;
}
/** Keeps a value in an array, all of it, and reads one element. */
function fromStore(ctx: Context, v: Value, c: Coords, along: Axis | null): Expr {
  ctx.store(v);
  const kept = ctx.stored.get(v.id);
  invariant(kept, `${nameOf(v)} of kernel ${ctx.kernel.name} is kept in an array`);
  return recast(ctx, c, kept.vector, along, (cc, a) => bind(ctx, v, cc, a, () => elementOf(ctx, kept, cc, a)));
}

/** where(c, a, b) of a block on which c may hold everywhere: then `a` as it is. */
function maskedSelect(ctx: Context, v: Value, native: Axis | null): void {
  invariant(v.def.kind === "map", "a select is a map");
  const [cond, a, b] = v.def.args;
  const all = registersOf(ctx, v.axes, native);
  const names = all.map((c) => {
    const name = registerName(ctx, nameOf(v), v, c);
    const known = ctx.evaluate(a!, c, native);
    const value = native && known.width === 1 ? vec([known, known, known, known]) : known;
    push(ctx, { kind: "var", name, type: laneType(v.dtype), width: native ? 4 : 1, value });
    return name;
  });
  const masked = childScope(ctx.scope, ctx.scope.region, undefined, true);
  within(ctx, masked, () =>
    all.forEach((c, k) => {
      const value = ref(names[k]!, laneType(v.dtype), native ? 4 : 1);
      const chosen = op(
        "select",
        [ctx.evaluate(cond!, c, native), value, ctx.evaluate(b!, c, native)],
        laneType(v.dtype),
        native ? 4 : 1,
      );
      push(ctx, { kind: "set", name: names[k]!, value: chosen });
    }),
  );
  push(ctx, { kind: "if", cond: op("not", [ctx.full.get(v.id)!], "bool"), then: masked.stmts, else: [] });
  all.forEach((c, k) => {
    show(ctx, ctx.scope, keyOf(ctx, v, c, native), ref(names[k]!, laneType(v.dtype), native ? 4 : 1));
  });
}

type Bind = Extract<Value["def"], { kind: "at" }>["bind"];
/** The registers that indices mean which pick among a group of neighbours. */
function inGroups(bind: Bind, c: Coords): Coords {
  const to = new Map(c);
  for (const b of bind) {
    const { of, at } = inGroup(b)!;
    const u = c.get(b.axis.id) ?? 0;
    to.set(b.axis.id, u - (u % of) + at);
  }
  return to;
}
/** An element of a kept array at other element numbers, which are computed. */
function elementAt(ctx: Context, from: Stored, binds: Bind, c: Coords): Expr {
  let index: Expr = lit(0);
  let place: Expr = lit(0);
  for (const { axis, stride } of from.axes) {
    const by = binds.find((b) => b.axis.id === axis.id);
    let local: Expr;
    if (by) {
      const start = ctx.starts.get(axis.id);
      const at = ctx.evaluate(by.index, c, null);
      local = start ? op("sub", [at, start], "i32") : at;
    } else {
      local = rawLocal(ctx, axis, c.get(axis.id) ?? 0);
    }
    if (from.vector?.id === axis.id) place = local;
    else index = add(index, mul(local, lit(stride)));
  }
  if (!from.vector) return { kind: "elem", array: from.array, index, type: from.type, width: 1 };
  const group = place.kind === "lit" ? lit(place.value - (place.value % 4)) : place;
  const whole: Expr = { kind: "elem", array: from.array, index: add(index, group), type: from.type, width: 4 };
  return {
    kind: "component",
    arg: whole,
    at: place.kind === "lit" ? place.value % 4 : op("mod", [place, lit(4)], "i32"),
    type: whole.type,
    width: 1,
  };
}
