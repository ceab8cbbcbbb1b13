/**
 * Tile -> Lane: writes what one thread does, by a mapping. Values are written on demand (evaluate.ts): into the
 * outermost scope where all that they need is at hand, so that nothing is computed twice and nothing too early.
 */
import type { Axis, Kernel, Store, Value } from "../tile/ir.ts";
import { dependsOn } from "../tile/values.ts";
import { alignedToFour, offsetOf, writeAffine } from "./address.ts";
import { settle } from "./bind.ts";
import {
  type Context,
  type Coords,
  groupOf,
  keyOf,
  mapOf,
  neighbours,
  nest,
  push,
  registersOf,
  splits,
  within,
} from "./context.ts";
import { evaluate } from "./evaluate.ts";
import { add, and, component, lit, mul, op, ref, unrounded, vec } from "./expr.ts";
import { factsOf } from "./facts.ts";
import { runLoop, storeValue } from "./fill.ts";
import { lowerBody } from "./folds.ts";
import { buffersInFours } from "./fours.ts";
import type { Expr, LaneBuffer, LaneProgram, LaneStmt } from "./ir.ts";
import { variablesAsLets } from "./lets.ts";
import { nextTo } from "./load.ts";
import { type AxisMap, isWritten, type Mapping } from "./map.ts";
import { unevenAxes } from "./order.ts";
import { inRange } from "./position.ts";
import { childScope, find, namer } from "./scope.ts";
import { unrollLoops } from "./unroll.ts";

export function lowerKernel(kernel: Kernel, mapping: Mapping): LaneProgram {
  const fresh = namer();
  const bufferNames = kernel.buffers.map((b) => fresh(b.name));
  const scalars = kernel.scalars.map((s) => ({
    ...s,
    name: fresh(s.kind === "axis_index" ? `index_${s.axes.join("_")}` : "step"),
  }));
  const top = childScope(null, 0);
  const ctx: Context = {
    kernel,
    mapping,
    facts: factsOf(kernel, mapping),
    fresh,
    scope: top,
    regions: [top],
    open: new Set(),
    arrays: [],
    stored: new Map(),
    begun: new Set(),
    filling: new Set(),
    names: new Map(),
    starts: new Map(),
    bases: new Map(),
    full: new Map(),
    scalars: scalars.map((s) => s.name),
    evaluate: (v, c, along) => evaluate(ctx, v, c, along),
    store: (v) => storeValue(ctx, v),
    runLoop: (name) => runLoop(ctx, name),
    pending: new Map(),
  };
  placeThread(ctx);
  lowerBody(ctx, kernel.body);
  for (const s of kernel.stores) lowerStore(ctx, s);
  const body = [...ctx.arrays, ...top.stmts];
  const fours = buffersInFours(body);
  const buffers = kernel.buffers.map(
    (b, k): LaneBuffer => ({
      name: bufferNames[k]!,
      dtype: b.dtype,
      shape: b.shape,
      access: b.access === "read" ? "read" : "read_write",
      vector: fours.has(k),
    }),
  );
  const program: LaneProgram = {
    name: kernel.name,
    buffers,
    scalars,
    threads: mapping.threads,
    groups: mapping.groups,
    ...(mapping.simd ? { unaligned: true as const } : {}),
    body,
    notes: notesOf(kernel, mapping),
  };
  return mapping.written ? variablesAsLets(unrollLoops(program)) : program;
}

/** Names the workgroup's block along each grid axis, and the thread's own first element in it. */
function placeThread(ctx: Context): void {
  const grid = ctx.kernel.grid.map((a) => mapOf(ctx, a));
  const tiles = tilesOf(ctx, grid);
  const lanes = digits(
    ctx,
    ref("lane"),
    grid.map((m) => m.lanes),
    (k) => `${grid[k]!.axis.name}_lane`,
  );
  grid.forEach((m, k) => {
    const start = name(ctx, `${m.axis.name}_first`, mul(tiles[k]!, lit(m.block)), m.block);
    ctx.starts.set(m.axis.id, start);
    const w = m.vector ? 4 : 1;
    if (m.lanes * m.unroll === m.block)
      ctx.bases.set(m.axis.id, m.lanes === 1 ? start : name(ctx, m.axis.name, add(start, mul(lanes[k]!, lit(w))), w));
  });
}
/**
 * The number of the workgroup's block along each grid axis, the last fastest. On a GPU, and behind a driver that is a CPU,
 * those along which work is uneven go slowest, the longest first; a processor's threads take workgroups as they can, and
 * like neighbours better.
 */
function tilesOf(ctx: Context, grid: readonly AxisMap[]): readonly Expr[] {
  const uneven = ctx.mapping.simd ? new Map() : unevenAxes(ctx.kernel, (a) => mapOf(ctx, a).block);
  const order = [...grid.keys()].sort(
    (a, b) => Number(uneven.has(grid[b]!.axis.id)) - Number(uneven.has(grid[a]!.axis.id)) || a - b,
  );
  const counts = order.map((k) => Math.ceil(grid[k]!.axis.extent / grid[k]!.block));
  const numbers = digits(ctx, ref("group"), counts, (n) => `${grid[order[n]!]!.axis.name}_tile`);
  return grid.map(({ axis }, k) => {
    const n = order.indexOf(k);
    return uneven.get(axis.id) === "last" ? op("sub", [lit(counts[n]! - 1), numbers[n]!], "i32") : numbers[n]!;
  });
}
/** The digits of a number in mixed radix, last fastest. */
function digits(ctx: Context, n: Expr, counts: readonly number[], hint: (k: number) => string): readonly Expr[] {
  const found: Expr[] = counts.map(() => lit(0));
  let below = 1;
  const total = counts.reduce((a, b) => a * b, 1);
  for (let k = counts.length - 1; k >= 0; k--) {
    const count = counts[k]!;
    if (count > 1) {
      const shifted = below === 1 ? n : op("div", [n, lit(below)], "i32");
      found[k] = name(ctx, hint(k), below * count === total ? shifted : op("mod", [shifted, lit(count)], "i32"), 1);
    }
    below *= count;
  }
  return found;
}
function name(ctx: Context, hint: string, value: Expr, multiple: number): Expr {
  if (value.kind === "lit" || (value.kind === "ref" && value.name !== "group" && value.name !== "lane")) return value;
  const fresh = ctx.fresh(hint);
  push(ctx, { kind: "let", name: fresh, value });
  ctx.names.set(fresh, { level: 0, multiple });
  return ref(fresh);
}

/** Writes one result: loops over its rounds, every register, four at a time where they lie side by side. */
function lowerStore(ctx: Context, s: Store): void {
  const axes = new Map<number, Axis>();
  for (const v of [...s.index, s.value]) for (const a of v.axes) axes.set(a.id, a);
  const all = [...axes.values()];
  const shape = ctx.kernel.buffers[s.buffer]!.shape;
  nest(ctx, all, () => {
    const along = sideBySide(ctx, s.index, shape, all);
    for (const c of registersOf(ctx, all, along)) {
      const guards = all.flatMap((a) => inRange(ctx, a, c.get(a.id) ?? 0) ?? []);
      const write = (at: Coords, by: Axis | null): void => {
        const x = unrounded(oneOrFour(ctx, s.value, at, by), ctx.kernel.buffers[s.buffer]!.dtype);
        const index = writeAffine(ctx, offsetOf(ctx, s.index, shape, at));
        push(ctx, { kind: "store", buffer: s.buffer, index, value: by && x.width === 1 ? vec([x, x, x, x]) : x });
      };
      if (guards.length > 0) {
        const x = oneOrFour(ctx, s.value, c, along);
        if (along && splits(ctx, along)) settle(ctx, s.value, c, along, x);
      }
      when(ctx, guards, () => {
        if (!along || !splits(ctx, along)) {
          write(c, along);
          return;
        }
        const existing = (n: Coords): readonly Expr[] => [inRange(ctx, along, n.get(along.id)!) ?? []].flat();
        const four = neighbours(c, along);
        when(
          ctx,
          existing(four[3]!),
          () => write(c, along),
          () => {
            for (const n of four.slice(0, 3)) when(ctx, existing(n), () => write(n, null));
          },
        );
      });
    }
  });
}
/** Statements that run where all conditions hold, and those that run elsewhere. */
function when(ctx: Context, conds: readonly Expr[], write: () => void, otherwise: () => void = () => {}): void {
  if (conds.length === 0) {
    write();
    return;
  }
  const branch = (run: () => void): readonly LaneStmt[] => {
    const scope = childScope(ctx.scope, ctx.scope.region, undefined, false);
    within(ctx, scope, run);
    return scope.stmts;
  };
  push(ctx, { kind: "if", cond: conds.reduce(and), then: branch(write), else: branch(otherwise) });
}
const oneOrFour = (ctx: Context, v: Value, c: Coords, along: Axis | null): Expr =>
  along ? ctx.evaluate(v, c, along) : single(ctx, v, c);
/** One element; with SIMD it is taken out of the four that are computed together. */
function single(ctx: Context, v: Value, c: Coords): Expr {
  const axis = v.axes.find((a) => a.id === ctx.mapping.simd?.axis);
  if (!axis) return ctx.evaluate(v, c, null);
  const first = groupOf(c, axis);
  const known = find(ctx.scope, keyOf(ctx, v, first, axis));
  const four = known ?? ctx.evaluate(v, first, axis);
  return component(known || four.width === 1 ? four : settle(ctx, v, first, axis, four), (c.get(axis.id) ?? 0) % 4);
}
function sideBySide(
  ctx: Context,
  index: readonly Value[],
  shape: readonly number[],
  all: readonly Axis[],
): Axis | null {
  const last = index.at(-1);
  const axis = last && nextTo(ctx, last, all);
  if (!axis || index.slice(0, -1).some((i) => dependsOn(i, axis))) return null;
  if (ctx.mapping.simd) return axis;
  if (shape.at(-1)! % 4 !== 0) return null;
  const c: Coords = new Map();
  return alignedToFour(ctx, offsetOf(ctx, index, shape, c)) ? axis : null;
}

function notesOf(kernel: Kernel, mapping: Mapping): readonly string[] {
  const line = (m: AxisMap): string =>
    `${m.axis.name}: ${m.axis.extent} ${m.axis.role}, ` +
    [
      m.block === m.axis.extent ? "whole" : `by ${m.block}`,
      ...(m.lanes > 1 ? [`${m.lanes} lanes`] : []),
      `${m.unroll} register${m.unroll === 1 ? "" : "s"}${m.vector ? " (by fours)" : ""}${m.crosswise ? " crosswise" : ""}`,
      ...(m.loop > 1 ? [`${m.loop} rounds${isWritten(mapping, m, 1) ? " (written out)" : ""}`] : []),
      ...(m.ragged ? ["last block partial"] : []),
    ].join(", ");
  const bounds = kernel.body.flatMap(function notes(s): readonly string[] {
    return s.kind === "fold" ? [...(s.bounds?.notes ?? []), ...s.body.flatMap(notes)] : [];
  });
  return [...[...mapping.axes.values()].map(line), ...bounds];
}
