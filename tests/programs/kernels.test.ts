/** Programs with `tiles` of their own. */
import { array, attention, largest, mod, once, range, sigmoid, sum, trial } from "./harness.ts";

trial("sigmoid attention with a window; S is not a multiple of the block", {
  program: "programs/sigmoid-window",
  dims: { B: 2, S: 70, H: 2, D: 8 },
  inputs: { q: undefined, k: undefined, v: undefined, shift: undefined },
  expect: ({ q, k, v, shift }) => {
    const score = (b: number, i: number, j: number, h: number) =>
      sum(8, (d) => q(b, i, h, d) * k(b, j, h, d)) / Math.sqrt(8);
    const weight = once((b, i, j, h) => sigmoid(score(b!, i!, j!, h!) - shift(h!)));
    return {
      "": array([2, 70, 2, 8], (b, i, h, d) =>
        sum(70, (j) => (i! >= j && i! - j < 24 ? weight(b!, i!, j, h!) * v(b!, j, h!, d!) : 0)),
      ),
    };
  },
});

trial("two results from one kernel, blocks that do not divide", {
  program: "programs/ragged-product",
  dims: { M: 50, K: 37, N: 45 },
  inputs: { a: undefined, b: undefined },
  expect: ({ a, b }) => {
    const c = once((i, j) => sum(37, (r) => a(i!, r) * b(r, j!)));
    return {
      0: array([50, 45], c),
      1: array([50], (i) => largest(45, (j) => c(i!, j)) / Math.sqrt(sum(45, (j) => c(i!, j) ** 2))),
    };
  },
});

trial("mean and deviation of rows longer than a block", {
  program: "programs/row-statistics",
  dims: { N: 13, D: 75 },
  inputs: { x: undefined },
  expect: ({ x }) => {
    const mean = (n: number) => sum(75, (d) => x(n, d)) / 75;
    return {
      mean: array([13], (n) => mean(n!)),
      scale: array([13], (n) => 1 / Math.sqrt(sum(75, (d) => x(n!, d) ** 2) / 75 - mean(n!) ** 2 + 1e-5)),
    };
  },
});

trial("a loop in a loop in a kernel", {
  program: "programs/nested-folds",
  dims: { N: 20, R: 3, K: 19, D: 6 },
  inputs: { x: undefined, keys: undefined, weight: undefined },
  expect: ({ x, keys, weight }) => ({
    "": array([20], (n) =>
      sum(3, (r) => weight(r) * Math.log(sum(19, (k) => Math.exp(sum(6, (d) => x(n!, d) * keys(r, k, d)))))),
    ),
  }),
});

for (const entry of ["large", "small", "automatic"])
  trial(`blocks of any size: ${entry}`, {
    program: "programs/block-sizes",
    entry,
    dims: { N: 40, D: 8 },
    inputs: { x: undefined, w: undefined },
    expect: ({ x, w }) => ({
      "": array([40, 8], (i, e) => sum(40, (j) => Math.tanh(sum(8, (d) => x(i!, d) * x(j, d))) * w(j, e!))),
    }),
  });

trial("blocks far larger than a workgroup's memory", {
  program: "programs/block-sizes",
  entry: "large",
  dims: { N: 600, D: 16 },
  inputs: { x: undefined, w: undefined },
  expect: ({ x, w }) => {
    const t = once((i, j) => Math.tanh(sum(16, (d) => x(i!, d) * x(j!, d))));
    return { "": array([600, 16], (i, e) => sum(600, (j) => t(i!, j) * w(j, e!))) };
  },
});

for (const sp of [1, 2])
  trial(`run-time scalars in a kernel, sp = ${sp}`, {
    program: "programs/captured-scalars",
    dims: { N: 24 },
    mesh: { sp },
    inputs: { x: undefined, gain: () => -0.3, offset: () => 5 },
    expect: ({ x }) => ({
      "": array([24], (i) => {
        const me = Math.floor(i! / (24 / sp));
        return range(3).reduce((y, step) => ((i! + 5) % 2 === step % 2 ? Math.exp(-0.3) * y : y + step - me), x(i!));
      }),
    }),
  });

trial("counting in a kernel, two results of different dtypes", {
  program: "programs/histogram",
  dims: { N: 90, K: 6 },
  inputs: { x: undefined, edges: (k) => k! - 2 },
  expect: ({ x }) => ({
    count: array([6], (e) => range(90).filter((n) => x(n) < e! - 2).length),
    top: array([6], (e) => Math.max(...range(90).map((n) => (x(n) < e! - 2 ? x(n) : Number.NEGATIVE_INFINITY)))),
  }),
});

for (const [V, E] of [
  [40, 7],
  [16, 64],
  [33, 1],
] as const) {
  const [T, N, C] = [48, 4, 6];
  // Some are out of range: what is taken of a table is clamped to it, and a one-hot vector of them is 0.
  const ids = (t: number): number => ((t * 17) % (V + 4)) - 2;
  const held = (t: number): number => Math.min(Math.max(ids(t), 0), V - 1);
  const place = (t: number): number => (t * 5) % 9;
  const over = (counts: (t: number) => boolean, f: (t: number) => number): number =>
    sum(T, (t) => (counts(t) ? f(t) : 0));
  trial(`sums with one-hot vectors, ${V} places of ${E}`, {
    program: "programs/places",
    entry: "places",
    dims: { T, V, E },
    inputs: { table: undefined, x: undefined, z: undefined, ids: (t) => ids(t!), place: (t) => place(t!) },
    expect: ({ table, x, z }) => {
      const logit = (t: number, at: number): number => (at >= 0 && at < V ? z(t, at) : 0);
      return {
        table: array([V, E], (v, e) =>
          over(
            (t) => held(t) === v,
            (t) => 2 * table(v!, e!) * x(t, e!),
          ),
        ),
        columns: array([E, V], (e, v) =>
          over(
            (t) => held(t) === v,
            (t) => x(t, e!),
          ),
        ),
        counts: array([V], (v) =>
          over(
            (t) => ids(t) === v,
            () => 1,
          ),
        ),
        mean: array([V, E], (v, e) => {
          const count = over(
            (t) => ids(t) === v,
            () => 1,
          );
          return (
            over(
              (t) => ids(t) === v,
              (t) => 2 * x(t, e!) + 1,
            ) / Math.max(count, 1)
          );
        }),
        logit: array([T], (t) => logit(t!, ids(t!))),
        moved: array([T], (t) => logit(t!, ids(t!) - 3)),
        dealt: array([N, C, E], (n, c, e) =>
          over(
            (t) => mod(ids(t), N) === n && place(t) === c && c! < C - 1,
            (t) => x(t, e!),
          ),
        ),
        back: array([T, E], (t, e) => (held(t!) === ids(t!) ? table(ids(t!), e!) : 0) + 1),
      };
    },
  });
}
trial("a gradient of a table of 16-bit numbers", {
  program: "programs/places",
  entry: "half",
  dims: { T: 300, V: 20, E: 24 },
  mesh: { dp: 1 },
  inputs: { x: undefined, ids: (t) => (t! * t!) % 20 },
  bound: 3e-3,
  halves: true,
  expect: ({ x, ids }) => ({
    "": array([20, 24], (v, e) => sum(300, (t) => (ids(t) === v ? x(t, e!) : 0))),
  }),
});

const blind = { width: 8, mask: (q: number, k: number) => q % 3 !== 0 && k - q >= 40 };
// With 24 rows no query sees a key, and the compiler knows it: sums of constants over blocks of which the last is partial.
for (const entry of ["around", "alone"])
  for (const rows of [64, 24])
    trial(`queries that see nothing give 0: ${entry}, ${rows} rows`, {
      program: "programs/blind-rows",
      entry,
      dims: { B: 1, S: rows, H: 2, D: 8 },
      inputs: { q: undefined, k: undefined, v: undefined },
      expect: ({ q, k, v }) => ({ "": array([1, rows, 2, 8], attention(q, k, v, { ...blind, keys: rows })) }),
    });

for (const rows of [1, 50])
  trial(`an online softmax over ${rows} rows, in blocks left to the compiler`, {
    program: "programs/one-block",
    dims: { Q: rows, D: 4 },
    inputs: { q: undefined, k: undefined, v: undefined },
    expect: ({ q, k, v }) => {
      const e = once((i, j) => Math.exp(sum(4, (d) => q(i!, d) * k(j!, d)) / 2));
      const total = once((i) => sum(i! + 1, (j) => e(i!, j)));
      return {
        0: array([rows], (i) => Math.log(total(i!))),
        1: array([rows, 4], (i, d) => sum(i! + 1, (j) => e(i!, j) * v(j, d!)) / total(i!)),
      };
    },
  });

const strided = (q: number, k: number): boolean => (Math.floor(q / 4) - Math.floor(k / 4)) % 3 === 0 || q === k;
trial("a mask of quotients and remainders, dealt out like cards", {
  program: "programs/strided-mask",
  dims: { B: 1, S: 96, H: 2, D: 8 },
  inputs: { q: undefined, k: undefined, v: undefined, prefix: () => 9 },
  expect: ({ q, k, v }) => ({
    "": array(
      [1, 96, 2, 8],
      attention(q, k, v, { keys: 96, width: 8, mask: (i, j) => (i >= j || j < 9) && strided(i, j) }),
    ),
  }),
});

trial("an element of a partial block, picked by a computed index", {
  program: "programs/within-blocks",
  entry: "nearest",
  dims: { N: 29, K: 37, D: 5 },
  inputs: { x: undefined, codes: undefined },
  expect: ({ x, codes }) => {
    const far = (i: number, k: number) => sum(5, (d) => (x(i, d) - codes(k, d)) ** 2);
    const best = once((i) => range(37).reduce((a, k) => (far(i!, k) < far(i!, a) ? k : a), 0));
    return { 0: array([29], best), 1: array([29], (i) => far(i!, best(i!))) };
  },
});

trial("places counted from the first element of a block", {
  program: "programs/within-blocks",
  entry: "places",
  dims: { N: 21 },
  inputs: { x: undefined },
  expect: ({ x }) => ({ "": array([21], (i) => x(i!) + (i! % 8)) }),
});
