/** Positions know the layout: of a shard, of gathered shards, of a dimension cut and joined by `all_to_all`. */
import { expect, test } from "vitest";
import { elaborateEntry } from "../../compiler/core/elaborate.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { numbers, randomArray } from "./programs.ts";

test.each([
  ["sp", "sp"],
  ["striped(sp)", "sp"],
  ["zigzag(sp)", "sp"],
  ["(dp, sp)", "(dp, sp)"],
  ["zigzag((dp, sp))", "(dp, sp)"],
])("%s", (layout, axes) => {
  const source = `mesh grid(dp: 2, sp: 4)
    export shard_map main<N, H>(x: f32[N, H] @ P(${layout}, _))
      -> { gathered: i32 @ P(), returned: i32 @ P(), x: f32[N, H] @ P(${layout}, _) } on grid {
      let whole = all_gather(positions(x, 0), ${axes})
      let joined = all_to_all(x, ${axes}, split = 1, concat = 0)
      let back = all_to_all(joined, ${axes}, split = 0, concat = 1)
      {
        gathered: sum(abs(whole - positions(all_gather(x, ${axes}), 0))) + sum(abs(whole - positions(joined, 0))),
        returned: psum(sum(abs(positions(back, 0) - positions(x, 0))), (dp, sp)),
        x: back,
      }
    }`;
  const { program, diagnostics } = elaborateEntry("main.gyre", () => source, { dims: { N: 32, H: 8 } });
  expect(diagnostics).toEqual([]);
  const x = randomArray(3, 32, 8);
  const [gathered, returned, back] = evaluate(program!, [x]);
  expect([numbers(gathered), numbers(returned)]).toEqual([[0], [0]]);
  expect(numbers(back)).toEqual(numbers(x));
});

test("a dimension that a reshape leaves as it is keeps its positions", () => {
  const source = `mesh pod(sp: 2)
    export shard_map main<B, S, E>(x: f32[B, S, E] @ P(_, zigzag(sp), _)) -> i32 @ P() on pod {
      let heads = reshape(x, (B, S / sp, 2, E / 2))
      psum(sum(abs(positions(heads, 1) - positions(x, 1))), sp)
    }`;
  const { program, diagnostics } = elaborateEntry("main.gyre", () => source, { dims: { B: 1, S: 8, E: 4 } });
  expect(diagnostics).toEqual([]);
  expect(evaluate(program!, [randomArray(3, 1, 8, 4)]).map(numbers)).toEqual([[0]]);
});

test("a contiguous dimension keeps its positions where a reshape cuts it, or joins it with those after it", () => {
  const source = `mesh pod(sp: 2, tp: 2)
    fn patches<B, H, W, C>(x: f32[B, H, W, C], n: int) -> f32[B, H/n*(W/n), n*n*C] =
      reshape(transpose(reshape(x, (B, H / n, n, W / n, n, C)), (0, 1, 3, 2, 4, 5)), (B, H / n * (W / n), n * n * C))
    export shard_map main<B, H, W>(x: f32[B, H, W, 1] @ P(_, (sp, tp), _, _)) -> i32[H*W/4] @ P((sp, tp)) on pod {
      positions(patches(x, 2), 1)
    }`;
  const { program, diagnostics } = elaborateEntry("main.gyre", () => source, { dims: { B: 2, H: 16, W: 6 } });
  expect(diagnostics).toEqual([]);
  expect(evaluate(program!, [randomArray(3, 2, 16, 6, 1)]).map(numbers)).toEqual([[...Array(24).keys()]]);
});
