/** Where comments go when an Ast is printed: each is given out once, in source order, to the node that stands nearest. */
import type { Span } from "../base/span.ts";
import type * as Ast from "./ast.ts";
import { type Doc, type FillItem, hardline } from "./pretty.ts";

/** The comments of a module that no node has taken yet. */
export type Comments = { readonly source: string; readonly waiting: Ast.Comment[] };

export const noComments = (): Comments => ({ source: "", waiting: [] });

export const commentsOf = (module: Ast.Module): Comments => ({
  source: module.source.text,
  waiting: [...module.comments],
});

/** Takes the comments that begin between two offsets; earlier ones go on waiting. */
export function takeWithin(c: Comments, start: number, end: number): readonly Ast.Comment[] {
  const inside = c.waiting.filter((w) => w.span.start >= start && w.span.start < end);
  if (inside.length > 0) c.waiting.splice(c.waiting.indexOf(inside[0]!), inside.length);
  return inside;
}

/** Takes the comment that follows on the line where something ends, with only commas and semicolons between. */
export function takeTrailing(c: Comments, end: number, limit: number): Ast.Comment | undefined {
  const next = c.waiting.find((w) => w.span.start >= end);
  if (!next || next.span.start >= limit) return undefined;
  if (!/^[ \t,;]*$/.test(c.source.slice(end, next.span.start))) return undefined;
  c.waiting.splice(c.waiting.indexOf(next), 1);
  return next;
}

/** Is the line after the one where `end` lies empty? `next` is where the next thing begins. */
const blankAfter = (c: Comments, end: number, next: number): boolean =>
  /^[^\n]*\n[ \t\r]*\n/.test(c.source.slice(end, next));

/** A line break between two offsets, as the author had it. */
export const brokenBetween = (c: Comments, start: number, end: number): boolean =>
  c.source.slice(start, end).includes("\n");

/** A comment at the end of a line. It keeps its column where two or more spaces stood before it: a table, perhaps. */
export function trailing(c: Comments, comment: Ast.Comment): Doc {
  const { start } = comment.span;
  const aligned = /[ \t]{2}$/.test(c.source.slice(0, start));
  const column = aligned ? start - (c.source.lastIndexOf("\n", start - 1) + 1) + 1 : 0;
  return { kind: "trailing", text: comment.text, column };
}

/** Something on lines of its own: a statement, a declaration, an element of a broken list. */
export type Row = { readonly span: Span; readonly doc: () => Doc };

/**
 * Rows below one another with their comments, and an empty line where the author had one or more, or `apart` asks for one.
 * A comment inside a row that has no place there goes above it.
 * `start` and `end` bound the bracket or file they stand in.
 */
export function stacked(
  c: Comments,
  rows: readonly Row[],
  start: number,
  end: number,
  apart: (row: Row, next: Row) => boolean = () => false,
): Doc {
  const parts: Doc[] = [];
  let last = start;
  let previous: Row | undefined;
  const put = (doc: Doc, from: number, forced: boolean) => {
    if (parts.length > 0) parts.push(hardline, ...(forced || blankAfter(c, last, from) ? [hardline] : []));
    parts.push(doc);
  };
  const putComments = (comments: readonly Ast.Comment[]) => {
    for (const comment of comments) {
      put(comment.text, comment.span.start, false);
      last = comment.span.end;
    }
  };
  for (const row of rows) {
    const above = takeWithin(c, start, row.span.start);
    const doc = row.doc();
    const homeless = takeWithin(c, row.span.start, row.span.end);
    const forced = previous !== undefined && apart(previous, row);
    const [first, ...others] = [...above, ...homeless];
    if (first) {
      put(first.text, first.span.start, forced);
      last = first.span.end;
      putComments(others);
    }
    const after = takeTrailing(c, row.span.end, end);
    put(after ? [doc, trailing(c, after)] : doc, row.span.start, forced && !first);
    last = after ? after.span.end : row.span.end;
    previous = row;
  }
  putComments(takeWithin(c, start, end));
  return parts;
}

/** Do comments wait that stand between two offsets? */
export const commentsWithin = (c: Comments, start: number, end: number): boolean =>
  c.waiting.some((w) => w.span.start >= start && w.span.start < end);

/** Documents of rows with a comma after each, broken where the author broke them, else as many on a line as fit. */
export function asWritten(c: Comments, rows: readonly Row[], docs: readonly Doc[]): Doc {
  const items = docs.map((doc, i): FillItem => {
    const before = rows[i - 1];
    const gap = before ? c.source.slice(before.span.end, rows[i]!.span.start) : "";
    const breaks = /\n[ \t\r]*\n/.test(gap) ? 2 : gap.includes("\n") ? 1 : 0;
    return { doc: [doc, ","], breaks };
  });
  return { kind: "fill", items };
}
