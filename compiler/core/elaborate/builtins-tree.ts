/** Functions on trees: tuples and records of arrays, such as the parameters of a model. */

import { toAtom } from "./arithmetic.ts";
import { arg, type Builtin, type Call } from "./builtin.ts";
import { fail, lit, poison } from "./context.ts";
import { filled } from "./fit.ts";
import {
  type Argument,
  arrayOf,
  describe,
  errorValue,
  type FnValue,
  leaves,
  mapLeaves,
  refill,
  sameStructure,
  type Value,
} from "./value.ts";

function fnArg(k: Call): FnValue | undefined {
  const { value, span } = arg(k, 0);
  if (value.kind === "fn") return value;
  fail(k.c, "GY9003", span, { name: k.name, found: describe(value) });
  return undefined;
}

/** tree_map(f, tree, …): f of each leaf, with the leaves at the same place of further trees of one structure. */
function treeMap(k: Call): Value {
  const f = fnArg(k);
  if (!f) return errorValue;
  const tree = arg(k, 1);
  for (const other of k.rest)
    if (!sameStructure(tree.value, other.value))
      return fail(k.c, "GY3038", other.span, { name: k.name, a: describe(tree.value), b: describe(other.value) });
  const columns = [tree, ...k.rest].map((t) => leaves(t.value).map((value): Argument => ({ value, span: t.span })));
  const results = leaves(tree.value).map((_, i) =>
    k.c.knot.call(
      k.c,
      f,
      columns.map((column) => column[i]!),
      k.span,
    ),
  );
  if (results.some((r) => r.kind === "error")) return errorValue;
  return turned(k, tree.value, results);
}
/** A tree of what f gave. Where that is a tuple or a record, a tuple or a record of trees: `let (m, v) = tree_map(…)`. */
function turned(k: Call, tree: Value, results: readonly Value[]): Value {
  const [first] = results;
  if (!first) return tree;
  const odd = results.find((r) => !sameStructure(first, r));
  if (odd) return fail(k.c, "GY3038", arg(k, 0).span, { name: k.name, a: describe(first), b: describe(odd) });
  let next = 0;
  return mapLeaves(first, () => {
    const at = next++;
    return refill(
      tree,
      results.map((r) => leaves(r)[at]!),
    );
  });
}

/** tree_reduce(f, tree) = f(… f(f(a, b), c) …, z), or beginning with f(initializer, a). */
function treeReduce(k: Call): Value {
  const f = fnArg(k);
  if (!f) return errorValue;
  const tree = arg(k, 1);
  const each = leaves(tree.value).map((value): Argument => ({ value, span: tree.span }));
  const [first, ...rest] = k.args[2] ? [k.args[2], ...each] : each;
  if (!first) return fail(k.c, "GY3039", tree.span, { name: k.name });
  return rest.reduce<Argument>(
    (sum, leaf) => ({ value: k.c.knot.call(k.c, f, [sum, leaf], k.span), span: k.span }),
    first,
  ).value;
}

/** zeros_like(tree): zeros of the type of each leaf. */
const zerosLike = (k: Call): Value =>
  mapLeaves(arg(k, 0).value, (leaf) => {
    const x = toAtom(k.c, leaf, arg(k, 0).span, undefined, k.name);
    return x === poison ? errorValue : arrayOf(filled(k.c, lit(0, x.type.dtype), x.type.shape, k.span));
  });

export const treeBuiltins: Readonly<Record<string, Builtin>> = {
  tree_map: { params: ["f", "tree"], required: 2, rest: true, usage: "tree_map(f, tree, …)", run: treeMap },
  zeros_like: { params: ["tree"], required: 1, run: zerosLike },
  tree_reduce: { params: ["f", "tree", "initializer"], required: 2, run: treeReduce },
};
