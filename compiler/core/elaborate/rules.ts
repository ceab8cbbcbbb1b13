/**
 * Derivative rules: `derivative f(params) { … (value, |g| (d_param, …)) }`.
 *
 * A call of `f` of which a derivative is taken becomes one equation with three regions: the function's own body, the rule's,
 * and what the rule's pullback makes of a cotangent. What the pullback closes over of the rule's body are the residuals.
 *
 *   (y) = rule f (x) { f's body: (y) } forward { rule's body: (y, residual) } pullback (residual, g) { (dx, number for a function) }
 */
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { isFloat } from "../dtype.ts";
import type { Atom, Block, Type, Var } from "../ir.ts";
import { broadcastShapes } from "../typing.ts";
import { freeVars, mapEqn, outsOf } from "../walk.ts";
import { toAtom } from "./arithmetic.ts";
import { type Context, emit, explain, fail, freshVar, named, poison, push, sameDim, widen } from "./context.ts";
import { region } from "./derivatives.ts";
import { fitOrNot, fitValue, lastExpr } from "./fit.ts";
import { define, frame, lookup } from "./scope.ts";
import { typeNode } from "./types.ts";
import {
  arrayOf,
  describe,
  errorType,
  errorValue,
  type FnValue,
  leafPaths,
  leaves,
  mapLeaves,
  printType,
  type Scope,
  type TypeNode,
  typeOfValue,
  type Value,
} from "./value.ts";

/** A call of a function that has a rule: its parameters stand in `scope`, and `body` elaborates its own body. */
export type RuledCall = {
  readonly decl: Ast.FnDecl;
  readonly rule: Ast.DerivativeDecl;
  /** Where both are declared. */
  readonly env: Scope;
  readonly scope: Scope;
  /** Whether it is a function of scalars applied to arrays. */
  readonly elementwise: boolean;
  readonly body: (c: Context) => Value;
  readonly span: Span;
};
/** The rule of a function, where it has one. */
export const ruleOf = (decl: Ast.FnDecl, env: Scope): Ast.DerivativeDecl | undefined =>
  env.derivatives?.get(decl.name.name);

/** A parameter that the pullback gives an entry for, and what that must be. */
type Entry = { readonly name: string; readonly value: Value; readonly type: TypeNode };

/** Calls a function with a rule, of which a derivative is taken. `outer` knows the calls around this one. */
export function callWithRule(c: Context, outer: Context, k: RuledCall): Value {
  const name = k.decl.name.name;
  if (k.elementwise && !spread(c, k)) return errorValue;
  setApart(c, k);
  const entries = k.decl.params.flatMap((p) => entryOf(p.name.name, bound(k.scope, p.name.name)));
  const own = region(c, -1);
  const value = k.body(own);
  // The rule may call its function: it stands beside it, not inside.
  const checkedAlone = k.span === k.decl.name.span;
  const calls = [...outer.calls, { decl: k.rule, name: checkedAlone ? "" : name, span: k.span }];
  const forward: Context = { ...region(c, -1), calls };
  const before = c.diagnostics.length;
  if (leaves(value).some((v) => v.kind === "fn"))
    return fail(c, "GY9009", k.decl.name.span, { what: "a function with a derivative rule" });
  const given = ruleBody(forward, k);
  if (!given || value.kind === "error") return errorValue;
  const at = lastExpr(k.rule.body);
  const [first, second] = at.kind === "tuple" ? at.items : [];
  const results = ruleValue(forward, k, value, given.value, first?.span ?? at.span);
  if (!results) return errorValue;
  const outs = atomsOf(value).map((a) => freshVar(c, a.type, { from: [a], span: k.span, why: `\`${name}\`` }));
  const pullback: Context = { ...region(c, -1), calls };
  const cotangents = outs.map((v, i) =>
    freshVar(c, v.type, { from: [v], span: k.span }, outs.length > 1 ? `g${i}` : "g"),
  );
  const written = given.pullback.fn === "lambda" ? lastExpr(given.pullback.lambda.body) : second;
  const span = written?.span ?? at.span;
  const pulled = c.knot.call(pullback, given.pullback, [{ value: withArrays(value, cotangents), span }], span);
  const ofEntries = pulled.kind === "error" ? undefined : ruleEntries(pullback, k, entries, pulled, span, written);
  if (!ofEntries || c.diagnostics.length > before) return errorValue;
  const kept = residuals(c, forward, { eqns: pullback.eqns, results: ofEntries }, k.span);
  push(c, {
    kind: "rule",
    name,
    args: entries.flatMap((e) => leaves(e.value).flatMap((v) => (isFloatArray(v) ? [v.atom] : []))),
    primal: { eqns: own.eqns, results: atomsOf(value) },
    forward: { eqns: forward.eqns, results: [...results, ...kept.values] },
    pullback: { params: [...kept.params, ...cotangents], body: kept.body },
    functions: entries.flatMap(functionsOf),
    outs,
    span: k.span,
  });
  return withArrays(value, outs);
}

const bound = (s: Scope, name: string): Value => {
  const b = lookup(s, name);
  return b?.kind === "value" ? b.value : errorValue;
};
const atomsOf = (v: Value): readonly Atom[] => leaves(v).flatMap((x) => (x.kind === "array" ? [x.atom] : []));
/** A value with other arrays, in order; what is known at compile time stays. */
function withArrays(v: Value, atoms: readonly Atom[]): Value {
  let next = 0;
  return mapLeaves(v, (x) => (x.kind === "array" ? arrayOf(atoms[next++]!) : x));
}

// --- What a derivative flows through ---------------------------------------------------------------------------------

const isFloatArray = (v: Value): v is Extract<Value, { kind: "array" }> =>
  v.kind === "array" && isFloat(v.atom.type.dtype);
const givesFloats = (t: TypeNode): boolean =>
  t.kind === "array"
    ? isFloat(t.dtype)
    : t.kind === "tuple"
      ? t.items.some(givesFloats)
      : t.kind === "record" && [...t.fields.values()].some(givesFloats);
/** A function that may give floats; of one without a type nothing else is known. */
const isFloatFn = (v: Value): v is FnValue => v.kind === "fn" && (!("type" in v) || givesFloats(v.type.result));

function entryOf(name: string, value: Value): readonly Entry[] {
  return leaves(value).some((v) => isFloatArray(v) || isFloatFn(v)) ? [{ name, value, type: entryType(value) }] : [];
}
/** The type of an entry: floats as they are, a number for a function; anything for parts that have neither. */
function entryType(v: Value): TypeNode {
  if (!leaves(v).some((x) => isFloatArray(x) || isFloatFn(x))) return errorType;
  if (v.kind === "tuple") return { kind: "tuple", items: v.items.map(entryType) };
  if (v.kind === "record")
    return { kind: "record", fields: new Map([...v.fields].map(([key, x]) => [key, entryType(x)])) };
  return v.kind === "array" ? typeOfValue(v) : { kind: "array", dtype: "f32", shape: [] };
}
/** The functions among the leaves: `score`, `masks.1`. */
const functionsOf = (e: Entry): readonly string[] =>
  leafPaths(e.value, e.name).filter((_, i) => isFloatFn(leaves(e.value)[i]!));

/** Scalar parameters that stand for arrays, all of one shape: broadcast before, so that the rule has nothing to sum. */
function spread(c: Context, k: RuledCall): boolean {
  const values = k.decl.params.map((p) => bound(k.scope, p.name.name));
  const types = values.flatMap(atomsOf).map((a) => a.type);
  const shape = broadcastShapes(c.typing, types);
  if ("problem" in shape) {
    explain(c, shape, [], k.span, k.decl.name.name);
    return false;
  }
  for (const [i, p] of k.decl.params.entries()) {
    const v = values[i]!;
    if (isFloatArray(v)) define(k.scope, p.name.name, arrayOf(broadcast(c, v.atom, shape, k.span)));
  }
  return true;
}

/**
 * An array that is passed and that a function parameter closes over as well is two: the pullback's entry for the one is
 * not its entry for the other.
 */
function setApart(c: Context, k: RuledCall): void {
  const params = k.decl.params.map((p) => ({ name: p.name.name, value: bound(k.scope, p.name.name) }));
  if (!params.some((p) => leaves(p.value).some(isFloatFn))) return;
  const alias = (v: Value): Value => {
    if (!isFloatArray(v) || v.atom.kind === "lit") return v;
    const other = arrayOf(emit(c, "pvary", { axes: [] }, [v.atom], k.span));
    return v.atom.name === undefined ? other : named(c, other, v.atom.name);
  };
  for (const { name, value } of params)
    if (leaves(value).some(isFloatArray)) define(k.scope, name, mapLeaves(value, alias));
}

function broadcast(c: Context, a: Atom, shape: Type["shape"], span: Span): Atom {
  const same = a.type.shape.length === shape.length && a.type.shape.every((d, i) => sameDim(c, d, shape[i]!));
  return same ? a : emit(c, "broadcast", { shape }, [a], span);
}

// --- The rule's body -------------------------------------------------------------------------------------------------

/** Whether a rule has the parameters of its function; reported once, when the function is checked. */
export function sameParams(c: Context, decl: Ast.FnDecl, rule: Ast.DerivativeDecl): boolean {
  const name = decl.name.name;
  const before = c.diagnostics.length;
  if (rule.params.length !== decl.params.length) {
    const wants = decl.params.map((p) => p.name.name);
    fail(c, "GY9103", rule.name.span, { name, wants, found: rule.params.length }, [
      { span: decl.name.span, message: `\`${name}\` is declared here` },
    ]);
  }
  for (const p of rule.params) if (p.default) fail(c, "GY9104", p.default.span, { name, parameter: p.name.name });
  return c.diagnostics.length === before;
}

/** The pair that the rule gives; undefined after an error. */
function ruleBody(c: Context, k: RuledCall): { readonly value: Value; readonly pullback: FnValue } | undefined {
  const { decl, rule } = k;
  const of = decl.name.name;
  const scope = frame(k.env, k.elementwise);
  for (const [i, g] of decl.generics.entries()) {
    const value = bound(k.scope, g.name.name);
    for (const name of [g.name.name, rule.generics[i]?.name.name]) if (name !== undefined) define(scope, name, value);
  }
  for (const [i, p] of rule.params.entries()) {
    const value = mapLeaves(bound(k.scope, decl.params[i]!.name.name), deeper);
    const what = `parameter \`${p.name.name}\` in the rule of \`${of}\``;
    const fits = p.type && fitValue(c, typeNode(c, scope, p.type), value, p.span, what, new Map(), k.elementwise);
    define(scope, p.name.name, fits && fits.kind !== "fn" ? fits : value);
  }
  const result = c.knot.expr(c, scope, rule.body);
  if (result.kind === "error" || result.kind === "unknown") return undefined;
  const [value, pullback] = result.kind === "tuple" && result.items.length === 2 ? result.items : [];
  if (value && pullback?.kind === "fn") return { value, pullback };
  if (value?.kind !== "error" && pullback?.kind !== "error")
    fail(c, "GY9105", lastExpr(rule.body).span, { name: of, found: describe(result) });
  return undefined;
}
/** The rule's numbers for a function are differentiated: a call of it there counts as one more derivative. */
const deeper = (v: Value): Value => (isFloatFn(v) ? { kind: "fn", fn: "deeper", of: v } : v);

/** The rule's value at the types of the function's; undefined after an error. */
function ruleValue(c: Context, k: RuledCall, wanted: Value, given: Value, span: Span): readonly Atom[] | undefined {
  const name = k.decl.name.name;
  const before = c.diagnostics.length;
  const type = typeOfValue(wanted);
  const value = fitOrNot(c, type, given, span);
  if (!value && c.diagnostics.length === before)
    fail(c, "GY9106", span, { name, wants: printType(type), found: describe(given) });
  if (!value) return undefined;
  const values = leaves(value);
  const atoms: Atom[] = [];
  for (const [i, like] of leaves(wanted).entries()) {
    const v = values[i];
    if (like.kind !== "array") continue;
    const atom = v ? toAtom(c, v, span) : poison;
    const axis = atom.type.varying.find((a) => !like.atom.type.varying.includes(a));
    if (axis !== undefined) fail(c, "GY9107", span, { name, axis });
    atoms.push(widen(c, atom, like.atom.type.varying, span));
  }
  return c.diagnostics.length > before || atoms.includes(poison) ? undefined : atoms;
}

/** A cotangent for each float among the entries, then a number for each function; undefined after an error. */
function ruleEntries(
  c: Context,
  k: RuledCall,
  entries: readonly Entry[],
  given: Value,
  span: Span,
  written: Ast.Expr | undefined,
): readonly Atom[] | undefined {
  const name = k.decl.name.name;
  const parts = written?.kind === "tuple" && written.items.length === entries.length ? written.items : [];
  const before = c.diagnostics.length;
  // One entry needs no tuple.
  const alone =
    entries.length === 1 && !(given.kind === "tuple" && given.items.length === 1 && entries[0]!.type.kind !== "tuple");
  const items = alone ? [given] : given.kind === "tuple" ? given.items : undefined;
  if (items?.length !== entries.length) {
    const found = given.kind === "tuple" ? String(given.items.length) : describe(given);
    fail(c, "GY9108", span, { name, wants: entries.map((e) => e.name), found });
    return undefined;
  }
  const floats: Atom[] = [];
  const numbers: Atom[] = [];
  for (const [i, e] of entries.entries()) {
    const fitted = fitEntry(c, k, e, items[i]!, parts[i]?.span ?? span);
    if (!fitted) continue;
    const found = leaves(fitted);
    let next = 0;
    mapLeaves(shaped(e), (like) => {
      const v = found[next++];
      const atom = v?.kind === "array" ? v.atom : poison;
      if (like.kind === "array") floats.push(atom);
      if (like.kind === "fn") numbers.push(atom);
      return like;
    });
  }
  const all = [...floats, ...numbers];
  return c.diagnostics.length > before || all.includes(poison) ? undefined : all;
}
/** An entry's value, parts that have none cut off: its leaves are those of what fits the entry's type. */
function shaped(e: Entry): Value {
  const cut = (v: Value, t: TypeNode): Value => {
    if (t.kind === "error") return errorValue;
    if (v.kind === "tuple" && t.kind === "tuple")
      return { kind: "tuple", items: v.items.map((x, i) => cut(x, t.items[i]!)) };
    if (v.kind === "record" && t.kind === "record")
      return { kind: "record", fields: new Map([...v.fields].map(([key, x]) => [key, cut(x, t.fields.get(key)!)])) };
    return v;
  };
  return cut(e.value, e.type);
}
function fitEntry(c: Context, k: RuledCall, e: Entry, given: Value, span: Span): Value | undefined {
  const name = k.decl.name.name;
  const before = c.diagnostics.length;
  const scalar: TypeNode =
    k.elementwise && e.type.kind === "array" && e.value.kind === "array" ? { ...e.type, shape: [] } : e.type;
  const fitted = fitOrNot(c, scalar, given, span, new Map(), k.elementwise);
  if (!fitted && c.diagnostics.length === before) {
    if (e.value.kind === "fn") fail(c, "GY9110", span, { name, parameter: e.name, found: describe(given) });
    else fail(c, "GY9109", span, { name, parameter: e.name, wants: printType(e.type), found: describe(given) });
  }
  if (!fitted || scalar === e.type || fitted.kind !== "array" || e.type.kind !== "array") return fitted;
  const full = broadcast(c, fitted.atom, e.type.shape, span);
  return full === poison ? undefined : arrayOf(full);
}

// --- What the pullback keeps -----------------------------------------------------------------------------------------

/** The variables of the rule's body that its pullback reads, as parameters of the pullback. */
function residuals(
  c: Context,
  forward: Context,
  pullback: Block,
  span: Span,
): { readonly values: readonly Var[]; readonly params: readonly Var[]; readonly body: Block } {
  const own = new Set(forward.eqns.flatMap((e) => outsOf(e).map((v) => v.id)));
  const values = [...freeVars(pullback)].filter((v) => own.has(v.id));
  const params = values.map((v) => freshVar(c, v.type, { from: [v], span }, v.name));
  const renamed = new Map(values.map((v, i) => [v.id, params[i]!]));
  const atom = (a: Atom): Atom => (a.kind === "var" ? (renamed.get(a.id) ?? a) : a);
  const block = (b: Block): Block => ({
    eqns: b.eqns.map((e) => mapEqn(e, atom, block)),
    results: b.results.map(atom),
  });
  return { values, params, body: block(pullback) };
}
