/**
 * Ast: a program as it is written.
 *
 *   module  ::= item*
 *   item    ::= import | mesh | const | type | fn | shard_map | derivative
 *   type    ::= f32 | T | Params<L, E> | f32[B, S/sp] | (type, …) | { m: type, … } | (type, …) -> type
 *             | type @ P(…) | type varying {a, …}
 *   expr    ::= literal | name | -e | a + b | f(x, k = e) | r.m | t.0 | x[i, :, None, a..b] | |x| e | (a, b)
 *             | { m: e, … } | { let … e } | if c { … } else { … } | fold … | tiles …
 *
 * A parenthesis leaves no trace. An `error` node stands where the parser could read nothing; a diagnostic has been
 * given for it, so later passes take it silently for anything. Import as `import type * as Ast from "…/ast.ts"`.
 */
import type { Source } from "../base/source.ts";
import type { Span } from "../base/span.ts";

/** A name at the place where it is written. `_` where nothing is to be bound, or where a name is missing, which was told. */
export type Ident = { readonly kind: "ident"; readonly name: string; readonly span: Span };

/** One file. `comments` are those that no `doc` holds, in order; only the formatter reads them. */
export type Module = {
  readonly kind: "module";
  readonly source: Source;
  readonly items: readonly Item[];
  readonly comments: readonly Comment[];
  readonly span: Span;
};

/** `text` is the whole comment with its slashes. */
export type Comment = { readonly text: string; readonly span: Span };

// --- Declarations ----------------------------------------------------------------------------------------------------

export type Item = ImportDecl | MeshDecl | ConstDecl | TypeDecl | FnDecl | ShardMapDecl | DerivativeDecl;

/** `import { a, b as c } from "gyre/nn"`; exported, `export { a, b as c } from "gyre/nn"`, which hands the names on. */
export type ImportDecl = {
  readonly kind: "import";
  readonly exported: boolean;
  readonly names: readonly ImportName[];
  readonly from: StringLit;
  readonly doc?: string;
  readonly span: Span;
};
/** `name` in the other module; `alias` is what it is called here (the same identifier where there is no `as`). */
export type ImportName = { readonly name: Ident; readonly alias: Ident; readonly span: Span };

/** `mesh pod(dp: 1, sp)`: axes in order, major first; a size left out is given at compile time. */
export type MeshDecl = {
  readonly kind: "mesh";
  readonly exported: boolean;
  readonly doc?: string;
  readonly name: Ident;
  readonly axes: readonly MeshAxis[];
  readonly span: Span;
};
export type MeshAxis = { readonly name: Ident; readonly size?: Expr; readonly span: Span };

/** `const NAME: type = value`; the type is mostly left out. */
export type ConstDecl = {
  readonly kind: "const";
  readonly exported: boolean;
  readonly doc?: string;
  readonly name: Ident;
  readonly type?: Type;
  readonly value: Expr;
  readonly span: Span;
};

/** `type State<B, H> = { m: f32[B, H], l: f32[B, H] }`. */
export type TypeDecl = {
  readonly kind: "type";
  readonly exported: boolean;
  readonly doc?: string;
  readonly name: Ident;
  readonly generics: readonly Generic[];
  readonly type: Type;
  readonly span: Span;
};

/** `fn f<N, T: float>(x: T[N], c: int = 4) -> T[N] { … }`; with `= e` the body is no block. */
export type FnDecl = {
  readonly kind: "fn";
  readonly exported: boolean;
  readonly doc?: string;
  readonly name: Ident;
  readonly generics: readonly Generic[];
  readonly params: readonly Param[];
  readonly result?: Type;
  readonly body: Expr;
  readonly span: Span;
};

/** An entry point. Parameters and result carry specs ({@link PlacedType}), the result perhaps one on each part. */
export type ShardMapDecl = {
  readonly kind: "shard_map";
  readonly exported: boolean;
  readonly doc?: string;
  readonly name: Ident;
  readonly generics: readonly Generic[];
  readonly params: readonly Param[];
  readonly result: Type;
  readonly mesh: Ident;
  readonly body: Expr;
  readonly span: Span;
};

/** The derivative rule of `fn NAME`: the body gives `(value, |g| (d_param, …))`. */
export type DerivativeDecl = {
  readonly kind: "derivative";
  readonly doc?: string;
  readonly name: Ident;
  readonly generics: readonly Generic[];
  readonly params: readonly Param[];
  readonly result?: Type;
  readonly body: Expr;
  readonly span: Span;
};

/** `B` (a dimension) or `T: float` (a dtype of that class). */
export type Generic = { readonly name: Ident; readonly bound?: Ident; readonly span: Span };

/** The parser takes a parameter without a type; whether it may be left out is for the checker to say. */
export type Param = { readonly name: Ident; readonly type?: Type; readonly default?: Expr; readonly span: Span };

// --- Types and specs -------------------------------------------------------------------------------------------------

export type Type =
  | NamedType
  | ArrayType
  | TupleType
  | RecordType
  | FnType
  | PlacedType
  | VaryingType
  | { readonly kind: "errorType"; readonly span: Span };

/** `f32`, `int`, `axis`, `dtype`, `T`, `Params<L, E>`. An argument is a dimension or a dtype, both read as expressions. */
export type NamedType = {
  readonly kind: "namedType";
  readonly name: Ident;
  readonly args: readonly Expr[];
  readonly span: Span;
};
/** `f32[B, S/sp]`; the dimensions are read as expressions. */
export type ArrayType = {
  readonly kind: "arrayType";
  readonly element: Ident;
  readonly dims: readonly Expr[];
  readonly span: Span;
};
export type TupleType = { readonly kind: "tupleType"; readonly items: readonly Type[]; readonly span: Span };
export type RecordType = {
  readonly kind: "recordType";
  readonly fields: readonly RecordTypeField[];
  readonly span: Span;
};
export type RecordTypeField = { readonly name: Ident; readonly type: Type; readonly span: Span };
/** `(i32, k: i32) -> bool`; names of parameters are for the reader only. */
export type FnType = {
  readonly kind: "fnType";
  readonly params: readonly FnTypeParam[];
  readonly result: Type;
  readonly span: Span;
};
export type FnTypeParam = { readonly name?: Ident; readonly type: Type; readonly span: Span };
/** `f32[B, S] @ P(dp, sp)`: where an array lives. */
export type PlacedType = { readonly kind: "placedType"; readonly type: Type; readonly spec: Spec; readonly span: Span };
/** `f32[B] varying {sp}`: a stated set of axes over which the value may differ. */
export type VaryingType = {
  readonly kind: "varyingType";
  readonly type: Type;
  readonly axes: readonly Ident[];
  readonly span: Span;
};

/** `P(e, …)`: one entry for each dimension. */
export type Spec = { readonly kind: "spec"; readonly entries: readonly SpecEntry[]; readonly span: Span };
/** `_`: no axes. `sp`, `(dp, sp)`: axes, major first. `zigzag(sp)`: with a layout (any name; the checker knows them). */
export type SpecEntry = { readonly axes: readonly Ident[]; readonly layout?: Ident; readonly span: Span };

// --- Patterns --------------------------------------------------------------------------------------------------------

export type Pattern =
  | { readonly kind: "namePattern"; readonly name: string; readonly span: Span }
  | { readonly kind: "wildcardPattern"; readonly span: Span }
  | { readonly kind: "tuplePattern"; readonly items: readonly Pattern[]; readonly span: Span }
  | { readonly kind: "recordPattern"; readonly fields: readonly FieldPattern[]; readonly span: Span }
  | { readonly kind: "errorPattern"; readonly span: Span };
/** `m` stands for `m: m`. */
export type FieldPattern = { readonly name: Ident; readonly pattern: Pattern; readonly span: Span };

// --- Expressions -----------------------------------------------------------------------------------------------------

export type Expr =
  | IntLit
  | FloatLit
  | BoolLit
  | StringLit
  | Name
  | Unary
  | Binary
  | Call
  | Field
  | Element
  | Index
  | Lambda
  | Tuple
  | RecordLit
  | Block
  | If
  | Fold
  | Tiles
  | TypeExpr
  | { readonly kind: "error"; readonly span: Span };

/** `text` is as written (`0x1F`, `1_000`), for the formatter. */
export type IntLit = { readonly kind: "int"; readonly value: number; readonly text: string; readonly span: Span };
export type FloatLit = { readonly kind: "float"; readonly value: number; readonly text: string; readonly span: Span };
export type BoolLit = { readonly kind: "bool"; readonly value: boolean; readonly span: Span };
/** `value` is without quotes and escapes. */
export type StringLit = { readonly kind: "string"; readonly value: string; readonly span: Span };
/** A variable, function, dimension, axis, dtype (`cast(x, f32)`) or constant (`inf`). */
export type Name = { readonly kind: "name"; readonly name: string; readonly span: Span };

export type UnaryOp = "-" | "!";
export type Unary = { readonly kind: "unary"; readonly op: UnaryOp; readonly operand: Expr; readonly span: Span };

export type BinaryOp = "||" | "&&" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "%" | "@";
export type Binary = {
  readonly kind: "binary";
  readonly op: BinaryOp;
  readonly left: Expr;
  readonly right: Expr;
  readonly span: Span;
};

export type Call = { readonly kind: "call"; readonly callee: Expr; readonly args: readonly Arg[]; readonly span: Span };
/** `e` or `name = e`; named ones come last. */
export type Arg = { readonly name?: Ident; readonly value: Expr; readonly span: Span };

/** `r.m`, and `x.T`, which is told apart by type. */
export type Field = { readonly kind: "field"; readonly target: Expr; readonly name: Ident; readonly span: Span };
/** `t.0`. */
export type Element = { readonly kind: "element"; readonly target: Expr; readonly index: number; readonly span: Span };

/** `x[i, :, None, a..b]`. `f32[M, N]` as an argument is read so too; {@link Name} `f32` tells. */
export type Index = {
  readonly kind: "index";
  readonly target: Expr;
  readonly indices: readonly IndexPart[];
  readonly span: Span;
};
export type IndexPart =
  | { readonly kind: "at"; readonly value: Expr; readonly span: Span }
  /** `:` */
  | { readonly kind: "all"; readonly span: Span }
  /** `None` */
  | { readonly kind: "newDim"; readonly span: Span }
  /** `a..b`, `a..`, `..b` */
  | { readonly kind: "range"; readonly start?: Expr; readonly stop?: Expr; readonly span: Span }
  /** `...`: as many `:` as are missing; at most one (checked later). */
  | { readonly kind: "rest"; readonly span: Span };

export type Lambda = {
  readonly kind: "lambda";
  readonly params: readonly LambdaParam[];
  readonly body: Expr;
  readonly span: Span;
};
export type LambdaParam = { readonly pattern: Pattern; readonly type?: Type; readonly span: Span };

/** `()`, `(a,)`, `(a, b)`. */
export type Tuple = { readonly kind: "tuple"; readonly items: readonly Expr[]; readonly span: Span };

/** `{ m: e, l }`, `{ ...r, m: e }` (all of `r`, with other fields). A lone `{ x }` is a block. */
export type RecordLit = {
  readonly kind: "record";
  readonly spread?: Expr;
  readonly fields: readonly RecordField[];
  readonly span: Span;
};
/** `l` stands for `l: l`. */
export type RecordField = { readonly name: Ident; readonly value: Expr; readonly span: Span };

/** `{ let … e }`. */
export type Block = {
  readonly kind: "block";
  readonly lets: readonly Let[];
  readonly result: Expr;
  readonly span: Span;
};
/** `let pattern: type = value`. */
export type Let = {
  readonly kind: "let";
  readonly pattern: Pattern;
  readonly type?: Type;
  readonly value: Expr;
  readonly span: Span;
};

export type If = {
  readonly kind: "if";
  readonly condition: Expr;
  readonly then: Block;
  readonly else: Block | If;
  readonly span: Span;
};

/** `fold x in N by c with pattern: type = init collect { … }`. */
export type Fold = {
  readonly kind: "fold";
  readonly index: Ident;
  readonly extent: Expr;
  readonly by?: BlockSize;
  readonly pattern: Pattern;
  readonly type?: Type;
  readonly init: Expr;
  readonly collect: boolean;
  readonly body: Block;
  readonly span: Span;
};

/** `tiles i in N by c, j in M into ([i, j], [i, :]) { … }`. `into` has one pattern for each result. */
export type Tiles = {
  readonly kind: "tiles";
  readonly indices: readonly TileIndex[];
  readonly into: readonly IntoPattern[];
  readonly body: Block;
  readonly span: Span;
};
export type TileIndex = {
  readonly name: Ident;
  readonly extent: Expr;
  readonly by?: BlockSize;
  readonly span: Span;
};
/** `by auto` leaves the size to the compiler. */
export type BlockSize = Expr | { readonly kind: "auto"; readonly span: Span };
/** `[b, i, h, :]`: an index variable (an identifier) or `:` for each dimension of the result. */
export type IntoPattern = { readonly dims: readonly (Ident | IntoAll)[]; readonly span: Span };
export type IntoAll = { readonly kind: "all"; readonly span: Span };

/** A type where an expression is expected and only a type can be meant: `zeros(State<B, H>)`. */
export type TypeExpr = { readonly kind: "typeExpr"; readonly type: Type; readonly span: Span };
