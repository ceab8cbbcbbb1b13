/** `if`: chosen at compile time where the condition is static, a Core `if` where it is a scalar, a choice of elements inside scalar functions. */
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Atom, Block, Type, Var } from "../ir.ts";
import { toAtom } from "./arithmetic.ts";
import { asValue, type Context, emit, fail, freshVar, poison, push, sameDim, union, widen } from "./context.ts";
import { filled } from "./fit.ts";
import { isElementwise } from "./scope.ts";
import { arrayOf, describe, errorValue, leaves, refill, type Scope, sameStructure, type Value } from "./value.ts";

export function ifExpr(c: Context, env: Scope, e: Ast.If): Value {
  const cond = c.knot.expr(c, env, e.condition);
  if (cond.kind === "bool" && cond.value !== undefined) return c.knot.expr(c, env, cond.value ? e.then : e.else);
  if (cond.kind === "array" && cond.atom.type.dtype === "bool") {
    if (cond.atom.kind === "lit") return c.knot.expr(c, env, cond.atom.value ? e.then : e.else);
    if (cond.atom.type.shape.length === 0) return runtimeIf(c, env, e, cond.atom);
    if (isElementwise(env)) {
      const a = c.knot.expr(c, env, e.then),
        b = c.knot.expr(c, env, e.else);
      return choose(c, cond.atom, a, b, [e.condition.span, e.then.span, e.else.span], e.span);
    }
  }
  const usable = cond.kind === "bool" || cond.kind === "unknown" || cond.kind === "error";
  if (!usable)
    fail(c, "GY3013", e.condition.span, {
      found: describe(cond),
      array: cond.kind === "array" && cond.atom.type.shape.length > 0,
    });
  // Which branch is taken will be known when sizes are: both are checked, and the first stands for both.
  const branch = (b: Ast.Expr) => {
    const inner: Context = { ...c, eqns: [] };
    return { eqns: inner.eqns, value: c.knot.expr(inner, env, b) };
  };
  const then = branch(e.then),
    other = branch(e.else);
  if (!usable || cond.kind === "error") return errorValue;
  const stands = then.value.kind === "error" || then.value.kind === "unknown" ? other : then;
  c.eqns.push(...stands.eqns);
  return stands.value;
}

/** where(c, a, b), leaf by leaf. */
export function choose(
  c: Context,
  cond: Atom,
  a: Value,
  b: Value,
  spans: readonly [Span, Span, Span],
  span: Span,
): Value {
  if (!sameStructure(a, b)) return fail(c, "GY3018", span, { a: describe(a), b: describe(b) });
  const bs = leaves(b);
  return refill(
    a,
    leaves(a).map((x, i) => chooseLeaf(c, cond, x, bs[i]!, spans, span)),
  );
}
function chooseLeaf(c: Context, cond: Atom, a: Value, b: Value, spans: readonly [Span, Span, Span], span: Span): Value {
  if (a.kind === "error" || b.kind === "error") return errorValue;
  if (a.kind === "unknown" && b.kind === "unknown") return a;
  const dtype =
    a.kind === "array"
      ? a.atom.type.dtype
      : b.kind === "array"
        ? b.atom.type.dtype
        : a.kind === "float" || b.kind === "float"
          ? "f32"
          : undefined;
  const x = toAtom(c, a, spans[1], a.kind === "array" ? undefined : dtype, "where");
  const y = toAtom(c, b, spans[2], b.kind === "array" ? undefined : dtype, "where");
  return asValue(emit(c, "select", {}, [cond, x, y], span, "where"));
}

function runtimeIf(c: Context, env: Scope, e: Ast.If, cond: Atom): Value {
  const axes = cond.type.varying;
  const inside: Context =
    axes.length > 0 ? { ...c, conditions: [...c.conditions, { axes, span: e.condition.span }] } : c;
  const branch = (b: Ast.Expr) => {
    const inner: Context = { ...inside, eqns: [] };
    return { inner, value: c.knot.expr(inner, env, b) };
  };
  const then = branch(e.then),
    other = branch(e.else);
  if (!sameStructure(then.value, other.value))
    return then.value.kind === "error" || other.value.kind === "error"
      ? errorValue
      : fail(c, "GY3018", e.span, { a: describe(then.value), b: describe(other.value) });
  const as = leaves(then.value),
    bs = leaves(other.value);
  const pairs = as.map((a, i) => join(c, then.inner, other.inner, a, bs[i]!, e));
  if (pairs.includes(undefined)) return errorValue;
  const both = pairs as (readonly [Atom, Atom])[];
  const outs: Var[] = both.map(([a, b]) =>
    freshVar(
      c,
      { ...a.type, varying: union(c, a.type.varying, axes) },
      { from: [a, b, cond], span: e.span, why: "this `if`" },
    ),
  );
  const block = (inner: Context, results: readonly Atom[]): Block => ({ eqns: inner.eqns, results });
  push(c, {
    kind: "if",
    cond,
    outs,
    span: e.span,
    then: block(
      then.inner,
      both.map((p) => p[0]),
    ),
    else: block(
      other.inner,
      both.map((p) => p[1]),
    ),
  });
  return refill(then.value, outs.map(arrayOf));
}

/** The leaves of two branches as arrays of one type, each made in its own branch. */
function join(c: Context, ca: Context, cb: Context, a: Value, b: Value, e: Ast.If): readonly [Atom, Atom] | undefined {
  if (a.kind === "error" || b.kind === "error") return undefined;
  const like: Type | undefined = a.kind === "array" ? a.atom.type : b.kind === "array" ? b.atom.type : undefined;
  const dtype = like?.dtype ?? (a.kind === "float" || b.kind === "float" ? "f32" : undefined);
  const atom = (inner: Context, v: Value, span: Span): Atom => {
    const x = toAtom(inner, v, span, v.kind === "array" ? undefined : dtype, "if");
    return v.kind === "unknown" && like ? filled(inner, x, like.shape, span) : x;
  };
  const x = atom(ca, a, e.then.span),
    y = atom(cb, b, e.else.span);
  if (x === poison || y === poison) return undefined;
  const same =
    x.type.dtype === y.type.dtype &&
    x.type.shape.length === y.type.shape.length &&
    x.type.shape.every((d, i) => sameDim(c, d, y.type.shape[i]!));
  if (!same) {
    fail(c, "GY3018", e.span, { a: describe(arrayOf(x)), b: describe(arrayOf(y)) });
    return undefined;
  }
  const axes = union(c, x.type.varying, y.type.varying);
  return [widen(ca, x, axes, e.then.span), widen(cb, y, axes, e.else.span)];
}
