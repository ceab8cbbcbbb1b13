/** A file as it was parsed. */
import type { Diagnostic } from "../compiler/base/diagnostic.ts";
import { parse } from "../compiler/syntax/parse.ts";
import { print } from "../compiler/syntax/print.ts";
import { readText } from "./files.ts";

export type AstOf = { readonly module: unknown; readonly text: string; readonly diagnostics: readonly Diagnostic[] };

/** The Ast as JSON, places as `[start, end]`, and as formatted text. */
export function astOf(path: string): AstOf {
  const { module, diagnostics } = parse({ path, text: readText(path) });
  const { source: _, ...rest } = module;
  return { module: bare(rest), text: print(module), diagnostics };
}

/** Without the source text that every span points to. */
function bare(x: unknown): unknown {
  if (Array.isArray(x)) return x.map(bare);
  if (typeof x !== "object" || x === null) return x;
  return Object.fromEntries(
    Object.entries(x).map(([key, value]) => {
      if (key !== "span") return [key, bare(value)];
      const { start, end } = value as { start: number; end: number };
      return [key, [start, end]];
    }),
  );
}
