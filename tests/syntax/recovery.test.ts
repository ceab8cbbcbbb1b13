import { expect, test } from "vitest";
import { parse } from "../../compiler/syntax/parse.ts";
import { summary } from "./helpers.ts";

test("independent errors are told in one run, and the declarations around them are read", () => {
  const text = `mesh pod(dp: 1 sp: 4)

fn first(x: f32[N], y: i32 -> f32[N] {
  x + y
}

fn second(x: f32) -> f32 {
  let y = f(x, 3
  let z = x +
  let w = y
  y * z
}

const N 4

export fn fourth(x: f32) = x

type State = { m: f32[B], l }

fn fifth(x) { x = 3; x }

fn sixth(x: f32) {
  let y = (x * 2
`;
  expect(summary(text)).toEqual([
    "1:16 GY1107 expected `,` before this axis",
    "3:28 GY1101 expected `)` after the parameters of `first`, found `->`",
    "8:17 GY1101 expected `)` after the arguments of `f`, found `let`",
    "9:14 GY1102 expected an expression after `+`, found `let`",
    "14:9 GY1101 expected `=` after `N`, found `4`",
    "18:29 GY1101 expected `:` after `l`, found `}`",
    "20:17 GY1208 nothing is assigned in Gyre",
    "23:11 GY1105 this `(` is never closed",
  ]);
  const names = parse({ path: "a.gyre", text }).module.items.map((i) => ("name" in i ? i.name.name : i.kind));
  expect(names).toEqual(["pod", "first", "second", "N", "fourth", "State", "fifth", "sixth"]);
});

test("a missing brace is told where the block begins, once", () => {
  const text = `fn f(x: f32) {
  let g = |y| {
    x + y
  g(x)
}

fn ok(x: f32) = x
`;
  expect(summary(text)).toEqual(["1:14 GY1105 this `{` is never closed"]);
});

test("what follows from a block that could not be read is not told", () => {
  expect(summary("fn f(x: f32) {\n  fn g(y) = y\n  g(x)\n}\nfn h(x: f32) { x + }\n")).toEqual([
    "2:3 GY1101 expected `}` at the end of the block, found `fn`",
    "5:20 GY1102 expected an expression after `+`, found `}`",
  ]);
  expect(summary("fn f(c: bool, x: f32) {\n  let y = x if c else 0\n  y\n}\n")).toHaveLength(1);
});

test("a brace too many is told, and reading goes on", () => {
  expect(summary("fn f(x: f32) { x } }\nfn g(x: f32) { x + }\n")).toEqual([
    "1:20 GY1106 this `}` closes nothing",
    "2:20 GY1102 expected an expression after `+`, found `}`",
  ]);
});
