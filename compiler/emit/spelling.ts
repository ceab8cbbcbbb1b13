/**
 * What the C-like dialects share: the walk over a Lane program, operators with their ranks, division by powers of two.
 * A dialect is a table of spellings and what the target lacks.
 */
import { invariant, unreachable } from "../base/invariant.ts";
import { add, lit, mul, op } from "../lane/expr.ts";
import type { Expr, LaneOp, LaneProgram, LaneStmt, LaneType, WarpgroupStmt, Width } from "../lane/ir.ts";

type Stmt<K extends LaneStmt["kind"]> = Extract<LaneStmt, { kind: K }>;
/** What the threads of a workgroup do together. */
export type TeamStmt =
  | Stmt<"shared" | "barrier" | "copy" | "commit" | "wait" | "matrices" | "mma">
  | Exclude<WarpgroupStmt, { kind: "roles" }>;
type Of<K extends Expr["kind"]> = Extract<Expr, { kind: K }>;
export type OpExpr = Of<"op">;

/** Operands as text: `arg(k)` as wide as its fellows, `arg(k, rank)` in brackets where it binds less than `rank`. */
export type Operands = {
  readonly e: OpExpr;
  readonly wide: boolean;
  /** The type of the first operand. */
  readonly type: LaneType;
  readonly arg: (k: number, rank?: number) => string;
  readonly all: () => readonly string[];
};

/** How a target writes one kernel. `Printer` gives it the rest of the walk. */
export type Spelling = {
  readonly typeName: (type: LaneType, width: Width) => string;
  readonly literal: (value: number, type: LaneType) => string;
  readonly declare: (p: Printer, s: Stmt<"let"> | Stmt<"var">) => string;
  readonly array: (p: Printer, s: Stmt<"array">) => string;
  /** What stands in the brackets of a `for`. */
  readonly loop: (p: Printer, s: Stmt<"for">) => string;
  /** An element of an array; undefined where brackets do. */
  readonly elem?: (p: Printer, e: Of<"elem">) => string | undefined;
  readonly load: (p: Printer, e: Of<"load">) => string;
  readonly store: (p: Printer, s: Stmt<"store">) => string;
  /** Between types, and from f32 to integers: saturating, NaN to 0. */
  readonly cast: (p: Printer, e: Of<"cast">) => string;
  readonly pack?: (p: Printer, e: Of<"pack">) => string;
  /** What threads do together, as far as the target has it. */
  readonly team?: (p: Printer, s: TeamStmt) => string;
  /** The parts that warpgroups take. */
  readonly roles?: (p: Printer, s: Stmt<"roles">, depth: number) => string;
  /** What stands before a loop that is to be unrolled. */
  readonly unroll?: string;
  /** Functions that the target has under the same meaning for every type that the op takes. */
  readonly functions: Partial<Record<LaneOp, string>>;
  /** What an operator alone does not say; undefined where it does. Asked before the operators. */
  readonly special: (p: Printer, o: Operands) => string | undefined;
};

export type Printer = {
  readonly spelling: Spelling;
  readonly program: LaneProgram;
  readonly expr: (e: Expr, rank?: number) => string;
  readonly block: (stmts: readonly LaneStmt[], depth: number) => string;
};

export function printer(spelling: Spelling, program: LaneProgram): Printer {
  const p: Printer = {
    spelling,
    program,
    expr: (e, rank = 0) => expr(p, e, rank),
    block: (stmts, depth) =>
      stmts
        .map((s) => statement(p, s, depth))
        .filter((line) => line.trim() !== "")
        .join("\n"),
  };
  return p;
}

// ---- statements ------------------------------------------------------------------------------------------------------

function statement(p: Printer, s: LaneStmt, depth: number): string {
  const pad = "  ".repeat(depth);
  const { spelling: d, expr: e } = p;
  switch (s.kind) {
    case "let":
    case "var":
      return `${pad}${d.declare(p, s)}`;
    case "array":
      return `${pad}${d.array(p, s)}`;
    case "set":
      return `${pad}${s.name} = ${e(s.value)};`;
    case "setElem":
      return `${pad}${s.array}[${e(s.value.width === 4 ? quarter(s.index) : s.index)}] = ${e(s.value)};`;
    case "store":
      return `${pad}${d.store(p, s)}`;
    case "for": {
      const unroll = s.unroll && d.unroll ? `${pad}${d.unroll}\n` : "";
      return `${unroll}${pad}for (${d.loop(p, s)}) {\n${p.block(s.body, depth + 1)}\n${pad}}`;
    }
    case "while":
      return s.body.length === 1 && s.body[0]!.kind === "set"
        ? `${pad}while (${e(s.cond)}) { ${p.block(s.body, 0)} }`
        : `${pad}while (${e(s.cond)}) {\n${p.block(s.body, depth + 1)}\n${pad}}`;
    case "if": {
      const otherwise = s.else.length > 0 ? ` else {\n${p.block(s.else, depth + 1)}\n${pad}}` : "";
      return `${pad}if (${e(s.cond)}) {\n${p.block(s.then, depth + 1)}\n${pad}}${otherwise}`;
    }
    case "continue":
      return `${pad}continue;`;
    case "comment":
      return `${pad}// ${s.text}`;
    case "roles":
      invariant(d.roles, `the target of kernel ${p.program.name} has no warpgroups`);
      return d.roles(p, s, depth);
    case "shared":
    case "barrier":
    case "copy":
    case "commit":
    case "wait":
    case "matrices":
    case "mma":
    case "mbarriers":
    case "fetch":
    case "expect":
    case "await":
    case "release":
    case "wgmma":
    case "fence":
    case "commitProducts":
    case "waitProducts":
    case "turn":
      invariant(d.team, `the target of kernel ${p.program.name} has no ${s.kind}`);
      return `${pad}${d.team(p, s)}`;
    default:
      return unreachable(s, "lane statement");
  }
}

// ---- expressions -----------------------------------------------------------------------------------------------------

/** An index divided by a power of two. */
export const shift = (e: Expr, by: number): Expr =>
  e.kind === "lit" ? lit(e.value >> by) : (divided(e, 1 << by) ?? op("div", [e, lit(1 << by)], "i32"));
/** An index by a number that divides all its terms; undefined where they do not show it. */
function divided(e: Expr, by: number): Expr | undefined {
  if (e.kind === "lit") return e.value % by === 0 ? lit(e.value / by) : undefined;
  if (e.kind !== "op" || e.type !== "i32") return undefined;
  const [a, b] = e.args;
  if (e.op === "mul") {
    const factor = divided(b!, by);
    return factor && mul(a!, factor);
  }
  if (e.op !== "add") return undefined;
  const [x, y] = [divided(a!, by), divided(b!, by)];
  return x && y && add(x, y);
}
export const quarter = (e: Expr): Expr => shift(e, 2);

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

function expr(p: Printer, e: Expr, rank: number): string {
  const { spelling: d } = p;
  switch (e.kind) {
    case "lit":
      return d.literal(e.value, e.type);
    case "ref":
      return e.name;
    case "elem":
      return d.elem?.(p, e) ?? `${e.array}[${p.expr(e.width === 4 ? quarter(e.index) : e.index)}]`;
    case "load":
      return d.load(p, e);
    case "component":
      if (e.arg.width === 8 && typeof e.at === "number")
        return `${p.expr(e.arg, 9)}.${e.at < 4 ? "low" : "high"}.${"xyzw"[e.at % 4]}`;
      return typeof e.at === "number" ? `${p.expr(e.arg, 9)}.${"xyzw"[e.at]}` : `${p.expr(e.arg, 9)}[${p.expr(e.at)}]`;
    case "vec": {
      const same = e.args.every(
        (a) => a === e.args[0] || (a.kind === "lit" && e.args[0]!.kind === "lit" && a.value === e.args[0]!.value),
      );
      return `${d.typeName(e.type, 4)}(${(same ? [e.args[0]!] : e.args).map((a) => p.expr(a, 1)).join(", ")})`;
    }
    case "cast":
      return d.cast(p, e);
    case "pack":
      invariant(d.pack, `the target of kernel ${p.program.name} has no pairs`);
      return d.pack(p, e);
    case "op":
      return operation(p, e, rank);
    default:
      return unreachable(e, "lane expression");
  }
}

function operation(p: Printer, e: OpExpr, rank: number): string {
  const { spelling: d } = p;
  const type = e.args[0]!.type;
  const wide = e.args.some((a) => a.width === 4);
  const arg = (k: number, r = 0): string => {
    const a = e.args[k]!;
    return wide && a.width === 1 ? `${d.typeName(a.type, 4)}(${p.expr(a)})` : p.expr(a, r);
  };
  const operands: Operands = { e, wide, type, arg, all: () => e.args.map((_, k) => arg(k)) };
  if (type === "i32" || type === "u32") {
    const power = byPowerOfTwo(p, operands, rank);
    if (power !== undefined) return power;
  }
  const special = d.special(p, operands);
  if (special !== undefined) return special;
  const sign = infix[e.op];
  if (sign) {
    const [symbol, own] = sign;
    // Not && and ||: those branch, and drivers take seconds or minutes over hundreds of branches in unrolled code.
    if (e.op === "and" || e.op === "or") return `(${arg(0, 9)} ${symbol} ${arg(1, 9)})`;
    const mixed = own >= 4;
    const side = (k: number, r: number): string => (mixed ? p.expr(e.args[k]!, r) : arg(k, r));
    const text = `${side(0, own)} ${symbol} ${side(1, own + 1)}`;
    // Comparisons do not chain.
    return own < rank || (rank > 0 && own <= 3) ? `(${text})` : text;
  }
  const name = d.functions[e.op];
  invariant(name, `${e.op} has no spelling`);
  return `${name}(${operands.all().join(", ")})`;
}

/** Division that rounds down, and its remainder, by a literal 2^n. */
function byPowerOfTwo(p: Printer, { e, wide, type, arg }: Operands, rank: number): string | undefined {
  const divisor = e.args[1];
  if ((e.op !== "div" && e.op !== "mod") || wide || divisor?.kind !== "lit") return undefined;
  const n = divisor.value;
  if (n <= 0 || (n & (n - 1)) !== 0) return undefined;
  if (e.op === "mod") return `(${arg(0, 9)} & ${p.spelling.literal(n - 1, type)})`;
  return n === 1 ? arg(0, rank) : `(${arg(0, 9)} >> ${p.spelling.literal(Math.log2(n), "u32")})`;
}

/** A small whole power of a name, as a product. */
export function smallPower({ e }: Operands): string | undefined {
  const [base, n] = e.args;
  if (n?.kind !== "lit" || base?.kind !== "ref" || (n.value !== 2 && n.value !== 3)) return undefined;
  return `(${Array(n.value).fill(base.name).join(" * ")})`;
}

/**
 * A random number in [0, 1): the upper 24 of the bits that come of a key and counters, absorbed two at a time. `pair`
 * spells two u32 side by side, with components x and y.
 */
export function randomUniform(p: Printer, { e }: Operands, pair: (a: string, b: string) => string): string {
  const { typeName, literal } = p.spelling;
  const [key, ...counters] = e.args.map((a) => (a.type === "u32" ? p.expr(a) : `${typeName("u32", 1)}(${p.expr(a)})`));
  const zero = literal(0, "u32");
  let state = pair(key!, literal(counters.length, "u32"));
  for (let i = 0; i < Math.max(1, counters.length); i += 2)
    state = `threefry(${state}, ${pair(counters[i] ?? zero, counters[i + 1] ?? zero)})`;
  return `(${typeName("f32", 1)}(${state}.x >> ${literal(8, "u32")}) * ${literal(2 ** -24, "f32")})`;
}

/** A finite f32 in the fewest decimals that give it back, always with a point or exponent. */
export function decimal(f: number): string {
  const text = Number.isInteger(f) && Math.abs(f) < 1e9 ? `${f}.0` : String(Number(f.toPrecision(9)));
  return /[.e]/.test(text) ? text : `${text}.0`;
}
