/** Declarations checked by themselves: dims and parameters stand for anything that they may be. */

import type { Diagnostic } from "../../base/diagnostic.ts";
import { type Dim, dimVar } from "../../base/dim.ts";
import type * as Ast from "../../syntax/ast.ts";
import { type DTypeClass, dtypesOf } from "../dtype.ts";
import type { DType } from "../ir.ts";
import { call, classes, declaredValue } from "./calls.ts";
import { type Context, fail, type Knot, known, makeContext } from "./context.ts";
import { constValue, expr } from "./expressions.ts";
import { fitValue, lastExpr } from "./fit.ts";
import { callWithRule, ruleOf, sameParams } from "./rules.ts";
import { define, frame, near } from "./scope.ts";
import { isSound, markSound } from "./sound.ts";
import { scalar, typeNode } from "./types.ts";
import { type Binding, intValue, printType, type Scope, type Value } from "./value.ts";

/** The functions of elaboration, tied together; a function is checked alone when it is first needed. */
export function tieKnot(
  diagnostics: Diagnostic[],
  textsOf: (env: Scope) => readonly Ast.Module[] | undefined,
  library: Knot["library"],
): Knot {
  const verdicts = new Map<Ast.FnDecl, boolean>();
  const knot: Knot = {
    expr,
    call,
    library,
    sound: (decl, env) => {
      const known = verdicts.get(decl);
      if (known !== undefined) return known;
      verdicts.set(decl, true);
      const texts = textsOf(env);
      if (texts && isSound(decl, texts)) return true;
      const before = diagnostics.length;
      checkFn(knot, diagnostics, decl, env);
      const sound = diagnostics.length === before;
      verdicts.set(decl, sound);
      if (sound && texts) markSound(decl, texts);
      return sound;
    },
  };
  return knot;
}

/** The dtypes that a function is checked with. bf16 is typed as f16 is: one of them tells. */
const mayBe = (g: Ast.Generic): readonly DType[] =>
  g.bound && g.bound.name in classes ? dtypesOf(g.bound.name as DTypeClass).filter((d) => d !== "bf16") : ["f32"];
/** Every choice of dtypes for the dtype parameters. */
function choices(generics: readonly Ast.Generic[]): readonly ReadonlyMap<string, DType>[] {
  let all: ReadonlyMap<string, DType>[] = [new Map()];
  for (const g of generics)
    if (g.bound) all = all.flatMap((m) => mayBe(g).map((d) => new Map([...m, [g.name.name, d]])));
  return all.slice(0, 36);
}

/** A function holds for all dims, and for each dtype that its parameters allow; the first choice that fails is told. */
function checkFn(knot: Knot, diagnostics: Diagnostic[], decl: Ast.FnDecl, env: Scope): void {
  const c = makeContext({
    knot,
    diagnostics,
    alone: true,
    axes: [
      ...new Set([
        ...decl.params.flatMap((p) => (isNamed(p.type, "axis") ? [p.name.name] : [])),
        ...(env.meshAxes ?? []),
      ]),
    ].map((name) => ({ name })),
  });
  // A parameter without a type takes anything, of any rank: such a function is checked where it is called.
  const open = decl.params.some((p) => !p.type);
  if (!checkHead(c, decl.generics, decl.params, open)) return;
  const rule = ruleOf(decl, env);
  if ((rule && !sameParams(c, decl, rule)) || open) return;
  for (const chosen of choices(decl.generics)) {
    const before = diagnostics.length;
    checkBody(c, decl, env, chosen);
    if (diagnostics.length > before) return;
  }
}
/** Names that stand twice, dtype classes that do not exist, and parameters without a type where they may not be `open`. */
export function checkHead(
  c: Context,
  generics: readonly Ast.Generic[],
  params: readonly Ast.Param[],
  open = false,
): boolean {
  const before = c.diagnostics.length;
  const seen = new Set<string>();
  for (const { name } of [...generics, ...params]) {
    if (seen.has(name.name)) fail(c, "GY2006", name.span, { name: name.name });
    seen.add(name.name);
  }
  for (const g of generics)
    if (g.bound && !(g.bound.name in classes))
      fail(c, "GY2011", g.bound.span, { name: g.bound.name, ...near(g.bound.name, Object.keys(classes)) });
  for (const p of params)
    if (!p.type && !open)
      fail(c, "GY2010", p.span, {
        what: `parameter \`${p.name.name}\` needs a type`,
        help: `write \`${p.name.name}: f32[…]\``,
      });
  return c.diagnostics.length === before;
}
const isNamed = (t: Ast.Type | undefined, name: string): boolean => t?.kind === "namedType" && t.name.name === name;

function checkBody(outer: Context, decl: Ast.FnDecl, env: Scope, chosen: ReadonlyMap<string, DType>): void {
  const name = decl.name.name;
  const c: Context = { ...outer, eqns: [], calls: [{ decl, name: "", span: decl.name.span }] };
  const scope = frame(env, decl.params.length > 0 && decl.params.every((p) => p.type?.kind === "namedType"));
  for (const g of decl.generics) {
    const dtype = chosen.get(g.name.name);
    define(scope, g.name.name, dtype ? { kind: "type", type: scalar(dtype) } : intValue(dimVar(g.name.name)));
  }
  const compileTime = decl.params.filter(
    (p) => isNamed(p.type, "int") || isNamed(p.type, "axis") || isNamed(p.type, "dtype"),
  );
  for (const p of [...compileTime, ...decl.params.filter((x) => !compileTime.includes(x))]) {
    if (!p.type) {
      define(scope, p.name.name, { kind: "unknown" });
      continue;
    }
    forbidSpecs(c, p.type);
    const type = typeNode(c, scope, p.type);
    define(scope, p.name.name, declaredValue(c, type, p.name.name, [], p.span));
  }
  for (const p of decl.params) if (p.default) checkDefault(c, scope, p, decl);
  const body = (at: Context): Value => {
    const value = expr(at, scope, decl.body);
    if (!decl.result) return value;
    return fitValue(at, typeNode(at, scope, decl.result), value, lastExpr(decl.body).span, `the result of \`${name}\``);
  };
  const rule = ruleOf(decl, env);
  const span = decl.name.span;
  const ruled = rule && { decl, rule, env, scope, elementwise: false, body, span };
  exercise(c, ruled ? callWithRule(c, { ...c, calls: [] }, ruled) : body(c), decl);
}
/** A spec written in a `fn` is a mistake; one inside a type that is named stands for the shard of it. */
function forbidSpecs(c: Context, t: Ast.Type): void {
  if (t.kind === "placedType") fail(c, "GY4014", t.spec.span, {});
  else if (t.kind === "tupleType") for (const x of t.items) forbidSpecs(c, x);
  else if (t.kind === "recordType") for (const f of t.fields) forbidSpecs(c, f.type);
}
function checkDefault(c: Context, scope: Scope, p: Ast.Param, decl: Ast.FnDecl): void {
  const value = expr(c, scope, p.default!);
  if (!p.type) return;
  // Where a default stands in, it also fixes the dims that its parameter alone mentions.
  const open = frame(scope);
  for (const g of decl.generics)
    if (!g.bound) define(open, g.name.name, intValue(dimVar(g.name.name, `?${g.name.name}`)));
  const type = typeNode(c, open, p.type);
  // A default for a dtype parameter's array holds for the dtypes that it fits.
  fitValue(c, type, value, p.default!.span, `the default of \`${p.name.name}\` in \`${decl.name.name}\``);
}
/** A function that a function gives is called with anything, to find errors that hang on no argument. */
function exercise(c: Context, v: Value, decl: Ast.FnDecl): void {
  if (v.kind !== "fn" || v.fn !== "lambda") return;
  const args = v.lambda.params.map((p) => ({ value: { kind: "unknown" } as const, span: p.span }));
  call(c, v, args, decl.name.span);
}

/** Checks a constant, a type, a mesh or the name of a derivative. */
export function checkItem(c: Context, item: Ast.Item, scope: Scope): void {
  switch (item.kind) {
    case "fn":
      c.knot.sound(item, scope);
      return;
    case "const":
      constValue(c, item, scope, { span: item.name.span });
      return;
    case "type": {
      const inner = frame(scope);
      checkHead(
        c,
        item.generics.filter((g) => g.bound?.name !== "axis"),
        [],
      );
      for (const g of item.generics)
        define(
          inner,
          g.name.name,
          g.bound?.name === "axis"
            ? { kind: "axis", axes: [g.name.name] }
            : g.bound
              ? { kind: "type", type: scalar(mayBe(g)[0]!) }
              : intValue(dimVar(g.name.name)),
        );
      typeNode(
        { ...c, calls: [{ decl: item as never, name: item.name.name, span: item.name.span }] },
        inner,
        item.type,
        (s, t) => {
          if (t.kind === "array" && s.entries.length !== t.shape.length)
            fail(c, "GY4001", s.span, { entries: s.entries.length, rank: t.shape.length, type: printType(t) });
          return t;
        },
      );
      return;
    }
    case "mesh":
      meshAxes(c, item, scope);
      return;
    case "derivative":
      checkRule(c, item, scope);
      return;
    default:
      return;
  }
}
/** A rule belongs to a function of its file, as the only one. What it says is checked with the function. */
function checkRule(c: Context, rule: Ast.DerivativeDecl, scope: Scope): void {
  const { name, span } = rule.name;
  const isOwn = (b: Binding | undefined) =>
    b?.kind === "value" && b.value.kind === "fn" && b.value.fn === "decl" && b.value.env === scope;
  const binding = scope.names.get(name);
  if (binding?.kind === "error") return;
  const own = [...scope.names].flatMap(([n, b]) => (isOwn(b) ? [n] : []));
  const first = scope.derivatives?.get(name);
  if (!isOwn(binding)) fail(c, "GY9101", span, { name, ...near(name, own) });
  else if (first && first !== rule)
    fail(c, "GY9102", span, { name }, [{ span: first.name.span, message: "the first one" }]);
}

/** The axes of a mesh with the sizes that the source gives. */
export function meshAxes(
  c: Context,
  decl: Ast.MeshDecl,
  scope: Scope,
): readonly { readonly name: string; readonly size?: number }[] {
  const seen = new Set<string>();
  return decl.axes.map((a) => {
    const name = a.name.name;
    if (seen.has(name)) fail(c, "GY4015", a.name.span, { axis: name });
    seen.add(name);
    if (!a.size) return { name };
    const v = expr(c, scope, a.size);
    const size: Dim | undefined = v.kind === "int" ? v.dim : undefined;
    const n = size === undefined ? undefined : known(c, size);
    if (n !== undefined && n >= 1) return { name, size: n };
    if (v.kind !== "error") fail(c, "GY6010", a.size.span, { what: `the size of axis \`${name}\`` });
    return { name };
  });
}
