/** How many kernels the parts of a transformer take, and what they read and write: what a hand would need, and no more. */
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";

const one = "mesh one(dp: 1, fsdp: 1, sp: 1, tp: 1)\n";
function launchesOf(text: string, dims: Readonly<Record<string, number>>) {
  const read = (path: string): string | undefined => (path === "p.gyre" ? text : readSource(path));
  const { compiled, diagnostics } = compile("p.gyre", read, { dims });
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("\n"));
  const { tile, schedule } = compiled;
  const launches = tile.steps.flatMap((s) => (s.kind === "launch" ? [s.kernel] : []));
  expect(launches.length, "nothing but launches").toBe(tile.steps.length);
  return {
    names: launches.map((k) => tile.kernels[k]!.name),
    bytes: launches.reduce((n, k) => n + (schedule.kernels[k]!.cost?.bytes ?? Number.NaN), 0),
  };
}

test("a transformer block: a kernel for each product and for attention, and two for norms", () => {
  const [S, E, H, D, F] = [64, 64, 2, 16, 128];
  const { names, bytes } = launchesOf(
    `import { transformer_block, Layer } from "gyre/transformer"
${one}export shard_map block<B, S, E, H, G, D, F>(x: f32[B, S, E] @ P(dp, sp, _), layer: Layer<E, H, G, D, F, fsdp, tp>) -> f32[B, S, E] @ P(dp, sp, _) on one {
  transformer_block(x, layer, rows = fsdp, sequence = sp, columns = tp)
}`,
    { B: 1, S, E, H, G: H, D, F },
  );
  // q and k, turned by their positions; v; out of the heads, with x added; both of the gated layer in one; out of it, with x added
  const products = 6;
  expect(names, names.join(", ")).toHaveLength(products + 1 + 2);
  const [x, heads] = [S * E, S * H * D];
  const norms = 2 * (x + E + x);
  const projections = 3 * (x + E * H * D + heads);
  const attended = 4 * heads;
  const out = heads + H * D * E + 2 * x;
  const gated = x + 2 * E * F + S * F;
  const last = S * F + F * E + 2 * x;
  expect(bytes).toBe(4 * (norms + projections + attended + out + gated + last));
});

test("a gated feed-forward after a norm: its two products and the gate are one kernel, which reads the norm from memory", () => {
  const [S, E, F] = [64, 32, 128];
  const { names, bytes } = launchesOf(
    `import { gated_feedforward, rms_norm } from "gyre/nn"
${one}export shard_map feed<B, S, E, F>(x: f32[B, S, E] @ P(_, _, _), g: f32[E] @ P(_), w1: f32[E, F] @ P(_, _), w3: f32[E, F] @ P(_, _), w2: f32[F, E] @ P(_, _)) -> f32[B, S, E] @ P(_, _, _) on one {
  x + gated_feedforward(rms_norm(x, g), w1, w3, w2)
}`,
    { B: 1, S, E, F },
  );
  expect(names).toHaveLength(3); // the norm; the gated products; the last product, with x added
  const [norm, gated, last] = [S * E + E + S * E, S * E + 2 * E * F + S * F, S * F + F * E + 2 * S * E];
  expect(bytes).toBe(4 * (norm + gated + last));
});

test.each(["rms_norm(x, g)", "layer_norm(x, g, g)", "softmax(x)"])("%s alone is one kernel", (norm) => {
  const name = norm.split("(")[0]!;
  const weight = norm.includes("g") ? "g: f32[E] @ P(_)" : "g: f32[1] @ P(_)";
  const { names } = launchesOf(
    `import { ${name} } from "gyre/nn"
${one}export shard_map norm<S, E>(x: f32[S, E] @ P(_, _), ${weight}) -> f32[S, E] @ P(_, _) on one { ${norm} }`,
    { S: 32, E: 64 },
  );
  expect(names).toHaveLength(1);
});
