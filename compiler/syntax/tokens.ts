/**
 * The words and signs of Gyre. Order matters: the lexer takes the first that fits, so longer signs stand before their
 * beginnings.
 *
 * Three kinds of word: *reserved* ones are never names; *contextual* ones (`by`, `on`, `type`, …) are names wherever a
 * name may stand; *foreign* ones belong to other languages, are read as what was meant, and are reported (foreign.ts).
 */
import { createToken, Lexer, type TokenType } from "chevrotain";

// --- Categories: what the grammar asks for ------------------------------------------------------------------------

const category = (name: string, ...categories: TokenType[]) => createToken({ name, pattern: Lexer.NA, categories });

/** Whatever can be a name: plain identifiers and contextual words. */
export const Name = category("Name");
export const BinaryOp = category("BinaryOp");
/** The operators that a dimension may hold; no comparison, so that `>` can end `Params<L, 2*E>`. */
export const DimOp = category("DimOp", BinaryOp);
export const UnaryOp = category("UnaryOp");
/** `=`, and the signs that people write for it. */
export const Equals = category("Equals");
export const Text = category("Text");

// --- Names and reserved words --------------------------------------------------------------------------------------

const Identifier = createToken({ name: "Identifier", pattern: /[A-Za-z_][A-Za-z0-9_]*/, categories: [Name] });

const word = (text: string, ...categories: TokenType[]) =>
  createToken({ name: text, pattern: text, longer_alt: Identifier, categories });

export const Fn = word("fn");
export const Let = word("let");
export const If = word("if");
export const Else = word("else");
export const Import = word("import");
export const Export = word("export");
export const Const = word("const");
export const ShardMap = word("shard_map");
export const Derivative = word("derivative");
export const Fold = word("fold");
export const Tiles = word("tiles");
export const In = word("in");
export const With = word("with");
export const True = word("true");
export const False = word("false");
export const None = word("None");
export const Underscore = word("_");

export const Mesh = word("mesh", Name);
export const Type = word("type", Name);
export const From = word("from", Name);
export const As = word("as", Name);
export const On = word("on", Name);
export const By = word("by", Name);
export const Into = word("into", Name);
export const Collect = word("collect", Name);
export const Varying = word("varying", Name);

export const Return = word("return");
const Def = word("def", Fn);
const FunctionWord = word("function", Fn);
const And = word("and", BinaryOp);
const Or = word("or", BinaryOp);
const Not = word("not", UnaryOp);
export const For = word("for");
export const While = word("while");

// --- Literals ------------------------------------------------------------------------------------------------------

const floatText = /(?:\d[\d_]*\.\d[\d_]*(?:[eE][+-]?\d+)?|\d[\d_]*[eE][+-]?\d+)/y;

/** `1.5`, `1e-6`; but in `t.0.1` the digits after a dot are two fields, so no float begins just behind one. */
export const Float = createToken({
  name: "Float",
  pattern: (text: string, offset: number) => {
    if (text[offset - 1] === "." && text[offset - 2] !== ".") return null;
    floatText.lastIndex = offset;
    return floatText.exec(text) as RegExpExecArray | null;
  },
  start_chars_hint: [..."0123456789"],
  line_breaks: false,
});
export const Int = createToken({ name: "Int", pattern: /0[xX][0-9a-fA-F_]+|0[bB][01_]+|\d[\d_]*/ });
const StringText = createToken({ name: "StringText", pattern: /"(?:[^"\\\r\n]|\\[^\r\n])*"/, categories: [Text] });
const OpenString = createToken({ name: "OpenString", pattern: /"(?:[^"\\\r\n]|\\[^\r\n])*/, categories: [Text] });
const SingleQuoted = createToken({ name: "SingleQuoted", pattern: /'[^'\r\n]*'/, categories: [Text] });

// --- Signs ---------------------------------------------------------------------------------------------------------

const sign = (name: string, text: string, ...categories: TokenType[]) =>
  createToken({ name, pattern: text, label: text, categories });

const EqEqEq = sign("EqEqEq", "===", BinaryOp);
const NotEqEq = sign("NotEqEq", "!==", BinaryOp);
const Power = sign("Power", "**", DimOp, BinaryOp);
export const FatArrow = sign("FatArrow", "=>");
const ColonEq = sign("ColonEq", ":=", Equals);

export const Ellipsis = sign("Ellipsis", "...");
export const DotDot = sign("DotDot", "..");
export const Dot = sign("Dot", ".");
export const Arrow = sign("Arrow", "->");
export const Bars = sign("Bars", "||", BinaryOp);
export const Bar = sign("Bar", "|");
export const Eq = sign("Eq", "=", Equals);
export const EqEq = sign("EqEq", "==", BinaryOp, Equals);
export const Less = sign("Less", "<", BinaryOp);
export const Greater = sign("Greater", ">", BinaryOp);
export const At = sign("At", "@", BinaryOp);
export const Minus = sign("Minus", "-", DimOp, BinaryOp, UnaryOp);
export const Comma = sign("Comma", ",");
export const Colon = sign("Colon", ":");
export const Semicolon = sign("Semicolon", ";");
export const LParen = sign("LParen", "(");
export const RParen = sign("RParen", ")");
export const LSquare = sign("LSquare", "[");
export const RSquare = sign("RSquare", "]");
export const LCurly = sign("LCurly", "{");
export const RCurly = sign("RCurly", "}");

// --- What is not program text --------------------------------------------------------------------------------------

const Space = createToken({ name: "Space", pattern: /[ \t\u00a0\ufeff]+/, group: Lexer.SKIPPED });
const LineEnd = createToken({ name: "LineEnd", pattern: /[\r\n]+/, group: Lexer.SKIPPED, line_breaks: true });
const Comment = createToken({ name: "Comment", pattern: /\/\/[^\r\n]*/, group: "comments" });
const HashComment = createToken({ name: "HashComment", pattern: /#[^\r\n]*/, group: "foreign" });
const StarComment = createToken({
  name: "StarComment",
  pattern: /\/\*[^*]*(?:\*(?!\/)[^*]*)*(?:\*\/)?/,
  group: "foreign",
  line_breaks: true,
});

/** All tokens in the order in which the lexer tries them. */
export const tokenTypes: TokenType[] = [
  ...[Space, LineEnd, Comment, StarComment, HashComment],
  ...[Name, BinaryOp, DimOp, UnaryOp, Equals, Text],
  ...[Fn, Let, If, Else, Import, Export, Const, ShardMap, Derivative, Fold, Tiles, Into, In, With, True, False, None],
  ...[Mesh, Type, From, As, On, By, Collect, Varying],
  ...[Return, Def, FunctionWord, And, Or, Not, For, While, Underscore, Identifier],
  ...[Float, Int, StringText, OpenString, SingleQuoted],
  ...[EqEqEq, NotEqEq, EqEq, FatArrow, ColonEq, Ellipsis, DotDot, Dot, Arrow, Bars, Bar],
  sign("NotEq", "!=", BinaryOp),
  sign("LessEq", "<=", BinaryOp),
  sign("GreaterEq", ">=", BinaryOp),
  ...[Less, Greater, Eq],
  sign("Ampersands", "&&", BinaryOp),
  sign("Bang", "!", UnaryOp),
  sign("Plus", "+", DimOp, BinaryOp),
  Minus,
  Power,
  sign("Star", "*", DimOp, BinaryOp),
  sign("Slash", "/", DimOp, BinaryOp),
  sign("Percent", "%", DimOp, BinaryOp),
  ...[At, Comma, Colon, Semicolon, LParen, RParen, LSquare, RSquare, LCurly, RCurly],
];
