/** gyre/nn against its formulas. */
import { array, once, range, scalar, sigmoid, sum, trial } from "../programs/harness.ts";

const program = "stdlib/nn";

trial("norms", {
  program,
  entry: "norms",
  dims: { B: 2, S: 6, E: 10 },
  inputs: { x: undefined, weight: undefined, bias: undefined },
  expect: ({ x, weight, bias }) => {
    const mean = (f: (e: number) => number) => sum(10, f) / 10;
    return {
      rms: array(
        [2, 6, 10],
        (b, s, e) => (x(b!, s!, e!) / Math.sqrt(mean((i) => x(b!, s!, i) ** 2) + 1e-6)) * weight(e!),
      ),
      layer: array([2, 6, 10], (b, s, e) => {
        const m = mean((i) => x(b!, s!, i));
        return ((x(b!, s!, e!) - m) / Math.sqrt(mean((i) => (x(b!, s!, i) - m) ** 2) + 1e-5)) * weight(e!) + bias(e!);
      }),
      flat: array([10], (e) => (bias(e!) / Math.sqrt(mean((i) => bias(i) ** 2) + 1e-6)) * weight(e!)),
    };
  },
});

trial("softmax over either dimension, and of nothing", {
  program,
  entry: "softmaxes",
  dims: { M: 4, N: 7 },
  inputs: { x: (m, n) => 200 * Math.sin(3 * m! + n!) },
  expect: ({ x }) => {
    const share = (of: number, all: number[]) => 1 / sum(all.length, (i) => Math.exp(all[i]! - of));
    const row = (m: number, n: number) =>
      share(
        x(m, n),
        range(7).map((i) => x(m, i)),
      );
    return {
      0: array([4, 7], (m, n) => row(m!, n!)),
      1: array([4, 7], (m, n) =>
        share(
          x(m!, n!),
          range(4).map((i) => x(i, n!)),
        ),
      ),
      2: array([4, 7], (m, n) => (m === 1 ? 0 : row(m!, n!))),
    };
  },
});

trial("rotary embedding, zigzag", {
  program,
  entry: "rotate",
  dims: { B: 2, S: 16, H: 2, D: 6 },
  inputs: { x: undefined, position: (b, s) => (s! + 5 * b!) % 7 },
  expect: ({ x, position }) => {
    const turned = (b: number, s: number, h: number, d: number, at: number, theta: number) => {
      const angle = at * theta ** ((-2 * Math.floor(d / 2)) / 6);
      const other = x(b, s, h, d ^ 1);
      return x(b, s, h, d) * Math.cos(angle) + (d % 2 === 0 ? -other : other) * Math.sin(angle);
    };
    return {
      0: array([2, 16, 2, 6], (b, s, h, d) => turned(b!, s!, h!, d!, s!, 100)),
      1: array([2, 16, 2, 6], (b, s, h, d) => turned(b!, s!, h!, d!, position(b!, s!), 10000)),
    };
  },
});

trial("a gated feed-forward, in chunks that do not divide", {
  program,
  entry: "mlp",
  dims: { B: 2, S: 8, E: 4, F: 6 },
  inputs: { x: undefined, w1: undefined, w3: undefined, w2: undefined },
  expect: ({ x, w1, w3, w2 }) => {
    const hidden = once((b, s, f) => {
      const a = sum(4, (e) => x(b!, s!, e) * w1(e, f!));
      return a * sigmoid(a) * sum(4, (e) => x(b!, s!, e) * w3(e, f!));
    });
    return { "": array([2, 8, 4], (b, s, e) => sum(6, (f) => hidden(b!, s!, f) * w2(f, e!))) };
  },
});

trial("a feed-forward with biases", {
  program,
  entry: "classic",
  dims: { B: 2, S: 4, E: 4, F: 6 },
  inputs: { x: undefined, w1: undefined, b1: undefined, w2: undefined, b2: undefined },
  expect: ({ x, w1, b1, w2, b2 }) => {
    const hidden = once((b, s, f) => Math.max(0, sum(4, (e) => x(b!, s!, e) * w1(e, f!)) + b1(f!)));
    return { "": array([2, 4, 4], (b, s, e) => sum(6, (f) => hidden(b!, s!, f) * w2(f, e!)) + b2(e!)) };
  },
});

for (const tp of [1, 2, 3])
  trial(`an embedding, the vocabulary split over ${tp}`, {
    program,
    entry: "lookup",
    dims: { B: 2, S: 8, V: 12, E: 3 },
    mesh: { tp },
    inputs: { ids: (b, s) => (5 * s! + b!) % 12, table: undefined },
    expect: ({ ids, table }) => ({ "": array([2, 8, 3], (b, s, e) => table(ids(b!, s!), e!)) }),
  });

for (const mesh of [
  { sp: 2, tp: 2 },
  { sp: 1, tp: 4 },
  { sp: 1, tp: 1 },
])
  trial(`cross-entropy over a split vocabulary, ${JSON.stringify(mesh)}`, {
    program,
    entry: "loss",
    dims: { B: 2, S: 6, V: 12 },
    mesh,
    inputs: { logits: undefined, targets: (b, s) => (5 * s! + b!) % 12, mask: (b, s) => Number((s! + b!) % 3 !== 0) },
    expect: ({ logits, targets, mask }) => {
      const loss = (b: number, s: number) =>
        Math.log(sum(12, (i) => Math.exp(logits(b, s, i)))) - logits(b, s, targets(b, s));
      const total = sum(2, (b) => sum(6, (s) => mask(b, s) * loss(b, s)));
      return { "": scalar(total / sum(2, (b) => sum(6, (s) => mask(b, s)))) };
    },
  });

trial("cross-entropy on one device", {
  program,
  entry: "plain_loss",
  dims: { B: 2, S: 3, V: 5 },
  inputs: { logits: undefined, targets: (b, s) => (3 * s! + b!) % 5 },
  expect: ({ logits, targets }) => {
    const loss = (b: number, s: number) =>
      Math.log(sum(5, (i) => Math.exp(logits(b, s, i)))) - logits(b, s, targets(b, s));
    return { "": scalar(sum(2, (b) => sum(3, (s) => loss(b, s))) / 6) };
  },
});
