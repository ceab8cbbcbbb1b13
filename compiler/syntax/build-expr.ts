/** Concrete syntax to Ast: expressions, blocks and loops. */
import type { CstNode, IToken } from "chevrotain";
import { report } from "../base/messages.ts";
import { cover, type Span } from "../base/span.ts";
import type * as Ast from "./ast.ts";
import { buildPattern, buildType, buildTypeArgs } from "./build-type.ts";
import * as c from "./cst.ts";
import { checkCommas, type Node, type Reading } from "./cst.ts";
import { precedence } from "./operators.ts";

const errorAt = (span: Span): Ast.Expr => ({ kind: "error", span });

/** A rule `expression` or `typeArg`: operands and operators in a row. */
export function buildExpr(r: Reading, cst: Node): Ast.Expr {
  if (!cst) return errorAt({ source: r.source, start: 0, end: 0 });
  const operands = c.nodes(cst, "operand").map((o) => buildOperand(r, o));
  const operators = [...c.tokens(cst, "BinaryOp"), ...c.tokens(cst, "DimOp")];
  if (operands.length === 0) return errorAt(c.nodeSpan(r, cst));
  return nest(r, operands, operators.slice(0, operands.length - 1));
}

// --- Operators --------------------------------------------------------------------------------------------------------

const comparison = precedence["=="];

/** Operators of other languages, which the lexer has told. */
const meant: Readonly<Record<string, Ast.BinaryOp>> = {
  and: "&&",
  or: "||",
  "===": "==",
  "!==": "!=",
  "**": "*",
};

/** `a + b * c …` by precedence, with an explicit stack: a long row is not a deep recursion. */
function nest(r: Reading, operands: readonly Ast.Expr[], operators: readonly IToken[]): Ast.Expr {
  const values: Ast.Expr[] = [operands[0]!];
  const waiting: { readonly op: Ast.BinaryOp; readonly token: IToken }[] = [];
  const inThisRow = new Set<Ast.Expr>();
  const reduce = () => {
    const { op, token } = waiting.pop()!;
    const right = values.pop()!;
    const left = values.pop()!;
    const chains = (e: Ast.Expr) => inThisRow.has(e) && e.kind === "binary" && precedence[e.op] === comparison;
    if (precedence[op] === comparison && (chains(left) || chains(right)))
      r.tell(report("GY1201", c.tokenSpan(r, token), {}));
    const made: Ast.Expr = { kind: "binary", op, left, right, span: cover(left.span, right.span) };
    inThisRow.add(made);
    values.push(made);
  };
  operators.forEach((token, i) => {
    const op = meant[token.image] ?? (token.image as Ast.BinaryOp);
    while (waiting.length > 0 && precedence[waiting.at(-1)!.op] >= precedence[op]) reduce();
    waiting.push({ op, token });
    values.push(operands[i + 1]!);
  });
  while (waiting.length > 0) reduce();
  return values[0]!;
}

/** Prefix operators, a primary, suffixes: `-x.T` is `-(x.T)`. */
function buildOperand(r: Reading, cst: CstNode): Ast.Expr {
  const primary = buildPrimary(r, c.node(cst, "primary"), c.nodeSpan(r, cst));
  const target = c.nodes(cst, "suffix").reduce((e, suffix) => buildSuffix(r, e, suffix), primary);
  return c.tokens(cst, "UnaryOp").reduceRight<Ast.Expr>((operand, t) => {
    const span = cover(c.tokenSpan(r, t), operand.span);
    return { kind: "unary", op: t.image === "-" ? "-" : "!", operand, span };
  }, target);
}

function buildSuffix(r: Reading, target: Ast.Expr, cst: CstNode): Ast.Expr {
  const span = cover(target.span, c.nodeSpan(r, cst, target.span.end));
  const call = c.node(cst, "callArgs");
  if (call) return { kind: "call", callee: target, args: buildArgs(r, call), span };
  const index = c.node(cst, "indexParts");
  if (index) {
    const indices = c.nodes(index, "indexPart").map((p) => buildIndexPart(r, p));
    checkCommas(r, index, indices, "index");
    return { kind: "index", target, indices, span };
  }
  const name = c.token(cst, "Name");
  if (name) return { kind: "field", target, name: c.ident(r, name), span };
  const element = c.token(cst, "Int");
  if (element) return { kind: "element", target, index: Number(element.image), span };
  return errorAt(span);
}

function buildArgs(r: Reading, cst: CstNode): readonly Ast.Arg[] {
  const args = c.nodes(cst, "arg").map((arg): Ast.Arg => {
    const name = c.token(arg, "Name");
    const value = buildExpr(r, c.node(arg, "expression"));
    return { ...(name ? { name: c.ident(r, name) } : {}), value, span: c.nodeSpan(r, arg) };
  });
  checkCommas(r, cst, args, "argument");
  const named = args.findIndex((a) => a.name !== undefined);
  if (named >= 0)
    for (const arg of args.slice(named)) if (arg.name === undefined) r.tell(report("GY1202", arg.span, {}));
  return args;
}

function buildIndexPart(r: Reading, cst: CstNode): Ast.IndexPart {
  const span = c.nodeSpan(r, cst);
  const colon = c.token(cst, "Colon");
  const parts = c.nodes(cst, "expression");
  const dots = c.token(cst, "DotDot");
  if (c.has(cst, "Ellipsis")) return { kind: "rest", span };
  if (colon && parts.length === 0) return { kind: "all", span };
  if (colon) r.tell(report("GY1211", c.tokenSpan(r, colon), {}));
  const divider = colon ?? dots;
  if (!divider) {
    const only = parts[0];
    return only && isNone(only) ? { kind: "newDim", span } : { kind: "at", value: buildExpr(r, only), span };
  }
  const before = parts.find((p) => c.nodeSpan(r, p).start < divider.startOffset);
  const after = parts.find((p) => c.nodeSpan(r, p).start > divider.startOffset);
  return {
    kind: "range",
    ...(before ? { start: buildExpr(r, before) } : {}),
    ...(after ? { stop: buildExpr(r, after) } : {}),
    span,
  };
}

/** Is the whole expression the word `None`? */
function isNone(cst: CstNode): boolean {
  const operands = c.nodes(cst, "operand");
  const operand = operands[0];
  const bare = operands.length === 1 && c.nodes(operand, "suffix").length === 0 && !c.has(operand, "UnaryOp");
  return bare && c.has(c.node(operand, "primary"), "None");
}

// --- Primaries ----------------------------------------------------------------------------------------------------------

type BuildNode = (r: Reading, cst: CstNode) => Ast.Expr;

/** By rule. */
const primaryNodes: Readonly<Record<string, BuildNode>> = {
  paren: buildParen,
  record: buildRecord,
  block: buildBlock,
  lambda: buildLambda,
  ifElse: buildIf,
  foldLoop: buildFold,
  tilesLoop: buildTiles,
};

/** By token. */
const primaryTokens: Readonly<Record<string, (r: Reading, text: string, span: Span) => Ast.Expr>> = {
  Int: buildInt,
  Float: (_, text, span) => ({ kind: "float", value: Number(text.replaceAll("_", "")), text, span }),
  true: (_, __, span) => ({ kind: "bool", value: true, span }),
  false: (_, __, span) => ({ kind: "bool", value: false, span }),
  Text: (_, text, span) => ({ kind: "string", value: c.unquote(text), span }),
  None: (r, _, span) => {
    r.tell(report("GY1212", span, {}));
    return errorAt(span);
  },
  Name: (_, name, span) => ({ kind: "name", name, span }),
};

function buildPrimary(r: Reading, cst: Node, near: Span): Ast.Expr {
  const typeArgs = c.node(cst, "typeArgs");
  const name = c.token(cst, "Name");
  if (cst && typeArgs && name) {
    const span = c.nodeSpan(r, cst);
    const args = buildTypeArgs(r, typeArgs, buildExpr);
    return { kind: "typeExpr", type: { kind: "namedType", name: c.ident(r, name), args, span }, span };
  }
  for (const kind in cst?.children) {
    const token = c.token(cst, kind);
    if (token) return primaryTokens[kind]?.(r, token.image, c.tokenSpan(r, token)) ?? errorAt(near);
    const inner = c.node(cst, kind);
    if (inner) return primaryNodes[kind]?.(r, inner) ?? errorAt(near);
  }
  return errorAt(near);
}

function buildInt(r: Reading, text: string, span: Span): Ast.Expr {
  const value = Number(text.replaceAll("_", ""));
  if (!Number.isSafeInteger(value)) {
    r.tell(report("GY1003", span, { text }));
    return errorAt(span);
  }
  return { kind: "int", value, text, span };
}

function buildParen(r: Reading, cst: CstNode): Ast.Expr {
  const items = c.nodes(cst, "expression").map((e) => buildExpr(r, e));
  checkCommas(r, cst, items, "value");
  const span = c.nodeSpan(r, cst);
  return c.isTuple(cst, items.length) ? { kind: "tuple", items, span } : { ...items[0]!, span };
}

function buildRecord(r: Reading, cst: CstNode): Ast.Expr {
  const fields = c.nodes(cst, "recordField").flatMap((field): Ast.RecordField[] => {
    const t = c.token(field, "Name");
    if (!t) return [];
    const name = c.ident(r, t);
    const value = c.node(field, "expression");
    const shorthand: Ast.Expr = { kind: "name", name: name.name, span: name.span };
    const read = value || c.has(field, "Colon") ? buildExpr(r, value) : shorthand;
    return [{ name, value: read, span: c.nodeSpan(r, field) }];
  });
  const spread = c.node(cst, "expression");
  const base = spread || c.has(cst, "Ellipsis") ? buildExpr(r, spread) : undefined;
  checkCommas(r, cst, base ? [base, ...fields] : fields, "field");
  return { kind: "record", ...(base ? { spread: base } : {}), fields, span: c.nodeSpan(r, cst) };
}

function buildLambda(r: Reading, cst: CstNode): Ast.Expr {
  const span = c.nodeSpan(r, cst);
  const params = c.nodes(cst, "lambdaParam").map((p): Ast.LambdaParam => {
    const type = c.node(p, "typeRef");
    const pattern = buildPattern(r, c.node(p, "pattern"), c.nodeSpan(r, p));
    return { pattern, ...(type ? { type: buildType(r, type, buildExpr) } : {}), span: c.nodeSpan(r, p) };
  });
  checkCommas(r, cst, params, "parameter");
  return { kind: "lambda", params, body: buildExpr(r, c.node(cst, "expression")), span };
}

// --- Blocks -----------------------------------------------------------------------------------------------------------

/** `{ let … e }`: bindings, each on its own line, then the value. */
export function buildBlock(r: Reading, cst: Node): Ast.Block {
  const span = c.nodeSpan(r, cst);
  const statements = c.nodes(cst, "statement");
  checkLines(r, statements);
  const lets: Ast.Let[] = [];
  let result: Ast.Expr | undefined;
  statements.forEach((statement, i) => {
    const binding = buildLet(r, c.node(statement, "letIn")) ?? buildAssignment(r, statement);
    if (binding) {
      lets.push(binding);
      return;
    }
    const returned = c.token(statement, "return");
    if (returned) r.tell(report("GY1209", c.tokenSpan(r, returned), {}));
    const value = buildExpr(r, c.node(statement, "expression"));
    if (i === statements.length - 1 || (returned && result === undefined)) result = value;
    else if (value.kind !== "error" && !statement.recoveredNode) r.tell(report("GY1207", value.span, {}));
  });
  if (!result && cst && !cst.recoveredNode) r.tell(report("GY1206", { ...span, start: Math.max(span.end - 1, 0) }, {}));
  return { kind: "block", lets, result: result ?? errorAt({ ...span, start: span.end }), span };
}

/** Two statements on a line have `;` between them. */
function checkLines(r: Reading, statements: readonly CstNode[]): void {
  statements.forEach((statement, i) => {
    const before = statements[i - 1];
    if (!before || c.has(before, "Semicolon") || before.recoveredNode || statement.recoveredNode) return;
    const { start } = c.nodeSpan(r, statement);
    const gap = r.source.text.slice(c.nodeSpan(r, before).end, start);
    if (!/[\r\n]/.test(gap)) r.tell(report("GY1108", { source: r.source, start, end: start + 1 }, {}));
  });
}

function buildLet(r: Reading, cst: Node): Ast.Let | undefined {
  if (!cst) return undefined;
  const span = c.nodeSpan(r, cst);
  const type = c.node(cst, "typeRef");
  checkEquals(r, cst);
  return {
    kind: "let",
    pattern: buildPattern(r, c.node(cst, "pattern"), span),
    ...(type ? { type: buildType(r, type, buildExpr) } : {}),
    value: buildExpr(r, c.node(cst, "expression")),
    span,
  };
}

/** `==` where a name is bound. */
export function checkEquals(r: Reading, cst: Node): void {
  const equals = c.token(cst, "Equals");
  if (equals?.image === "==") r.tell(report("GY1210", c.tokenSpan(r, equals), {}));
}

/** `x = e`, as other languages have it: told, and read as a `let`. */
function buildAssignment(r: Reading, cst: CstNode): Ast.Let | undefined {
  const equals = c.token(cst, "Eq");
  if (!equals) return undefined;
  const [target, value] = c.nodes(cst, "expression").map((e) => buildExpr(r, e));
  const array = target?.kind === "index" && target.target.kind === "name" ? target.target.name : undefined;
  r.tell(report("GY1208", c.tokenSpan(r, equals), { array }));
  const span = c.nodeSpan(r, cst);
  const pattern: Ast.Pattern =
    target?.kind === "name"
      ? { kind: "namePattern", name: target.name, span: target.span }
      : { kind: "errorPattern", span: target?.span ?? span };
  return { kind: "let", pattern, value: value ?? errorAt(span), span };
}

function buildIf(r: Reading, cst: CstNode): Ast.Expr {
  const span = c.nodeSpan(r, cst);
  const last = c.node(cst, "block", 1);
  if (!last && !cst.recoveredNode) {
    const word = c.token(cst, "if");
    r.tell(report("GY1203", word ? c.tokenSpan(r, word) : span, {}));
  }
  const missing: Ast.Block = { kind: "block", lets: [], result: errorAt({ ...span, start: span.end }), span };
  const otherwise = c.nodes(cst, "elseIf").reduceRight<Ast.Block | Ast.If>(
    (rest, branch) => {
      const word = c.token(branch, "if");
      return {
        kind: "if",
        condition: buildExpr(r, c.node(branch, "expression")),
        then: buildBlock(r, c.node(branch, "block")),
        else: rest,
        span: { ...span, start: word ? word.startOffset : span.start },
      };
    },
    last ? buildBlock(r, last) : missing,
  );
  return {
    kind: "if",
    condition: buildExpr(r, c.node(cst, "expression")),
    then: buildBlock(r, c.node(cst, "block")),
    else: otherwise,
    span,
  };
}

// --- Loops --------------------------------------------------------------------------------------------------------------

function buildFold(r: Reading, cst: CstNode): Ast.Expr {
  const span = c.nodeSpan(r, cst);
  const binder = c.node(cst, "binder");
  const type = c.node(cst, "typeRef");
  checkEquals(r, cst);
  return {
    kind: "fold",
    index: c.identOr(r, c.token(binder, "Name") ?? c.token(binder, "_"), span),
    extent: buildExpr(r, c.node(cst, "expression")),
    ...buildBy(r, cst),
    pattern: buildPattern(r, c.node(cst, "pattern"), span),
    ...(type ? { type: buildType(r, type, buildExpr) } : {}),
    init: buildExpr(r, c.node(cst, "expression", 1)),
    collect: c.has(cst, "collect"),
    body: buildBlock(r, c.node(cst, "block")),
    span,
  };
}

/** `by 64`, `by auto`. */
function buildBy(r: Reading, cst: CstNode): { readonly by?: Ast.BlockSize } {
  const by = c.node(cst, "blockSize");
  if (!by) return {};
  const size = buildExpr(r, c.node(by, "expression"));
  return { by: size.kind === "name" && size.name === "auto" ? { kind: "auto", span: size.span } : size };
}

function buildTiles(r: Reading, cst: CstNode): Ast.Expr {
  const span = c.nodeSpan(r, cst);
  const indices = c.nodes(cst, "tileIndex").map((index): Ast.TileIndex => {
    const at = c.nodeSpan(r, index);
    const extent = buildExpr(r, c.node(index, "expression"));
    return { name: c.identOr(r, c.token(index, "Name"), at), extent, ...buildBy(r, index), span: at };
  });
  const into = c.nodes(cst, "intoPattern").map((p): Ast.IntoPattern => {
    const all = c.tokens(p, "Colon").map((t): Ast.IntoAll => ({ kind: "all", span: c.tokenSpan(r, t) }));
    const dims = [...c.tokens(p, "Name").map((t) => c.ident(r, t)), ...all];
    dims.sort((a, b) => a.span.start - b.span.start);
    checkCommas(r, p, dims, "dimension");
    return { dims, span: c.nodeSpan(r, p) };
  });
  const commas = tokensBetween(cst);
  checkCommas(r, commas.indices, indices, "index");
  checkCommas(r, commas.into, into, "pattern");
  if (!cst.recoveredNode && indices.length === 0) r.tell(report("GY1218", span, {}));
  if (!cst.recoveredNode && into.length === 0) r.tell(report("GY1219", span, {}));
  return { kind: "tiles", indices, into, body: buildBlock(r, c.node(cst, "block")), span };
}

/** The commas before and after `into`, each as a tree of its own. */
function tokensBetween(cst: CstNode): { readonly indices: CstNode; readonly into: CstNode } {
  const into = c.token(cst, "into")?.startOffset ?? Number.POSITIVE_INFINITY;
  const commas = c.tokens(cst, "Comma");
  const part = (keep: (t: IToken) => boolean): CstNode => ({ name: "", children: { Comma: commas.filter(keep) } });
  return { indices: part((t) => t.startOffset < into), into: part((t) => t.startOffset > into) };
}
