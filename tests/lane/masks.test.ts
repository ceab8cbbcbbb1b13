/** A running maximum and sum under any mask comes out the same whether blocks are skipped and masks left out or not. */
import { expect, test } from "vitest";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { gpuTarget, softwareTarget } from "../../compiler/lane/map.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { constant, fold, kernelBuilder, load, newAxis, pos, rawMap, reduce } from "../../compiler/tile/build.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import type { Kernel, Value } from "../../compiler/tile/ir.ts";
import { expressions } from "../tile/expressions.ts";
import { interpret } from "./interpret.ts";
import { type Dice, dice, randomTarget } from "./random.ts";

/** m(i) and l(i): the largest s(i, j) that the mask lets through, and the sum of exp(s - m). */
function masked(d: Dice): Kernel {
  const b = kernelBuilder(() => [0, 3]);
  const [rows, columns] = [d.pick([1, 5, 8, 11, 16]), d.pick([3, 8, 13, 16])];
  const i = newAxis(b, { name: "i", role: "grid", extent: rows, block: d.pick([1, 2, 3, 4, 8]) });
  const j = newAxis(b, { name: "j", role: "fold", extent: columns, block: d.pick([1, 2, 3, 4, 8]) });
  const f = (op: Parameters<typeof rawMap>[1], ...args: Value[]): Value => rawMap(b, op, args, "f32");
  const [none, zero] = [constant(b, -Infinity, "f32"), constant(b, 0, "f32")];
  const results = fold(b, { over: j, init: [none, zero], axes: [[i], [i]] }, ([m, l]) => {
    const mask = expressions(d, [i, j], b).bool(d.below(3));
    const s = f("select", mask, load(b, "f32", 0, [pos(b, i), pos(b, j)]), none);
    const top = f("max", m!, reduce(b, "max", j, s));
    const safe = f("select", rawMap(b, "eq", [top, none], "bool"), zero, top);
    const kept = f("mul", f("exp", f("sub", m!, safe)), l!);
    return [top, f("add", kept, reduce(b, "sum", j, f("exp", f("sub", s, safe))))];
  });
  return {
    name: "masked",
    buffers: [
      { name: "s", dtype: "f32", shape: [rows, columns], access: "read" },
      { name: "m", dtype: "f32", shape: [rows], access: "write" },
      { name: "l", dtype: "f32", shape: [rows], access: "write" },
    ],
    scalars: [{ kind: "axis_index", axes: ["sp"] }],
    grid: [i],
    body: b.scopes[0]!.stmts,
    stores: results.map((value, k) => ({ buffer: k + 1, index: [pos(b, i)], value })),
  };
}

test("random masks", () => {
  let skipping = 0;
  let unmasked = 0;
  for (let seed = 0; seed < 150; seed++) {
    const d = dice(seed);
    const kernel = masked(d);
    const buffers = kernel.buffers.map((x) => tabulate("f32", x.shape, () => (d.below(200) - 100) / 20));
    const expected = evalKernel(kernel, buffers, [seed % 4]);
    const bounded = deriveBounds(kernel);
    const loop = bounded.body.find((s) => s.kind === "fold");
    if (loop?.bounds?.run) skipping++;
    if (loop?.bounds && loop.bounds.full.length > 0) unmasked++;
    for (const k of [kernel, bounded])
      for (const target of [softwareTarget, gpuTarget, randomTarget(seed)]) {
        const got = interpret(lowerKernel(k, chooseMapping(k, target)), buffers, [seed % 4]).slice(1);
        got.forEach((x, place) => {
          [...x.data].forEach((n, at) => {
            expect(n, `seed ${seed}`).toBeCloseTo(expected[place]!.data[at]!, 9);
          });
        });
      }
  }
  expect(Math.min(skipping, unmasked)).toBeGreaterThan(50);
});
