/** Results over what they go on from: where that is done, where it must not be, and that nothing changes by it. */
import { describe, expect, test } from "vitest";
import { type Builder, emit, fold, foldBlocks, mesh, program, spec, tiles } from "../../compiler/core/build.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type { Atom, Index, Program, Selector, Var } from "../../compiler/core/ir.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import { gpuTarget, softwareTarget } from "../../compiler/lane/map.ts";
import { check } from "../../compiler/tile/check.ts";
import { evalKernel, evalProgram } from "../../compiler/tile/eval.ts";
import { writeInPlace } from "../../compiler/tile/inplace.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import { print } from "../../compiler/tile/print.ts";
import { interpret } from "../lane/interpret.ts";
import { fused, inputsFor, one, whole } from "./support.ts";

const rows = 10;
const keys = 7;
const at = (b: Builder, x: Atom, ...by: readonly (Index | ":")[]): Var => {
  const selectors = by.map((s): Selector => (s === ":" ? { kind: "all" } : { kind: "block", index: s }));
  return emit(b, "index", { selectors }, x);
};
const column = (b: Builder, x: Atom): Var => emit(b, "index", { selectors: [{ kind: "all" }, { kind: "new" }] }, x);
const turned = (b: Builder, x: Atom): Var => emit(b, "transpose", { perm: [1, 0] }, x);
const product = (b: Builder, x: Atom, y: Atom): Var =>
  emit(
    b,
    "einsum",
    {
      ins: [
        ["i", "r"],
        ["r", "j"],
      ],
      out: ["i", "j"],
    },
    x,
    y,
  );
const tanh = (b: Builder, x: Atom): Var => emit(b, "tanh", {}, x);

/** What a kernel does after its loop, with its results and the block of the old `acc`. */
type After = (b: Builder, top: Var, acc: Var, old: Var) => readonly [Var, Var];
const plain: After = (_, top, acc) => [top, acc];
/** For blocks of rows: top and acc, going on from what they were, over blocks of keys. */
const attend = (b: Builder, [q, k]: readonly Var[], top: Atom, acc: Atom, after: After = plain): readonly Var[] =>
  tiles(b, [{ name: "i", extent: rows, block: 4 }], [[0], [0, ":"]], (c, i) => {
    const old = at(c, acc, i!, ":");
    const [t, a] = foldBlocks(
      c,
      { name: "j", extent: k!.type.shape[0]!, block: 3 },
      [at(c, top, i!), old],
      (d, j, [m, o]) => {
        const kj = at(d, k!, j, ":");
        const s = product(d, at(d, q!, i!, ":"), turned(d, kj));
        const most = emit(d, "reduce", { kind: "max", dims: [1], keep: false }, s);
        const next = emit(d, "max", {}, m!, most);
        return [next, emit(d, "add", {}, o!, product(d, tanh(d, emit(d, "sub", {}, s, column(d, next))), kj))];
      },
    );
    return after(c, t!, a!, old);
  });

const shapes = [[rows, 4], [keys, 4], [rows], [rows, 4]];
const on = (body: (b: Builder, ...xs: Var[]) => readonly Atom[], results = 2): Program =>
  program(
    one,
    shapes.map((shape) => ({ shape, spec: whole(shape.length) })),
    [whole(1), whole(2), whole(2)].slice(0, results),
    body,
  );
/** Three rounds of `body`, which gives the next top and acc. */
const rounds = (body: (b: Builder, xs: readonly Var[], top: Var, acc: Var) => readonly Atom[]): Program =>
  on((b, q, k, top, acc) => fold(b, 3, [tanh(b, top!), tanh(b, acc!)], (c, _, [t, a]) => body(c, [q!, k!], t!, a!)));

const updated = (p: DeviceProgram): readonly string[] =>
  p.kernels.flatMap((k) => k.buffers.flatMap((b) => (b.access === "update" ? [String(b.shape)] : [])));
function placed(p: Program): DeviceProgram {
  const after = writeInPlace(fused(p));
  expect(check(after), print(after)).toEqual([]);
  const inputs = inputsFor(p);
  const expected = evaluate(p, inputs);
  evalProgram(after, inputs).forEach((x, k) => {
    for (const [i, value] of x.data.entries()) expect(value, print(after)).toBeCloseTo(expected[k]!.data[i]!, 9);
  });
  return after;
}

describe("what a loop carries stays where it is", () => {
  test("both carries of a kernel", () => {
    const p = placed(rounds((b, xs, top, acc) => attend(b, xs, top, acc)));
    expect(updated(p)).toEqual(["10", "10,4"]);
  });
  for (const [name, target] of Object.entries({ software: softwareTarget, gpu: gpuTarget }))
    test(`each element is read before it is written: ${name}`, () => {
      const p = placed(rounds((b, xs, top, acc) => attend(b, xs, top, acc)));
      const kernel = p.kernels.find((k) => k.buffers.some((b) => b.access === "update"))!;
      const buffers = kernel.buffers.map((b, n) =>
        tabulate(b.dtype, b.shape, (...i) => Math.sin(n + 3 * i[0]! + (i[1] ?? 0))),
      );
      const expected = evalKernel(kernel, buffers, []);
      const got = interpret(lowerKernel(kernel, chooseMapping(kernel, target)), buffers, []);
      got.slice(-2).forEach((x, k) => {
        for (const [i, value] of x.data.entries()) expect(value).toBeCloseTo(expected[k]!.data[i]!, 9);
      });
    });
  test("beside a loop, what nobody reads any more", () => {
    const p = placed(on((b, q, k, top, acc) => attend(b, [q!, k!], tanh(b, top!), tanh(b, acc!))));
    expect(updated(p)).toEqual(["10", "10,4"]);
  });
});

describe("apart stay", () => {
  test("inputs of the program", () => {
    expect(updated(placed(on((b, q, k, top, acc) => attend(b, [q!, k!], top!, acc!))))).toEqual([]);
  });
  test("what somebody reads afterwards", () => {
    const p = on((b, q, k, top, acc) => {
      const old = tanh(b, acc!);
      const [t, a] = attend(b, [q!, k!], tanh(b, top!), old);
      return [t!, a!, old];
    }, 3);
    expect(updated(placed(p))).toEqual(["10"]);
  });
  test("what is read again when results are made", () => {
    const p = rounds((b, xs, top, acc) => attend(b, xs, top, acc, (c, t, a, old) => [t, emit(c, "add", {}, a, old)]));
    expect(updated(placed(p))).toEqual(["10"]);
  });
  test("what is read at other places too", () => {
    // Every row of it is a key of all.
    const p = rounds((b, [q], top, acc) => attend(b, [q!, acc], top, acc));
    expect(updated(placed(p))).toEqual(["10"]);
  });
  test("what is sent", () => {
    const p = program(
      mesh({ sp: 2 }),
      shapes.map((shape) => ({
        shape: [shape[0]! * 2, ...shape.slice(1)],
        spec: spec(["sp"], ...shape.slice(1).map(() => [])),
      })),
      [spec(["sp"]), spec(["sp"], []), spec(["sp"], [])],
      (b, q, k, top, acc) => {
        const old = tanh(b, acc!);
        const [t, a] = attend(b, [q!, k!], tanh(b, top!), old);
        return [t!, a!, emit(b, "ppermute", { axes: ["sp"], route: { kind: "shift", offset: 1 } }, old)];
      },
    );
    expect(updated(placed(p))).toEqual(["10"]);
  });
});
