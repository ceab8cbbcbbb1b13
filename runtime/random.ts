/**
 * Random inputs that depend on nothing but the seed, the input's name and the element's place in the *global* array:
 * the same on every backend and mesh. A counter-based generator (Threefry-2x32, 20 rounds: Salmon et al., SC 2011)
 * gives two words for each pair of elements, and Box–Muller turns them into two standard normal numbers:
 *
 *     u = (a + ½) / 2³²,  v = b / 2³²      r = √(-2 ln u)      r·cos 2πv,  r·sin 2πv
 */
import { type Dtype, type HostArray, hostArray, isFloat, roundTo } from "./dtype.ts";

/** Stretches of a global array, and where they stand in what is made. */
export type Stretches = readonly { readonly global: number; readonly local: number; readonly length: number }[];
const wholeOf = (count: number): Stretches => [{ global: 0, local: 0, length: count }];

/** `count` standard normal numbers for the input `name`: all of it, or these stretches. */
export function randomNormal(
  seed: number,
  name: string,
  count: number,
  stretches: Stretches = wholeOf(count),
): Float32Array {
  const [key0, key1] = inputKey(seed, name);
  const out = new Float32Array(count);
  for (const { global, local, length } of stretches) {
    const end = global + length;
    for (let i = global - (global % 2); i < end; i += 2) {
      const pair = i / 2;
      const [a, b] = threefry(key0, key1, pair >>> 0, Math.floor(pair / 2 ** 32));
      const radius = Math.sqrt(-2 * Math.log((a + 0.5) / 2 ** 32));
      const angle = 2 * Math.PI * (b / 2 ** 32);
      if (i >= global) out[local + i - global] = radius * Math.cos(angle);
      if (i + 1 < end) out[local + i + 1 - global] = radius * Math.sin(angle);
    }
  }
  return out;
}

/** What an input is when none is given: random normal numbers, as `dtype` can hold them; zeros for integers and bool. */
export const defaultInput = (seed: number, name: string, dtype: Dtype, count: number): HostArray =>
  defaultElements(seed, name, dtype, wholeOf(count), count);

/** The same, of some stretches only. */
export function defaultElements(
  seed: number,
  name: string,
  dtype: Dtype,
  stretches: Stretches,
  count: number,
): HostArray {
  return isFloat(dtype) ? roundTo(randomNormal(seed, name, count, stretches), dtype) : hostArray(dtype, count);
}

/** A key for each seed and name: the seed's 64 bits encrypt two hashes of the name. */
function inputKey(seed: number, name: string): readonly [number, number] {
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  return threefry(seed >>> 0, high, fnv1a(name, 0x811c9dc5), fnv1a(name, 0x9747b28c));
}

/** FNV-1a over the UTF-8 bytes. */
function fnv1a(text: string, start: number): number {
  let hash = start;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** Threefry-2x32-20 of counter `(c0, c1)` under key `(k0, k1)`; all are 32-bit words. */
export function threefry(k0: number, k1: number, c0: number, c1: number): readonly [number, number] {
  const keys = [k0, k1, k0 ^ k1 ^ 0x1bd11bda];
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let round = 0; round < 20; round++) {
    const by = ROTATIONS[round % 8]!;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << by) | (x1 >>> (32 - by))) ^ x0;
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x0 = (x0 + keys[injection % 3]!) | 0;
      x1 = (x1 + keys[(injection + 1) % 3]! + injection) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}
