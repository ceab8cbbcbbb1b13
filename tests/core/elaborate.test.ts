/** What elaboration makes of small programs: Core as text, and laws that hold of every program. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { printDim } from "../../compiler/base/dim.ts";
import { check } from "../../compiler/core/check.ts";
import {
  checkFiles,
  type EntryOptions,
  elaborateEntry,
  entrySignature,
  inferDims,
} from "../../compiler/core/elaborate.ts";
import { print } from "../../compiler/core/print.ts";
import { cases } from "../errors/cases.ts";
import { random } from "./programs.ts";

const readText = (text: string) => (path: string) => (path === "main.gyre" ? text : readSource(path));
/** The Core of a text's entry; its diagnostics where it has none. */
function core(text: string, options: EntryOptions = {}): string {
  const { program, diagnostics } = elaborateEntry("main.gyre", readText(text), options);
  if (!program) return diagnostics.map((d) => `${d.code}: ${d.message}`).join("\n");
  expect(check(program)).toEqual([]);
  return print(program);
}
/** An entry over x: f32[N] split over four devices, whose result is split likewise. */
const onRing = (body: string, before = "", layout = "sp"): string =>
  `mesh ring(sp: 4)\n${before}\nexport shard_map main<N>(x: f32[N] @ P(${layout})) -> f32[N] @ P(${layout}) on ring {\n${body}\n}\n`;
const N = (n: number) => ({ dims: { N: n } });

describe("Core of small programs", () => {
  test("literals and static integers take the dtype of the arrays they meet", () => {
    expect(core(onRing("x * 2 + N / axis_size(sp) - 1 / 2.0"), N(8))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: f32[2] varying {sp} = mul x 2
        b: f32[2] varying {sp} = add a 2
        c: f32[2] varying {sp} = sub b 0.5
        (c)
      } -> (f32[8] @ P(sp))"
    `);
  });
  test("a ring: the carry is widened to the axes it comes to vary over", () => {
    const body = "(fold step in axis_size(sp) with (acc, k) = (zeros, x) { (acc + k, ppermute(k, sp, shift = 1)) }).0";
    expect(core(onRing(body), N(8))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: f32[2] = full [shape=(2)] 0
        b: f32[2] varying {sp} = pvary [axes=sp] a
        (acc_2: f32[2] varying {sp}, k_2: f32[2] varying {sp}) = fold step < 4 with (acc = b, k = x) {
          c: f32[2] varying {sp} = add acc k
          d: f32[2] varying {sp} = ppermute [axes=sp shift=1] k
          (c, d)
        }
        (acc_2)
      } -> (f32[8] @ P(sp))"
    `);
  });
  test("counters that begin as plain numbers and meet no array are i32 and f32", () => {
    const body = "let (n, y) = fold i in 3 with (n, y) = (0, 0.5) { (n + 1, y * 2) }\nx * cast(n, f32) + y";
    expect(core(onRing(body), N(8))).toContain("(n_2: i32, y_2: f32) = fold i < 3");
  });
  test("a shift that moves with the step", () => {
    const body = "fold step in 3 with acc = zeros { acc + ppermute(x, sp, shift = 2 * step + 1) }";
    expect(core(onRing(body), N(8))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: f32[2] = full [shape=(2)] 0
        b: f32[2] varying {sp} = pvary [axes=sp] a
        (acc_2: f32[2] varying {sp}) = fold step < 3 with (acc = b) {
          c: i32 = mul 2 step
          d: i32 = add c 1
          e: f32[2] varying {sp} = ppermute [axes=sp shift=1+2*step] x
          f: f32[2] varying {sp} = add acc e
          (f)
        }
        (acc_2)
      } -> (f32[8] @ P(sp))"
    `);
  });
  test("positions follow the layout", () => {
    const body = "x * cast(positions(x, 0), f32)";
    expect(core(onRing(body, "", "zigzag(sp)"), N(16))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[4] varying {sp} = f32[16] @ P(zigzag(sp))) {
        a: i32[4] = iota [size=4]
        b: i32 varying {sp} = axis_index [axes=sp]
        c: i32 varying {sp} = mul b 2
        d: i32[4] varying {sp} = add c a
        e: i32 varying {sp} = sub 7 b
        f: i32 varying {sp} = mul e 2
        g: i32[4] = sub a 2
        h: i32[4] varying {sp} = add f g
        i: bool[4] = lt a 2
        j: i32[4] varying {sp} = select i d h
        k: f32[4] varying {sp} = cast [dtype=f32] j
        l: f32[4] varying {sp} = mul x k
        (l)
      } -> (f32[16] @ P(zigzag(sp)))"
    `);
    expect(core(onRing(body, "", "striped(sp)"), N(16))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[4] varying {sp} = f32[16] @ P(striped(sp))) {
        a: i32[4] = iota [size=4]
        b: i32 varying {sp} = axis_index [axes=sp]
        c: i32[4] = mul a 4
        d: i32[4] varying {sp} = add c b
        e: f32[4] varying {sp} = cast [dtype=f32] d
        f: f32[4] varying {sp} = mul x e
        (f)
      } -> (f32[16] @ P(striped(sp)))"
    `);
  });
  test("a scalar function with `if` applies to each element", () => {
    const relu = "fn relu_(v: f32) -> f32 { if v > 0 { v } else { 0 } }";
    expect(core(onRing("relu_(x)", relu), N(8))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: bool[2] varying {sp} = gt x 0
        b: f32[2] varying {sp} = select a x 0
        (b)
      } -> (f32[8] @ P(sp))"
    `);
  });
  test("a static condition leaves one branch", () => {
    const body = "if size(x, 0) > 4 { exp(x) } else { log(x) }";
    expect(core(onRing(body), N(8))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: f32[2] varying {sp} = log x
        (a)
      } -> (f32[8] @ P(sp))"
    `);
    expect(core(onRing(body), N(32))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[8] varying {sp} = f32[32] @ P(sp)) {
        a: f32[8] varying {sp} = exp x
        (a)
      } -> (f32[32] @ P(sp))"
    `);
  });
  test("tiles: block sizes are dims, and a counted size is the block's own", () => {
    const body = "tiles i in N/sp by 3 into [i] {\n let b = x[i]\n b / sum(b) + size(b, 0) }";
    expect(core(onRing(body), N(32))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[8] varying {sp} = f32[32] @ P(sp)) {
        (g: f32[8] varying {sp}) = tiles i in 8 by 3 into [i] {
          b: f32[i] varying {sp} = x[i]
          a: f32 varying {sp} = reduce [kind=sum dims=(0) drop] b
          c: f32[i] varying {sp} = div b a
          d: f32[i] = full [shape=(i)] 1
          e: f32 = reduce [kind=sum dims=(0) drop] d
          f: f32[i] varying {sp} = add c e
          (f)
        }
        (g)
      } -> (f32[32] @ P(sp))"
    `);
  });
  test("a function sees the axes of its module's meshes", () => {
    const total = "fn total<N>(v: f32[N]) -> f32 = psum(sum(v), sp) / axis_size(sp)";
    expect(core(onRing("x + total(x)", total), N(8))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: f32 varying {sp} = reduce [kind=sum dims=(0) drop] x
        b: f32 = psum [axes=sp] a
        c: f32 = div b 4
        d: f32[2] varying {sp} = add x c
        (d)
      } -> (f32[8] @ P(sp))"
    `);
    const other = "mesh pair(tp: 2)\nfn index() -> i32 = axis_index(tp)";
    expect(core(onRing("x * cast(index(), f32)", other), N(8))).toBe("GY4002: there is no mesh axis `tp`");
  });
  test("argmax over all dimensions is a place in the array as it lies", () => {
    const grid = "let g = reshape(x, (1, N/sp))\n  ";
    const all = core(onRing(`${grid}x + cast(argmax(g), f32)`), N(8));
    expect(all).not.toMatch(/^GY/);
    expect(all).toBe(core(onRing(`${grid}x + cast(argmax(reshape(g, (N/sp)), dim = 0), f32)`), N(8)));
    expect(core(onRing(`${grid}x + cast(argmax(g, keep = true), f32)[0]`), N(8))).toContain("i32[1, 1]");
  });
  test("a static quotient is the floor as a whole number, and the fraction as a float", () => {
    const floats = onRing("x * (1 / 16) + x * -(2 * (N / 3)) + sqrt(1 / 4)");
    expect(core(floats, N(8))).toBe(core(onRing("x * 0.0625 + x * -5.333333333333333 + 0.5"), N(8)));
    const whole = "fn pick<M>(x: f32[M], n: int) = x * n";
    expect(core(onRing("pick(x, 7 / 2) + sum(cast(iota(7 / 2), f32))", whole), N(8))).toBe(
      core(onRing("pick(x, 3) + sum(cast(iota(3), f32))", whole), N(8)),
    );
  });
  test("dims and dtypes may be given with the function", () => {
    const eye = "fn eye<M, T: float>() -> T[M, M] = cast(one_hot(iota(M), M), T)";
    const twice = `${eye}\nfn twice(f: (f32[2]) -> f32[2], v: f32[2]) = f(f(v))\nfn double<K>(v: f32[K]) = 2 * v`;
    expect(
      core(onRing("sum(twice(double<2>, sum(eye<2 * axis_size(sp), f32>()) + x[0..2])) + x", twice), N(8)),
    ).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: i32[8] = iota [size=8]
        b: i32[8] = iota [size=8]
        c: i32[8, 1] = a[:, None]
        d: bool[8, 8] = eq c b
        e: f32[8, 8] = cast [dtype=f32] d
        f: f32 = reduce [kind=sum dims=(0, 1) drop] e
        g: f32[2] varying {sp} = x[0..+2]
        h: f32[2] varying {sp} = add f g
        i: f32[2] varying {sp} = mul 2 h
        j: f32[2] varying {sp} = mul 2 i
        k: f32 varying {sp} = reduce [kind=sum dims=(0) drop] j
        l: f32[2] varying {sp} = add k x
        (l)
      } -> (f32[8] @ P(sp))"
    `);
    const bound = "let make = eye<4, f32>\n  (sum(make()) + x)";
    expect(core(onRing(bound, eye), N(8))).toBe(core(onRing("sum(eye<4, f32>()) + x", eye), N(8)));
    expect(core(onRing("sum(eye<N>()) + x", eye), N(8))).toMatch(/^GY3023/);
    expect(core(onRing("sum(eye<N, i32>()) + x", eye), N(8))).toMatch(/^GY3028/);
    expect(core(onRing("sum(eye()) + x", eye), N(8))).toMatch(/^GY3021/);
  });
  test("trailing arguments may be left out of a function value", () => {
    const apply = "fn apply<N>(f: (f32, i32, i32) -> f32, v: f32[N]) = f(v, iota(N), 0)";
    expect(core(onRing("apply(|v| v + 1, x)", apply), N(8))).toMatchInlineSnapshot(`
      "main on ring(sp: 4)
      (x: f32[2] varying {sp} = f32[8] @ P(sp)) {
        a: i32[2] = iota [size=2]
        b: f32[2] varying {sp} = add x 1
        (b)
      } -> (f32[8] @ P(sp))"
    `);
  });
});

const programs = ["examples", "tests/programs", "tests/golden", "stdlib"].flatMap((folder) => {
  const at = join(import.meta.dirname, "../..", folder);
  return readdirSync(at)
    .filter((name) => name.endsWith(".gyre"))
    .map((name) => ({ path: join(at, name), text: readFileSync(join(at, name), "utf8") }));
});

describe("every program in the repository", () => {
  test.each(programs.map((p) => [p.path.split("/").slice(-2).join("/"), p] as const))(
    "%s checks",
    (_, { path, text }) => {
      expect(checkFiles([path], (asked) => (asked === path ? text : readSource(asked)))).toEqual([]);
    },
  );
});

describe("laws", () => {
  test("an error of `check` is an error of compilation, word for word", () => {
    for (const c of cases) {
      if (c.compile || !c.source.includes("export shard_map main")) continue;
      const read = (path: string) => (path === "main.gyre" ? c.source : c.files?.[path]);
      const checked = checkFiles(["main.gyre"], read);
      const compiled = elaborateEntry("main.gyre", read, { dims: { N: 64, M: 16 } }).diagnostics;
      expect(compiled.map((d) => `${d.code} ${d.message}`)).toEqual(checked.map((d) => `${d.code} ${d.message}`));
    }
  });
  test("a mesh of 1024 gives as many equations as one of 4", () => {
    const text = readFileSync(join(import.meta.dirname, "../../examples/05-ring-attention.gyre"), "utf8");
    const lines = (sp: number) => {
      const { signature } = entrySignature("main.gyre", readText(text));
      const dims = Object.fromEntries(signature!.dims.map((d) => [d, d === "S" ? 4096 : 8]));
      return core(text, { dims, meshSizes: { sp } }).split("\n").length;
    };
    expect(lines(1024)).toBe(lines(4));
  });
  test("whatever the text, there are diagnostics or a program", { timeout: 60_000 }, () => {
    const next = random(11);
    const pick = <T>(xs: readonly T[]): T => xs[Math.floor((next() + 0.5) * xs.length)]!;
    const small = cases.filter((c) => c.code !== "GY2013").map((c) => c.source);
    const texts = [...programs.map((p) => p.text), ...small].map((t) => t.match(/\s+|\w+|\/\/[^\n]*|[^\w\s]/g) ?? []);
    const words = texts.flat().filter((t) => !/^\s|^\/\//.test(t));
    for (let run = 0; run < 1500; run++) {
      const tokens = [...pick(texts)];
      for (let k = 0; k < 2; k++) {
        const at = Math.floor((next() + 0.5) * tokens.length);
        const how = next();
        if (how < -0.2) tokens.splice(at, 1);
        else if (how < 0.2) tokens[at] = pick(words);
        else tokens[at] = pick(tokens);
      }
      const read = readText(tokens.join(""));
      expect(() => elaborateEntry("main.gyre", read, { dims: { N: 8, M: 4 } })).not.toThrow();
    }
  });
});

test("sizes are found from the shapes of inputs", () => {
  const text =
    "mesh ring(sp: 2)\nexport shard_map main<B, S, H>(x: f32[B, 2*S] @ P(_, sp), p: { w: f32[H, S + 1] @ P(_, _) }) -> f32[B, 2*S] @ P(_, sp) on ring { x }";
  const { signature, diagnostics } = entrySignature("main.gyre", readText(text));
  expect(diagnostics).toEqual([]);
  expect(signature!.inputs.map((p) => `${p.path}: ${p.dtype}[${p.shape.map(printDim).join(", ")}]`)).toEqual([
    "x: f32[B, 2*S]",
    "p.w: f32[H, S + 1]",
  ]);
  expect(inferDims(signature!, { x: [3, 8], "p.w": [7, 5] })).toEqual({ dims: { B: 3, S: 4, H: 7 }, diagnostics: [] });
  expect(inferDims(signature!, { "p.w": [7, 5] }).dims).toEqual({ S: 4, H: 7 });
});
