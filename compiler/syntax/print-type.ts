/** Types, specs and patterns as documents. */
import type { Span } from "../base/span.ts";
import type * as Ast from "./ast.ts";
import { asWritten, brokenBetween, type Comments, commentsWithin, type Row, stacked } from "./comments.ts";
import { precedence } from "./operators.ts";
import { type Doc, group, hardline, ifBroken, indent, join, line, softline } from "./pretty.ts";

/** Prints a dimension: an expression with `*` and `/` close together. */
export type PrintDim = (e: Ast.Expr) => Doc;

export function typeDoc(c: Comments, type: Ast.Type, dim: PrintDim): Doc {
  switch (type.kind) {
    case "namedType":
      return type.args.length === 0
        ? type.name.name
        : [
            type.name.name,
            "<",
            join(
              ", ",
              type.args.map((a) => typeArgDoc(a, dim)),
            ),
            ">",
          ];
    case "arrayType":
      return [type.element.name, "[", join(", ", type.dims.map(dim)), "]"];
    case "tupleType":
      return parenthesised(type.items.map((t) => typeDoc(c, t, dim)));
    case "recordType": {
      const rows = type.fields.map((f) => ({
        span: f.span,
        doc: () => [f.name.name, ": ", typeDoc(c, f.type, dim)],
      }));
      return braced(c, rows, type.span);
    }
    case "fnType": {
      const params = type.params.map((p) => [p.name ? `${p.name.name}: ` : "", typeDoc(c, p.type, dim)]);
      return ["(", join(", ", params), ") -> ", typeDoc(c, type.result, dim)];
    }
    case "placedType":
      return [suffixed(c, type.type, dim), " @ ", specDoc(type.spec)];
    case "varyingType":
      return [suffixed(c, type.type, dim), " varying {", type.axes.map((a) => a.name).join(", "), "}"];
    case "errorType":
      return "_";
  }
}

/** Between `<` and `>` a comparison or a lambda needs parentheses. */
const typeArgDoc = (e: Ast.Expr, dim: PrintDim): Doc => {
  const bare = e.kind === "binary" ? precedence[e.op] > precedence["=="] : e.kind !== "lambda";
  return bare ? dim(e) : ["(", dim(e), ")"];
};

/** `-> T @ P()` would give the spec to the result, so a function type stands in parentheses there. */
const suffixed = (c: Comments, type: Ast.Type, dim: PrintDim): Doc =>
  type.kind === "fnType" ? ["(", typeDoc(c, type, dim), ")"] : typeDoc(c, type, dim);

/** `(a, b)`; one alone keeps its comma, `(a,)`. */
function parenthesised(items: readonly Doc[]): Doc {
  const [only] = items;
  if (only === undefined) return "()";
  if (items.length === 1) return ["(", only, ",)"];
  return group(["(", indent([softline, join([",", line], items)]), ifBroken(",", ""), softline, ")"]);
}

/**
 * `{ a: x, b: y }`, or one to a line where that does not fit or a comment stands inside, or as the author had it who broke
 * the line after the brace.
 */
export function braced(c: Comments, rows: readonly Row[], span: Span): Doc {
  const first = rows[0];
  if (!first) return "{}";
  if (commentsWithin(c, span.start, span.end)) {
    const withCommas = rows.map((r) => ({ span: r.span, doc: () => [r.doc(), ","] }));
    return ["{", indent([hardline, stacked(c, withCommas, span.start, span.end)]), hardline, "}"];
  }
  const docs = rows.map((r) => r.doc());
  if (brokenBetween(c, span.start, first.span.start))
    return ["{", indent([hardline, asWritten(c, rows, docs)]), hardline, "}"];
  return group(["{", indent([line, join([",", line], docs)]), ifBroken(",", ""), line, "}"]);
}

const specDoc = (spec: Ast.Spec): Doc => ["P(", spec.entries.map(entryText).join(", "), ")"];

function entryText(entry: Ast.SpecEntry): string {
  const names = entry.axes.map((a) => a.name);
  const axes = names.length === 1 ? names[0]! : `(${names.join(", ")})`;
  if (entry.layout) return `${entry.layout.name}(${axes})`;
  return names.length === 0 ? "_" : axes;
}

export function patternText(p: Ast.Pattern): string {
  switch (p.kind) {
    case "namePattern":
      return p.name;
    case "wildcardPattern":
    case "errorPattern":
      return "_";
    case "tuplePattern":
      return p.items.length === 1 ? `(${patternText(p.items[0]!)},)` : `(${p.items.map(patternText).join(", ")})`;
    case "recordPattern":
      return p.fields.length === 0 ? "{}" : `{ ${p.fields.map(fieldText).join(", ")} }`;
  }
}

const fieldText = ({ name, pattern }: Ast.FieldPattern): string =>
  pattern.kind === "namePattern" && pattern.name === name.name ? name.name : `${name.name}: ${patternText(pattern)}`;
