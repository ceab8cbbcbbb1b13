/**
 * What threads of a workgroup do together, in WGSL: workgroup memory, copies into it, and values that they exchange.
 *
 * A copy is made where it is started; there is nothing to wait for but the barrier. Groups of four 16-bit elements are two
 * words, or vec4<f16> where the device has f16.
 *
 * Which threads share a subgroup is not said by their numbers in the workgroup. So a kernel that exchanges values numbers
 * its threads as they sit: subgroup by subgroup, in each by the place there. Fours of neighbouring numbers are then quads of
 * the device, and as many as its smallest subgroup has are in one, whatever the size of its subgroups.
 */
import { invariant } from "../base/invariant.ts";
import { add, lit } from "../lane/expr.ts";
import type { Expr, LaneBuffer, LaneProgram, LaneStmt } from "../lane/ir.ts";
import { type Printer, quarter, shift, type TeamStmt } from "./spelling.ts";
import type { Helper } from "./wgslHelpers.ts";

type Shared = Extract<LaneStmt, { kind: "shared" }>;
type Call = (name: Helper, ...args: readonly string[]) => string;
/** 16-bit elements are in words, two in each. */
export type IsPacked = (dtype: LaneBuffer["dtype"]) => boolean;

export const sharedArrays = (p: LaneProgram): ReadonlyMap<string, Shared> =>
  new Map(p.body.flatMap((s) => (s.kind === "shared" ? [[s.name, s] as const] : [])));
/** Whether threads work together: their arrays are few and unrolled, and belong in registers. */
export const isTeam = (p: LaneProgram): boolean => p.body.some((s) => s.kind === "shared" || isUnrolled(s));
const isUnrolled = (s: LaneStmt): boolean =>
  s.kind === "for" || s.kind === "while"
    ? (s.kind === "for" && s.unroll === true) || s.body.some(isUnrolled)
    : s.kind === "if" && [...s.then, ...s.else].some(isUnrolled);

/** The type of a shared array's elements, or groups of them. */
function elementOf(s: Shared, packed: IsPacked): string {
  if (packed(s.dtype)) return s.width === 4 ? "vec2<u32>" : "u32";
  return s.width === 4 ? `vec4<${s.dtype}>` : s.dtype;
}
export const declareSharedArray = (s: Shared, packed: IsPacked): string =>
  `var<workgroup> ${s.name}: array<${elementOf(s, packed)}, ${s.size / (packed(s.dtype) ? Math.max(2, s.width) : s.width)}>;`;

/** An element (or four) of a shared array of 16 bits; undefined where it is spelled as any other. */
export function sharedElement(
  p: Printer,
  call: Call,
  s: Shared,
  e: Extract<Expr, { kind: "elem" }>,
  packed: IsPacked,
): string | undefined {
  if (s.dtype !== "f16" && s.dtype !== "bf16") return undefined;
  if (!packed(s.dtype))
    return e.width === 4 ? `vec4<f32>(${s.name}[${p.expr(quarter(e.index))}])` : `f32(${s.name}[${p.expr(e.index)}])`;
  if (e.width === 4) return call(`${s.dtype}x4`, `${s.name}[${p.expr(quarter(e.index))}]`);
  return call(`${s.dtype}_at`, `${s.name}[${p.expr(shift(e.index, 1))}]`, p.expr(e.index));
}

export function teamStatement(p: Printer, s: TeamStmt, shared: ReadonlyMap<string, Shared>, packed: IsPacked): string {
  switch (s.kind) {
    case "barrier":
      return "workgroupBarrier();";
    case "commit":
    case "wait":
      return "";
    case "copy": {
      const to = shared.get(s.shared);
      invariant(to, `${s.shared} is a shared array`);
      return copy(p, s, to, packed);
    }
    default:
      invariant(false, `WGSL has no ${s.kind}`);
  }
}

function copy(p: Printer, s: Extract<TeamStmt, { kind: "copy" }>, to: Shared, packed: IsPacked): string {
  const buffer = p.program.buffers[s.buffer]!;
  const words = packed(to.dtype);
  const guarded = (value: string, zero: string): string =>
    s.valid ? `select(${zero}, ${value}, ${p.expr(s.valid)})` : value;
  // What is copied at once: a group of four, a word of two 16-bit elements, or one element.
  const step = to.width === 4 ? 4 : words ? 2 : 1;
  const zero =
    words && step === 4 ? "vec2<u32>()" : words ? "0u" : step === 4 ? `vec4<${to.dtype}>()` : `${to.dtype}()`;
  const from = (k: number): string => {
    const index = add(s.from, lit(k));
    if (step === 4 && buffer.vector) return `${buffer.name}[${p.expr(quarter(index))}]`;
    if (words) {
      const word = (n: number): string => wordAt(p, buffer, add(index, lit(n)));
      return step === 4 ? `vec2<u32>(${word(0)}, ${word(2)})` : word(0);
    }
    const one = (n: number): string => elementAt(p, buffer, add(index, lit(n)));
    return step === 4 ? `vec4<${to.dtype}>(${[0, 1, 2, 3].map(one).join(", ")})` : one(0);
  };
  const place = (k: number): string => {
    const index = add(s.at, lit(k));
    return p.expr(step === 4 ? quarter(index) : step === 2 ? shift(index, 1) : index);
  };
  return Array.from(
    { length: s.count / step },
    (_, k) => `${to.name}[${place(step * k)}] = ${guarded(from(step * k), zero)};`,
  ).join(" ");
}
/** The word of a packed buffer in which an even element is. */
function wordAt(p: Printer, b: LaneBuffer, index: Expr): string {
  if (b.vector) return `${b.name}[${p.expr(quarter(index))}][(${p.expr(shift(index, 1))}) & 1]`;
  const word = `${b.name}[${p.expr(shift(index, 1))}]`;
  return b.access === "read" ? word : `atomicLoad(&${word})`;
}
const elementAt = (p: Printer, b: LaneBuffer, index: Expr): string =>
  b.vector ? `${b.name}[${p.expr(quarter(index))}][(${p.expr(index)}) & 3]` : `${b.name}[${p.expr(index)}]`;

/** A value that the thread has whose number differs by `by`: one of the four of a quad, or another of the subgroup. */
export function exchanged(value: string, by: number): string {
  const swap = { 1: "quadSwapX", 2: "quadSwapY", 3: "quadSwapDiagonal" }[by];
  return swap ? `${swap}(${value})` : `subgroupShuffleXor(${value}, ${by}u)`;
}
/** What numbers the threads of a workgroup as they sit in subgroups. */
export const seats = {
  declaration: "var<workgroup> seats: atomic<u32>;",
  lines: [
    "  // A thread's number: those of a subgroup one after another.",
    "  let seat_count = subgroupAdd(1u);",
    "  let seat = subgroupExclusiveAdd(1u);",
    "  var first_seat = 0u;",
    "  if (subgroupElect()) { first_seat = atomicAdd(&seats, seat_count); }",
    "  let lane = i32(subgroupBroadcastFirst(first_seat) + seat);",
  ],
  // SwiftShader gives each subgroup memory of its own where none of them ever waits.
  barrier: "  workgroupBarrier();",
} as const;
