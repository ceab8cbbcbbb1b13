import { expect, test } from "vitest";
import { renderDiagnostic } from "../../compiler/base/diagnostic.ts";
import { codes, report } from "../../compiler/base/messages.ts";
import { complaints, summary } from "./helpers.ts";

const inside = (line: string) => `fn f(x) {\n  ${line}\n  x\n}`;

/** Code, program, and what is said of it (`line:column code sentence`). */
const cases: readonly (readonly [string, string])[] = [
  ["const X = a ? b", "1:13 GY1001 `?` is not a character of Gyre outside strings and comments"],
  ['const X = "abc', "1:11 GY1002 this string is not closed on its line"],
  ["const X = 99999999999999999", "1:11 GY1003 the integer `99999999999999999` is too large to be exact"],
  ["/* hello */ const X = 1", "1:1 GY1004 `/* … */` is not a comment in Gyre"],
  ["const X = 1 # one", "1:13 GY1005 `#` does not begin a comment in Gyre"],
  ["const X = 'a'", "1:11 GY1006 single quotes do not make a string"],
  ["const X = .5", "1:11 GY1007 `.5` is an unfinished number"],
  ["const X = 1. + 2", "1:11 GY1007 `1.` is an unfinished number"],
  ["def f(x) = x", "1:1 GY1008 `def` is written `fn` in Gyre"],
  ["const X = a and b", "1:13 GY1008 `and` is written `&&` in Gyre"],
  ["const X = x ** 2", "1:13 GY1009 there is no power operator"],
  [inside("for i in 3 { i }"), "2:3 GY1010 there is no `for` in Gyre"],
  ["const X = f(a, b", "1:12 GY1105 this `(` is never closed"],
  ["const X = f(a, b]", "1:17 GY1101 expected `)` after the arguments of `f`, found `]`"],
  ["const X = x[a, b)", "1:17 GY1101 expected `]` after the indices of `x`, found `)`"],
  ["fn f(x) => x", "1:9 GY1102 expected a body, `{ … }` or `= …` after `)`, found `=>`"],
  ["const X = [1, 2]", "1:11 GY1102 expected an expression after `=`, found `[`"],
  ["const in = 1", "1:7 GY1102 expected a name after `const`, found `in`"],
  ["fn f(in: f32) = 1", "1:6 GY1102 expected a name after `(`, found `in`"],
  ["type T = { a: f32, with: f32 }", "1:20 GY1102 expected a name after `,`, found `with`"],
  ["fn f(x: i32) = x as f32", "1:18 GY1102 expected a new line after `x`, found `as`"],
  ["fn f(x: ) = x", "1:9 GY1102 expected a type after `:`, found `)`"],
  [inside("let = 3"), "2:7 GY1102 expected a name or a pattern after `let`, found `=`"],
  [inside("x += 1"), "2:6 GY1102 expected an expression after `+`, found `=`"],
  ["const X = if a = b { 1 } else { 2 }", "1:16 GY1101 expected `{` after `a`, found `=`"],
  ["const X = fold i in N { i }", "1:23 GY1101 expected `with` after `N`, found `{`"],
  ["const X = tiles i in N { i }", "1:24 GY1101 expected `into` after `N`, found `{`"],
  ["class A", "1:1 GY1103 expected a declaration, found `class`"],
  ["let x = 1", "1:1 GY1104 a `let` stands inside a block"],
  ["const X = f(a b)", "1:15 GY1107 expected `,` before this argument"],
  [inside("let a = 1 let b = 2"), "2:13 GY1108 expected a new line or `;` before this"],
  ["const X = a < b < c", "1:17 GY1201 comparisons do not chain"],
  ["const X = f(a = 1, b)", "1:20 GY1202 a positional argument comes before the named ones"],
  ["const X = if a { b }", "1:11 GY1203 this `if` has no `else`"],
  ["shard_map f(x: f32) on pod { x }", "1:11 GY1204 a `shard_map` states the type and spec of its result"],
  ["shard_map f(x: f32) -> f32 { x }", "1:11 GY1205 a `shard_map` states its mesh"],
  ["fn f(x) { let y = x }", "1:21 GY1206 this block has no value"],
  [inside("g(x)"), "2:3 GY1207 the value of this expression is not used"],
  [inside("y = 4"), "2:5 GY1208 nothing is assigned in Gyre"],
  ["fn f(x) { return x }", "1:11 GY1209 there is no `return`"],
  [inside("let y == 3"), "2:9 GY1210 `==` compares"],
  ["const X = x[1:3]", "1:14 GY1211 a slice is written with `..`"],
  ["const X = None", "1:11 GY1212 `None` stands only between the brackets of an index"],
  ["fn f(x: f32[N] @ Q(sp)) = x", "1:18 GY1213 a spec is written `P(…)`"],
  ["fn f(x: f32[N] @ P(None)) = x", "1:20 GY1214 `None` in a spec is written `_`"],
  ['fn f(x: f32[N] @ P("sp")) = x', "1:20 GY1215 an axis stands in a spec without quotes"],
  ["type T = (a: f32, b: i32)", "1:11 GY1216 the parts of a tuple have no names"],
  ["export derivative f(x) = x", "1:1 GY1217 a derivative rule cannot be exported"],
  ["const X = tiles into [i] { 1 }", "1:11 GY1218 `tiles` has at least one index"],
  ["const X = tiles i in N into () { 1 }", "1:11 GY1219 `into` has at least one pattern"],
];

for (const [text, said] of cases) test(said, () => expect(summary(text)[0]).toBe(said));

test("every code of the parser has a case here", () => {
  const seen = new Set(cases.map(([, said]) => said.split(" ")[1]));
  const elsewhere = ["GY1106", "GY1109"]; // recovery.test.ts, fuzz.test.ts
  expect(codes.filter((c) => c.startsWith("GY1") && !seen.has(c) && !elsewhere.includes(c))).toEqual([]);
});

test("the picture: place, line, carets, notes, help", () => {
  expect(complaints("fn f(\n  x: f32[N\n) -> f32 = x\n")).toBe(
    [
      "test.gyre:2:11: error[GY1101]: expected `]` after the dimensions of `f32`, found `)`",
      "  2 |   x: f32[N",
      "    |           ^",
    ].join("\n"),
  );
  expect(complaints("const X = f(g(\n  a),\n  b]\n")).toBe(
    [
      "test.gyre:3:4: error[GY1101]: expected `)` after the arguments of `f`, found `]`",
      "  3 |   b]",
      "    |    ^",
      "test.gyre:1:12: note: opened here",
      "  1 | const X = f(g(",
      "    |            ^",
    ].join("\n"),
  );
  expect(complaints("fn f(x) { return x }")).toContain("\nhelp: the last expression of a block is its value");
});

test("the place of a tab is kept, and colour is only colour", () => {
  const source = { path: "a.gyre", text: "\tx + y" };
  const d = report("GY1201", { source, start: 3, end: 4 }, {});
  const plain = renderDiagnostic(d);
  expect(plain.split("\n").slice(1, 3)).toEqual(["  1 | \tx + y", "    | \t  ^"]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escapes are what is tested
  expect(renderDiagnostic(d, { color: true }).replace(/\u001b\[[\d;]*m/g, "")).toBe(plain);
});
