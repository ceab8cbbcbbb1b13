/** Ops: tables of instructions, and what takes several. */
import { unreachable } from "../../base/invariant.ts";
import type { Expr, LaneOp, LaneType } from "../../lane/ir.ts";
import { type Code, floats, i32, ints, type OpName, op } from "./code.ts";
import { builder, call, type Emit, laneOf, splatOf } from "./context.ts";
import * as fn from "./functions.ts";

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
export const onlyWide: Partial<Record<LaneOp, (e: Emit, ...args: readonly Code[]) => Code>> = {
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
  round_f16: (e, x) => fn.roundF16(builder(e), builder(e).keep(x!)),
};

export function wideOp(e: Emit, x: OpExpr): Code {
  const type = x.args[0]!.type;
  const arg = (k: number): Code => e.wide(x.args[k]!);
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
    const held = keep(e.wide(a)) as { imm: readonly number[] };
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
  const factors = (p: OpExpr): [Code, Code] => [e.wide(p.args[0]!), e.wide(p.args[1]!)];
  if (isProduct(b)) {
    const sum = e.wide(a);
    return x.op === "add" ? madd(...factors(b), sum) : nmadd(...factors(b), sum);
  }
  if (x.op === "add" && isProduct(a)) return madd(...factors(a), e.wide(b));
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
    const b = keep(e.wide(base));
    const square = op("f32x4.mul", [b, b]);
    return whole === 2 ? square : op("f32x4.mul", [square, b]);
  }
  return call(e, "pow", e.wide(base), e.wide(n));
}

export function scalarOp(e: Emit, x: OpExpr): Code {
  const type = x.args[0]!.type;
  const arg = (k: number): Code => e.scalar(x.args[k]!);
  const keep = builder(e).keep;
  if (x.op === "dot") {
    const product = keep(op("f32x4.mul", [e.wide(x.args[0]!), e.wide(x.args[1]!)]));
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
