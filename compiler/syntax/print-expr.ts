/** Expressions, blocks and loops as documents. */
import { textOf } from "../base/span.ts";
import type * as Ast from "./ast.ts";
import {
  asWritten,
  brokenBetween,
  type Comments,
  commentsWithin,
  type Row,
  stacked,
  takeTrailing,
  takeWithin,
  trailing,
} from "./comments.ts";
import { precedence } from "./operators.ts";
import { type Doc, type FillItem, group, hardline, indent, join, line, mustBreak } from "./pretty.ts";
import { braced, patternText, typeDoc } from "./print-type.ts";

/** `dim`: inside a type, where `*` and `/` stand close. */
export type Style = { readonly comments: Comments; readonly dim: boolean };

export const dimDoc =
  (c: Comments) =>
  (e: Ast.Expr): Doc =>
    exprDoc({ comments: c, dim: true }, e);

const level = { lambda: 0, loop: 0.5, unary: 6, postfix: 7, primary: 8 } as const;

/** How tightly the outermost construct of an expression binds. */
function levelOf(e: Ast.Expr): number {
  switch (e.kind) {
    case "lambda":
      return level.lambda;
    case "if":
    case "fold":
    case "tiles":
    case "block":
      return level.loop;
    case "binary":
      return precedence[e.op];
    case "unary":
      return level.unary;
    case "call":
    case "field":
    case "element":
    case "index":
      return level.postfix;
    default:
      return level.primary;
  }
}

/** In parentheses where it binds less tightly than its place asks for. */
const operandDoc = (s: Style, e: Ast.Expr, least: number): Doc =>
  levelOf(e) < least ? ["(", exprDoc(s, e), ")"] : exprDoc(s, e);

export function exprDoc(s: Style, e: Ast.Expr): Doc {
  switch (e.kind) {
    case "int":
    case "float":
      return e.text;
    case "bool":
      return String(e.value);
    case "string":
      return quoted(e.value);
    case "name":
      return e.name;
    case "unary":
      return [e.op, operandDoc(s, e.operand, level.postfix)];
    case "binary":
      return binaryDoc(s, e);
    case "call":
      return [operandDoc(s, e.callee, level.postfix), callArgsDoc(s, e)];
    case "field":
      return [operandDoc(s, e.target, level.postfix), ".", e.name.name];
    case "element":
      return [targetOfElement(s, e.target), ".", String(e.index)];
    case "index":
      return indexDoc(s, e);
    case "lambda":
      return lambdaDoc(s, e);
    case "tuple":
      return tupleDoc(s, e);
    case "record":
      return recordDoc(s, e);
    case "block":
      return blockDoc(s, e);
    case "if":
      return ifDoc(s, e);
    case "fold":
      return foldDoc(s, e);
    case "tiles":
      return tilesDoc(s, e);
    case "typeExpr":
      return typeDoc(s.comments, e.type, dimDoc(s.comments));
    case "error":
      return textOf(e.span);
  }
}

export const quoted = (text: string): string =>
  `"${text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`;

/** `1.0` would be a float, so a number stands in parentheses before `.0`. */
const targetOfElement = (s: Style, e: Ast.Expr): Doc =>
  e.kind === "int" || e.kind === "float" ? ["(", e.text, ")"] : operandDoc(s, e, level.postfix);

// --- Operators ----------------------------------------------------------------------------------------------------------

/** A row of operators of one precedence breaks before each of them, or nowhere. */
function binaryDoc(s: Style, e: Ast.Binary): Doc {
  const own = precedence[e.op];
  const chained = own !== precedence["=="];
  const rows: { readonly op: Ast.BinaryOp; readonly operand: Ast.Expr }[] = [];
  let first: Ast.Expr = e;
  while (first.kind === "binary" && (first === e || (chained && precedence[first.op] === own))) {
    rows.unshift({ op: first.op, operand: first.right });
    first = first.left;
  }
  const least = chained ? own : own + 0.5;
  const close = s.dim && own === precedence["*"];
  const limit = e.span.end;
  const start = withComment(s, first, operandDoc(s, first, least), limit);
  const others = rows.map(({ op, operand }): Doc => {
    const above = s.dim ? [] : takeWithin(s.comments, e.span.start, operand.span.start);
    const doc = withComment(s, operand, operandDoc(s, operand, own + 0.5), limit);
    const comments = above.map((a): Doc => [a.text, hardline]);
    return close ? [op, doc] : [s.dim ? " " : line, comments, op, " ", doc];
  });
  return close ? [start, others] : group([start, indent(others)]);
}

/** A comment that follows an operand on its line, inside the row. */
function withComment(s: Style, operand: Ast.Expr, doc: Doc, limit: number): Doc {
  const after = s.dim ? undefined : takeTrailing(s.comments, operand.span.end, limit);
  return after ? [doc, trailing(s.comments, after)] : doc;
}

// --- Lists ----------------------------------------------------------------------------------------------------------------

/** `start` is where the list opens, `end` where it closes. */
type ListPlace = { readonly open: string; readonly close: string; readonly start: number; readonly end: number };

/**
 * Values in brackets: on one line where they fit. Else, where the last is a lambda or another construct that ends in a
 * brace, everything before it on the first line. Else as many on a line as fit, with breaks where the author had them: after
 * the opening bracket too, and then the closing one stands alone. With a comment inside, one to a line.
 */
function listDoc(s: Style, rows: readonly Row[], place: ListPlace, last?: Ast.Expr): Doc {
  const c = s.comments;
  const { open, close, start, end } = place;
  const alone = close.at(-1)!; // on a line of its own, every element has its comma
  const first = rows[0];
  if (!first) return [open, close];
  if (commentsWithin(c, start, end)) {
    const withCommas = rows.map((r) => ({ span: r.span, doc: () => [r.doc(), ","] }));
    return [open, indent([hardline, stacked(c, withCommas, start, end)]), hardline, alone];
  }
  const docs = rows.map((r) => r.doc());
  const flat: Doc = [open, join([",", line], docs), close];
  if (brokenBetween(c, start, first.span.start))
    return choice(flat, [open, indent([hardline, asWritten(c, rows, docs)]), hardline, alone]);
  const items = docs.map((doc, i): FillItem => {
    const before = rows[i - 1];
    const broken = before !== undefined && brokenBetween(c, before.span.end, rows[i]!.span.start);
    return { doc: [doc, i === docs.length - 1 ? close : ","], breaks: broken ? 1 : 0 };
  });
  const filled: Doc = [open, indent({ kind: "fill", items })];
  const init = docs.slice(0, -1);
  if (!last || !endsInBrace(last) || init.some(mustBreak)) return choice(flat, filled);
  const hugging: Doc = [open, init.map((d): Doc => [{ kind: "flat", doc: d }, ", "]), docs.at(-1)!, close];
  return choice(flat, hugging, filled);
}

export const choice = (...options: [Doc, ...Doc[]]): Doc => ({ kind: "choice", options });

export const endsInBrace = (e: Ast.Expr): boolean =>
  e.kind === "lambda" ? endsInBrace(e.body) : ["block", "record", "if", "fold", "tiles"].includes(e.kind);

function callArgsDoc(s: Style, e: Ast.Call): Doc {
  const rows = e.args.map(
    (a): Row => ({
      span: a.span,
      doc: () => [a.name ? `${a.name.name} = ` : "", exprDoc(s, a.value)],
    }),
  );
  const place = { open: "(", close: ")", start: e.callee.span.end, end: e.span.end };
  return listDoc(s, rows, place, e.args.at(-1)?.value);
}

function tupleDoc(s: Style, e: Ast.Tuple): Doc {
  const rows = e.items.map((i): Row => ({ span: i.span, doc: () => exprDoc(s, i) }));
  const close = rows.length === 1 ? ",)" : ")";
  const place = { open: "(", close, start: e.span.start, end: e.span.end };
  return listDoc(s, rows, place, e.items.at(-1));
}

const scalarTypes = new Set(["f32", "f16", "bf16", "i32", "u32", "bool"]);

function indexDoc(s: Style, e: Ast.Index): Doc {
  const isType = e.target.kind === "name" && scalarTypes.has(e.target.name);
  const inner: Style = isType ? { ...s, dim: true } : s;
  const target = operandDoc(s, e.target, level.postfix);
  const rows = e.indices.map((i): Row => ({ span: i.span, doc: () => indexPartDoc(inner, i) }));
  const place = { open: "[", close: "]", start: e.target.span.end, end: e.span.end };
  return [target, listDoc(s, rows, place)];
}

function indexPartDoc(s: Style, i: Ast.IndexPart): Doc {
  switch (i.kind) {
    case "at":
      return exprDoc(s, i.value);
    case "all":
      return ":";
    case "newDim":
      return "None";
    case "rest":
      return "...";
    case "range":
      return [i.start ? operandDoc(s, i.start, level.loop) : "", "..", i.stop ? operandDoc(s, i.stop, level.loop) : ""];
  }
}

function recordDoc(s: Style, e: Ast.RecordLit): Doc {
  const spread = e.spread;
  const [only] = e.fields;
  const alone = e.fields.length === 1 && !spread;
  const rows = e.fields.map(
    (f): Row => ({
      span: f.span,
      doc: () => {
        const short = f.value.kind === "name" && f.value.name === f.name.name && !(alone && f === only);
        return short ? f.name.name : [f.name.name, ": ", exprDoc(s, f.value)];
      },
    }),
  );
  if (!spread) return braced(s.comments, rows, e.span);
  return braced(s.comments, [{ span: spread.span, doc: () => ["...", exprDoc(s, spread)] }, ...rows], e.span);
}

function lambdaDoc(s: Style, e: Ast.Lambda): Doc {
  const params = e.params.map((p): Doc => {
    const type = p.type ? [": ", typeDoc(s.comments, p.type, dimDoc(s.comments))] : "";
    return [patternText(p.pattern), type];
  });
  return ["|", join(", ", params), "| ", exprDoc(s, e.body)];
}

// --- Blocks and loops -----------------------------------------------------------------------------------------------------

/** `{ e }` on a line where it fits and the author had it so; with a `let` or a comment, one to a line. */
export const blockDoc = (s: Style, b: Ast.Block): Doc => group(bracesDoc(s, b), isTall(s, b));

function isTall(s: Style, b: Ast.Block): boolean {
  const c = s.comments;
  const { start, end } = b.span;
  return b.lets.length > 0 || commentsWithin(c, start, end) || brokenBetween(c, start, b.result.span.start);
}

/** The block without a group, so that the branches of an `if` break together. */
function bracesDoc(s: Style, b: Ast.Block): Doc {
  const c = s.comments;
  const opening = takeTrailing(c, b.span.start + 1, b.span.end);
  const rows: Row[] = b.lets.map((l) => ({ span: l.span, doc: () => letDoc(s, l) }));
  rows.push({ span: b.result.span, doc: () => resultDoc(s, b.result) });
  const start = opening ? opening.span.end : b.span.start;
  const body = stacked(c, rows, start, b.span.end);
  return ["{", opening ? trailing(c, opening) : "", indent([line, body]), line, "}"];
}

/** `||` at the beginning of a line goes on with the line before, so a lambda without parameters is wrapped. */
const resultDoc = (s: Style, e: Ast.Expr): Doc =>
  e.kind === "lambda" && e.params.length === 0 ? ["(", exprDoc(s, e), ")"] : exprDoc(s, e);

function letDoc(s: Style, l: Ast.Let): Doc {
  const type = l.type ? [": ", typeDoc(s.comments, l.type, dimDoc(s.comments))] : "";
  return ["let ", patternText(l.pattern), type, " = ", exprDoc(s, l.value)];
}

function ifDoc(s: Style, e: Ast.If): Doc {
  const parts: Doc[] = [];
  let tall = false;
  let branch: Ast.If | Ast.Block = e;
  for (; branch.kind === "if"; branch = branch.else) {
    tall ||= isTall(s, branch.then);
    parts.push("if ", headDoc(s, branch.condition), " ", bracesDoc(s, branch.then), " else ");
  }
  tall ||= isTall(s, branch);
  parts.push(bracesDoc(s, branch));
  return group(parts, tall);
}

/** A condition or extent, which another word or brace follows: lambdas, blocks and loops stand in parentheses. */
const headDoc = (s: Style, e: Ast.Expr): Doc => operandDoc(s, e, precedence["||"]);

const byDoc = (s: Style, by: Ast.BlockSize | undefined): Doc =>
  by === undefined ? "" : [" by ", by.kind === "auto" ? "auto" : headDoc(s, by)];

function foldDoc(s: Style, e: Ast.Fold): Doc {
  const type = e.type ? [": ", typeDoc(s.comments, e.type, dimDoc(s.comments))] : "";
  const range: Doc = ["fold ", e.index.name, " in ", headDoc(s, e.extent), byDoc(s, e.by)];
  const carry: Doc = ["with ", patternText(e.pattern), type, " = ", exprDoc(s, e.init), e.collect ? " collect" : ""];
  return [group([range, indent([line, carry])]), " ", blockDoc(s, e.body)];
}

function tilesDoc(s: Style, e: Ast.Tiles): Doc {
  const indices = e.indices.map((i): Doc => [i.name.name, " in ", headDoc(s, i.extent), byDoc(s, i.by)]);
  const patterns = e.into.map((p) => `[${p.dims.map((d) => (d.kind === "all" ? ":" : d.name)).join(", ")}]`);
  const into = patterns.length === 1 ? patterns.join("") : `(${patterns.join(", ")})`;
  const items = indices.map((doc, i): FillItem => ({ doc: i < indices.length - 1 ? [doc, ","] : doc, breaks: 0 }));
  const header = ["tiles ", indent([{ kind: "fill", items } satisfies Doc, line, "into ", into])];
  return [group(header), " ", blockDoc(s, e.body)];
}
