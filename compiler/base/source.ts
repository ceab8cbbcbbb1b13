/** A source text and the places in it. */

/** One file of a program. `path` is how diagnostics call it; the compiler never opens it. */
export type Source = { readonly path: string; readonly text: string };

/** A place for a person: both numbers start at 1, columns count UTF-16 units. */
export type Position = { readonly line: number; readonly column: number };

const lineStartsOf = new WeakMap<Source, readonly number[]>();

/** The offset at which each line begins. Computed once for each source. */
function lineStarts(source: Source): readonly number[] {
  const known = lineStartsOf.get(source);
  if (known) return known;
  const starts = [0];
  for (let at = source.text.indexOf("\n"); at >= 0; at = source.text.indexOf("\n", at + 1)) starts.push(at + 1);
  lineStartsOf.set(source, starts);
  return starts;
}

/** Line and column of an offset; an offset past the end is the end. */
export function positionAt(source: Source, offset: number): Position {
  const starts = lineStarts(source);
  const at = Math.max(0, Math.min(offset, source.text.length));
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= at) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: at - starts[low]! + 1 };
}

/** The text of a line (numbered from 1), without its line end. */
export function lineText(source: Source, line: number): string {
  const starts = lineStarts(source);
  const start = starts[line - 1] ?? source.text.length;
  const end = starts[line] ?? source.text.length;
  return source.text.slice(start, end).replace(/[\r\n]+$/, "");
}
