/** Programs whose loops carry state: training, decoding, pipelines, games. */
import { argmax, array, attention, largest, mod, once, range, scalar, sigmoid, sum, trial } from "./harness.ts";

for (const mesh of [
  { y: 2, x: 2 },
  { y: 1, x: 4 },
] as const)
  trial(`the game of life on a torus, ${JSON.stringify(mesh)}`, {
    program: "programs/life",
    dims: { M: 8, N: 12 },
    mesh,
    inputs: { cells: (i, j) => Number((7 * i! * i! + 5 * j! + i! * j!) % 3 === 0) },
    expect: ({ cells }) => {
      const next = (f: typeof cells) =>
        once((i, j) => {
          const around = sum(9, (t) => f(mod(i! + Math.floor(t / 3) - 1, 8), mod(j! + (t % 3) - 1, 12))) - f(i!, j!);
          return Number(around === 3 || (f(i!, j!) === 1 && around === 2));
        });
      const last = range(6).reduce((f) => next(f), cells);
      return { 0: array([8, 12], last), 1: scalar(sum(96, (i) => last(Math.floor(i / 12), i % 12))) };
    },
  });

trial("Cannon's product on a grid", {
  program: "programs/summa",
  dims: { M: 6, K: 9, N: 12 },
  inputs: { a: undefined, b: undefined },
  expect: ({ a, b }) => ({ "": array([6, 12], (i, j) => sum(9, (k) => a(i!, k) * b(k, j!))) }),
});

trial("a pipeline of layers on devices", {
  program: "programs/pipeline",
  dims: { M: 5, B: 2, D: 3 },
  inputs: { x: undefined, w: undefined },
  expect: ({ x, w }) => {
    const layer = (f: typeof x, l: number) => once((m, b, d) => Math.tanh(sum(3, (e) => f(m!, b!, e) * w(l, e, d!))));
    return { "": array([5, 2, 3], range(4).reduce(layer, x)) };
  },
});

for (const dp of [1, 3])
  trial(`logistic regression by gradient descent, dp = ${dp}`, {
    program: "programs/training",
    dims: { N: 18, D: 4 },
    mesh: { dp },
    inputs: { x: undefined, y: (n) => ((n! * 7) % 3) % 2 },
    expect: ({ x, y }) => {
      let w = [0, 0, 0, 0];
      let b = 0;
      const losses: number[] = [];
      for (let step = 0; step < 12; step++) {
        const z = range(18).map((n) => sum(4, (d) => x(n, d) * w[d]!) + b);
        losses.push(sum(18, (n) => Math.log(1 + Math.exp(z[n]!)) - z[n]! * y(n)) / 18);
        const off = z.map((s, n) => sigmoid(s) - y(n));
        w = w.map((value, d) => value - (0.5 * sum(18, (n) => off[n]! * x(n, d))) / 18);
        b -= (0.5 * sum(18, (n) => off[n]!)) / 18;
      }
      return { w: array([4], (d) => w[d!]!), b: scalar(b), losses: array([12], (t) => losses[t!]!) };
    },
  });

trial("a running sum over devices by doubling", {
  program: "programs/device-scan",
  dims: { N: 12, C: 2 },
  inputs: { x: undefined },
  expect: ({ x }) => ({ "": array([12, 2], (n, c) => sum(n! + 1, (i) => x(i, c!))) }),
});

trial("the three largest of each row", {
  program: "programs/top-k",
  dims: { N: 6, D: 11 },
  inputs: { x: undefined },
  expect: ({ x }) => {
    const order = (n: number) => range(11).sort((a, b) => x(n, b) - x(n, a));
    return {
      0: array([3, 6], (k, n) => x(n!, order(n!)[k!]!)),
      1: array([3, 6], (k, n) => order(n!)[k!]!),
    };
  },
});

trial("local attention with a halo", {
  program: "programs/local-attention",
  dims: { B: 1, S: 80, H: 2, D: 4 },
  inputs: { q: undefined, k: undefined, v: undefined },
  expect: ({ q, k, v }) => {
    const mask = (i: number, j: number) => i >= j && i - j < 16;
    return { "": array([1, 80, 2, 4], attention(q, k, v, { keys: 80, width: 4, mask })) };
  },
});

trial("writing tokens in a loop, with a cache", {
  program: "programs/greedy-decoding",
  dims: { V: 13, E: 6 },
  inputs: { embedding: undefined, query: undefined, out: undefined, start: () => 4 },
  expect: ({ embedding, query, out }) => {
    const tokens: number[] = [];
    const cache: number[][] = [];
    let token = 4;
    for (let t = 0; t < 10; t++) {
      const x = range(6).map((e) => embedding(token, e));
      cache.push(x);
      const q = range(6).map((e) => sum(6, (i) => x[i]! * query(i, e)));
      const s = cache.map((row) => sum(6, (e) => row[e]! * q[e]!) / Math.sqrt(6));
      const p = s.map((a) => Math.exp(a - Math.max(...s)));
      const total = p.reduce((a, b) => a + b, 0);
      const y = range(6).map((e) => x[e]! + sum(t + 1, (i) => p[i]! * cache[i]![e]!) / total);
      token = argmax(13, (v) => sum(6, (e) => y[e]! * out(e, v)));
      tokens.push(token);
    }
    return { 0: array([10], (t) => tokens[t!]!), 1: array([10, 6], (t, e) => cache[t!]![e!]!) };
  },
});

trial("a convolution in two dimensions", {
  program: "programs/convolution-2d",
  dims: { B: 2, M: 5, N: 11, C: 3, F: 2, R: 3 },
  inputs: { image: undefined, taps: undefined },
  expect: ({ image, taps }) => {
    const pixel = (b: number, m: number, n: number, c: number) =>
      m >= 0 && m < 5 && n >= 0 && n < 11 ? image(b, m, n, c) : 0;
    const y = once((b, m, n, f) =>
      Math.max(
        0,
        sum(27, (t) => {
          const [r, s, c] = [Math.floor(t / 9), Math.floor(t / 3) % 3, t % 3];
          return pixel(b!, m! + r - 1, n! + s - 1, c) * taps(r, s, c, f!);
        }),
      ),
    );
    return {
      0: array([2, 5, 11, 2], y),
      1: array([2, 2], (b, f) => largest(55, (i) => y(b!, Math.floor(i / 11), i % 11, f!))),
    };
  },
});

trial("batch normalisation for two dtypes", {
  program: "programs/batch-statistics",
  halves: true,
  dims: { N: 16, C: 3 },
  inputs: { x: undefined, half: undefined },
  bound: 1e-2,
  expect: ({ x, half }) => {
    const moments = (f: typeof x, c: number) => {
      const mean = sum(16, (n) => f(n, c)) / 16;
      return { mean, variance: sum(16, (n) => (f(n, c) - mean) ** 2) / 16 };
    };
    const normal = (f: typeof x) => (n: number, c: number) => {
      const { mean, variance } = moments(f, c);
      return (f(n, c) - mean) / Math.sqrt(variance + 1e-5);
    };
    return {
      x: array([16, 3], (n, c) => normal(x)(n!, c!)),
      variance: array([3], (c) => moments(x, c!).variance),
      half: array([16, 3], (n, c) => normal(half)(n!, c!)),
    };
  },
});

for (const mode of [0, 1, 2])
  for (const limit of [0.5, 100])
    trial(`branches, mode ${mode}, limit ${limit}`, {
      program: "programs/branches",
      dims: { N: 6 },
      inputs: { x: undefined, mode: () => mode, limit: () => limit },
      expect: ({ x }) => {
        const top = largest(6, (i) => Math.abs(x(i)));
        const scale = top > limit ? limit / top : 1;
        const step = (y: number, t: number) => (t % 2 === 1 ? y - t : mode === 0 ? y + 1 : mode === 1 ? y * 2 : -y);
        return { "": array([6], (i) => range(4).reduce(step, x(i!) * scale)) };
      },
    });

trial("a recurrence whose steps are all kept, in a kernel", {
  program: "programs/rows-in-place",
  entry: "recurrence",
  dims: { S: 50, B: 12 },
  inputs: { x: undefined, a: (t, b) => ((t! + 3 * b!) % 7) / 7 },
  expect: ({ x, a }) => {
    const h = once((t, b): number => (t! < 0 ? 0 : a(t!, b!) * h(t! - 1, b!) + x(t!, b!)));
    return { "": array([50, 12], (t, b) => h(t!, b!)) };
  },
});
trial("loops in a kernel that change some rows of what they carry", {
  program: "programs/rows-in-place",
  entry: "rows",
  dims: { T: 40, V: 19, E: 6 },
  inputs: { x: undefined, ids: (t) => (t! * 11) % 19 },
  expect: ({ x, ids }) => {
    const [T, V, E] = [40, 19, 6];
    /** What is in an element after all steps, each of which changes the elements of some rows. */
    const after = (
      v: number,
      rows: (t: number) => readonly [number, number],
      step: (old: number, t: number) => number,
    ) => range(T).reduce((old, t) => (v >= rows(t)[0] && v < rows(t)[1] ? step(old, t) : old), 0);
    const three = (t: number): number => Math.min(ids(t), V - 3);
    return {
      added: array([V, E], (v, e) =>
        after(
          v!,
          (t) => [ids(t), ids(t) + 1],
          (old, t) => old + x(t, e!),
        ),
      ),
      three: array([V, E], (v, e) =>
        after(
          v!,
          (t) => [three(t), three(t) + 3],
          (old, t) => old / 2 + x(t, e!),
        ),
      ),
      masked: array([V, E], (v, e) =>
        after(
          v!,
          (t) => [ids(t) - 2, ids(t) - 1],
          (old, t) => x(t, e!) - old,
        ),
      ),
      side: array([E, V], (e, v) =>
        after(
          v!,
          (t) => [ids(t), ids(t) + 5],
          (_, t) => x(t, e!),
        ),
      ),
    };
  },
});
