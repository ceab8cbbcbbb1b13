/**
 * Elements that are picked among few neighbours: along an axis, those of each aligned group of 2 or 4 see each other.
 *
 *   x(…, of · floor(i / of) + at, …)       at < of
 *
 * A thread that has whole groups has all of them in its registers.
 */
import type { Axis, Value } from "./ir.ts";

export type InGroup = { readonly of: number; readonly at: number };

/** The place in its group that an index along an axis means; undefined where it is no such index. */
export function inGroup({ axis, index }: { readonly axis: Axis; readonly index: Value }): InGroup | undefined {
  const d = index.def;
  const [x, y] = d.kind === "map" && d.op === "add" ? d.args : [index, undefined];
  const at = y === undefined ? 0 : y.def.kind === "const" ? y.def.value : Number.NaN;
  const [first, by] = factor(x!, "mul");
  const [pos, of] = first ? factor(first, "div") : [];
  if (by === undefined || by !== of || pos?.def.kind !== "pos" || pos.def.axis.id !== axis.id) return undefined;
  const small = (of === 2 || of === 4) && axis.extent % of === 0;
  return small && at >= 0 && at < of ? { of, at } : undefined;
}
function factor(v: Value, op: "mul" | "div"): readonly [Value, number] | readonly [] {
  const d = v.def;
  if (d.kind !== "map" || d.op !== op || d.args[1]!.def.kind !== "const") return [];
  return [d.args[0]!, d.args[1]!.def.value];
}

/** Whether a value is the number of the group that an element of the grid is in. */
export function isGroupNumber(v: Value): boolean {
  const [pos, of] = factor(v, "div");
  return (of === 2 || of === 4) && pos?.def.kind === "pos" && pos.def.axis.role === "grid";
}
