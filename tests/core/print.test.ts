import { expect, test } from "vitest";
import { branch, emit, fold, lit, mesh, program, spec, tiles } from "../../compiler/core/build.ts";
import { print } from "../../compiler/core/print.ts";

test("a ring sum reads as it would be told", () => {
  const x = { path: "x", shape: [16], spec: [{ axes: ["sp"], layout: "zigzag" as const }] };
  const p = program(mesh({ sp: 4 }), [x], [x.spec], (b, x) => [
    fold(b, 3, [x!, x!], (b, _, [acc, cur]) => {
      const came = emit(b, "ppermute", { axes: ["sp"], route: { kind: "shift", offset: 1 } }, cur!);
      return [emit(b, "add", {}, acc!, came), came];
    })[0]!,
  ]);
  expect(print(p)).toBe(
    `
main on pod(sp: 4)
(x: f32[4] varying {sp} = f32[16] @ P(zigzag(sp))) {
  (d: f32[4] varying {sp}, e: f32[4] varying {sp}) = fold a < 3 with (x_2 = x, x_3 = x) {
    b: f32[4] varying {sp} = ppermute [axes=sp shift=1] x_3
    c: f32[4] varying {sp} = add x_2 b
    (c, b)
  }
  (d)
} -> (f32[16] @ P(zigzag(sp)))`.trim(),
  );
});

test("tiles, branches, indexing and einsum", () => {
  const x = { path: "x", shape: [2, 6], spec: spec([], []) };
  const p = program(mesh({ sp: 1 }), [x], [spec([], [])], (b, x) => {
    const [y] = tiles(
      b,
      [
        { name: "a", extent: 2, block: null },
        { name: "i", extent: 6, block: 4 },
      ],
      [[0, 1]],
      (b, a, i) => {
        const row = emit(
          b,
          "index",
          {
            selectors: [
              { kind: "at", arg: 1 },
              { kind: "block", index: i! },
            ],
          },
          x!,
          a!.element!,
        );
        return [emit(b, "einsum", { ins: [["i"], ["i"]], out: ["i"] }, row, row)];
      },
    );
    const some = emit(b, "reduce", { kind: "any", dims: [0, 1], keep: false }, emit(b, "gt", {}, y!, lit(0.5)));
    return branch(
      b,
      some,
      () => [y!],
      (b) => [emit(b, "neg", {}, y!)],
    );
  });
  expect(print(p)).toBe(
    `
main on pod(sp: 1)
(x: f32[2, 6] = f32[2, 6] @ P(_, _)) {
  (d: f32[2, 6]) = tiles a in 2, i in 6 by 4 into [a, i] {
    b: f32[i] = x[a, i]
    c: f32[i] = einsum "i, i -> i" b b
    (c)
  }
  e: bool[2, 6] = gt d 0.5
  f: bool = reduce [kind=any dims=(0, 1) drop] e
  (h: f32[2, 6]) = if f {
    (d)
  } else {
    g: f32[2, 6] = neg d
    (g)
  }
  (h)
} -> (f32[2, 6] @ P(_, _))`.trim(),
  );
});
