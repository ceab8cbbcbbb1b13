/** Kernels as people read them. */
import { expect, test } from "vitest";
import { emit, fold, lit, mesh, program, spec } from "../../compiler/core/build.ts";
import { print } from "../../compiler/tile/print.ts";
import { fused, matmul } from "./support.ts";

test("a product, and a ring that adds it up", () => {
  const p = program(
    mesh({ sp: 2 }),
    [
      { path: "a", shape: [8, 8], spec: spec(["sp"], []) },
      { path: "b", shape: [8, 4], spec: spec([], []) },
    ],
    [spec(["sp"], [])],
    (b, x, y) => {
      const c = matmul(b, x!, y!);
      const [sum] = fold(b, 2, [c, c], (d, _, [acc, now]) => {
        const next = emit(d, "ppermute", { axes: ["sp"], route: { kind: "shift", offset: 1 } }, now!);
        return [emit(d, "add", {}, acc!, emit(d, "mul", {}, next, lit(0.5))), next];
      });
      return [sum!];
    },
  );
  expect(`\n${print(fused(p))}\n`).toBe(`
main on pod(sp: 2)
(a: f32[4, 8], b: f32[8, 4]) {
  (product) = product (a, b)
  (result, _) = loop 0: 2 steps with (carry = product, carry_1 = product) {
    moved = permute carry_1 over sp, shift 1
    (add) = add (carry, moved)
    (add, moved)
  }
} -> (result)

kernel product (a: f32[4, 8], b: f32[8, 4]) -> (product: f32[4, 4])   grid i: 4 by auto, j: 4 by auto
  inner d: 8
  a(i, d) = load a [i, d]
  b(j, d) = load b [d, j]
  v0(i, j, d) = mul a b
  v1(i, j) = sum d v0
  store product [i, j] = v1

kernel add (carry: f32[4, 4], moved: f32[4, 4]) -> (add: f32[4, 4])   grid i: 4 by auto, j: 4 by auto
  v0(i, j) = load carry [i, j]
  v1(i, j) = load moved [i, j]
  v2(i, j) = mul v1 0.5
  v3(i, j) = add v0 v2
  store add [i, j] = v3
`);
});
