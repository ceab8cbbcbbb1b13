/** gyre/transformer against its formulas, and its gradients against differences, on several meshes. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { expectSame, results } from "../laws/laws.ts";
import { array, attention, type Element, once, sigmoid, sum, tabulate, trial } from "../programs/harness.ts";
import type { Backend } from "../support/backends.ts";
import { devices, reference, unrounded } from "../support/backends.ts";

const program = "stdlib/transformer";
const [B, S, V, L, E, H, G, D, F] = [4, 8, 12, 2, 8, 4, 2, 4, 6];
const dims = { B, S, V, L, E, H, G, D, F };
const names = ["attention_norm", "wq", "wk", "wv", "wo", "feedforward_norm", "w1", "w3", "w2"] as const;
/** Weights of the size that models begin with, from what is normal. */
const wave =
  (seed: number, size: number): Element =>
  (...index) =>
    size * Math.sin(index.reduce((n, i) => 7.3 * n + 3.1 * i, seed));
const inputs = {
  ...Object.fromEntries(
    names.map((name, i) => [`model.layers.${name}`, name.endsWith("norm") ? wave(i + 1, 1.5) : wave(i + 1, 0.5)]),
  ),
  "model.embedding": wave(10, 1),
  "model.norm": wave(11, 1.5),
  "model.head": wave(12, 0.5),
  tokens: (b: number, s: number): number => (5 * s + 3 * b) % V,
} as Readonly<Record<string, Element>>;

/** The logits by the book: whole arrays, one element after another. */
function logits(read: Readonly<Record<string, Element>>): Element {
  const w = (name: string): Element => read[`model.${name}`]!;
  const normed = (x: Element, weight: (e: number) => number): Element => {
    const scale = once((b, s) => 1 / Math.sqrt(sum(E, (e) => x(b!, s!, e) ** 2) / E + 1e-6));
    return (b, s, e) => x(b!, s!, e!) * scale(b!, s!) * weight(e!);
  };
  const turned = (x: Element): Element => {
    const angle = (s: number, d: number): number => s * 100 ** ((-2 * Math.floor(d / 2)) / D);
    return once((b, s, h, d) => {
      const other = x(b!, s!, h!, d! ^ 1);
      return x(b!, s!, h!, d!) * Math.cos(angle(s!, d!)) + (d! % 2 ? other : -other) * Math.sin(angle(s!, d!));
    });
  };
  let x: Element = once((b, s, e) => w("embedding")(read.tokens!(b!, s!), e!));
  for (let l = 0; l < L; l++) {
    const layer = (name: string): Element => w(`layers.${name}`);
    const [before, n] = [x, normed(x, (e) => layer("attention_norm")(l, e))];
    const heads = (name: string): Element =>
      once((b, s, h, d) => sum(E, (e) => n(b!, s!, e) * layer(name)(l, e, h!, d!)));
    const seen = once(
      attention(turned(heads("wq")), turned(heads("wk")), heads("wv"), {
        keys: S,
        width: D,
        group: H / G,
        mask: (q, k) => q >= k,
      }),
    );
    const middle: Element = once(
      (b, s, e) => before(b!, s!, e!) + sum(H, (h) => sum(D, (d) => seen(b!, s!, h, d) * layer("wo")(l, h, d, e!))),
    );
    const m = normed(middle, (e) => layer("feedforward_norm")(l, e));
    const hidden = once((b, s, f) => {
      const a = sum(E, (e) => m(b!, s!, e) * layer("w1")(l, e, f!));
      return a * sigmoid(a) * sum(E, (e) => m(b!, s!, e) * layer("w3")(l, e, f!));
    });
    x = once((b, s, e) => middle(b!, s!, e!) + sum(F, (f) => hidden(b!, s!, f) * layer("w2")(l, f, e!)));
  }
  const n = normed(x, (e) => w("norm")(e));
  return (b, s, v) => sum(E, (e) => n(b!, s!, e) * w("head")(e, v!));
}

for (const mesh of [
  { dp: 1, fsdp: 1, sp: 1, tp: 1 },
  { dp: 1, fsdp: 2, sp: 2, tp: 2 },
])
  trial(`logits, ${JSON.stringify(mesh)}`, {
    program,
    entry: "logits",
    dims,
    mesh,
    inputs,
    expect: (read) => ({ "": array([B, S, V], logits(read)) }),
  });

describe("gradients", () => {
  const text = readFileSync(new URL("transformer.gyre", import.meta.url), "utf8");
  const one = { dp: 1, fsdp: 1, sp: 1, tp: 1 };
  const gradients = (backend: Backend, mesh: Readonly<Record<string, number>>, entry = "gradients") =>
    results(backend, text, { entry, dims, mesh }, inputs);

  test("those of one device are differences of the loss along any direction", async () => {
    const found = await gradients(reference, one);
    for (const seed of [21, 22, 23]) {
      const direction = Object.fromEntries(
        [...found.keys()].flatMap((name, i) => {
          const leaf = name.replace(/^d\./, "");
          return leaf === name ? [] : [[`direction.${leaf}`, wave(seed + 5 * i, 1)]];
        }),
      ) as Readonly<Record<string, Element>>;
      const step = 2 ** -18;
      const loss = async (t: number): Promise<number> => {
        const at = { ...inputs, ...direction, t: () => t };
        const found = await results(reference, text, { entry: "along", dims, mesh: one }, at);
        return found.get("")!.data[0]!;
      };
      const difference = ((await loss(step)) - (await loss(-step))) / (2 * step);
      const slope = sum(names.length + 3, (i) => {
        const [name, d] = [...found].filter(([name]) => name.startsWith("d."))[i]!;
        const along = tabulate(d.shape, direction[name.replace(/^d\./, "direction.")]!);
        return along.reduce((total, x, j) => total + Math.fround(x) * d.data[j]!, 0);
      });
      expect(Math.abs(slope - difference)).toBeLessThan(1e-5 * Math.abs(difference));
    }
  });

  const meshes = [
    { ...one, dp: 2 },
    { ...one, fsdp: 2 },
    { ...one, sp: 2 },
    { ...one, tp: 2 },
    { dp: 2, fsdp: 2, sp: 1, tp: 1 },
    { dp: 1, fsdp: 2, sp: 2, tp: 2 },
  ];
  test.each(meshes)("on %o they are those of one device", async (mesh) => {
    expectSame(await gradients(reference, mesh), await gradients(reference, one), 1e-9);
  });

  test("with weights stored in pieces over the sequence's axis too", async () => {
    const mesh = { dp: 1, fsdp: 2, sp: 2, tp: 2 };
    expectSame(await gradients(reference, mesh, "gradients_of_pieces"), await gradients(reference, one), 1e-9);
  });

  test("with activations in bf16, but for their rounding", async () => {
    const mesh = { dp: 1, fsdp: 2, sp: 2, tp: 2 };
    expectSame(await gradients(unrounded, mesh, "gradients_in_bf16"), await gradients(reference, one), 1e-9);
  });

  test.each(devices)("on devices, over all axes: $name", async (device) => {
    const mesh = { dp: 1, fsdp: 2, sp: 2, tp: 2 };
    expectSame(await gradients(device, mesh), await gradients(reference, one), 1e-5);
  });
});
