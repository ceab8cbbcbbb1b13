/**
 * Random bits as a pure function of a key and counters: Threefry-2x32 with 20 rounds (Salmon et al., SC'11).
 * All numbers are unsigned 32-bit.
 */
const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** Enciphers the two words of a counter under a key of two words. */
export function threefry2x32(key: readonly [number, number], counter: readonly [number, number]): [number, number] {
  const ks = [key[0] >>> 0, key[1] >>> 0, (0x1bd11bda ^ key[0] ^ key[1]) >>> 0] as const;
  let x0 = (counter[0] + ks[0]) | 0,
    x1 = (counter[1] + ks[1]) | 0;
  for (let round = 0; round < 20; round++) {
    const r = rotations[round % 8]!;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const s = (round + 1) / 4; // a key word pair every four rounds, the second with the count added
      x0 = (x0 + ks[s % 3]!) | 0;
      x1 = (x1 + ks[(s + 1) % 3]! + s) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}

/**
 * The 32 random bits of a key and n counters. The counters are absorbed two at a time, each pair enciphered under what
 * came of the pairs before; an odd last one is paired with 0, and n is part of the first key, so (c) and (c, 0) differ:
 *
 *   K0 = (key, n);  Kt+1 = threefry(Kt, (c2t, c2t+1));  bits = first word of the last K    (n = 0: one round with (0, 0))
 */
export function randomBits(key: number, counters: readonly number[]): number {
  let state: [number, number] = [key >>> 0, counters.length];
  for (let i = 0; i < Math.max(1, counters.length); i += 2)
    state = threefry2x32(state, [(counters[i] ?? 0) >>> 0, (counters[i + 1] ?? 0) >>> 0]);
  return state[0];
}

/** The upper 24 of the random bits as a float in [0, 1): every value is exact in f32. */
export const randomUniform = (key: number, counters: readonly number[]): number =>
  (randomBits(key, counters) >>> 8) / 2 ** 24;
