/** The functions that SIMD lacks, against float64: over their ranges, at their edges, with and without fused multiply-adds. */
import { expect, test } from "vitest";
import { type Code, type Func, op } from "../../compiler/emit/wasm/code.ts";
import { encode, mostPages } from "../../compiler/emit/wasm/encode.ts";
import * as fn from "../../compiler/emit/wasm/functions.ts";

const memory = new WebAssembly.Memory({ initial: 16, maximum: mostPages, shared: true });
type Write = (b: fn.Builder, x: Code) => Code;

/** Four floats at a time from the beginning of memory, in place. */
function applied(write: Write, xs: Float32Array): Float32Array {
  const locals: { name: string; type: "v128" | "i32" }[] = [{ name: "at", type: "i32" }];
  const body: Code[] = [];
  const get = (index: number): Code => ({ kind: "op", op: "local.get", args: [], imm: [index] });
  const builder: fn.Builder = {
    keep(value, type = "v128") {
      locals.push({ name: `t${locals.length}`, type: type as "v128" });
      body.push({ kind: "op", op: "local.set", args: [value], imm: [locals.length - 1] });
      return get(locals.length - 1);
    },
    madd: (a, b, c) => op("f32x4.add", [op("f32x4.mul", [a, b]), c]),
    nmadd: (a, b, c) => op("f32x4.sub", [c, op("f32x4.mul", [a, b])]),
  };
  const x = builder.keep(op("v128.load", [get(0)], 0));
  body.push(op("v128.store", [get(0), write(builder, x)], 0));
  const main: Func = { name: "main", params: ["i32"], locals, body };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(encode({ name: "f", funcs: [main] })), {
    gyre: { memory },
  });
  const space = new Float32Array(memory.buffer, 0, xs.length);
  space.set(xs);
  for (let k = 0; k < xs.length; k += 4) (instance.exports.main as (at: number) => void)(4 * k);
  return space.slice();
}

const spread = (from: number, to: number, n = 4096): Float32Array =>
  Float32Array.from({ length: n }, (_, k) => from + ((to - from) * k) / (n - 1));
const powers = (from: number, to: number, n = 4096): Float32Array =>
  spread(Math.log2(from), Math.log2(to), n).map((e) => 2 ** e);

test.each<[string, Write, (x: number) => number, Float32Array, number]>([
  ["exp", fn.exp, Math.exp, spread(-86.9, 88.7), 1.3e-7],
  ["exp2", fn.exp2, (x) => 2 ** x, spread(-125.4, 127.9), 1.3e-7],
  ["log", fn.log, Math.log, powers(1e-44, 3e38), 1.3e-7],
  ["log near 1", fn.log, Math.log, spread(0.7, 1.4), 1.3e-7],
  ["log2", fn.log2, Math.log2, powers(1e-38, 3e38), 1.3e-7],
  ["tanh", fn.tanh, Math.tanh, spread(-12, 12), 2.5e-7],
  ["sigmoid", fn.sigmoid, (x) => 1 / (1 + Math.exp(-x)), spread(-80, 80), 3e-7],
  ["rsqrt", fn.rsqrt, (x) => 1 / Math.sqrt(x), powers(1e-38, 3e38), 1.3e-7],
])("%s", (_, write, exact, xs, bound) => {
  const got = applied(write, xs);
  const worst = xs.reduce((most, x, k) => {
    const wanted = exact(x);
    return wanted === 0 ? most : Math.max(most, Math.abs(got[k]! - wanted) / Math.abs(wanted));
  }, 0);
  expect(worst).toBeLessThan(bound);
});

test.each<[string, Write, (x: number) => number]>([
  ["sin", fn.sin, Math.sin],
  ["cos", fn.cos, Math.cos],
])("%s, to an absolute error", (_, write, exact) => {
  for (const xs of [spread(-10, 10), spread(-1e6, 1e6)]) {
    const got = applied(write, xs);
    for (const [k, x] of xs.entries()) expect(Math.abs(got[k]! - exact(x)), `of ${x}`).toBeLessThan(4e-7);
  }
});

test("at the edges: infinities, zeros and NaN", () => {
  const xs = Float32Array.of(Infinity, -Infinity, Number.NaN, 0, -0, 1, -1, 89);
  const at = (write: Write): number[] => [...applied(write, xs)];
  expect(at(fn.exp)).toEqual([
    Infinity,
    0,
    Number.NaN,
    1,
    1,
    expect.closeTo(Math.E, 5),
    expect.closeTo(1 / Math.E, 6),
    Infinity,
  ]);
  expect(at(fn.log).slice(0, 7)).toEqual([Infinity, Number.NaN, Number.NaN, -Infinity, -Infinity, 0, Number.NaN]);
  expect(at(fn.tanh).slice(0, 4)).toEqual([1, -1, Number.NaN, 0]);
  expect(at(fn.sigmoid).slice(0, 4)).toEqual([1, 0, Number.NaN, 0.5]);
});
