/** Whole numbers worked out by the compiler: what blocks of a loop do, how far apart addresses are. */
import type { Axis, Value } from "../tile/ir.ts";

/** The first or last element of the block at hand. */
export type EdgeOf = (axis: Axis, end: "first" | "last") => number;

/**
 * A value's number, with the elements `at` of axes and the edges that `edge` gives; 0 for scalars, steps, what memory says and
 * elements that are not given.
 */
export function numberOf(v: Value, at: ReadonlyMap<number, number>, edge: EdgeOf = () => 0, memory = 0): number {
  const d = v.def;
  switch (d.kind) {
    case "const":
      return d.value;
    case "pos":
      return at.get(d.axis.id) ?? 0;
    case "edge":
      return edge(d.axis, d.end);
    case "cast":
      return numberOf(d.arg, at, edge, memory);
    case "scalar":
    case "step":
      return 0;
    case "map": {
      const f = meanings[d.op];
      return f ? f(...d.args.map((a) => numberOf(a, at, edge, memory))) : memory;
    }
    default:
      return memory;
  }
}
const meanings: Readonly<Record<string, (...x: number[]) => number>> = {
  add: (x, y) => x! + y!,
  sub: (x, y) => x! - y!,
  mul: (x, y) => x! * y!,
  div: (x, y) => Math.floor(x! / y!),
  mod: (x, y) => x! - y! * Math.floor(x! / y!),
  min: (x, y) => Math.min(x!, y!),
  max: (x, y) => Math.max(x!, y!),
  neg: (x) => -x!,
  le: (x, y) => +(x! <= y!),
  lt: (x, y) => +(x! < y!),
  ge: (x, y) => +(x! >= y!),
  gt: (x, y) => +(x! > y!),
  eq: (x, y) => +(x! === y!),
  ne: (x, y) => +(x! !== y!),
  and: (x, y) => x! & y!,
  or: (x, y) => x! | y!,
  not: (x) => 1 - x!,
  select: (c, x, y) => (c ? x! : y!),
};
