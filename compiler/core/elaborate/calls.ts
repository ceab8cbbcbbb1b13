/** Calls: arguments find their parameters, parameters their dims, and the body is put in the place of the call. */
import { type Dim, dimAtoms, dimVar, evalDim, printDim } from "../../base/dim.ts";
import { q } from "../../base/say.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { inClass } from "../dtype.ts";
import type { DType, Type } from "../ir.ts";
import { broadcastShapes } from "../typing.ts";
import { axesOf } from "./axes.ts";
import { callBuiltin } from "./builtins.ts";
import { dealAxes } from "./choices.ts";
import { type Context, explain, fail, freshVar, maxDepth, maxEquations } from "./context.ts";
import { callCheckpoint, callGrad, callPullback } from "./derivatives.ts";
import { type Bindings, fitValue, lastExpr, requiredParams, substituteType } from "./fit.ts";
import { callWithRule, ruleOf } from "./rules.ts";
import { bindPattern, define, frame, near } from "./scope.ts";
import { argumentOf, hasHoles, scalar, typeNode } from "./types.ts";
import {
  type Argument,
  arrayOf,
  errorType,
  errorValue,
  type FnNode,
  type FnValue,
  intValue,
  leaves,
  mapLeaves,
  type Scope,
  type StandsFor,
  type TypeNode,
  type Value,
} from "./value.ts";

type DeclFn = Extract<FnValue, { fn: "decl" }>;

export function call(c: Context, f: FnValue, args: readonly Argument[], span: Span): Value {
  switch (f.fn) {
    case "lambda":
      return callLambda(c, f.lambda, f.env, args, span);
    case "decl":
      return callDecl(c, f, args, span);
    case "builtin":
      return callBuiltin(c, f.name, args, span);
    case "adapted":
      return throughType(c, f.type, args, span, f.given, (fitted) => {
        return call(c, f.inner, fitted.slice(0, Math.min(fitted.length, taken(f.inner))), span);
      });
    case "opaque":
      return throughType(c, f.type, args, span, span, (fitted) => opaqueResult(c, f.type, fitted, span));
    case "grad":
      return callGrad(c, f, args, span);
    case "pullback":
      return callPullback(c, f, args, span);
    case "checkpoint":
      return callCheckpoint(c, f, args, span);
    case "deeper":
      return call({ ...c, differentiated: c.differentiated + 1 }, f.of, args, span);
  }
}
/** How many arguments a function value takes at most. */
function taken(f: FnValue): number {
  if (f.fn === "builtin")
    return ["min", "max", "pow"].includes(f.name) ? 2 : f.name === "where" || f.name === "clamp" ? 3 : 1;
  return "of" in f ? taken(f.of) : requiredParams(f);
}

/** A recursion or a nesting too deep is reported; else the context for the body. */
function enter(c: Context, decl: Ast.FnDecl | Ast.Lambda, name: string, span: Span): Context | undefined {
  if (decl.kind === "fn" && c.calls.some((k) => k.decl === decl)) {
    fail(c, "GY2012", span, { name });
    return undefined;
  }
  if (c.shared.made > maxEquations) return undefined;
  if (c.calls.length >= maxDepth) {
    fail(c, "GY2013", span, {});
    return undefined;
  }
  return { ...c, calls: [...c.calls, { decl, name, span }] };
}

function callLambda(c: Context, lambda: Ast.Lambda, env: Scope, args: readonly Argument[], span: Span): Value {
  const named = args.find((a) => a.name);
  if (named?.name) return fail(c, "GY3025", named.name.span, { name: named.name.name, of: "a lambda" });
  if (args.length !== lambda.params.length)
    return fail(c, "GY3009", span, { of: "this lambda", wants: lambda.params.length, found: args.length }, [
      { span: lambda.span, message: "the lambda" },
    ]);
  const inner = enter(c, lambda, "|…|", span);
  if (!inner) return errorValue;
  const scope = frame(env, true);
  for (const [i, p] of lambda.params.entries()) {
    const arg = args[i]!;
    const value = p.type
      ? fitValue(c, typeNode(inner, env, p.type), arg.value, arg.span, "this argument", new Map(), true)
      : arg.value;
    bindPattern(inner, scope, p.pattern, value);
  }
  return c.knot.expr(inner, scope, lambda.body);
}

function throughType(
  c: Context,
  type: FnNode,
  args: readonly Argument[],
  span: Span,
  given: Span,
  run: (args: readonly Argument[]) => Value,
): Value {
  const named = args.find((a) => a.name);
  if (named?.name) return fail(c, "GY3025", named.name.span, { name: named.name.name, of: "a function parameter" });
  if (args.length !== type.params.length)
    return fail(c, "GY3009", span, { of: "this function", wants: type.params.length, found: args.length });
  const bindings: Bindings = new Map();
  const elementwise = isOfScalars(type);
  const fitted = args.map((a, i) => ({
    ...a,
    value: fitValue(c, type.params[i]!, a.value, a.span, `argument ${i + 1}`, bindings, elementwise),
  }));
  if (fitted.some((a) => a.value.kind === "error")) return errorValue;
  const result = run(fitted);
  return fitValue(
    c,
    substituteType(bindings, type.result),
    result,
    given,
    "the result of this function",
    bindings,
    elementwise,
  );
}
const isOfScalars = (f: FnNode): boolean => f.params.every((p) => p.kind !== "array" || p.shape.length === 0);
/** Something of the result's type, of which nothing else is known: as wide as the arguments. */
function opaqueResult(c: Context, f: FnNode, args: readonly Argument[], span: Span): Value {
  const t = f.result;
  const types: Type[] = args.flatMap((a) => leaves(a.value)).flatMap((v) => (v.kind === "array" ? [v.atom.type] : []));
  const varying = [...new Set(types.flatMap((x) => x.varying))];
  if (t.kind !== "array") return declaredValue(c, t, "result", varying, span);
  const joined =
    isOfScalars(f) && t.shape.length === 0 && types.length > 0 ? broadcastShapes(c.typing, types) : t.shape;
  if ("problem" in joined) {
    explain(c, joined, [], span, "this call");
    return errorValue;
  }
  return arrayOf(freshVar(c, { dtype: t.dtype, shape: joined, varying }, { from: [], span }));
}

/** A value of which only its type is known: a parameter while its function is checked. */
export function declaredValue(
  c: Context,
  t: TypeNode,
  name: string,
  varying: readonly string[],
  span: Span,
  why?: string,
): Value {
  switch (t.kind) {
    case "array":
      return arrayOf(
        freshVar(
          c,
          { dtype: t.dtype, shape: t.shape, varying: t.varying ?? varying },
          { from: [], span, ...(why !== undefined && { why }) },
          name,
        ),
      );
    case "tuple":
      return { kind: "tuple", items: t.items.map((x, i) => declaredValue(c, x, `${name}.${i}`, varying, span, why)) };
    case "record":
      return {
        kind: "record",
        fields: new Map([...t.fields].map(([k, x]) => [k, declaredValue(c, x, `${name}.${k}`, varying, span, why)])),
      };
    case "fn":
      return { kind: "fn", fn: "opaque", name, type: t };
    case "int":
      return intValue(dimVar(name, `#${name}`));
    case "axis":
      return { kind: "axis", axes: [name] };
    case "dtype":
      return { kind: "type", type: scalar("f32") };
    case "error":
      return errorValue;
  }
}

function callDecl(c: Context, f: DeclFn, args: readonly Argument[], span: Span): Value {
  const { decl, env } = f;
  const name = decl.name.name;
  const given = f.standsFor ? assignThrough(c, decl, f.standsFor, args, span) : assign(c, decl, args, span);
  if (!given) return errorValue;
  if (!c.knot.sound(decl, env)) return errorValue;
  const inner = enter(c, decl, name, span);
  if (!inner) return errorValue;
  const elementwise = appliesElementwise(decl, given);
  const scope = frame(env, elementwise);
  for (const [name, value] of f.given ?? []) define(scope, name, value);
  const params = bindParams(c, inner, decl, given, scope, span, elementwise);
  if (!params) return errorValue;
  const body = (at: Context): Value => {
    const value = c.knot.expr(at, scope, decl.body);
    if (!decl.result) return value;
    const type = typeNode(at, scope, decl.result);
    const what = `the result of \`${name}\``;
    return fitValue(at, type, value, lastExpr(decl.body).span, what, new Map(), elementwise);
  };
  const rule = c.differentiated > 0 ? ruleOf(decl, env) : undefined;
  return rule ? callWithRule(inner, c, { decl, rule, env, scope, elementwise, body, span }) : body(inner);
}

/** A function with the dims and dtypes of `f<N, f32>`, in the order in which it declares them. */
export function withGiven(c: Context, env: Scope, f: FnValue, t: Ast.NamedType): Value {
  const name = t.name.name;
  const generics = f.fn === "decl" ? (f.standsFor?.decl ?? f.decl).generics : [];
  if (f.fn !== "decl" || generics.length !== t.args.length)
    return fail(c, "GY3023", t.span, { what: "function", name, wants: generics.length, found: t.args.length });
  const given = new Map<string, Value>();
  for (const [i, g] of generics.entries()) {
    const value = argumentOf(c, env, g, t.args[i]!);
    const dtype = g.bound && value?.kind === "type" && value.type.kind === "array" ? value.type.dtype : undefined;
    const wants = g.bound?.name as keyof typeof classes;
    if (dtype && wants in classes && !inClass(dtype, wants))
      return fail(c, "GY3028", t.args[i]!.span, { name: g.name.name, dtype, wants, of: name });
    if (!value || value.kind === "error") return errorValue;
    given.set(g.name.name, value);
  }
  return { ...f, given };
}

/** Which argument goes to which parameter. */
function assign(
  c: Context,
  decl: Ast.FnDecl,
  args: readonly Argument[],
  span: Span,
): ReadonlyMap<Ast.Param, Argument> | undefined {
  const given = new Map<Ast.Param, Argument>();
  const of = decl.name.name;
  const params = decl.params.map((p) => p.name.name);
  const before = c.diagnostics.length;
  const declared = [{ span: decl.name.span, message: `\`${of}\` is declared here` }];
  let next = 0;
  for (const a of args) {
    const index = a.name ? decl.params.findIndex((p) => p.name.name === a.name?.name) : next++;
    const p = decl.params[index];
    if (!p && a.name)
      fail(
        c,
        "GY3024",
        a.name.span,
        {
          name: a.name.name,
          of,
          params,
          ...near(a.name.name, params),
        },
        declared,
      );
    else if (!p) {
      const help =
        decl.generics.length > 0 && decl.params.length === 0
          ? `dims and dtypes are given in \`< >\`, without spaces: \`${of}<${decl.generics.map((g) => g.name.name).join(", ")}>()\``
          : undefined;
      fail(c, "GY3009", a.span, { of: q(of), wants: decl.params.length, found: args.length, help }, declared);
      break;
    } else if (given.has(p)) fail(c, "GY3026", a.span, { name: p.name.name });
    else given.set(p, a);
  }
  const missing = decl.params.filter((p) => !p.default && !given.has(p)).map((p) => p.name.name);
  if (missing.length > 0 && c.diagnostics.length === before) fail(c, "GY3027", span, { missing, of }, declared);
  return c.diagnostics.length === before ? given : undefined;
}

/** The same where the arguments are for another function's parameters, in whose place this one is called. */
function assignThrough(
  c: Context,
  decl: Ast.FnDecl,
  from: StandsFor,
  args: readonly Argument[],
  span: Span,
): ReadonlyMap<Ast.Param, Argument> | undefined {
  const written = assign(c, from.decl, args, span);
  if (!written) return undefined;
  const [name, of] = [decl.name.name, from.decl.name.name];
  const param = (wanted: string): Ast.Param | undefined => decl.params.find((p) => p.name.name === wanted);
  const given = new Map<Ast.Param, Argument>();
  const axes: string[] = [];
  for (const p of from.decl.params) {
    const a = written.get(p);
    if (!a) continue;
    if (from.axes.includes(p.name.name)) {
      const on = axesOf(a.value);
      if (on?.kind === "axis") axes.push(...on.axes);
      continue;
    }
    const own = param(p.name.name);
    if (own) given.set(own, a);
    else fail(c, "GY6012", a.span, { name, of, param: p.name.name });
  }
  if (!c.chosen?.found.calls.some((call) => call.span === span && call.name === of))
    c.chosen?.found.calls.push({ name: of, axes, span });
  const dealt = dealAxes(axes, from.ownAxes.length);
  if (!dealt) {
    fail(c, "GY6013", span, { name, wants: from.ownAxes, axes });
    return undefined;
  }
  for (const [i, own] of from.ownAxes.entries()) {
    const p = param(own);
    if (p) given.set(p, { value: { kind: "axis", axes: dealt[i]! }, span });
  }
  return given;
}

const compileTime = (t: Ast.Type | undefined): boolean =>
  t?.kind === "namedType" && ["int", "axis", "dtype"].includes(t.name.name);
/** A function all of whose arrays are scalars, given an array, applies to each element. */
function appliesElementwise(decl: Ast.FnDecl, given: ReadonlyMap<Ast.Param, Argument>): boolean {
  const arrays = decl.params.filter((p) => p.type && !compileTime(p.type) && p.type.kind !== "fnType");
  const scalars = arrays.every((p) => p.type?.kind === "namedType" && p.type.args.length === 0);
  return scalars && [...given.values()].some((a) => a.value.kind === "array" && a.value.atom.type.shape.length > 0);
}

/**
 * Puts a declaration's dims, dtypes and parameters in scope: compile-time parameters first (types may hang on them),
 * then arrays, which fix the dims, then defaults, which may use all of these.
 */
function bindParams(
  outer: Context,
  c: Context,
  decl: Ast.FnDecl,
  given: ReadonlyMap<Ast.Param, Argument>,
  scope: Scope,
  span: Span,
  elementwise: boolean,
): true | undefined {
  const bindings: Bindings = new Map();
  const before = outer.diagnostics.length;
  const holes = new Map<string, string>();
  // Types of parameters are read with the names of dims open, so that messages show them as they are written.
  const patterns = frame(scope);
  for (const g of decl.generics) {
    if (scope.names.has(g.name.name)) continue;
    const key = `?${g.name.name}:${c.shared.nextId++}`;
    if (!g.bound) {
      holes.set(g.name.name, key);
      for (const s of [scope, patterns]) define(s, g.name.name, intValue(dimVar(g.name.name, key)));
    } else scope.names.set(g.name.name, { kind: "unbound", what: g.name.name });
  }
  bindDTypes(outer, decl, given, scope);
  const bindHoles = () => {
    for (const [name, key] of holes) {
      const d = bindings.get(key);
      if (d !== undefined) define(scope, name, intValue(d));
    }
  };
  const bind = (p: Ast.Param, a: Argument) => {
    const type = p.type ? typeNode(c, patterns, p.type) : errorType;
    const value = fitValue(
      outer,
      type,
      a.value,
      a.span,
      `argument \`${p.name.name}\` of \`${decl.name.name}\``,
      bindings,
      elementwise,
    );
    define(scope, p.name.name, p.type ? value : a.value);
    bindHoles();
  };
  const explicit = decl.params.filter((p) => given.has(p));
  const early = decl.params.filter((p) => compileTime(p.type) && (given.has(p) || isPlain(p.default)));
  for (const p of early) bind(p, given.get(p) ?? defaultOf(c, scope, p));
  const rest = explicit.filter((p) => !early.includes(p));
  for (const p of rest) bind(p, given.get(p)!);
  const again =
    [...holes.values()].some((k) => !bindings.has(k)) || rest.some((p) => hangsOnOthers(given.get(p)!.value));
  if (again && outer.diagnostics.length === before) for (const p of rest) bind(p, given.get(p)!);
  for (const p of decl.params) if (!given.has(p) && !early.includes(p)) bind(p, defaultOf(c, scope, p));
  if (outer.diagnostics.length > before) return undefined;
  for (const g of decl.generics) {
    const key = holes.get(g.name.name);
    const open =
      key === undefined
        ? scope.names.get(g.name.name)?.kind === "unbound"
        : !bindings.has(key) || hasHoles(bindings.get(key)!);
    if (open) fail(outer, "GY3021", span, { name: g.name.name, of: decl.name.name });
    else if (key !== undefined) checkWhole(outer, g.name.name, bindings.get(key)!, span);
  }
  return outer.diagnostics.length > before ? undefined : true;
}
/** A dim found by division, as R is where an argument is f32[R*G], may turn out not to be a whole number. */
function checkWhole(c: Context, name: string, d: Dim, span: Span): void {
  const v = c.compile ? evalDim(d, (atom) => c.sizes.get(atom.key)) : undefined;
  if (v?.kind !== "inexact") return;
  const sizes = dimAtoms(d).map((a) => `${a.name} = ${c.sizes.get(a.key)}`);
  fail(c, "GY6004", span, { dim: `${name} = ${printDim(d)}`, sizes });
}
/** Functions and values of open type take dims that later arguments fix. */
const hangsOnOthers = (v: Value): boolean => leaves(v).some((x) => x.kind === "fn" || x.kind === "unknown");
const isPlain = (e: Ast.Expr | undefined): boolean =>
  e?.kind === "int" ||
  e?.kind === "float" ||
  (e?.kind === "name" && ["f32", "f16", "bf16", "i32", "u32"].includes(e.name));
const defaultOf = (c: Context, scope: Scope, p: Ast.Param): Argument => ({
  value: c.knot.expr(c, scope, p.default!),
  span: p.default!.span,
});

/** Fixes dtype parameters: from `dtype` arguments by name, else from the arrays whose type mentions them. */
function bindDTypes(c: Context, decl: Ast.FnDecl, given: ReadonlyMap<Ast.Param, Argument>, scope: Scope): void {
  const unbound = (g: Ast.Generic) => g.bound && scope.names.get(g.name.name)?.kind === "unbound";
  const open = new Map(decl.generics.flatMap((g) => (unbound(g) ? [[g.name.name, g] as const] : [])));
  if (open.size === 0) return;
  const settle = (name: string, dtype: DType, span: Span) => {
    const g = open.get(name);
    if (!g?.bound) return;
    open.delete(name);
    const cls = g.bound.name;
    if (cls in classes && !inClass(dtype, cls as keyof typeof classes))
      fail(c, "GY3028", span, { name, dtype, wants: cls, of: decl.name.name });
    define(scope, name, { kind: "type", type: scalar(dtype) });
  };
  const visit = (t: Ast.Type, v: Value, span: Span): void => {
    if (t.kind === "arrayType" && v.kind === "array") settle(t.element.name, v.atom.type.dtype, span);
    if (t.kind === "namedType" && t.args.length === 0 && v.kind === "array")
      settle(t.name.name, v.atom.type.dtype, span);
    if (t.kind === "tupleType" && v.kind === "tuple")
      for (const [i, x] of t.items.entries()) v.items[i] && visit(x, v.items[i]!, span);
    if (t.kind === "recordType" && v.kind === "record")
      for (const x of t.fields) {
        const field = v.fields.get(x.name.name);
        if (field) visit(x.type, field, span);
      }
  };
  for (const [p, a] of given) if (p.type) mapLeaves(a.value, (x) => x) && visit(p.type, a.value, a.span);
  // Scalars given as plain numbers: f32 or i32, as elsewhere.
  for (const [p, a] of given)
    if (
      p.type?.kind === "namedType" &&
      open.has(p.type.name.name) &&
      (a.value.kind === "int" || a.value.kind === "float")
    )
      settle(
        p.type.name.name,
        a.value.kind === "int" && open.get(p.type.name.name)?.bound?.name === "int" ? "i32" : "f32",
        a.span,
      );
}
export const classes = { float: 1, int: 1, number: 1, bool: 1, any: 1 } as const;
