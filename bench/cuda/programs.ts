/** What `npm run cuda:report` compiles: every module of the standard library, at sizes of models. */

export type ReportedProgram = {
  readonly title: string;
  readonly file: string;
  readonly entry: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly mesh?: Readonly<Record<string, number>>;
};

const attention = (entry: string, dims: Readonly<Record<string, number>>): ReportedProgram => ({
  title: `attention ${entry}, bf16, D ${dims.D}${dims.G! < dims.H! ? `, ${dims.H} heads on ${dims.G}` : ""}`,
  file: "bench/cuda/attention.gyre",
  entry,
  dims,
});
const of = (
  module: string,
  entry: string,
  dims: ReportedProgram["dims"],
  mesh?: ReportedProgram["mesh"],
): ReportedProgram => ({
  title: `${module}: ${entry}`,
  file: `tests/stdlib/${module}.gyre`,
  entry,
  dims,
  ...(mesh ? { mesh } : {}),
});

const model = { B: 8, S: 512, V: 4096, L: 2, E: 512, H: 8, G: 4, D: 64, F: 1536 };

export const reported: readonly ReportedProgram[] = [
  ...[64, 128].flatMap((D) => [
    attention("forward", { B: 1, S: 4096, H: 16, G: 16, D }),
    attention("forward_causal", { B: 1, S: 4096, H: 16, G: 4, D }),
    attention("forward_softcap", { B: 1, S: 4096, H: 16, G: 16, D }),
    attention("gradients_causal", { B: 1, S: 4096, H: 16, G: 4, D }),
  ]),
  of("attention", "half", { B: 1, S: 4096, H: 16, D: 64 }),
  of("attention", "alone", { B: 1, Q: 1024, K: 1024, H: 8, G: 8, D: 64, E: 64, I: 64, J: 64 }),
  of("attention", "zigzag_ring", { B: 1, S: 4096, H: 8, G: 8, D: 64 }),
  of("attention", "decode", { B: 4, S: 4096, Q: 1, H: 8, G: 8, D: 64 }),
  of("attention", "biased", { B: 1, S: 1024, H: 8, D: 64, A: 1, N: 8, I: 1024 }),
  of("attention-gradients", "windowed", { B: 1, S: 2048, H: 8, G: 4, D: 64, E: 64, W: 256 }),
  of("nn", "norms", { B: 4, S: 1024, E: 1024 }),
  of("nn", "softmaxes", { M: 1024, N: 1024 }),
  of("nn", "rotate", { B: 2, S: 2048, H: 8, D: 64 }),
  of("nn", "mlp", { B: 2, S: 1536, E: 512, F: 1536 }),
  of("nn", "loss", { B: 2, S: 1024, V: 4096 }),
  of("nn", "lookup", { B: 2, S: 1024, V: 4096, E: 512 }),
  of("optim", "adamw_steps", { M: 512, N: 512 }),
  of("random", "draws", { M: 512, N: 1536 }),
  of("transformer", "logits", model, { sp: 2, tp: 2 }),
  of("transformer", "gradients_in_bf16", model, { dp: 2, fsdp: 2, tp: 2 }),
  ...(
    [
      ["decode", { B: 1, K: 65536, G: 8, H: 8, D: 128 }],
      ["weight", { B: 8, T: 8192, M: 256, N: 256 }],
      ["running", { B: 1, V: 1 << 20 }],
    ] as const
  ).map(([entry, dims]) => ({ title: `in parts: ${entry}`, file: "bench/cuda/few.gyre", entry, dims })),
];
