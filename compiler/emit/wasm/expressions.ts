/** Expressions of Lane: the code of one value, and of four. */
import { InvariantError, unreachable } from "../../base/invariant.ts";
import { isHalf } from "../../core/half.ts";
import type { Expr, LaneType } from "../../lane/ir.ts";
import { type Code, f32, floats, i32, ints, op } from "./code.ts";
import { builder, type Emit, get, laneOf, memory, splatOf } from "./context.ts";
import { type Access, bufferPlace, dtypeOf, nameOf, scalarAccess, splatAccess, split, wideAccess } from "./memory.ts";
import { onlyWide, scalarOp, wideOp } from "./ops.ts";

/** The value of a scalar expression: an f32, or an i32, which is 0 or 1 for a bool. */
export function scalar(e: Emit, x: Expr): Code {
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
export function wide(e: Emit, x: Expr): Code {
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
    if (!isHalf(dtype) && dtype !== "bool")
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
