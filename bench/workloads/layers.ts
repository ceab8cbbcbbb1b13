/** A matrix product, the gated feed-forward, and a whole layer of a transformer. */
import { dot, times } from "./float64.ts";
import {
  type Arrays,
  type Feedforward,
  type InputSpec,
  type Problem,
  pairs,
  range,
  rowsOf,
  someRows,
  type Workload,
} from "./workload.ts";

type Block = Extract<Problem, { kind: "block" }>;

export const matmulWorkloads: readonly Workload[] = [512, 1024, 2048].map((size) => ({
  name: `matmul-${size}`,
  family: "Matrix product, f32",
  title: `${size}³`,
  problem: { kind: "matmul", size },
  flops: 2 * size ** 3,
  inputs: [
    { name: "a", shape: [size, size] },
    { name: "b", shape: [size, size], scale: 1 / Math.sqrt(size) },
  ],
  samples: [rowsOf("out", someRows(size), size)],
  expected: ({ a, b }) => [someRows(size).flatMap((row) => [...times(a!.subarray(row * size, (row + 1) * size), b!)])],
  quick: size === 1024,
}));

export const feedforwardWorkload: Workload = (() => {
  const of = { length: 512, width: 512, hidden: 1536 };
  return {
    name: "feedforward",
    family: "Parts of a transformer, f32",
    title: "gated feed-forward, S=512 E=512 F=1536",
    problem: { kind: "feedforward", ...of },
    flops: feedforwardFlops(of),
    inputs: [{ name: "x", shape: [of.length, of.width] }, ...feedforwardWeights(of)],
    samples: [rowsOf("out", someRows(of.length), of.width)],
    expected: (arrays) => [someRows(of.length).flatMap((row) => [...feed(rowOf(arrays.x!, row, of.width), arrays)])],
  };
})();

export const blockWorkload: Workload = (() => {
  const of = { length: 512, width: 512, hidden: 1536, heads: 8, depth: 64 };
  const inner = of.heads * of.depth;
  const projection = (name: string, from: number, to: number): InputSpec => ({
    name,
    shape: [from, to],
    scale: 1 / Math.sqrt(from),
  });
  return {
    name: "block",
    family: "Parts of a transformer, f32",
    title: "a layer, causal, S=512 E=512 H=8 D=64 F=1536",
    problem: { kind: "block", ...of },
    flops: 8 * of.length * of.width * inner + 4 * inner * pairs("causal", of.length) + feedforwardFlops(of),
    inputs: [
      { name: "x", shape: [of.length, of.width] },
      { name: "attention_norm", shape: [of.width], scale: 0.1, mean: 1 },
      projection("wq", of.width, inner),
      projection("wk", of.width, inner),
      projection("wv", of.width, inner),
      projection("wo", inner, of.width),
      { name: "feedforward_norm", shape: [of.width], scale: 0.1, mean: 1 },
      ...feedforwardWeights(of),
    ],
    samples: [rowsOf("out", someRows(of.length), of.width)],
    expected: (arrays) => [layerRows({ kind: "block", ...of }, arrays, someRows(of.length))],
    quick: true,
  };
})();

function feedforwardFlops({ length, width, hidden }: Feedforward): number {
  return 6 * length * width * hidden;
}

function feedforwardWeights({ width, hidden }: Feedforward): readonly InputSpec[] {
  return [
    { name: "w1", shape: [width, hidden], scale: 1 / Math.sqrt(width) },
    { name: "w3", shape: [width, hidden], scale: 1 / Math.sqrt(width) },
    { name: "w2", shape: [hidden, width], scale: 1 / Math.sqrt(hidden) },
  ];
}

// --- The oracle ------------------------------------------------------------------------------------------------------

const rowOf = (x: Float32Array, row: number, width: number): Float32Array => x.subarray(row * width, (row + 1) * width);

function feed(row: ArrayLike<number>, { w1, w3, w2 }: Arrays): Float64Array {
  const gate = times(row, w1!);
  const up = times(row, w3!);
  return times(
    gate.map((x, i) => (x / (1 + Math.exp(-x))) * up[i]!),
    w2!,
  );
}

function norm(row: ArrayLike<number>, weight: Float32Array): Float64Array {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i]! ** 2;
  const scale = 1 / Math.sqrt(sum / row.length + 1e-6);
  return Float64Array.from(row, (x, i) => x * scale * weight[i]!);
}

/** Pairs (x[2i], x[2i+1]) of a head turned by position * 10000^(-2i/depth). */
function rotary(row: Float64Array, position: number, depth: number): Float64Array {
  const out = new Float64Array(row.length);
  for (let i = 0; i < row.length; i += 2) {
    const angle = position * 10000 ** (-(i % depth) / depth);
    out[i] = row[i]! * Math.cos(angle) - row[i + 1]! * Math.sin(angle);
    out[i + 1] = row[i]! * Math.sin(angle) + row[i + 1]! * Math.cos(angle);
  }
  return out;
}

function layerRows({ length, width, heads, depth }: Block, arrays: Arrays, rows: readonly number[]): readonly number[] {
  const x = (row: number) => rowOf(arrays.x!, row, width);
  const normed = range(length).map((row) => norm(x(row), arrays.attention_norm!));
  const keys = normed.map((n, row) => rotary(times(n, arrays.wk!), row, depth));
  const values = normed.map((n) => times(n, arrays.wv!));
  return rows.flatMap((row) => {
    const q = rotary(times(normed[row]!, arrays.wq!), row, depth);
    const seen = new Float64Array(heads * depth);
    for (let from = 0; from < heads * depth; from += depth) {
      const head = (all: Float64Array) => all.subarray(from, from + depth);
      const logits = keys.slice(0, row + 1).map((k) => dot(head(q), head(k)) / Math.sqrt(depth));
      const top = Math.max(...logits);
      const p = logits.map((s) => Math.exp(s - top));
      const total = p.reduce((a, b) => a + b);
      for (const [j, weight] of p.entries())
        for (let d = 0; d < depth; d++) seen[from + d]! += (weight / total) * values[j]![from + d]!;
    }
    const y = times(seen, arrays.wo!).map((a, i) => a + x(row)[i]!);
    const fed = feed(norm(y, arrays.feedforward_norm!), arrays);
    return [...y.map((a, i) => a + fed[i]!)];
  });
}
