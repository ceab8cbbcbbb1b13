/** What is at hand while a team's kernel is written: the plan, where statements go, and where values are. */
import { invariant } from "../../base/invariant.ts";
import type { Axis, Fold, Kernel, Value } from "../../tile/ir.ts";
import { add, and, less, lit, min, mul, op, ref } from "../expr.ts";
import type { Expr, LaneStmt, LaneType } from "../ir.ts";
import { type Dealt, layoutOf, type Part, wide } from "./dealt.ts";
import { type Digit, everywhere, type Layout, project, reaches, sizeOf } from "./layout.ts";
import type { Product } from "./operands.ts";
import type { Plan } from "./plan.ts";
import type { SharedTile } from "./shared.ts";
import type { Staged } from "./staged.ts";

/** A value in registers: a name, or an array with an element for each register of its layout. */
export type Held = { readonly name: string; readonly type: LaneType; readonly layout: Layout };
/** A shared tile, and the first element of the stage at hand. */
export type Tile = { readonly tile: SharedTile; readonly base: Expr };

/** How a kind of GPU does what differs between them. */
export type Ways = {
  /** Adds a product to registers that hold what it is added to. */
  readonly multiply: (ctx: Context, p: Product, into: Held) => void;
  /** Puts a value into its shared tile where it is let, for all threads to read. */
  readonly stage: (ctx: Context, s: Staged) => void;
  /** A loop over blocks; `inside` writes its body, in the order that it is given in. */
  readonly overBlocks: (ctx: Context, f: Fold, inside: (f: Fold) => void) => void;
  /** Writes a statement of a loop's body in a way of its own, if it has one. */
  readonly statement?: (ctx: Context, v: Value, fold: Fold, place: number) => boolean;
};

export type Context = {
  readonly ways: Ways;
  readonly plan: Plan;
  readonly dealt: Dealt;
  readonly kernel: Kernel;
  readonly fresh: (hint: string) => string;
  /** What stands before everything else: shared arrays, and parts of a thread's element numbers. */
  readonly top: LaneStmt[];
  out: LaneStmt[];
  readonly held: Map<number, Held[]>;
  readonly tiles: Map<number, Tile>;
  /** First element of the block at hand. */
  readonly starts: Map<number, Expr>;
  readonly steps: Map<number, Expr>;
  /** Selects that need no mask where a condition holds. */
  readonly full: Map<number, Expr>;
  readonly scalars: readonly string[];
  readonly numbers: Map<string, Expr>;
  /** Where in `top` the arrays are in which threads meet. */
  readonly meetings: Map<string, number>;
  /** Those of them that threads may have read since they all were at a barrier. */
  read: ReadonlySet<string> | "any";
  /** Threads exchange values by shuffles. */
  shuffles: boolean;
  /** Copies have been started that nobody has waited for. */
  pending: boolean;
};

/** The element that is meant: by the digits of a layout's registers, or by local element numbers. */
export type At = {
  readonly layout: Layout | null;
  readonly digits: readonly Expr[];
  readonly own: ReadonlyMap<number, Expr>;
  /** What has been computed for it. */
  readonly memo: Map<number, Expr>;
  /** The axis of which several elements are meant, from this one on, and how many. */
  readonly group?: { readonly axis: number; readonly size: number };
};
export const nowhere = (own: ReadonlyMap<number, Expr> = new Map()): At => ({
  layout: null,
  digits: [],
  own,
  memo: new Map(),
});

export const push = (ctx: Context, ...stmts: readonly LaneStmt[]): void => {
  ctx.out.push(...stmts);
  if (stmts.some((s) => s.kind === "barrier")) ctx.read = new Set();
};
/** The statements that `write` writes, to be done once, often or never. */
export function within(ctx: Context, write: () => void): readonly LaneStmt[] {
  const before = { out: ctx.out, read: ctx.read };
  const mine: LaneStmt[] = [];
  ctx.out = mine;
  ctx.read = "any";
  write();
  ctx.out = before.out;
  // Where there was no barrier nobody met.
  ctx.read = ctx.read === "any" ? before.read : "any";
  return mine;
}
export function bind(ctx: Context, hint: string, value: Expr): Expr {
  if (value.kind === "lit" || value.kind === "ref") return value;
  const name = ctx.fresh(hint);
  push(ctx, { kind: "let", name, value });
  return ref(name, value.type, value.width);
}

export const partOf = (ctx: Context, a: Axis | number): Part => {
  const p = ctx.plan.parts.get(typeof a === "number" ? a : a.id);
  invariant(p, `every axis of kernel ${ctx.kernel.name} is planned`);
  return p;
};
export const axisIds = (ctx: Context, v: Value): readonly number[] => wide(ctx.dealt, v.axes).map((a) => a.id);
export const layoutFor = (ctx: Context, v: Value): Layout => layoutOf(ctx.dealt, v.axes);

/** Rounds that are written out of loops over what is not in registers. */
const MOST_SPILT = 8;

/** Loops over all registers of a layout, those of the first `skip` digits left to `write`. */
export function nest(ctx: Context, layout: Layout, write: (at: At) => void, skip = 0): void {
  const digits: Expr[] = layout.registers.map(() => lit(0));
  const open = (k: number): void => {
    if (k < skip) {
      write({ layout, digits: [...digits], own: new Map(), memo: new Map() });
      return;
    }
    const d = layout.registers[k]!;
    const name = loopName(ctx, d);
    digits[k] = ref(name);
    const body = within(ctx, () => open(k - 1));
    const rolled = partOf(ctx, d.axis).rolled === d.stride || (ctx.plan.spills && d.count > MOST_SPILT);
    push(ctx, {
      kind: "for",
      name,
      from: lit(0),
      below: lit(d.count),
      step: 1,
      ...(rolled ? {} : { unroll: true as const }),
      body,
    });
  };
  open(layout.registers.length - 1);
}

/** Loops over registers are never inside each other where their digits are the same: one name for each digit will do. */
function loopName(ctx: Context, d: Digit): string {
  const key = `loop ${d.axis} ${d.stride}`;
  const known = ctx.numbers.get(key);
  if (known?.kind === "ref") return known.name;
  const name = ctx.fresh(`${partOf(ctx, d.axis).axis.name}${d.stride}`);
  ctx.numbers.set(key, ref(name));
  return name;
}

/** The registers' part of a number is written where it is used; the thread's part is named once. */
export function threadPart(ctx: Context, layout: Layout, axis: number, from = 1): Expr {
  let below = 1;
  const terms: { readonly digit: Digit; readonly below: number }[] = [];
  for (const digit of layout.threads) {
    if (digit.axis === axis && below >= from) terms.push({ digit, below });
    below *= digit.count;
  }
  if (terms.length === 0) return lit(0);
  const key = `${axis}: ${terms.map((t) => `${t.below} ${t.digit.count} ${t.digit.stride}`).join(", ")}`;
  const known = ctx.numbers.get(key);
  if (known) return known;
  const sum = terms.reduce<Expr>(
    (e, t) => add(e, mul(digitOf(t.below, t.digit.count, below), lit(t.digit.stride))),
    lit(0),
  );
  const name = ctx.fresh(`${partOf(ctx, axis).axis.name}_${from === 1 ? "own" : "warp"}`);
  ctx.top.push({ kind: "let", name, value: sum });
  ctx.numbers.set(key, ref(name));
  return ref(name);
}
/** A digit of the thread's number. */
export function digitOf(below: number, count: number, threads: number): Expr {
  const shifted = below === 1 ? ref("lane") : op("div", [ref("lane"), lit(below)], "i32");
  return below * count === threads ? shifted : op("mod", [shifted, lit(count)], "i32");
}
/** A number of the thread's that is used in many places, named once. */
export function numbered(ctx: Context, hint: string, value: Expr): Expr {
  const key = JSON.stringify(value);
  const known = ctx.numbers.get(key);
  if (known) return known;
  const name = ctx.fresh(hint);
  ctx.top.push({ kind: "let", name, value });
  ctx.numbers.set(key, ref(name));
  return ref(name);
}

/** The element's number in the block at hand. */
export function local(ctx: Context, at: At, axis: Axis): Expr {
  const own = at.own.get(axis.id);
  if (own) return own;
  if (partOf(ctx, axis).cover === 1) return lit(0);
  const { layout } = at;
  invariant(layout, `an element of axis ${axis.name} is chosen in kernel ${ctx.kernel.name}`);
  return layout.registers.reduce<Expr>(
    (e, d, k) => (d.axis === axis.id ? add(e, mul(at.digits[k]!, lit(d.stride))) : e),
    threadPart(ctx, layout, axis.id),
  );
}
export const startOf = (ctx: Context, axis: Axis): Expr => ctx.starts.get(axis.id) ?? lit(0);
/** The element's number along the axis; past the end it is the last that exists. */
export function position(ctx: Context, at: At, axis: Axis): Expr {
  const raw = add(startOf(ctx, axis), local(ctx, at, axis));
  return partOf(ctx, axis).ragged ? min(raw, lit(axis.extent - (at.group?.axis === axis.id ? at.group.size : 1))) : raw;
}
/** Whether the element exists; undefined where it always does. */
export function exists(ctx: Context, at: At, axis: Axis): Expr | undefined {
  const p = partOf(ctx, axis);
  const here = local(ctx, at, axis);
  const inBlock = p.cover > p.block ? less(here, lit(p.block)) : undefined;
  const inExtent = axis.extent % p.block !== 0 ? less(add(startOf(ctx, axis), here), lit(axis.extent)) : undefined;
  return inBlock && inExtent ? and(inBlock, inExtent) : (inBlock ?? inExtent);
}
export const allExist = (ctx: Context, at: At, axes: readonly Axis[]): Expr | undefined =>
  axes.map((a) => exists(ctx, at, a)).reduce((a, b) => (a && b ? and(a, b) : (a ?? b)), undefined);

/** Where a value is held so that `at` can read it. */
export function heldFor(ctx: Context, v: Value, layout: Layout | null): Held | undefined {
  const all = ctx.held.get(v.id) ?? [];
  if (!layout)
    return all.find((h) => sizeOf(h.layout.registers) === 1 && h.layout.threads.every((d) => d.axis === everywhere));
  const want = project(layout, axisIds(ctx, v));
  return all.find((h) => reaches(h.layout, want));
}
/** The register of what is held. */
export function registerAt(h: Held, at: At): Expr {
  let weight = 1;
  let index: Expr = lit(0);
  for (const d of h.layout.registers) {
    const k =
      at.layout?.registers.findIndex((e) => e.axis === d.axis && e.stride === d.stride && e.count === d.count) ?? -1;
    invariant(k >= 0, `${h.name} is held where it is read`);
    index = add(index, mul(at.digits[k]!, lit(weight)));
    weight *= d.count;
  }
  return index;
}
export const isArray = (h: Held): boolean => sizeOf(h.layout.registers) > 1;
export function readHeld(h: Held, at: At): Expr {
  if (!isArray(h)) return ref(h.name, h.type);
  return { kind: "elem", array: h.name, index: registerAt(h, at), type: h.type, width: 1 };
}
export function writeHeld(ctx: Context, h: Held, at: At, value: Expr): void {
  if (isArray(h)) push(ctx, { kind: "setElem", array: h.name, index: registerAt(h, at), value });
  else push(ctx, { kind: "set", name: h.name, value });
}
/** Declares registers for a value, an array where there are several: for `nest` to write. */
export function declare(ctx: Context, hint: string, type: LaneType, layout: Layout): Held {
  const name = ctx.fresh(hint);
  const size = sizeOf(layout.registers);
  if (size > 1) push(ctx, { kind: "array", name, type, width: 1, size });
  else push(ctx, { kind: "var", name, type, width: 1, value: lit(0, type) });
  return { name, type, layout };
}
/** Declares registers in groups of four. */
export function declareFours(ctx: Context, hint: string, size: number): string {
  const name = ctx.fresh(hint);
  push(ctx, { kind: "array", name, type: "f32", width: 4, size });
  return name;
}
/** Registers that begin as `value`; `forGood` where they stay so. */
export function initial(
  ctx: Context,
  hint: string,
  type: LaneType,
  layout: Layout,
  value: (at: At) => Expr,
  forGood = false,
): Held {
  if (sizeOf(layout.registers) > 1) {
    const held = declare(ctx, hint, type, layout);
    nest(ctx, layout, (at) => writeHeld(ctx, held, at, value(at)));
    return held;
  }
  const first = value({ layout, digits: [], own: new Map(), memo: new Map() });
  const name = ctx.fresh(hint);
  if (forGood) push(ctx, { kind: "let", name, value: first });
  else push(ctx, { kind: "var", name, type, width: 1, value: first });
  return { name, type, layout };
}
export function hold(ctx: Context, v: Value, h: Held): void {
  ctx.held.set(v.id, [...(ctx.held.get(v.id) ?? []), h]);
}
export const hintOf = (v: Value): string =>
  v.name ?? (v.def.kind === "map" || v.def.kind === "reduce" ? v.def.op : v.def.kind);
