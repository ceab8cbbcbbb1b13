/** The functions that every module sees. */
import { q } from "../../base/say.ts";
import type { Span } from "../../base/span.ts";
import { type Builtin, type Call, usage } from "./builtin.ts";
import { collectives } from "./builtins-collective.ts";
import { derivativeBuiltins } from "./builtins-derivative.ts";
import { elementwiseBuiltins } from "./builtins-elementwise.ts";
import { placeBuiltins } from "./builtins-place.ts";
import { reductions } from "./builtins-reduce.ts";
import { shapeBuiltins } from "./builtins-shape.ts";
import { treeBuiltins } from "./builtins-tree.ts";
import { type Context, fail } from "./context.ts";
import { near } from "./scope.ts";
import { type Argument, errorValue, type Value } from "./value.ts";

const table: Readonly<Record<string, Builtin>> = {
  ...elementwiseBuiltins,
  ...reductions,
  ...shapeBuiltins,
  ...collectives,
  ...placeBuiltins,
  ...derivativeBuiltins,
  ...treeBuiltins,
};
export const builtinNames: ReadonlySet<string> = new Set(Object.keys(table));
/** Names without arguments that stand for themselves. */
export const otherNames: readonly string[] = ["inf", "pi", "zeros"];

export function callBuiltin(c: Context, name: string, args: readonly Argument[], span: Span): Value {
  const row = table[name]!;
  const names = [...row.params, ...(row.named ?? [])];
  const bound: (Argument | undefined)[] = names.map(() => undefined);
  const rest: Argument[] = [];
  const before = c.diagnostics.length;
  const help = `it is ${q(usage(name, row))}`;
  let next = 0;
  for (const a of args) {
    const index = a.name ? names.indexOf(a.name.name) : next++;
    if (a.name && index < 0)
      fail(c, "GY3024", a.name.span, { name: a.name.name, of: name, params: names, ...near(a.name.name, names) });
    else if ((a.name || index < row.params.length) && bound[index]) fail(c, "GY3026", a.span, { name: names[index]! });
    else if (a.name || index < row.params.length) bound[index] = a;
    else if (row.rest) rest.push(a);
    else {
      fail(c, "GY3009", a.span, { of: q(name), wants: row.params.length, found: args.length, help });
      break;
    }
  }
  const missing = row.params.slice(0, row.required).filter((_, i) => !bound[i]);
  if (missing.length > 0 && c.diagnostics.length === before) fail(c, "GY3027", span, { missing, of: name, help });
  if (c.diagnostics.length > before) return errorValue;
  if (args.some((a) => a.value.kind === "error")) return errorValue;
  const open = args.find((a) => a.value.kind === "unknown");
  if (open?.value.kind === "unknown" && open.value.fill && !row.open) return fail(c, "GY3019", open.span, {});
  if (open && !row.open)
    return { kind: "unknown", ...(open.value.kind === "unknown" && open.value.span && { span: open.value.span }) };
  const k: Call = { c, name, row, span, args: bound, rest };
  return row.run(k);
}
