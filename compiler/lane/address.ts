/**
 * Addresses as sums: constant + Σ coefficient · name. What does not change in a loop is added up outside it, and
 * registers that differ by a constant share one name.
 */
import type { Value } from "../tile/ir.ts";
import { bindIn, type Context, type Coords, mapOf, overruns, rawPosition } from "./context.ts";
import { add, lit, mul } from "./expr.ts";
import type { Expr } from "./ir.ts";
import type { Scope } from "./scope.ts";

type Term = { readonly name: string; readonly expr: Expr; readonly coef: number };
export type Affine = { readonly constant: number; readonly terms: readonly Term[] };

const constant = (n: number): Affine => ({ constant: n, terms: [] });
const plus = (a: Affine, b: Affine, times = 1): Affine => {
  const terms = new Map(a.terms.map((t) => [t.name, t]));
  for (const t of b.terms) terms.set(t.name, { ...t, coef: (terms.get(t.name)?.coef ?? 0) + times * t.coef });
  return { constant: a.constant + times * b.constant, terms: [...terms.values()].filter((t) => t.coef !== 0) };
};

function term(e: Expr): Affine {
  if (e.kind === "lit") return constant(e.value);
  return { constant: 0, terms: [{ name: e.kind === "ref" ? e.name : "", expr: e, coef: 1 }] };
}

/** An index value as a sum. What is not a sum becomes one name. */
export function affineOf(ctx: Context, v: Value, c: Coords): Affine {
  const d = v.def;
  if (d.kind === "const") return constant(d.value);
  if (d.kind === "edge" && (d.end === "first" || !mapOf(ctx, d.axis).ragged)) {
    const start = term(ctx.starts.get(d.axis.id) ?? lit(0));
    return d.end === "first" ? start : plus(start, constant(mapOf(ctx, d.axis).block - 1));
  }
  if (d.kind === "pos" && !overruns(ctx, d.axis)) {
    const raw = rawPosition(ctx, d.axis, c.get(d.axis.id) ?? 0);
    return raw.refs.reduce((a, r) => plus(a, term(r)), constant(raw.constant));
  }
  if (d.kind === "map" && v.dtype === "i32") {
    const [a, b] = d.args;
    if (d.op === "add") return plus(affineOf(ctx, a!, c), affineOf(ctx, b!, c));
    if (d.op === "sub") return plus(affineOf(ctx, a!, c), affineOf(ctx, b!, c), -1);
    if (d.op === "neg") return plus(constant(0), affineOf(ctx, a!, c), -1);
    if (d.op === "mul" && b!.def.kind === "const") return plus(constant(0), affineOf(ctx, a!, c), b!.def.value);
    if (d.op === "mul" && a!.def.kind === "const") return plus(constant(0), affineOf(ctx, b!, c), a!.def.value);
  }
  const e = ctx.evaluate(v, c, null);
  if (e.kind === "lit" || e.kind === "ref") return term(e);
  return term(bindIn(ctx, ctx.scope, `at ${v.id} ${ctx.scope.stmts.length}`, () => ctx.fresh(v.name ?? "at"), e));
}

/** x - y, without the term of a name, and that term's coefficient. */
export function apart(x: Affine, y: Affine, name: string): { readonly coef: number; readonly rest: Affine } {
  const all = plus(x, y, -1);
  const coef = all.terms.find((t) => t.name === name)?.coef ?? 0;
  return { coef, rest: { ...all, terms: all.terms.filter((t) => t.name !== name) } };
}

/** The sum with one more term. */
export const plusTerm = (a: Affine, e: Expr, coef: number): Affine => plus(a, term(e), coef);

/** The constant by which each of some sums exceeds the one before; undefined where they differ otherwise. */
export function evenStep(all: readonly Affine[]): number | undefined {
  const step = plus(all[1]!, all[0]!, -1);
  if (step.terms.length > 0) return undefined;
  const even = all.every((a, i) => {
    const rest = plus(a, all[0]!, -1);
    return rest.terms.length === 0 && rest.constant === i * step.constant;
  });
  return even ? step.constant : undefined;
}

/** Row-major element offset. */
export function offsetOf(ctx: Context, index: readonly Value[], shape: readonly number[], c: Coords): Affine {
  let stride = 1;
  let total = constant(0);
  for (let k = shape.length - 1; k >= 0; k--) {
    if (shape[k] !== 1) total = plus(total, affineOf(ctx, index[k]!, c), stride);
    stride *= shape[k]!;
  }
  return total;
}

/** Whether the sum is a multiple of four, whatever its names stand for. */
export const alignedToFour = (ctx: Context, a: Affine): boolean =>
  a.constant % 4 === 0 && a.terms.every((t) => (t.coef * (ctx.names.get(t.name)?.multiple ?? 1)) % 4 === 0);

/** Writes the sum: one `let` for each scope that it has names from, the constant last. */
export function writeAffine(ctx: Context, a: Affine): Expr {
  const level = (t: Term): number => ctx.names.get(t.name)?.level ?? 0;
  const terms = [...a.terms].sort((x, y) => level(x) - level(y));
  let sum: Expr = lit(0);
  let key = "sum";
  for (let i = 0; i < terms.length; ) {
    const here = level(terms[i]!);
    for (; i < terms.length && level(terms[i]!) === here; i++) {
      const t = terms[i]!;
      sum = add(sum, mul(t.expr, lit(t.coef)));
      key += ` ${t.coef}*${t.name}`;
    }
    const scope = scopeAt(ctx.scope, here);
    sum = scope.bound.get(key) ?? bindIn(ctx, scope, key, () => ctx.fresh("at"), sum);
  }
  return add(sum, lit(a.constant));
}

function scopeAt(from: Scope, level: number): Scope {
  let s = from;
  while (s.level > level && s.parent) s = s.parent;
  return s;
}
