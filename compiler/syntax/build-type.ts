/** Concrete syntax to Ast: types, specs and patterns. Dimensions are expressions, so `expr` is handed in. */
import type { CstNode, IToken } from "chevrotain";
import { report } from "../base/messages.ts";
import type { Span } from "../base/span.ts";
import type * as Ast from "./ast.ts";
import * as c from "./cst.ts";
import { checkCommas, type Node, type Reading } from "./cst.ts";

/** Reads the expression of a rule `expression` or `typeArg`. */
export type ReadExpr = (r: Reading, cst: Node) => Ast.Expr;

export function buildType(r: Reading, cst: Node, expr: ReadExpr): Ast.Type {
  const whole = c.nodeSpan(r, cst);
  const core = buildCoreType(r, cst, expr) ?? { kind: "errorType", span: whole };
  return c.nodes(cst, "typeSuffix").reduce<Ast.Type>((type, suffix) => {
    const span = { ...core.span, end: Math.max(core.span.end, c.nodeSpan(r, suffix, core.span.end).end) };
    if (c.has(suffix, "varying")) {
      const axes = c.tokens(suffix, "Name").map((t) => c.ident(r, t));
      return { kind: "varyingType", type, axes, span };
    }
    const spec = c.node(suffix, "spec");
    return spec ? { kind: "placedType", type, spec: buildSpec(r, spec), span } : type;
  }, core);
}

function buildCoreType(r: Reading, cst: Node, expr: ReadExpr): Ast.Type | undefined {
  const paren = c.node(cst, "parenType");
  if (paren) return buildParenType(r, paren, expr);
  const record = c.node(cst, "recordType");
  if (record) {
    const fields = c.nodes(record, "recordTypeField").flatMap((field): Ast.RecordTypeField[] => {
      const name = c.token(field, "Name");
      const span = c.nodeSpan(r, field);
      return name ? [{ name: c.ident(r, name), type: buildType(r, c.node(field, "typeRef"), expr), span }] : [];
    });
    checkCommas(r, record, fields, "field");
    return { kind: "recordType", fields, span: c.nodeSpan(r, record) };
  }
  const named = c.node(cst, "namedType");
  const name = c.token(named, "Name");
  if (!named || !name) return undefined;
  const span = c.nodeSpan(r, named);
  const dims = c.node(named, "dims");
  if (dims) {
    const items = c.nodes(dims, "expression").map((e) => expr(r, e));
    checkCommas(r, dims, items, "dimension");
    return { kind: "arrayType", element: c.ident(r, name), dims: items, span };
  }
  return { kind: "namedType", name: c.ident(r, name), args: buildTypeArgs(r, c.node(named, "typeArgs"), expr), span };
}

export function buildTypeArgs(r: Reading, cst: Node, expr: ReadExpr): readonly Ast.Expr[] {
  const args = c.nodes(cst, "typeArg").map((a) => expr(r, a));
  checkCommas(r, cst, args, "argument");
  return args;
}

/** `(T)`, `(A, B)` or `(A, b: B) -> C`. */
function buildParenType(r: Reading, cst: CstNode, expr: ReadExpr): Ast.Type {
  const span = c.nodeSpan(r, cst);
  const params = c.nodes(cst, "parenTypeItem").map((item): Ast.FnTypeParam => {
    const name = c.token(item, "Name");
    const type = buildType(r, c.node(item, "typeRef"), expr);
    return { ...(name ? { name: c.ident(r, name) } : {}), type, span: c.nodeSpan(r, item) };
  });
  checkCommas(r, cst, params, "type");
  const result = c.node(cst, "typeRef");
  if (result || c.has(cst, "Arrow")) return { kind: "fnType", params, result: buildType(r, result, expr), span };
  for (const { name } of params) if (name) r.tell(report("GY1216", name.span, {}));
  const items = params.map((p) => p.type);
  return c.isTuple(cst, items.length) ? { kind: "tupleType", items, span } : items[0]!;
}

// --- Specs --------------------------------------------------------------------------------------------------------------

function buildSpec(r: Reading, cst: CstNode): Ast.Spec {
  const name = c.token(cst, "Name");
  if (name && name.image !== "P") r.tell(report("GY1213", c.tokenSpan(r, name), {}));
  const entries = c.nodes(cst, "specEntry").map((e) => buildSpecEntry(r, e));
  checkCommas(r, cst, entries, "entry");
  return { kind: "spec", entries, span: c.nodeSpan(r, cst) };
}

function buildSpecEntry(r: Reading, cst: CstNode): Ast.SpecEntry {
  const span = c.nodeSpan(r, cst);
  const none = c.token(cst, "None");
  if (none) r.tell(report("GY1214", c.tokenSpan(r, none), {}));
  const tuple = c.node(cst, "axisTuple");
  if (tuple) return { axes: axesOf(r, tuple), span };
  const layoutAxes = c.node(cst, "layoutAxes");
  const name = c.token(cst, "Name");
  if (layoutAxes && name) {
    const inner = c.node(layoutAxes, "axisTuple");
    return { axes: axesOf(r, inner ?? layoutAxes), layout: c.ident(r, name), span };
  }
  return { axes: axesOf(r, cst), span };
}

/** The axes that stand directly in a rule. JAX writes them in quotes; that is told, and read. */
function axesOf(r: Reading, cst: CstNode): readonly Ast.Ident[] {
  const quoted = c.tokens(cst, "Text").map((t): Ast.Ident => {
    r.tell(report("GY1215", c.tokenSpan(r, t), {}));
    return { kind: "ident", name: t.image.slice(1, -1), span: c.tokenSpan(r, t) };
  });
  const axes = [...c.tokens(cst, "Name").map((t) => c.ident(r, t)), ...quoted];
  return axes.sort((a, b) => a.span.start - b.span.start);
}

// --- Patterns -------------------------------------------------------------------------------------------------------------

export function buildPattern(r: Reading, cst: Node, near: Span): Ast.Pattern {
  const span = c.nodeSpan(r, cst, near.end);
  const name = c.token(cst, "Name");
  if (name) return namePattern(r, name);
  if (c.has(cst, "_")) return { kind: "wildcardPattern", span };
  const tuple = c.node(cst, "tuplePattern");
  if (tuple) {
    const items = c.nodes(tuple, "pattern").map((p) => buildPattern(r, p, near));
    checkCommas(r, tuple, items, "pattern");
    return c.isTuple(tuple, items.length) ? { kind: "tuplePattern", items, span } : items[0]!;
  }
  const record = c.node(cst, "recordPattern");
  if (!record) return { kind: "errorPattern", span };
  const fields = c.nodes(record, "fieldPattern").flatMap((field): Ast.FieldPattern[] => {
    const fieldName = c.token(field, "Name");
    if (!fieldName) return [];
    const inner = c.node(field, "pattern");
    const pattern = inner || c.has(field, "Colon") ? buildPattern(r, inner, near) : namePattern(r, fieldName);
    return [{ name: c.ident(r, fieldName), pattern, span: c.nodeSpan(r, field) }];
  });
  checkCommas(r, record, fields, "field");
  return { kind: "recordPattern", fields, span };
}

const namePattern = (r: Reading, t: IToken): Ast.Pattern => ({
  kind: "namePattern",
  name: t.image,
  span: c.tokenSpan(r, t),
});
