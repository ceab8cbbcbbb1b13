/** What is at hand while a kernel is written: the facts, the current scope, and where things are kept. */
import { invariant } from "../base/invariant.ts";
import type { Axis, Kernel, Value } from "../tile/ir.ts";
import { crossedBy } from "./crosswise.ts";
import { add, component, lit, mul, op, ref, vec } from "./expr.ts";
import type { Facts } from "./facts.ts";
import type { Expr, LaneStmt, LaneType } from "./ir.ts";
import { type AxisMap, isWritten, type Mapping } from "./map.ts";
import { childScope, homeOf, openLoop, type Scope } from "./scope.ts";

/** The register of each axis that is meant: its number along the axis, below `unroll`. */
export type Coords = ReadonlyMap<number, number>;

/** An array of the thread: one element for each element of its axes that the thread holds, innermost last. */
export type Stored = {
  readonly array: string;
  readonly type: LaneType;
  readonly axes: readonly { readonly axis: Axis; readonly stride: number }[];
  /** The axis whose elements are kept in groups of four. */
  readonly vector: Axis | null;
  /** The loop that fills it as it goes: until its end the array is of use only inside. */
  readonly filledIn?: Scope;
};

/** Rounds of an axis, from a multiple of its registers on. */
export type Rounds = { readonly axis: Axis; readonly from: Expr; readonly below: Expr };

export type Context = {
  readonly kernel: Kernel;
  mapping: Mapping;
  readonly facts: Facts;
  readonly fresh: (hint: string) => string;
  scope: Scope;
  /** The scope of the kernel's body, of the fold being written in it, and so on inwards. */
  readonly regions: Scope[];
  /** Loops over rounds that are being written. */
  readonly open: Set<Scope>;
  /** Arrays are declared once, at the top. */
  readonly arrays: LaneStmt[];
  readonly stored: Map<number, Stored>;
  /** Reductions whose loops are written or being written. */
  readonly begun: Set<number>;
  /** Values whose arrays are being written. */
  readonly filling: Set<number>;
  /** Of names: the level of the scope that binds them, and what they are a multiple of. */
  readonly names: Map<string, { readonly level: number; readonly multiple: number }>;
  /** First element of the block at hand, for each axis; for a freely dealt grid axis that of the workgroup. */
  readonly starts: Map<number, Expr>;
  /** For freely dealt grid axes: the thread's own first element. */
  readonly bases: Map<number, Expr>;
  /** Selects that need no mask where a condition holds. */
  readonly full: Map<number, Expr>;
  /** Names of the run-time scalars. */
  readonly scalars: readonly string[];
  evaluate: (v: Value, c: Coords, along: Axis | null) => Expr;
  /** Computes a value into an array of its own. */
  store: (v: Value) => void;
  /** Writes a loop that reductions share. */
  runLoop: (name: string) => void;
  /** Sums that a shared loop adds to arrays as it goes. */
  readonly pending: Map<string, { readonly target: Stored; readonly sum: Value; readonly base: Value }[]>;
};

export const mapOf = (ctx: Context, a: Axis): AxisMap => {
  const m = ctx.mapping.axes.get(a.id);
  invariant(m, `axis ${a.name} of kernel ${ctx.kernel.name} has no mapping`);
  return m;
};
export const looped = (ctx: Context, axes: readonly Axis[]): readonly Axis[] =>
  axes.filter((a) => mapOf(ctx, a).loop > 1);
/** The outermost scope where what a value says of `axes` (all of its own, as a rule) can be computed. */
export const homeFor = (ctx: Context, v: Value, axes: readonly Axis[] = v.axes): Scope =>
  homeOf(
    ctx.scope,
    looped(ctx, axes).map((a) => a.id),
    ctx.facts.depth.get(v.id) ?? 0,
  );

/** Runs `write` with another current scope. */
export function within<T>(ctx: Context, scope: Scope, write: () => T): T {
  const before = ctx.scope;
  ctx.scope = scope;
  const result = write();
  ctx.scope = before;
  return result;
}

export const push = (ctx: Context, ...stmts: readonly LaneStmt[]): void => {
  ctx.scope.stmts.push(...stmts);
};

/** Lets a name (or a literal) be found under `key` in a scope and those inside it. `multiple`: what it is a multiple of. */
export function show(ctx: Context, scope: Scope, key: string, value: Expr, multiple = 1): Expr {
  scope.bound.set(key, value);
  if (value.kind === "ref" && !ctx.names.has(value.name)) ctx.names.set(value.name, { level: scope.level, multiple });
  return value;
}
/** The same for any value: it gets a name by a `let` where it is not one already. */
export function bindIn(ctx: Context, scope: Scope, key: string, name: () => string, value: Expr, multiple = 1): Expr {
  if (value.kind === "lit" || value.kind === "ref") return show(ctx, scope, key, value, multiple);
  const fresh = name();
  scope.stmts.push({ kind: "let", name: fresh, value });
  return show(ctx, scope, key, ref(fresh, value.type, value.width), multiple);
}

/** Whether an array holds what it should where statements are being written. */
export function isWhole(ctx: Context, s: Stored): boolean {
  if (!s.filledIn || !ctx.open.has(s.filledIn)) return true;
  for (let at: Scope | null = ctx.scope; at; at = at.parent) if (at === s.filledIn) return true;
  return false;
}

/** Opens the loops of `axes` (those of more than one round, outermost first) around `write`; of one axis some rounds only. */
export function nest(ctx: Context, axes: readonly Axis[], write: () => void, some?: Rounds): void {
  const [axis, ...rest] = axes.filter((a) => mapOf(ctx, a).loop > 1 && !openLoop(ctx.scope, a.id));
  if (!axis) {
    write();
    return;
  }
  const m = mapOf(ctx, axis);
  const name = ctx.fresh(axis.name);
  const scope = childScope(ctx.scope, ctx.scope.region, { axis: axis.id, name });
  ctx.names.set(name, { level: scope.level, multiple: m.unroll });
  ctx.open.add(scope);
  within(ctx, scope, () => nest(ctx, rest, write, some));
  ctx.open.delete(scope);
  const part = some?.axis.id === axis.id ? some : undefined;
  push(ctx, {
    kind: "for",
    name,
    from: part?.from ?? lit(0),
    below: part?.below ?? roundsEnd(ctx, m),
    step: m.unroll,
    ...(!part && isWritten(ctx.mapping, m, ctx.scope.region) && { unroll: true as const }),
    body: scope.stmts,
  });
}
/**
 * Writes a loop over all elements of `axis` one by one. With SIMD, compilers put a body's loads before all that is computed
 * from them: what several unrolled elements need at once would not stay in the registers.
 */
export function oneByOne(ctx: Context, axis: Axis, write: () => void): void {
  const { mapping } = ctx;
  const m = mapOf(ctx, axis);
  if (mapping.simd && mapping.simd.axis !== axis.id)
    ctx.mapping = { ...mapping, axes: new Map(mapping.axes).set(axis.id, { ...m, ...singles(m) }) };
  write();
  ctx.mapping = mapping;
}

/** The same block, one element a round. */
function singles({ axis, block, ragged }: AxisMap): Partial<AxisMap> {
  const whole = axis.role === "inner";
  const own = whole ? axis.extent : block;
  return { block: own, unroll: 1, loop: own, ragged: ragged && !whole };
}

/** Whether some rounds of a partial block go past its end: those that it has end with it, if elements fill them. */
export function overruns(ctx: Context, axis: Axis): boolean {
  const m = mapOf(ctx, axis);
  const ends = m.loop > 1 && axis.role !== "inner" && ctx.starts.has(axis.id) && !ctx.bases.has(axis.id);
  return m.ragged && !(ends && axis.extent % m.unroll === 0);
}
/** Whether some of four neighbours exist, and some do not. */
export const splits = (ctx: Context, axis: Axis): boolean =>
  mapOf(ctx, axis).vector && axis.extent % 4 !== 0 && overruns(ctx, axis);

/** A partial block ends early. */
function roundsEnd(ctx: Context, m: AxisMap): Expr {
  const start = ctx.starts.get(m.axis.id);
  if (!m.ragged || m.axis.role === "inner" || !start) return lit(m.block);
  return {
    kind: "op",
    op: "min",
    args: [lit(m.block), add(lit(m.axis.extent), { kind: "op", op: "neg", args: [start], type: "i32", width: 1 })],
    type: "i32",
    width: 1,
  };
}

/** All registers of some axes: every combination, groups of four along `vector` once. */
export function registersOf(ctx: Context, axes: readonly Axis[], vector: Axis | null): readonly Coords[] {
  let all: Coords[] = [new Map()];
  // With SIMD the groups of four come innermost: what they share is then at hand for all of them, and for no longer.
  const inner = ctx.mapping.simd && vector ? axes.filter((a) => a.id === vector.id) : [];
  for (const a of inner.length > 0 ? [...axes.filter((x) => x.id !== vector!.id), ...inner] : axes) {
    const step = vector?.id === a.id ? 4 : 1;
    const count = mapOf(ctx, a).unroll;
    const next: Coords[] = [];
    for (const c of all) for (let u = 0; u < count; u += step) next.push(new Map(c).set(a.id, u));
    all = next;
  }
  return all;
}

/** A name that says which register it is: `s_0_3`. */
export const registerName = (ctx: Context, hint: string, v: Value, c: Coords): string => {
  const numbers = v.axes.filter((a) => mapOf(ctx, a).unroll > 1).map((a) => c.get(a.id) ?? 0);
  return ctx.fresh([hint, ...numbers].join("_"));
};

export const keyOf = (ctx: Context, v: Value, c: Coords, vector: Axis | null): string => {
  let key = `${v.id}`;
  for (const a of v.axes) if (mapOf(ctx, a).unroll > 1) key += `,${a.id}:${c.get(a.id) ?? 0}`;
  return vector ? `${key}|${vector.id}` : key;
};
/** Four neighbouring registers along `axis`, from the group that `c` lies in. */
export const groupOf = (c: Coords, axis: Axis): Coords =>
  new Map(c).set(axis.id, Math.floor((c.get(axis.id) ?? 0) / 4) * 4);
export const neighbours = (c: Coords, axis: Axis): readonly Coords[] =>
  [0, 1, 2, 3].map((i) => new Map(c).set(axis.id, Math.floor((c.get(axis.id) ?? 0) / 4) * 4 + i));

/** The axis along which a value is best held four at a time: one along which what it is made of lies side by side. */
export function vectorAxis(ctx: Context, v: Value): Axis | null {
  const natural = ctx.facts.natural.get(v.id);
  return [...v.axes].reverse().find((a) => mapOf(ctx, a).vector && natural?.has(a.id)) ?? null;
}

/** What is held along `has` (or as scalars), asked for along `wanted`. */
export function recast(
  ctx: Context,
  c: Coords,
  has: Axis | null,
  wanted: Axis | null,
  get: (c: Coords, along: Axis | null) => Expr,
): Expr {
  if (has?.id === wanted?.id) return get(has ? groupOf(c, has) : c, has);
  if (wanted) return vec(neighbours(c, wanted).map((n) => recast(ctx, n, has, null, get)));
  return component(get(groupOf(c, has!), has), (c.get(has!.id) ?? 0) % 4);
}

/** A number along an axis: names and a constant. */
type Place = { readonly refs: readonly Expr[]; readonly constant: number };

/** The element number along an axis, before partial blocks are thought of. */
export function rawPosition(ctx: Context, a: Axis, u: number): Place {
  const own = rawPlace(ctx, a, u);
  const m = mapOf(ctx, a);
  if (!m.crosswise) return own;
  const by = crossedBy(m);
  const s = Math.floor(u / by) % 4;
  return { refs: [...own.refs, crossed(ctx, s, by)], constant: own.constant - s * by };
}
/** How far from the first of four (or of four fours) the element lies that a thread holds in register `s` of them. */
function crossed(ctx: Context, s: number, by: number): Expr {
  const top = ctx.regions[0]!;
  const key = `crosswise ${s} ${by}`;
  const place = s === 0 ? ref("quad") : op("xor", [ref("quad"), lit(s)], "i32");
  return top.bound.get(key) ?? bindIn(ctx, top, key, () => ctx.fresh(`quad_${s}`), mul(place, lit(by)), by);
}

/** The number of a register along an axis, as if a thread held its elements in their order. */
export function rawPlace(ctx: Context, a: Axis, u: number): Place {
  const m = mapOf(ctx, a);
  const base = ctx.bases.get(a.id);
  if (base) {
    const w = m.vector ? 4 : 1;
    return { refs: [base], constant: Math.floor(u / w) * m.lanes * w + (u % w) };
  }
  const start = ctx.starts.get(a.id);
  const loop = openLoop(ctx.scope, a.id);
  invariant(loop || m.loop === 1, `axis ${a.name} is used outside its loop in kernel ${ctx.kernel.name}`);
  return { refs: [...(start ? [start] : []), ...(loop ? [ref(loop.name)] : [])], constant: u };
}
export const sum = (refs: readonly Expr[], constant: number): Expr =>
  add(
    refs.reduce<Expr>((a, b) => add(a, b), lit(0)),
    lit(constant),
  );
