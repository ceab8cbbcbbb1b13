/** What a correct program may ask for and this compiler cannot do yet: thrown deep inside, caught by the pass. */
import type { Span } from "../../base/span.ts";

export class NotSupported extends Error {
  override readonly name = "NotSupported";
  readonly what: string;
  readonly span: Span | undefined;
  /** `what`: the thing, as the subject of a sentence: "`a concat along a block`". */
  constructor(what: string, span: Span | undefined) {
    super(what);
    this.what = what;
    this.span = span;
  }
}
