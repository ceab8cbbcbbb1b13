import { expect, test } from "vitest";
import type * as Ast from "../../compiler/syntax/ast.ts";
import { print, printExpr, printType } from "../../compiler/syntax/print.ts";
import { bare, read, readExpr } from "./helpers.ts";
import { programs } from "./programs.ts";

for (const [name, text] of Object.entries(programs)) {
  test(`${name}: every construct parses, and printing keeps the tree`, () => {
    const module = read(text);
    const printed = print(module);
    expect(bare(read(printed))).toEqual(bare(module));
    expect(print(read(printed))).toBe(printed);
  });
}

for (const name of ["attention", "ring", "tiles", "declarations"])
  test(`${name} is printed as it is written in the reference`, () => {
    expect(print(read(programs[name]!))).toBe(programs[name]);
  });

/** Both texts are the same expression. */
const same: readonly (readonly [string, string])[] = [
  ["a + b * c", "a + (b * c)"],
  ["a - b - c", "(a - b) - c"],
  ["a @ b / c", "(a @ b) / c"],
  ["a || b && c == d + e", "a || (b && (c == (d + e)))"],
  ["-x.T", "-(x.T)"],
  ["-a * b", "(-a) * b"],
  ["!a && b", "(!a) && b"],
  ["|x| x + 1", "|x| (x + 1)"],
  ["f(a)(b)[c].d", "(((f(a))(b))[c]).d"],
  ["{ m, l }", "{ m: m, l: l }"],
  ["if a { b } else { c } + 1", "(if a { b } else { c }) + 1"],
  ["fold i in N with s = a { s } + 1", "(fold i in N with s = a { s }) + 1"],
  ["{ let a = 1; let b = 2; a }", "{ let a = 1\nlet b = 2\na }"],
];

for (const [a, b] of same) test(`${a} is ${b}`, () => expect(bare(readExpr(a))).toEqual(bare(readExpr(b))));

/** Each is printed as it stands. */
const stable = [
  "(a + b) * c",
  "a - (b - c)",
  "(a < b) == c",
  "(|x| x)(y)",
  "(fold i in N with s = a { s }) + 1",
  "-(-x)",
  "x[a..b, ..b, a.., :, None, ..., i]",
  "(x,)",
  "{ m: m }",
  "{ x }",
  "{}",
  "{ ...r, m: a }",
  "t.0.1.x",
  "|| x",
  "zeros(f32[M, S/sp])",
  "zeros(State<M, 2*N>)",
  '"a \\"b\\" \\\\"',
];
for (const text of stable) test(`${text} stays`, () => expect(printExpr(readExpr(text))).toBe(text));

test("a block of one name is no record", () => {
  expect(readExpr("{ x }").kind).toBe("block");
  expect(readExpr("{ x, }").kind).toBe("record");
  expect(readExpr("{ x: 1 }").kind).toBe("record");
});

test("a line that begins with a bracket or a sign on its operand is a new one", () => {
  const results = read(programs.lines!).items.map((item) => {
    const { body } = item as Ast.FnDecl;
    return body.kind === "block" ? [body.lets.length, body.result.kind] : body.kind;
  });
  expect(results).toEqual([
    [4, "tuple"],
    [1, "unary"],
    [1, "lambda"],
  ]);
});

test("inside brackets a line end means nothing", () => {
  expect(bare(readExpr("f(a\n  (b)\n  -c)"))).toEqual(bare(readExpr("f(a(b) - c)")));
});

test("numbers have their values", () => {
  const value = (text: string) => (readExpr(text) as Ast.IntLit).value;
  expect(["0x1F", "0b101", "1_000", "1e-6", "2.5"].map(value)).toEqual([31, 5, 1000, 1e-6, 2.5]);
});

test("documentation belongs to the declaration below it", () => {
  const [, mesh, entry] = read(programs.attention!).items;
  expect(mesh && "doc" in mesh).toBe(false);
  expect(entry?.kind === "shard_map" && entry.doc).toMatch(/^Causal attention over packed documents; .* over `tp`\.$/);
});

test("types are printed for messages", () => {
  const [item] = read("type X = { a: f32[B, S/sp] @ P((dp, fsdp), zigzag(sp)), b: (i32, k: i32) -> bool }").items;
  expect(item?.kind === "type" && printType(item.type)).toBe(
    "{ a: f32[B, S/sp] @ P((dp, fsdp), zigzag(sp)), b: (i32, k: i32) -> bool }",
  );
});
