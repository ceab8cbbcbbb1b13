/** What is said of an integer or a condition on a block holds on every element of it. */
import { expect, test } from "vitest";
import { constant, kernelBuilder, newAxis, pos, rawMap } from "../../compiler/tile/build.ts";
import { intervalOf, type Maker, truthOf } from "../../compiler/tile/intervals.ts";
import type { Axis, Value } from "../../compiler/tile/ir.ts";
import { dice } from "../lane/random.ts";
import { expressions } from "./expressions.ts";

type Place = {
  readonly element: ReadonlyMap<number, number>;
  readonly edges: ReadonlyMap<number, readonly [first: number, last: number]>;
  readonly scalar: number;
};
const ops: Readonly<Record<string, (...x: number[]) => number>> = {
  add: (x, y) => x! + y!,
  sub: (x, y) => x! - y!,
  mul: (x, y) => x! * y!,
  div: (x, y) => Math.floor(x! / y!),
  mod: (x, y) => ((x! % y!) + y!) % y!,
  min: (x, y) => Math.min(x!, y!),
  max: (x, y) => Math.max(x!, y!),
  neg: (x) => -x!,
  abs: (x) => Math.abs(x!),
  lt: (x, y) => +(x! < y!),
  le: (x, y) => +(x! <= y!),
  gt: (x, y) => +(x! > y!),
  ge: (x, y) => +(x! >= y!),
  eq: (x, y) => +(x === y),
  ne: (x, y) => +(x !== y),
  and: (x, y) => x! & y!,
  or: (x, y) => x! | y!,
  not: (x) => 1 - x!,
  select: (c, x, y) => (c ? x! : y!),
};
function valueAt(v: Value, p: Place): number {
  const d = v.def;
  if (d.kind === "const") return d.value;
  if (d.kind === "scalar") return p.scalar;
  if (d.kind === "pos") return p.element.get(d.axis.id)!;
  if (d.kind === "edge") return p.edges.get(d.axis.id)![d.end === "first" ? 0 : 1];
  if (d.kind === "cast") return valueAt(d.arg, p);
  if (d.kind === "map") return ops[d.op]!(...d.args.map((a) => valueAt(a, p)));
  throw new Error(`no meaning for ${d.kind}`);
}

/** Calls `see` with the block and its elements, for every block of two axes. */
function eachBlock(axes: readonly Axis[], scalar: number, see: (edges: Place, elements: readonly Place[]) => void) {
  const blocksOf = (a: Axis): readonly (readonly [number, number])[] => {
    const size = a.role === "inner" ? a.extent : (a.block as number);
    return Array.from({ length: Math.ceil(a.extent / size) }, (_, k) => [
      k * size,
      Math.min(a.extent, (k + 1) * size) - 1,
    ]);
  };
  const [a, b] = axes as [Axis, Axis];
  for (const p of blocksOf(a))
    for (const q of blocksOf(b)) {
      const edges = new Map([
        [a.id, p],
        [b.id, q],
      ]);
      const elements: Place[] = [];
      for (let i = p[0]; i <= p[1]; i++)
        for (let j = q[0]; j <= q[1]; j++)
          elements.push({
            element: new Map([
              [a.id, i],
              [b.id, j],
            ]),
            edges,
            scalar,
          });
      see({ element: new Map(), edges, scalar }, elements);
    }
}

test("conditions and integers on blocks, against all of their elements", () => {
  let sharp = 0;
  for (let seed = 0; seed < 1500; seed++) {
    const d = dice(seed);
    const b = kernelBuilder();
    const axes = ["i", "j"].map((name) =>
      newAxis(b, {
        name,
        role: d.chance(0.15) ? "inner" : "grid",
        extent: d.pick([1, 3, 5, 8]),
        block: d.pick([1, 2, 3, 4, 8]),
      }),
    );
    const { integer, bool } = expressions(d, axes, b);
    const m: Maker = { made: [], nextId: 100000, known: new Map() };
    const c = bool(d.below(3));
    const { may, must } = truthOf(m, c);
    const n = integer(d.below(4));
    const range = intervalOf(m, n);
    for (const v of [may, must, ...(range ? [range.low, range.high] : [])])
      expect(v.axes, "no element is needed to tell").toEqual([]);
    eachBlock(axes, d.below(4), (edges, elements) => {
      const truths = elements.map((p) => valueAt(c, p));
      if (truths.includes(1)) expect(valueAt(may, edges), `seed ${seed}: may`).toBe(1);
      else if (valueAt(may, edges) === 0) sharp++;
      if (valueAt(must, edges) === 1) expect(truths, `seed ${seed}: must`).not.toContain(0);
      if (!range) return;
      const numbers = elements.map((p) => valueAt(n, p));
      expect(valueAt(range.low, edges), `seed ${seed}: low`).toBeLessThanOrEqual(Math.min(...numbers));
      expect(valueAt(range.high, edges), `seed ${seed}: high`).toBeGreaterThanOrEqual(Math.max(...numbers));
    });
  }
  // It is not all "may be anything".
  expect(sharp).toBeGreaterThan(1000);
});

/** Conditions on which attention's masks are made, and how many of the 8 by 8 blocks are seen to be empty, and to be full. */
test.each([
  ["i >= j", 28, 28],
  ["i >= j + 8", 36, 21],
  ["i - j within 8 rows", 49, 0],
  ["i / 16 == j / 16", 48, 16],
  ["not (i < j)", 28, 28],
  ["i >= j and j >= 32", 54, 6],
] as const)("blocks of %s", (name, empty, full) => {
  const b = kernelBuilder();
  const [i, j] = ["i", "j"].map((n) => newAxis(b, { name: n, role: "grid", extent: 64, block: 8 })) as [Axis, Axis];
  const [x, y] = [pos(b, i), pos(b, j)];
  const n = (k: number): Value => constant(b, k, "i32");
  const bool = (op: "ge" | "lt" | "eq" | "and" | "not", ...args: Value[]): Value => rawMap(b, op, args, "bool");
  const int = (op: "add" | "sub" | "div", p: Value, q: Value): Value => rawMap(b, op, [p, q], "i32");
  const causal = bool("ge", x, y);
  const conditions: Readonly<Record<string, Value>> = {
    "i >= j": causal,
    "i >= j + 8": bool("ge", x, int("add", y, n(8))),
    "i - j within 8 rows": bool("and", causal, bool("lt", int("sub", x, y), n(8))),
    "i / 16 == j / 16": bool("eq", int("div", x, n(16)), int("div", y, n(16))),
    "not (i < j)": bool("not", bool("lt", x, y)),
    "i >= j and j >= 32": bool("and", causal, bool("ge", y, n(32))),
  };
  const { may, must } = truthOf({ made: [], nextId: 1000, known: new Map() }, conditions[name]!);
  let [empties, fulls] = [0, 0];
  eachBlock([i, j], 0, (edges) => {
    if (valueAt(may, edges) === 0) empties++;
    if (valueAt(must, edges) === 1) fulls++;
  });
  expect([empties, fulls]).toEqual([empty, full]);
});
