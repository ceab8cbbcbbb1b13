/** Programs whose kernels for teams run on the stand-in: a few small ones, and every module at sizes of several blocks. */

export type Case = {
  readonly file: string;
  readonly entry: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly mesh?: Readonly<Record<string, number>>;
  /** f32: with every 16-bit number of the program in f32. */
  readonly dtype: "16 bits" | "f32";
};

const of =
  (file: string, dtype: Case["dtype"]) =>
  (entry: string, dims: Case["dims"], mesh?: Case["mesh"]): Case => ({
    file,
    entry,
    dims,
    dtype,
    ...(mesh && { mesh }),
  });
const [small, inF32] = (["16 bits", "f32"] as const).map((dtype) => of("tests/lane/team.gyre", dtype)) as [
  ReturnType<typeof of>,
  ReturnType<typeof of>,
];
const std = (module: string): ReturnType<typeof of> => of(`tests/stdlib/${module}.gyre`, "f32");
const bench = (["16 bits", "f32"] as const).map((dtype) => of("bench/cuda/attention.gyre", dtype));

export const few: readonly Case[] = [
  small("product", { M: 24, N: 40, K: 136 }),
  small("transposed", { M: 19, N: 18, K: 21 }),
  small("feedforward", { B: 1, S: 16, E: 16, F: 32 }),
  small("causal_attention", { B: 1, S: 24, H: 2, G: 1, D: 16 }),
  small("packed_attention", { B: 1, S: 24, H: 1, D: 16 }),
  inF32("heads", { B: 1, S: 24, H: 3, D: 16, E: 32 }),
  inF32("sigmoid_weights", { B: 1, S: 24, H: 1, D: 16 }),
  std("attention")("decode", { B: 1, S: 512, Q: 1, H: 2, G: 2, D: 16 }),
  of("bench/cuda/few.gyre", "16 bits")("decode", { B: 1, K: 64, G: 2, H: 2, D: 16 }),
];

/** Loops of several rounds, blocks that are partial, rows too long to be held, long sums in parts. */
export const wide: readonly Case[] = [
  ...[small, inF32].flatMap((at) => [
    at("product", { M: 200, N: 136, K: 320 }),
    at("product", { M: 24, N: 40, K: 8200 }),
    at("transposed", { M: 150, N: 70, K: 90 }),
    at("heads", { B: 2, S: 72, H: 3, D: 32, E: 96 }),
    at("feedforward", { B: 1, S: 80, E: 144, F: 160 }),
    at("causal_attention", { B: 1, S: 136, H: 2, G: 1, D: 64 }),
    at("packed_attention", { B: 1, S: 136, H: 2, D: 48 }),
    at("sigmoid_weights", { B: 1, S: 150, H: 1, D: 64 }),
    at("retention", { B: 1, S: 150, H: 1, D: 32 }),
  ]),
  ...bench.flatMap((at) => [
    at("forward_softcap", { B: 1, S: 160, H: 2, G: 2, D: 128 }),
    at("gradients_causal", { B: 1, S: 160, H: 4, G: 2, D: 64 }),
    at("gradients_causal", { B: 1, S: 136, H: 2, G: 1, D: 128 }),
  ]),
  std("attention")("alone", { B: 1, Q: 70, K: 90, H: 4, G: 2, D: 64, E: 32, I: 64, J: 64 }),
  std("attention")("decode", { B: 2, S: 2048, Q: 1, H: 4, G: 2, D: 64 }),
  std("attention")("decode", { B: 1, S: 1056, Q: 1, H: 2, G: 2, D: 40 }),
  std("attention")("zigzag_ring", { B: 1, S: 512, H: 2, G: 1, D: 64 }),
  std("attention")("biased", { B: 1, S: 160, H: 4, D: 32, A: 1, N: 4, I: 160 }),
  std("nn")("norms", { B: 2, S: 16, E: 1024 }),
  std("nn")("norms", { B: 2, S: 12, E: 530 }),
  std("nn")("norms", { B: 2, S: 4, E: 20_000 }),
  std("nn")("softmaxes", { M: 24, N: 1024 }),
  std("nn")("softmaxes", { M: 300, N: 50 }),
  std("nn")("softmaxes", { M: 4, N: 40_000 }),
  std("nn")("mlp", { B: 1, S: 96, E: 64, F: 96 }),
  std("nn")("loss", { B: 2, S: 16, V: 4096 }),
  std("nn")("plain_loss", { B: 2, S: 9, V: 1000 }),
  std("nn")("lookup", { B: 2, S: 16, V: 64, E: 96 }),
  std("transformer")(
    "gradients_in_bf16",
    { B: 4, S: 64, V: 256, L: 2, E: 64, H: 4, G: 2, D: 16, F: 96 },
    { dp: 2, fsdp: 2, tp: 2 },
  ),
  std("attention-gradients")("windowed", { B: 1, S: 128, H: 2, G: 1, D: 32, E: 32, W: 24 }),
];
