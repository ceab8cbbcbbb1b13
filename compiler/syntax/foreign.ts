/** Words and signs of other languages. The lexer knows them, the parser takes them for what was meant, here they are told. */
import type { IToken } from "chevrotain";
import type { Diagnostic } from "../base/diagnostic.ts";
import { report } from "../base/messages.ts";
import type { Span } from "../base/span.ts";

type Tell = (span: Span, image: string) => Diagnostic | undefined;

const spelled =
  (gyre: string): Tell =>
  (span, written) =>
    report("GY1008", span, { written, gyre });

/** By the name of the token type. */
const words: Readonly<Record<string, Tell>> = {
  def: spelled("fn"),
  function: spelled("fn"),
  and: spelled("&&"),
  or: spelled("||"),
  not: spelled("!"),
  EqEqEq: spelled("=="),
  NotEqEq: spelled("!="),
  ColonEq: spelled("="),
  Power: (span) => report("GY1009", span, {}),
  OpenString: (span) => report("GY1002", span, {}),
  SingleQuoted: (span) => report("GY1006", span, {}),
  HashComment: (span) => report("GY1005", span, {}),
  StarComment: (span) => report("GY1004", span, {}),
};

/** The diagnostic for a token that is not Gyre's, or nothing. */
export const foreignWord = (token: IToken, span: Span): Diagnostic | undefined =>
  words[token.tokenType.name]?.(span, token.image);
