/** Elements that are picked within small groups of neighbours (tile/groups.ts): a thread that has whole groups has them. */
import { inGroup } from "../../tile/groups.ts";
import type { Axis, Value } from "../../tile/ir.ts";
import { add, lit, mul, op } from "../expr.ts";
import type { Expr } from "../ir.ts";
import type { Layout } from "./layout.ts";

type Bind = { readonly axis: Axis; readonly index: Value };

/** The number of the digit of registers that goes over the groups' elements; -1 where threads do not have whole groups. */
export function groupDigit(layout: Layout, bind: Bind): number {
  const group = inGroup(bind);
  return layout.registers.findIndex(
    (d) => group !== undefined && d.axis === bind.axis.id && d.stride === 1 && d.count % group.of === 0,
  );
}

/** The digits of the element that is picked, from those of the one that asks. */
export function pickedDigits(layout: Layout, from: readonly Expr[], binds: readonly Bind[]): readonly Expr[] {
  const digits = [...from];
  for (const b of binds) {
    const k = groupDigit(layout, b);
    const { of, at } = inGroup(b)!;
    const { count } = layout.registers[k]!;
    digits[k] = count === of ? lit(at) : add(mul(groupNumber(digits[k]!, of), lit(of)), lit(at));
  }
  return digits;
}
const groupNumber = (digit: Expr, of: number): Expr =>
  digit.kind === "lit" ? lit(Math.floor(digit.value / of)) : op("div", [digit, lit(of)], "i32");
