/**
 * Every sentence that the compiler says to its user: one row for each code.
 *
 *   GY1xxx syntax                 GY5xxx tiles and fold
 *   GY2xxx names and imports      GY6xxx compile time and dimensions
 *   GY3xxx types and shapes       GY7xxx not supported yet
 *   GY4xxx specs, mesh, varying   GY8xxx input files and values
 *
 * To add a message, add a row: `CODE: say((a: { … }) => sentence, help?)`. Then `report("CODE", span, { … })` type-checks.
 * A sentence starts small, has no full stop, and quotes code with `q(…)`.
 */
import { checkMessages } from "./checkMessages.ts";
import type { Diagnostic, Note } from "./diagnostic.ts";
import { q, type Row, say } from "./say.ts";
import type { Span } from "./span.ts";

const messages = {
  // --- GY10xx: characters and literals -----------------------------------------------------------------------------
  GY1001: say((a: { char: string }) => `${q(a.char)} is not a character of Gyre outside strings and comments`),
  GY1002: say("this string is not closed on its line", 'strings are written "…", on one line'),
  GY1003: say((a: { text: string }) => `the integer ${q(a.text)} is too large to be exact`, "the largest is 2^53 - 1"),
  GY1004: say("`/* … */` is not a comment in Gyre", "begin each line of a comment with `//`"),
  GY1005: say("`#` does not begin a comment in Gyre", "comments begin with `//`"),
  GY1006: say("single quotes do not make a string", 'strings are written "…"'),
  GY1007: say(
    (a: { text: string }) => `${q(a.text)} is not a whole number literal`,
    (a) => `write ${q(a.text.startsWith(".") ? `0${a.text}` : `${a.text}0`)}`,
  ),

  // --- GY11xx: something else was expected -------------------------------------------------------------------------
  GY1101: say(
    (a: { expected: string; after: string; found: string }) =>
      `expected ${q(a.expected)}${a.after && ` ${a.after}`}, found ${a.found}`,
  ),
  GY1102: say((a: { what: string; found: string }) => `expected ${a.what}, found ${a.found}`),
  GY1103: say(
    (a: { found: string }) => `expected a declaration, found ${a.found}`,
    "a file holds `import`, `mesh`, `const`, `type`, `fn`, `shard_map` and `derivative` declarations",
  ),
  GY1104: say("a `let` stands inside a block", "at the top of a file a static value is `const NAME = …`"),
  GY1105: say(
    (a: { opener: string; closer: string }) => `this ${q(a.opener)} is never closed`,
    (a) => `add ${q(a.closer)}`,
  ),

  // --- GY2xxx … GY7xxx: what the checker says ------------------------------------------------------------------------
  ...checkMessages,
} as const satisfies Record<string, Row<never>>;

type Messages = typeof messages;
export type Code = keyof Messages;
export type ArgsOf<C extends Code> = Messages[C] extends Row<infer A> ? A : never;

/** Every code, for tests and documentation. */
export const codes: readonly Code[] = Object.keys(messages) as Code[];

/** Makes the diagnostic of a row. `notes` are further places that matter. */
export function report<C extends Code>(code: C, span: Span, args: ArgsOf<C>, notes: readonly Note[] = []): Diagnostic {
  const row: Row<ArgsOf<C>> = messages[code] as unknown as Row<ArgsOf<C>>;
  const help = typeof row.help === "function" ? row.help(args) : row.help;
  return {
    code,
    severity: row.severity,
    message: row.text(args),
    span,
    notes,
    ...(help === undefined ? {} : { help }),
  };
}
