/** Kernels of many arrays, with some of them joined: they bind few enough, and mean the same. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Builder, emit, fold, lit, type PortShape, program, tiles } from "../../compiler/core/build.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type { Atom, Index, Program, Selector, Var } from "../../compiler/core/ir.ts";
import { check } from "../../compiler/tile/check.ts";
import { evalProgram } from "../../compiler/tile/eval.ts";
import type { DeviceProgram, HostStep } from "../../compiler/tile/ir.ts";
import { packInputs } from "../../compiler/tile/pack.ts";
import { print } from "../../compiler/tile/print.ts";
import { fused, inputsFor, one, whole } from "./support.ts";

const on = (
  inputs: readonly Omit<PortShape, "spec">[],
  ranks: readonly number[],
  body: (b: Builder, ...xs: Var[]) => readonly Atom[],
): Program =>
  program(
    one,
    inputs.map((i) => ({ ...i, spec: whole(i.shape.length) })),
    ranks.map(whole),
    body,
  );

const bindings = (p: DeviceProgram): readonly number[] => p.kernels.map((k) => k.buffers.length);
/** Packs, and expects a well-formed program that means the same. */
function expectPacked(p: Program, most: number): { readonly before: DeviceProgram; readonly after: DeviceProgram } {
  const before = fused(p, { maxBuffers: 1000 });
  const after = packInputs(before, most);
  expect(check(after), print(after)).toEqual([]);
  const inputs = inputsFor(p);
  const expected = evaluate(p, inputs);
  evalProgram(after, inputs).forEach((x, k) => {
    for (const [i, value] of x.data.entries())
      expect(value, `${print(after)}\nelement ${i}`).toBeCloseTo(expected[k]!.data[i]!, 9);
  });
  return { before, after };
}

/** Row i of every array, as a number: an array's elements i, taken around its end. */
const row = (b: Builder, x: Var, i: Index): Var => {
  if (x.type.shape.length === 0) return x;
  const place = emit(b, "mod", {}, i.element!, lit(x.type.shape[0] as number, "i32"));
  const rest = x.type.shape.slice(1).map((): Selector => ({ kind: "all" }));
  const taken = emit(b, "index", { selectors: [{ kind: "gather", arg: 1 }, ...rest] }, x, place);
  return rest.length === 0 ? taken : emit(b, "reduce", { kind: "sum", dims: [...rest.keys()], keep: false }, taken);
};
const asFloat = (b: Builder, x: Var): Var => (x.type.dtype === "f32" ? x : emit(b, "cast", { dtype: "f32" }, x));
/** For each of 6 rows: the sum of row i of every array, each times its number. */
const sums = (b: Builder, xs: readonly Var[]): Var =>
  tiles(b, [{ name: "i", extent: 6, block: null }], [[0]], (c, i) => [
    xs
      .map((x, k) => emit(c, "mul", {}, asFloat(c, row(c, x, i!)), lit(k + 1)))
      .reduce((x, y) => emit(c, "add", {}, x, y)),
  ])[0]!;

describe("a kernel that closes over twenty arrays", () => {
  const scalars = Array.from({ length: 20 }, () => ({ shape: [] }));
  const shapes = [[], [3], [2, 4], [1], [5, 4], [6], [], [2, 2], [3, 1, 2], [4]];
  const mixed = Array.from({ length: 20 }, (_, k) => ({
    shape: shapes[k % shapes.length]!,
    dtype: (["f32", "f32", "i32"] as const)[k % 3]!,
  }));
  for (const [title, inputs] of [
    ["scalars", scalars],
    ["shapes and dtypes", mixed],
  ] as const)
    for (const most of [12, 8, 5])
      test(`${title}, ${most} to a kernel`, () => {
        const p = on(inputs, [1], (b, ...xs) => [sums(b, [...xs, ...xs.slice(0, 1)])]);
        const { before, after } = expectPacked(p, most);
        expect(Math.max(...bindings(before))).toBe(21);
        expect(Math.max(...bindings(after))).toBeLessThanOrEqual(most);
      });
  test("the small ones are joined, the large ones stay", () => {
    const inputs = [{ shape: [4000, 4] }, ...scalars.slice(0, 8), { shape: [5000, 4] }];
    const { after } = expectPacked(
      on(inputs, [1], (b, ...xs) => [sums(b, xs)]),
      8,
    );
    expect(after.kernels.map((k) => k.buffers.at(-1)!.shape)).toEqual([[6], [4]]);
  });
  test("large arrays with rows of one length keep them", () => {
    const inputs = [...Array.from({ length: 7 }, () => ({ shape: [2, 4, 8] })), { shape: [4, 8] }];
    const { after } = expectPacked(
      on(inputs, [1], (b, ...xs) => [sums(b, xs)]),
      8,
    );
    expect(after.kernels[0]!.buffers.map((x) => String(x.shape))).toContain("12,8");
  });
});

test("one array under two shapes is bound once, and nothing is joined", () => {
  const p = on([{ shape: [4, 3] }, { shape: [] }], [1], (b, x, y) => {
    const flat = emit(b, "reshape", { shape: [12] }, x!);
    return [sums(b, [x!, flat, y!])];
  });
  const { before, after } = expectPacked(p, 3);
  expect(bindings(before)).toEqual([4]);
  expect(bindings(after)).toEqual([3]);
});

describe("inside of a loop", () => {
  /** x, then 3 times: x = sums over x and all that is given, and `more` of what is made in the loop. */
  const looping = (outside: number, inside: number): Program =>
    on([{ shape: [6] }, ...Array.from({ length: outside }, () => ({ shape: [3] }))], [1], (b, x, ...given) =>
      fold(b, 3, [x!], (c, _, [y]) => {
        const made = Array.from({ length: inside }, (_, k) =>
          emit(c, "cumsum", { dim: 0 }, emit(c, "mul", {}, y!, lit(0.001 * (k + 1)))),
        );
        return [emit(c, "tanh", {}, sums(c, [y!, ...given, ...made]))];
      }),
    );
  const kinds = (steps: readonly HostStep[], p: DeviceProgram): readonly string[] =>
    steps.map((s) => (s.kind === "launch" ? p.kernels[s.kernel]!.name.replace(/_\d+$/, "") : s.kind));

  test("what comes from outside is joined once, before it", () => {
    const { after } = expectPacked(looping(10, 0), 5);
    expect(kinds(after.steps, after)).toEqual(["join", "join", "join", "loop"]);
    expect(Math.max(...bindings(after))).toBeLessThanOrEqual(5);
  });
  test("what is made in it is joined in it, where nothing else helps", () => {
    const { after } = expectPacked(looping(1, 8), 5);
    const [loop] = after.steps.flatMap((s) => (s.kind === "loop" ? [s] : []));
    expect(kinds(loop!.body, after)).toContain("join");
    expect(Math.max(...bindings(after))).toBeLessThanOrEqual(5);
  });
  test("two kernels that read the same share what is joined", () => {
    const p = on(
      Array.from({ length: 9 }, () => ({ shape: [] })),
      [1, 1],
      (b, ...xs) => [sums(b, xs), emit(b, "exp", {}, sums(b, [...xs].reverse()))],
    );
    const { after } = expectPacked(p, 8);
    expect(kinds(after.steps, after).filter((k) => k === "join")).toEqual(["join"]);
  });
});

test("what still has too many stays as it is", () => {
  const dtypes = ["f32", "i32", "u32"] as const;
  const p = on(
    dtypes.map((dtype) => ({ shape: [4], dtype })),
    [1],
    (b, ...xs) => [sums(b, xs)],
  );
  const { before, after } = expectPacked(p, 3);
  expect(after).toEqual(before);
});

test("random arrays, any limit", () => {
  const shape = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 });
  const port = fc.record({ shape, dtype: fc.constantFrom("f32" as const, "i32" as const) });
  fc.assert(
    fc.property(fc.array(port, { minLength: 3, maxLength: 16 }), fc.integer({ min: 4, max: 9 }), (inputs, most) => {
      const { after } = expectPacked(
        on(inputs, [1], (b, ...xs) => [sums(b, xs)]),
        most,
      );
      expect(Math.max(...bindings(after))).toBeLessThanOrEqual(most);
    }),
    { numRuns: 60, seed: 5 },
  );
});
