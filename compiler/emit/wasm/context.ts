/** What is at hand while a kernel is spelled: its locals, by the names of Lane, and the functions that it calls. */
import type { Expr, LaneProgram, LaneType, Width } from "../../lane/ir.ts";
import { type Code, type Func, i32, type OpName, op, type ValueType } from "./code.ts";
import * as fn from "./functions.ts";
import type { Counted } from "./uses.ts";

/** What an engine may lack. */
export type WasmFeatures = {
  /** Multiply-add in one rounding (the relaxed SIMD proposal). */
  readonly relaxedSimd: boolean;
};

export type Local = { readonly index: number; readonly name: string };
/** How a Lane name is held: as it is, and where it is a scalar, four times over. */
type Held = { readonly own?: Local; readonly wide?: Local };
export type Emit = {
  readonly program: LaneProgram;
  readonly features: WasmFeatures;
  readonly uses: ReadonlyMap<string, Counted>;
  readonly locals: { name: string; type: ValueType }[];
  readonly names: Map<string, Held>;
  readonly buffers: Local[];
  readonly arrays: Map<string, { readonly offset: number; readonly type: LaneType }>;
  readonly functions: Map<fn.FunctionName, number>;
  readonly funcs: Func[];
  scratch: number;
  out: Code[];
  labels: number;
  /** The code of an expression: one value, or four (expressions.ts). */
  readonly scalar: (x: Expr) => Code;
  readonly wide: (x: Expr) => Code;
};

export const get = (l: Local): Code => ({ kind: "op", op: "local.get", args: [], imm: [l.index], name: l.name });
export const set = (l: Local, value: Code): Code => ({
  kind: "op",
  op: "local.set",
  args: [value],
  imm: [l.index],
  name: l.name,
});
function newLocal(e: Emit, name: string, type: ValueType): Local {
  e.locals.push({ name, type });
  return { index: e.locals.length - 1, name };
}
export function setNew(e: Emit, name: string, type: ValueType, value: Code): Local {
  const local = newLocal(e, name, type);
  e.out.push(set(local, value));
  return local;
}
export const scalarType = (t: LaneType): ValueType => (t === "f32" ? "f32" : "i32");

/** Gives a name a value, in the ways in which it is used. */
export function declare(e: Emit, name: string, type: LaneType, width: Width, value: Code, splat?: () => Code): void {
  const uses = e.uses.get(name);
  if (width === 4) {
    e.names.set(name, { own: setNew(e, name, "v128", value) });
    return;
  }
  if (uses && uses.wide > 0 && uses.scalar === 0) {
    e.names.set(name, { wide: setNew(e, name, "v128", splat ? splat() : splatOf(type, value)) });
    return;
  }
  const own = setNew(e, name, scalarType(type), value);
  if (!uses || uses.wide < 2) e.names.set(name, { own });
  else e.names.set(name, { own, wide: setNew(e, `${name}_four`, "v128", splatOf(type, get(own))) });
}
export const splatOf = (type: LaneType, value: Code): Code =>
  type === "f32"
    ? op("f32x4.splat", [value])
    : op("i32x4.splat", [type === "bool" ? op("i32.sub", [i32(0), value]) : value]);

export const builder = (e: Emit): fn.Builder => ({
  keep: (value, type = "v128") =>
    value.kind === "op" && value.op === "local.get" ? value : get(setNew(e, `t${e.locals.length}`, type, value)),
  madd: (a, b, c) =>
    e.features.relaxedSimd ? op("f32x4.relaxed_madd", [a, b, c]) : op("f32x4.add", [op("f32x4.mul", [a, b]), c]),
  nmadd: (a, b, c) =>
    e.features.relaxedSimd ? op("f32x4.relaxed_nmadd", [a, b, c]) : op("f32x4.sub", [c, op("f32x4.mul", [a, b])]),
});

/** Calls a function that SIMD lacks; it is written into the module the first time. */
export function call(e: Emit, name: fn.FunctionName, ...args: readonly Code[]): Code {
  let index = e.functions.get(name);
  if (index === undefined) {
    const { params, result, write } = fn.functions[name];
    const own: Emit = { ...e, locals: params.map((type, k) => ({ name: `x${k}`, type })), out: [] };
    const value = write(builder(own), ...params.map((_, k) => get({ index: k, name: `x${k}` })));
    index = e.funcs.length;
    e.functions.set(name, index);
    e.funcs.push({ name, params, result, locals: own.locals, body: [...own.out, value] });
  }
  return { kind: "op", op: "call", args, imm: [index], name };
}

/** One of four values; a bool of a mask is 0 or 1. */
export const laneOf = (type: LaneType, four: Code, at: number): Code =>
  type === "f32"
    ? op("f32x4.extract_lane", [four], at)
    : type === "bool"
      ? op("i32.and", [op("i32x4.extract_lane", [four], at), i32(1)])
      : op("i32x4.extract_lane", [four], at);

export const memory = (
  name: OpName,
  args: readonly Code[],
  offset: number,
  buffer?: string,
  ...lane: readonly number[]
): Code => ({
  kind: "op",
  op: name,
  args,
  imm: [offset, ...lane],
  ...(buffer ? { name: buffer } : {}),
});
