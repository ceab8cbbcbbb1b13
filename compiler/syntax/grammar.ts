/**
 * The grammar, as rules of a chevrotain parser. It is a little looser than the language (a missing comma, a bare
 * expression in the middle of a block, `return e`): build.ts reports those in better words than a parser can.
 *
 * Binary operators are read as a flat row and nested by precedence in build.ts; that keeps the rules few for each level of
 * nesting. Line ends matter in one place only: directly inside `{ }`, a line that starts with `(`, `[` or a `-` that touches
 * its operand begins something new (see {@link beginsAnew}).
 */
import { CstParser, EOF, type IToken, tokenMatcher } from "chevrotain";
import { explainer } from "./explain.ts";
import * as t from "./tokens.ts";

/** What lex.ts notes of a token: whether it is the first of its line, directly inside braces. */
export type TokenFacts = { readonly fresh: boolean };

const isFresh = (token: IToken): boolean => (token.payload as TokenFacts | undefined)?.fresh === true;

const touches = (a: IToken, b: IToken): boolean => a.endOffset! + 1 === b.startOffset;

/** Tokens that may stand between the `<` and `>` of type arguments in an expression. */
const inTypeArgs = [t.Name, t.Int, t.Comma, t.DimOp, t.LParen, t.RParen];
/** What may follow the `>` of such arguments; no comparison goes on so. */
const afterTypeArgs = [t.RParen, t.Comma, t.RCurly, t.RSquare, EOF];

export class GyreParser extends CstParser {
  constructor(options: { readonly validate: boolean }) {
    super(t.tokenTypes, {
      recoveryEnabled: true,
      maxLookahead: 2,
      nodeLocationTracking: "onlyOffset",
      skipValidations: !options.validate,
      errorMessageProvider: explainer,
    });
    this.performSelfAnalysis();
  }

  // --- What a grammar cannot say ------------------------------------------------------------------------------------

  /** The next token starts a line of a block and could also go on with the expression before it; it does not. */
  private beginsAnew(): boolean {
    const next = this.LA(1);
    if (!isFresh(next)) return false;
    if (next.tokenType === t.LParen || next.tokenType === t.LSquare) return true;
    return next.tokenType === t.Minus && this.LA(2).startOffset === next.startOffset + 1;
  }

  /** `{ }`, `{ ...r`, `{ m:`, `{ m,` begin a record; every other brace a block. */
  private recordAhead(): boolean {
    const second = this.LA(2);
    if (second.tokenType === t.RCurly || second.tokenType === t.Ellipsis) return true;
    const third = this.LA(3).tokenType;
    return tokenMatcher(second, t.Name) && (third === t.Colon || third === t.Comma);
  }

  /**
   * `Params<L, 2*E>` where only a type can be meant, and `f<N>(x)`, a call, or `f<N>` at the end of a line of a block:
   * without spaces about `<` and before `(`.
   */
  private typeArgsAhead(): boolean {
    if (this.LA(1).tokenType !== t.Less) return false;
    for (let k = 2; ; k++) {
      const token = this.LA(k);
      if (token.tokenType === t.Greater) {
        const next = this.LA(k + 1);
        const together = touches(this.LA(0), this.LA(1)) && touches(this.LA(1), this.LA(2));
        if (isFresh(next)) return together;
        if (next.tokenType !== t.LParen) return afterTypeArgs.includes(next.tokenType);
        return together && touches(token, next);
      }
      if (!inTypeArgs.some((type) => tokenMatcher(token, type))) return false;
    }
  }

  // --- Declarations ---------------------------------------------------------------------------------------------------

  module = this.RULE("module", () => {
    this.MANY(() => this.SUBRULE(this.item));
    this.CONSUME(EOF);
  });

  item = this.RULE("item", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.reExport) },
      {
        ALT: () => {
          this.OPTION(() => this.CONSUME(t.Export));
          this.OR2([
            { ALT: () => this.SUBRULE(this.importDecl) },
            { ALT: () => this.SUBRULE(this.meshDecl) },
            { ALT: () => this.SUBRULE(this.constDecl) },
            { ALT: () => this.SUBRULE(this.typeDecl) },
            { ALT: () => this.SUBRULE(this.fnDecl) },
            { ALT: () => this.SUBRULE(this.shardMapDecl) },
            { ALT: () => this.SUBRULE(this.derivativeDecl) },
          ]);
        },
      },
    ]);
    this.MANY(() => this.CONSUME(t.Semicolon));
  });

  importDecl = this.RULE("importDecl", () => {
    this.CONSUME(t.Import);
    this.SUBRULE(this.importNames);
  });

  reExport = this.RULE("reExport", () => {
    this.CONSUME(t.Export);
    this.SUBRULE(this.importNames);
  });

  importNames = this.RULE("importNames", () => {
    this.CONSUME(t.LCurly);
    this.MANY(() => {
      this.SUBRULE(this.importName);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RCurly);
    this.CONSUME(t.From);
    this.CONSUME(t.Text);
  });

  importName = this.RULE("importName", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.As);
      this.CONSUME2(t.Name);
    });
  });

  meshDecl = this.RULE("meshDecl", () => {
    this.CONSUME(t.Mesh);
    this.CONSUME(t.Name);
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.SUBRULE(this.meshAxis);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
  });

  meshAxis = this.RULE("meshAxis", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.expression);
    });
  });

  constDecl = this.RULE("constDecl", () => {
    this.CONSUME(t.Const);
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.typeRef);
    });
    this.CONSUME(t.Equals);
    this.SUBRULE(this.expression);
  });

  typeDecl = this.RULE("typeDecl", () => {
    this.CONSUME(t.Type);
    this.CONSUME(t.Name);
    this.OPTION(() => this.SUBRULE(this.generics));
    this.CONSUME(t.Equals);
    this.SUBRULE(this.typeRef);
  });

  fnDecl = this.RULE("fnDecl", () => {
    this.CONSUME(t.Fn);
    this.SUBRULE(this.signature);
    this.SUBRULE(this.body);
  });

  shardMapDecl = this.RULE("shardMapDecl", () => {
    this.CONSUME(t.ShardMap);
    this.SUBRULE(this.signature);
    this.OPTION(() => {
      this.CONSUME(t.On);
      this.CONSUME(t.Name);
    });
    this.SUBRULE(this.body);
  });

  derivativeDecl = this.RULE("derivativeDecl", () => {
    this.CONSUME(t.Derivative);
    this.SUBRULE(this.signature);
    this.SUBRULE(this.body);
  });

  signature = this.RULE("signature", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => this.SUBRULE(this.generics));
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.SUBRULE(this.param);
      this.OPTION2(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
    this.OPTION3(() => {
      this.CONSUME(t.Arrow);
      this.SUBRULE(this.typeRef);
    });
  });

  generics = this.RULE("generics", () => {
    this.CONSUME(t.Less);
    this.MANY(() => {
      this.SUBRULE(this.generic);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.Greater);
  });

  generic = this.RULE("generic", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.CONSUME2(t.Name);
    });
  });

  param = this.RULE("param", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.typeRef);
    });
    this.OPTION2(() => {
      this.CONSUME(t.Eq);
      this.SUBRULE(this.expression);
    });
  });

  body = this.RULE("body", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.block) },
      {
        ALT: () => {
          this.CONSUME(t.Equals);
          this.SUBRULE(this.expression);
        },
      },
    ]);
  });

  // --- Types and specs --------------------------------------------------------------------------------------------------

  typeRef = this.RULE("typeRef", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.parenType) },
      { ALT: () => this.SUBRULE(this.recordType) },
      { ALT: () => this.SUBRULE(this.namedType) },
    ]);
    this.MANY(() => this.SUBRULE(this.typeSuffix));
  });

  typeSuffix = this.RULE("typeSuffix", () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.At);
          this.SUBRULE(this.spec);
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.Varying);
          this.CONSUME(t.LCurly);
          this.MANY(() => {
            this.CONSUME(t.Name);
            this.OPTION(() => this.CONSUME(t.Comma));
          });
          this.CONSUME(t.RCurly);
        },
      },
    ]);
  });

  parenType = this.RULE("parenType", () => {
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.SUBRULE(this.parenTypeItem);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
    this.OPTION2(() => {
      this.CONSUME(t.Arrow);
      this.SUBRULE(this.typeRef);
    });
  });

  parenTypeItem = this.RULE("parenTypeItem", () => {
    this.OPTION(() => {
      this.CONSUME(t.Name);
      this.CONSUME(t.Colon);
    });
    this.SUBRULE(this.typeRef);
  });

  recordType = this.RULE("recordType", () => {
    this.CONSUME(t.LCurly);
    this.MANY(() => {
      this.SUBRULE(this.recordTypeField);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RCurly);
  });

  recordTypeField = this.RULE("recordTypeField", () => {
    this.CONSUME(t.Name);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.typeRef);
  });

  namedType = this.RULE("namedType", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => this.OR([{ ALT: () => this.SUBRULE(this.typeArgs) }, { ALT: () => this.SUBRULE(this.dims) }]));
  });

  dims = this.RULE("dims", () => {
    this.CONSUME(t.LSquare);
    this.MANY(() => {
      this.SUBRULE(this.expression);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RSquare);
  });

  typeArgs = this.RULE("typeArgs", () => {
    this.CONSUME(t.Less);
    this.MANY(() => {
      this.SUBRULE(this.typeArg);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.Greater);
  });

  /** An expression without comparisons. */
  typeArg = this.RULE("typeArg", () => {
    this.SUBRULE(this.operand);
    this.MANY(() => {
      this.CONSUME(t.DimOp);
      this.SUBRULE2(this.operand);
    });
  });

  spec = this.RULE("spec", () => {
    this.CONSUME(t.Name);
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.SUBRULE(this.specEntry);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
  });

  specEntry = this.RULE("specEntry", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Underscore) },
      { ALT: () => this.CONSUME(t.None) },
      { ALT: () => this.CONSUME(t.Text) },
      { ALT: () => this.SUBRULE(this.axisTuple) },
      {
        ALT: () => {
          this.CONSUME(t.Name);
          this.OPTION(() => this.SUBRULE(this.layoutAxes));
        },
      },
    ]);
  });

  /** `(dp, fsdp)`. */
  axisTuple = this.RULE("axisTuple", () => {
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.OR([{ ALT: () => this.CONSUME(t.Name) }, { ALT: () => this.CONSUME(t.Text) }]);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
  });

  /** What follows `zigzag`: `(sp)`, `((sp, tp))`. */
  layoutAxes = this.RULE("layoutAxes", () => {
    this.CONSUME(t.LParen);
    this.OR([{ ALT: () => this.CONSUME(t.Name) }, { ALT: () => this.SUBRULE(this.axisTuple) }]);
    this.CONSUME(t.RParen);
  });

  // --- Patterns -----------------------------------------------------------------------------------------------------------

  pattern = this.RULE("pattern", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Underscore) },
      { ALT: () => this.CONSUME(t.Name) },
      { ALT: () => this.SUBRULE(this.tuplePattern) },
      { ALT: () => this.SUBRULE(this.recordPattern) },
    ]);
  });

  tuplePattern = this.RULE("tuplePattern", () => {
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.SUBRULE(this.pattern);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
  });

  recordPattern = this.RULE("recordPattern", () => {
    this.CONSUME(t.LCurly);
    this.MANY(() => {
      this.SUBRULE(this.fieldPattern);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RCurly);
  });

  fieldPattern = this.RULE("fieldPattern", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.pattern);
    });
  });

  // --- Expressions ------------------------------------------------------------------------------------------------------

  expression = this.RULE("expression", () => {
    this.SUBRULE(this.operand);
    this.MANY({
      GATE: () => !this.beginsAnew(),
      DEF: () => {
        this.CONSUME(t.BinaryOp);
        this.SUBRULE2(this.operand);
      },
    });
  });

  operand = this.RULE("operand", () => {
    this.MANY(() => this.CONSUME(t.UnaryOp));
    this.SUBRULE(this.primary);
    this.MANY2({
      GATE: () => !this.beginsAnew(),
      DEF: () => this.SUBRULE(this.suffix),
    });
  });

  suffix = this.RULE("suffix", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.callArgs) },
      { ALT: () => this.SUBRULE(this.indexParts) },
      {
        ALT: () => {
          this.CONSUME(t.Dot);
          this.OR2([{ ALT: () => this.CONSUME(t.Name) }, { ALT: () => this.CONSUME(t.Int) }]);
        },
      },
    ]);
  });

  callArgs = this.RULE("callArgs", () => {
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.SUBRULE(this.arg);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
  });

  arg = this.RULE("arg", () => {
    this.OPTION(() => {
      this.CONSUME(t.Name);
      this.CONSUME(t.Eq);
    });
    this.SUBRULE(this.expression);
  });

  indexParts = this.RULE("indexParts", () => {
    this.CONSUME(t.LSquare);
    this.MANY(() => {
      this.SUBRULE(this.indexPart);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RSquare);
  });

  indexPart = this.RULE("indexPart", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Ellipsis) },
      {
        ALT: () => {
          this.CONSUME(t.Colon);
          this.OPTION(() => this.SUBRULE(this.expression));
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.DotDot);
          this.OPTION2(() => this.SUBRULE2(this.expression));
        },
      },
      {
        ALT: () => {
          this.SUBRULE3(this.expression);
          this.OPTION3(() => {
            this.OR2([{ ALT: () => this.CONSUME2(t.DotDot) }, { ALT: () => this.CONSUME2(t.Colon) }]);
            this.OPTION4(() => this.SUBRULE4(this.expression));
          });
        },
      },
    ]);
  });

  primary = this.RULE("primary", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Int) },
      { ALT: () => this.CONSUME(t.Float) },
      { ALT: () => this.CONSUME(t.True) },
      { ALT: () => this.CONSUME(t.False) },
      { ALT: () => this.CONSUME(t.Text) },
      { ALT: () => this.CONSUME(t.None) },
      {
        ALT: () => {
          this.CONSUME(t.Name);
          this.OPTION({ GATE: () => this.typeArgsAhead(), DEF: () => this.SUBRULE(this.typeArgs) });
        },
      },
      { ALT: () => this.SUBRULE(this.paren) },
      { GATE: () => this.recordAhead(), ALT: () => this.SUBRULE(this.record) },
      { GATE: () => !this.recordAhead(), ALT: () => this.SUBRULE(this.block) },
      { ALT: () => this.SUBRULE(this.lambda) },
      { ALT: () => this.SUBRULE(this.ifElse) },
      { ALT: () => this.SUBRULE(this.foldLoop) },
      { ALT: () => this.SUBRULE(this.tilesLoop) },
    ]);
  });

  paren = this.RULE("paren", () => {
    this.CONSUME(t.LParen);
    this.MANY(() => {
      this.SUBRULE(this.expression);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RParen);
  });

  record = this.RULE("record", () => {
    this.CONSUME(t.LCurly);
    this.OPTION(() => {
      this.CONSUME(t.Ellipsis);
      this.SUBRULE(this.expression);
      this.OPTION2(() => this.CONSUME(t.Comma));
    });
    this.MANY(() => {
      this.SUBRULE(this.recordField);
      this.OPTION3(() => this.CONSUME2(t.Comma));
    });
    this.CONSUME(t.RCurly);
  });

  recordField = this.RULE("recordField", () => {
    this.CONSUME(t.Name);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.expression);
    });
  });

  lambda = this.RULE("lambda", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Bars) },
      {
        ALT: () => {
          this.CONSUME(t.Bar);
          this.MANY(() => {
            this.SUBRULE(this.lambdaParam);
            this.OPTION(() => this.CONSUME(t.Comma));
          });
          this.CONSUME2(t.Bar);
        },
      },
    ]);
    this.SUBRULE(this.expression);
  });

  lambdaParam = this.RULE("lambdaParam", () => {
    this.SUBRULE(this.pattern);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.typeRef);
    });
  });

  // --- Blocks and loops -------------------------------------------------------------------------------------------------

  block = this.RULE("block", () => {
    this.CONSUME(t.LCurly);
    this.MANY(() => this.SUBRULE(this.statement));
    this.CONSUME(t.RCurly);
  });

  statement = this.RULE("statement", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.letIn) },
      {
        ALT: () => {
          this.OPTION(() => this.CONSUME(t.Return));
          this.SUBRULE(this.expression);
          this.OPTION2(() => {
            this.CONSUME(t.Eq);
            this.SUBRULE2(this.expression);
          });
        },
      },
    ]);
    this.MANY(() => this.CONSUME(t.Semicolon));
  });

  letIn = this.RULE("letIn", () => {
    this.CONSUME(t.Let);
    this.SUBRULE(this.pattern);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.typeRef);
    });
    this.CONSUME(t.Equals);
    this.SUBRULE(this.expression);
  });

  ifElse = this.RULE("ifElse", () => {
    this.CONSUME(t.If);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.block);
    this.MANY(() => this.SUBRULE(this.elseIf));
    this.OPTION(() => {
      this.CONSUME(t.Else);
      this.SUBRULE2(this.block);
    });
  });

  elseIf = this.RULE("elseIf", () => {
    this.CONSUME(t.Else);
    this.CONSUME(t.If);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.block);
  });

  foldLoop = this.RULE("foldLoop", () => {
    this.CONSUME(t.Fold);
    this.SUBRULE(this.binder);
    this.CONSUME(t.In);
    this.SUBRULE(this.expression);
    this.OPTION(() => this.SUBRULE(this.blockSize));
    this.CONSUME(t.With);
    this.SUBRULE(this.pattern);
    this.OPTION2(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.typeRef);
    });
    this.CONSUME(t.Equals);
    this.SUBRULE2(this.expression);
    this.OPTION3(() => this.CONSUME(t.Collect));
    this.SUBRULE(this.block);
  });

  binder = this.RULE("binder", () => {
    this.OR([{ ALT: () => this.CONSUME(t.Name) }, { ALT: () => this.CONSUME(t.Underscore) }]);
  });

  blockSize = this.RULE("blockSize", () => {
    this.CONSUME(t.By);
    this.SUBRULE(this.expression);
  });

  tilesLoop = this.RULE("tilesLoop", () => {
    this.CONSUME(t.Tiles);
    this.MANY({
      GATE: () => this.LA(2).tokenType === t.In,
      DEF: () => {
        this.SUBRULE(this.tileIndex);
        this.OPTION(() => this.CONSUME(t.Comma));
      },
    });
    this.CONSUME(t.Into);
    this.OR([
      { ALT: () => this.SUBRULE(this.intoPattern) },
      {
        ALT: () => {
          this.CONSUME(t.LParen);
          this.MANY2(() => {
            this.SUBRULE2(this.intoPattern);
            this.OPTION2(() => this.CONSUME2(t.Comma));
          });
          this.CONSUME(t.RParen);
        },
      },
    ]);
    this.SUBRULE(this.block);
  });

  tileIndex = this.RULE("tileIndex", () => {
    this.CONSUME(t.Name);
    this.CONSUME(t.In);
    this.SUBRULE(this.expression);
    this.OPTION(() => this.SUBRULE(this.blockSize));
  });

  intoPattern = this.RULE("intoPattern", () => {
    this.CONSUME(t.LSquare);
    this.MANY(() => {
      this.OR([{ ALT: () => this.CONSUME(t.Name) }, { ALT: () => this.CONSUME(t.Colon) }]);
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    this.CONSUME(t.RSquare);
  });
}
