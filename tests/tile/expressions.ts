/** What masks are made of. */
import { cast, constant, type KernelBuilder, make, pos, rawMap } from "../../compiler/tile/build.ts";
import type { Axis, Value } from "../../compiler/tile/ir.ts";
import type { Dice } from "../lane/random.ts";

/** Random integers and conditions on the axes' positions and a scalar. */
export function expressions(d: Dice, axes: readonly Axis[], b: KernelBuilder) {
  const integer = (depth: number): Value => {
    if (depth === 0 || d.chance(0.2)) {
      const kind = d.below(8);
      if (kind === 0) return make(b, "i32", { kind: "scalar", index: 0 });
      return kind < 3 ? constant(b, d.below(12) - 5, "i32") : pos(b, d.pick(axes));
    }
    const kind = d.below(11);
    if (kind === 0) return rawMap(b, d.pick(["neg", "abs"] as const), [integer(depth - 1)], "i32");
    if (kind === 1) return rawMap(b, "select", [bool(depth - 1), integer(depth - 1), integer(depth - 1)], "i32");
    if (kind === 2) return cast(b, bool(depth - 1), "i32");
    const op = d.pick(["add", "sub", "mul", "div", "mod", "min", "max"] as const);
    const right = op === "div" || op === "mod" ? constant(b, d.pick([1, 2, 3, 4]), "i32") : integer(depth - 1);
    return rawMap(
      b,
      op,
      op === "mul" && d.chance(0.5) ? [right, integer(depth - 1)] : [integer(depth - 1), right],
      "i32",
    );
  };
  const bool = (depth: number): Value => {
    const kind = d.below(depth === 0 ? 3 : 7);
    if (kind < 3)
      return rawMap(b, d.pick(["lt", "le", "gt", "ge", "eq", "ne"] as const), [integer(depth), integer(depth)], "bool");
    if (kind === 3) return rawMap(b, "not", [bool(depth - 1)], "bool");
    if (kind === 4) return rawMap(b, "select", [bool(depth - 1), bool(depth - 1), bool(depth - 1)], "bool");
    return rawMap(b, d.pick(["and", "or"] as const), [bool(depth - 1), bool(depth - 1)], "bool");
  };
  return { integer, bool };
}
