/** Concrete syntax to Ast: declarations and the module. */
import type { CstNode } from "chevrotain";
import { report } from "../base/messages.ts";
import type * as Ast from "./ast.ts";
import { buildBlock, buildExpr, checkEquals } from "./build-expr.ts";
import { buildType } from "./build-type.ts";
import * as c from "./cst.ts";
import { checkCommas, type Node, type Reading } from "./cst.ts";

/** A declaration without its `export` and documentation. */
type Bare<T> = T extends Ast.Item ? Omit<T, "exported" | "doc"> : never;

type BuildDecl = (r: Reading, cst: CstNode) => Bare<Ast.Item> | undefined;

/** By rule. A declaration without a name gives nothing. */
const declarations: Readonly<Record<string, BuildDecl>> = {
  importDecl: buildImport,
  reExport: buildImport,
  meshDecl: buildMesh,
  constDecl: buildConst,
  typeDecl: buildTypeDecl,
  fnDecl: (r, cst) => {
    const signature = buildSignature(r, cst);
    return signature && { kind: "fn", ...signature, body: buildBody(r, cst), span: c.nodeSpan(r, cst) };
  },
  shardMapDecl: buildShardMap,
  derivativeDecl: (r, cst) => {
    const signature = buildSignature(r, cst);
    return signature && { kind: "derivative", ...signature, body: buildBody(r, cst), span: c.nodeSpan(r, cst) };
  },
};

/** The declarations of a file. Comments and documentation are added by parse.ts. */
export const buildItems = (r: Reading, cst: Node): readonly Ast.Item[] =>
  c.nodes(cst, "item").flatMap((item): Ast.Item[] => {
    const rule = Object.keys(declarations).find((name) => c.node(item, name));
    const decl = rule && declarations[rule]?.(r, c.node(item, rule)!);
    if (!decl) return [];
    const word = c.token(item, "export") ?? c.token(c.node(item, "reExport"), "export");
    const exported = word !== undefined;
    const span = { ...decl.span, start: word?.startOffset ?? decl.span.start };
    if (decl.kind === "import" && word && rule === "importDecl")
      r.tell(report("GY1217", c.tokenSpan(r, word), { what: "an import" }));
    if (decl.kind !== "derivative") return [{ ...decl, exported, span }];
    if (word) r.tell(report("GY1217", c.tokenSpan(r, word), { what: "a derivative rule" }));
    return [decl];
  });

function buildImport(r: Reading, cst: CstNode): Bare<Ast.ImportDecl> | undefined {
  const list = c.node(cst, "importNames");
  const names = c.nodes(list, "importName").flatMap((n): Ast.ImportName[] => {
    const [name, alias] = c.tokens(n, "Name").map((t) => c.ident(r, t));
    return name ? [{ name, alias: alias ?? name, span: c.nodeSpan(r, n) }] : [];
  });
  checkCommas(r, list, names, "name");
  const text = c.token(list, "Text");
  if (!text) return undefined;
  const from: Ast.StringLit = {
    kind: "string",
    value: c.unquote(text.image),
    span: c.tokenSpan(r, text),
  };
  return { kind: "import", names, from, span: c.nodeSpan(r, cst) };
}

function buildMesh(r: Reading, cst: CstNode): Bare<Ast.MeshDecl> | undefined {
  const name = c.token(cst, "Name");
  const axes = c.nodes(cst, "meshAxis").flatMap((axis): Ast.MeshAxis[] => {
    const axisName = c.token(axis, "Name");
    const size = c.node(axis, "expression");
    const span = c.nodeSpan(r, axis);
    return axisName ? [{ name: c.ident(r, axisName), ...(size ? { size: buildExpr(r, size) } : {}), span }] : [];
  });
  checkCommas(r, cst, axes, "axis");
  return name && { kind: "mesh", name: c.ident(r, name), axes, span: c.nodeSpan(r, cst) };
}

function buildConst(r: Reading, cst: CstNode): Bare<Ast.ConstDecl> | undefined {
  const name = c.token(cst, "Name");
  if (!name) return undefined;
  checkEquals(r, cst);
  const type = c.node(cst, "typeRef");
  return {
    kind: "const",
    name: c.ident(r, name),
    ...(type ? { type: buildType(r, type, buildExpr) } : {}),
    value: buildExpr(r, c.node(cst, "expression")),
    span: c.nodeSpan(r, cst),
  };
}

function buildTypeDecl(r: Reading, cst: CstNode): Bare<Ast.TypeDecl> | undefined {
  const name = c.token(cst, "Name");
  if (!name) return undefined;
  checkEquals(r, cst);
  const generics = buildGenerics(r, c.node(cst, "generics"));
  const type = buildType(r, c.node(cst, "typeRef"), buildExpr);
  return { kind: "type", name: c.ident(r, name), generics, type, span: c.nodeSpan(r, cst) };
}

function buildShardMap(r: Reading, cst: CstNode): Bare<Ast.ShardMapDecl> | undefined {
  const signature = buildSignature(r, cst);
  if (!signature) return undefined;
  const span = c.nodeSpan(r, cst);
  const mesh = c.token(cst, "Name");
  if (!cst.recoveredNode && !signature.result) r.tell(report("GY1204", signature.name.span, {}));
  if (!cst.recoveredNode && !c.has(cst, "on")) r.tell(report("GY1205", signature.name.span, {}));
  return {
    kind: "shard_map",
    ...signature,
    result: signature.result ?? { kind: "errorType", span },
    mesh: c.identOr(r, mesh, span),
    body: buildBody(r, cst),
    span,
  };
}

type Signature = Pick<Ast.FnDecl, "name" | "generics" | "params" | "result">;

function buildSignature(r: Reading, cst: CstNode): Signature | undefined {
  const signature = c.node(cst, "signature");
  const name = c.token(signature, "Name");
  if (!name) return undefined;
  const params = c.nodes(signature, "param").flatMap((p): Ast.Param[] => {
    const paramName = c.token(p, "Name");
    const type = c.node(p, "typeRef");
    const value = c.node(p, "expression");
    if (!paramName) return [];
    return [
      {
        name: c.ident(r, paramName),
        ...(type ? { type: buildType(r, type, buildExpr) } : {}),
        ...(value ? { default: buildExpr(r, value) } : {}),
        span: c.nodeSpan(r, p),
      },
    ];
  });
  checkCommas(r, signature, params, "parameter");
  const result = c.node(signature, "typeRef");
  return {
    name: c.ident(r, name),
    generics: buildGenerics(r, c.node(signature, "generics")),
    params,
    ...(result ? { result: buildType(r, result, buildExpr) } : {}),
  };
}

function buildGenerics(r: Reading, cst: Node): readonly Ast.Generic[] {
  const generics = c.nodes(cst, "generic").flatMap((g): Ast.Generic[] => {
    const [name, bound] = c.tokens(g, "Name").map((t) => c.ident(r, t));
    return name ? [{ name, ...(bound ? { bound } : {}), span: c.nodeSpan(r, g) }] : [];
  });
  checkCommas(r, cst, generics, "type parameter");
  return generics;
}

/** `{ … }` or `= e`. */
function buildBody(r: Reading, cst: CstNode): Ast.Expr {
  const body = c.node(cst, "body");
  const block = c.node(body, "block");
  if (block) return buildBlock(r, block);
  checkEquals(r, body);
  const value = c.node(body, "expression");
  return value ? buildExpr(r, value) : { kind: "error", span: c.nodeSpan(r, cst) };
}
