/** `///` lines directly above a declaration are its documentation; all other comments stay comments. */
import type * as Ast from "./ast.ts";

const marker = /^\/\/\/(?!\/) ?/;

/** Gives declarations their `doc` and takes those comments out of the list. Both lists are in source order. */
export function documented(
  items: readonly Ast.Item[],
  comments: readonly Ast.Comment[],
): { readonly items: readonly Ast.Item[]; readonly comments: readonly Ast.Comment[] } {
  const used = new Set<Ast.Comment>();
  let previousEnd = 0;
  const withDocs = items.map((item) => {
    const above = comments.filter((c) => c.span.start >= previousEnd && c.span.end <= item.span.start);
    const lines = above.slice(above.findLastIndex((c) => !marker.test(c.text) || !ownLine(c)) + 1);
    previousEnd = item.span.end;
    if (lines.length === 0) return item;
    for (const line of lines) used.add(line);
    return { ...item, doc: lines.map((c) => c.text.replace(marker, "")).join("\n") };
  });
  return { items: withDocs, comments: comments.filter((c) => !used.has(c)) };
}

/** Nothing but space stands before it on its line. */
function ownLine({ span }: Ast.Comment): boolean {
  const { text } = span.source;
  return text.slice(text.lastIndexOf("\n", span.start - 1) + 1, span.start).trim() === "";
}
