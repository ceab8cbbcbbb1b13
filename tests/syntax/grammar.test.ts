import { expect, test } from "vitest";
import { GyreParser } from "../../compiler/syntax/grammar.ts";
import { parse } from "../../compiler/syntax/parse.ts";
import { programs } from "./programs.ts";

test("the grammar is unambiguous and well-formed", () => {
  expect(() => new GyreParser({ validate: true })).not.toThrow();
});

test("a file of 200 lines parses in some milliseconds", () => {
  const text = Array.from({ length: 8 }, () => programs.tiles).join("\n");
  const source = () => ({ path: "a.gyre", text });
  const times = Array.from({ length: 30 }, () => {
    const start = performance.now();
    parse(source());
    return performance.now() - start;
  });
  const best = Math.min(...times);
  expect(best).toBeLessThan(50); // a few on a quiet machine
});
