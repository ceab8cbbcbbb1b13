/** Collectives over mesh axes. They take arrays, tuples and records, leaf by leaf; what does not vary is widened first. */
import { type Dim, dimProduct } from "../../base/dim.ts";
import { isFloat } from "../dtype.ts";
import type { Atom, Route } from "../ir.ts";
import { operand, toAtom } from "./arithmetic.ts";
import { axisSize } from "./axes.ts";
import { arg, axesArg, type Builtin, type Call, dimArg } from "./builtin.ts";
import { asValue, checkWhole, dimAtom, emit, fail, known, poison, widen } from "./context.ts";
import { type Argument, describe, errorValue, mapLeaves, type Value } from "./value.ts";

/** Runs a collective on every leaf of its first argument; `one` gets the leaf, varying over the axes. */
function collective(k: Call, one: (x: Atom, axes: readonly string[]) => Value): Value {
  const axes = axesArg(k, arg(k, 1));
  if (!axes) return errorValue;
  // Over no axes, as `varying_axes` may give, there is one device.
  if (axes.length === 0) return arg(k, 0).value;
  if (k.c.outside) return fail(k.c, "GY5001", k.span, { name: k.name });
  const under = k.c.conditions.find((x) => x.axes.some((a) => axes.includes(a)));
  if (under)
    return fail(k.c, "GY4010", k.span, { name: k.name, axes: under.axes.filter((a) => axes.includes(a)) }, [
      { span: under.span, message: "this condition differs between devices" },
    ]);
  return mapLeaves(arg(k, 0).value, (leaf) => {
    const x = toAtom(k.c, leaf, arg(k, 0).span, undefined, k.name);
    return x === poison ? errorValue : one(widen(k.c, x, axes, k.span), axes);
  });
}
const allReduce = (op: "psum" | "pmax" | "pmin"): Builtin => ({
  params: ["x", "axis"],
  required: 2,
  run: (k) => collective(k, (x, axes) => asValue(emit(k.c, op, { axes }, [x], k.span, k.name))),
});

export const collectives: Readonly<Record<string, Builtin>> = {
  psum: allReduce("psum"),
  pmax: allReduce("pmax"),
  pmin: allReduce("pmin"),
  // pmean(x, a) = psum(x, a) / axis_size(a)
  pmean: {
    params: ["x", "axis"],
    required: 2,
    run: (k) =>
      collective(k, (x, axes) => {
        if (!isFloat(x.type.dtype))
          return fail(k.c, "GY3002", arg(k, 0).span, { op: k.name, dtype: x.type.dtype, wants: "float" });
        const total = emit(k.c, "psum", { axes }, [x], k.span, k.name);
        return asValue(
          emit(k.c, "div", {}, [total, dimAtom(k.c, axisSize(k.c, axes), x.type.dtype, k.span)], k.span, k.name),
        );
      }),
  },
  ppermute: {
    params: ["x", "axis", "shift", "pairs"],
    required: 2,
    usage: "ppermute(x, axis, shift = 1)",
    run: (k) => {
      const axes = axesArg(k, arg(k, 1));
      const route = axes && routeOf(k, axes);
      return route
        ? collective(k, (x, on) => asValue(emit(k.c, "ppermute", { axes: on, route }, [x], k.span, k.name)))
        : errorValue;
    },
  },
  all_gather: {
    params: ["x", "axis", "dim"],
    required: 2,
    run: (k) =>
      collective(k, (x, axes) => {
        const dim = dimArg(k, k.args[2], x.type.shape.length, 0);
        return dim === undefined ? errorValue : asValue(emit(k.c, "all_gather", { axes, dim }, [x], k.span, k.name));
      }),
  },
  psum_scatter: {
    params: ["x", "axis", "dim"],
    required: 2,
    run: (k) =>
      collective(k, (x, axes) => {
        const dim = dimArg(k, k.args[2], x.type.shape.length, 0);
        return dim === undefined
          ? errorValue
          : checkWhole(k.c, emit(k.c, "psum_scatter", { axes, dim }, [x], k.span, k.name), k.span);
      }),
  },
  all_to_all: {
    params: ["x", "axis", "split", "concat"],
    required: 4,
    run: (k) =>
      collective(k, (x, axes) => {
        const rank = x.type.shape.length;
        const split = dimArg(k, arg(k, 2), rank, 0),
          concat = dimArg(k, arg(k, 3), rank, 0);
        if (split === undefined || concat === undefined) return errorValue;
        return checkWhole(k.c, emit(k.c, "all_to_all", { axes, split, concat }, [x], k.span, k.name), k.span);
      }),
  },
};

/** Where a permute sends: a static shift, one that moves with a fold's step, or pairs. */
function routeOf(k: Call, axes: readonly string[]): Route | undefined {
  const [, , shift, pairs] = k.args;
  if (!shift === !pairs) {
    fail(k.c, "GY4011", k.span, {});
    return undefined;
  }
  if (pairs) return pairRoute(k, pairs, axisSize(k.c, axes));
  const v = operand(k.c, shift!.value);
  if (v.kind === "int") return { kind: "shift", offset: known(k.c, v.dim) ?? 0 };
  if (v.kind === "array" && v.affine)
    return { kind: "shift", offset: known(k.c, v.affine.offset) ?? 0, step: v.affine.step, perStep: v.affine.perStep };
  fail(k.c, "GY4012", shift!.span, { found: describe(v) });
  return undefined;
}
function pairRoute(k: Call, pairs: Argument, size: Dim): Route | undefined {
  const number = (v: Value): number | undefined => {
    const n = operand(k.c, v);
    return n.kind === "int" ? (known(k.c, n.dim) ?? (k.c.compile ? undefined : 0)) : undefined;
  };
  const items = pairs.value.kind === "tuple" ? pairs.value.items : [];
  const read = items.map((p) =>
    p.kind === "tuple" && p.items.length === 2 ? [number(p.items[0]!), number(p.items[1]!)] : [undefined],
  );
  const wrong = (what: string): undefined => {
    fail(k.c, "GY4013", pairs.span, { what });
    return undefined;
  };
  if (pairs.value.kind !== "tuple" || read.some((p) => p.includes(undefined)))
    return wrong("`pairs` is a tuple of pairs of static numbers, as in `((0, 1), (1, 0))`");
  const route = read as unknown as readonly (readonly [number, number])[];
  const n = known(k.c, dimProduct([size]));
  const outside = n === undefined ? undefined : route.flat().find((d) => d < 0 || d >= n);
  if (outside !== undefined) return wrong(`there is no device ${outside} on an axis of ${n}`);
  const twice = (side: 0 | 1): number | undefined =>
    route.map((p) => p[side]).find((d, i, all) => all.indexOf(d) !== i);
  const from = twice(0),
    to = twice(1);
  if (k.c.compile || n !== undefined) {
    if (to !== undefined) return wrong(`two devices send to device ${to}`);
    if (from !== undefined) return wrong(`device ${from} sends twice`);
  }
  return { kind: "pairs", pairs: route };
}
