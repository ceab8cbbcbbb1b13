/** From written types and dims to what they stand for. */
import { type Dim, dimAdd, dimAtoms, dimDiv, dimMod, dimMul, dimNeg, dimSub, evalDim } from "../../base/dim.ts";
import { type Span, textOf } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { dtypesOf } from "../dtype.ts";
import type { DType } from "../ir.ts";
import { operand } from "./arithmetic.ts";
import { axesNamed, axesOf, axisSize } from "./axes.ts";
import { type Context, fail, known } from "./context.ts";
import { frame, lookup, near, unknownName, visible } from "./scope.ts";
import { type Binding, describe, errorType, isHoleKey, type Scope, type TypeNode, type Value } from "./value.ts";

const dtypeNames = dtypesOf("any");
export const isDType = (name: string): name is DType => (dtypeNames as readonly string[]).includes(name);
export const scalar = (dtype: DType): TypeNode => ({ kind: "array", dtype, shape: [] });

/** A dimension as written in a type, where `/` divides exactly. NaN after an error, which fits every dim. */
export function dimOf(c: Context, env: Scope, e: Ast.Expr): Dim {
  const d = rawDim(c, env, e);
  const n = known(c, d);
  if (n !== undefined && n < 0) fail(c, "GY6011", e.span, { dim: textOf(e.span), value: n });
  if (c.compile && typeof d !== "number") {
    const v = evalDim(d, (atom) => c.sizes.get(atom.key));
    if (v.kind === "inexact")
      fail(c, "GY6004", e.span, {
        dim: textOf(e.span),
        sizes: dimAtoms(d).map((a) => `${a.name} = ${c.sizes.get(a.key)}`),
      });
  }
  return d;
}
function rawDim(c: Context, env: Scope, e: Ast.Expr): Dim {
  if (e.kind === "int") return e.value;
  if (e.kind === "binary" && e.op in dimOps) {
    const a = rawDim(c, env, e.left),
      b = rawDim(c, env, e.right);
    if (b === 0 && (e.op === "/" || e.op === "%")) {
      fail(c, "GY3011", e.span, {});
      return Number.NaN;
    }
    return Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : dimOps[e.op as keyof typeof dimOps](a, b);
  }
  if (e.kind === "unary" && e.op === "-") return dimNeg(rawDim(c, env, e.operand));
  if (e.kind === "error") return Number.NaN;
  if (e.kind === "name" && !lookup(env, e.name) && !isDType(e.name)) {
    unknownName(c, env, e.name, e.span, [], true);
    // Told once in a declaration, however often it stands there.
    if (env.parent) env.names.set(e.name, { kind: "error" });
    return Number.NaN;
  }
  const v = operand(c, c.knot.expr(c, env, e));
  if (v.kind === "int") return v.dim;
  if (v.kind !== "error" && v.kind !== "unknown")
    fail(c, "GY3010", e.span, { what: "a dimension", found: describe(v) });
  return Number.NaN;
}
const dimOps = { "+": dimAdd, "-": dimSub, "*": dimMul, "/": dimDiv, "%": dimMod } as const;

/** A name that must stand for a dtype: `f32`, or a dtype parameter. Undefined after an error. */
export function dtypeOf(c: Context, env: Scope, name: Ast.Ident): DType | undefined {
  if (isDType(name.name)) return name.name;
  const b = lookup(env, name.name);
  if (
    b?.kind === "value" &&
    b.value.kind === "type" &&
    b.value.type.kind === "array" &&
    b.value.type.shape.length === 0
  )
    return b.value.type.dtype;
  if (b?.kind === "error" || (b?.kind === "value" && b.value.kind === "error")) return undefined;
  if (b?.kind === "value" && b.value.kind === "type" && b.value.type.kind === "error") return undefined;
  if (b?.kind === "unbound") fail(c, "GY3021", name.span, { name: name.name });
  else if (b) {
    const is = whatIs(b);
    fail(c, "GY2008", name.span, { name: name.name, is, wants: is === "a type" ? "a dtype" : "a type" });
  } else unknownType(c, env, name);
  return undefined;
}
function unknownType(c: Context, env: Scope, name: Ast.Ident): void {
  const types = visible(env).filter((n) => lookup(env, n)?.kind === "typeDecl");
  fail(c, "GY2007", name.span, {
    name: name.name,
    ...near(
      name.name,
      [...dtypeNames, "int", "axis", "dtype", ...types].filter((n) => n !== name.name),
    ),
  });
}
export function whatIs(b: Binding): string {
  switch (b.kind) {
    case "value":
      return describe(b.value);
    case "typeDecl":
      return "a type";
    case "constDecl":
      return "a constant";
    case "meshDecl":
      return "a mesh";
    case "meshAxis":
      return "a mesh axis";
    case "shardMap":
      return "a `shard_map`, an entry point that runs on a whole mesh";
    default:
      return "something else";
  }
}

/** What is made of a placed type; `env` says what the names in its spec stand for. */
type PlaceType = (s: Ast.Spec, inner: TypeNode, env: Scope) => TypeNode;

/** What a written type stands for. Specs go to `spec`; where it is left out, a placed array is what one device holds of it. */
export function typeNode(c: Context, env: Scope, t: Ast.Type, spec?: PlaceType): TypeNode {
  switch (t.kind) {
    case "namedType":
      return namedType(c, env, t, spec);
    case "arrayType": {
      const dtype = dtypeOf(c, env, t.element);
      const shape = t.dims.map((d) => dimOf(c, env, d));
      return dtype ? { kind: "array", dtype, shape } : errorType;
    }
    case "tupleType":
      return { kind: "tuple", items: t.items.map((x) => typeNode(c, env, x, spec)) };
    case "recordType": {
      const fields = new Map<string, TypeNode>();
      for (const f of t.fields) {
        if (fields.has(f.name.name)) fail(c, "GY2006", f.name.span, { name: f.name.name });
        fields.set(f.name.name, typeNode(c, env, f.type, spec));
      }
      return { kind: "record", fields };
    }
    case "fnType":
      return { kind: "fn", params: t.params.map((p) => typeNode(c, env, p.type)), result: typeNode(c, env, t.result) };
    case "placedType": {
      const inner = typeNode(c, env, t.type, spec);
      return spec ? spec(t.spec, inner, env) : shard(c, env, t.spec, inner);
    }
    case "varyingType": {
      const inner = typeNode(c, env, t.type, spec);
      return inner.kind === "array" ? { ...inner, varying: t.axes.flatMap((a) => axesNamed(c, env, a)) } : inner;
    }
    case "errorType":
      return errorType;
  }
}
/** The local part of a placed array, outside an entry's head: `Params<L, E>` in a `fn` is a tree of shards. */
function shard(c: Context, env: Scope, spec: Ast.Spec, t: TypeNode): TypeNode {
  if (t.kind !== "array" || spec.entries.length !== t.shape.length) return t;
  const shape = t.shape.map((d, i) => {
    const axes = spec.entries[i]!.axes.flatMap((a) => axesNamed(c, env, a));
    return axes.length === 0 ? d : dimDiv(d, axisSize(c, axes));
  });
  return { ...t, shape };
}
function namedType(c: Context, env: Scope, t: Ast.NamedType, spec?: PlaceType): TypeNode {
  const name = t.name.name;
  const b = lookup(env, name);
  if (b?.kind === "typeDecl") return alias(c, env, b.decl, b.env, t.args, t.span, spec);
  if (t.args.length > 0 && (b || isDType(name))) fail(c, "GY3023", t.span, { name, wants: 0, found: t.args.length });
  if (name === "int" || name === "axis" || name === "dtype") return { kind: name };
  const dtype = dtypeOf(c, env, t.name);
  return dtype ? scalar(dtype) : errorType;
}
/** `State<B, H>`: the alias's type with its dims and dtypes put in. */
function alias(
  c: Context,
  env: Scope,
  decl: Ast.TypeDecl,
  home: Scope,
  args: readonly Ast.Expr[],
  span: Span,
  spec?: PlaceType,
): TypeNode {
  const name = decl.name.name;
  if (c.calls.length > 0 && c.calls.some((k) => (k.decl as unknown) === decl)) {
    fail(c, "GY2012", span, { name });
    return errorType;
  }
  if (args.length !== decl.generics.length) {
    fail(c, "GY3023", span, { name, wants: decl.generics.length, found: args.length }, [
      { span: decl.name.span, message: `\`${name}\` is declared here` },
    ]);
    return errorType;
  }
  const inner = frame(home);
  for (const [i, g] of decl.generics.entries()) {
    const arg = args[i]!;
    const value = argumentOf(c, env, g, arg);
    if (!value) return errorType;
    inner.names.set(g.name.name, { kind: "value", value });
  }
  return typeNode({ ...c, calls: [...c.calls, { decl: decl as never, name: "", span }] }, inner, decl.type, spec);
}

/** What `‹arg›` of `Name<‹arg›>` is for the parameter `g`: a dim, a dtype, or axes. */
export function argumentOf(c: Context, env: Scope, g: Ast.Generic, arg: Ast.Expr): Value | undefined {
  if (!g.bound) return { kind: "int", dim: dimOf(c, env, arg) };
  const value = c.knot.expr(c, env, arg);
  if (g.bound.name !== "axis" || value.kind === "error") return value;
  const axes = axesOf(value);
  if (!axes) fail(c, "GY4008", arg.span, { found: describe(value) });
  return axes;
}

/** Whether a dim still has names that no argument has fixed. */
export const hasHoles = (d: Dim): boolean => typeof d !== "number" && dimAtoms(d).some((a) => isHoleKey(a.key));
