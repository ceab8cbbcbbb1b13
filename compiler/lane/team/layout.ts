/**
 * Layouts: which thread of a team holds which elements of a tile, and in which of its registers. Plain data.
 *
 * A tile's element has a number along each axis. A layout says of what digits these numbers are made: a digit of the
 * thread's number, or of the register's, counts `stride` elements along `axis`. Digits are listed fastest first:
 *
 *   element along a = Σ (digit · stride) over the digits of registers and threads whose axis is a
 *
 * A thread digit of no axis (`everywhere`) says that its threads hold the same elements. So a layout of s(i, j), with the
 * digits of j taken out, is that of row statistics r(i): what `project` does. Two values can be combined element by
 * element, without any exchange, where one's layout is the other's projection.
 *
 * All layouts here are made by one rule, `deal`, whose pattern of 16 x 8 elements is that of the tensor cores' accumulator
 * (mma.m16n8k16). Of s(m, n), with two registers of n, thread t of a warp and register r:
 *
 *          n  0     1     2     3     4     5     6     7
 *    m  0    t0r0  t0r1  t1r0  t1r1  t2r0  t2r1  t3r0  t3r1       registers  n 1×2, m 8×2, n 8×tiles, m …
 *       1    t4r0  t4r1  t5r0  t5r1  t6r0  t6r1  t7r0  t7r1       threads    n 2×4, m 1×8, m 16×warps
 *       …                         …
 *       7    t28r0 …                                   t31r1
 *       8    t0r2  t0r3  t1r2  t1r3  …                 t3r3
 *       …
 *
 * The left operand of such a product, a(m, k), wants its elements in the same pattern, two 8-wide pieces of k at a time:
 * so the accumulator of one product, packed into pairs, is the left operand of the next as it is.
 *
 * Where threads multiply and add themselves, the pattern is one of blocks: a thread has four neighbours of n, and of m as
 * many as there are for it up to four, so that shared memory is read four elements at a time, and each is used for a block:
 *
 *   registers  n 1×4, m 1×4, n 16×…, m 32×…       threads  n 4×4, m 4×8, m …×warps, n …×warps
 */
import { invariant } from "../../base/invariant.ts";

/** `count` values, `stride` elements of `axis` apart. */
export type Digit = { readonly axis: number; readonly stride: number; readonly count: number };
/** In place of a thread digit's axis: its threads hold the same. */
export const everywhere = -1;
export type Layout = { readonly registers: readonly Digit[]; readonly threads: readonly Digit[] };

/** An axis to be dealt out: its elements (a multiple of 16), and over how many warps. */
export type Side = { readonly axis: number; readonly cover: number; readonly warps: number };

/** Whether tensor cores multiply, or the threads themselves. */
export type Pattern = "matrices" | "blocks";

/** The layout of a tile of up to two axes that threads share, and others that each thread holds whole. */
export function deal(
  m: Side | undefined,
  n: Side | undefined,
  others: readonly Side[],
  warps: number,
  pattern: Pattern = "matrices",
): Layout {
  const mWarps = m?.warps ?? 1;
  const nWarps = n?.warps ?? 1;
  invariant(warps % (mWarps * nWarps) === 0, "warps are dealt out evenly");
  for (const s of [m, n]) invariant(!s || s.cover % (16 * s.warps) === 0, "an axis is dealt out in sixteens");
  const on = (s: Side | undefined, stride: number, count: number): Digit => ({
    axis: s ? s.axis : everywhere,
    stride: s ? stride : 0,
    count,
  });
  if (pattern === "blocks") {
    // Neighbours of a thread along each, and how often the pattern is repeated.
    const nTiles = n ? n.cover / 16 / nWarps : 1;
    const mSide = !m ? 1 : m.cover % (32 * mWarps) === 0 ? 4 : 2;
    const mTiles = m ? m.cover / (8 * mSide * mWarps) : 1;
    return tidy({
      registers: [
        on(n, 1, n ? 4 : 1),
        on(m, 1, mSide),
        on(n, 16, nTiles),
        on(m, 8 * mSide * mWarps, mTiles),
        ...others.map((o) => on(o, 1, o.cover)),
      ],
      threads: [
        on(n, 4, 4),
        on(m, mSide, 8),
        on(m, 8 * mSide, mWarps),
        on(n, 16 * nTiles, nWarps),
        on(undefined, 0, warps / (mWarps * nWarps)),
      ],
    });
  }
  const tiles = n ? n.cover / 8 / nWarps : 0;
  return tidy({
    registers: [
      ...(n ? [on(n, 1, 2)] : []),
      ...(m ? [on(m, 8, 2)] : []),
      ...(n ? [on(n, 8, tiles)] : []),
      ...(m ? [on(m, 16 * mWarps, m.cover / (16 * mWarps))] : []),
      ...others.map((o) => on(o, 1, o.cover)),
    ],
    threads: [
      on(n, 2, 4),
      on(m, 1, 8),
      on(m, 16, mWarps),
      on(n, 8 * tiles, nWarps),
      on(undefined, 0, warps / (mWarps * nWarps)),
    ],
  });
}
const tidy = (l: Layout): Layout => ({
  registers: l.registers.filter((d) => d.count > 1),
  threads: l.threads.filter((d) => d.count > 1),
});

/** What is left of a layout for a value that depends on `axes` only. */
export const project = (l: Layout, axes: readonly number[]): Layout => ({
  registers: l.registers.filter((d) => axes.includes(d.axis)),
  threads: l.threads.map((d) => (axes.includes(d.axis) ? d : { axis: everywhere, stride: 0, count: d.count })),
});

export const sizeOf = (digits: readonly Digit[]): number => digits.reduce((n, d) => n * d.count, 1);

/** The digits of threads one by one in the binary system. */
const bits = (l: Layout): readonly Digit[] =>
  l.threads.flatMap((d) => {
    const all: Digit[] = [];
    for (let by = 1; by < d.count; by *= 2) all.push({ axis: d.axis, stride: d.stride * by, count: 2 });
    return all;
  });
const sameDigit = (a: Digit, b: Digit): boolean =>
  a.axis === b.axis && a.count === b.count && (a.axis === everywhere || a.stride === b.stride);

/** Whether a thread that holds elements of layout `at` has, for each, the element of `from` with the same numbers. */
export function reaches(from: Layout, at: Layout): boolean {
  const [have, want] = [bits(from), bits(at)];
  return (
    from.registers.every((d) => at.registers.some((e) => sameDigit(d, e))) &&
    have.every((d, k) => d.axis === everywhere || (want[k] !== undefined && sameDigit(d, want[k])))
  );
}
export const same = (a: Layout, b: Layout): boolean => reaches(a, b) && reaches(b, a);

/** Which bits of a thread's number count along an axis: those are exchanged to join what the threads hold of it. */
export const threadBits = (l: Layout, axis: number): readonly number[] =>
  bits(l).flatMap((d, k) => (d.axis === axis ? [1 << k] : []));

/** The element along each axis that register `r` of thread `t` holds. */
export function elementAt(l: Layout, t: number, r: number): ReadonlyMap<number, number> {
  const at = new Map<number, number>();
  const read = (digits: readonly Digit[], number: number): void => {
    let left = number;
    for (const d of digits) {
      if (d.axis !== everywhere) at.set(d.axis, (at.get(d.axis) ?? 0) + (left % d.count) * d.stride);
      left = Math.floor(left / d.count);
    }
  };
  read(l.threads, t);
  read(l.registers, r);
  return at;
}

/** For people: `i 8×2 j 8×4 | j 2×4 i 1×8 i 16×4`, registers before the bar, threads after it. */
export function printLayout(l: Layout, name: (axis: number) => string): string {
  const digit = (d: Digit): string =>
    d.axis === everywhere ? `same×${d.count}` : `${name(d.axis)} ${d.stride}×${d.count}`;
  return `${l.registers.map(digit).join(", ") || "one"} | ${l.threads.map(digit).join(", ")}`;
}
