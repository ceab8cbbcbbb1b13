/** Places along a ring, from 0, and rings of `within` places that follow each other in it. */

/** The place that is `shift` further round from `place`, on a ring of `n`, or on the part of it with `within` places. */
export function placeAfter(place: number, shift: number, n: number, within: number = n): number {
  const begin = place - (place % within);
  return begin + ((((place - begin + shift) % within) + within) % within);
}
