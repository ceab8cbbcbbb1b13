/** Programs that move data between devices. */
import { argmax, array, attention, largest, mod, once, range, scalar, sigmoid, sum, trial } from "./harness.ts";

for (const sp of [1, 4])
  trial(`linear attention with a state passed over devices, sp = ${sp}`, {
    program: "programs/linear-attention",
    dims: { B: 1, S: 32, H: 2, D: 5, E: 3 },
    mesh: { sp },
    inputs: { q: undefined, k: undefined, v: undefined },
    expect: ({ q, k, v }) => {
      const weight = once((b, i, j, h) => sum(5, (d) => q(b!, i!, h!, d) * k(b!, j!, h!, d)));
      return { "": array([1, 32, 2, 3], (b, i, h, e) => sum(i! + 1, (j) => weight(b!, i!, j, h!) * v(b!, j, h!, e!))) };
    },
  });

for (const [y, x] of [
  [1, 1],
  [2, 2],
  [4, 2],
] as const)
  trial(`a stencil with halos on a torus of ${y} x ${x}`, {
    program: "programs/stencil-2d",
    dims: { M: 12, N: 10 },
    mesh: { y, x },
    inputs: { u: undefined },
    expect: ({ u }) => {
      const step = (f: (i: number, j: number) => number) =>
        once((i, j) => {
          const [up, down, left, right] = [mod(i! - 1, 12), mod(i! + 1, 12), mod(j! - 1, 10), mod(j! + 1, 10)];
          return (f(i!, j!) + f(up, j!) + f(down, j!) + f(i!, left) + f(i!, right)) / 5;
        });
      return {
        "": array(
          [12, 10],
          range(5).reduce((f) => step(f) as typeof u, u),
        ),
      };
    },
  });

trial("experts on devices, tokens by all_to_all", {
  program: "programs/expert-routing",
  dims: { N: 24, D: 6 },
  inputs: { x: undefined, gate: undefined, w: undefined },
  expect: ({ x, gate, w }) => {
    const logit = (n: number, e: number) => sum(6, (d) => x(n, d) * gate(d, e));
    const expert = range(24).map((n) => argmax(4, (e) => logit(n, e)));
    return {
      "": array([24, 6], (n, d) => {
        const e = expert[n!]!;
        const top = largest(4, (i) => logit(n!, i));
        const weight = 1 / sum(4, (i) => Math.exp(logit(n!, i) - top));
        const first = n! - (n! % 6);
        const place = range(n! - first).filter((i) => expert[first + i] === e).length;
        const worked = Math.tanh(sum(6, (c) => x(n!, c) * w(e, c, d!)));
        return x(n!, d!) + (place < 3 ? weight * worked : 0);
      }),
    };
  },
});

trial("a Fourier transform in four steps over devices", {
  program: "programs/fourier",
  dims: { R: 8, C: 16 },
  inputs: { "x.re": undefined, "x.im": undefined },
  expect: (x) => {
    const [re, im] = [x["x.re"], x["x.im"]];
    const part = (of: (n: number, angle: number) => number) =>
      array([16, 8], (k, j) => sum(128, (n) => of(n, (-2 * Math.PI * ((8 * k! + j!) * n)) / 128)));
    const at = (f: typeof re, n: number) => f(Math.floor(n / 16), n % 16);
    return {
      re: part((n, angle) => at(re, n) * Math.cos(angle) - at(im, n) * Math.sin(angle)),
      im: part((n, angle) => at(re, n) * Math.sin(angle) + at(im, n) * Math.cos(angle)),
    };
  },
});

trial("positions under each layout", {
  program: "programs/layouts",
  dims: { S: 32 },
  inputs: { a: undefined, b: undefined, c: undefined },
  expect: ({ a, b, c }) => ({
    // The runtime puts positions back into global order, so each stands at its own place.
    0: array([32], (i) => i!),
    1: array([32], (i) => i!),
    2: array([32], (i) => i!),
    3: scalar(sum(32, (i) => (a(i) + b(i) + c(i)) * (i + 1))),
  }),
});

trial("look-up in a table whose rows are split", {
  program: "programs/split-vocabulary",
  dims: { B: 4, S: 5, V: 14, E: 3 },
  inputs: { ids: (b, s) => (b! * 5 + s! * 3) % 14, table: undefined },
  expect: ({ ids, table }) => ({ "": array([4, 5, 3], (b, s, e) => table(ids(b!, s!), e!)) }),
});

trial("nearest codes and their counts", {
  program: "programs/nearest-codes",
  dims: { N: 22, C: 5, D: 3 },
  inputs: { x: undefined, codes: undefined },
  expect: ({ x, codes }) => {
    const code = range(22).map((n) => argmax(5, (c) => -sum(3, (d) => (x(n, d) - codes(c, d)) ** 2)));
    const count = (c: number) => code.filter((k) => k === c).length;
    return {
      code: array([22], (n) => code[n!]!),
      count: array([5], (c) => count(c!)),
      centre: array([5, 3], (c, d) => sum(22, (n) => (code[n] === c ? x(n, d!) : 0)) / Math.max(count(c!), 1)),
    };
  },
});

for (const mesh of [
  { fsdp: 2, tp: 2 },
  { dp: 2, fsdp: 2, tp: 1 },
  { fsdp: 1, tp: 1 },
])
  trial(`layers from a record of sharded parameters, ${JSON.stringify(mesh)}`, {
    program: "programs/layers",
    dims: { L: 3, B: 4, E: 6, F: 10 },
    mesh,
    inputs: { x: undefined, "layers.norm": undefined, "layers.up": undefined, "layers.down": undefined },
    expect: (given) => {
      const { x, "layers.norm": norm, "layers.up": up, "layers.down": down } = given;
      const layer = (l: number, f: (b: number, e: number) => number) => {
        const y = once((b, e) => (f(b!, e!) / Math.sqrt(sum(6, (i) => f(b!, i) ** 2) / 6 + 1e-6)) * norm(l, e!));
        const hidden = once((b, j) => {
          const a = sum(6, (e) => y(b!, e) * up(l, e, j!));
          return a * sigmoid(a);
        });
        return once((b, e) => f(b!, e!) + sum(10, (j) => hidden(b!, j) * down(l, j, e!)));
      };
      return {
        "": array(
          [4, 6],
          range(3).reduce((f, l) => layer(l, f) as typeof x, x),
        ),
      };
    },
  });

for (const entry of ["plain", "overlapped"])
  for (const tp of [1, 4])
    trial(`gather, multiply, multiply, scatter: ${entry}, tp = ${tp}`, {
      program: "programs/tensor-parallel",
      entry,
      dims: { S: 16, E: 6, F: 12 },
      mesh: { tp },
      inputs: { x: undefined, up: undefined, down: undefined },
      expect: ({ x, up, down }) => {
        const hidden = once((s, f) =>
          Math.max(
            0,
            sum(6, (e) => x(s!, e) * up(e, f!)),
          ),
        );
        return { "": array([16, 6], (s, e) => sum(12, (f) => hidden(s!, f) * down(f, e!))) };
      },
    });

trial("weights that go round the ring", {
  program: "programs/tensor-parallel",
  entry: "weights_travel",
  dims: { S: 8, E: 12, F: 5 },
  inputs: { x: undefined, w: undefined },
  expect: ({ x, w }) => ({ "": array([8, 5], (s, f) => sum(12, (e) => x(s!, e) * w(e, f!))) }),
});

trial("retention on a zigzag ring", {
  program: "programs/retention",
  dims: { B: 1, S: 48, H: 2, D: 4 },
  inputs: { q: undefined, k: undefined, v: undefined, rate: undefined },
  expect: ({ q, k, v, rate }) => {
    const weight = once(
      (i, j, h) => sigmoid(rate(h!) + 2) ** (i! - j!) * sum(4, (d) => q(0, i!, h!, d) * k(0, j!, h!, d)),
    );
    return { "": array([1, 48, 2, 4], (b, i, h, d) => sum(i! + 1, (j) => weight(i!, j, h!) * v(b!, j, h!, d!))) };
  },
});

trial("axes taken together", {
  program: "programs/tuple-axes",
  dims: { N: 12, D: 4 },
  inputs: { x: undefined },
  expect: ({ x }) => ({
    y: array([12, 4], (n, d) => x(n!, d!) - sum(12, (i) => x(i, d!)) / 12),
    top: array([4], (d) => largest(12, (n) => x(n, d!))),
    neighbour: array([12, 4], (n, d) => x(mod(n! - 2, 12), d!)),
    index: array([12], (n) => Math.floor(n! / 2)),
  }),
});

for (const sp of [1, 4])
  trial(`a causal convolution with a halo, sp = ${sp}`, {
    program: "programs/convolution",
    dims: { B: 2, S: 40, C: 3, W: 4 },
    mesh: { sp },
    inputs: { x: undefined, filter: undefined },
    expect: ({ x, filter }) => ({
      "": array([2, 40, 3], (b, i, c) => sum(4, (t) => (i! + t >= 3 ? x(b!, i! + t - 3, c!) * filter(t, c!) : 0))),
    }),
  });

trial("every size is 1", {
  program: "programs/ones",
  dims: { B: 1, S: 1, H: 1, D: 1 },
  inputs: { q: undefined, k: undefined, v: undefined, w: undefined },
  expect: ({ q, k, v, w }) => {
    const out = attention(q, k, v, { keys: 1, width: 1 });
    return { "": array([1, 1, 1, 1], (...at) => (out(...at) / Math.sqrt(out(...at) ** 2 + 1e-6)) * w(0)) };
  },
});
