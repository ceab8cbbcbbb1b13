import fc from "fast-check";
import { expect, test } from "vitest";
import { print } from "../../compiler/syntax/print.ts";
import { modules } from "./arbitrary.ts";
import { bare, read } from "./helpers.ts";

test("what is printed parses to the same tree, and prints the same again", () => {
  fc.assert(
    fc.property(modules, (module) => {
      const text = print(module);
      const again = read(text);
      expect(bare(again.items)).toEqual(bare(module.items));
      expect(print(again)).toBe(text);
    }),
    { numRuns: 250 },
  );
});

test("no line has spaces at its end", () => {
  fc.assert(
    fc.property(modules, (module) => {
      for (const line of print(module).split("\n")) expect(line).toBe(line.trimEnd());
    }),
    { numRuns: 100 },
  );
});
