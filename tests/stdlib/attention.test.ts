/** gyre/attention and gyre/masks against the formula. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { randomUniform } from "../../compiler/core/threefry.ts";
import { array, attention, trial } from "../programs/harness.ts";
import { open } from "../support/backends.ts";

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
  halves: true,
  dims: { B: 1, S: 32, H: 2, D: 8 },
  inputs: operands,
  bound: 1e-2,
  expect: ({ q, k, v }) => ({ "": array([1, 32, 2, 8], attention(q, k, v, { keys: 32, width: 8, mask: causal })) }),
});

for (const sp of [1, 4])
  trial(`keys of another sequence, sp = ${sp}`, {
    program,
    entry: "crossed",
    dims: { B: 2, Q: 16, K: 24, H: 4, G: 2, D: 6, E: 3 },
    mesh: { sp },
    inputs: operands,
    expect: ({ q, k, v }) => ({ "": array([2, 16, 4, 3], attention(q, k, v, { keys: 24, width: 6, group: 2 })) }),
  });

for (const [entry, W] of [
  ["window", 1],
  ["window", 5],
  ["window", 9],
  ["window", 10],
  ["window", 100],
  ["zigzag_window", 9],
] as const)
  trial(`${entry} of ${W}, four shards of eight`, {
    program,
    entry,
    dims: { B: 1, S: 32, H: 1, D: 4, W },
    inputs: operands,
    expect: ({ q, k, v }) => {
      const mask = (i: number, j: number) => i >= j && i - j < W;
      return { "": array([1, 32, 1, 4], attention(q, k, v, { keys: 32, width: 4, mask })) };
    },
  });

test.each([
  ["window", 1, 1],
  ["window", 8, 2],
  ["window", 9, 2],
  ["window", 10, 3],
  ["window", 100, 4],
  ["zigzag_window", 1, 4],
] as const)("the ring of a %s of %i, over shards of eight, takes %i steps", async (entry, W, steps) => {
  const path = new URL("attention.gyre", import.meta.url).pathname;
  const { core } = await open(path, readFileSync(path, "utf8"), { entry, dims: { B: 1, S: 32, H: 1, D: 4, W } });
  const counts = core.body.eqns.flatMap((e) => (e.kind === "fold" && e.over.kind === "steps" ? [e.over.count] : []));
  expect(counts).toEqual([steps]);
});

for (const mesh of [
  { dp: 1, sp: 1, tp: 1 },
  { dp: 2, sp: 1, tp: 2 },
  { dp: 1, sp: 4, tp: 1 },
])
  trial(`dropout holds back the same pairs on dp = ${mesh.dp}, sp = ${mesh.sp}, tp = ${mesh.tp}`, {
    program,
    entry: "dropped",
    dims: { B: 2, S: 24, H: 4, G: 2, D: 4 },
    mesh,
    inputs: { ...operands, key: () => 7 },
    expect: ({ q, k, v }) => {
      const mask = (i: number, j: number, b: number, h: number) => i >= j && randomUniform(7, [b, h, i, j]) >= 0.25;
      return { "": array([2, 24, 4, 4], attention(q, k, v, { keys: 24, width: 4, mask, group: 2 })) };
    },
  });

trial("a soft cap and ALiBi, on split heads", {
  program,
  entry: "sloped",
  dims: { B: 1, S: 16, H: 4, D: 4 },
  mesh: { sp: 2, tp: 2 },
  inputs: operands,
  expect: ({ q, k, v }) => {
    const score = (s: number, i: number, j: number, _b: number, h: number) =>
      2 * Math.tanh(s / 2) - 2 ** (-2 * (h + 1)) * Math.abs(i - j);
    return { "": array([1, 16, 4, 4], attention(q, k, v, { keys: 16, width: 4, mask: causal, score })) };
  },
});

for (const [A, N, I] of [
  [1, 1, 1],
  [2, 1, 1],
  [1, 3, 16],
  [2, 3, 16],
] as const)
  trial(`a bias of ${A} x ${N} x ${I} x 16`, {
    program,
    entry: "biased",
    dims: { B: 2, S: 16, H: 3, D: 4, A, N, I },
    inputs: { ...operands, bias: undefined },
    expect: ({ q, k, v, bias }) => {
      const score = (s: number, i: number, j: number, b: number, h: number) => s + bias(b % A, h % N, i % I, j);
      return { "": array([2, 16, 3, 4], attention(q, k, v, { keys: 16, width: 4, score })) };
    },
  });

for (const [ring, heads, W] of [
  [2, 2, 0],
  [1, 2, 0],
  [4, 1, 0],
  [2, 2, 5],
] as const)
  trial(`a ring of ${ring} beside an exchange of ${heads}${W > 0 ? `, window ${W}` : ""}`, {
    program,
    entry: "hybrid",
    dims: { B: 1, S: 32, H: 4, G: 2, D: 4, W: W || 1000 },
    mesh: { ring, heads },
    inputs: { ...operands, slope: (h) => 0.1 * (h! + 1) },
    expect: ({ q, k, v, slope }) => {
      const mask = (i: number, j: number) => i >= j && (W === 0 || i - j < W);
      const score = (s: number, i: number, j: number, _b: number, h: number) => s - slope(h) * (i - j);
      return { "": array([1, 32, 4, 4], attention(q, k, v, { keys: 32, width: 4, mask, score, group: 2 })) };
    },
  });

// Shards of eight rows: inside one, across two, across three, at the end.
for (const [Q, at] of [
  [1, 0],
  [3, 11],
  [3, 14],
  [10, 7],
  [2, 30],
] as const)
  for (const entry of ["written", "dealt"])
    trial(`${Q} rows are ${entry} to a split cache at ${at}, and seen`, {
      program,
      entry,
      dims: { B: 2, S: 32, Q, H: 4, G: 2, D: 4 },
      inputs: { ...operands, k_cache: undefined, v_cache: undefined, cache_idx: () => at },
      expect: ({ q, k, v, k_cache, v_cache }) => {
        const now =
          (rows: typeof k, cache: typeof k): typeof k =>
          (b, i, g, d) =>
            i! >= at && i! < at + Q ? rows(b!, i! - at, g!, d!) : cache(b!, i!, g!, d!);
        const keys = now(k, k_cache);
        const mask = (i: number, j: number) => at + i >= j;
        return {
          "0": array([2, 32, 2, 4], keys),
          "1": array([2, Q, 4, 4], attention(q, keys, now(v, v_cache), { keys: 32, width: 4, mask, group: 2 })),
        };
      },
    });
