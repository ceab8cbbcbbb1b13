/** When a block can be skipped: bodies that change nothing where their mask is false, and bodies that would. */
import { expect, test } from "vitest";
import {
  constant,
  fold,
  type KernelBuilder,
  kernelBuilder,
  load,
  newAxis,
  pos,
  rawMap,
  reduce,
} from "../../compiler/tile/build.ts";
import { idleWithout } from "../../compiler/tile/idle.ts";
import type { Fold, Value } from "../../compiler/tile/ir.ts";

/** The operations that bodies are written with. */
function words(b: KernelBuilder) {
  const op =
    (name: Parameters<typeof rawMap>[1], dtype: "f32" | "bool" = "f32") =>
    (...args: Value[]): Value =>
      rawMap(b, name, args, dtype);
  return {
    add: op("add"),
    sub: op("sub"),
    mul: op("mul"),
    div: op("div"),
    max: op("max"),
    min: op("min"),
    exp: op("exp"),
    tanh: op("tanh"),
    where: op("select"),
    random: op("random_uniform"),
    eq: op("eq", "bool"),
    n: (x: number) => constant(b, x, "f32"),
  };
}
type Words = ReturnType<typeof words>;
type Parts = Words & {
  /** Numbers s(i, j) and v(j), a mask over both, sums and maxima over j. */
  readonly s: Value;
  readonly v: Value;
  readonly mask: Value;
  readonly sum: (x: Value) => Value;
  readonly top: (x: Value) => Value;
};
/** Whether the fold is idle on a block where its mask is false. */
function idle(init: readonly number[], body: (p: Parts, ...carry: Value[]) => readonly Value[]): boolean {
  const b = kernelBuilder();
  const i = newAxis(b, { name: "i", role: "grid", extent: 16, block: 4 });
  const j = newAxis(b, { name: "j", role: "fold", extent: 16, block: 4 });
  const w = words(b);
  let mask: Value | undefined;
  fold(b, { over: j, init: init.map(w.n), axes: init.map(() => [i]) }, (carry) => {
    mask = rawMap(b, "ge", [pos(b, i), pos(b, j)], "bool");
    const parts: Parts = {
      ...w,
      s: load(b, "f32", 0, [pos(b, i), pos(b, j)]),
      v: load(b, "f32", 1, [pos(b, j)]),
      mask,
      sum: (x) => reduce(b, "sum", j, x),
      top: (x) => reduce(b, "max", j, x),
    };
    return body(parts, ...carry);
  });
  return idleWithout(b.scopes[0]!.stmts.find((s): s is Fold => s.kind === "fold")!, mask!);
}
const no = -Infinity;

/** A running maximum and a sum of exponentials, with and without care for the case that nothing was seen yet. */
const running = (p: Parts, m: Value, l: Value): readonly Value[] => {
  const s = p.where(p.mask, p.s, p.n(no));
  const top = p.max(m, p.top(s));
  return [top, p.add(p.mul(p.exp(p.sub(m, top)), l), p.sum(p.exp(p.sub(s, top))))];
};
const careful = (p: Parts, m: Value, l: Value, o: Value): readonly Value[] => {
  const s = p.where(p.mask, p.s, p.n(no));
  const top = p.max(m, p.top(s));
  const safe = p.where(p.eq(top, p.n(no)), p.n(0), top);
  const e = p.exp(p.sub(s, safe));
  const keep = p.exp(p.sub(m, safe));
  return [top, p.add(p.mul(keep, l), p.sum(e)), p.add(p.mul(keep, o), p.sum(p.mul(e, p.v)))];
};
/** The weights of a block and what their gradient is weighted with, some of the weights dropped. */
const slopes = (p: Parts, drop: (x: Value) => Value): readonly [Value, Value] => {
  const e = p.exp(p.sub(p.where(p.mask, p.s, p.n(no)), p.v));
  return [drop(e), p.mul(e, p.sub(drop(p.s), p.v))];
};

test.each<[string, readonly number[], (p: Parts, ...carry: Value[]) => readonly Value[]]>([
  [
    "what a gradient adds to two sums",
    [0, 0],
    (p, a, c) => {
      const [e, d] = slopes(p, (x) => x);
      return [p.add(a, p.sum(p.mul(d, p.v))), p.add(c, p.sum(p.mul(e, p.s)))];
    },
  ],
  [
    "the same with some weights dropped at random",
    [0, 0],
    (p, a, c) => {
      const [e, d] = slopes(p, (x) => p.mul(x, p.sub(p.random(p.s, p.v), p.n(0.5))));
      return [p.add(a, p.sum(p.mul(d, p.v))), p.add(c, p.sum(p.mul(e, p.s)))];
    },
  ],
  ["a running maximum and sum", [no, 0], running],
  ["with what was weighted, and nothing seen yet", [no, 0, 0], careful],
  ["a masked sum", [0], (p, a) => [p.add(a, p.sum(p.where(p.mask, p.s, p.n(0))))]],
  ["a masked sum of products", [0], (p, a) => [p.add(a, p.sum(p.mul(p.where(p.mask, p.s, p.n(0)), p.v)))]],
  ["a masked maximum", [no], (p, a) => [p.max(a, p.top(p.where(p.mask, p.s, p.n(no))))]],
  ["a product with 0", [0], (p, a) => [p.sub(a, p.mul(p.sum(p.where(p.mask, p.exp(p.s), p.n(0))), p.n(3)))]],
])("skipped: %s", (_, init, body) => expect(idle(init, body)).toBe(true));

test.each<[string, readonly number[], (p: Parts, ...carry: Value[]) => readonly Value[]]>([
  ["a sum that is not masked", [0], (p, a) => [p.add(a, p.sum(p.s))]],
  ["a masked value that is 1 elsewhere", [0], (p, a) => [p.add(a, p.sum(p.where(p.mask, p.s, p.n(1))))]],
  ["a mask the other way round", [0], (p, a) => [p.add(a, p.sum(p.where(p.mask, p.n(0), p.s)))]],
  [
    "a count of blocks beside a masked sum",
    [0, 0],
    (p, a, c) => [p.add(a, p.sum(p.where(p.mask, p.s, p.n(0)))), p.add(c, p.n(1))],
  ],
  ["a maximum over 0 elsewhere", [no], (p, a) => [p.max(a, p.top(p.where(p.mask, p.s, p.n(0))))]],
  ["a minimum over -inf elsewhere", [Infinity], (p, a) => [p.min(a, p.top(p.where(p.mask, p.s, p.n(no))))]],
  [
    "a carry that fades with each block",
    [0],
    (p, a) => [p.add(p.mul(a, p.n(0.5)), p.sum(p.where(p.mask, p.s, p.n(0))))],
  ],
  ["a carry that the last block replaces", [0], (p) => [p.sum(p.where(p.mask, p.s, p.n(0)))]],
  ["two carries that change places", [0, 1], (_, a, c) => [c, a]],
  ["a carry through tanh", [0], (p, a) => [p.tanh(p.add(a, p.sum(p.where(p.mask, p.s, p.n(0)))))]],
  [
    "a large finite number for what is masked",
    [no, 0],
    (p, m, l) => {
      const s = p.where(p.mask, p.s, p.n(-1e9));
      const top = p.max(m, p.top(s));
      return [top, p.add(p.mul(p.exp(p.sub(m, top)), l), p.sum(p.exp(p.sub(s, top))))];
    },
  ],
])("not skipped: %s", (_, init, body) => expect(idle(init, body)).toBe(false));
