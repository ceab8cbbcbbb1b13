/** The values of a schedule: an array and its copies are one. */
import { invariant } from "../base/invariant.ts";
import { bytesEach } from "../core/dtype.ts";
import type { DeviceProgram } from "../tile/ir.ts";
import { uniqueNames } from "./names.ts";
import type { DType, Value } from "./schedule.ts";
import type { Simple } from "./simplify.ts";

/** Bytes of a local array: bool as u32; f16 and bf16 two to a word; at least one word. */
export function bytesOf(dtype: DType, shape: readonly number[]): number {
  const elements = shape.reduce((n, d) => n * d, 1);
  return Math.max(4, Math.ceil((elements * bytesEach(dtype)) / 4) * 4);
}

/** `all` grows as values are asked for: those that no step touches get no number. */
export type Values = { readonly all: readonly Value[]; readonly of: (array: number) => Value };

export function valuesOf(program: DeviceProgram, copies: Simple["copies"]): Values {
  const arrays = new Map(program.arrays.map((a) => [a.id, a]));
  const all: Value[] = [];
  const known = new Map<number, Value>();
  const names = uniqueNames();
  const of = (array: number): Value => {
    const from = copies.get(array) ?? array;
    const found = known.get(from);
    if (found) return found;
    const a = arrays.get(from);
    invariant(a, `array ${from} is used and not declared`);
    const { dtype, shape } = a;
    const made = { id: all.length, name: names(a.name || `a${from}`), dtype, shape, bytes: bytesOf(dtype, shape) };
    all.push(made);
    known.set(from, made);
    return made;
  };
  return { all, of };
}
