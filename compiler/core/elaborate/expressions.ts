/** Expressions: what each form of the Ast stands for. */
import { textOf } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { binaryOp, operand, unary } from "./arithmetic.ts";
import { meshAxis } from "./axes.ts";
import { ifExpr } from "./branches.ts";
import { builtinNames, otherNames } from "./builtins.ts";
import { call, withGiven } from "./calls.ts";
import { exchanged } from "./choices.ts";
import { asValue, type Context, emit, fail, named } from "./context.ts";
import { fitValue } from "./fit.ts";
import { foldExpr } from "./folds.ts";
import { indexExpr } from "./indexing.ts";
import { matmul } from "./products.ts";
import { bindPattern, frame, lookup, noField, unknownName } from "./scope.ts";
import { tilesExpr } from "./tiles.ts";
import { isDType, scalar, typeNode, whatIs } from "./types.ts";
import { type Argument, describe, errorValue, type Scope, tupleOf, type Value } from "./value.ts";

export function expr(c: Context, env: Scope, e: Ast.Expr): Value {
  switch (e.kind) {
    case "int":
      return { kind: "int", dim: e.value };
    case "float":
      return { kind: "float", value: e.value };
    case "bool":
      return { kind: "bool", value: e.value };
    case "string":
      return { kind: "string", value: e.value };
    case "name":
      return nameExpr(c, env, e);
    case "unary":
      return unary(c, e.op === "-" ? "neg" : "not", expr(c, env, e.operand), e.operand.span, e.span, e.op);
    case "binary":
      return binaryExpr(c, env, e);
    case "call":
      return callExpr(c, env, e);
    case "field":
      return fieldExpr(c, env, e);
    case "element": {
      const v = expr(c, env, e.target);
      if (v.kind === "error" || v.kind === "unknown") return v;
      if (v.kind !== "tuple") return fail(c, "GY3016", e.span, { wants: e.index + 1, found: describe(v) });
      return v.items[e.index] ?? fail(c, "GY3016", e.span, { wants: e.index + 1, found: describe(v) });
    }
    case "index":
      return indexExpr(c, env, e);
    case "lambda":
      return { kind: "fn", fn: "lambda", lambda: e, env };
    case "tuple":
      return tupleOf(e.items.map((x) => expr(c, env, x)));
    case "record":
      return recordExpr(c, env, e);
    case "block":
      return blockExpr(c, env, e);
    case "if":
      return ifExpr(c, env, e);
    case "fold":
      return foldExpr(c, env, e);
    case "tiles":
      return tilesExpr(c, env, e);
    case "typeExpr":
      return givenFunction(c, env, e.type) ?? { kind: "type", type: typeNode(c, env, e.type) };
    case "error":
      return errorValue;
  }
}

function nameExpr(c: Context, env: Scope, e: Ast.Name): Value {
  const b = lookup(env, e.name);
  if (!b) {
    if (isDType(e.name)) return { kind: "type", type: scalar(e.name) };
    if (e.name === "inf") return { kind: "float", value: Number.POSITIVE_INFINITY };
    if (e.name === "pi") return { kind: "float", value: Math.PI };
    if (e.name === "zeros") return { kind: "unknown", fill: { kind: "int", dim: 0 }, span: e.span };
    if (builtinNames.has(e.name)) return { kind: "fn", fn: "builtin", name: e.name };
    return unknownName(c, env, e.name, e.span, [...builtinNames, ...otherNames]);
  }
  switch (b.kind) {
    case "value":
      return exchanged(c.chosen, env, b.value);
    case "constDecl":
      return constValue(c, b.decl, b.env, e);
    case "meshAxis":
      return meshAxis(c, e.name, e.span);
    case "unbound":
      return fail(c, "GY3021", e.span, { name: b.what });
    case "error":
      return errorValue;
    default:
      return fail(c, "GY2008", e.span, {
        name: e.name,
        is: whatIs(b),
        wants: "a value",
        help: b.kind === "shardMap" ? "what both need is a `fn`, which sees local arrays; call that" : undefined,
      });
  }
}
/** `f<N, f32>` where `f` is a function: the same function, some of whose dims and dtypes are given. */
function givenFunction(c: Context, env: Scope, t: Ast.Type): Value | undefined {
  if (t.kind !== "namedType" || t.args.length === 0) return undefined;
  const { name, span } = t.name;
  const named = lookup(env, name)?.kind === "value" || builtinNames.has(name);
  const f = named ? nameExpr(c, env, { kind: "name", name, span }) : undefined;
  return f?.kind === "fn" ? withGiven(c, env, f, t) : undefined;
}
/** A constant's value; it must be a static number or boolean, and must not lead back to itself. */
export function constValue(
  c: Context,
  decl: Ast.ConstDecl,
  env: Scope,
  at: { readonly span: Ast.Expr["span"] },
): Value {
  if (c.calls.some((k) => (k.decl as unknown) === decl)) return fail(c, "GY2012", at.span, { name: decl.name.name });
  const inner: Context = { ...c, calls: [...c.calls, { decl: decl as never, name: "", span: at.span }] };
  const v = operand(inner, expr(inner, env, decl.value));
  const before = c.diagnostics.length;
  if (v.kind !== "int" && v.kind !== "float" && v.kind !== "bool" && v.kind !== "error")
    return fail(c, "GY3029", decl.value.span, { name: decl.name.name, found: describe(v) });
  if (!decl.type || v.kind === "error") return v;
  const node = typeNode(inner, env, decl.type);
  const fitted = fitValue(inner, node, v, decl.value.span, `constant \`${decl.name.name}\``);
  return c.diagnostics.length > before ? errorValue : fitted;
}

function binaryExpr(c: Context, env: Scope, e: Ast.Binary): Value {
  const a = expr(c, env, e.left);
  // What stands to the right of a decided `&&` or `||` is not looked at.
  if (a.kind === "bool" && c.compile && ((e.op === "&&" && a.value === false) || (e.op === "||" && a.value === true)))
    return a;
  const b = expr(c, env, e.right);
  if (e.op === "@") return matmul(c, a, b, e);
  return binaryOp(c, e.op, a, b, [e.left.span, e.right.span], e.span);
}

function callExpr(c: Context, env: Scope, e: Ast.Call): Value {
  const f =
    e.callee.kind === "name" && e.callee.name === "zeros" && !lookup(env, "zeros")
      ? ({ kind: "fn", fn: "builtin", name: "zeros" } as const)
      : expr(c, env, e.callee);
  const args: readonly Argument[] = e.args.map((a) => ({
    name: a.name,
    value: expr(c, env, a.value),
    span: a.value.span,
  }));
  if (f.kind === "error" || f.kind === "unknown") return f;
  if (f.kind !== "fn") {
    const help = f.kind === "type" ? `a conversion is \`cast(x, ${textOf(e.callee.span)})\`` : undefined;
    return fail(c, "GY3014", e.callee.span, { found: describe(f), help });
  }
  if (args.some((a) => a.value.kind === "error")) return errorValue;
  return call(c, f, args, e.span);
}

function fieldExpr(c: Context, env: Scope, e: Ast.Field): Value {
  const v = expr(c, env, e.target);
  const name = e.name.name;
  if (v.kind === "error" || v.kind === "unknown") return v;
  if (v.kind === "record") return v.fields.get(name) ?? noField(c, name, [...v.fields.keys()], e.name.span);
  if (v.kind === "array" && name === "T") {
    const rank = v.atom.type.shape.length;
    if (rank < 2) return fail(c, "GY3004", e.span, { op: ".T", type: describe(v), wants: "at least 2 dimensions" });
    const perm = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : i === rank - 2 ? rank - 1 : rank - 2));
    return asValue(emit(c, "transpose", { perm }, [v.atom], e.span, ".T"));
  }
  return fail(c, "GY3015", e.name.span, { found: describe(v), field: name, isFunction: builtinNames.has(name) });
}

function recordExpr(c: Context, env: Scope, e: Ast.RecordLit): Value {
  const fields = new Map<string, Value>();
  const spread = e.spread && expr(c, env, e.spread);
  if (spread && spread.kind === "record") for (const [k, v] of spread.fields) fields.set(k, v);
  else if (spread && spread.kind !== "error") fail(c, "GY3015", e.spread!.span, { found: describe(spread) });
  const own = new Set<string>();
  for (const f of e.fields) {
    if (own.has(f.name.name)) fail(c, "GY2006", f.name.span, { name: f.name.name });
    own.add(f.name.name);
    fields.set(f.name.name, expr(c, env, f.value));
  }
  return spread?.kind === "error" ? errorValue : { kind: "record", fields };
}

function blockExpr(c: Context, env: Scope, e: Ast.Block): Value {
  let scope = env;
  for (const l of e.lets) {
    const raw = expr(c, scope, l.value);
    const value = l.type
      ? fitValue(
          c,
          typeNode(c, scope, l.type),
          raw,
          l.value.span,
          l.pattern.kind === "namePattern" ? `\`${l.pattern.name}\`` : "this value",
        )
      : raw;
    // A frame for each `let`: a later one may hide an earlier, and lambdas made before keep what they saw.
    scope = frame(scope);
    bindPattern(c, scope, l.pattern, l.pattern.kind === "namePattern" ? named(c, value, l.pattern.name) : value);
  }
  return expr(c, scope, e.result);
}
