/**
 * Random kernels. All numbers in them are whole and small, so sums come out the same in whatever order they are made.
 */

import type { DType } from "../../compiler/core/ir.ts";
import { type NDArray, tabulate } from "../../compiler/core/ndarray.ts";
import { type MapTarget, softwareTarget } from "../../compiler/lane/map.ts";
import {
  at,
  cast,
  constant,
  edge,
  fold,
  type KernelBuilder,
  kernelBuilder,
  livingStmts,
  make,
  newAxis,
  pos,
  rawMap,
  reduce,
  scan,
  unionOf,
} from "../../compiler/tile/build.ts";
import type { Axis, BufferParam, Kernel, Store, Value } from "../../compiler/tile/ir.ts";
import { random } from "../core/programs.ts";

export type Case = {
  readonly kernel: Kernel;
  readonly buffers: readonly NDArray[];
  readonly scalars: readonly number[];
};

/** A source of choices. */
export type Dice = {
  readonly below: (n: number) => number;
  readonly pick: <T>(from: readonly T[]) => T;
  readonly chance: (p: number) => boolean;
};
export function dice(seed: number): Dice {
  const next = random(seed * 7919 + 13);
  for (let i = 0; i < 8; i++) next();
  const below = (n: number): number => Math.min(n - 1, Math.floor((next() + 0.5) * n));
  return { below, pick: (from) => from[below(from.length)]!, chance: (p) => below(1000) < p * 1000 };
}

type State = {
  readonly b: KernelBuilder;
  readonly d: Dice;
  readonly inner: readonly Axis[];
  readonly grid: readonly Axis[];
  /** Of the folds that are open. */
  readonly folds: Axis[];
  readonly buffers: BufferParam[];
  readonly data: NDArray[];
  readonly axesOf: (readonly Axis[])[];
  /** For a device: arrays of all dtypes, and nothing that it computes only nearly. */
  readonly device: boolean;
  nested: number;
  foldsMade: number;
};
const extents = [1, 2, 3, 4, 4, 5, 7, 8, 8, 12];
const available = (s: State): readonly Axis[] => [...s.grid, ...s.folds, ...s.inner];
const elements = (axes: readonly Axis[]): number =>
  axes.reduce((n, a) => n * (a.role === "grid" && a.block !== "auto" ? Math.min(a.extent, a.block) : a.extent), 1);
const small = (axes: readonly Axis[]): boolean => elements(axes) <= 130 && axes.length <= 4;
const floats = (vs: readonly Value[]): readonly Value[] => vs.filter((v) => v.dtype === "f32");

/** A kernel of about `size` values; with `device` one whose results a device computes exactly, on arrays of all dtypes. */
export function randomKernel(seed: number, size = 12, device = false): Case {
  const d = dice(seed);
  const b = kernelBuilder(() => [0, 3]);
  const axis = (name: string, role: Axis["role"]): Axis => {
    const extent = d.pick(extents);
    const block =
      role === "inner" ? extent : role === "grid" && d.chance(0.3) ? "auto" : d.pick([1, 1, 2, 3, 4, 4, 5, 8, 16]);
    return newAxis(b, { name, role, extent, block });
  };
  const grid = ["a", "b", "c"].slice(0, 1 + d.below(3)).map((n) => axis(n, "grid"));
  const inner = ["x", "y"].slice(0, d.below(3)).map((n) => axis(n, "inner"));
  const s: State = { b, d, inner, grid, folds: [], buffers: [], data: [], axesOf: [], device, nested: 0, foldsMade: 0 };
  const known = grow(s, [], size);
  const stores: Store[] = [];
  const outs = 1 + d.below(2);
  const inputs = s.buffers.length;
  for (let k = 0; k < outs; k++) {
    const value = d.pick(floats(known.slice(-4)).length > 0 ? floats(known.slice(-4)) : [constant(b, 3, "f32")]);
    const axes = shuffled(d, unionOf(value.axes, grid));
    const dtype: DType = device ? d.pick(["f32", "f16", "bf16", "bf16", "i32", "u32", "bool"] as const) : "f32";
    s.buffers.push({ name: `out${k}`, dtype, shape: axes.map((a) => a.extent), access: "write" });
    s.data.push(
      tabulate(
        dtype,
        axes.map((a) => a.extent),
        () => Number.NaN,
      ),
    );
    stores.push({ buffer: inputs + k, index: axes.map((a) => pos(b, a)), value: storedAs(b, value, dtype) });
  }
  const live = stores.flatMap((x) => [...x.index, x.value]);
  const kernel: Kernel = {
    name: `random${seed}`,
    buffers: s.buffers,
    scalars: [{ kind: "axis_index", axes: ["sp"] }],
    grid,
    body: livingStmts(b.scopes[0]!.stmts, live),
    stores,
  };
  return { kernel, buffers: s.data, scalars: [d.below(4)] };
}
/** A value as an array's elements: none too large or, where they are unsigned, negative. */
function storedAs(b: KernelBuilder, v: Value, dtype: DType): Value {
  if (dtype === "f32") return v;
  if (dtype === "bool") return rawMap(b, "gt", [v, constant(b, 2, "f32")], "bool");
  return cast(b, tame(b, v), dtype);
}
const shuffled = <T>(d: Dice, xs: readonly T[]): readonly T[] => {
  const left = [...xs];
  const out: T[] = [];
  while (left.length > 0) out.push(...left.splice(d.below(left.length), 1));
  return d.chance(0.5) ? [...xs] : out;
};

function grow(s: State, start: readonly Value[], steps: number): readonly Value[] {
  const known = [...start, freshLoad(s, "f32")];
  for (let n = 0; n < steps; n++) {
    const v = step(s, known, steps);
    if (Array.isArray(v)) known.push(...v);
    else if (v && small((v as Value).axes)) known.push(v as Value);
  }
  return known;
}
const whole = (d: Dice) => () => d.below(9) - 4;

/** An element of an input, old or new, at the positions at hand or near them. */
function freshLoad(s: State, kind: "f32" | "i32" | "bool"): Value {
  const { b, d } = s;
  const stored = kind === "f32" && s.device ? d.pick(["f32", "f16", "bf16", "bf16", "u32"] as const) : kind;
  return cast(b, loadOf(s, stored), kind);
}
function loadOf(s: State, dtype: DType): Value {
  const { b, d } = s;
  const here = available(s);
  const usable = s.buffers.flatMap((x, k) =>
    x.dtype === dtype && s.axesOf[k]!.every((a) => here.includes(a)) ? [k] : [],
  );
  let k = usable.length > 0 && d.chance(0.4) ? d.pick(usable) : -1;
  if (k < 0) {
    const axes = shuffled(
      d,
      here.filter(() => d.chance(0.6)),
    );
    const fits = small(axes) ? axes : axes.slice(0, 2);
    const shape = fits.map((a) => a.extent);
    k = s.buffers.length;
    s.buffers.push({ name: `in${k}`, dtype, shape, access: "read" });
    s.axesOf.push(fits);
    s.data.push(
      tabulate(
        dtype,
        shape,
        dtype === "bool"
          ? () => d.below(2)
          : dtype === "u32"
            ? () => d.below(9)
            : dtype === "i32"
              ? () => d.below(40) - 10
              : whole(d),
      ),
    );
  }
  const { shape } = s.buffers[k]!;
  const clamp = d.chance(0.15);
  const index = s.axesOf[k]!.map((a, dim) => {
    if (d.chance(0.85)) return pos(b, a);
    const i = integer(s, 2);
    return clamp ? i : rawMap(b, "mod", [i, constant(b, shape[dim]!, "i32")], "i32");
  });
  return make(b, dtype, { kind: "load", buffer: k, index, clamp });
}
/** A whole number that needs no array, mostly. */
function integer(s: State, depth: number): Value {
  const { b, d } = s;
  const here = available(s);
  if (depth === 0 || d.chance(0.3)) {
    const n = d.below(8);
    if (n < 5) return pos(b, d.pick(here));
    return n === 5 ? make(b, "i32", { kind: "scalar", index: 0 }) : constant(b, d.below(9) - 2, "i32");
  }
  if (d.chance(0.08)) return freshLoad(s, "i32");
  const op = d.pick(["add", "sub", "mul", "add", "sub", "min", "max", "div", "mod"] as const);
  const right =
    op === "mul" || op === "div" || op === "mod" ? constant(b, d.pick([2, 3, 4]), "i32") : integer(s, depth - 1);
  const v = rawMap(b, op, [integer(s, depth - 1), right], "i32");
  return small(v.axes) ? v : pos(b, d.pick(here));
}
/** A condition on positions, or on data. */
export function condition(s: State, depth: number): Value {
  const { b, d } = s;
  const bool = (op: "lt" | "le" | "gt" | "ge" | "eq" | "ne" | "and" | "or" | "not", ...args: Value[]): Value =>
    rawMap(b, op, args, "bool");
  if (depth === 0 || d.chance(0.5)) {
    if (d.chance(0.1)) return freshLoad(s, "bool");
    return bool(d.pick(["lt", "le", "gt", "ge", "eq", "ne"] as const), integer(s, 1), integer(s, 1));
  }
  if (d.chance(0.25)) return bool("not", condition(s, depth - 1));
  const v = bool(d.pick(["and", "or"] as const), condition(s, depth - 1), condition(s, depth - 1));
  return small(v.axes) ? v : condition(s, 0);
}

/** A number between -6 and 6 at most. */
const tame = (b: KernelBuilder, v: Value): Value => rawMap(b, "mod", [v, constant(b, 7, "f32")], "f32");
const meets = (v: Value): readonly Axis[] =>
  v.axes.filter((a) => !(a.role === "grid" && (a.block === "auto" || a.block === 1)));

function step(s: State, known: readonly Value[], size: number): Value | readonly Value[] | undefined {
  const { b, d } = s;
  const some = (): Value => (d.chance(0.7) ? d.pick(floats(known).slice(-5)) : d.pick(floats(known)));
  const x = some();
  const y = some();
  const along = meets(x).length > 0 ? d.pick(meets(x)) : undefined;
  switch (d.below(13)) {
    case 0:
      return freshLoad(s, "f32");
    case 1:
    case 2:
      return rawMap(b, d.pick(["add", "sub", "max", "min"] as const), [x, y], "f32");
    case 3:
      return rawMap(b, "mul", [tame(b, x), tame(b, y)], "f32");
    case 4:
      if (s.device) return rawMap(b, "abs", [x], "f32");
      return rawMap(b, "exp2", [rawMap(b, "mod", [x, constant(b, 3, "f32")], "f32")], "f32");
    case 5:
    case 6:
      return along && reduce(b, d.pick(["sum", "sum", "max", "min"] as const), along, x);
    case 7: {
      // A product of two arrays summed over what they share.
      const product = rawMap(b, "mul", [tame(b, x), tame(b, freshLoad(s, "f32"))], "f32");
      const shared = meets(product);
      return shared.length > 0 && small(product.axes) ? reduce(b, "sum", d.pick(shared), product) : undefined;
    }
    case 8: {
      if (!along) return undefined;
      const kind = d.below(3);
      if (kind === 0) return scan(b, along, x);
      if (kind === 1) return cast(b, reduce(b, "argmax", along, x), "f32");
      const any = integer(s, 1);
      const size = along.block === "auto" ? along.extent : Math.min(along.block, along.extent);
      const inside = rawMap(b, "mod", [any, constant(b, along.role === "inner" ? along.extent : size, "i32")], "i32");
      if (along.role === "inner") return at(b, x, [{ axis: along, index: inside }]);
      const index = rawMap(
        b,
        "min",
        [rawMap(b, "add", [edge(b, along, "first"), inside], "i32"), edge(b, along, "last")],
        "i32",
      );
      return at(b, x, [{ axis: along, index }]);
    }
    case 9:
      return cast(b, integer(s, 2), "f32");
    case 10: {
      const c = condition(s, 2);
      const v = rawMap(b, "select", [c, x, d.chance(0.5) ? y : constant(b, d.below(3), "f32")], "f32");
      return v;
    }
    default:
      return s.nested < 2 && s.foldsMade < 3 && size > 3 ? randomFold(s, known, size) : undefined;
  }
}

function randomFold(s: State, known: readonly Value[], size: number): readonly Value[] {
  const { b, d } = s;
  s.foldsMade++;
  const blocks = d.chance(0.75);
  const axis = blocks
    ? newAxis(b, {
        name: `j${s.foldsMade}`,
        role: "fold",
        extent: d.pick(extents),
        block: d.pick([1, 2, 3, 4, 4, 5, 8, 16]),
      })
    : undefined;
  const count = 1 + d.below(3);
  const places = Array.from({ length: count }, () => {
    const init = d.chance(0.5) ? constant(b, d.below(3), "f32") : d.pick(floats(known));
    const more = [...s.grid, ...s.inner, ...s.folds].filter(() => d.chance(0.4));
    const axes = unionOf(init.axes, small(unionOf(init.axes, more)) ? more : []);
    return { init, axes };
  });
  s.nested++;
  if (axis) s.folds.push(axis);
  const results = fold(
    b,
    { over: axis ?? 1 + d.below(4), init: places.map((p) => p.init), axes: places.map((p) => p.axes) },
    (carry, at) => {
      const start = [...known, ...carry, ...(at ? [cast(b, at, "f32")] : [])];
      const inside = grow(s, start, Math.max(2, Math.floor(size * 0.7)));
      return places.map((p, k) => {
        const own = d.chance(0.3) ? carry[k]! : d.pick(floats(inside).slice(-6));
        const seen = (a: Axis): boolean => p.axes.includes(a);
        let v = own;
        for (const a of own.axes) {
          if (seen(a)) continue;
          // What the carry does not have is summed away; where that cannot be, the carry stays.
          if (a.role === "grid" && (a.block === "auto" || a.block === 1)) return carry[k]!;
          v = reduce(b, d.pick(["sum", "max"] as const), a, v);
        }
        if (d.chance(0.2)) return carry[d.below(carry.length)]!.axes.every(seen) ? carry[k]! : tame(b, v);
        return d.chance(0.5) ? rawMap(b, "add", [carry[k]!, tame(b, v)], "f32") : tame(b, v);
      });
    },
  );
  if (axis) s.folds.pop();
  s.nested--;
  return results;
}

/** What kernels are mapped for, at random: more kinds of machine than there are. */
export function randomTarget(seed: number): MapTarget {
  const d = dice(seed + 99991);
  const threads = d.pick([1, 2, 4, 8, 16, 64]);
  return {
    threads,
    maxThreads: 256,
    rows: d.pick([1, 2, 4, 8]),
    columns: d.pick([2, 4, 8, 16]),
    body: d.pick([8, 64, 512]),
    written: d.pick([0, 64, 2048]),
    array: d.pick([64, 1024]),
    spread: d.chance(0.6),
    costs: softwareTarget.costs,
  };
}
