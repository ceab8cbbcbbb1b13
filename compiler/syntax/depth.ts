/** Later passes recurse over expressions, so no expression may be deeper than their stack. */
import type { Diagnostic } from "../base/diagnostic.ts";
import { report } from "../base/messages.ts";
import type * as Ast from "./ast.ts";

/** Nodes from a declaration down to its deepest leaf. A sum of n terms is n deep. */
const maxDepth = 400;

/** For a declaration that is too deep: the diagnostic, and the declaration with an `error` for a body. */
export function tooDeep(item: Ast.Item): { readonly item: Ast.Item; readonly diagnostic: Diagnostic } | undefined {
  if (!exceeds(item)) return undefined;
  const span = "name" in item ? item.name.span : item.span;
  const diagnostic = report("GY1109", span, { limit: maxDepth });
  const error: Ast.Expr = { kind: "error", span };
  const errorType: Ast.Type = { kind: "errorType", span };
  switch (item.kind) {
    case "import":
      return { item, diagnostic };
    case "mesh":
      return { item: { ...item, axes: [] }, diagnostic };
    case "const":
      return { item: { ...item, value: error }, diagnostic };
    case "type":
      return { item: { ...item, type: errorType }, diagnostic };
    case "fn":
    case "derivative":
      return { item: { ...item, params: [], result: errorType, body: error }, diagnostic };
    case "shard_map":
      return { item: { ...item, params: [], result: errorType, body: error }, diagnostic };
  }
}

/** Walks with a stack of its own, since the value may be deeper than the machine's. */
function exceeds(root: Ast.Item): boolean {
  const waiting: { readonly value: object; readonly depth: number }[] = [{ value: root, depth: 0 }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { value, depth } = next;
    if (depth > maxDepth) return true;
    for (const [key, child] of Object.entries(value)) {
      if (key === "span" || typeof child !== "object" || child === null) continue;
      waiting.push({ value: child, depth: Array.isArray(child) ? depth : depth + 1 });
    }
  }
  return false;
}
