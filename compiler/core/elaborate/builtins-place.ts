/** Where a device is, and which global elements its local ones are. */
import { type Dim, dimAtoms, dimDiv, dimMul, dimSub, type Layout, type Split, splitOf } from "../../base/dim.ts";
import type { Atom } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { axisSize } from "./axes.ts";
import { arg, arrayArg, axesArg, type Builtin, type Call, dimArg } from "./builtin.ts";
import { asValue, type Context, dimAtom, emit, fail, known, poison, union } from "./context.ts";
import { positionsOf } from "./indexing.ts";
import { arrayOf, describe, errorValue, hasBlock, intValue, leaves, type Value } from "./value.ts";

/** This device's place along axes. Inside `tiles` it is taken outside: it is the same in every tile. */
function axisIndex(c: Context, axes: readonly string[], span: Call["span"]): Atom {
  return emit(c.outside ? { ...c, eqns: c.outside } : c, "axis_index", { axes }, [], span);
}

export const placeBuiltins: Readonly<Record<string, Builtin>> = {
  axis_size: {
    params: ["axis"],
    required: 1,
    run: (k) => {
      const axes = axesArg(k, arg(k, 0));
      return axes ? intValue(axisSize(k.c, axes)) : errorValue;
    },
  },
  axis_index: {
    params: ["axis"],
    required: 1,
    run: (k) => {
      const axes = axesArg(k, arg(k, 0));
      return axes ? asValue(axisIndex(k.c, axes, k.span)) : errorValue;
    },
  },
  pos: {
    params: ["index"],
    required: 1,
    run: (k) => {
      const v = arg(k, 0).value;
      if (v.kind === "array" && v.affine) return v;
      return v.kind === "index"
        ? asValue(positionsOf(k.c, v.index, v.start, k.span))
        : fail(k.c, "GY3037", arg(k, 0).span, { what: "a tile index", found: describe(v) });
    },
  },
  positions: { params: ["x", "dim", "at"], required: 2, run: positions },
  is_contiguous: { params: ["x", "dim"], required: 2, run: isContiguous },
  // varying_axes(x): the axes over which x may differ between devices; of a tree, all that one of its leaves varies over
  varying_axes: {
    params: ["x"],
    required: 1,
    run: (k) => {
      const sets = leaves(arg(k, 0).value).map((v) => (v.kind === "array" ? v.atom.type.varying : []));
      return { kind: "axis", axes: union(k.c, ...sets) };
    },
  },
};

/** How dimension `dim` of `x` was split. Undefined where it was not, null after an error: where that is not known any more. */
function splitAt(k: Call, x: Atom, dim: number): Split | undefined | null {
  const size = x.type.shape[dim]!;
  const split = splitOf(size);
  if (split) return split;
  if (hasBlock(size)) {
    fail(k.c, "GY3036", arg(k, 0).span, { dim, name: k.name });
    return null;
  }
  const lost = typeof size === "number" ? undefined : dimAtoms(size).find((a) => a.key.startsWith("@"));
  if (!lost || k.c.alone) return undefined;
  fail(k.c, "GY3035", k.span, { dim, size: describe(arrayOf(x)), axis: lost.name, name: k.name });
  return null;
}

/** is_contiguous(x, dim): whether each device holds rows that follow each other. Static; open in a function checked alone. */
function isContiguous(k: Call): Value {
  const x = arrayArg(k, 0);
  if (x === poison) return errorValue;
  const dim = dimArg(k, arg(k, 1), x.type.shape.length, 0);
  const split = dim === undefined ? null : splitAt(k, x, dim);
  if (split === null) return errorValue;
  if (k.c.alone) return { kind: "bool", value: undefined };
  const whole = !split || split.layout === "contiguous" || known(k.c, axisSize(k.c, split.axes)) === 1;
  return { kind: "bool", value: whole };
}

/**
 * positions(x, dim): the global index of each local row, as the split of the dimension lays them out. With `at`, of the rows
 * of the device at that place along the axes that the dimension is still split over.
 */
function positions(k: Call): Value {
  const x = arrayArg(k, 0);
  if (x === poison) return errorValue;
  const dim = dimArg(k, arg(k, 1), x.type.shape.length, 0);
  if (dim === undefined) return errorValue;
  const size = x.type.shape[dim]!;
  const split = splitAt(k, x, dim);
  if (split === null) return errorValue;
  if (!split) return asValue(emit(k.c, "iota", { size }, [], k.span, k.name));
  if (k.c.chosen) k.c.chosen.found.positions = true;
  const n = axisSize(k.c, split.axes);
  const rows = emit(k.c, "iota", { size }, [], k.span, k.name);
  const joined = split.joined ?? [];
  const own = split.axes.slice(0, split.axes.length - joined.length);
  const place = k.args[2]
    ? toAtom(k.c, k.args[2].value, k.args[2].span, "i32", k.name)
    : own.length > 0
      ? axisIndex(k.c, own, k.span)
      : undefined;
  if (place && joined.length === 0) return asValue(globalRow(k, split.layout, rows, place, size, n));
  // The rows of several devices, one after another: row R is row R % c of device R / c among them.
  const each = dimDiv(size, axisSize(k.c, joined));
  const number = (d: Dim): Atom => dimAtom(k.c, d, "i32", k.span);
  const row = emit(k.c, "mod", {}, [rows, number(each)], k.span);
  const among = emit(k.c, "div", {}, [rows, number(each)], k.span);
  const first = own.length > 0 && emit(k.c, "mul", {}, [place!, number(axisSize(k.c, joined))], k.span);
  const device = first ? emit(k.c, "add", {}, [first, among], k.span) : among;
  return asValue(globalRow(k, split.layout, row, device, each, n));
}

/**
 * The global row of local row r on device d, of n devices with c rows each:
 *   contiguous  d c + r
 *   striped     r n + d
 *   zigzag      d c/2 + r for r < c/2, else (2n - 1 - d) c/2 + (r - c/2)
 */
function globalRow(k: Call, layout: Layout, r: Atom, d: Atom, c: Dim, n: Dim): Atom {
  const op = (name: "add" | "sub" | "mul" | "lt", a: Atom, b: Atom): Atom =>
    emit(k.c, name, {}, [a, b], k.span, k.name);
  const num = (x: Dim): Atom => dimAtom(k.c, x, "i32", k.span);
  if (layout === "contiguous") return op("add", op("mul", d, num(c)), r);
  if (layout === "striped") return op("add", op("mul", r, num(n)), d);
  const half = num(dimDiv(c, 2));
  const low = op("add", op("mul", d, half), r);
  const last = num(dimSub(dimMul(2, n), 1));
  const high = op("add", op("mul", op("sub", last, d), half), op("sub", r, half));
  return emit(k.c, "select", {}, [op("lt", r, half), low, high], k.span, k.name);
}
