import type { Source } from "./source.ts";

/** A stretch of source text: offsets `start` (inclusive) to `end` (exclusive). */
export type Span = { readonly source: Source; readonly start: number; readonly end: number };

/** The source of values that no text stands behind (tests, generated programs). */
export const nowhere: Source = { path: "<nowhere>", text: "" };

/** The span of a value that no text stands behind. */
export const noSpan: Span = { source: nowhere, start: 0, end: 0 };

/** The smallest span that covers both; they lie in one source. */
export const cover = (a: Span, b: Span): Span => ({
  source: a.source,
  start: Math.min(a.start, b.start),
  end: Math.max(a.end, b.end),
});

/** The text that a span covers. */
export const textOf = (span: Span): string => span.source.text.slice(span.start, span.end);
