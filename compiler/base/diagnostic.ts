/** What the compiler tells its user: data first, the picture second. */
import { lineText, positionAt } from "./source.ts";
import type { Span } from "./span.ts";

export type Severity = "error" | "warning";

/** A second place that matters, with what is to be seen there. */
export type Note = { readonly span: Span; readonly message: string };

/** `code` is `GY` and four digits (the table is messages.ts); `message` is one sentence in the user's terms. */
export type Diagnostic = {
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  readonly span: Span;
  readonly notes: readonly Note[];
  /** How to mend it, where that is known. */
  readonly help?: string;
};

export type RenderOptions = { readonly color: boolean };

type Paint = (style: keyof typeof styles, text: string) => string;

const styles = { bold: "1", error: "1;31", warning: "1;33", note: "1;36", help: "1;32", dim: "2" } as const;

/**
 * The picture of a diagnostic, without a final line end:
 *
 *     ring.gyre:3:14: error[GY2001]: nothing is called `kk`
 *       3 | let s = qi @ kk.T
 *         |              ^^
 *     help: did you mean `k`?
 */
export function renderDiagnostic(d: Diagnostic, options: RenderOptions = { color: false }): string {
  const paint: Paint = (style, text) => (options.color ? `\u001b[${styles[style]}m${text}\u001b[0m` : text);
  const title = `${placeOf(d.span)}: ${paint(d.severity, `${d.severity}[${d.code}]`)}: ${paint("bold", d.message)}`;
  const notes = d.notes.flatMap((n) => [
    `${placeOf(n.span)}: ${paint("note", "note")}: ${n.message}`,
    ...picture(n.span, "note", paint),
  ]);
  const help = d.help === undefined ? [] : [`${paint("help", "help")}: ${d.help}`];
  return [title, ...picture(d.span, d.severity, paint), ...notes, ...help].join("\n");
}

/** All pictures, with an empty line between two. */
export const renderDiagnostics = (ds: readonly Diagnostic[], options?: RenderOptions): string =>
  ds.map((d) => renderDiagnostic(d, options)).join("\n\n");

/** `file:line:column`. */
function placeOf(span: Span): string {
  const { line, column } = positionAt(span.source, span.start);
  return `${span.source.path}:${line}:${column}`;
}

export const isError = (d: Diagnostic): boolean => d.severity === "error";

/** Sorts by file and place, so that what is read first is told first, and drops exact repetitions. */
export function sortDiagnostics(ds: readonly Diagnostic[]): readonly Diagnostic[] {
  const seen = new Set<string>();
  const keyed = ds.filter((d) => {
    const key = `${d.code} ${d.span.source.path} ${d.span.start} ${d.span.end} ${d.message}`;
    const first = !seen.has(key);
    seen.add(key);
    return first;
  });
  const path = (d: Diagnostic) => d.span.source.path;
  return keyed.sort((a, b) => (path(a) < path(b) ? -1 : path(a) > path(b) ? 1 : a.span.start - b.span.start));
}

/** The line of source with carets beneath it. A span over several lines is underlined on its first. */
function picture(span: Span, style: "error" | "warning" | "note", paint: Paint): readonly string[] {
  if (span.source.text === "") return [];
  const { line, column } = positionAt(span.source, span.start);
  const text = lineText(span.source, line);
  const length = Math.max(1, Math.min(span.end - span.start, text.length - column + 1));
  const gutter = String(line);
  const pad = text.slice(0, column - 1).replace(/[^\t]/g, " ");
  return [
    `${paint("dim", `  ${gutter} |`)} ${text}`,
    `${paint("dim", `  ${" ".repeat(gutter.length)} |`)} ${pad}${paint(style, "^".repeat(length))}`,
  ];
}
