/**
 * How threads join what they have of the same elements along an axis. Their numbers differ in some bits; those that a
 * device lets hand values to each other directly do, a bit at a time. Others meet in shared memory, up to sixteen at once:
 * each writes what it has, and all read what the others wrote, so that afterwards all know.
 *
 *   256 threads, of which 32 exchange     1 2 4 8 16 by shuffles;  32 64 128 in one meeting, 7 reads
 *   256 threads that cannot                                        1 2 4 8, then 16 32 64 128, 15 reads each
 */
import type { DType } from "../../core/ir.ts";
import { add, lit, mul, op, ref } from "../expr.ts";
import type { Expr } from "../ir.ts";
import { type At, type Context, type Held, isArray, nest, push, readHeld, registerAt, within } from "./context.ts";
import { sizeOf } from "./layout.ts";

/** Elements of an array of which there may be two. */
const SMALL = 512;
/** Bits of threads' numbers in which those that meet at once differ, at most. */
const AT_ONCE = 4;

export type Joins = {
  readonly shuffles: readonly number[];
  readonly meetings: readonly Meeting[];
};
/** In shared memory, of threads that differ in some bits; by then `same` threads with neighbouring numbers hold the same. */
export type Meeting = { readonly bits: readonly number[]; readonly same: number };
/** How threads whose numbers differ in these bits join, where they can exchange those below `exchange`. */
export function joinsOf(bits: readonly number[], exchange: number): Joins {
  const apart = bits.filter((b) => b >= exchange);
  const count = Math.ceil(apart.length / AT_ONCE);
  const each = Math.ceil(apart.length / count);
  return {
    shuffles: bits.filter((b) => b < exchange),
    meetings: Array.from({ length: count }, (_, k) => {
      const mine = apart.slice(k * each, (k + 1) * each);
      const joined = new Set(bits.filter((b) => b < mine[0]!));
      let same = 1;
      while (joined.has(same)) same *= 2;
      return { bits: mine, same };
    }),
  };
}
/** Reads of shared memory that a thread makes in a meeting. */
export const readsIn = (m: Meeting): number => 2 ** m.bits.length - 1;

/**
 * Lets each thread hear what others hold of the same registers. `join` writes what becomes of an element, given what one
 * other thread has of each of `held`, and a condition: that the other comes before this one.
 */
export function joinThreads(
  ctx: Context,
  held: readonly Held[],
  bits: readonly number[],
  join: (at: At, others: readonly Expr[], isEarlier: Expr) => void,
): void {
  const { layout } = held[0]!;
  const { shuffles, meetings } = joinsOf(bits, ctx.plan.exchange);
  if (shuffles.length > 0) {
    ctx.shuffles = true;
    nest(ctx, layout, (at) => {
      for (const bit of shuffles) {
        const others = held.map((h) => op("shuffle_xor", [readHeld(h, at), lit(bit)], h.type));
        join(at, others, hasBit(bit));
      }
    });
  }
  for (const meeting of meetings) {
    const read = meet(ctx, held, meeting.same);
    nest(ctx, layout, (at) => {
      for (let other = 1; other <= readsIn(meeting); other++) {
        const differing = meeting.bits.filter((_, k) => other & (1 << k));
        const flipped = differing.reduce((n, bit) => n | bit, 0);
        join(at, read(flipped, at), hasBit(differing.at(-1)!));
      }
    });
  }
}
/** Whether the thread's number has a bit: then one that differs in it, and in none above, comes before it. */
const hasBit = (bit: number): Expr =>
  op("eq", [op("mod", [op("div", [ref("lane"), lit(bit)], "i32"), lit(2)], "i32"), lit(1)], "bool");

/**
 * Puts what threads hold into shared memory, the first of those that hold the same, and gives what another has whose number
 * differs in some bits. The arrays serve all meetings of a kernel, small ones by turns: who writes for the next meeting does
 * not disturb those that still read of this one.
 */
function meet(ctx: Context, held: readonly Held[], same: number): (flipped: number, at: At) => readonly Expr[] {
  const threads = (ctx.plan.warps * 32) / same;
  const own = same === 1 ? ref("lane") : op("div", [ref("lane"), lit(same)], "i32");
  const place = (h: Held, thread: Expr, at: At): Expr =>
    add(isArray(h) ? mul(registerAt(h, at), lit(threads)) : lit(0), thread);
  const size = threads * sizeOf(held[0]!.layout.registers);
  const keys = (turn: number): readonly string[] => held.map((h, k) => `${h.type} ${2 * k + turn}`);
  const free = (turn: number): boolean =>
    ctx.read !== "any" && !keys(turn).some((k) => (ctx.read as Set<string>).has(k));
  const turn = size <= SMALL && !free(0) && free(1) ? 1 : 0;
  const arrays = keys(turn).map((key, k) => meetingArray(ctx, key, held[k]!.type as DType, size));
  if (!free(turn)) push(ctx, { kind: "barrier" });
  const write = (): void =>
    nest(ctx, held[0]!.layout, (at) => {
      held.forEach((h, k) => {
        push(ctx, { kind: "setElem", array: arrays[k]!, index: place(h, own, at), value: readHeld(h, at) });
      });
    });
  if (same === 1) write();
  else {
    const cond = op("eq", [op("mod", [ref("lane"), lit(same)], "i32"), lit(0)], "bool");
    push(ctx, { kind: "if", cond, then: within(ctx, write), else: [] });
  }
  push(ctx, { kind: "barrier" });
  ctx.read = new Set(keys(turn));
  return (flipped, at) => {
    const thread = op("xor", [own, lit(flipped / same)], "i32");
    return held.map((h, k): Expr => {
      return { kind: "elem", array: arrays[k]!, index: place(h, thread, at), type: h.type, width: 1 };
    });
  };
}
/** The array that goes by a key, of so many elements at least. */
function meetingArray(ctx: Context, key: string, dtype: DType, size: number): string {
  const at = ctx.meetings.get(key);
  const known = at === undefined ? undefined : ctx.top[at];
  if (known?.kind !== "shared") {
    const name = ctx.fresh(`${dtype}_parts`);
    ctx.meetings.set(key, ctx.top.length);
    ctx.top.push({ kind: "shared", name, dtype, width: 1, size });
    return name;
  }
  if (size > known.size) ctx.top[at!] = { ...known, size };
  return known.name;
}
