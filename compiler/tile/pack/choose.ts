/**
 * Which of a kernel's inputs are joined when it has too many: two at a time, whichever costs least, until few enough are
 * left. What joining costs is what the joining kernels do: the elements that they copy, and being launched, as often as
 * the loops around them turn.
 */
import type { DType } from "../../core/ir.ts";

/** An array as it is, or some that are to be joined in this order. `loop`: how many loops it is made in, `turns`: how often. */
export type Input = {
  readonly dtype: DType;
  readonly elements: number;
  readonly loop: number;
  readonly turns: number;
} & ({ readonly kind: "array"; readonly array: number } | { readonly kind: "join"; readonly parts: readonly Input[] });

/** A launch takes about as long as copying so many elements. */
const launch = 2 ** 15;

/** What making an input costs; an array is there already. */
const cost = (x: Input): number =>
  x.kind === "array" ? 0 : x.turns * (launch + x.elements) + x.parts.reduce((n, p) => n + cost(p), 0);

/** Inputs with the same elements as these, at most `most` of them; undefined where that cannot be. */
export function fewer(inputs: readonly Input[], most: number): readonly Input[] | undefined {
  let left = inputs;
  while (left.length > most) {
    let best: { readonly pair: readonly [Input, Input]; readonly join: Input; readonly more: number } | undefined;
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
  const inner = x.loop > y.loop ? x : y;
  const { dtype, loop, turns } = inner;
  const parts = [x, y]
    .flatMap((p) => (p.kind === "join" && p.loop === loop ? p.parts : [p]))
    .sort((p, q) => p.elements - q.elements);
  return { kind: "join", dtype, elements: x.elements + y.elements, loop, turns, parts };
}
