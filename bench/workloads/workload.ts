/**
 * What is measured, as data: a problem with its sizes, the arrays it is given, and a float64 oracle for a few elements of
 * its results. Nothing here knows who computes it.
 */

/** Whom a query sees: every key, those up to its own position, or the `WINDOW` last of those. */
export type Mask = "full" | "causal" | "window";

/** How many positions a query sees under the mask `window`, itself included. */
export const WINDOW = 256;

/** B = 1. q and out are [length, heads, depth]; k and v have `keyHeads`, each for heads / keyHeads of q. All f32. */
export type Attention = {
  readonly mask: Mask;
  readonly length: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly depth: number;
};

export type Problem =
  | ({ readonly kind: "attention" } & Attention)
  /** The result `out` and, from its cotangent `d_out`, the cotangents dq, dk and dv. */
  | ({ readonly kind: "gradients" } & Attention)
  /** a [size, size] times b [size, size]. */
  | { readonly kind: "matmul"; readonly size: number }
  /** (silu(x w1) * (x w3)) w2, with x [length, width] and `hidden` units. */
  | ({ readonly kind: "feedforward" } & Feedforward)
  /** A layer: x += wo attention(rotary(wq n), rotary(wk n), wv n); x += feedforward(n); n = rms_norm(x). Causal. */
  | ({ readonly kind: "block"; readonly heads: number; readonly depth: number } & Feedforward)
  /** As windowed attention and causal attention, but a user's own `tiles`. */
  | ({ readonly kind: "sigmoid" } & Attention)
  | ({ readonly kind: "retention" } & Attention)
  /** Attention, or with its gradients, of a sequence that is split over as many mesh positions as `positions` says. */
  | ({ readonly kind: "ring"; readonly gradients: boolean; readonly positions: number } & Attention);

export type Feedforward = { readonly length: number; readonly width: number; readonly hidden: number };

/** An input: standard normal numbers times `scale`, plus `mean`. */
export type InputSpec = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly scale?: number;
  readonly mean?: number;
};

export type Arrays = Readonly<Record<string, Float32Array>>;
/** Elements of one result: their places in the flat array. */
export type Sample = { readonly output: string; readonly at: readonly number[] };
/** Their values, sample by sample. */
export type Values = readonly (readonly number[])[];

export type Workload = {
  /** What `--only` takes: `attention-causal-s1024`. */
  readonly name: string;
  /** Workloads of a family are columns of one table. */
  readonly family: string;
  /** The column's head: `S=1024`. */
  readonly title: string;
  readonly problem: Problem;
  /** Useful floating-point operations: pairs that a mask hides are not counted. */
  readonly flops: number;
  readonly inputs: readonly InputSpec[];
  readonly samples: readonly Sample[];
  /** The values of `samples`, computed in float64. */
  readonly expected: (inputs: Arrays) => Values;
  /** Whether it belongs to `--quick`. */
  readonly quick?: boolean;
};

export const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
export const count = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);

/** Eight rows of `length`, so spread that an error in a band or a lane shows. */
export const someRows = (length: number): readonly number[] => [
  0,
  1,
  7,
  33,
  (length >> 1) - 1,
  (length >> 1) + 2,
  length - 6,
  length - 1,
];

/** All elements of these rows of a [rows, width] array. */
export const rowsOf = (output: string, rows: readonly number[], width: number): Sample => ({
  output,
  at: rows.flatMap((row) => range(width).map((j) => row * width + j)),
});

/** Pairs of a query and a key that see each other. */
export function pairs(mask: Mask, length: number): number {
  if (mask === "full") return length * length;
  const all = (length * (length + 1)) / 2;
  const hidden = length - WINDOW;
  return mask === "causal" || hidden <= 0 ? all : all - (hidden * (hidden + 1)) / 2;
}
