/** What the parser stumbled over, in a sentence. */
import {
  EOF,
  type IParserErrorMessageProvider,
  type IRecognitionException,
  type IToken,
  tokenMatcher,
} from "chevrotain";
import type { Diagnostic, Note } from "../base/diagnostic.ts";
import { afterExpressions, namesElsewhere } from "../base/elsewhere.ts";
import { report } from "../base/messages.ts";
import { q } from "../base/say.ts";
import type { Source } from "../base/source.ts";
import type { Span } from "../base/span.ts";
import * as t from "./tokens.ts";

/** The parser's own messages carry only what is not in the exception: the label of the expected token. */
export const explainer: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected }) => expected.LABEL ?? expected.name,
  buildNotAllInputParsedMessage: () => "",
  buildNoViableAltMessage: () => "",
  buildEarlyExitMessage: () => "",
};

/** How each construct is written, for the help of an error inside it. */
const shapes: Readonly<Record<string, string>> = {
  importNames: 'import { a, b as c } from "./file.gyre"',
  meshDecl: "mesh pod(dp: 2, sp: 4)",
  meshAxis: "mesh pod(dp: 2, sp: 4)",
  constDecl: "const NAME = 4",
  typeDecl: "type Name<N> = { a: f32[N], b: i32 }",
  generics: "fn f<N, T: float>(x: T[N]) -> T[N] { … }",
  generic: "fn f<N, T: float>(x: T[N]) -> T[N] { … }",
  recordTypeField: "{ a: f32[N], b: i32 }",
  spec: "P((dp, fsdp), sp, _)",
  specEntry: "P((dp, fsdp), sp, _)",
  axisTuple: "P((dp, fsdp), sp, _)",
  layoutAxes: "P(_, zigzag(sp), _)",
  letIn: "let x = e",
  lambda: "|x, y| e",
  ifElse: "if c { a } else { b }",
  elseIf: "if c { a } else if d { b } else { e }",
  foldLoop: "fold i in N with x = init { next }",
  binder: "fold i in N with x = init { next }",
  tilesLoop: "tiles i in N by 64, j in M into [i, j] { … }",
  tileIndex: "tiles i in N by 64, j in M into [i, j] { … }",
  intoPattern: "tiles i in N by 64, j in M into [i, j] { … }",
};

/** What each rule looks for when none of its alternatives fits. */
const nouns: Readonly<Record<string, string>> = {
  primary: "an expression",
  typeRef: "a type",
  pattern: "a name or a pattern",
  binder: "a name",
  body: "a body, `{ … }` or `= …`",
  specEntry: "`_`, an axis or a tuple of axes",
  axisTuple: "an axis",
  layoutAxes: "an axis",
  suffix: "the name of a field",
  typeSuffix: "`@` or `varying`",
  tilesLoop: "a pattern `[i, j]` or several in parentheses",
  intoPattern: "an index variable or `:`",
  indexPart: "an index",
};

/** What stands between the brackets that a rule reads. `of` is the word before the opening bracket. */
const bracketed: Readonly<Record<string, (of: string) => string>> = {
  callArgs: (of) => `after the arguments${of}`,
  signature: (of) => `after the parameters${of}`,
  indexParts: (of) => `after the indices${of}`,
  dims: (of) => `after the dimensions${of}`,
  generics: () => "after the type parameters",
  typeArgs: () => "after the type arguments",
  spec: () => "at the end of the spec",
  meshDecl: () => "after the axes",
  importNames: () => "after the imported names",
  paren: () => "to match the parenthesis",
  block: () => "at the end of the block",
  record: () => "at the end of the record",
  recordType: () => "at the end of the record type",
  lambda: () => "after the parameters of the lambda",
};

const closerOf: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };
const declarationWords = [t.Fn, t.Import, t.Export, t.ShardMap, t.Const, t.Derivative];

type Stumble = {
  readonly rule: string;
  readonly found: IToken;
  readonly before: IToken | undefined;
  /** The label of the expected token, where there was only one. */
  readonly expected: string;
  readonly tokens: readonly IToken[];
  readonly at: number;
};

/** The diagnostic for a failure of the parser. */
export function explain(error: IRecognitionException, source: Source, tokens: readonly IToken[]): Diagnostic {
  const found = error.token;
  const at = found.tokenType === EOF ? tokens.length : tokens.indexOf(found);
  const rule = error.context.ruleStack.at(-1) ?? "module";
  const stumble: Stumble = { rule, found, before: tokens[at - 1], expected: error.message, tokens, at };
  const known = hints.find((h) => h.when(stumble))?.help;
  const span = placeOfStumble(stumble, source, known !== undefined);
  const special = specialCase(stumble, span, source);
  if (special) return special;
  const help = known ?? shapeOf(rule);
  const foundText = describe(found);
  if (isReservedName(stumble))
    return report("GY1102", spanOf(found, source), {
      what: `a name${afterWhat(stumble)}`,
      found: foundText,
      help: `${foundText} is a word of Gyre, and no name`,
    });
  if (error.name !== "MismatchedTokenException") {
    const what = `${nouns[rule] ?? "something else"}${afterWhat(stumble)}`;
    return report("GY1102", span, { what, found: foundText, help });
  }
  const opener = openerBefore(tokens, at);
  const isCloser = opener !== undefined && closerOf[opener.image] === stumble.expected;
  const farAway = opener !== undefined && opener.startLine !== stumble.before?.endLine;
  const notes: readonly Note[] = isCloser && farAway ? [{ span: spanOf(opener, source), message: "opened here" }] : [];
  const where =
    isCloser || rule === "lambda" ? (bracketed[rule]?.(ownerOf(tokens, opener)) ?? "") : afterWhat(stumble).trim();
  if (stumble.expected === "Name")
    return report("GY1102", span, { what: `a name${where && ` ${where}`}`, found: foundText, help }, notes);
  return report("GY1101", span, { expected: expectedText(stumble.expected), where, found: foundText, help }, notes);
}

/** Categories have no spelling of their own. */
const expectedText = (label: string): string =>
  ({ Equals: "=", Text: '"…"', BinaryOp: "+", DimOp: "+", UnaryOp: "-", EOF: "the end of the file" })[label] ?? label;

/** Failures that deserve a message of their own. */
function specialCase(s: Stumble, span: Span, source: Source): Diagnostic | undefined {
  const twoBack = s.tokens[s.at - 2];
  if (is(s.found, t.For, t.While)) return report("GY1010", spanOf(s.found, source), { word: s.found.image });
  if (s.rule === "primary" && s.found.tokenType === t.Dot && s.tokens[s.at + 1]?.tokenType === t.Int)
    return report("GY1007", span, { text: `.${s.tokens[s.at + 1]?.image}` });
  if (s.rule === "suffix" && s.before?.tokenType === t.Dot && twoBack?.tokenType === t.Int)
    return report("GY1007", spanOf(twoBack, source), { text: `${twoBack.image}.` });
  if (s.rule === "item" || s.rule === "module") {
    const here = s.found.tokenType === EOF ? span : spanOf(s.found, source);
    if (s.found.tokenType === t.Let) return report("GY1104", here, {});
    if (s.found.image === "}") return report("GY1106", here, {});
    if (s.before && s.found.startLine === s.before.endLine && s.found.tokenType !== EOF) {
      const what = `a new line${afterWhat(s)}`;
      const help = afterExpressions.get(s.found.image) ?? namesElsewhere.get(s.before.image);
      return report("GY1102", here, { what, found: describe(s.found), help });
    }
    return report("GY1103", here, { found: describe(s.found), word: s.found.image });
  }
  const opener = openerBefore(s.tokens, s.at);
  const ends = s.found.tokenType === EOF || (declarationWords.includes(s.found.tokenType) && s.found.startColumn === 1);
  if (ends && opener && closerOf[opener.image] === s.expected)
    return report("GY1105", spanOf(opener, source), { opener: opener.image, closer: s.expected }, [
      { span: s.found.tokenType === EOF ? span : spanOf(s.found, source), message: `${describe(s.found)} comes first` },
    ]);
  return undefined;
}

/** Help for what people often write. The first row that fits is given. */
const hints: readonly { readonly when: (s: Stumble) => boolean; readonly help: string }[] = [
  {
    when: (s) => s.found.tokenType === t.FatArrow,
    help: "a lambda is written `|x| e`, the result type of a function `-> type`",
  },
  {
    when: (s) => is(s.found, t.Fn) && s.found.startColumn !== 1,
    help: "a `fn` stands at the top of a file; a local function is a lambda, `let f = |x| e`",
  },
  {
    when: (s) => is(s.found, t.Const) && s.found.startColumn !== 1,
    help: "a `const` stands at the top of a file; a local value is bound with `let`",
  },
  { when: (s) => is(s.found, t.Eq) && s.rule === "ifElse", help: "`==` compares" },
  {
    when: (s) => is(s.found, t.Eq) && s.before !== undefined && tokenMatcher(s.before, t.BinaryOp),
    help: "nothing is mutated; bind a new name with `let`",
  },
  {
    when: (s) => is(s.found, t.LSquare) && (s.rule === "primary" || s.rule === "callArgs"),
    help: "a list of values is a tuple, `(a, b)`",
  },
  {
    when: (s) => s.rule === "primary" && is(s.found, t.Let) && s.found.startLine === s.before?.endLine,
    help: "a `let` stands on a line of a block, `{ let x = e … }`",
  },
  { when: (s) => s.rule === "primary" && is(s.found, t.Underscore), help: "`_` stands only in patterns and specs" },
  {
    when: (s) => s.rule === "body" && is(s.found, t.Colon),
    help: "the result type follows `->`, the body stands in `{ }`",
  },
  {
    when: (s) => s.before?.image === "mut" && s.tokens[s.at - 2]?.tokenType === t.Let,
    help: "nothing is mutated: `let x = e`",
  },
  {
    when: (s) => is(s.found, t.Less, t.Greater) && s.before?.image === s.found.image,
    help: "there are no shifts of bits: multiply or divide by powers of 2",
  },
  {
    when: (s) => is(s.found, t.Colon) && s.tokens[s.at - 2]?.image === "lambda",
    help: "a lambda is written `|x| e`",
  },
  {
    when: (s) => is(s.found, t.Arrow) && s.before?.tokenType === t.Bar,
    help: "a lambda is written `|x, y| e`; what it gives is found from its body",
  },
  {
    when: (s) => is(s.found, t.Else),
    help: "an `if` begins the expression: `if c { a } else { b }`",
  },
  {
    when: (s) => s.expected === "{" && s.rule === "block",
    help: "the branches of an `if` and the body of a loop stand in `{ }`",
  },
  {
    when: (s) => is(s.found, t.Semicolon) && (s.rule === "recordType" || s.rule === "record"),
    help: "fields are parted by `,`",
  },
  {
    when: (s) => is(s.found, t.LSquare) && s.expected === "(" && s.tokens[s.at - 2]?.tokenType === t.Fn,
    help: "dims and dtypes are declared in `< >`: `fn f<N, T: float>(x: T[N])`",
  },
  {
    when: (s) => is(s.found, t.LSquare, t.LParen) && (s.before?.tokenType === t.Colon || isScalarType(s.before?.image)),
    help: "an array type is its dtype and its dimensions: `f32[M, N]`",
  },
];

const isScalarType = (image: string | undefined): boolean => /^(?:b?f16|[fiu]32|bool)$/.test(image ?? "");

/** A word of Gyre's own where something gets a name. */
const isReservedName = (s: Stumble): boolean =>
  /^[a-z_]+$/i.test(s.found.image) &&
  !tokenMatcher(s.found, t.Name) &&
  s.found.image !== "_" &&
  (s.expected === "Name" ||
    (namedIn.includes(s.rule) && ["(", ",", "{", "<", "|", "let"].includes(s.before?.image ?? "")));
/** The rules in which a bracket or a comma comes before a name. */
const namedIn = ["signature", "recordType", "recordTypeField", "generics", "letIn", "pattern", "lambda"];

const shapeOf = (rule: string): string | undefined =>
  shapes[rule] === undefined ? undefined : `it is written ${q(shapes[rule])}`;

const is = (token: IToken, ...types: readonly IToken["tokenType"][]): boolean => types.includes(token.tokenType);

/** The token that does not fit; but where it begins a later line and is no mistake itself, the place where one is missing. */
function placeOfStumble({ found, before }: Stumble, source: Source, foundIsWrong: boolean): Span {
  const here = found.tokenType === EOF ? undefined : spanOf(found, source);
  const laterLine = before === undefined || found.startLine !== before.endLine;
  if (here && (foundIsWrong || !laterLine || before === undefined)) return here;
  const end = before ? before.startOffset + before.image.length : 0;
  return { source, start: end, end };
}

const spanOf = (token: IToken, source: Source): Span => ({
  source,
  start: token.startOffset,
  end: token.startOffset + token.image.length,
});

function describe(token: IToken): string {
  if (token.tokenType === EOF) return "the end of the file";
  return q(token.image.length > 40 ? `${token.image.slice(0, 39)}…` : token.image);
}

/** " after `=`", where the token before says something. */
function afterWhat({ before }: Stumble): string {
  return before === undefined || before.image.length > 20 ? "" : ` after ${q(before.image)}`;
}

/** The innermost bracket that is open before the token at an index. */
function openerBefore(tokens: readonly IToken[], at: number): IToken | undefined {
  let depth = 0;
  for (let i = at - 1; i >= 0; i--) {
    const image = tokens[i]!.image;
    if (image === ")" || image === "]" || image === "}") depth++;
    else if (closerOf[image] !== undefined && depth-- === 0) return tokens[i];
  }
  return undefined;
}

/** " of `f`" for the bracket of `f(…`. */
function ownerOf(tokens: readonly IToken[], opener: IToken | undefined): string {
  const before = opener && tokens[tokens.indexOf(opener) - 1];
  return before && tokenMatcher(before, t.Name) ? ` of ${q(before.image)}` : "";
}
