/**
 * Lane -> WebAssembly with SIMD. A function `main(first, end, scratch, args)` runs the workgroups from `first` to before
 * `end`: `args` is the place of the buffers' addresses and then the scalars, one word each; `scratch` of memory for the
 * arrays of one thread. What is 4-wide in Lane is a v128, a bool in it a mask; a scalar that only 4-wide values are
 * computed from is held four times over.
 */
import { InvariantError, unreachable } from "../base/invariant.ts";
import type { DType } from "../core/ir.ts";
import type { Expr, LaneOp, LaneProgram, LaneStmt, LaneType, Width } from "../lane/ir.ts";
import type { KernelText } from "./text.ts";
import { type Code, type Func, f32, floats, i32, ints, type OpName, op, type ValueType } from "./wasm/code.ts";
import { encode } from "./wasm/encode.ts";
import * as fn from "./wasm/functions.ts";
import { print } from "./wasm/print.ts";
import { type Counted, countUses } from "./wasm/uses.ts";

/** What an engine may lack. */
export type WasmFeatures = {
  /** Multiply-add in one rounding (the relaxed SIMD proposal). */
  readonly relaxedSimd: boolean;
};

/** Buffers lie above this address, so that a constant part of an index up to it may be left to the instruction. */
const lowest = 1 << 20;

type Local = { readonly index: number; readonly name: string };
/** How a Lane name is held: as it is, and where it is a scalar, four times over. */
type Held = { readonly own?: Local; readonly wide?: Local };
type Emit = {
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
};

export function emitWasm(program: LaneProgram, features: WasmFeatures): KernelText {
  const params = ["first", "end", "scratch", "args"].map((name) => ({ name, type: "i32" as const }));
  const e: Emit = {
    program,
    features,
    uses: countUses(program.body),
    locals: [...params],
    names: new Map(),
    buffers: [],
    arrays: new Map(),
    functions: new Map(),
    funcs: [],
    scratch: 0,
    out: [],
    labels: 0,
  };
  const args = get({ index: 3, name: "args" });
  program.buffers.forEach((b, k) => {
    e.buffers.push(setNew(e, b.name, "i32", memory("i32.load", [args], 4 * k)));
  });
  program.scalars.forEach((s, k) => {
    declare(e, s.name, "i32", 1, memory("i32.load", [args], 4 * (program.buffers.length + k)));
  });
  const group = { index: 0, name: "first" };
  e.names.set("group", { own: group });
  const one = (): void => {
    if (program.threads === 1) {
      declare(e, "lane", "i32", 1, i32(0));
      block(e, program.body);
    } else {
      const lane = setNew(e, "lane", "i32", i32(0));
      e.names.set("lane", { own: lane });
      upTo(e, lane, i32(program.threads), 1, true, () => block(e, program.body));
    }
  };
  upTo(e, group, get({ index: 1, name: "end" }), 1, true, one);
  const main: Func = { name: "main", params: ["i32", "i32", "i32", "i32"], locals: e.locals, body: e.out };
  const module = { name: program.name, funcs: [...e.funcs, main] };
  return {
    name: program.name,
    text: [...header(program), print(module), ""].join("\n"),
    code: encode(module),
    entry: "main",
    groups: [program.groups, 1, 1],
    access: program.buffers.map((b) => b.access),
    sharedBytes: e.scratch,
  };
}

function header(p: LaneProgram): readonly string[] {
  const buffers = p.buffers.map(
    (b) => `;;   ${b.name}: ${b.dtype}[${b.shape.join(", ")}]${b.access === "read" ? "" : ", written"}`,
  );
  return [`;; ${p.name}: ${p.groups} workgroups of ${p.threads}`, ...buffers, ...p.notes.map((n) => `;; ${n}`)];
}

// ---- locals ----------------------------------------------------------------------------------------------------------

const get = (l: Local): Code => ({ kind: "op", op: "local.get", args: [], imm: [l.index], name: l.name });
const set = (l: Local, value: Code): Code => ({
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
function setNew(e: Emit, name: string, type: ValueType, value: Code): Local {
  const local = newLocal(e, name, type);
  e.out.push(set(local, value));
  return local;
}
const scalarType = (t: LaneType): ValueType => (t === "f32" ? "f32" : "i32");

/** Gives a name a value, in the ways in which it is used. */
function declare(e: Emit, name: string, type: LaneType, width: Width, value: Code, splat?: () => Code): void {
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
const splatOf = (type: LaneType, value: Code): Code =>
  type === "f32"
    ? op("f32x4.splat", [value])
    : op("i32x4.splat", [type === "bool" ? op("i32.sub", [i32(0), value]) : value]);

const builder = (e: Emit): fn.Builder => ({
  keep: (value, type = "v128") =>
    value.kind === "op" && value.op === "local.get" ? value : get(setNew(e, `t${e.locals.length}`, type, value)),
  madd: (a, b, c) =>
    e.features.relaxedSimd ? op("f32x4.relaxed_madd", [a, b, c]) : op("f32x4.add", [op("f32x4.mul", [a, b]), c]),
  nmadd: (a, b, c) =>
    e.features.relaxedSimd ? op("f32x4.relaxed_nmadd", [a, b, c]) : op("f32x4.sub", [c, op("f32x4.mul", [a, b])]),
});

/** Calls a function that SIMD lacks; it is written into the module the first time. */
function call(e: Emit, name: fn.FunctionName, ...args: readonly Code[]): Code {
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

// ---- statements ------------------------------------------------------------------------------------------------------

/** Runs `body` with `counter` from what it is to before `below`. `empty`: it may be that there is nothing to do. */
function upTo(e: Emit, counter: Local, below: Code, step: number, empty: boolean, body: () => void): void {
  const label = `${counter.name}${e.labels++}`;
  const outer = e.out;
  e.out = [];
  body();
  const inside = e.out;
  e.out = outer;
  const again: Code = { kind: "br", label, cond: op("i32.lt_s", [get(counter), below]) };
  const loop: Code = {
    kind: "loop",
    label,
    body: [...inside, set(counter, op("i32.add", [get(counter), i32(step)])), again],
  };
  e.out.push(empty ? { kind: "if", cond: op("i32.lt_s", [get(counter), below]), then: [loop], else: [] } : loop);
}

function block(e: Emit, stmts: readonly LaneStmt[]): void {
  for (const s of stmts) statement(e, s);
}
function inside(e: Emit, stmts: readonly LaneStmt[]): readonly Code[] {
  const outer = e.out;
  e.out = [];
  block(e, stmts);
  const body = e.out;
  e.out = outer;
  return body;
}
const leaves = (stmts: readonly LaneStmt[]): boolean =>
  stmts.some((s) => s.kind === "continue" || (s.kind === "if" && (leaves(s.then) || leaves(s.else))));
/** The block that `continue` goes to the end of. */
const NEXT = "next";

function statement(e: Emit, s: LaneStmt): void {
  switch (s.kind) {
    case "let": {
      const { type, width: w } = s.value;
      if (w === 4) declare(e, s.name, type, 4, wide(e, s.value));
      else {
        const uses = e.uses.get(s.name);
        const only = uses && uses.wide > 0 && uses.scalar === 0;
        declare(e, s.name, type, 1, only ? i32(0) : scalar(e, s.value), () => wide(e, s.value));
      }
      return;
    }
    case "var": {
      const type = s.width === 4 ? "v128" : scalarType(s.type);
      e.names.set(s.name, { own: setNew(e, s.name, type, s.width === 4 ? wide(e, s.value) : scalar(e, s.value)) });
      return;
    }
    case "array":
      e.scratch = (e.scratch + 15) & ~15;
      e.arrays.set(s.name, { offset: e.scratch, type: s.type });
      e.scratch += 4 * s.size;
      e.out.push({ kind: "note", text: `${s.name}: ${s.size} elements` });
      return;
    case "set":
      e.out.push(set(e.names.get(s.name)!.own!, s.value.width === 4 ? wide(e, s.value) : scalar(e, s.value)));
      return;
    case "setElem": {
      const place = elementPlace(e, s.array, s.index);
      const name = s.array;
      if (s.value.width === 4) e.out.push(memory("v128.store", [place.base, wide(e, s.value)], place.offset, name));
      else
        e.out.push(
          memory(
            s.value.type === "f32" ? "f32.store" : "i32.store",
            [place.base, scalar(e, s.value)],
            place.offset,
            name,
          ),
        );
      return;
    }
    case "store":
      store(e, s.buffer, s.index, s.value);
      return;
    case "for": {
      const counter = setNew(e, s.name, "i32", scalar(e, s.from));
      const uses = e.uses.get(s.name);
      e.names.set(s.name, { own: counter });
      const below =
        s.below.kind === "lit" ? i32(s.below.value) : get(setNew(e, `${s.name}_end`, "i32", scalar(e, s.below)));
      const runs = s.from.kind === "lit" && s.below.kind === "lit" && s.from.value < s.below.value;
      upTo(e, counter, below, s.step, !runs, () => {
        if (uses && uses.wide > 1)
          e.names.set(s.name, {
            own: counter,
            wide: setNew(e, `${s.name}_four`, "v128", op("i32x4.splat", [get(counter)])),
          });
        if (!leaves(s.body)) block(e, s.body);
        else e.out.push({ kind: "block", label: NEXT, body: inside(e, s.body) });
      });
      return;
    }
    case "if": {
      const cond = scalar(e, s.cond);
      e.out.push({ kind: "if", cond, then: inside(e, s.then), else: inside(e, s.else) });
      return;
    }
    case "continue":
      e.out.push({ kind: "br", label: NEXT });
      return;
    case "comment":
      e.out.push({ kind: "note", text: s.text });
      return;
    default:
      throw new InvariantError(`a thread of kernel ${e.program.name} is alone on a CPU, and there is no ${s.kind}`);
  }
}

// ---- memory ----------------------------------------------------------------------------------------------------------

type Place = { readonly base: Code; readonly offset: number };
const memory = (
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

/** An index as something and a constant. */
function split(index: Expr): { readonly rest: Expr | undefined; readonly constant: number } {
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
  return { base: op("i32.add", [moved, op("i32.shl", [scalar(e, rest), i32(shift)])]), offset };
}
const sixteen = (d: DType): boolean => d === "f16" || d === "bf16";
const bufferPlace = (e: Emit, buffer: number, index: Expr): Place =>
  place(e, get(e.buffers[buffer]!), index, sixteen(e.program.buffers[buffer]!.dtype) ? 1 : 2);
const elementPlace = (e: Emit, array: string, index: Expr): Place =>
  place(e, get({ index: 2, name: "scratch" }), index, 2, e.arrays.get(array)!.offset);

type Access = Extract<Expr, { kind: "load" | "elem" }>;
const nameOf = (e: Emit, a: Access): string => (a.kind === "elem" ? a.array : e.program.buffers[a.buffer]!.name);
const placeOf = (e: Emit, a: Access): Place =>
  a.kind === "elem" ? elementPlace(e, a.array, a.index) : bufferPlace(e, a.buffer, a.index);
/** Elements of arrays are as they are computed. */
const dtypeOf = (e: Emit, a: Access): DType =>
  a.kind === "load" ? e.program.buffers[a.buffer]!.dtype : a.type === "pair" ? "u32" : a.type;

/** 16-bit patterns in words, as floats. */
const widen = (e: Emit, dtype: DType, bits: Code): Code =>
  dtype === "bf16" ? fn.fromBf16(builder(e), bits) : call(e, "from_f16", bits);

function scalarAccess(e: Emit, a: Access): Code {
  const { base, offset } = placeOf(e, a);
  const [dtype, name] = [dtypeOf(e, a), nameOf(e, a)];
  if (sixteen(dtype)) {
    const bits = memory("i32.load16_u", [base], offset, name);
    if (dtype === "bf16") return op("f32.reinterpret_i32", [op("i32.shl", [bits, i32(16)])]);
    return op("f32x4.extract_lane", [widen(e, dtype, op("i32x4.splat", [bits]))], 0);
  }
  if (dtype === "f32") return memory("f32.load", [base], offset, name);
  const word = memory("i32.load", [base], offset, name);
  return dtype === "bool" && a.kind === "load" ? op("i32.ne", [word, i32(0)]) : word;
}
/** One element, four times over. */
function splatAccess(e: Emit, a: Access): Code {
  const { base, offset } = placeOf(e, a);
  const [dtype, name] = [dtypeOf(e, a), nameOf(e, a)];
  if (sixteen(dtype)) return widen(e, dtype, op("i32x4.splat", [memory("i32.load16_u", [base], offset, name)]));
  const word = memory("v128.load32_splat", [base], offset, name);
  return dtype === "bool" ? op("i32x4.ne", [word, ints(0)]) : word;
}
/** Four neighbours. Masks are kept in arrays as they are, and in buffers as 0 and 1. */
function wideAccess(e: Emit, a: Access): Code {
  const { base, offset } = placeOf(e, a);
  const [dtype, name] = [dtypeOf(e, a), nameOf(e, a)];
  if (sixteen(dtype)) return widen(e, dtype, memory("v128.load16x4_u", [base], offset, name));
  const words = memory("v128.load", [base], offset, name);
  return dtype === "bool" && a.kind === "load" ? op("i32x4.ne", [words, ints(0)]) : words;
}

function store(e: Emit, buffer: number, index: Expr, value: Expr): void {
  const { dtype, name } = e.program.buffers[buffer]!;
  const { base, offset } = bufferPlace(e, buffer, index);
  const narrow = (x: Code): Code =>
    dtype === "bf16" ? fn.toBf16(builder(e), builder(e).keep(x)) : call(e, "to_f16", x);
  if (sixteen(dtype)) {
    const bits = narrow(wide(e, value));
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
    const words = dtype === "bool" ? op("v128.and", [wide(e, value), ints(1)]) : wide(e, value);
    e.out.push(memory("v128.store", [base, words], offset, name));
  } else if (value.kind === "component" && typeof value.at === "number" && value.arg.kind === "ref" && dtype !== "bool")
    e.out.push(memory("v128.store32_lane", [base, wide(e, value.arg)], offset, name, value.at));
  else e.out.push(memory(dtype === "f32" ? "f32.store" : "i32.store", [base, scalar(e, value)], offset, name));
}

// ---- expressions -----------------------------------------------------------------------------------------------------

/** The value of a scalar expression: an f32, or an i32, which is 0 or 1 for a bool. */
function scalar(e: Emit, x: Expr): Code {
  switch (x.kind) {
    case "lit":
      return x.type === "f32" ? f32(x.value) : i32(x.value);
    case "ref": {
      const held = e.names.get(x.name)!;
      return held.own ? get(held.own) : laneOf(x.type, get(held.wide!), 0);
    }
    case "elem":
    case "load":
      return scalarAccess(e, x);
    case "component":
      return component(e, x);
    case "cast":
      return castScalar(e, x.arg.type, x.type, scalar(e, x.arg));
    case "op":
      return scalarOp(e, x);
    case "vec":
    case "pack":
      throw new InvariantError(`${x.kind} in kernel ${e.program.name} where one value is wanted`);
    default:
      return unreachable(x, "lane expression");
  }
}
const laneOf = (type: LaneType, four: Code, at: number): Code =>
  type === "f32"
    ? op("f32x4.extract_lane", [four], at)
    : type === "bool"
      ? op("i32.and", [op("i32x4.extract_lane", [four], at), i32(1)])
      : op("i32x4.extract_lane", [four], at);

function component(e: Emit, x: Extract<Expr, { kind: "component" }>): Code {
  if (typeof x.at === "number") return laneOf(x.type, wide(e, x.arg), x.at);
  const { arg } = x;
  if (arg.kind !== "elem" && arg.kind !== "load") {
    const keep = builder(e).keep;
    const four = keep(wide(e, arg));
    const at = keep(scalar(e, x.at), "i32");
    return [1, 2, 3].reduce(
      (found, k) => op("select", [laneOf(x.type, four, k), found, op("i32.eq", [at, i32(k)])]),
      laneOf(x.type, four, 0),
    );
  }
  // One of the group of four around an element.
  const group: Expr = {
    kind: "op",
    op: "and",
    args: [arg.index, { kind: "lit", value: -4, type: "i32", width: 1 }],
    type: "i32",
    width: 1,
  };
  const index: Expr = { kind: "op", op: "add", args: [group, x.at], type: "i32", width: 1 };
  const read = scalarAccess(e, { ...arg, index, width: 1 });
  return x.type === "bool" && arg.kind === "elem" ? op("i32.and", [read, i32(1)]) : read;
}

function castScalar(e: Emit, from: LaneType, to: LaneType, x: Code): Code {
  void e;
  if (from === to) return x;
  if (to === "bool") return from === "f32" ? op("f32.ne", [x, f32(0)]) : op("i32.ne", [x, i32(0)]);
  if (to === "f32") return op(from === "i32" ? "f32.convert_i32_s" : "f32.convert_i32_u", [x]);
  if (from === "f32") return op(to === "i32" ? "i32.trunc_sat_f32_s" : "i32.trunc_sat_f32_u", [x]);
  return x;
}
function castWide(from: LaneType, to: LaneType, x: Code): Code {
  if (from === to) return x;
  if (to === "bool") return from === "f32" ? op("f32x4.ne", [x, floats(0)]) : op("i32x4.ne", [x, ints(0)]);
  if (from === "bool") return op("v128.and", [x, to === "f32" ? floats(1) : ints(1)]);
  if (to === "f32") return op(from === "i32" ? "f32x4.convert_i32x4_s" : "f32x4.convert_i32x4_u", [x]);
  if (from === "f32") return op(to === "i32" ? "i32x4.trunc_sat_f32x4_s" : "i32x4.trunc_sat_f32x4_u", [x]);
  return x;
}

/** Four values: of a 4-wide expression, or of a scalar one four times over. */
function wide(e: Emit, x: Expr): Code {
  switch (x.kind) {
    case "lit":
      return x.type === "f32" ? floats(x.value) : ints(x.type === "bool" ? -x.value : x.value);
    case "ref": {
      const held = e.names.get(x.name)!;
      if (x.width === 4) return get(held.own!);
      return held.wide ? get(held.wide) : splatOf(x.type, get(held.own!));
    }
    case "elem":
    case "load":
      if (x.width === 4) return wideAccess(e, x);
      // A scalar bool of an array is 0 or 1.
      return splatAccess(e, x);
    case "component":
      return splatOf(x.type, scalar(e, x));
    case "vec":
      return four(e, x.args, x.type);
    case "cast":
      return castWide(x.arg.type, x.type, wide(e, x.arg));
    case "op":
      if (x.width === 4) return wideOp(e, x);
      return x.op in onlyWide ? wideOp(e, x) : splatOf(x.type, scalarOp(e, x));
    case "pack":
      throw new InvariantError(`a pair in kernel ${e.program.name} where four values are wanted`);
    default:
      return unreachable(x, "lane expression");
  }
}

/** Four scalars side by side: one of them over and over, neighbours in memory, numbers in a row, or whatever they are. */
function four(e: Emit, parts: readonly Expr[], type: LaneType): Code {
  const [first] = parts as [Expr, ...Expr[]];
  const literal = parts.every((p) => p.kind === "lit");
  if (literal && !parts.every((p) => p.kind === "lit" && p.value === (first as { value: number }).value)) {
    const bits = parts.map((p) => (wide(e, p) as { imm: readonly number[] }).imm[0]!);
    return op("v128.const", [], ...bits);
  }
  if (parts.every((p) => p === first || (literal && p.kind === "lit"))) return wide(e, first);
  const indices = parts.map((p) => (p.kind === "load" && p.width === 1 ? split(p.index) : undefined));
  const sameBase = (a: Expr | undefined, b: Expr | undefined): boolean =>
    a === b || (a?.kind === "ref" && b?.kind === "ref" && a.name === b.name);
  if (first.kind === "load" && parts.every((p) => p.kind === "load" && p.buffer === first.buffer)) {
    const step = (k: number): number => indices[k]!.constant - indices[0]!.constant;
    const together = parts.every((_, k) => sameBase(indices[k]!.rest, indices[0]!.rest));
    if (together && parts.every((_, k) => step(k) === 0)) return splatAccess(e, first);
    if (together && parts.every((_, k) => step(k) === k)) return wideAccess(e, { ...first, width: 4 });
    const dtype = dtypeOf(e, first);
    if (!sixteen(dtype) && dtype !== "bool")
      return (parts as readonly Access[]).reduce<Code>((vector, p, k) => {
        const at = bufferPlace(e, first.buffer, p.index);
        if (k === 0) return memory("v128.load32_zero", [at.base], at.offset, nameOf(e, p));
        return memory("v128.load32_lane", [at.base, vector], at.offset, nameOf(e, p), k);
      }, f32(0));
  }
  const sums = parts.map(split);
  if (type === "i32" && sums.every((s) => s.rest && sameBase(s.rest, sums[0]!.rest)))
    return op("i32x4.add", [wide(e, sums[0]!.rest!), op("v128.const", [], ...sums.map((s) => s.constant))]);
  return parts
    .slice(1)
    .reduce(
      (vector, p, k) =>
        type === "f32"
          ? op("f32x4.replace_lane", [vector, scalar(e, p)], k + 1)
          : op(
              "i32x4.replace_lane",
              [vector, type === "bool" ? op("i32.sub", [i32(0), scalar(e, p)]) : scalar(e, p)],
              k + 1,
            ),
      wide(e, first),
    );
}

type OpExpr = Extract<Expr, { kind: "op" }>;
type Names = Partial<Record<LaneOp, Partial<Record<LaneType, OpName>>>>;
const each = (
  f32Name: OpName,
  i32Name: OpName,
  u32Name = i32Name,
  bool?: OpName,
): Partial<Record<LaneType, OpName>> => ({
  f32: f32Name,
  i32: i32Name,
  u32: u32Name,
  ...(bool ? { bool } : {}),
});
/** The instruction for an op, by the type of its operands. */
const wideNames: Names = {
  add: each("f32x4.add", "i32x4.add"),
  sub: each("f32x4.sub", "i32x4.sub"),
  mul: each("f32x4.mul", "i32x4.mul"),
  div: { f32: "f32x4.div" },
  neg: each("f32x4.neg", "i32x4.neg"),
  abs: { f32: "f32x4.abs", i32: "i32x4.abs" },
  sqrt: { f32: "f32x4.sqrt" },
  floor: { f32: "f32x4.floor" },
  min: each("f32x4.min", "i32x4.min_s", "i32x4.min_u"),
  max: each("f32x4.max", "i32x4.max_s", "i32x4.max_u"),
  eq: each("f32x4.eq", "i32x4.eq", "i32x4.eq", "i32x4.eq"),
  ne: each("f32x4.ne", "i32x4.ne", "i32x4.ne", "v128.xor"),
  lt: each("f32x4.lt", "i32x4.lt_s", "i32x4.lt_u"),
  le: each("f32x4.le", "i32x4.le_s", "i32x4.le_u"),
  gt: each("f32x4.gt", "i32x4.gt_s", "i32x4.gt_u"),
  ge: each("f32x4.ge", "i32x4.ge_s", "i32x4.ge_u"),
  and: { bool: "v128.and", i32: "v128.and", u32: "v128.and" },
  or: { bool: "v128.or" },
  not: { bool: "v128.not" },
};
const scalarNames: Names = {
  add: each("f32.add", "i32.add"),
  sub: each("f32.sub", "i32.sub"),
  mul: each("f32.mul", "i32.mul"),
  div: { f32: "f32.div" },
  neg: { f32: "f32.neg" },
  abs: { f32: "f32.abs" },
  sqrt: { f32: "f32.sqrt" },
  floor: { f32: "f32.floor" },
  min: { f32: "f32.min" },
  max: { f32: "f32.max" },
  eq: each("f32.eq", "i32.eq", "i32.eq", "i32.eq"),
  ne: each("f32.ne", "i32.ne", "i32.ne", "i32.ne"),
  lt: each("f32.lt", "i32.lt_s", "i32.lt_u", "i32.lt_u"),
  le: each("f32.le", "i32.le_s", "i32.le_u", "i32.le_u"),
  gt: each("f32.gt", "i32.gt_s", "i32.gt_u", "i32.gt_u"),
  ge: each("f32.ge", "i32.ge_s", "i32.ge_u", "i32.ge_u"),
  and: { bool: "i32.and", i32: "i32.and", u32: "i32.and" },
  or: { bool: "i32.or" },
  not: { bool: "i32.eqz" },
};
/** Ops that are written on four floats only; a scalar one takes the first of four. */
const onlyWide: Partial<Record<LaneOp, (e: Emit, ...args: readonly Code[]) => Code>> = {
  exp: (e, x) => fn.exp(builder(e), x!),
  exp2: (e, x) => call(e, "exp2", x!),
  log: (e, x) => call(e, "log", x!),
  log2: (e, x) => call(e, "log2", x!),
  sin: (e, x) => call(e, "sin", x!),
  cos: (e, x) => call(e, "cos", x!),
  tanh: (e, x) => call(e, "tanh", x!),
  sigmoid: (e, x) => fn.sigmoid(builder(e), x!),
  rsqrt: (e, x) => fn.rsqrt(builder(e), x!),
  round_bf16: (e, x) => fn.fromBf16(builder(e), fn.toBf16(builder(e), builder(e).keep(x!))),
  round_f16: (e, x) => call(e, "from_f16", call(e, "to_f16", x!)),
};

function wideOp(e: Emit, x: OpExpr): Code {
  const type = x.args[0]!.type;
  const arg = (k: number): Code => wide(e, x.args[k]!);
  const keep = builder(e).keep;
  if (type === "f32" && (x.op === "add" || x.op === "sub")) {
    const fused = multiplyAdd(e, x);
    if (fused) return fused;
  }
  const whole = onlyWide[x.op];
  if (whole) return whole(e, ...x.args.map((_, k) => arg(k)));
  if (type === "f32" && x.op === "div") {
    const by = reciprocal(x.args[1]!);
    if (by !== undefined) return op("f32x4.mul", [arg(0), floats(by)]);
  }
  const name = wideNames[x.op]?.[type];
  if (name)
    return op(
      name,
      x.args.map((_, k) => arg(k)),
    );
  switch (x.op) {
    case "select":
      return op("v128.bitselect", [arg(1), arg(2), arg(0)]);
    case "abs":
      return arg(0);
    case "sign":
      if (type === "f32") return fn.sign(builder(e), keep(arg(0)));
      if (type === "u32") return op("i32x4.min_u", [arg(0), ints(1)]);
      return op("i32x4.max_s", [op("i32x4.min_s", [arg(0), ints(1)]), ints(-1)]);
    case "mod": {
      if (type === "f32") return fn.mod(builder(e), keep(arg(0)), keep(arg(1)));
      const n = wholePower(x.args[1]!);
      return n === undefined ? byOnes(e, x) : op("v128.and", [arg(0), ints(2 ** n - 1)]);
    }
    case "pow":
      return type === "f32" ? power(e, x) : byOnes(e, x);
    case "div": {
      const n = wholePower(x.args[1]!);
      if (n === undefined) return byOnes(e, x);
      return op(type === "i32" ? "i32x4.shr_s" : "i32x4.shr_u", [arg(0), i32(n)]);
    }
    case "random_uniform":
      return byOnes(e, x);
    case "lt":
    case "le":
    case "gt":
    case "ge":
      // Of masks: true is -1, the less of two.
      return op({ lt: "i32x4.gt_s", le: "i32x4.ge_s", gt: "i32x4.lt_s", ge: "i32x4.le_s" }[x.op] as OpName, [
        arg(0),
        arg(1),
      ]);
    default:
      return unreachable(x.op as never, "op without a spelling in WebAssembly");
  }
}
/** The number that an expression is, four times over where it is wide. */
function literalOf(n: Expr): number | undefined {
  const first = n.kind === "vec" ? n.args[0]! : n;
  const same =
    n.kind !== "vec" || n.args.every((a) => a.kind === "lit" && first.kind === "lit" && a.value === first.value);
  return first.kind === "lit" && same ? first.value : undefined;
}
/** 1/n where that is exact. */
function reciprocal(n: Expr): number | undefined {
  const value = literalOf(n);
  const power = Math.log2(Math.abs(value ?? 0));
  return Number.isInteger(power) && Math.abs(power) < 100 ? 1 / value! : undefined;
}
/** k where n is the whole number 2^k. */
function wholePower(n: Expr): number | undefined {
  const power = Math.log2(literalOf(n) ?? 0);
  return Number.isInteger(power) && power >= 0 && power < 31 ? power : undefined;
}
/** An op without a 4-wide form, on each of the four. */
function byOnes(e: Emit, x: OpExpr): Code {
  const keep = builder(e).keep;
  const args = x.args.map((a) => {
    const name = `four${e.labels++}`;
    const held = keep(wide(e, a)) as { imm: readonly number[] };
    e.names.set(name, { own: { index: held.imm[0]!, name } });
    return { kind: "ref", name, type: a.type, width: 4 } as const;
  });
  const parts = [0, 1, 2, 3].map((at): Code => {
    const one: OpExpr = {
      ...x,
      width: 1,
      args: args.map((arg) => ({ kind: "component", arg, at, type: arg.type, width: 1 })),
    };
    return scalarOp(e, one);
  });
  return parts
    .slice(1)
    .reduce(
      (vector, p, k) => op(x.type === "f32" ? "f32x4.replace_lane" : "i32x4.replace_lane", [vector, p], k + 1),
      splatOf(x.type, parts[0]!),
    );
}
function multiplyAdd(e: Emit, x: OpExpr): Code | undefined {
  const [a, b] = x.args as [Expr, Expr];
  const isProduct = (p: Expr): p is OpExpr => p.kind === "op" && p.op === "mul" && p.type === "f32";
  const { madd, nmadd } = builder(e);
  const factors = (p: OpExpr): [Code, Code] => [wide(e, p.args[0]!), wide(e, p.args[1]!)];
  if (isProduct(b)) {
    const sum = wide(e, a);
    return x.op === "add" ? madd(...factors(b), sum) : nmadd(...factors(b), sum);
  }
  if (x.op === "add" && isProduct(a)) return madd(...factors(a), wide(e, b));
  return undefined;
}
function power(e: Emit, x: OpExpr): Code {
  const keep = builder(e).keep;
  const [base, n] = x.args as [Expr, Expr];
  const whole =
    n.kind === "lit"
      ? n.value
      : n.kind === "vec" && n.args.every((a) => a.kind === "lit" && a === n.args[0])
        ? (n.args[0] as { value: number }).value
        : undefined;
  if (whole === 2 || whole === 3) {
    const b = keep(wide(e, base));
    const square = op("f32x4.mul", [b, b]);
    return whole === 2 ? square : op("f32x4.mul", [square, b]);
  }
  return call(e, "pow", wide(e, base), wide(e, n));
}

function scalarOp(e: Emit, x: OpExpr): Code {
  const type = x.args[0]!.type;
  const arg = (k: number): Code => scalar(e, x.args[k]!);
  const keep = builder(e).keep;
  if (x.op === "dot") {
    const product = keep(op("f32x4.mul", [wide(e, x.args[0]!), wide(e, x.args[1]!)]));
    const pair = (a: number, b: number): Code => op("f32.add", [laneOf("f32", product, a), laneOf("f32", product, b)]);
    return op("f32.add", [pair(0, 1), pair(2, 3)]);
  }
  if (x.op in onlyWide || (type === "f32" && (x.op === "pow" || x.op === "mod" || x.op === "sign")))
    return op("f32x4.extract_lane", [wideOp(e, x)], 0);
  const name = scalarNames[x.op]?.[type];
  if (name)
    return op(
      name,
      x.args.map((_, k) => arg(k)),
    );
  switch (x.op) {
    case "neg":
      return op("i32.sub", [i32(0), arg(0)]);
    case "abs": {
      if (type === "u32") return arg(0);
      const a = keep(arg(0), "i32");
      return op("select", [op("i32.sub", [i32(0), a]), a, op("i32.lt_s", [a, i32(0)])]);
    }
    case "select":
      return op("select", [arg(1), arg(2), arg(0)]);
    case "sign": {
      const a = keep(arg(0), "i32");
      const positive = op(type === "u32" ? "i32.ne" : "i32.gt_s", [a, i32(0)]);
      return type === "u32" ? positive : op("i32.sub", [positive, op("i32.lt_s", [a, i32(0)])]);
    }
    case "min":
    case "max": {
      const [a, b] = [keep(arg(0), "i32"), keep(arg(1), "i32")];
      const signed = type === "i32" ? "s" : "u";
      return op("select", [a, b, op(`i32.${x.op === "min" ? "lt" : "gt"}_${signed}` as OpName, [a, b])]);
    }
    case "div":
    case "mod": {
      const n = wholePower(x.args[1]!);
      if (n !== undefined && x.op === "mod") return op("i32.and", [arg(0), i32(2 ** n - 1)]);
      if (n !== undefined) return n === 0 ? arg(0) : op(type === "i32" ? "i32.shr_s" : "i32.shr_u", [arg(0), i32(n)]);
      const helper = `${type === "i32" ? "floor" : "uint"}_${x.op}` as fn.FunctionName;
      return call(e, helper, arg(0), arg(1));
    }
    case "pow":
      return call(e, type === "i32" ? "int_pow" : "uint_pow", arg(0), arg(1));
    case "random_uniform": {
      const [key, ...counters] = x.args.map((_, k) => arg(k));
      let state = fn.words(key!, i32(counters.length));
      for (let k = 0; k < Math.max(1, counters.length); k += 2)
        state = call(e, "threefry", state, fn.words(counters[k] ?? i32(0), counters[k + 1] ?? i32(0)));
      return fn.uniform(state);
    }
    default:
      return unreachable(x.op as never, "op without a spelling in WebAssembly");
  }
}
