/** Derivatives, worked out by equations = by finite differences; on n devices = on one. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Builder, mesh } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { decompose } from "../../compiler/core/decompose.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { grad } from "../../compiler/core/grad.ts";
import type { Atom, Mesh, Var } from "../../compiler/core/ir.ts";
import { simplify } from "../../compiler/core/simplify.ts";
import { expectGradient, type Fn, float, type Input, inputsOf, over, programOf, traced } from "../core/gradients.ts";
import { cpu, reference, webgpu } from "../support/backends.ts";
import { expectSame, results, tolerance } from "./laws.ts";
import { follow, layouts, N, type Step, steps, vjp } from "./recipes.ts";

/** What recipes begin with: arrays that are the same on all devices, that vary over one axis, over both; a number. */
const inputs: readonly Input[] = [
  float(N, N),
  over(["a"], float(N, N)),
  over(["b"], float(N)),
  over(["a", "b"], float(N, N)),
  float(),
];
const fromRecipe = (recipe: readonly Step[]): Fn => ({
  inputs,
  build: (b, ...xs) => {
    const made = follow(b, recipe, xs);
    return made.slice(Math.max(xs.length, made.length - 2));
  },
});
/** The same with `vjp` and `pullback`: from operands and cotangents to cotangents. */
function pulled(f: Fn, m: Mesh): Fn {
  const { results } = traced(f, m);
  return {
    inputs: [...f.inputs, ...results.map((r): Input => ({ type: r.type, value: (x) => 2 * x }))],
    build: (b: Builder, ...all: Var[]): readonly Atom[] => {
      const { pull } = vjp(b, all.slice(0, f.inputs.length), (inside, xs) => f.build(inside, ...xs));
      return pull(b, all.slice(f.inputs.length));
    },
  };
}

test("gradients = finite differences, for any equations on any mesh", () => {
  fc.assert(
    fc.property(steps(2, 5), fc.constantFrom(...layouts), fc.nat(1000), (recipe, layout, seed) => {
      const m = mesh(layout);
      const f = fromRecipe(recipe);
      expectGradient(m, f, seed, pulled(f, m));
    }),
    { numRuns: 40 },
  );
});

const sine: Step = { kind: "unary", how: 0, x: 0 };
const square: Step = { kind: "product", how: 0, x: 0, y: 0 };
const loop = (body: readonly Step[], ...carries: readonly number[]): Step => ({
  kind: "fold",
  count: 2,
  carries,
  ring: null,
  collect: true,
  body,
});
const again = (...body: readonly Step[]): Step => ({ kind: "checkpoint", policy: "nothing_saveable", body });
test.each<[string, readonly Step[]]>([
  // Devices that take the other branch have no part in the sum over devices of what flows back to what is the same on all.
  ["a branch that some devices take", [{ kind: "if", x: 0, y: 1, then: [sine, square], else: [loop([square], 0)] }]],
  // Of the parameter and what is around the inner region alike; the second result does not hang on the parameter.
  [
    "a result that derivatives do not flow to",
    [{ kind: "vjp", x: 0, body: [loop([again({ ...sine, x: 5 }, square)], 0)] }],
  ],
  // Whether derivatives flow through a carry turns out in the second round.
  [
    "a carry that comes to be differentiated",
    [
      {
        kind: "vjp",
        x: 0,
        body: [loop([again(square, { kind: "binary", how: 0, x: 0, y: 5 }), { kind: "rule", x: 8, y: 0 }], 0, 0)],
      },
    ],
  ],
])("%s", (_, recipe) => {
  for (const layout of layouts) {
    const m = mesh(layout);
    for (const seed of [1, 2]) expectGradient(m, fromRecipe(recipe), seed, pulled(fromRecipe(recipe), m));
  }
});

test("what comes after keeps a gradient's value", () => {
  fc.assert(
    fc.property(steps(2, 5), fc.constantFrom(...layouts), fc.nat(1000), (recipe, layout, seed) => {
      const m = mesh(layout);
      const f = pulled(fromRecipe(recipe), m);
      const plain = grad(programOf(m, f));
      const short = simplify(plain);
      expect(check(short)).toEqual([]);
      const rings = decompose(short).program;
      expect(check(rings)).toEqual([]);
      const at = inputsOf(m, f, seed);
      const before = evaluate(plain, at);
      expect(evaluate(short, at)).toEqual(before);
      for (const [i, x] of evaluate(simplify(rings), at).entries())
        for (const [k, v] of x.data.entries()) expect(v).toBeCloseTo(before[i]!.data[k]!, 8);
    }),
    { numRuns: 15 },
  );
});

/** `f` with a rule and `g` without: a function closes over a number, or over the array that is passed as well. */
const ruled = `
mesh one(device: 1)
fn f<N>(x: f32[N], score: (f32) -> f32, by: f32 = 1.0) -> f32[N] { score(x) * by }
derivative f(x, score, by) {
  let (s, back) = vjp(score, x)
  (s * by, |g| (back(g * by), sum(g * by * score(x)), sum(g * s)))
}
fn g<N>(x: f32[N], score: (f32) -> f32, by: f32 = 1.0) -> f32[N] { score(x) * by }
type found<N> = { first: f32[N] @ P(_), second: f32[N] @ P(_), mixed: f32[N] @ P(_), both: f32[N] @ P(_) }
fn derivatives<N>(x: f32[N], k: f32, call: (f32[N], f32) -> f32[N], twice: (f32[N]) -> f32[N]) -> found<N> {
  let loss = |x, k| sum(sin(call(x, k)))
  {
    first: grad(|x| loss(x, k))(x),
    second: grad(|x| sum(sin(grad(|x| loss(x, k))(x))))(x),
    mixed: grad(|x| grad(|k| loss(x, k))(k))(x),
    both: grad(|x| sum(sin(twice(x))))(x),
  }
}
export shard_map main<N>(x: f32[N] @ P(_), k: f32 @ P()) -> (found<N>, found<N>) on one {
  (
    derivatives(x, k, |x, k| f(x, |s| s * s * k, by = k), |x| f(x, |s| s * s * x[0])),
    derivatives(x, k, |x, k| g(x, |s| s * s * k, by = k), |x| g(x, |s| s * s * x[0])),
  )
}`;
test("a rule gives what the function would", async () => {
  const all = await results(reference, ruled, { dims: { N: 4 } });
  const part = (k: number) => new Map([...all].flatMap(([p, x]) => (p.startsWith(`${k}.`) ? [[p.slice(2), x]] : [])));
  expect(part(0).size).toBe(4);
  expectSame(part(0), part(1), tolerance(reference));
});

// ── A mesh says where, never what ────────────────────────────────────────────────────────────────────────────────────

type Model = {
  readonly layout: string;
  readonly policy: string;
  readonly loss: "local" | "psum";
  readonly scale: string;
};
/** Data over dp, a sequence over sp; one weight is replicated, one gathered where it is used; each row sees those before it. */
const model = ({ layout, policy, loss, scale }: Model): string => `
mesh pod(dp, sp)
fn mixed<B, S, F>(h: f32[B, S, F], at: i32[S], ring: axis) -> f32[B, S, F] {
  let (total, h, at) = fold step in axis_size(ring) with (total, other, from) = (zeros, h, at) {
    let seen = where(at[:, None] >= from[None, :], tanh(einsum("b q f, b k f -> b q k", h, other)), 0)
    (total + einsum("b q k, b k f -> b q f", seen, other), ppermute(other, ring, shift = 1), ppermute(from, ring, shift = 1))
  }
  total
}
export shard_map main<B, S, E, F>(
  x: f32[B, S, E] @ P(dp, ${layout}, _),
  y: f32[B, S, E] @ P(dp, ${layout}, _),
  w: f32[E, F] @ P(_, _),
  u: f32[F, E] @ P(dp, _),
  b: f32[E] @ P(_),
) -> {
  loss: f32 @ P(),
  x: f32[B, S, E] @ P(dp, ${layout}, _),
  w: f32[E, F] @ P(_, _),
  u: f32[F, E] @ P(dp, _),
  b: f32[E] @ P(_),
} on pod {
  let at = positions(x, 1)
  let error = |p| {
    let h = tanh(p.x @ p.w)
    let h = h / (1 + ${scale})
    let z = mixed(h, at, sp) @ all_gather(p.u, dp, dim = 0) + p.b
    sum((z - y) * (z - y)) / (B * S * E)
  }
  let loss = ${policy === "" ? "error" : `checkpoint(error, policy = ${policy})`}
  let total = |p| psum(loss(p), (dp, sp))
  let (value, d) = value_and_grad(${loss === "psum" ? "total" : "loss"})({ x: x, w: w, u: u, b: b })
  { loss: ${loss === "psum" ? "value" : "psum(value, (dp, sp))"}, x: d.x, w: d.w, u: d.u, b: d.b }
}`;
const models: fc.Arbitrary<Model> = fc.record({
  layout: fc.constantFrom("sp", "striped(sp)", "zigzag(sp)"),
  policy: fc.constantFrom("", "nothing_saveable", "everything_saveable", "dots_saveable"),
  loss: fc.constantFrom("local", "psum"),
  // numbers of a row, of all rows on all devices
  scale: fc.constantFrom(
    "max(abs(h), dim = 2, keep = true)",
    "pmax(max(abs(h)), (dp, sp))",
    "pmean(mean(h * h), (dp, sp))",
    "pmean(mean(h * h, dim = 1, keep = true), sp)",
  ),
});
const meshes = [
  { dp: 2, sp: 1 },
  { dp: 1, sp: 2 },
  { dp: 2, sp: 2 },
  { dp: 1, sp: 4 },
  { dp: 2, sp: 4 },
];

test("gradients of a model on n devices = on one", async () => {
  const dims = { B: 2, S: 8, E: 3, F: 4 };
  await fc.assert(
    fc.asyncProperty(models, fc.shuffledSubarray(meshes, { minLength: 2, maxLength: 2 }), async (m, some) => {
      const text = model(m);
      const run = (layout: Record<string, number>) => results(reference, text, { dims, mesh: layout });
      const alone = await run({ dp: 1, sp: 1 });
      for (const layout of some) expectSame(await run(layout), alone, tolerance(reference));
    }),
    { numRuns: 6 },
  );
});

test("gradients of a model on devices", async () => {
  const text = model({
    layout: "zigzag(sp)",
    policy: "nothing_saveable",
    loss: "local",
    scale: "pmean(mean(h * h), (dp, sp))",
  });
  const dims = { B: 2, S: 8, E: 3, F: 4 };
  const alone = await results(reference, text, { dims, mesh: { dp: 1, sp: 1 } });
  for (const device of [cpu, webgpu])
    expectSame(await results(device, text, { dims, mesh: { dp: 2, sp: 2 } }), alone, tolerance(device));
});
