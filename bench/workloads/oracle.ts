/** What attention and its like are, and its gradients, in float64 and for a few rows. */
import { dot } from "./float64.ts";
import { type Arrays, type Attention, type Mask, range, someRows, type Values, WINDOW } from "./workload.ts";

export type Kind = "attention" | "gradients" | "sigmoid" | "retention";

/** Gradients are held against the oracle in one head only: a row of dk needs every query of its head. */
export const HEAD = 3;

const sees = (mask: Mask, q: number, k: number): boolean =>
  mask === "full" || (k <= q && (mask === "causal" || q - k < WINDOW));

/** Views of one head: the row of a position is contiguous. */
const rowAt = (x: Float32Array, heads: number, depth: number, position: number, head: number): Float32Array =>
  x.subarray((position * heads + head) * depth, (position * heads + head + 1) * depth);

const keyHead = ({ heads, keyHeads }: Attention, head: number): number => Math.floor(head / (heads / keyHeads));

/** What query `row` of `head` gives to each key: softmax's weights, or those of the other kinds. */
function weights(kind: Kind, of: Attention, { q, k, rate }: Arrays, row: number, head: number): Float64Array {
  const { mask, length, heads, keyHeads, depth } = of;
  const query = rowAt(q!, heads, depth, row, head);
  const logits = Float64Array.from({ length }, (_, j) =>
    sees(mask, row, j) ? dot(query, rowAt(k!, keyHeads, depth, j, keyHead(of, head))) / Math.sqrt(depth) : -Infinity,
  );
  if (kind === "sigmoid") return logits.map((x) => 1 / (1 + Math.exp(4 - x)));
  if (kind === "retention") {
    const decay = -Math.log1p(Math.exp(-(rate![head]! + 5)));
    return logits.map((x, j) => (x === -Infinity ? 0 : x * Math.exp(decay * (row - j))));
  }
  const top = logits.reduce((a, b) => Math.max(a, b));
  const unnormalised = logits.map((x) => Math.exp(x - top));
  const total = unnormalised.reduce((a, b) => a + b);
  return unnormalised.map((x) => x / total);
}

function outRow(of: Attention, v: Float32Array, p: Float64Array, head: number): Float64Array {
  const out = new Float64Array(of.depth);
  for (const [j, weight] of p.entries()) {
    if (weight === 0) continue;
    const value = rowAt(v, of.keyHeads, of.depth, j, keyHead(of, head));
    for (let d = 0; d < of.depth; d++) out[d]! += weight * value[d]!;
  }
  return out;
}

/** Rows of the result, all heads. */
export function rows(kind: Kind, of: Attention, arrays: Arrays): readonly number[] {
  return someRows(of.length).flatMap((row) =>
    range(of.heads).flatMap((head) => [...outRow(of, arrays.v!, weights(kind, of, arrays, row, head), head)]),
  );
}

/** Rows of out, dq, dk and dv of one head: p = softmax(s), ds = p (g.v - g.out): dq = sum of ds k, dk = sum of ds q, both / sqrt(D), and dv = sum of p g. */
export function gradients(of: Attention, arrays: Arrays): Values {
  const { length, heads, depth } = of;
  const at = (name: string, position: number) => rowAt(arrays[name]!, heads, depth, position, HEAD);
  const wanted = someRows(length);
  const empty = () => wanted.map(() => new Float64Array(depth));
  const results = { out: empty(), dq: empty(), dk: empty(), dv: empty() };
  const add = (to: Float64Array, weight: number, row: ArrayLike<number>) => {
    for (let d = 0; d < depth; d++) to[d]! += weight * row[d]!;
  };
  for (let i = 0; i < length; i++) {
    const p = weights("attention", of, arrays, i, HEAD);
    const out = outRow(of, arrays.v!, p, HEAD);
    const g = at("d_out", i);
    const delta = dot(g, out);
    const ds = (j: number) => (p[j] === 0 ? 0 : (p[j]! * (dot(g, at("v", j)) - delta)) / Math.sqrt(depth));
    for (const [n, j] of wanted.entries()) {
      add(results.dk[n]!, ds(j), at("q", i));
      add(results.dv[n]!, p[j]!, g);
    }
    const n = wanted.indexOf(i);
    if (n < 0) continue;
    results.out[n]!.set(out);
    for (let j = 0; j < length; j++) add(results.dq[n]!, ds(j), at("k", j));
  }
  return Object.values(results).map((rows) => rows.flatMap((row) => [...row]));
}
