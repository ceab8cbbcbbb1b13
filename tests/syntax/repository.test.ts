/** Every Gyre file of the repository parses without a remark and is laid out as the formatter would. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "../../compiler/syntax/parse.ts";
import { print } from "../../compiler/syntax/print.ts";

const root = new URL("../..", import.meta.url).pathname;
const files = ["stdlib", "examples", "tests", "bench"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".gyre"))
    .map((name) => join(folder, name)),
);

test("there are files", () => expect(files.length).toBeGreaterThan(40));
test.each(files)("%s", (path) => {
  const text = readFileSync(join(root, path), "utf8");
  const { module, diagnostics } = parse({ path, text });
  expect(diagnostics).toEqual([]);
  expect(print(module)).toBe(text);
});
