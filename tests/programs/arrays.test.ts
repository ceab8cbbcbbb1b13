/** Programs of array code outside `tiles`. */
import { roundTo } from "../../runtime/dtype.ts";
import { array, attention, largest, mod, once, range, scalar, sum, tabulate, trial } from "./harness.ts";

const near = (x: number, dtype: "f16" | "bf16"): number => roundTo(Float64Array.of(x), dtype)[0]!;

trial("bf16 operands", {
  program: "programs/half-precision",
  dims: { N: 8, D: 24, E: 6 },
  inputs: { x: undefined, w: undefined, bias: undefined },
  bound: 1e-2,
  expect: ({ x, w, bias }) => {
    const y = once((n, e) => sum(24, (d) => x(n!, d) * w(d, e!)) + bias(e!));
    return {
      0: array([8, 6], (n, e) => near(y(n!, e!), "bf16")),
      1: array([6], (e) => sum(8, (n) => y(n, e!) * sum(24, (d) => 2 * x(n, d)))),
    };
  },
});

trial("whole numbers and truth", {
  program: "programs/integers",
  dims: { N: 40 },
  inputs: { a: (n) => ((n! * 7) % 23) - 11, b: (n) => ((n! * 5) % 13) - 6, c: (n) => n! * 100003 },
  expect: ({ a, b, c }) => {
    const divisor = (n: number) => b(n) || 1;
    const quotient = (n: number) => Math.floor(a(n) / divisor(n));
    const odd = (n: number) => mod(a(n), 2) === 1;
    return {
      quotient: array([40], (n) => quotient(n!)),
      remainder: array([40], (n) => a(n!) - quotient(n!) * divisor(n!)),
      wrapped: array([40], (n) => (Math.imul(c(n!), 2654435761) + 7) >>> 0),
      odd: array([40], (n) => Number((odd(n!) && !(b(n!) < 0)) || a(n!) === b(n!))),
      any_odd: scalar(Number(range(40).some(odd))),
      chosen: array([40], (n) => (a(n!) > 0 ? Math.max(a(n!), b(n!)) : -Math.min(a(n!), b(n!)))),
    };
  },
});

trial("casts to whole numbers and to 16 bits", {
  program: "programs/casts",
  dims: { N: 32 },
  // Sixteen powers of ten of either sign.
  inputs: {
    x: (n) => (n! % 2 ? -1.75 : 1.75) * 10 ** (n! >> 1),
    n: (n) => n! - 9,
    holes: (n) => (n! % 3 ? n! : Number.NaN),
  },
  expect: ({ x, n }) => ({
    filled: array([32], (i) => (i! % 3 ? i! : -1)),
    signed: array([32], (i) => Math.min(Math.max(Math.trunc(x(i!)), -(2 ** 31)), 2 ** 31 - 1)),
    unsigned: array([32], (i) => Math.min(Math.max(Math.trunc(x(i!)), 0), 2 ** 32 - 1)),
    nothing: array([32], () => 0),
    quotient: array([32], (i) => (mod(n(i!), 2) ? n(i!) : 0)),
    remainder: array([32], () => 0),
    brain: array([32], (i) => near(x(i!), "bf16")),
    half: array([32], (i) => 1 / near(x(i!), "f16")),
    added: array([32], (i) => near(near(near(x(i!), "bf16") / 3, "bf16") + near(x(i!), "bf16"), "bf16")),
  }),
});

for (const at of [0, 5, 12])
  trial(`new keys and values in a cache, at ${at}`, {
    program: "programs/kv-cache",
    dims: { B: 1, S: 16, Q: 4, H: 2, D: 4 },
    inputs: { q: undefined, k: undefined, v: undefined, keys: undefined, values: undefined, at: () => at },
    expect: ({ q, k, v, keys, values }) => {
      const fresh = (j: number) => j >= at && j < at + 4;
      const allKeys = (b: number, j: number, h: number, d: number) =>
        fresh(j) ? k(b, j - at, h, d) : keys(b, j, h, d);
      const allValues = (b: number, j: number, h: number, d: number) =>
        fresh(j) ? v(b, j - at, h, d) : values(b, j, h, d);
      const mask = (i: number, j: number) => at + i >= j;
      return {
        out: array(
          [1, 4, 2, 4],
          attention(q, allKeys as typeof k, allValues as typeof v, { keys: 16, width: 4, mask }),
        ),
        keys: array([1, 16, 2, 4], allKeys as typeof k),
        values: array([1, 16, 2, 4], allValues as typeof v),
      };
    },
  });

for (const dp of [1, 2])
  trial(`what a loop collects, dp = ${dp}`, {
    program: "programs/collected-steps",
    entry: "average",
    dims: { T: 7, N: 6 },
    mesh: { dp },
    inputs: { x: undefined },
    expect: ({ x }) => {
      const m = (t: number, n: number): number => (t < 0 ? 0 : 0.9 * m(t - 1, n) + 0.1 * x(t, n));
      return {
        0: array([6], (n) => m(6, n!)),
        1: array([7, 6], (t, n) => m(t!, n!)),
        2: array([7], (t) => sum(6, (n) => Math.abs(m(t!, n) - m(t! - 1, n)))),
      };
    },
  });

trial("near 1, and comparisons to choose from", {
  program: "programs/near-one",
  dims: { N: 16 },
  inputs: { x: (n) => n! + 1 },
  expect: ({ x }) => {
    const chosen = (v: number) =>
      range(3).reduce((c, t) => (t % 2 === 1 ? v < t + 3 || c : c ? v > 7 : v < t + 3), v > 5);
    return {
      0: array([16], (n) => Math.log1p(-(2 ** -x(n!))) * 2 ** x(n!)),
      1: array([16], (n) => Math.log1p(2 ** -x(n!)) * Math.LOG2E * 2 ** x(n!)),
      2: array([16], (n) => Number(chosen(x(n!)))),
    };
  },
});

trial("what blocks hand out, a last smaller one too", {
  program: "programs/collected-steps",
  entry: "blocks",
  inputs: { x: undefined },
  expect: ({ x }) => {
    const top = array([16, 3], (b, j) => largest(Math.min(10, 4 * j! + 4), (n) => x(b!, n)));
    return { 0: top, 1: top };
  },
});

trial("a softmax over a growing prefix", {
  program: "programs/running-softmax",
  dims: { B: 4, S: 19, D: 3 },
  inputs: { score: undefined, value: undefined },
  expect: ({ score, value }) => ({
    "": array([4, 19, 3], (b, s, d) => {
      const top = largest(19, (i) => score(b!, i));
      const e = tabulate([s! + 1], (i) => Math.exp(score(b!, i!) - top));
      return sum(s! + 1, (i) => e[i]! * value(b!, i, d!)) / sum(s! + 1, (i) => e[i]!);
    }),
  }),
});

for (const rows of [3, 8, 13])
  trial(`blocks of rows outside tiles, ${rows} rows by 4`, {
    program: "programs/blocks-of-rows",
    dims: { N: rows, D: 4 },
    inputs: { x: undefined },
    expect: ({ x }) => ({
      0: array([4], (d) => sum(rows, (n) => n * x(n, d!))),
      1: array([4], (d) => Math.log(sum(rows, (n) => Math.exp(x(n, d!))))),
      2: scalar(sum(rows * 4, (i) => x(Math.floor(i / 4), i % 4))),
    }),
  });

for (const [W, L] of [
  [1, 1],
  [3, 4],
] as const)
  trial(`arrays of ${W - 1} elements, and a loop of ${L - 1} steps`, {
    program: "programs/empty",
    dims: { N: 8, W, L },
    inputs: { x: undefined, taps: undefined, m: undefined },
    expect: ({ x, taps, m }) => {
      const before = (n: number, t: number) => (n + t - (W - 1) + 8) % 8;
      const rest = (i: number) => range(W - 1).map((k) => m(i, k + 1));
      const steps = [sum(W, taps)];
      for (const t of range(L - 1)) steps.push(steps.at(-1)! * taps(t % W));
      const collected = sum(L - 1, (t) => steps[t]! + 1);
      return {
        filtered: array([8], (n) => sum(W, (t) => taps(t) * x(before(n!, t)))),
        gradient: array([W], (t) => sum(8, (n) => x(before(n, t!)))),
        sums: array([4], (i) => rest(i!).reduce((a, b) => a + 4 * b, 0) + collected),
        largest: scalar(Math.max(...range(W - 1).map((k) => taps(k + 1)))),
        none: scalar(W > 1 ? 1 : 0),
        product: array([4, 4], (i, j) => rest(i!).reduce((a, b, k) => a + b * rest(j!)[k]!, 0)),
        last: scalar(steps.at(-1)!),
        rest: array([W], (k) => taps((k! + 1) % W)),
      };
    },
  });
