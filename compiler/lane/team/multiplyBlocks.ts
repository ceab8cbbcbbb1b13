/**
 * Products by multiply-add: four elements of k at a time, a thread reads those of its rows and of its columns from shared
 * memory, four elements in a read, and uses each for a block of its registers.
 *
 *   tile by k       for each of the thread's rows: a(m, k … k+3)          one read, four elements of k
 *   tile by side    for each of the four k: a(m … m+3, k)                 one read, four neighbours
 *
 *   c(m, n) += a(m, k) b(k, n) + … + a(m, k+3) b(k+3, n)
 */
import type { Axis, Value } from "../../tile/ir.ts";
import { add, lit, mul, op, ref, vec } from "../expr.ts";
import type { Expr } from "../ir.ts";
import {
  type At,
  bind,
  type Context,
  declareFours,
  type Held,
  hintOf,
  local,
  nest,
  partOf,
  push,
  readHeld,
  registerAt,
  type Tile,
  threadPart,
  within,
  writeHeld,
} from "./context.ts";
import { elementAt, type Layout, project, sizeOf } from "./layout.ts";
import type { Product } from "./operands.ts";
import { exchangeAt, placeAt } from "./shared.ts";
import { arrive, tileOf } from "./stage.ts";

/** Adds a product to registers that hold what it is added to. */
export function multiplyBlocks(ctx: Context, p: Product, into: Held): void {
  arrive(ctx);
  const fours = ctx.fresh(`${p.k.name}4`);
  const four = mul(ref(fours), lit(4));
  const body = within(ctx, () => {
    const left = fragment(ctx, p.a, p.m, into.layout, four);
    const right = fragment(ctx, p.b, p.n, into.layout, four);
    nest(ctx, into.layout, (at) => {
      const terms =
        left.four && right.four
          ? op("dot", [left.four(at), right.four(at)], "f32", 1)
          : [0, 1, 2, 3].map((k) => op("mul", [left.one(at, k), right.one(at, k)], "f32")).reduce(sum);
      writeHeld(ctx, into, at, sum(readHeld(into, at), terms));
    });
  });
  push(ctx, { kind: "for", name: fours, from: lit(0), below: lit(partOf(ctx, p.k).cover / 4), step: 1, body });
}
const sum = (x: Expr, y: Expr): Expr => op("add", [x, y], "f32");

/** What a thread has of a factor for four elements of k: one of them, and where they lie together all four. */
type Fragment = { readonly one: (at: At, k: number) => Expr; readonly four?: (at: At) => Expr };

function fragment(ctx: Context, v: Value, axis: Axis, result: Layout, four: Expr): Fragment {
  const tile = tileOf(ctx, v);
  const layout = project(result, [axis.id]);
  return tile.tile.columns.axis === axis.id
    ? bySide(ctx, v, tile, axis, layout, four)
    : byK(ctx, v, tile, axis, layout, four);
}

/** The tile's rows are along the side: a read for each of the thread's registers. */
function byK(ctx: Context, v: Value, { tile, base }: Tile, axis: Axis, layout: Layout, four: Expr): Fragment {
  const size = sizeOf(layout.registers);
  const name = declareFours(ctx, hintOf(v), 4 * size);
  // Where the thread's rows all have one exchange of pieces, only their distance is added to the first one's place.
  const own = threadPart(ctx, layout, axis.id);
  const evenly = Array.from({ length: ctx.plan.warps * 32 }, (_, t) => t).every((t) => {
    const row = (r: number): number => elementAt(layout, t, r).get(axis.id) ?? 0;
    return Array.from({ length: size }, (_, r) => exchangeAt(tile, row(r))).every(
      (x) => x === exchangeAt(tile, row(0)),
    );
  });
  const first = evenly ? bind(ctx, `${tile.name}_at`, add(base, placeAt(tile, own, four))) : undefined;
  const far = (at: At): Expr =>
    layout.registers.reduce<Expr>((e, d, k) => add(e, mul(at.digits[k]!, lit(d.stride * tile.columns.count))), lit(0));
  const register = (at: At): Expr => registerAt({ name, type: "f32", layout }, at);
  nest(ctx, layout, (at) => {
    const index = first ? add(first, far(at)) : add(base, placeAt(tile, local(ctx, at, axis), four));
    const read = (k: number): Expr => ({
      kind: "elem",
      array: tile.name,
      index: add(index, lit(k)),
      type: "f32",
      width: tile.width,
    });
    const value = tile.width === 4 ? read(0) : vec([0, 1, 2, 3].map(read));
    push(ctx, { kind: "setElem", array: name, index: mul(register(at), lit(4)), value });
  });
  const whole = (at: At): Expr => ({
    kind: "elem",
    array: name,
    index: mul(register(at), lit(4)),
    type: "f32",
    width: 4,
  });
  return { one: (at, k) => ({ kind: "component", arg: whole(at), at: k, type: "f32", width: 1 }), four: whole };
}

/** The tile's columns are along the side: for each of the four k, a read for four neighbours, or for each register. */
function bySide(ctx: Context, v: Value, { tile, base }: Tile, axis: Axis, layout: Layout, four: Expr): Fragment {
  const size = sizeOf(layout.registers);
  const together = tile.width === 4;
  const name = together ? declareFours(ctx, hintOf(v), 4 * size) : ctx.fresh(hintOf(v));
  if (!together) push(ctx, { kind: "array", name, type: "f32", width: 1, size: 4 * size });
  const register = (at: At): Expr => registerAt({ name, type: "f32", layout }, at);
  for (let k = 0; k < 4; k++)
    nest(
      ctx,
      layout,
      (inner) => {
        const at: At = together ? { ...inner, digits: [lit(0), ...inner.digits.slice(1)] } : inner;
        const index = add(base, placeAt(tile, add(four, lit(k)), local(ctx, at, axis)));
        const value: Expr = { kind: "elem", array: tile.name, index, type: "f32", width: tile.width };
        push(ctx, { kind: "setElem", array: name, index: add(lit(k * size), register(at)), value });
      },
      together ? 1 : 0,
    );
  return {
    one: (at, k) => {
      const index = add(lit(k * size), register(at));
      if (!together) return { kind: "elem", array: name, index, type: "f32", width: 1 };
      const arg: Expr = { kind: "elem", array: name, index, type: "f32", width: 4 };
      const place = layout.registers[0]!;
      return { kind: "component", arg, at: digitAt(at, place.axis, place.stride), type: "f32", width: 1 };
    },
  };
}
/** The digit of a register that counts single elements along an axis. */
function digitAt(at: At, axis: number, stride: number): Expr {
  const k = at.layout!.registers.findIndex((d) => d.axis === axis && d.stride === stride);
  return at.digits[k] ?? lit(0);
}
