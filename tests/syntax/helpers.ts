import { renderDiagnostics } from "../../compiler/base/diagnostic.ts";
import type * as Ast from "../../compiler/syntax/ast.ts";
import { parse } from "../../compiler/syntax/parse.ts";

/** Parses text that must be right. */
export function read(text: string): Ast.Module {
  const { module, diagnostics } = parse({ path: "test.gyre", text });
  if (diagnostics.length > 0) throw new Error(`${renderDiagnostics(diagnostics)}\n\n${text}`);
  return module;
}

/** The value of `const X = …`. */
export function readExpr(text: string): Ast.Expr {
  const [item] = read(`const X = ${text}`).items;
  if (item?.kind !== "const") throw new Error("no const");
  return item.value;
}

/** What is left of a tree without its places and comments, to compare trees. */
export const bare = (tree: unknown): unknown =>
  JSON.parse(JSON.stringify(tree, (key, value) => (["span", "source", "comments"].includes(key) ? undefined : value)));

/** The pictures of all diagnostics of a text. */
export const complaints = (text: string): string => renderDiagnostics(parse({ path: "test.gyre", text }).diagnostics);

/** One line for each diagnostic: `line:column code message`. */
export const summary = (text: string): readonly string[] =>
  complaints(text)
    .split("\n")
    .filter((l) => /error\[/.test(l))
    .map((l) => l.replace(/^test\.gyre:(\d+:\d+): error\[(GY\d+)\]:/, "$1 $2"));
