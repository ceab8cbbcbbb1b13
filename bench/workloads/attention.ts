/** Attention, its gradients, and what a user writes in its place: softmax(q k^T / sqrt(D)) v and its like, by rows. */
import { gradients, HEAD, type Kind, rows } from "./oracle.ts";
import {
  type Attention,
  type InputSpec,
  type Mask,
  pairs,
  range,
  rowsOf,
  type Sample,
  someRows,
  WINDOW,
  type Workload,
} from "./workload.ts";

type Size = Omit<Attention, "mask">;

const size = (length: number, heads = 8, keyHeads = heads, depth = 64): Size => ({ length, heads, keyHeads, depth });
const sizes = [512, 1024, 2048, 4096].map((length) => size(length));
const titles: Readonly<Record<Mask, string>> = { full: "full", causal: "causal", window: `window of ${WINDOW}` };

const forward = (mask: Mask, at: Size, quick = false): Workload =>
  workload("attention", mask, at, `Attention, ${titles[mask]}, H=8 D=64`, `S=${at.length}`, quick);

export const attentionWorkloads: readonly Workload[] = [
  ...sizes.map((at) => forward("full", at, at.length === 1024)),
  ...sizes.map((at) => forward("causal", at, at.length === 1024)),
  ...sizes.slice(2).map((at) => forward("window", at)),
  ...(["full", "causal"] as const).map((mask) =>
    workload("attention", mask, size(1024, 4, 4, 128), "Attention, other heads, S=1024", `H=4 D=128 ${mask}`),
  ),
  workload("attention", "causal", size(1024, 8, 2), "Attention, other heads, S=1024", "H=8, 2 of keys, D=64 causal"),
];

export const gradientWorkloads: readonly Workload[] = [
  workload("gradients", "full", size(1024), "Attention and its gradients, H=8 D=64", "S=1024 full"),
  workload("gradients", "causal", size(512), "Attention and its gradients, H=8 D=64", "S=512 causal"),
  workload("gradients", "causal", size(1024), "Attention and its gradients, H=8 D=64", "S=1024 causal", true),
];

/** Both are measured beside the standard library's attention on the same pairs. */
export const ownWorkloads: readonly Workload[] = [
  workload(
    "attention",
    "window",
    size(2048),
    "A user's own tiles, H=8 D=64 S=2048",
    "windowed attention",
    false,
    "own-",
  ),
  workload("sigmoid", "window", size(2048), "A user's own tiles, H=8 D=64 S=2048", "sigmoid attention, windowed"),
  workload("attention", "causal", size(2048), "A user's own tiles, H=8 D=64 S=2048", "causal attention", false, "own-"),
  workload("retention", "causal", size(2048), "A user's own tiles, H=8 D=64 S=2048", "retention"),
];

/** Causal ring attention on eight mesh positions. */
export const ringWorkloads: readonly Workload[] = [false, true].flatMap((gradients) =>
  [512, 1024, 2048].map((length): Workload => {
    const what = gradients ? "gradients" : "attention";
    const alone = workload(what, "causal", size(length), "", "");
    return {
      ...alone,
      name: `ring-${what}-s${length}`,
      family: `Ring attention on 8 mesh positions, causal${gradients ? ", and its gradients" : ""}, H=8 D=64`,
      title: `S=${length}`,
      problem: { kind: "ring", gradients, positions: 8, mask: "causal", ...size(length) },
    };
  }),
);

function workload(
  kind: Kind,
  mask: Mask,
  at: Size,
  family: string,
  title: string,
  quick = false,
  prefix = "",
): Workload {
  const attention: Attention = { mask, ...at };
  const { length, heads, keyHeads, depth } = attention;
  const q = [length, heads, depth];
  const k = [length, keyHeads, depth];
  const inputs: InputSpec[] = [
    { name: "q", shape: q },
    { name: "k", shape: k },
    { name: "v", shape: k },
  ];
  if (kind === "gradients") inputs.push({ name: "d_out", shape: q });
  if (kind === "retention") inputs.push({ name: "rate", shape: [heads] });
  const grouped = keyHeads === heads ? "" : `-g${keyHeads}`;
  const shape = depth === 64 ? grouped : `-d${depth}${grouped}`;
  return {
    name: `${prefix}${kind}-${mask}-s${length}${shape}`,
    family,
    title,
    problem: { kind, ...attention },
    // Two products of 2 D operations for each pair; the gradients' kernels take five more at least.
    flops: (kind === "gradients" ? 14 : 4) * depth * heads * pairs(mask, length),
    inputs,
    samples: kind === "gradients" ? gradientSamples(attention) : [rowsOf("out", someRows(length), heads * depth)],
    expected: (arrays) => (kind === "gradients" ? gradients(attention, arrays) : [rows(kind, attention, arrays)]),
    quick,
  };
}

function gradientSamples({ length, heads, depth }: Attention): readonly Sample[] {
  return ["out", "dq", "dk", "dv"].map((output) => ({
    output,
    at: someRows(length).flatMap((row) => range(depth).map((d) => (row * heads + HEAD) * depth + d)),
  }));
}
