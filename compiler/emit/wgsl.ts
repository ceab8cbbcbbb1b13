/**
 * Lane -> WGSL. A table of spellings, and what WGSL lacks: floor division, 16-bit storage without an extension,
 * infinities (which may not be constant expressions), functions that overflow where the mathematical one does not.
 */
import type { Expr, LaneBuffer, LaneProgram, LaneType, Width } from "../lane/ir.ts";
import { sharedBytesOf } from "../lane/team/shared.ts";
import { unrollLoops } from "../lane/unroll.ts";
import {
  decimal,
  type Operands,
  type Printer,
  printer,
  quarter,
  randomUniform,
  type Spelling,
  shift,
  smallPower,
} from "./spelling.ts";
import type { KernelText } from "./text.ts";
import { type Helper, helpers } from "./wgslHelpers.ts";
import {
  declareSharedArray,
  exchanged,
  type IsPacked,
  isTeam,
  seats,
  sharedArrays,
  sharedElement,
  teamStatement,
} from "./wgslTeam.ts";

/** The most workgroups along one dimension of a dispatch; WebGPU guarantees as many. */
const groupsPerDimension = 65535;

/** What a device has beyond the standard: `f16` is the feature shader-f16. */
export type WgslFeatures = { readonly f16?: boolean };

export function emitWgsl(written: LaneProgram, { f16 = false }: WgslFeatures = {}): KernelText {
  const team = isTeam(written);
  const program = team ? unrollLoops(written) : written;
  const used = new Set<Helper>();
  const arrays: string[] = [];
  const packed: IsPacked = (d) => d === "bf16" || (d === "f16" && !f16);
  const body = printer(wgsl(program, team, packed, used, arrays), program).block(program.body, 1);
  const rows = Math.ceil(program.groups / groupsPerDimension);
  const columns = Math.ceil(program.groups / rows);
  const sized = rows > 1;
  const quads = !written.seated && /\bquad(Broadcast\(|\b)/.test(body);
  const { seated } = program;
  const native = f16 && program.buffers.some((b) => b.dtype === "f16");
  const needsInfinity = body.includes("infinity");
  const text = [
    ...header(program),
    ...(native ? ["enable f16;"] : []),
    ...(quads || seated ? ["enable subgroups;", "diagnostic(off, subgroup_uniformity);"] : []),
    ...(program.scalars.length > 0
      ? [
          "struct Params {",
          ...program.scalars.map((s) => `  ${s.name}: i32,`),
          "}",
          "@group(0) @binding(0) var<uniform> params: Params;",
        ]
      : []),
    ...program.buffers.map(
      (b, k) => `@group(0) @binding(${k + 1}) var<storage, ${b.access}> ${b.name}: array<${elementType(b, packed)}>;`,
    ),
    ...(needsInfinity ? ["var<private> infinity_bits: u32 = 0x7f800000u;"] : []),
    ...(seated ? [seats.declaration] : []),
    ...arrays,
    "",
    ...[...used].sort().map((h) => helpers[h]),
    `@compute @workgroup_size(${program.threads})`,
    `fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32${quads ? ", @builtin(subgroup_invocation_id) subgroup_thread: u32" : ""}) {`,
    sized ? `  let group = i32(workgroup.x + workgroup.y * ${columns}u);` : "  let group = i32(workgroup.x);",
    ...(sized ? [`  if (group >= ${program.groups}) { return; }`] : []),
    ...(seated ? seats.lines : ["  let lane = i32(thread);"]),
    ...(seated && !body.includes("workgroupBarrier") ? [seats.barrier] : []),
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
    sharedBytes: sharedBytesOf(program),
  };
}

function header(p: LaneProgram): readonly string[] {
  const buffers = p.buffers.map(
    (b) => `//   ${b.name}: ${b.dtype}[${b.shape.join(", ")}]${b.access === "read" ? "" : ", written"}`,
  );
  return [`// ${p.name}: ${p.groups} workgroups of ${p.threads}`, ...buffers, ...p.notes.map((n) => `// ${n}`)];
}

function elementType(b: LaneBuffer, packed: IsPacked): string {
  const words = packed(b.dtype);
  const stored = b.dtype === "bool" || words ? "u32" : b.dtype;
  if (b.vector) return words ? "vec2<u32>" : `vec4<${stored}>`;
  return words && b.access === "read_write" ? "atomic<u32>" : stored;
}
const typeName = (t: LaneType, w: Width): string => (w === 1 ? t : `vec${w}<${t}>`);

/** `used` gathers the helpers that the text calls, `arrays` the declarations of arrays. */
function wgsl(program: LaneProgram, team: boolean, packed: IsPacked, used: Set<Helper>, arrays: string[]): Spelling {
  const shared = sharedArrays(program);
  const call: Call = (name, ...args) => {
    used.add(name);
    return `${name}(${args.join(", ")})`;
  };
  return {
    typeName,
    literal,
    declare: (p, s) =>
      s.kind === "let"
        ? `let ${s.name} = ${p.expr(s.value)};`
        : `var ${s.name}: ${typeName(s.type, s.width)} = ${p.expr(s.value)};`,
    array: (_, s) => {
      if (team) return `var ${s.name}: array<${typeName(s.type, s.width)}, ${s.size / s.width}>;`;
      // In the private address space: drivers compile it several times faster than the same array in the function.
      arrays.push(`var<private> ${s.name}: array<${typeName(s.type, s.width)}, ${Math.max(1, s.size / s.width)}>;`);
      return `// ${s.name}: ${s.size} elements`;
    },
    loop: (p, s) => `var ${s.name} = ${p.expr(s.from)}; ${s.name} < ${p.expr(s.below)}; ${s.name} += ${s.step}`,
    elem: (p, e) => {
      const array = shared.get(e.array);
      return array && sharedElement(p, call, array, e, packed);
    },
    load: (p, e) => load(p, call, packed, e),
    store: (p, s) => store(p, call, packed, s.buffer, s.index, s.value),
    team: (p, s) => {
      if (s.kind !== "shared") return teamStatement(p, s, shared, packed);
      arrays.push(declareSharedArray(s, packed));
      return "";
    },
    cast: (p, e) => {
      if (e.arg.type === "f32" && (e.type === "i32" || e.type === "u32")) {
        const helper = e.type === "i32" ? "to_int" : "to_uint";
        return call(e.width === 4 ? `${helper}4` : helper, p.expr(e.arg));
      }
      return `${typeName(e.type, e.width)}(${p.expr(e.arg)})`;
    },
    functions: {
      exp: "exp",
      exp2: "exp2",
      sqrt: "sqrt",
      rsqrt: "inverseSqrt",
      abs: "abs",
      floor: "floor",
      min: "min",
      max: "max",
      dot: "dot",
    },
    special: (p, o) => special(p, call, o),
  };
}
type Call = (name: Helper, ...args: readonly string[]) => string;

function load({ expr: i, program }: Printer, call: Call, packed: IsPacked, e: Extract<Expr, { kind: "load" }>): string {
  const b = program.buffers[e.buffer]!;
  const low = (n: number): string => (e.index.kind === "lit" ? String(e.index.value & n) : `(${i(e.index)}) & ${n}`);
  if (packed(b.dtype)) {
    const format = b.dtype as "bf16" | "f16";
    if (b.vector && e.width === 4) return call(`${format}x4`, `${b.name}[${i(quarter(e.index))}]`);
    const word = b.vector
      ? `${b.name}[${i(quarter(e.index))}][${i(shift(e.index, 1))} & 1]`
      : `${b.name}[${i(shift(e.index, 1))}]`;
    return call(`${format}_at`, b.access === "read" || b.vector ? word : `atomicLoad(&${word})`, i(e.index));
  }
  const text = !b.vector
    ? `${b.name}[${i(e.index)}]`
    : e.width === 4
      ? `${b.name}[${i(quarter(e.index))}]`
      : `${b.name}[${i(quarter(e.index))}][${low(3)}]`;
  if (b.dtype === "f16") return `${e.width === 4 ? "vec4<f32>" : "f32"}(${text})`;
  if (b.dtype !== "bool") return text;
  return e.width === 4 ? `(${text} != vec4<u32>(0u))` : `(${text} != 0u)`;
}

function store(
  { expr: i, program }: Printer,
  call: Call,
  packed: IsPacked,
  buffer: number,
  index: Expr,
  value: Expr,
): string {
  const b = program.buffers[buffer]!;
  if (packed(b.dtype)) {
    const format = b.dtype as "bf16" | "f16";
    if (b.vector) return `${b.name}[${i(quarter(index))}] = ${call(`pack_${format}x4`, i(value))};`;
    const at = i(index);
    // The neighbour in the word is another thread's: change this half alone.
    return (
      `{ let half = u32((${at}) & 1) * 16u; atomicAnd(&${b.name}[${i(shift(index, 1))}], ~(0xffffu << half)); ` +
      `atomicOr(&${b.name}[${i(shift(index, 1))}], ${call(`pack_${format}`, i(value))} << half); }`
    );
  }
  const bits =
    b.dtype === "bool"
      ? value.width === 4
        ? `select(vec4<u32>(0u), vec4<u32>(1u), ${i(value)})`
        : `select(0u, 1u, ${i(value)})`
      : b.dtype === "f16"
        ? `${value.width === 4 ? "vec4<f16>" : "f16"}(${i(value)})`
        : i(value);
  return `${b.name}[${i(b.vector ? quarter(index) : index)}] = ${bits};`;
}

function special(p: Printer, call: Call, o: Operands): string | undefined {
  const { e, wide, type, arg, all } = o;
  const integer = type === "i32" || type === "u32";
  switch (e.op) {
    case "quad_broadcast":
    case "shuffle_xor": {
      const [x, other] = e.args;
      const by = other?.kind === "lit" ? other.value : 0;
      const given = (text: string): string =>
        e.op === "shuffle_xor" ? exchanged(text, by) : `quadBroadcast(${text}, ${literal(by, "u32")})`;
      if (type !== "bool") return given(p.expr(x!));
      // Of numbers only.
      const words = wide ? "vec4<u32>" : "u32";
      return `(${given(`${words}(${p.expr(x!)})`)} != ${words}(0u))`;
    }
    case "xor":
      return `(${arg(0, 9)} ^ ${arg(1, 9)})`;
    case "div":
      if (!integer) return undefined;
      if (type === "i32") return call(wide ? "floor_div4" : "floor_div", ...all());
      // A divisor that cannot be 0 needs no look.
      return isPositive(e.args[1]!) ? `(${arg(0, 9)} / ${arg(1, 9)})` : call(wide ? "uint_div4" : "uint_div", ...all());
    case "mod":
      if (type === "u32") return `(${arg(0, 9)} % ${arg(1, 9)})`;
      if (type === "i32") return call(wide ? "floor_mod4" : "floor_mod", ...all());
      return call(wide ? "float_mod4" : "float_mod", ...all());
    case "neg":
      return type === "u32" ? `(0u - ${arg(0, 9)})` : `-${arg(0, 9)}`;
    case "not":
      return `!${arg(0, 9)}`;
    case "ne":
      // Drivers compare as if there were no NaN to be unequal to; of equality they find that it does not hold.
      return type === "f32" ? `!(${arg(0, 4)} == ${arg(1, 4)})` : undefined;
    case "select":
      // With brackets about comparisons: `a < b, c > d` begins as a template does.
      return `select(${arg(2, 1)}, ${arg(1, 1)}, ${e.args[0]!.width === 1 ? p.expr(e.args[0]!) : arg(0)})`;
    case "sigmoid":
      return `(1.0 / (1.0 + exp(-${arg(0, 9)})))`;
    case "tanh":
      return `tanh(clamp(${arg(0)}, ${wide ? "vec4<f32>(-10.0), vec4<f32>(10.0)" : "-10.0, 10.0"}))`;
    case "log":
    case "log2":
      return call(`near_${e.op}${wide ? "_4" : ""}`, arg(0));
    case "sin":
      return call(wide ? "sine4" : "sine", arg(0));
    case "cos":
      return call(wide ? "cosine4" : "cosine", arg(0));
    case "sign":
      return type === "u32" ? `min(${arg(0)}, ${wide ? "vec4<u32>(1u)" : "1u"})` : `sign(${arg(0)})`;
    case "pow":
      return power(call, o);
    case "round_bf16":
    case "round_f16":
      return call(`${e.op}${wide ? "x4" : ""}`, arg(0));
    case "random_uniform":
      call("threefry");
      return randomUniform(p, o, (a, b) => `vec2<u32>(${a}, ${b})`);
    default:
      return undefined;
  }
}

const isPositive = (e: Expr): boolean => e.kind === "lit" && e.value > 0;

function power(call: Call, o: Operands): string {
  const { e, wide, arg } = o;
  if (e.type === "i32" || e.type === "u32") {
    const helper: Helper = e.type === "i32" ? "int_pow" : "uint_pow";
    if (!wide) return call(helper, arg(0), arg(1));
    const parts = "xyzw".split("").map((c) => call(helper, `(${arg(0)}).${c}`, `(${arg(1)}).${c}`));
    return `vec4<${e.type}>(${parts.join(", ")})`;
  }
  return smallPower(o) ?? call(wide ? "float_pow4" : "float_pow", arg(0), arg(1));
}

function literal(value: number, type: LaneType): string {
  if (type === "bool") return value ? "true" : "false";
  if (type === "u32") return `${value >>> 0}u`;
  if (type === "i32") return value === -2147483648 ? "i32(-2147483648)" : String(value);
  if (Number.isNaN(value)) return "(infinity - infinity)";
  const f = Math.fround(value);
  if (!Number.isFinite(f)) return f > 0 ? "infinity" : "(-infinity)";
  return f < 0 ? `(${decimal(f)})` : decimal(f);
}
