/**
 * Which of a kernel's inputs are joined when it has too many: two at a time, whichever costs least, until few enough are
 * left. What joining costs: the joining kernels are launched and copy elements, as often as the loops around them turn; and
 * what lay in rows and does not any more is no longer read by fours.
 */
import type { DType } from "../../core/ir.ts";

/**
 * An array as it is, or some that are to be joined in this order. `row`: the length of the rows that it is read in;
 * undefined where it is flat. It is made in the body of `loop` loops, one in the other, `turns` times in all.
 */
export type Input = {
  readonly dtype: DType;
  readonly elements: number;
  readonly row: number | undefined;
  readonly loop: number;
  readonly turns: number;
} & ({ readonly kind: "array"; readonly array: number } | { readonly kind: "join"; readonly parts: readonly Input[] });

/** A launch takes about as long as copying so many elements. */
const launch = 2 ** 15;
/** A kernel reads an element more than once: by fours or not makes a difference of about so many copies. */
const unrowed = 16;

/** What making an input costs; an array is there already. */
function cost(x: Input): number {
  if (x.kind === "array") return 0;
  const copied = x.parts.reduce((n, p) => n + p.elements * (p.row === x.row || p.elements < 1024 ? 1 : unrowed), 0);
  return x.turns * (launch + copied) + x.parts.reduce((n, p) => n + cost(p), 0);
}

/** Inputs with the same elements as these, at most `most` of them; undefined where that cannot be. */
export function fewer(inputs: readonly Input[], most: number): readonly Input[] | undefined {
  let left = inputs;
  while (left.length > most) {
    let best: { readonly pair: readonly Input[]; readonly join: Input; readonly more: number } | undefined;
    for (const [k, x] of left.entries())
      for (const y of left.slice(k + 1)) {
        if (x.dtype !== y.dtype || x.elements === 0 || y.elements === 0) continue;
        const join = joinOf(x, y);
        const more = cost(join) - cost(x) - cost(y);
        if (!best || more < best.more) best = { pair: [x, y], join, more };
      }
    if (!best) return undefined;
    const { pair, join } = best;
    left = [...left.filter((x) => !pair.includes(x)), join];
  }
  return left;
}

/** Joins made in the same loop are one. The small ones come first: they are copied again where it takes several steps. */
function joinOf(x: Input, y: Input): Input {
  const { dtype, loop, turns } = x.loop > y.loop ? x : y;
  const parts = [x, y]
    .flatMap((p) => (p.kind === "join" && p.loop === loop ? p.parts : [p]))
    .sort((p, q) => p.elements - q.elements);
  const row = x.row === y.row ? x.row : undefined;
  return { kind: "join", dtype, elements: x.elements + y.elements, row, loop, turns, parts };
}
