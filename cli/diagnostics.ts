/** The compiler's diagnostics on their way out: pictures on standard error, or JSON on standard output. */
import { type Diagnostic, isError, renderDiagnostic } from "../compiler/base/diagnostic.ts";
import { positionAt } from "../compiler/base/source.ts";
import type { Span } from "../compiler/base/span.ts";
import type { Io } from "./io.ts";
import { plural } from "./text.ts";

/** What one run shows at most; more tell a reader nothing. `--json` has all. */
const SHOWN = 50;

/** Prints diagnostics. With `json` all of them as one object, beside what `more` holds. */
export function tell(
  io: Io,
  all: readonly Diagnostic[],
  options: { readonly json?: boolean; readonly more?: object },
): void {
  if (options.json) {
    io.out(`${JSON.stringify({ ...options.more, diagnostics: all.map(diagnosticJson) }, null, 2)}\n`);
    return;
  }
  if (all.length === 0) return;
  io.err(
    `${all
      .slice(0, SHOWN)
      .map((d) => renderDiagnostic(d, { color: io.errColor }))
      .join("\n\n")}\n`,
  );
  const errors = all.filter(isError).length;
  const warnings = all.length - errors;
  const counts = [errors > 0 ? plural(errors, "error") : "", warnings > 0 ? plural(warnings, "warning") : ""];
  const hidden = all.length > SHOWN ? `, of which the first ${SHOWN} are shown` : "";
  if (all.length > 1) io.err(`\n${counts.filter((x) => x !== "").join(" and ")}${hidden}\n`);
}

/** A diagnostic for tools: places as line and column (from 1) and as offsets (from 0, UTF-16 units). */
function diagnosticJson(d: Diagnostic): object {
  return {
    code: d.code,
    severity: d.severity,
    message: d.message,
    ...place(d.span),
    notes: d.notes.map((n) => ({ message: n.message, ...place(n.span) })),
    ...(d.help === undefined ? {} : { help: d.help }),
  };
}

function place(span: Span): object {
  const { line, column } = positionAt(span.source, span.start);
  const to = positionAt(span.source, span.end);
  return {
    file: span.source.path,
    line,
    column,
    endLine: to.line,
    endColumn: to.column,
    start: span.start,
    end: span.end,
  };
}
