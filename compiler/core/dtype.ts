/** Dtypes and their classes. */
import { isHalf } from "./half.ts";
import type { DType } from "./ir.ts";

/** What `T: float` may say. */
export type DTypeClass = "float" | "int" | "number" | "bool" | "any";

const members: Record<DTypeClass, readonly DType[]> = {
  float: ["f32", "f16", "bf16"],
  int: ["i32", "u32"],
  number: ["f32", "f16", "bf16", "i32", "u32"],
  bool: ["bool"],
  any: ["f32", "f16", "bf16", "i32", "u32", "bool"],
};
/** The dtypes of a class, as in `T: float`. */
export const dtypesOf = (c: DTypeClass): readonly DType[] => members[c];
export const inClass = (d: DType, c: DTypeClass): boolean => members[c].includes(d);
export const isFloat = (d: DType): boolean => inClass(d, "float");
/** Bytes of one element in memory. */
export const bytesEach = (d: DType): number => (isHalf(d) ? 2 : 4);
/** What products and their sums are kept in: f16 and bf16 give f32. */
export const accumulates = (d: DType): DType => (isFloat(d) ? "f32" : d);
