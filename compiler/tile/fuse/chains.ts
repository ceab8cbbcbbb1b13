/**
 * Chains of equations, each of which reads the one before it. A kernel computes what it stores down to what is in memory, and
 * passes go down with it: a chain of thousands, as loops that were written out have them, is cut where array code can be stored.
 */
import type { Block, Eqn } from "../../core/ir.ts";
import { operandsOf, regionsOf } from "../../core/walk.ts";
import { isElementwise } from "./links.ts";
import { NotSupported } from "./unsupported.ts";

/** As many equations of a chain as one kernel has of array code; and of tiles, which are one kernel whatever they hold. */
const [longest, longestOfTiles] = [256, 500];

/** Values that are stored so that no chain of array code is longer. */
export function cutsOf(eqns: readonly Eqn[]): Set<number> {
  const cuts = new Set<number>();
  eachLength(eqns, (e, length) => {
    const isCut = length >= longest && e.kind === "op" && isElementwise(e.op);
    if (isCut) cuts.add(e.out.id);
    return isCut ? 0 : length;
  });
  return cuts;
}

/** Ends with a diagnostic where the body of tiles has a longer chain. */
export function checkChains(body: Block): void {
  eachLength(body.eqns, (e, length) => {
    if (length > longestOfTiles)
      throw new NotSupported(`a chain of more than ${longestOfTiles} operations in \`tiles\``, e.span);
    regionsOf(e).forEach(checkChains);
    return length;
  });
}

/** The length of the longest chain that ends at each equation, as `of` takes it: a loop begins a new one. */
function eachLength(eqns: readonly Eqn[], of: (e: Eqn, length: number) => number): void {
  const lengths = new Map<number, number>();
  for (const e of eqns) {
    const before = operandsOf(e).map((a) => (a.kind === "var" ? (lengths.get(a.id) ?? 0) : 0));
    const length = of(e, 1 + Math.max(0, ...before));
    if (e.kind === "op") lengths.set(e.out.id, length);
  }
}
