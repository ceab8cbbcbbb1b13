/** What elaboration makes of `grad`, `vjp`, `checkpoint` and derivative rules: Core as text, before derivatives are worked out. */
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { check } from "../../compiler/core/check.ts";
import { checkFiles, elaborateEntry } from "../../compiler/core/elaborate.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { grad } from "../../compiler/core/grad.ts";
import type { Program } from "../../compiler/core/ir.ts";
import { print } from "../../compiler/core/print.ts";
import { numbers, randomArray } from "./programs.ts";

const elaborated = (body: string, before: string, result: string) => {
  const text = `mesh ring(sp: 4)\n${before}\nexport shard_map main<N, M>(x: f32[N] @ P(sp), w: f32[M] @ P(_)) -> ${result} on ring {\n${body}\n}\n`;
  const read = (path: string) => (path === "main.gyre" ? text : readSource(path));
  return elaborateEntry("main.gyre", read, { dims: { N: 8, M: 4 } });
};
/** The body of an entry over x: f32[8] split over four devices and w: f32[4], as Core; diagnostics where there is none. */
function core(body: string, before = "", result = "f32[N] @ P(sp)"): string {
  const { program, diagnostics } = elaborated(body, before, result);
  if (!program) return diagnostics.map((d) => `${d.code}: ${d.message}`).join("\n");
  expect(check(program)).toEqual([]);
  // What is elaborated can be worked out.
  expect(check(grad(program))).toEqual([]);
  return print(program).split("\n").slice(2, -1).join("\n");
}
const codes = (text: string): readonly string[] => checkFiles(["main.gyre"], () => text).map((d) => d.code);

describe("grad", () => {
  test("a region and the pullback of 1, which varies as the loss does", () => {
    expect(core("grad(|y| sum(y * y))(x)")).toMatchInlineSnapshot(`
      "  (a: f32 varying {sp}) = vjp 6 (x_2 = x) {
          b: f32[2] varying {sp} = mul x_2 x_2
          c: f32 varying {sp} = reduce [kind=sum dims=(0) drop] b
          (c)
        }
        d: f32 varying {sp} = pvary [axes=sp] 1
        (e: f32[2] varying {sp}) = pullback 6 (d)
        (e)"
    `);
  });
  test("of a tree; further arguments and named ones are passed on", () => {
    const loss = "fn loss<N>(p: { a: f32, b: (f32[N], f32) }, by: f32) = sum(p.b[0]) * p.a * by + p.b[1]";
    expect(
      core("let (l, g) = value_and_grad(loss)({ a: 2.0, b: (x, 3.0) }, by = 4.0)\ng.b[0] * l", loss),
    ).toMatchInlineSnapshot(`
      "  (a: f32 varying {sp}) = vjp 11 (p0 = 2, x_2 = x, p2 = 3) {
          b: f32 varying {sp} = reduce [kind=sum dims=(0) drop] x_2
          c: f32 varying {sp} = mul b p0
          d: f32 varying {sp} = mul c 4
          e: f32 varying {sp} = add d p2
          (e)
        }
        f: f32 varying {sp} = pvary [axes=sp] 1
        (g: f32, h: f32[2] varying {sp}, i: f32) = pullback 11 (f)
        j: f32[2] varying {sp} = mul h a
        (j)"
    `);
  });
  test("of a grad", () => {
    expect(core("grad(grad(sin))(2.0) * x")).toMatchInlineSnapshot(`
      "  (a: f32) = vjp 9 (p0 = 2) {
          (b: f32) = vjp 6 (p0_2 = p0) {
            c: f32 = sin p0_2
            (c)
          }
          (d: f32) = pullback 6 (1)
          (d)
        }
        (e: f32) = pullback 9 (1)
        f: f32[2] varying {sp} = mul e x
        (f)"
    `);
  });
  test("of any function value", () => {
    const apply = "fn apply(f: (f32) -> f32, v: f32) = grad(f)(v)\nfn cube(v: f32) = v * v * v";
    for (const f of ["exp", "cube", "|v| v * v", "grad(cube)", "checkpoint(cube)"])
      expect(core(`apply(${f}, 2.0) * x`, apply)).toContain("pullback");
  });
});

describe("vjp", () => {
  test("the pullback takes a cotangent like the value and gives one like each argument", () => {
    expect(
      core("let (v, back) = vjp(|a, b| (a * b, sin(a)), x, x)\nlet (d, e) = back((zeros, v[1]))\nd + e"),
    ).toMatchInlineSnapshot(`
      "  (a: f32[2] varying {sp}, b: f32[2] varying {sp}) = vjp 8 (x_2 = x, x_3 = x) {
          c: f32[2] varying {sp} = mul x_2 x_3
          d: f32[2] varying {sp} = sin x_2
          (c, d)
        }
        e: f32[2] = full [shape=(2)] 0
        f: f32[2] varying {sp} = pvary [axes=sp] e
        (g: f32[2] varying {sp}, h: f32[2] varying {sp}) = pullback 8 (f, b)
        i: f32[2] varying {sp} = add g h
        (i)"
    `);
  });
  test("pulled back in a fold, more than once", () => {
    const body = "let (v, back) = vjp(sin, x)\nfold i in 2 with a = zeros { a + back(v) + back(a) }";
    expect(core(body)).toMatchInlineSnapshot(`
      "  (a: f32[2] varying {sp}) = vjp 5 (x_2 = x) {
          b: f32[2] varying {sp} = sin x_2
          (b)
        }
        c: f32[2] = full [shape=(2)] 0
        d: f32[2] varying {sp} = pvary [axes=sp] c
        (a_3: f32[2] varying {sp}) = fold i < 2 with (a_2 = d) {
          (e: f32[2] varying {sp}) = pullback 5 (a)
          f: f32[2] varying {sp} = add a_2 e
          (g: f32[2] varying {sp}) = pullback 5 (a_2)
          h: f32[2] varying {sp} = add f g
          (h)
        }
        (a_3)"
    `);
  });
  test("inside tiles, on a block", () => {
    const body = "tiles i in N/sp by 2 into [i] {\n let (v, back) = vjp(|s| s * s, x[i])\n back(v)\n}";
    expect(core(body)).toMatchInlineSnapshot(`
      "  (f: f32[2] varying {sp}) = tiles i in 2 by 2 into [i] {
          a: f32[i] varying {sp} = x[i]
          (b: f32[i] varying {sp}) = vjp 7 (c = a) {
            d: f32[i] varying {sp} = mul c c
            (d)
          }
          (e: f32[i] varying {sp}) = pullback 7 (b)
          (e)
        }
        (f)"
    `);
  });
});

describe("checkpoint", () => {
  test("is the function itself where nothing is differentiated", () => {
    expect(core("checkpoint(exp, policy = dots_saveable)(x)")).toBe(core("exp(x)"));
  });
  test("is a region where something is", () => {
    const body = "grad(|y| sum(checkpoint(|z| (exp(z), 2), policy = dots_saveable)(y)[0]))(x)";
    expect(core(body)).toMatchInlineSnapshot(`
      "  (a: f32 varying {sp}) = vjp 7 (x_2 = x) {
          (b: f32[2] varying {sp}) = checkpoint dots_saveable {
            c: f32[2] varying {sp} = exp x_2
            (c)
          }
          d: f32 varying {sp} = reduce [kind=sum dims=(0) drop] b
          (d)
        }
        e: f32 varying {sp} = pvary [axes=sp] 1
        (f: f32[2] varying {sp}) = pullback 7 (e)
        (f)"
    `);
  });
});

const kernel = `fn scaled<N>(x: f32[N], score: (f32) -> f32, scale: f32 = 1.0) -> f32[N] {
  tiles i in N by 4 into [i] { score(x[i]) * scale }
}
derivative scaled(x, score, scale) {
  let y = scaled(x, score, scale)
  let (s, back) = vjp(score, x)
  (y, |g| (back(g * scale), sum(stop_gradient(g * scale) * score(stop_gradient(x))), sum(g * s)))
}
`;
describe("rules", () => {
  test("a call that nothing differentiates is the function", () => {
    expect(core("scaled(x, exp)", kernel)).not.toContain("rule");
  });
  test("its function, the rule, and the pullback with what it keeps", () => {
    expect(core("grad(|y| sum(scaled(y, |s| s * w[0], scale = 0.5)))(x)", kernel)).toMatchInlineSnapshot(`
      "  (a: f32 varying {sp}) = vjp 39 (x_2 = x) {
          x_3: f32[2] varying {sp} = pvary [axes=()] x_2
          (b: f32[2] varying {sp}) = rule scaled (x_3, 0.5) {
            (ad: f32[2] varying {sp}) = tiles i in 2 by 4 into [i] {
              z: f32[i] varying {sp} = x_3[i]
              aa: f32 = w[0]
              ab: f32[i] varying {sp} = mul z aa
              ac: f32[i] varying {sp} = mul ab 0.5
              (ac)
            }
            (ad)
          } forward {
            (g: f32[2] varying {sp}) = tiles i in 2 by 4 into [i] {
              c: f32[i] varying {sp} = x_3[i]
              d: f32 = w[0]
              e: f32[i] varying {sp} = mul c d
              f: f32[i] varying {sp} = mul e 0.5
              (f)
            }
            (h: f32[2] varying {sp}) = vjp 22 (x_4 = x_3) {
              j: f32 = w[0]
              k: f32[2] varying {sp} = mul x_4 j
              (k)
            }
            (g, h)
          } pullback (l, g_2) {
            m: f32[2] varying {sp} = mul g_2 0.5
            (n: f32[2] varying {sp}) = pullback 22 (m)
            o: f32[2] varying {sp} = mul g_2 0.5
            p: f32[2] varying {sp} = stop_gradient o
            q: f32[2] varying {sp} = stop_gradient x_3
            r: f32 = w[0]
            s: f32[2] varying {sp} = mul q r
            t: f32[2] varying {sp} = mul p s
            u: f32 varying {sp} = reduce [kind=sum dims=(0) drop] t
            v: f32[2] varying {sp} = mul g_2 l
            y: f32 varying {sp} = reduce [kind=sum dims=(0) drop] v
            (n, y, u)
          }
          ae: f32 varying {sp} = reduce [kind=sum dims=(0) drop] b
          (ae)
        }
        af: f32 varying {sp} = pvary [axes=sp] 1
        (ag: f32[2] varying {sp}) = pullback 39 (af)
        (ag)"
    `);
  });
  test("give the numbers that the function without tiles gives: through arguments, closures, folds and twice", () => {
    const plain = kernel.replace(/tiles .*/, "score(x) * scale").split("derivative")[0]!;
    const run = (before: string, body: string) => {
      const { program, diagnostics } = elaborated(body, before, "(f32[N] @ P(sp), f32[M] @ P(_), f32)");
      expect(diagnostics).toEqual([]);
      return evaluate(grad(program as Program), [randomArray(1, 8), randomArray(2, 4)]).flatMap(numbers);
    };
    const loss = "|p| sum(sin(scaled(p.0, |s| s * s * p.1[0] + p.1[1], scale = p.2)))";
    const bodies = [
      `grad(${loss})((x, w, 0.7))`,
      `grad(|p| sum(fold i in 3 with y = p.0 { scaled(y, |s| sin(s) * p.1[0] + p.1[i], p.2) }))((x, w, 0.7))`,
      `grad(|p| sum(checkpoint(|q| fold i in 2 with y = q.0 { scaled(y, |s| sin(s) * q.1[0]) }, dots_saveable)(p)))((x, w, 0.7))`,
      `let (v, back) = vjp(|x, w, b| scaled(x, |s| s * w[2], b), x, w, 2.0)\nback(v * x)`,
    ];
    for (const body of bodies) {
      const [mine, wanted] = [run(kernel, body), run(plain, body)];
      for (const [i, v] of wanted.entries()) expect(mine[i]).toBeCloseTo(v, 10);
    }
  });
  test("keep their checkpoints: what a rule gives for a function is differentiated", () => {
    const f =
      "fn f<N>(x: f32[N], s: (f32) -> f32) = s(x)\nderivative f(x, s) = (s(x), |g| (zeros, checkpoint(|y| sum(g * s(y)))(x)))";
    expect(core("grad(|y| sum(f(y, exp)))(x)", f)).toContain("checkpoint nothing_saveable");
  });
  test("of a function of scalars, applied to each element: arguments are broadcast before", () => {
    const half = "fn f(a: f32, b: f32) = a * b\nderivative f(a, b) = (a * b, |g| (g * b, g * a))";
    expect(core("grad(|y| sum(f(y, 3.0)))(x)", half)).toMatchInlineSnapshot(`
      "  (a: f32 varying {sp}) = vjp 12 (x_2 = x) {
          b: f32[2] = broadcast [shape=(2)] 3
          (c: f32[2] varying {sp}) = rule f (x_2, b) {
            h: f32[2] varying {sp} = mul x_2 b
            (h)
          } forward {
            d: f32[2] varying {sp} = mul x_2 b
            (d)
          } pullback (g) {
            e: f32[2] varying {sp} = mul g b
            f: f32[2] varying {sp} = mul g x_2
            (e, f)
          }
          i: f32 varying {sp} = reduce [kind=sum dims=(0) drop] c
          (i)
        }
        j: f32 varying {sp} = pvary [axes=sp] 1
        (k: f32[2] varying {sp}) = pullback 12 (j)
        (k)"
    `);
  });
  test("one entry for each parameter with floats: trees, integers left out", () => {
    const text = `type P<N> = { w: f32[N], n: i32, b: (f32, f32) }
fn f<N>(p: P<N>, k: i32, a: axis, x: f32[N]) -> (f32[N], i32) = (p.w * x * p.b[0], k)
derivative f(p, k, a, x) {
  let y = f(p, k, a, x)
  (y, |g| ({ w: g[0] * x, n: 0, b: (sum(g[0]), 0.0) }, g[0] * p.w))
}
`;
    expect(codes(text)).toEqual([]);
  });
  test("a value may have no floats to differentiate, and one entry needs no tuple", () => {
    expect(codes("fn f(n: i32) = n + 1\nderivative f(n) = (n + 1, |g| ())")).toEqual([]);
    expect(codes("fn f(x: f32) = x + 1\nderivative f(x) = (x + 1, |g| g)")).toEqual([]);
    expect(codes("fn f(x: f32) = x + 1\nderivative f(x) = (x + 1, |g| (g,))")).toEqual([]);
  });
  test("types in a rule are checked; dims and dtypes of the function are in scope", () => {
    const f = "fn f<N, T: float>(x: T[N]) -> T[N] = x * 2\n";
    expect(codes(`${f}derivative f<K, U: float>(y: U[K]) -> U[K] { (y * 2, |g: T[N]| g * 2) }`)).toEqual([]);
    expect(codes(`${f}derivative f(y: f32[N, N]) { (y * 2, |g| g) }`)).toEqual(["GY3008"]);
  });
  test("of a rule's pullback", () => {
    const square = "fn f(x: f32) = x * x\nderivative f(x) = (f(x), |g| 2 * f(x) / x * g)";
    expect(core("grad(grad(f))(2.0) * x", square)).toContain("rule f");
  });
});

describe("trees and axes", () => {
  test("a function that gives a tuple gives a tuple of trees", () => {
    const body =
      "let (a, b) = tree_map(|p, g| (p - g, p * g), { u: x, v: (w,) }, { u: x * 2, v: (w,) })\na.u + b.v[0][0]";
    expect(core(body)).toMatchInlineSnapshot(`
      "  a: f32[2] varying {sp} = mul x 2
        b: f32[2] varying {sp} = sub x a
        c: f32[2] varying {sp} = mul x a
        d: f32[4] = sub w w
        e: f32[4] = mul w w
        f: f32 = e[0]
        g: f32[2] varying {sp} = add b f
        (g)"
    `);
  });
  test("the norm of gradients, however their leaves are split", () => {
    const body =
      "let squares = tree_map(|g| psum(sum(g * g), varying_axes(g)), (x, w))\nx * tree_reduce(|a, b| a + b, squares, 0.0)";
    expect(core(body)).toMatchInlineSnapshot(`
      "  a: f32[2] varying {sp} = mul x x
        b: f32 varying {sp} = reduce [kind=sum dims=(0) drop] a
        c: f32 = psum [axes=sp] b
        d: f32[4] = mul w w
        e: f32 = reduce [kind=sum dims=(0) drop] d
        f: f32 = add 0 c
        g: f32 = add f e
        h: f32[2] varying {sp} = mul x g
        (h)"
    `);
  });
  test("zeros_like begins what is carried beside a tree", () => {
    const body = "let p = { a: x, n: 2.0 }\n(fold i in 3 with m = zeros_like(p) { tree_map(|m, p| m + p, m, p) }).a";
    expect(core(body)).toContain("full [shape=(2)] 0");
  });
  test("is_contiguous is known from the spec, and open where a function is checked alone", () => {
    const f = "fn f<N>(x: f32[N]) = if is_contiguous(x, 0) { x } else { exp(x) }";
    expect(core("f(x)", f)).toBe("  (x)");
    expect(core("f(x)", f, "f32[N] @ P(zigzag(sp))")).toContain("GY4009");
    expect(codes("fn f<N>(x: f32[N]) = if is_contiguous(x, 0) { x } else { exp(y) }")).toEqual(["GY2001"]);
  });
});
