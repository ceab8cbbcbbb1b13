/**
 * The formatter: Ast to text in the one canonical layout (100 columns, two spaces).
 *
 * Laws: `parse(print(m))` equals `m` but for spans, and `print` of that is the same text. Comments and single empty lines stay
 * where they were, as far as the layout has a place there.
 */
import type { Span } from "../base/span.ts";
import type * as Ast from "./ast.ts";
import {
  asWritten,
  brokenBetween,
  type Comments,
  commentsOf,
  commentsWithin,
  noComments,
  type Row,
  stacked,
} from "./comments.ts";
import { type Doc, hardline, indent, join, layout } from "./pretty.ts";
import { blockDoc, choice, dimDoc, endsInBrace, exprDoc, quoted, type Style } from "./print-expr.ts";
import { braced, typeDoc } from "./print-type.ts";

const columns = 100;

/** The formatted text of a module, with a line end at its end. Only of one that has no `error` nodes. */
export function print(module: Ast.Module): string {
  const c = commentsOf(module);
  const rows = module.items.map((item): DeclRow => ({ span: item.span, item, doc: () => itemDoc(c, item) }));
  const text = layout(stacked(c, rows, 0, module.span.end + 1, apart), columns);
  return text === "" ? "" : `${text}\n`;
}

/** An expression or a type as one would write it on a line, for messages. */
export const printExpr = (e: Ast.Expr): string => onOneLine(exprDoc({ comments: noComments(), dim: false }, e));
export const printType = (t: Ast.Type): string => onOneLine(typeDoc(noComments(), t, dimDoc(noComments())));

const onOneLine = (doc: Doc): string => layout(doc, Number.POSITIVE_INFINITY).replace(/\s*\n\s*/g, " ");

type DeclRow = Row & { readonly item: Ast.Item };

/** An empty line parts declarations, but short ones of a kind may stand together. */
function apart(row: Row, next: Row): boolean {
  const a = (row as DeclRow).item;
  const b = (next as DeclRow).item;
  const short = a.kind === "import" || a.kind === "mesh" || a.kind === "const" || a.kind === "type";
  return a.kind !== b.kind || (!short && !isOneLine(a) && !isOneLine(b)) || b.doc !== undefined;
}

const isOneLine = (item: Ast.Item): boolean =>
  (item.kind === "fn" || item.kind === "derivative") && item.body.kind !== "block" && item.doc === undefined;

function itemDoc(c: Comments, item: Ast.Item): Doc {
  const doc = item.doc === undefined ? [] : item.doc.split("\n").map((l): Doc => [`/// ${l}`.trimEnd(), hardline]);
  const exported = item.kind !== "derivative" && item.exported ? "export " : "";
  return [doc, exported, declDoc({ comments: c, dim: false }, item)];
}

function declDoc(s: Style, item: Ast.Item): Doc {
  const c = s.comments;
  switch (item.kind) {
    case "import":
      return importDoc(c, item);
    case "mesh": {
      const axes = item.axes.map((a): Doc => (a.size ? [a.name.name, ": ", exprDoc(s, a.size)] : a.name.name));
      return ["mesh ", item.name.name, "(", join(", ", axes), ")"];
    }
    case "const": {
      const type = item.type ? [": ", typeDoc(c, item.type, dimDoc(c))] : "";
      return ["const ", item.name.name, type, " = ", exprDoc(s, item.value)];
    }
    case "type": {
      const head = ["type ", item.name.name, genericsDoc(item.generics), " = "];
      return [head, typeDoc(c, item.type, dimDoc(c))];
    }
    case "fn":
    case "derivative":
      return [item.kind, " ", signatureDoc(s, item), bodyDoc(s, item.body)];
    case "shard_map":
      return ["shard_map ", signatureDoc(s, item), ` on ${item.mesh.name}`, bodyDoc(s, item.body)];
  }
}

function importDoc(c: Comments, item: Ast.ImportDecl): Doc {
  const rows = item.names.map(
    (n): Row => ({
      span: n.span,
      doc: () => (n.alias.name === n.name.name ? n.name.name : `${n.name.name} as ${n.alias.name}`),
    }),
  );
  const open = c.source.indexOf("{", item.span.start);
  const span: Span = { ...item.span, start: Math.max(open, item.span.start) };
  return [item.exported ? "" : "import ", braced(c, rows, span), " from ", quoted(item.from.value)];
}

const genericsDoc = (generics: readonly Ast.Generic[]): Doc =>
  generics.length === 0
    ? ""
    : `<${generics.map((g) => g.name.name + (g.bound ? `: ${g.bound.name}` : "")).join(", ")}>`;

type Signature = Pick<Ast.FnDecl, "name" | "generics" | "params" | "result" | "body">;

/** `f<N>(x: f32[N]) -> f32[N]`; parameters one to a line where they do not fit, or the author had the first on a new line. */
function signatureDoc(s: Style, f: Signature): Doc {
  const c = s.comments;
  const start = f.generics.at(-1)?.span.end ?? f.name.span.end;
  const [flat, exploded] = paramsDocs(s, f.params, start, f.result?.span.start ?? f.body.span.start);
  const result = f.result ? [" -> ", typeDoc(c, f.result, dimDoc(c))] : "";
  return [f.name.name, genericsDoc(f.generics), choice([flat, result], [exploded, result])];
}

/** On one line, and one to a line. Where the author, or a comment, wants the second, both are that. */
function paramsDocs(s: Style, params: readonly Ast.Param[], start: number, end: number): readonly [Doc, Doc] {
  const c = s.comments;
  const [first] = params;
  if (!first) return ["()", "()"];
  const rows = params.map((p): Row => ({ span: p.span, doc: () => paramDoc(s, p) }));
  const inLines = (lines: Doc): Doc => ["(", indent([hardline, lines]), hardline, ")"];
  if (commentsWithin(c, start, end)) {
    const withCommas = rows.map((r) => ({ span: r.span, doc: () => [r.doc(), ","] }));
    const lines = inLines(stacked(c, withCommas, start, end));
    return [lines, lines];
  }
  const docs = rows.map((r) => r.doc());
  if (brokenBetween(c, start, first.span.start)) {
    const lines = inLines(asWritten(c, rows, docs));
    return [lines, lines];
  }
  return [
    ["(", join(", ", docs), ")"],
    inLines(
      join(
        hardline,
        docs.map((d) => [d, ","]),
      ),
    ),
  ];
}

function paramDoc(s: Style, p: Ast.Param): Doc {
  const type = p.type ? [": ", typeDoc(s.comments, p.type, dimDoc(s.comments))] : "";
  return [p.name.name, type, p.default ? [" = ", exprDoc(s, p.default)] : ""];
}

/** A block follows on the line; after `=` the expression may begin on the next. */
function bodyDoc(s: Style, body: Ast.Expr): Doc {
  if (body.kind === "block") return [" ", blockDoc(s, body)];
  const doc = exprDoc(s, body);
  if (endsInBrace(body)) return [" = ", doc];
  return [" =", choice([" ", doc], indent([hardline, doc]))];
}
