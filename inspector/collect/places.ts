/** Spans as lines of numbered sources. */
import { positionAt, type Source } from "../../compiler/base/source.ts";
import { nowhere, type Span } from "../../compiler/base/span.ts";
import type { Place } from "../data.ts";

export type Places = {
  /** Null where no text stands behind it. */
  readonly of: (span: Span | undefined) => Place | null;
  /** Those that were met, in the order in which they were. */
  readonly sources: readonly Source[];
};

/** Numbers sources as they are met, `first` before all others. */
export function collectPlaces(first: Source): Places {
  const sources: Source[] = [first];
  const numbers = new Map<string, number>([[first.path, 0]]);
  const numberOf = (source: Source): number => {
    const known = numbers.get(source.path);
    if (known !== undefined) return known;
    numbers.set(source.path, sources.length);
    return sources.push(source) - 1;
  };
  return {
    of(span) {
      if (!span || span.source === nowhere || span.source.text === "") return null;
      const line = (offset: number): number => positionAt(span.source, offset).line;
      return [numberOf(span.source), line(span.start), line(Math.max(span.start, span.end - 1))];
    },
    sources,
  };
}
