/** gyre/attention and gyre/masks against the formula. */
import { array, attention, trial } from "../programs/harness.ts";

const program = "stdlib/attention";
const operands = { q: undefined, k: undefined, v: undefined };
const causal = (q: number, k: number): boolean => q >= k;

for (const [I, J] of [
  [8, 8],
  [7, 5],
  [64, 3],
  [1, 64],
] as const)
  trial(`one device, chunks of ${I} and ${J}, grouped heads, as many keys as it likes`, {
    program,
    entry: "alone",
    dims: { B: 2, Q: 21, K: 30, H: 4, G: 2, D: 6, E: 5, I, J },
    mesh: { sp: 1 },
    inputs: operands,
    expect: ({ q, k, v }) => ({
      "": array([2, 21, 4, 5], attention(q, k, v, { keys: 30, width: 6, mask: causal, group: 2 })),
    }),
  });

trial("a ring without a mask", {
  program,
  entry: "bare",
  dims: { B: 1, S: 16, H: 2, D: 4 },
  inputs: operands,
  expect: ({ q, k, v }) => ({ "": array([1, 16, 2, 4], attention(q, k, v, { keys: 16, width: 4 })) }),
});

for (const entry of ["contiguous", "striped_ring", "zigzag_ring", "mixed_ring"])
  for (const sp of [1, 2, 4])
    trial(`a causal ring, ${entry}, sp = ${sp}`, {
      program,
      entry,
      dims: { B: 1, S: 48, H: 4, G: 2, D: 4 },
      mesh: { sp },
      inputs: operands,
      expect: ({ q, k, v }) => ({
        "": array([1, 48, 4, 4], attention(q, k, v, { keys: 48, width: 4, mask: causal, group: 2 })),
      }),
    });

for (const sp of [1, 2])
  trial(`by exchange of heads, sp = ${sp}`, {
    program,
    entry: "by_heads",
    dims: { B: 1, S: 24, H: 4, G: 2, D: 4 },
    mesh: { sp },
    inputs: { ...operands, slope: undefined },
    expect: ({ q, k, v, slope }) => {
      const score = (s: number, i: number, j: number, _b: number, h: number) => s + slope(h) * (j - i);
      return { "": array([1, 24, 4, 4], attention(q, k, v, { keys: 24, width: 4, mask: causal, score, group: 2 })) };
    },
  });

trial("scores, bias, scale, and a mask that looks at the head", {
  program,
  entry: "shaped",
  dims: { B: 2, S: 16, H: 2, D: 4 },
  inputs: { ...operands, bias: undefined },
  expect: ({ q, k, v, bias }) => {
    const mask = (i: number, j: number, _b: number, h: number) => i >= j || h === 1;
    const score = (s: number, i: number, j: number, b: number, h: number) =>
      5 * Math.tanh((s * Math.sqrt(4) * 0.25) / 5) + bias(b, h, i, j);
    return { "": array([2, 16, 2, 4], attention(q, k, v, { keys: 16, width: 4, mask, score })) };
  },
});

trial("every mask", {
  program,
  entry: "masks",
  dims: { B: 2, S: 32, H: 1, D: 4 },
  inputs: { ...operands, own: (b, s) => Math.floor(s! / (11 + b!)), other: (b, s) => Math.floor((s! + 4) / (11 + b!)) },
  expect: ({ q, k, v, own, other }) => {
    const by = (mask: (q: number, k: number, b: number) => boolean) =>
      array([2, 32, 1, 4], attention(q, k, v, { keys: 32, width: 4, mask }));
    return {
      group: by((i, j) => Math.floor(i / 6) >= Math.floor(j / 6)),
      window: by((i, j) => i >= j && i - j < 10),
      prefix: by((i, j) => i >= j || j < 12),
      segment: by((i, j, b) => i >= j && own(b, i) === own(b, j)),
      crossed: by((i, j, b) => own(b, i) === other(b, j)),
      far: by((i, j) => Math.abs(i - j) >= 9 && Math.floor(i / 3) >= Math.floor(j / 3)),
    };
  },
});

for (const [Q, at] of [
  [1, 0],
  [1, 37],
  [5, 13],
  [8, 40],
] as const)
  trial(`${Q} tokens against a split cache, from ${at}`, {
    program,
    entry: "decode",
    dims: { B: 2, S: 48, Q, H: 4, G: 2, D: 4 },
    inputs: { ...operands, cache_idx: () => at },
    expect: ({ q, k, v }) => {
      const mask = (i: number, j: number) => at + i >= j && at + i - j < 20;
      return { "": array([2, Q, 4, 4], attention(q, k, v, { keys: 48, width: 4, mask, group: 2 })) };
    },
  });

trial("bf16 operands", {
  program,
  entry: "half",
  dims: { B: 1, S: 32, H: 2, D: 8 },
  inputs: operands,
  bound: 1e-2,
  expect: ({ q, k, v }) => ({ "": array([1, 32, 2, 8], attention(q, k, v, { keys: 32, width: 8, mask: causal })) }),
});
