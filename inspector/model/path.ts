/** The critical path: from the last end back, always to the one that was waited for the longest. */

export type Timed = { readonly start: number; readonly end: number };

/** Spans on the path, the last first. `needs(i)` are the spans whose ends span i waited for. */
export function criticalPath(spans: readonly Timed[], needs: (i: number) => readonly number[]): readonly number[] {
  if (spans.length === 0) return [];
  let at = 0;
  spans.forEach((span, i) => {
    if (span.end > spans[at]!.end) at = i;
  });
  const path: number[] = [];
  const seen = new Set<number>();
  for (let next: number | undefined = at; next !== undefined && !seen.has(next); ) {
    path.push(next);
    seen.add(next);
    const before: readonly number[] = needs(next);
    next = before.reduce<number | undefined>(
      (best, n) => (best === undefined || spans[n]!.end > spans[best]!.end ? n : best),
      undefined,
    );
  }
  return path;
}

/** The time in which at least one of the spans is under way. */
export function covered(spans: readonly Timed[]): number {
  const sorted = spans.toSorted((a, b) => a.start - b.start);
  let total = 0;
  let until = Number.NEGATIVE_INFINITY;
  for (const { start, end } of sorted) {
    if (end <= until) continue;
    total += end - Math.max(start, until);
    until = end;
  }
  return total;
}

/** The part of `covered(a)` in which none of `b` is under way. */
export const uncovered = (a: readonly Timed[], b: readonly Timed[]): number => covered([...a, ...b]) - covered(b);
