/** How far results are from what they should be. */

export type Result = { readonly shape: readonly number[]; readonly data: ArrayLike<number> };
export type Results = ReadonlyMap<string, Result>;

/** ‖x - reference‖ / ‖reference‖; ‖x‖ where the reference is 0. Infinite where x has a NaN, or other infinities. */
export function relativeError(x: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (x.length !== reference.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < x.length; i++) {
    const a = x[i]!;
    const b = reference[i]!;
    if (a === b) {
      if (Number.isFinite(b)) norm += b * b;
      continue;
    }
    if (!Number.isFinite(a) || !Number.isFinite(b)) return Number.POSITIVE_INFINITY;
    difference += (a - b) ** 2;
    norm += b * b;
  }
  return Math.sqrt(difference / (norm || 1));
}
