/**
 * Lane -> WGSL. A table of spellings, and what WGSL lacks: floor division, 16-bit storage without an extension,
 * infinities (which may not be constant expressions), functions that overflow where the mathematical one does not.
 */
import { unreachable } from "../base/invariant.ts";
import type { Expr, LaneBuffer, LaneOp, LaneProgram, LaneStmt, LaneType, Width } from "../lane/ir.ts";
import type { KernelText } from "./text.ts";
import { type Helper, helpers } from "./wgslHelpers.ts";

/** The most workgroups along one dimension of a dispatch; WebGPU guarantees as many. */
const groupsPerDimension = 65535;

export function emitWgsl(program: LaneProgram): KernelText {
  const out = new Set<Helper>();
  const ctx: Emit = { program, used: out, arrays: [] };
  const body = block(ctx, program.body, 1);
  const rows = Math.ceil(program.groups / groupsPerDimension);
  const columns = Math.ceil(program.groups / rows);
  const sized = rows > 1;
  const quads = body.includes("quadBroadcast(");
  const needsInfinity = body.includes("infinity");
  const text = [
    ...header(program),
    ...(quads ? ["enable subgroups;", "diagnostic(off, subgroup_uniformity);"] : []),
    ...(program.scalars.length > 0
      ? [
          "struct Params {",
          ...program.scalars.map((s) => `  ${s.name}: i32,`),
          "}",
          "@group(0) @binding(0) var<uniform> params: Params;",
        ]
      : []),
    ...program.buffers.map(
      (b, k) => `@group(0) @binding(${k + 1}) var<storage, ${b.access}> ${b.name}: array<${elementType(b)}>;`,
    ),
    ...(needsInfinity ? ["var<private> infinity_bits: u32 = 0x7f800000u;"] : []),
    ...ctx.arrays,
    "",
    ...[...out].sort().map((h) => helpers[h]),
    `@compute @workgroup_size(${program.threads})`,
    `fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32${quads ? ", @builtin(subgroup_invocation_id) subgroup_thread: u32" : ""}) {`,
    sized ? `  let group = i32(workgroup.x + workgroup.y * ${columns}u);` : "  let group = i32(workgroup.x);",
    ...(sized ? [`  if (group >= ${program.groups}) { return; }`] : []),
    "  let lane = i32(thread);",
    ...(quads ? ["  let quad = i32(subgroup_thread & 3u);"] : []),
    ...(needsInfinity ? ["  let infinity = bitcast<f32>(infinity_bits);"] : []),
    ...program.scalars.map((s) => `  let ${s.name} = params.${s.name};`),
    body,
    "}",
    "",
  ].join("\n");
  return {
    name: program.name,
    text,
    entry: "main",
    groups: [columns, rows, 1],
    access: program.buffers.map((b) => b.access),
    sharedBytes: 0,
  };
}

type Emit = { readonly program: LaneProgram; readonly used: Set<Helper>; readonly arrays: string[] };

function header(p: LaneProgram): readonly string[] {
  const buffers = p.buffers.map(
    (b) => `//   ${b.name}: ${b.dtype}[${b.shape.join(", ")}]${b.access === "read" ? "" : ", written"}`,
  );
  return [`// ${p.name}: ${p.groups} workgroups of ${p.threads}`, ...buffers, ...p.notes.map((n) => `// ${n}`)];
}

const sixteen = (b: LaneBuffer): boolean => b.dtype === "f16" || b.dtype === "bf16";
const storedAs = (b: LaneBuffer): string => (b.dtype === "bool" || sixteen(b) ? "u32" : b.dtype);
function elementType(b: LaneBuffer): string {
  if (b.vector) return sixteen(b) ? "vec2<u32>" : `vec4<${storedAs(b)}>`;
  return sixteen(b) && b.access === "read_write" ? "atomic<u32>" : storedAs(b);
}
const typeName = (t: LaneType, w: Width): string => (w === 4 ? `vec4<${t}>` : t);

function block(ctx: Emit, stmts: readonly LaneStmt[], depth: number): string {
  return stmts.map((s) => statement(ctx, s, depth)).join("\n");
}

function statement(ctx: Emit, s: LaneStmt, depth: number): string {
  const pad = "  ".repeat(depth);
  const e = (x: Expr): string => expr(ctx, x);
  switch (s.kind) {
    case "let":
      return `${pad}let ${s.name} = ${e(s.value)};`;
    case "var":
      return `${pad}var ${s.name}: ${typeName(s.type, s.width)} = ${e(s.value)};`;
    case "array":
      // In the private address space: drivers compile it several times faster than the same array in the function.
      ctx.arrays.push(`var<private> ${s.name}: array<${typeName(s.type, s.width)}, ${Math.max(1, s.size / s.width)}>;`);
      return `${pad}// ${s.name}: ${s.size} elements`;
    case "set":
      return `${pad}${s.name} = ${e(s.value)};`;
    case "setElem":
      return `${pad}${s.array}[${e(s.value.width === 4 ? quarter(s.index) : s.index)}] = ${e(s.value)};`;
    case "store":
      return `${pad}${store(ctx, s.buffer, s.index, s.value)}`;
    case "for": {
      const head = `var ${s.name} = ${e(s.from)}; ${s.name} < ${e(s.below)}; ${s.name} += ${s.step}`;
      return `${pad}for (${head}) {\n${block(ctx, s.body, depth + 1)}\n${pad}}`;
    }
    case "if": {
      const otherwise = s.else.length > 0 ? ` else {\n${block(ctx, s.else, depth + 1)}\n${pad}}` : "";
      return `${pad}if (${e(s.cond)}) {\n${block(ctx, s.then, depth + 1)}\n${pad}}${otherwise}`;
    }
    case "continue":
      return `${pad}continue;`;
    case "comment":
      return `${pad}// ${s.text}`;
    default:
      return unreachable(s, "lane statement");
  }
}

const shift = (e: Expr, by: number): Expr =>
  e.kind === "lit"
    ? { ...e, value: e.value >> by }
    : {
        kind: "op",
        op: "div",
        args: [e, { kind: "lit", value: 1 << by, type: "i32", width: 1 }],
        type: "i32",
        width: 1,
      };
const quarter = (e: Expr): Expr => shift(e, 2);

function load(ctx: Emit, e: Extract<Expr, { kind: "load" }>): string {
  const b = ctx.program.buffers[e.buffer]!;
  const i = (x: Expr): string => expr(ctx, x);
  const low = (n: number): string => (e.index.kind === "lit" ? String(e.index.value & n) : `(${i(e.index)}) & ${n}`);
  if (sixteen(b)) {
    const format = b.dtype as "bf16" | "f16";
    if (b.vector && e.width === 4) return call(ctx, `${format}x4`, `${b.name}[${i(quarter(e.index))}]`);
    const word = b.vector
      ? `${b.name}[${i(quarter(e.index))}][${i(shift(e.index, 1))} & 1]`
      : `${b.name}[${i(shift(e.index, 1))}]`;
    return call(ctx, `${format}_at`, b.access === "read" || b.vector ? word : `atomicLoad(&${word})`, i(e.index));
  }
  const text = !b.vector
    ? `${b.name}[${i(e.index)}]`
    : e.width === 4
      ? `${b.name}[${i(quarter(e.index))}]`
      : `${b.name}[${i(quarter(e.index))}][${low(3)}]`;
  if (b.dtype !== "bool") return text;
  return e.width === 4 ? `(${text} != vec4<u32>(0u))` : `(${text} != 0u)`;
}

function store(ctx: Emit, buffer: number, index: Expr, value: Expr): string {
  const b = ctx.program.buffers[buffer]!;
  const i = (x: Expr): string => expr(ctx, x);
  if (sixteen(b)) {
    const format = b.dtype as "bf16" | "f16";
    if (b.vector) return `${b.name}[${i(quarter(index))}] = ${call(ctx, `pack_${format}x4`, i(value))};`;
    const at = i(index);
    ctx.used.add(`pack_${format}`);
    // The neighbour in the word is another thread's: change this half alone.
    return (
      `{ let half = u32((${at}) & 1) * 16u; atomicAnd(&${b.name}[${i(shift(index, 1))}], ~(0xffffu << half)); ` +
      `atomicOr(&${b.name}[${i(shift(index, 1))}], pack_${format}(${i(value)}) << half); }`
    );
  }
  const bits =
    b.dtype === "bool"
      ? value.width === 4
        ? `select(vec4<u32>(0u), vec4<u32>(1u), ${i(value)})`
        : `select(0u, 1u, ${i(value)})`
      : i(value);
  return `${b.name}[${i(b.vector ? quarter(index) : index)}] = ${bits};`;
}

function call(ctx: Emit, name: Helper, ...args: readonly string[]): string {
  ctx.used.add(name);
  return `${name}(${args.join(", ")})`;
}

const infix: Partial<Record<LaneOp, readonly [symbol: string, rank: number]>> = {
  or: ["|", 1],
  and: ["&", 2],
  eq: ["==", 3],
  ne: ["!=", 3],
  lt: ["<", 3],
  le: ["<=", 3],
  gt: [">", 3],
  ge: [">=", 3],
  add: ["+", 4],
  sub: ["-", 4],
  mul: ["*", 5],
  div: ["/", 5],
};
/** Functions that WGSL has under the same meaning. */
const plain: Partial<Record<LaneOp, string>> = {
  exp: "exp",
  exp2: "exp2",
  log: "log",
  log2: "log2",
  sqrt: "sqrt",
  rsqrt: "inverseSqrt",
  abs: "abs",
  floor: "floor",
  min: "min",
  max: "max",
  dot: "dot",
};

function expr(ctx: Emit, e: Expr, rank = 0): string {
  switch (e.kind) {
    case "lit":
      return literal(e.value, e.type);
    case "ref":
      return e.name;
    case "elem":
      return `${e.array}[${expr(ctx, e.width === 4 ? quarter(e.index) : e.index)}]`;
    case "load":
      return load(ctx, e);
    case "component":
      return typeof e.at === "number"
        ? `${expr(ctx, e.arg, 9)}.${"xyzw"[e.at]}`
        : `${expr(ctx, e.arg, 9)}[${expr(ctx, e.at)}]`;
    case "vec": {
      const same = e.args.every(
        (a) => a === e.args[0] || (a.kind === "lit" && e.args[0]!.kind === "lit" && a.value === e.args[0]!.value),
      );
      return `vec4<${e.type}>(${(same ? [e.args[0]!] : e.args).map((a) => expr(ctx, a)).join(", ")})`;
    }
    case "cast":
      if (e.arg.type === "f32" && (e.type === "i32" || e.type === "u32")) {
        const helper = e.type === "i32" ? "to_int" : "to_uint";
        return call(ctx, e.width === 4 ? `${helper}4` : helper, expr(ctx, e.arg));
      }
      return `${typeName(e.type, e.width)}(${expr(ctx, e.arg)})`;
    case "op":
      return operation(ctx, e, rank);
    default:
      return unreachable(e, "lane expression");
  }
}

type OpExpr = Extract<Expr, { kind: "op" }>;
function operation(ctx: Emit, e: OpExpr, rank: number): string {
  const type = e.args[0]!.type;
  const wide = e.args.some((a) => a.width === 4);
  /** An operand, as wide as its fellows. */
  const arg = (k: number, r = 0): string => {
    const a = e.args[k]!;
    return wide && a.width === 1 ? `vec4<${a.type}>(${expr(ctx, a)})` : expr(ctx, a, r);
  };
  const all = (): readonly string[] => e.args.map((_, k) => arg(k));
  const integer = type === "i32" || type === "u32";
  const divisor = e.args[1];
  if (e.op === "quad_broadcast")
    return `quadBroadcast(${expr(ctx, e.args[0]!)}, ${literal(divisor?.kind === "lit" ? divisor.value : 0, "u32")})`;
  if (integer && (e.op === "div" || e.op === "mod") && divisor) {
    const n = divisor.kind === "lit" ? divisor.value : 0;
    const power = n > 0 && (n & (n - 1)) === 0 && !wide;
    if (power && e.op === "div") return n === 1 ? arg(0, rank) : `(${arg(0, 9)} >> ${Math.log2(n)}u)`;
    if (power) return `(${arg(0, 9)} & ${n - 1}${type === "u32" ? "u" : ""})`;
    if (type === "u32" && (e.op === "mod" || n > 0)) return `(${arg(0, 9)} ${e.op === "div" ? "/" : "%"} ${arg(1, 9)})`;
    if (type === "u32") return call(ctx, wide ? "uint_div4" : "uint_div", ...all());
    return call(
      ctx,
      wide ? (e.op === "div" ? "floor_div4" : "floor_mod4") : e.op === "div" ? "floor_div" : "floor_mod",
      ...all(),
    );
  }
  const sign = infix[e.op];
  if (sign) {
    const [symbol, own] = sign;
    // Not && and ||: those branch, and drivers take seconds or minutes over hundreds of branches in unrolled code.
    if (e.op === "and" || e.op === "or") return `(${arg(0, 9)} ${symbol} ${arg(1, 9)})`;
    const mixed = own >= 4;
    const side = (k: number, r: number): string => (mixed ? expr(ctx, e.args[k]!, r) : arg(k, r));
    const text = `${side(0, own)} ${symbol} ${side(1, own + 1)}`;
    // Comparisons do not chain.
    return own < rank || (rank > 0 && own <= 3) ? `(${text})` : text;
  }
  const name = plain[e.op];
  if (name) return `${name}(${all().join(", ")})`;
  switch (e.op) {
    case "neg":
      return type === "u32" ? `(0u - ${arg(0, 9)})` : `-${arg(0, 9)}`;
    case "not":
      return `!${arg(0, 9)}`;
    case "select":
      return `select(${arg(2)}, ${arg(1)}, ${e.args[0]!.width === 1 ? expr(ctx, e.args[0]!) : arg(0)})`;
    case "sigmoid":
      return `(1.0 / (1.0 + exp(-${arg(0, 9)})))`;
    case "tanh":
      return `tanh(clamp(${arg(0)}, ${wide ? "vec4<f32>(-10.0), vec4<f32>(10.0)" : "-10.0, 10.0"}))`;
    case "sin":
      return call(ctx, wide ? "sine4" : "sine", arg(0));
    case "cos":
      return call(ctx, wide ? "cosine4" : "cosine", arg(0));
    case "sign":
      return type === "u32" ? `min(${arg(0)}, ${wide ? "vec4<u32>(1u)" : "1u"})` : `sign(${arg(0)})`;
    case "mod":
      return call(ctx, wide ? "float_mod4" : "float_mod", ...all());
    case "pow":
      return power(ctx, e, arg, wide);
    case "random_uniform":
      return randomUniform(ctx, e);
    default:
      return unreachable(e.op as never, "op without a spelling in WGSL");
  }
}

/** The upper 24 of the bits that come of a key and counters, absorbed two at a time. */
function randomUniform(ctx: Emit, e: OpExpr): string {
  ctx.used.add("threefry");
  const [key, ...counters] = e.args.map((a) => (a.type === "u32" ? expr(ctx, a) : `u32(${expr(ctx, a)})`));
  let state = `vec2<u32>(${key}, ${counters.length}u)`;
  for (let i = 0; i < Math.max(1, counters.length); i += 2)
    state = `threefry(${state}, vec2<u32>(${counters[i] ?? "0u"}, ${counters[i + 1] ?? "0u"}))`;
  return `(f32(${state}.x >> 8u) * 5.9604644775390625e-8)`;
}

function power(ctx: Emit, e: OpExpr, arg: (k: number, r?: number) => string, wide: boolean): string {
  if (e.type === "i32" || e.type === "u32") {
    const helper: Helper = e.type === "i32" ? "int_pow" : "uint_pow";
    if (!wide) return call(ctx, helper, arg(0), arg(1));
    const parts = "xyzw".split("").map((p) => call(ctx, helper, `(${arg(0)}).${p}`, `(${arg(1)}).${p}`));
    return `vec4<${e.type}>(${parts.join(", ")})`;
  }
  const n = e.args[1]!;
  const base = e.args[0]!;
  if (n.kind === "lit" && base.kind === "ref" && (n.value === 2 || n.value === 3))
    return `(${Array(n.value).fill(base.name).join(" * ")})`;
  return call(ctx, wide ? "float_pow4" : "float_pow", arg(0), arg(1));
}

function literal(value: number, type: LaneType): string {
  if (type === "bool") return value ? "true" : "false";
  if (type === "u32") return `${value >>> 0}u`;
  if (type === "i32") return value === -2147483648 ? "i32(-2147483648)" : String(value);
  if (value === Infinity) return "infinity";
  if (value === -Infinity) return "(-infinity)";
  if (Number.isNaN(value)) return "(infinity - infinity)";
  const f = Math.fround(value);
  if (!Number.isFinite(f)) return f > 0 ? "infinity" : "(-infinity)";
  const text = Number.isInteger(f) && Math.abs(f) < 1e9 ? `${f}.0` : String(Number(f.toPrecision(9)));
  const named = /[.e]/.test(text) ? text : `${text}.0`;
  return named.startsWith("-") ? `(${named})` : named;
}
