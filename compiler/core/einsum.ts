/**
 * Sums of products over named dimensions. Two operands at a time become one batched product
 *
 *   C[g, m, n] = Σ_k A[g, m, k] · B[g, n, k]
 *
 * over contiguous copies: g the labels in both and kept, k in both and summed, m and n in one of them alone.
 */
import { invariant } from "../base/invariant.ts";
import { inClass } from "./dtype.ts";
import { elements, gatherView, type NDArray, stridesOf } from "./ndarray.ts";

type Labels = readonly string[];
type Labelled = { readonly x: NDArray; readonly labels: Labels };
type Sizes = ReadonlyMap<string, number>;

/** The einsum of any number of operands. A size of 1 stretches, a label that stands twice in one operand is its diagonal. */
export function einsum(ins: readonly Labels[], out: Labels, args: readonly NDArray[]): NDArray {
  const sizes = labelSizes(ins, args);
  let left = { x: args[0]!, labels: ins[0]! };
  if (args.length === 1) left = arrange(left, unique(ins[0]!), sizes);
  for (let i = 1; i < args.length; i++) {
    const wanted = new Set([...out, ...ins.slice(i + 1).flat()]);
    left = product(left, { x: args[i]!, labels: ins[i]! }, wanted, sizes);
  }
  return arrange(sumAll(left, new Set(out)), out, sizes).x;
}

function labelSizes(ins: readonly Labels[], args: readonly NDArray[]): Sizes {
  const sizes = new Map<string, number>();
  for (const [i, labels] of ins.entries())
    for (const [d, label] of labels.entries()) {
      const size = args[i]!.shape[d]!,
        known = sizes.get(label) ?? 1;
      invariant(size === known || size === 1 || known === 1, `einsum label ${label} is both ${known} and ${size}`);
      sizes.set(label, known === 1 ? size : known);
    }
  return sizes;
}
const unique = (labels: Labels): Labels => [...new Set(labels)];

/** The operand with its dimensions in the order of `labels`, stretched to full size. */
function arrange({ x, labels }: Labelled, order: Labels, sizes: Sizes): Labelled {
  const own = stridesOf(x.shape);
  const strides = order.map((l) =>
    labels.reduce((sum, other, d) => (other === l && x.shape[d] !== 1 ? sum + own[d]! : sum), 0),
  );
  const shape = order.map((l) => sizes.get(l)!);
  const inPlace = strides.every((s, i) => s === stridesOf(shape)[i]) && elements(shape) === x.data.length;
  return { x: inPlace ? { ...x, shape } : gatherView(x, shape, 0, strides), labels: order };
}

/** Sums away the labels that are not wanted. */
function sumAll(a: Labelled, wanted: ReadonlySet<string>): Labelled {
  const kept = a.labels.filter((l) => wanted.has(l));
  if (kept.length === a.labels.length) return a;
  const gone = a.labels.filter((l) => !wanted.has(l));
  const sizes = new Map(a.labels.map((l, d) => [l, a.x.shape[d]!] as const));
  const { x } = arrange(a, [...kept, ...gone], sizes);
  const n = gone.reduce((m, l) => m * sizes.get(l)!, 1);
  const shape = kept.map((l) => sizes.get(l)!);
  const data = new Float64Array(elements(shape));
  for (let i = 0; i < data.length; i++) {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += x.data[i * n + k]!;
    data[i] = sum;
  }
  return { x: { dtype: x.dtype, shape, data }, labels: kept };
}

function product(a: Labelled, b: Labelled, wanted: ReadonlySet<string>, sizes: Sizes): Labelled {
  const la = unique(a.labels),
    lb = unique(b.labels);
  const inA = new Set(la),
    inB = new Set(lb);
  // A label of one operand alone that nobody wants is summed beforehand.
  const left = sumAll(arrange(a, la, sizes), new Set([...wanted, ...lb]));
  const right = sumAll(arrange(b, lb, sizes), new Set([...wanted, ...la]));
  const g = left.labels.filter((l) => inB.has(l) && wanted.has(l));
  const k = left.labels.filter((l) => inB.has(l) && !wanted.has(l));
  const m = left.labels.filter((l) => !inB.has(l));
  const n = right.labels.filter((l) => !inA.has(l));
  const size = (labels: Labels): number => labels.reduce((p, l) => p * sizes.get(l)!, 1);
  const A = arrange(left, [...g, ...m, ...k], sizes).x,
    B = arrange(right, [...g, ...n, ...k], sizes).x;
  const G = size(g),
    M = size(m),
    N = size(n),
    K = size(k);
  const data = new Float64Array(G * M * N);
  const times = inClass(a.x.dtype, "int") ? integerDots : multiply;
  for (let i = 0; i < G; i++) times(data, i * M * N, A.data, i * M * K, B.data, i * N * K, M, N, K);
  const labels = [...g, ...m, ...n];
  return { x: { dtype: a.x.dtype, shape: labels.map((l) => sizes.get(l)!), data }, labels };
}

/** C[m, n] = Σ_k A[m, k] · B[n, k], two rows by four columns at a time, so that each number read is used more than once. */
function multiply(
  c: Float64Array,
  c0: number,
  a: Float64Array,
  a0: number,
  b: Float64Array,
  b0: number,
  M: number,
  N: number,
  K: number,
): void {
  const M2 = M - (M % 2),
    N4 = N - (N % 4);
  for (let n = 0; n < N4; n += 4) {
    const p = b0 + n * K,
      q = p + K,
      r = q + K,
      s = r + K;
    for (let m = 0; m < M2; m += 2) {
      const i = a0 + m * K,
        j = i + K;
      let x0 = 0,
        x1 = 0,
        x2 = 0,
        x3 = 0,
        y0 = 0,
        y1 = 0,
        y2 = 0,
        y3 = 0;
      for (let k = 0; k < K; k++) {
        const x = a[i + k]!,
          y = a[j + k]!,
          u = b[p + k]!,
          v = b[q + k]!,
          w = b[r + k]!,
          z = b[s + k]!;
        x0 += x * u;
        x1 += x * v;
        x2 += x * w;
        x3 += x * z;
        y0 += y * u;
        y1 += y * v;
        y2 += y * w;
        y3 += y * z;
      }
      const o = c0 + m * N + n,
        o2 = o + N;
      c[o] = x0;
      c[o + 1] = x1;
      c[o + 2] = x2;
      c[o + 3] = x3;
      c[o2] = y0;
      c[o2 + 1] = y1;
      c[o2 + 2] = y2;
      c[o2 + 3] = y3;
    }
  }
  dots(c, c0, a, a0, b, b0, 0, M2, N4, N, N, K);
  dots(c, c0, a, a0, b, b0, M2, M, 0, N, N, K);
}
/** One element of the product at a time, for rows m0…m1 and columns n0…n1. */
function dots(
  c: Float64Array,
  c0: number,
  a: Float64Array,
  a0: number,
  b: Float64Array,
  b0: number,
  m0: number,
  m1: number,
  n0: number,
  n1: number,
  N: number,
  K: number,
): void {
  for (let m = m0; m < m1; m++)
    for (let n = n0; n < n1; n++) {
      let sum = 0;
      for (let k = 0, i = a0 + m * K, j = b0 + n * K; k < K; k++) sum += a[i + k]! * b[j + k]!;
      c[c0 + m * N + n] = sum;
    }
}

/** The product of 32-bit integers, each partial sum wrapped: a double would lose their low bits. */
function integerDots(
  c: Float64Array,
  c0: number,
  a: Float64Array,
  a0: number,
  b: Float64Array,
  b0: number,
  M: number,
  N: number,
  K: number,
): void {
  for (let m = 0; m < M; m++)
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0, i = a0 + m * K, j = b0 + n * K; k < K; k++) sum = (sum + Math.imul(a[i + k]!, b[j + k]!)) | 0;
      c[c0 + m * N + n] = sum;
    }
}
