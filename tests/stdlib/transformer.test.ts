/** gyre/transformer against its formulas. */
import { array, attention, type Element, once, sigmoid, sum, trial } from "../programs/harness.ts";

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
