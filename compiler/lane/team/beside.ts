/** Where elements lie side by side in memory, in groups that begin at multiples of their size: so they can be read and written at once. */
import type { Axis, Value } from "../../tile/ir.ts";

/** How many elements a block of an axis has. */
type BlockOf = (axis: Axis) => number;

/** The axis that the last index of an array counts along by one, and no other index, from multiples of `size` on. */
export function besideAlong(
  size: number,
  shape: readonly number[],
  index: readonly Value[],
  clamp: boolean,
  block: BlockOf,
): Axis | undefined {
  const last = index.at(-1);
  const axis = last && counted(size, last, block);
  if (!axis || [shape.at(-1)!, axis.extent, block(axis)].some((n) => n % size !== 0)) return undefined;
  if (clamp && (last.def.kind !== "pos" || axis.extent > shape.at(-1)!)) return undefined;
  return index.slice(0, -1).some((i) => isAlong(i, axis)) ? undefined : axis;
}
const isAlong = (v: Value, axis: Axis): boolean => v.axes.some((a) => a.id === axis.id);

/** The axis whose number an index is, with a multiple of the size added. */
function counted(size: number, index: Value, block: BlockOf): Axis | undefined {
  const d = index.def;
  if (d.kind === "pos") return d.axis;
  if (d.kind !== "map" || (d.op !== "add" && d.op !== "sub")) return undefined;
  const [x, y] = d.args as [Value, Value];
  for (const [own, rest] of d.op === "add"
    ? [
        [x, y],
        [y, x],
      ]
    : [[x, y]]) {
    const axis = counted(size, own!, block);
    if (axis && !isAlong(rest!, axis) && divisorOf(rest!, block) % size === 0) return axis;
  }
  return undefined;
}

/** A number that divides a whole number, whatever its elements are; 0 where it is always 0. */
function divisorOf(v: Value, block: BlockOf): number {
  const d = v.def;
  if (d.kind === "const") return Math.abs(d.value);
  if (d.kind === "edge") return d.end === "first" ? (d.axis.role === "inner" ? 0 : block(d.axis)) : 1;
  if (d.kind !== "map" || v.dtype !== "i32") return 1;
  const parts = d.args.map((a) => divisorOf(a, block));
  switch (d.op) {
    case "mul":
      return parts[0]! * parts[1]!;
    case "add":
    case "sub":
    case "min":
    case "max":
    case "mod":
      return gcd(parts[0]!, parts[1]!);
    case "neg":
      return parts[0]!;
    case "select":
      return gcd(parts[1]!, parts[2]!);
    default:
      return 1;
  }
}
const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
