/** Elements of buffers and of a thread's arrays: where they are, reading one, one four times over, or four, and storing. */
import { isHalf } from "../../core/half.ts";
import type { DType } from "../../core/ir.ts";
import type { Expr } from "../../lane/ir.ts";
import { type Code, i32, ints, op } from "./code.ts";
import { builder, type Emit, get, memory } from "./context.ts";
import * as fn from "./functions.ts";

/** Buffers lie above this address, so that a constant part of an index up to it may be left to the instruction. */
const lowest = 1 << 20;

type Place = { readonly base: Code; readonly offset: number };

/** An index as something and a constant. */
export function split(index: Expr): { readonly rest: Expr | undefined; readonly constant: number } {
  if (index.kind === "lit") return { rest: undefined, constant: index.value };
  const [a, b] = index.kind === "op" ? index.args : [];
  if (index.kind === "op" && index.op === "add" && b?.kind === "lit") return { rest: a!, constant: b.value };
  if (index.kind === "op" && index.op === "sub" && b?.kind === "lit") return { rest: a!, constant: -b.value };
  return { rest: index, constant: 0 };
}
function place(e: Emit, base: Code, index: Expr, shift: number, before = 0): Place {
  const { rest, constant } = split(index);
  const bytes = before + constant * 2 ** shift;
  const fits = bytes >= 0 && bytes < lowest;
  const offset = fits ? bytes : 0;
  const moved = fits ? base : op("i32.add", [base, i32(bytes)]);
  if (!rest) return { base: moved, offset };
  return { base: op("i32.add", [moved, op("i32.shl", [e.scalar(rest), i32(shift)])]), offset };
}
export const bufferPlace = (e: Emit, buffer: number, index: Expr): Place =>
  place(e, get(e.buffers[buffer]!), index, isHalf(e.program.buffers[buffer]!.dtype) ? 1 : 2);
export const elementPlace = (e: Emit, array: string, index: Expr): Place =>
  place(e, get({ index: 2, name: "scratch" }), index, 2, e.arrays.get(array)!.offset);

export type Access = Extract<Expr, { kind: "load" | "elem" }>;
export const nameOf = (e: Emit, a: Access): string => (a.kind === "elem" ? a.array : e.program.buffers[a.buffer]!.name);
const placeOf = (e: Emit, a: Access): Place =>
  a.kind === "elem" ? elementPlace(e, a.array, a.index) : bufferPlace(e, a.buffer, a.index);
/** Elements of arrays are as they are computed. */
export const dtypeOf = (e: Emit, a: Access): DType =>
  a.kind === "load" ? e.program.buffers[a.buffer]!.dtype : a.type === "pair" ? "u32" : a.type;

/** 16-bit patterns in words, as floats. */
const widen = (e: Emit, dtype: DType, bits: Code): Code =>
  dtype === "bf16" ? fn.fromBf16(builder(e), bits) : fn.fromF16(builder(e), builder(e).keep(bits));

export function scalarAccess(e: Emit, a: Access): Code {
  const { base, offset } = placeOf(e, a);
  const [dtype, name] = [dtypeOf(e, a), nameOf(e, a)];
  if (isHalf(dtype)) {
    const bits = memory("i32.load16_s", [base], offset, name);
    if (dtype === "bf16") return op("f32.reinterpret_i32", [op("i32.shl", [bits, i32(16)])]);
    return op("f32x4.extract_lane", [widen(e, dtype, op("i32x4.splat", [bits]))], 0);
  }
  if (dtype === "f32") return memory("f32.load", [base], offset, name);
  const word = memory("i32.load", [base], offset, name);
  return dtype === "bool" && a.kind === "load" ? op("i32.ne", [word, i32(0)]) : word;
}
/** One element, four times over. */
export function splatAccess(e: Emit, a: Access): Code {
  const { base, offset } = placeOf(e, a);
  const [dtype, name] = [dtypeOf(e, a), nameOf(e, a)];
  if (isHalf(dtype)) return widen(e, dtype, op("i32x4.splat", [memory("i32.load16_s", [base], offset, name)]));
  const word = memory("v128.load32_splat", [base], offset, name);
  return dtype === "bool" ? op("i32x4.ne", [word, ints(0)]) : word;
}
/** Four neighbours. Masks are kept in arrays as they are, and in buffers as 0 and 1. */
export function wideAccess(e: Emit, a: Access): Code {
  const { base, offset } = placeOf(e, a);
  const [dtype, name] = [dtypeOf(e, a), nameOf(e, a)];
  if (isHalf(dtype)) return widen(e, dtype, memory("v128.load16x4_s", [base], offset, name));
  const words = memory("v128.load", [base], offset, name);
  return dtype === "bool" && a.kind === "load" ? op("i32x4.ne", [words, ints(0)]) : words;
}

export function store(e: Emit, buffer: number, index: Expr, value: Expr): void {
  const { dtype, name } = e.program.buffers[buffer]!;
  const { base, offset } = bufferPlace(e, buffer, index);
  const narrow = (x: Code): Code =>
    dtype === "bf16" ? fn.toBf16(builder(e), builder(e).keep(x)) : fn.toF16(builder(e), builder(e).keep(x));
  if (isHalf(dtype)) {
    const bits = narrow(e.wide(value));
    if (value.width === 1) e.out.push(memory("i32.store16", [base, op("i32x4.extract_lane", [bits], 0)], offset, name));
    else {
      const halves = [0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13];
      const whole = builder(e).keep(bits);
      const packed = op("i8x16.shuffle", [whole, whole], ...halves);
      e.out.push(memory("v128.store64_lane", [base, packed], offset, name, 0));
    }
    return;
  }
  if (value.width === 4) {
    const words = dtype === "bool" ? op("v128.and", [e.wide(value), ints(1)]) : e.wide(value);
    e.out.push(memory("v128.store", [base, words], offset, name));
  } else if (value.kind === "component" && typeof value.at === "number" && value.arg.kind === "ref" && dtype !== "bool")
    e.out.push(memory("v128.store32_lane", [base, e.wide(value.arg)], offset, name, value.at));
  else e.out.push(memory(dtype === "f32" ? "f32.store" : "i32.store", [base, e.scalar(value)], offset, name));
}
