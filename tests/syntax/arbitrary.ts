/** Random programs as trees. They are well-formed, not well-typed. */
import fc from "fast-check";
import { noSpan, nowhere } from "../../compiler/base/span.ts";
import type * as Ast from "../../compiler/syntax/ast.ts";

const span = noSpan;
const ident = (name: string): Ast.Ident => ({ kind: "ident", name, span });

const plain = ["x", "y1", "acc", "softmax", "S", "sp", "_hidden", "f32", "T", "P", "a_rather_long_name_of_something"];
const contextual = ["by", "on", "into", "type", "mesh", "from", "as", "collect", "varying", "auto", "zigzag"];
const names = fc.constantFrom(...plain, ...contextual);
const idents = names.map(ident);
const binders = fc.oneof({ weight: 5, arbitrary: idents }, { weight: 1, arbitrary: fc.constant(ident("_")) });

const some = <T>(arb: fc.Arbitrary<T>, min = 0) => fc.array(arb, { minLength: min, maxLength: 3 });
/** An optional property. */
const maybe = <K extends string, T>(key: K, arb: fc.Arbitrary<T>): fc.Arbitrary<{ [P in K]?: T }> =>
  fc.oneof(
    fc.constant({}),
    arb.map((value) => ({ [key]: value }) as { [P in K]?: T }),
  );
/** A record from parts, some of which may be left out. */
const all = <T>(...parts: fc.Arbitrary<object>[]): fc.Arbitrary<T> =>
  fc.tuple(...parts).map((objects) => ({ ...Object.assign({}, ...objects), span }) as T);
const one = <K extends string, T>(key: K, arb: fc.Arbitrary<T>) => arb.map((v) => ({ [key]: v }));
const kind = (k: string) => fc.constant({ kind: k });

const ints = fc
  .constantFrom("0", "7", "64", "1_000", "0x1F", "0b101")
  .map((text): Ast.Expr => ({ kind: "int", value: Number(text.replace("_", "")), text, span }));
const floats = fc
  .constantFrom("0.5", "1e-6", "2.5e+7", "10.0")
  .map((text): Ast.Expr => ({ kind: "float", value: Number(text), text, span }));
const strings = fc
  .array(fc.constantFrom("b q h d", "->", '"', "\\", "\n", "\t", "é…", "//", "'"), { maxLength: 4 })
  .map((parts): Ast.StringLit => ({ kind: "string", value: parts.join(""), span }));
const nameExprs = names.map((name): Ast.Expr => ({ kind: "name", name, span }));

const binaryOps: readonly Ast.BinaryOp[] = ["||", "&&", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "@"];
const dimOps: readonly Ast.BinaryOp[] = ["+", "-", "*", "/"];

/** What may stand in the arguments of a type that is read as an expression. */
const dims: fc.Arbitrary<Ast.Expr> = fc.letrec<{ dim: Ast.Expr }>((tie) => ({
  dim: fc.oneof(
    { maxDepth: 2 },
    nameExprs,
    fc.constantFrom("2", "64").map((text): Ast.Expr => ({ kind: "int", value: Number(text), text, span })),
    all<Ast.Expr>(
      kind("binary"),
      one("op", fc.constantFrom(...dimOps)),
      one("left", tie("dim")),
      one("right", tie("dim")),
    ),
  ),
})).dim;

const specEntries: fc.Arbitrary<Ast.SpecEntry> = fc.oneof(
  all<Ast.SpecEntry>(one("axes", some(idents))),
  all<Ast.SpecEntry>(one("axes", some(idents, 1)), one("layout", idents)),
);
const specs = all<Ast.Spec>(kind("spec"), one("entries", some(specEntries)));

const patterns: fc.Arbitrary<Ast.Pattern> = fc.letrec<{ pattern: Ast.Pattern }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 2 },
    names.map((name): Ast.Pattern => ({ kind: "namePattern", name, span })),
    fc.constant<Ast.Pattern>({ kind: "wildcardPattern", span }),
    all<Ast.Pattern>(kind("tuplePattern"), one("items", some(tie("pattern")))),
    all<Ast.Pattern>(
      kind("recordPattern"),
      one("fields", some(all<Ast.FieldPattern>(one("name", idents), one("pattern", tie("pattern"))))),
    ),
  ),
})).pattern;

type Trees = { expr: Ast.Expr; type: Ast.Type; block: Ast.Block; if: Ast.If };

const trees = fc.letrec<Trees>((tie) => {
  const expr = tie("expr");
  const type = tie("type");
  const indexParts: fc.Arbitrary<Ast.IndexPart> = fc.oneof(
    { weight: 3, arbitrary: all<Ast.IndexPart>(kind("at"), one("value", expr)) },
    { weight: 1, arbitrary: fc.constantFrom<Ast.IndexPart>({ kind: "all", span }, { kind: "newDim", span }) },
    { weight: 1, arbitrary: fc.constant<Ast.IndexPart>({ kind: "rest", span }) },
    { weight: 1, arbitrary: all<Ast.IndexPart>(kind("range"), maybe("start", expr), maybe("stop", expr)) },
  );
  const typeExprs = all<Ast.Type>(kind("namedType"), one("name", idents), one("args", some(dims, 1))).map(
    (t): Ast.Expr => ({ kind: "typeExpr", type: t, span }),
  );
  const positional = all<Ast.Arg>(
    one("value", fc.oneof({ weight: 5, arbitrary: expr }, { weight: 1, arbitrary: typeExprs })),
  );
  const named = all<Ast.Arg>(one("name", idents), one("value", expr));
  const args = fc.tuple(some(positional), some(named)).map(([a, b]) => [...a, ...b]);
  const blockSizes = fc.oneof(
    fc.constant<Ast.BlockSize>({ kind: "auto", span }),
    expr.filter((e) => e.kind !== "name" || e.name !== "auto"),
  );
  const tileIndices = all<Ast.TileIndex>(one("name", idents), one("extent", expr), maybe("by", blockSizes));
  const intoDims = fc.oneof(idents, fc.constant<Ast.IntoAll>({ kind: "all", span }));
  const lets = all<Ast.Let>(kind("let"), one("pattern", patterns), maybe("type", type), one("value", expr));
  return {
    expr: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      nameExprs,
      ints,
      floats,
      strings,
      fc.boolean().map((value): Ast.Expr => ({ kind: "bool", value, span })),
      all<Ast.Expr>(kind("unary"), one("op", fc.constantFrom("-", "!")), one("operand", expr)),
      all<Ast.Expr>(kind("binary"), one("op", fc.constantFrom(...binaryOps)), one("left", expr), one("right", expr)),
      all<Ast.Expr>(kind("call"), one("callee", expr), one("args", args)),
      all<Ast.Expr>(kind("field"), one("target", expr), one("name", idents)),
      all<Ast.Expr>(kind("element"), one("target", expr), one("index", fc.nat(3))),
      all<Ast.Expr>(kind("index"), one("target", expr), one("indices", some(indexParts))),
      all<Ast.Expr>(
        kind("lambda"),
        one("params", some(all<Ast.LambdaParam>(one("pattern", patterns), maybe("type", type)))),
        one("body", expr),
      ),
      all<Ast.Expr>(kind("tuple"), one("items", some(expr))),
      all<Ast.Expr>(
        kind("record"),
        maybe("spread", expr),
        one("fields", some(all<Ast.RecordField>(one("name", idents), one("value", expr)))),
      ),
      tie("block"),
      tie("if"),
      all<Ast.Expr>(
        kind("fold"),
        one("index", binders),
        one("extent", expr),
        maybe("by", blockSizes),
        one("pattern", patterns),
        maybe("type", type),
        one("init", expr),
        one("collect", fc.boolean()),
        one("body", tie("block")),
      ),
      all<Ast.Expr>(
        kind("tiles"),
        one("indices", some(tileIndices, 1)),
        one("into", some(all<Ast.IntoPattern>(one("dims", some(intoDims))), 1)),
        one("body", tie("block")),
      ),
    ),
    block: all<Ast.Block>(kind("block"), one("lets", some(lets)), one("result", expr)),
    if: all<Ast.If>(
      kind("if"),
      one("condition", expr),
      one("then", tie("block")),
      one("else", fc.oneof({ maxDepth: 5 }, tie("block"), tie("if"))),
    ),
    type: fc.oneof(
      { maxDepth: 3 },
      all<Ast.Type>(kind("namedType"), one("name", idents), one("args", some(dims))),
      all<Ast.Type>(kind("arrayType"), one("element", idents), one("dims", some(expr))),
      all<Ast.Type>(kind("tupleType"), one("items", some(type))),
      all<Ast.Type>(
        kind("recordType"),
        one("fields", some(all<Ast.RecordTypeField>(one("name", idents), one("type", type)))),
      ),
      all<Ast.Type>(
        kind("fnType"),
        one("params", some(all<Ast.FnTypeParam>(maybe("name", idents), one("type", type)))),
        one("result", type),
      ),
      all<Ast.Type>(kind("placedType"), one("type", type), one("spec", specs)),
      all<Ast.Type>(kind("varyingType"), one("type", type), one("axes", some(idents))),
    ),
  };
});

const docs = fc
  .array(fc.constantFrom("Says what it does.", "", "  indented", "f32[B, S] // not a comment"), {
    minLength: 1,
    maxLength: 3,
  })
  .map((lines) => lines.join("\n"));
const doc = maybe("doc", docs);
const exported = one("exported", fc.boolean());
const name = one("name", idents);
const generics = one("generics", some(all<Ast.Generic>(name, maybe("bound", idents))));
const params = one("params", some(all<Ast.Param>(name, maybe("type", trees.type), maybe("default", trees.expr))));
const body = one("body", trees.expr);

const importNames = fc
  .tuple(idents, idents, fc.boolean())
  .map(([from, to, renamed]): Ast.ImportName => ({ name: from, alias: renamed ? to : from, span }));

export const items: fc.Arbitrary<Ast.Item> = fc.oneof(
  all<Ast.Item>(kind("import"), exported, doc, one("names", some(importNames)), one("from", strings)),
  all<Ast.Item>(
    kind("mesh"),
    exported,
    doc,
    name,
    one("axes", some(all<Ast.MeshAxis>(name, maybe("size", trees.expr)))),
  ),
  all<Ast.Item>(kind("const"), exported, doc, name, maybe("type", trees.type), one("value", trees.expr)),
  all<Ast.Item>(kind("type"), exported, doc, name, generics, one("type", trees.type)),
  all<Ast.Item>(kind("fn"), exported, doc, name, generics, params, maybe("result", trees.type), body),
  all<Ast.Item>(
    kind("shard_map"),
    exported,
    doc,
    name,
    generics,
    params,
    one("result", trees.type),
    one("mesh", idents),
    body,
  ),
  all<Ast.Item>(kind("derivative"), doc, name, generics, params, maybe("result", trees.type), body),
);

export const modules: fc.Arbitrary<Ast.Module> = fc
  .array(items, { maxLength: 4 })
  .map((list) => ({ kind: "module", source: nowhere, items: list, comments: [], span }));
