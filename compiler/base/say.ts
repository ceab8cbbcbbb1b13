/** The make of a message: what a row of the table of messages is, and how sentences quote and list. */
import type { Severity } from "./diagnostic.ts";

/** `A` is what the sentence must be told. `help` says how to mend it; undefined where the arguments give no hint. */
export type Row<A> = {
  readonly severity: Severity;
  readonly text: (args: A) => string;
  readonly help?: string | ((args: A) => string | undefined);
};

/** What a sentence without arguments is told: nothing. */
export type Nothing = Record<never, never>;

/** A row; `text` gets the arguments, `help` says how to mend it. */
export function say(text: string, help?: string): Row<Nothing>;
export function say<A>(text: (args: A) => string, help?: Row<A>["help"]): Row<A>;
export function say<A>(text: string | ((args: A) => string), help?: Row<A>["help"]): Row<A> {
  const sentence = typeof text === "string" ? () => text : text;
  return { severity: "error", text: sentence, ...(help === undefined ? {} : { help }) };
}

/** Code in a sentence. */
export const q = (code: string | number): string => `\`${code}\``;

/** A list in a sentence: "a", "a and b", "a, b and c". */
export const listed = (parts: readonly string[], last = "and"): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} ${last} ${parts.at(-1)}`;
