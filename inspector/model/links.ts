/** From a line of one text to the lines of another that come from the same place. */
import type { Listing, Place } from "../data.ts";

/** Lines are numbered from 0. */
export type Marked = { readonly strong: ReadonlySet<number>; readonly weak: ReadonlySet<number> };

/**
 * The lines of a listing that come from `focus`. Strong: those that come from the least text around it; weak: those that
 * stand for more, such as the head of a loop.
 */
export function linesFrom(listing: Pick<Listing, "places">, focus: Place | null): Marked {
  const strong = new Set<number>();
  const weak = new Set<number>();
  if (!focus) return { strong, weak };
  const meeting = listing.places.flatMap((p, i) => (p && meets(p, focus) ? [{ line: i, lines: p[2] - p[1] }] : []));
  const least = meeting.reduce((n, m) => Math.min(n, m.lines), Number.POSITIVE_INFINITY);
  const width = Math.max(least, focus[2] - focus[1]);
  for (const { line, lines } of meeting) (lines <= width ? strong : weak).add(line);
  return { strong, weak };
}

const meets = (a: Place, b: Place): boolean => a[0] === b[0] && a[1] <= b[2] && b[1] <= a[2];

/** The kernel most of whose lines come from `focus`; the one at hand where others have no more. */
export function kernelFrom(
  kernels: readonly { readonly tile: Listing; readonly place: Place | null }[],
  focus: Place,
  now: number,
): number {
  const score = (k: number): number => {
    const kernel = kernels[k];
    if (!kernel) return 0;
    const lines = linesFrom(kernel.tile, focus).strong.size;
    return lines + (kernel.place && meets(kernel.place, focus) ? 0.5 : 0);
  };
  let best = now;
  kernels.forEach((_, k) => {
    if (score(k) > score(best)) best = k;
  });
  return best;
}

/** For each line of a source, whether any line of the listings comes from it. */
export function sourceLines(listings: readonly Pick<Listing, "places">[], source: number): ReadonlySet<number> {
  const found = new Set<number>();
  for (const { places } of listings)
    for (const p of places) {
      if (p?.[0] !== source) continue;
      for (let line = p[1]; line <= p[2]; line++) found.add(line);
    }
  return found;
}
