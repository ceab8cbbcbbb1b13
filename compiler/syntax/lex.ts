/** Text to tokens, with what the lexer itself has to say: strange characters, open strings, words of other languages. */
import { type IToken, Lexer } from "chevrotain";
import type { Diagnostic } from "../base/diagnostic.ts";
import { report } from "../base/messages.ts";
import type { Source } from "../base/source.ts";
import type { Span } from "../base/span.ts";
import type { Comment } from "./ast.ts";
import { foreignWord } from "./foreign.ts";
import type { TokenFacts } from "./grammar.ts";
import { tokenTypes } from "./tokens.ts";

export type Lexed = {
  readonly tokens: IToken[];
  readonly comments: readonly Comment[];
  readonly diagnostics: readonly Diagnostic[];
};

/** Brackets may stand in one another so deep; beyond it is no program that a person wrote. */
export const maxNesting = 128;

const openers = new Map([
  ["(", ")"],
  ["[", "]"],
  ["{", "}"],
]);
const closers = new Set(openers.values());

let lexer: Lexer | undefined;

/** The lexer is made when it is first needed. */
const lexerOnce = (): Lexer =>
  (lexer ??= new Lexer(tokenTypes, { positionTracking: "full", ensureOptimizations: false, skipValidations: true }));

const spanOfToken = (source: Source, token: IToken): Span => ({
  source,
  start: token.startOffset,
  end: token.startOffset + token.image.length,
});

/** All tokens of a text. Each carries {@link TokenFacts} as its payload. */
export function lex(source: Source): Lexed {
  const result = lexerOnce().tokenize(source.text);
  const spanOf = (token: IToken) => spanOfToken(source, token);
  const characters = result.errors.map((e) => {
    const end = e.offset + Math.max(1, e.length);
    const char = [...source.text.slice(e.offset, end)][0] ?? "";
    return report("GY1001", { source, start: e.offset, end }, { char });
  });
  const foreign = [...result.tokens, ...(result.groups.foreign ?? [])].flatMap((token) => {
    const d = foreignWord(token, spanOf(token));
    return d ? [d] : [];
  });
  const comments = (result.groups.comments ?? []).map((c) => ({ text: c.image.trimEnd(), span: spanOf(c) }));
  return {
    tokens: result.tokens,
    comments,
    diagnostics: [...characters, ...foreign, ...noteFacts(result.tokens, spanOf)],
  };
}

/** Tells each token whether it begins a line directly inside braces; reports nesting that is too deep. */
function noteFacts(tokens: IToken[], spanOf: (token: IToken) => Span): readonly Diagnostic[] {
  const open: string[] = [];
  let line = 0;
  for (const token of tokens) {
    const inside = open.at(-1);
    const facts: TokenFacts = {
      fresh: token.startLine !== line && (inside === undefined || inside === "{"),
    };
    token.payload = facts;
    line = token.endLine ?? token.startLine ?? line;
    if (openers.has(token.image)) open.push(token.image);
    else if (closers.has(token.image)) open.pop();
    if (open.length > maxNesting) return [report("GY1109", spanOf(token), { limit: maxNesting })];
  }
  return [];
}
