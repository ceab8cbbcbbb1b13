/**
 * Lane -> CUDA C++. A table of spellings, and what C++ lacks: four values side by side, floor division, 16-bit floats,
 * whole numbers that wrap. A kernel takes its buffers as pointers, in their order, and then its scalars.
 */
import { bytesEach } from "../core/dtype.ts";
import type { Half } from "../core/half.ts";
import { isHalf } from "../core/half.ts";
import type { Expr, LaneBuffer, LaneProgram, LaneStmt, LaneType, Width } from "../lane/ir.ts";
import type { Port, Schedule } from "../schedule/schedule.ts";
import { type Call, caller, sixteen, stored, type Uses } from "./cudaCalls.ts";
import { type HelperName, preludeOf } from "./cudaHelpers.ts";
import type { WarpgroupProducts } from "./cudaHopper.ts";
import { roles, together } from "./cudaTeam.ts";
import { decimal, type Operands, type Printer, printer, randomUniform, type Spelling, smallPower } from "./spelling.ts";
import type { KernelText } from "./text.ts";

/** One kernel, complete by itself. */
export function emitCuda(program: LaneProgram): KernelText {
  return {
    name: program.name,
    text: emitCudaModule([program]),
    entry: entryOf(program),
    groups: [program.groups, 1, 1],
    access: program.buffers.map((b) => b.access),
    sharedBytes: placesOf(program).bytes,
    ...(program.tensors && {
      tensors: program.tensors.map(({ buffer, box, span }) => {
        const { dtype, shape } = program.buffers[buffer]!;
        return { binding: buffer, dtype, shape, box, span };
      }),
    }),
  };
}

/** Where the arrays of a workgroup begin in its shared memory, each at a multiple of 128 bytes, and how much they take. */
function placesOf(p: LaneProgram): { readonly at: ReadonlyMap<string, number>; readonly bytes: number } {
  const at = new Map<string, number>();
  let bytes = 0;
  const place = (name: string, size: number, aligned: number): void => {
    bytes = Math.ceil(bytes / aligned) * aligned;
    at.set(name, bytes);
    bytes += size;
  };
  for (const s of p.body)
    if (s.kind === "shared") place(s.name, s.size * bytesEach(s.dtype), s.aligned ?? 128);
    else if (s.kind === "mbarriers") place(s.name, 8 * s.count, 8);
  return { at, bytes: Math.ceil(bytes / 128) * 128 };
}

/** What a file of kernels is of: a program, its arrays as a device holds them, and the GPUs that it is for. */
export type About = {
  readonly name: string;
  readonly arch: string;
  readonly schedule: Pick<Schedule, "inputs" | "outputs" | "mesh">;
};

/** Several kernels in one file; before them what they use, and before all what is in it, for people. */
export function emitCudaModule(programs: readonly LaneProgram[], about?: About): string {
  const uses: Uses = { helpers: new Set(), wide: new Map(), products: new Map() };
  const kernels = programs.map((p) => kernelText(p, uses));
  const products = [...uses.products].map(([name, columns]): WarpgroupProducts => {
    const [dtype, left] = name.split(" ") as [Half, WarpgroupProducts["left"]];
    return { dtype, left, columns: [...columns].sort((a, b) => a - b) };
  });
  const head = about ? [contents(programs, about)] : [];
  return `${[...head, ...preludeOf(uses.helpers, uses.wide, products), ...kernels].join("\n\n")}\n`;
}

/** The comment that a file begins with: the program, its arrays, and its kernels as a table. */
function contents(programs: readonly LaneProgram[], { name, arch, schedule }: About): string {
  const { inputs, outputs, mesh } = schedule;
  const devices = mesh.axes.reduce((n, a) => n * a.size, 1);
  const arrays = (title: string, ports: readonly Port[]): readonly string[] =>
    ports.map(
      (p, k) =>
        `${(k === 0 ? title : "").padEnd(9)}${p.path === "" ? "the result" : p.path}: ${p.dtype}[${p.shape.join(", ")}]`,
    );
  const rows = programs.map((p) => [entryOf(p), p.groups, p.threads, placesOf(p).bytes].map(String));
  const table = [["kernel", "blocks", "threads", "bytes of shared memory"], ...rows];
  const wide = table[0]!.map((_, c) => Math.max(...table.map((row) => row[c]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, c) => (c === 0 ? cell.padEnd(wide[c]!) : cell.padStart(wide[c]!))).join("  ");
  const where = devices === 1 ? "one device" : `a mesh of ${mesh.axes.map((a) => `${a.name}=${a.size}`).join(", ")}`;
  return [
    `${name}, compiled by Gyre for ${arch}, to run on ${where}.`,
    "",
    ...arrays("takes", inputs),
    ...arrays("gives", outputs),
    "",
    ...table.map(line),
    "",
    "First what the kernels use: instructions as inline PTX, and types. Above each kernel: its arrays, and how its work is dealt out.",
  ]
    .map((text) => `// ${text}`.trimEnd())
    .join("\n");
}

/** Not the bare name, which may be one of the C library's. */
const entryOf = (p: LaneProgram): string => `${p.name}_kernel`;

function kernelText(p: LaneProgram, uses: Uses): string {
  const shared = placesOf(p);
  const spelling = cuda(
    uses,
    shared.at,
    new Set(["group", "lane", "quad", "warpgroup", ...p.scalars.map((s) => s.name)]),
  );
  const body = printer(spelling, p).block(p.body, 1);
  const params = [
    ...p.buffers.map(parameter(uses)),
    ...(p.tensors ?? []).map((m) => `const __grid_constant__ tensor_map ${m.name}`),
    ...p.scalars.map((s) => `int ${s.name}`),
  ];
  const bounds = p.resident ? `${p.threads}, ${p.resident}` : p.threads;
  const head = `extern "C" __global__ void __launch_bounds__(${bounds}) ${entryOf(p)}(`;
  const oneLine = `${head}${params.join(", ")}) {`;
  return [
    ...header(p),
    oneLine.length <= 120 ? oneLine : `${head}\n${params.map((x) => `    ${x}`).join(",\n")}) {`,
    ...(/\bgroup\b/.test(body) ? ["  const int group = blockIdx.x;"] : []),
    ...(/\blane\b/.test(body) ? ["  const int lane = threadIdx.x;"] : []),
    ...(/\bquad\b/.test(body) ? ["  const int quad = threadIdx.x & 3;"] : []),
    ...(/\bwarpgroup\b/.test(body)
      ? ["  const int warpgroup = __shfl_sync(0xffffffffu, int(threadIdx.x) / 128, 0);"]
      : []),
    body,
    "}",
  ].join("\n");
}

function header(p: LaneProgram): readonly string[] {
  const buffers = p.buffers.map(
    (b) => `//   ${b.name}: ${b.dtype}[${b.shape.join(", ")}]${b.access === "read" ? "" : ", written"}`,
  );
  const { bytes } = placesOf(p);
  const memory = bytes > 0 ? `${bytes} bytes of shared memory` : "no shared memory";
  const blocks = p.groups === 1 ? "1 block" : `${p.groups} blocks`;
  return [
    `// ${p.name}: a grid of ${blocks}, ${p.threads} threads each, ${memory}`,
    ...buffers,
    ...(p.tensors ?? []).map(
      (m) =>
        `//   ${m.name}: boxes of ${p.buffers[m.buffer]!.name}[${m.box.join(", ")}]${m.span === 0 ? "" : `, exchanged in ${m.span} bytes`}`,
    ),
    ...p.notes.map((n) => `// ${n}`),
  ];
}

const parameter =
  (uses: Uses) =>
  (b: LaneBuffer): string => {
    if (isHalf(b.dtype)) uses.helpers.add(b.dtype);
    return `${b.access === "read" ? "const " : ""}${stored[b.dtype]}* __restrict__ ${b.name}`;
  };

const scalar: Readonly<Record<LaneType, string>> = {
  f32: "float",
  i32: "int",
  u32: "unsigned",
  bool: "bool",
  pair: "unsigned",
};
const typeName = (t: LaneType, w: Width): string => (w === 4 || w === 8 ? `vec${w}<${scalar[t]}>` : scalar[t]);

/** `shared`: where arrays are in shared memory. `indices`: names of whole numbers that count elements, and so never wrap. */
function cuda(uses: Uses, shared: ReadonlyMap<string, number>, indices: Set<string>): Spelling {
  const call = caller(uses);
  const declare = (p: Printer, s: Extract<LaneStmt, { kind: "let" | "var" }>): string => {
    const type = typeName(s.value.type, s.value.width);
    if (s.value.width === 4) uses.helpers.add("vec4");
    if (s.kind === "var" && s.counts) indices.add(s.name);
    if (s.kind === "var") return `${type} ${s.name} = ${p.expr(s.value)};`;
    if (counts(s.value, indices)) indices.add(s.name);
    return `const ${type} ${s.name} = ${p.expr(s.value)};`;
  };
  return {
    typeName: (t, w) => {
      if (w === 4) uses.helpers.add("vec4");
      return typeName(t, w);
    },
    literal: (value, type) => literal(call, value, type),
    declare,
    array: (_, s) => {
      if (s.width === 4) uses.helpers.add("vec4");
      return `${typeName(s.type, s.width)} ${s.name}[${Math.max(1, s.size / s.width)}];`;
    },
    loop: (p, s) => {
      indices.add(s.name);
      return `int ${s.name} = ${p.expr(s.from)}; ${s.name} < ${p.expr(s.below)}; ${s.name} += ${s.step}`;
    },
    unroll: "#pragma unroll",
    team: (p, s) => together(p, call, shared, s),
    roles: (p, s, depth) => roles(p, call, s, depth),
    pack: (p, e) => call.generic(`pack_${e.dtype}`, `pack_${e.dtype}`, [p.expr(e.low), p.expr(e.high)]),
    load: (p, e) => load(p, call, e),
    store: (p, s) => store(p, call, s),
    cast: (p, e) => {
      const arg = p.expr(e.arg);
      if (e.arg.type !== "f32" || (e.type !== "i32" && e.type !== "u32")) return `${typeName(e.type, e.width)}(${arg})`;
      // Saturates, and NaN gives 0.
      const name = e.type === "i32" ? "__float2int_rz" : "__float2uint_rz";
      return call.plain(name, e.width === 4, scalar[e.type], ["float"], [arg]);
    },
    functions: {},
    special: (p, o) => special(p, call, indices, o),
  };
}

/** Whether a whole number is made of places and counts alone: those stay far below 2^31. */
function counts(e: Expr, indices: ReadonlySet<string>): boolean {
  if (e.type !== "i32" || e.width !== 1) return false;
  if (e.kind === "lit") return Math.abs(e.value) <= 1 << 24;
  if (e.kind === "ref") return indices.has(e.name);
  if (e.kind !== "op") return false;
  const all = e.args.every((a) => counts(a, indices));
  if (e.op === "mul") return all && e.args.some((a) => a.kind === "lit");
  if (e.op === "select") return counts(e.args[1]!, indices) && counts(e.args[2]!, indices);
  if (isClamped(e)) return true;
  return all && ["add", "sub", "div", "mod", "min", "max", "neg", "xor"].includes(e.op);
}

/** Whether a number is between two that are known: an index from data. */
function isClamped(e: Extract<Expr, { kind: "op" }>): boolean {
  const [inner, low] = e.args;
  if (e.op !== "max" || inner?.kind !== "op" || inner.op !== "min") return false;
  return [low!, inner.args[1]!].every((a) => counts(a, new Set()));
}

function load({ expr: i, program }: Printer, call: Call, e: Extract<Expr, { kind: "load" }>): string {
  const b = program.buffers[e.buffer]!;
  if (e.width === 8) return call.generic(`eight_${sixteen(b)!}`, "load8", [`${b.name} + ${i(e.index, 5)}`]);
  if (e.width === 4) {
    const four = call.generic(sixteen(b) ?? "load4", "load4", [`${b.name} + ${i(e.index, 5)}`]);
    return b.dtype === "bool" ? `(${four} != vec4<unsigned>(0u))` : four;
  }
  const one = `${b.name}[${i(e.index)}]`;
  return b.dtype === "bool" ? `(${one} != 0u)` : sixteen(b) ? `float(${one})` : one;
}

function store({ expr: i, program }: Printer, call: Call, s: Extract<LaneStmt, { kind: "store" }>): string {
  const b = program.buffers[s.buffer]!;
  const wide = s.value.width === 4;
  const value = b.dtype === "bool" ? `${wide ? "vec4<unsigned>" : "unsigned"}(${i(s.value)})` : i(s.value);
  if (s.value.width === 2 && s.value.kind === "vec")
    return `${call.generic(sixteen(b) ? `store2_${sixteen(b)!}` : "store2", "store2", [`${b.name} + ${i(s.index, 5)}`, ...s.value.args.map((a) => i(a))])};`;
  if (s.value.width === 8 && s.value.kind === "vec") {
    const [low, high] = [s.value.args.slice(0, 4), s.value.args.slice(4)].map(
      (four) => `vec4<float>(${four.map((a) => i(a)).join(", ")})`,
    );
    return `${call.generic(`eight_${sixteen(b)!}`, "store8", [`${b.name} + ${i(s.index, 5)}`, low!, high!])};`;
  }
  if (wide) return `${call.generic(sixteen(b) ?? "store4", "store4", [`${b.name} + ${i(s.index, 5)}`, value])};`;
  return `${b.name}[${i(s.index)}] = ${sixteen(b) ? `${b.dtype}(${value})` : value};`;
}
/** Functions of f32 that CUDA has under the same meaning. */
const ofFloats: Partial<
  Record<Expr extends infer E ? (E extends { op: infer O extends string } ? O : never) : never, string>
> = {
  exp: "expf",
  log: "logf",
  log2: "log2f",
  sqrt: "sqrtf",
  rsqrt: "rsqrtf",
  floor: "floorf",
  tanh: "tanhf",
};
/** Arithmetic that may wrap. */
const wrapping = { add: "wrapping_add", sub: "wrapping_sub", mul: "wrapping_mul", neg: "wrapping_neg" } as const;

function special(p: Printer, call: Call, indices: ReadonlySet<string>, o: Operands): string | undefined {
  const { e, wide, type, arg, all } = o;
  const t = scalar[type];
  const own = (name: HelperName): string => call.own(name, wide, t, Array(e.args.length).fill(t), all());
  const plain = (name: string): string => call.plain(name, wide, t, Array(e.args.length).fill(t), all());
  switch (e.op) {
    case "add":
    case "sub":
    case "mul":
    case "neg":
      if (type === "i32" && !counts(e, indices)) return own(wrapping[e.op]);
      return e.op !== "neg" ? undefined : type === "u32" ? `(0u - ${arg(0, 9)})` : `-${arg(0, 9)}`;
    case "div":
    case "mod": {
      if (type === "f32") return e.op === "div" ? undefined : own("float_mod");
      // A divisor that cannot be 0 needs no look.
      const safe = e.args[1]!.kind === "lit" && e.args[1]!.value > 0;
      if (type === "u32" && safe) return `(${arg(0, 9)} ${e.op === "div" ? "/" : "%"} ${arg(1, 9)})`;
      return own(`${type === "u32" ? "uint" : "floor"}_${e.op}`);
    }
    case "min":
    case "max":
      return type === "f32" ? own(`${e.op}imum`) : plain(e.op);
    case "abs":
      return type === "u32" ? arg(0) : type === "i32" ? own("wrapping_abs") : plain("fabsf");
    case "not":
      return `!${arg(0, 9)}`;
    case "select": {
      const [c, a, b] = e.args;
      if (c!.width === 4) return call.generic("select4", "select", all());
      return `(${p.expr(c!, 9)} ? ${branch(p, a!, e.width)} : ${branch(p, b!, e.width)})`;
    }
    case "exp2":
      return own("exp2_approx");
    case "round_bf16":
    case "round_f16":
      return own(e.op);
    case "xor":
      return `(${arg(0, 9)} ^ ${arg(1, 9)})`;
    case "shuffle_xor":
      return `__shfl_xor_sync(0xffffffffu, ${arg(0)}, ${arg(1)})`;
    case "sin":
      return own("sine");
    case "cos":
      return own("cosine");
    case "sigmoid":
      return own("sigmoid");
    case "sign":
      return own("sign");
    case "pow":
      if (type === "f32") return smallPower(o) ?? own("float_pow");
      return own(type === "i32" ? "int_pow" : "uint_pow");
    case "dot":
      return call.generic("dot", "dot", all());
    case "quad_broadcast": {
      const wideValue = e.args[0]!.width === 4;
      return call.generic(
        wideValue ? "quad_broadcast4" : "quad_broadcast",
        "quad_broadcast",
        e.args.map((a) => p.expr(a)),
      );
    }
    case "random_uniform":
      call.generic("threefry", "threefry", []);
      return randomUniform(p, o, (a, b) => `u32x2{${a}, ${b}}`);
    default: {
      const name = ofFloats[e.op];
      return name === undefined ? undefined : plain(name);
    }
  }
}
/** A side of `?:`, as wide as the whole. */
const branch = (p: Printer, e: Expr, width: Width): string =>
  e.width === width ? p.expr(e, 1) : `${p.spelling.typeName(e.type, width)}(${p.expr(e)})`;

function literal(call: Call, value: number, type: LaneType): string {
  if (type === "bool") return value ? "true" : "false";
  if (type === "u32") return `${value >>> 0}u`;
  if (type === "i32") return value === -2147483648 ? "(-2147483647 - 1)" : String(value);
  const infinity = (): string => call.generic("infinity", "infinity", []);
  if (Number.isNaN(value)) return `(${infinity()} - ${infinity()})`;
  const f = Math.fround(value);
  if (!Number.isFinite(f)) return f > 0 ? infinity() : `(-${infinity()})`;
  return f < 0 ? `(${decimal(f)}f)` : `${decimal(f)}f`;
}
