/** What a launch does at most. */
import { expect, test } from "vitest";
import { constant, fold, kernelBuilder, load, newAxis, pos, rawMap, reduce } from "../../compiler/tile/build.ts";
import { costOf } from "../../compiler/tile/cost.ts";

test.each([1, 3])(
  "a sum of products over %i x 16 elements of each of 8 rows: an addition and a multiplication for each",
  (times) => {
    const b = kernelBuilder();
    const i = newAxis(b, { name: "i", role: "grid", extent: 8, block: 4 });
    const j = newAxis(b, { name: "j", role: "fold", extent: 16, block: 4 });
    const products = (carry: readonly (typeof zero)[]) => {
      const x = load(b, "f32", 0, [pos(b, i), pos(b, j)]);
      return [rawMap(b, "add", [carry[0]!, reduce(b, "sum", j, rawMap(b, "mul", [x, x], "f32"))], "f32")];
    };
    const zero = constant(b, 0, "f32");
    const [sum] = fold(b, { over: times, init: [zero], axes: [[i]] }, (around) =>
      fold(b, { over: j, init: [around[0]!], axes: [[i]] }, products),
    );
    const { flops } = costOf({
      name: "k",
      buffers: [
        { name: "x", dtype: "f32", shape: [8, 16], access: "read" },
        { name: "y", dtype: "f32", shape: [8], access: "write" },
      ],
      scalars: [],
      grid: [i],
      body: b.scopes[0]!.stmts,
      stores: [{ buffer: 1, index: [pos(b, i)], value: sum! }],
    });
    // Besides, each row's sum of a block joins the carry.
    expect(flops).toBe(times * (2 * 8 * 16 + 8));
  },
);
