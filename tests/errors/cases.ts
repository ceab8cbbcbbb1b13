/** For each thing that the checker says, a small program that makes it say so. */
import type { EntryOptions } from "../../compiler/core/elaborate.ts";

export type Case = {
  readonly code: string;
  readonly source: string;
  /** Other modules, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Compiled at these sizes; only checked where it is left out. */
  readonly compile?: EntryOptions;
};

const check = (code: string, source: string, files?: Case["files"]): Case => ({
  code,
  source,
  ...(files && { files }),
});
const compile = (code: string, options: EntryOptions, source: string): Case => ({ code, source, compile: options });

const ring = "mesh ring(sp: 4)\n";
/** The head of an entry over a split `x` and a replicated `w`, its body to follow. */
const entry = (body: string, result = "f32[N] @ P(sp)"): string =>
  `${ring}export shard_map main<N, M>(x: f32[N] @ P(sp), w: f32[M] @ P(_)) -> ${result} on ring {\n  ${body}\n}\n`;

/** `near` is called in the place of `far`, with other parameters. */
const exchanged = (code: string, axes: readonly string[], params: string): Case => ({
  code,
  source: `import { far } from "./ways.gyre"\n${entry("far(x, sp, scale = 2.0)")}`,
  files: {
    "ways.gyre": `export fn far<N>(x: f32[N], sp: axis, scale: f32 = 1.0) = x * scale\nexport fn near<N>(${params}) = x\n`,
  },
  compile: {
    dims: { N: 8, M: 1 },
    choices: {
      exchangeable: [
        [
          { module: "ways.gyre", name: "far", axes: ["sp"] },
          { module: "ways.gyre", name: "near", axes },
        ],
      ],
      exchanges: { far: "near" },
    },
  },
});

export const cases: readonly Case[] = [
  // --- names and imports
  check("GY2001", "fn f(query: f32) = qurey + 1"),
  check("GY2001", "fn f<N>(x: f32[N]) = maximum(x, 0)"),
  check("GY2001", "fn f<N>(x: f32[N]) = softmax(x)", {
    gyre: "blocks\nnn",
    "gyre/blocks": "export fn f(x) = x",
    "gyre/nn": "export fn softmax(x) = x",
  }),
  check("GY2001", "fn f(x: f32[N], y: f32[N]) -> f32[N] = x + y"),
  check("GY2002", 'import { causl } from "./masks.gyre"', { "masks.gyre": "export fn causal(x: f32) = x" }),
  check("GY2002", 'import { causl } from "./masks.gyre"\nfn f(x: f32) = causal(x)', {
    "masks.gyre": "export fn causal(x: f32) = x",
  }),
  check("GY2003", 'import { helper } from "./other.gyre"', { "other.gyre": "fn helper(x: f32) = x" }),
  check("GY2004", 'import { a } from "./missing.gyre"'),
  check("GY2004", 'import { a } from "attention"', { gyre: "attention" }),
  check("GY2005", 'import { b } from "./b.gyre"\nexport fn a(x: f32) = x', {
    "b.gyre": 'import { a } from "./main.gyre"\nexport fn b(x: f32) = x',
  }),
  check("GY2006", "fn f(x: f32) = x\nconst f = 3"),
  check("GY2006", "fn f(x: f32) {\n  let (a, a) = (x, x)\n  a\n}"),
  check("GY2007", "fn f(x: f23[4]) = x"),
  check("GY2007", "fn f(x: float[4]) = x"),
  check("GY2008", "mesh ring(sp: 2)\nfn f(x: f32) = x + ring"),
  check("GY2008", `${entry("x")}fn f(x: f32[8]) = main(x, x)`),
  check("GY2008", "const N = 4\nfn f(x: N[2]) = x"),
  check("GY2008", "type Real = f32\nfn f(x: Real[2]) = x"),
  check("GY2009", "fn f(r: { mean: f32, var: f32 }) = r.maen"),
  check("GY2009", "fn f(r: { a: f32, bee: f32 }) = r.be"),
  check("GY2010", `${ring}shard_map main(x) -> f32 on ring { 1.0 }`),
  check("GY2011", "fn f<N, T: floats>(x: T[N]) = x"),
  check("GY2012", "fn f(x: f32) -> f32 { f(x) }"),
  check(
    "GY2013",
    Array.from({ length: 18 }, (_, i) =>
      i === 0 ? "fn f0(x: f32) = x + x" : `fn f${i}(x: f32) = f${i - 1}(f${i - 1}(x))`,
    ).join("\n"),
  ),

  // --- types and shapes
  check("GY3001", "fn f<N>(x: f32[N], y: i32[N]) = x * y"),
  check("GY3002", "fn f<N>(x: i32[N]) = exp(x)"),
  check("GY3002", "fn f<N>(x: f32[N]) = x && x"),
  check("GY3003", "fn f<N, M>(x: f32[N], y: f32[M]) = x + y"),
  check("GY3004", "fn f<N>(x: f32[N]) = x.T"),
  check("GY3005", "fn f<N, M>(x: f32[N, M]) = sum(x, dim = 2)"),
  check("GY3006", "fn f<N, M>(x: f32[N, M]) = reshape(x, (N, N))"),
  check("GY3007", "fn f<N, M>(x: f32[N, M]) = sum(x, dim = (0, -2))"),
  check("GY3008", "fn f<N, M>(x: f32[N, M], y: f32[N]) = x\nfn g<N, M>(x: f32[N, M]) = f(x.T, x[:, 0])"),
  check(
    "GY3008",
    entry("{ sum: psum(sum(x), sp), turned: x[:, None] @ w[None, :] }", "{ sum: f32, turned: f32[M, N] @ P(_, sp) }"),
  ),
  check("GY3008", "fn g<N>(x: f32[N, 4]) = x\nfn f<N>(x: f32[N]) = g(x)"),
  check("GY3008", "fn g<N>(x: f32[N], y: f32[N]) = x + y\nfn f<A, B>(p: f32[A], q: f32[B]) = g(p, q)"),
  check("GY3008", "fn f<N>(x: bf16[N]) -> f32[N] = x * 2"),
  check("GY3008", "fn f<M, N>(x: f32[M], y: f32[N]) -> (f32[M], { a: f32[M], b: f32[N] }) = (x, { a: y, b: y })"),
  check("GY3008", "fn f(x: f32) -> { a: f32, b: f32 } = { a: x, c: x }"),
  check("GY3008", entry("let y: f32[N] = x\n  y")),
  check("GY3008", "fn g(op: (i32, i32) -> bool) = op(1, 2)\nfn f(m: bool[4, 4]) = g(m)"),
  check("GY3008", "fn less() = |a, b| a < b\nfn g(op: (i32, i32) -> bool) = op(1, 2)\nfn f() = g(less)"),
  check("GY3009", "fn g(x: f32, y: f32) = x + y\nfn f(x: f32) = g(x, x, x)"),
  check("GY3009", "fn f<N>(x: f32[N]) = grad(|y| sum(y * y), x)"),
  check("GY3010", "fn f<N>(x: f32[N], n: i32) = iota(n)"),
  check("GY3011", "const ZERO = 1 / 0"),
  check("GY3012", "fn f<N>(x: i32[N]) = x * 0.5"),
  check("GY3013", "fn f<N>(x: f32[N]) { if x > 0 { x } else { -x } }"),
  check("GY3014", "fn f(x: f32) = x(1)"),
  check("GY3014", "fn f(n: i32) = f32(n)"),
  check("GY3015", "fn f<N>(x: f32[N]) = x.mean(dim = 0)"),
  check("GY3015", "fn f<N>(x: i32[N]) = x.astype(f32)"),
  check("GY3016", "fn f(x: f32) {\n  let (a, b) = (x, x, x)\n  a + b\n}"),
  check("GY3017", "fn f(key: u32, n: int) = random_uniform(key, (n,))"),
  check("GY3017", "fn g(x: f32) = x\nfn f(x: f32) = x + g"),
  check("GY3018", "fn f<N>(c: bool, x: f32[N]) { if c { x } else { x[0] } }"),
  check("GY3019", "fn f<N>(x: f32[N]) = exp(x) @ zeros"),
  check("GY3020", "fn f<N>(x: f32[N]) = x[0, 1]"),
  check("GY3021", "fn g<N>(x: f32) = zeros(f32[N]) + x\nfn f(x: f32) = g(x)"),
  check("GY3022", "fn g(op: (i32, i32) -> bool) = op(1, 2)\nfn f(x: f32) = where(g(|a, b, c| a > b), x, 0)"),
  check("GY3023", "fn g<M, N>() = zeros(f32[M, N])\nfn f() = g<2>()"),
  check("GY3023", "type Pair<N> = (f32[N], f32[N])\nfn f<N>(x: Pair<N, N>) = x"),
  check("GY3024", "fn g(x: f32, scale: f32 = 1.0) = x * scale\nfn f(x: f32) = g(x, scael = 2.0)"),
  check("GY3024", "fn f<M, N>(x: f32[M, N]) = sum(x, axis = 1)"),
  check("GY3025", "fn f(x: f32) {\n  let g = |a, b| a - b\n  g(x, b = x)\n}"),
  check("GY3026", "fn g(x: f32, y: f32) = x + y\nfn f(x: f32) = g(x, x = x, y = x)"),
  check("GY3027", entry("psum(x)")),
  check("GY3027", "fn g(x: f32, scale: f32) = x * scale\nfn f(x: f32) = g(x)"),
  check("GY3028", "fn g<N, T: float>(x: T[N]) = exp(x)\nfn f<N>(x: i32[N]) = g(x)"),
  check("GY3029", "const F = |x| x"),
  check("GY3030", "fn f(x: f32[4]) = x[4]"),
  check("GY3031", "fn f(x: f32[4]) = x[1..6]"),
  check("GY3031", "fn f(x: f32[4], y: f32[6]) = dynamic_update(x, y, 0)"),
  check("GY3030", "fn f<N>(x: f32[N]) = x[N]"),
  check("GY3031", "fn f<N>(x: f32[N]) = x[0..N + 1]"),
  check("GY3032", "fn f<N>(x: f32[N], start: i32) = x[start..N]"),
  check("GY3033", "fn f<M, K, N>(x: f32[M, K], y: f32[N, K]) = x @ y"),
  check("GY3034", 'fn f<M, K>(x: f32[M, K]) = einsum("m k -> m n", x)'),
  check("GY3034", 'fn f<M, K>(x: f32[M, K]) = einsum("mk", x)'),
  check("GY3035", entry("cast(positions(concat(x, x), 0)[0..N/sp], f32)")),
  check("GY3037", "fn f(x: f32) = cast(x, x)"),
  check("GY3037", 'fn f(r: { a: f32 }) = r["a"]'),
  check(
    "GY3036",
    "fn f<N>(x: f32[N]) = tiles i in N by 8 into [i] { if is_contiguous(x[i], 0) { x[i] } else { 0 * x[i] } }",
  ),
  check("GY3038", "fn f<N>(x: f32[N]) = tree_map(|a, b| a + b, (x, x), (x, (x, x)))"),
  check("GY3038", "fn f<N>(x: f32[N]) = tree_map(|a| if size(a, 0) > 1 { (a, a) } else { a }, (x, x[0..1]))"),
  check("GY3039", "fn f(x: f32) = tree_reduce(|a, b| a + b, ())"),
  check("GY3036", "fn f<N>(x: f32[N]) {\n  tiles i in N by 32 into [i] {\n    cast(positions(x[i], 0), f32)\n  }\n}"),

  check("GY3040", "fn f(x: i32) = x + 3000000000"),

  // --- meshes, specs, collectives, varying axes
  check(
    "GY4001",
    `${ring}type Pair<N> = { a: f32[N, 2] @ P(sp) }\nshard_map f<N>(p: Pair<N>) -> f32[N] @ P(sp) on ring { p.a[:, 0] }`,
  ),
  check("GY4001", `${ring}shard_map main<N>(x: f32[N, 4] @ P(sp)) -> f32[N, 4] @ P(sp, _) on ring { x }`),
  check(
    "GY4002",
    `${ring}mesh pair(tp: 2)\nfn f() = axis_index(tp)\nshard_map main(x: i32 @ P()) -> i32 @ P() on ring { x + f() }`,
  ),
  check("GY4002", `${ring}shard_map main<N>(x: f32[N] @ P(tp)) -> f32[N] @ P(_) on ring { x }`),
  check("GY4003", `${ring}shard_map main<N>(x: f32[N, N] @ P(sp, sp)) -> f32[N, N] @ P(sp, _) on ring { x }`),
  check("GY4004", `${ring}shard_map main<N>(x: f32[N] @ P(zigzga(sp))) -> f32[N] @ P(sp) on ring { x }`),
  check("GY4005", "mesh ring(sp: 4)\nshard_map main<N>(x: f32[N] @ P(_)) -> f32[N] @ P(_) on rign { x }"),
  check("GY4006", entry("w * axis_index(sp)", "i32[M] @ P(_)").replace("w: f32[M]", "w: i32[M]")),
  check("GY4006", entry("sum(x)", "f32")),
  // One cause, one message: through the loop, to the parameter.
  check(
    "GY4006",
    entry(
      "let (n, s) = fold i in 3 with (n, s) = (0.0, 0.0) { (n + 1, s + sum(x)) }\n  { a: n, b: s, c: 2 * s }",
      "{ a: f32, b: f32, c: f32 }",
    ),
  ),
  check(
    "GY4006",
    `mesh grid(dp: 2, sp: 2)\nexport shard_map main<N>(x: f32[N] @ P((dp, sp))) -> { sum: f32 } on grid { { sum: sum(x) } }`,
  ),
  check("GY4007", `${ring}shard_map main<N>(x: f32[N]) -> f32[N] @ P(_) on ring { x }`),
  check("GY4008", entry("psum(x, 0)")),
  check("GY4009", `${ring}shard_map main<N>(x: f32[N] @ P(zigzag(sp))) -> f32[N] @ P(sp) on ring { x }`),
  check("GY4010", entry("if axis_index(sp) == 0 { psum(x, sp) } else { x }")),
  check("GY4011", entry("ppermute(x, sp)")),
  check("GY4012", entry("ppermute(x, sp, shift = axis_index(sp))")),
  check("GY4013", entry("ppermute(x, sp, pairs = ((0, 1), (2, 1)))")),
  check("GY4014", "fn f<N>(x: f32[N] @ P(_)) = x"),
  check("GY4015", "mesh grid(dp: 2, dp: 2)"),
  check("GY4016", `${ring}shard_map main<N>(x: (f32[N], f32[N]) @ P(sp)) -> f32[N] @ P(sp) on ring { x.0 }`),
  check("GY4017", `${ring}shard_map main<N, T: float>(x: T[N] @ P(sp)) -> T[N] @ P(sp) on ring { x }`),
  check("GY4018", `${ring}shard_map main<N>(x: f32[N] @ P(sp), s: f32 = 1.0) -> f32[N] @ P(sp) on ring { x * s }`),
  check("GY4019", `${ring}shard_map main<N>(x: f32[N] @ P(sp), n: int) -> f32[N] @ P(sp) on ring { x * n }`),
  check("GY4020", entry("let y: f32[N/sp] varying {} = x\n  y")),

  // --- tiles and fold
  check("GY5001", entry("tiles i in N/sp by 64 into [i] { psum(x[i], sp) }")),
  check("GY5002", "fn f<N>(x: f32[N]) = fold i in 4 with a = x { a[None, :] }"),
  check("GY5002", "fn f<N>(x: f32[N]) = fold i in 4 with s = 0.0 { s + x }"),
  check("GY5003", "fn f(x: f32) = fold i in 4 with g = |a| a { g }"),
  check("GY5004", "fn f<N>(x: f32[N]) = tiles i in N by 8 into [i, i] { x[i] }"),
  check("GY5005", "fn f<N>(x: f32[N]) = tiles i in N by 8 into [j] { x[i] }"),
  check("GY5006", "fn f<N>(x: f32[N]) = tiles i in N by 8 into [i] { (x[i], x[i]) }"),
  check("GY5007", "fn f<N, M>(x: f32[N, M]) = tiles i in N by 8, j in M by 8 into [i] { sum(x[i, j], dim = 1) }"),
  check("GY5008", "fn f<N>(x: f32[N]) = tiles i in N by 8 into [i] { tiles j in N by 8 into [j] { x[j] } }"),
  check(
    "GY5009",
    "fn f<N, M>(x: f32[N, M]) = tiles i in N into [i] {\n  sum(fold j in M by 8 with a = zeros { a + x[i, j] })\n}",
  ),
  check("GY5010", "fn f<N, M>(x: f32[N, M]) = tiles i in N by 8 into [i] { x[0, i] }"),
  check("GY5010", entry("tiles i in N by 8 into [i] { x[i] }")),
  check("GY5011", "fn f<N>(x: f32[N]) = fold i in 4 with a = x collect { a + 1 }"),
  check("GY5012", "fn f<N>(x: f32[N]) = tiles i in N by 0 into [i] { x[i] }"),
  check("GY5013", "fn f<N, M>(x: f32[N, M]) = tiles i in N by 8 into [i, :] { sum(x[i, :], dim = 1) }"),

  // --- compile time and dimensions
  compile("GY6001", { dims: { N: 8 } }, entry("x")),
  compile(
    "GY6002",
    { dims: { N: 8 } },
    "mesh ring(sp)\nexport shard_map main<N>(x: f32[N] @ P(sp)) -> f32[N] @ P(sp) on ring { x }",
  ),
  compile("GY6003", { dims: { N: 10, M: 1 } }, entry("x")),
  compile(
    "GY6003",
    { dims: { N: 12 } },
    `${ring}export shard_map main<N>(x: f32[N] @ P(zigzag(sp))) -> f32[N] @ P(zigzag(sp)) on ring { x }`,
  ),
  compile("GY6004", { dims: { N: 8, M: 3 } }, entry("x + sum(zeros(f32[M/2]))")),
  compile("GY6005", { entry: "mian", dims: { N: 8, M: 1 } }, entry("x")),
  compile(
    "GY6006",
    { dims: { N: 8 } },
    `${ring}${["a", "b"].map((n) => `export shard_map ${n}<N>(x: f32[N] @ P(sp)) -> f32[N] @ P(sp) on ring { x }`).join("\n")}`,
  ),
  compile("GY6007", {}, "fn f(x: f32) = x"),
  compile("GY6008", { dims: { N: 8, M: 1, K: 2 } }, entry("x")),
  compile("GY6009", { dims: { N: 8, M: 1 }, meshSizes: { tp: 2 } }, entry("x")),
  compile("GY6010", { dims: { N: 0, M: 1 } }, entry("x")),
  compile("GY6014", { dims: { N: 8, M: 1 } }, entry("w[1..]", "f32[M - 1] @ P(_)")),
  exchanged("GY6012", ["a"], "x: f32[N], a: axis"),
  exchanged("GY6013", ["a", "b"], "x: f32[N], a: axis, b: axis, scale: f32"),
  check("GY6011", "fn f(x: f32[4]) = zeros(f32[2 - 3])"),

  // --- derivatives
  check("GY9001", "fn f<N>(x: f32[N], i: i32) = vjp(|s, k| s * 2, x, i)"),
  check("GY9001", "fn f<N>(n: i32[N]) = grad(|m| 1.0)(n)"),
  check("GY9001", "fn f(w: f32, n: i32) = grad(|p| p.w * 2)({ w, b: (w, n) })"),
  check("GY9002", "fn f<N>(x: f32[N]) = grad(exp)(x)"),
  check("GY9002", "fn f(x: f32) = value_and_grad(|y| 3)(x)"),
  check("GY9003", "fn f(x: f32) = grad(x)(x)"),
  check("GY9004", "fn f<N>(x: f32[N]) = vjp(|y| (y, argmax(y)), x)"),
  check("GY9005", "fn f<N>(x: f32[N]) {\n  let (y, back) = vjp(|s| (exp(s), sum(s)), x)\n  back(y.0)\n}"),
  check("GY9006", entry("let (y, back) = vjp(sin, w)\n  back(y + x[0])", "f32[M] @ P(_)")),
  check(
    "GY9007",
    "fn f<N>(x: f32[N]) {\n  let (y, back) = vjp(sum, x)\n  tiles i in N by 8 into [i] { back(1.0)[i] + y }\n}",
  ),
  check("GY9008", 'fn f(x: f32) = checkpoint(exp, policy = "everything")(x)'),
  check("GY9009", "fn f(x: f32) = checkpoint(|y| |z| z * y)(x)(x)"),
  check("GY9010", entry("if axis_index(sp) == 0 { x * grad(|v| sum(v[0] * x))(w)[0] } else { x }")),
  check("GY9101", "fn scale(x: f32) = x * 2\nderivative scael(x) = (x, |g| g)"),
  check("GY9101", 'import { f } from "./other.gyre"\nderivative f(x) = (x, |g| g)', {
    "other.gyre": "export fn f(x: f32) = x",
  }),
  check("GY9102", "fn f(x: f32) = x\nderivative f(x) = (x, |g| g)\nderivative f(y) = (y, |g| g)"),
  check("GY9103", "fn f(x: f32, by: f32) = x * by\nderivative f(x) = (x, |g| g)"),
  check("GY9104", "fn f(x: f32, n: int = 2) = x * n\nderivative f(x, n = 3) = (x * n, |g| g * n)"),
  check("GY9105", "fn f(x: f32) = x * 2\nderivative f(x) = x * 2"),
  check("GY9106", "fn f<N>(x: f32[N]) = x * 2\nderivative f(x) = (sum(x), |g| x)"),
  check(
    "GY9107",
    `fn f<N>(x: f32[N], a: axis) = psum(x, a)\nderivative f(x, a) = (x, |g| g)\n${entry("vjp(|y| f(y, sp), x).0", "f32[N/sp] @ P(_)")}`,
  ),
  check("GY9108", "fn f(x: f32, n: i32, y: f32) = x * y\nderivative f(x, n, y) = (x * y, |g| (g * y, n, g * x))"),
  check("GY9109", "fn f<N>(x: f32[N]) = sum(x)\nderivative f(x) = (sum(x), |g| g)"),
  check(
    "GY9110",
    "fn f<N>(x: f32[N], score: (f32) -> f32) = score(x)\nderivative f(x, score) = (score(x), |g| (g, g * score(x)))",
  ),
  check("GY7301", entry("grad(|y| sum(tiles i in N/sp by 8 into [i] { exp(y[i]) }))(x)")),
  check(
    "GY7302",
    `fn f<N>(x: f32[N], score: (f32) -> f32) = score(x)\nderivative f(x, score) = (score(x), |g| (g, 0.0))\n${entry("let (dx, dw) = grad(|p| sum(f(p.0, |s| s * p.1[0])))((x, w))\n  dx + sum(dw)")}`,
  ),
];
