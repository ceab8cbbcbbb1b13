import { expect, test } from "vitest";
import { emit, fold, fresh, i32, lit, mesh, program, spec, tiles, typed } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import type { Atom, Eqn, FoldEqn, OpEqn, Program, TilesEqn } from "../../compiler/core/ir.ts";

const x = { path: "x", shape: [8], spec: spec(["sp"]) };
const good = program(mesh({ sp: 2 }), [x], [x.spec], (b, x) => [
  fold(b, 2, [x!], (b, step, [c]) => [emit(b, "mul", {}, c!, emit(b, "cast", { dtype: "f32" }, step))])[0]!,
]);
const tiled = program(mesh({ sp: 2 }), [x], [x.spec], (b, x) =>
  tiles(b, [{ name: "i", extent: 4, block: 2 }], [[0]], (b, i) => [
    emit(b, "index", { selectors: [{ kind: "block", index: i! }] }, x!),
  ]),
);
const loop = good.body.eqns[0] as FoldEqn,
  tile = tiled.body.eqns[0] as TilesEqn;
const withEqns = (p: Program, ...eqns: Eqn[]): Program => ({ ...p, body: { ...p.body, eqns } });
const op = (name: OpEqn["op"], out: OpEqn["out"], args: Atom[], params: object = {}): Eqn =>
  ({ kind: "op", op: name, params, args, out }) as unknown as OpEqn;
const v = (id: number, ...shape: number[]) => fresh({ next: id }, typed("f32", ...shape));

test("well-formed programs have nothing wrong", () => {
  expect(check(good)).toEqual([]);
  expect(check(tiled)).toEqual([]);
});

const local = good.inputs[0]!.local;
test.each<[string, Program, RegExp]>([
  ["bound twice", withEqns(good, loop, loop), /bound twice/],
  ["used before it is bound", withEqns(good), /used where it is not bound/],
  ["a variable of a region outside it", { ...good, body: { ...good.body, results: [loop.carry[0]!] } }, /not bound/],
  [
    "a wrong type",
    withEqns(good, loop, op("neg", v(90, 5), [local])),
    /neg for v90 is f32\[4\] varying \{sp\}, declared f32\[5\]/,
  ],
  ["a value that claims to be the same everywhere", withEqns(good, loop, op("neg", v(90, 4), [local])), /varying/],
  ["ill-typed operands", withEqns(good, loop, op("add", v(90, 4), [local, i32(1)])), /add for v90: .*dtypes/],
  ["a missing operand", withEqns(good, loop, op("add", v(90, 4), [local])), /operands of add: 1 for 2/],
  [
    "a carry that changes type",
    withEqns(good, { ...loop, body: { ...loop.body, results: [lit(1)] } }),
    /next x .* is f32, declared f32\[4\]/,
  ],
  [
    "a lost carry",
    withEqns(good, { ...loop, body: { ...loop.body, results: [] } }),
    /results of a fold's body: 0 for 1/,
  ],
  [
    "a pattern without an index",
    withEqns(tiled, { ...tile, into: [[{ kind: "all" }]] }),
    /does not name every index once/,
  ],
  [
    "a tile of the wrong rank",
    withEqns(tiled, { ...tile, body: { ...tile.body, results: [lit(1)] } }),
    /not the block of i/,
  ],
  [
    "a collective in tiles",
    withEqns(tiled, {
      ...tile,
      body: {
        ...tile.body,
        eqns: [
          ...tile.body.eqns,
          op("ppermute", { ...v(90, 4), type: local.type }, [local], {
            axes: ["sp"],
            route: { kind: "shift", offset: 1 },
          }),
        ],
      },
    }),
    /ppermute inside tiles/,
  ],
  [
    "an index outside its tiles",
    withEqns(
      tiled,
      tile,
      op("pos", fresh({ next: 90 }, typed("i32", 2)), [], { index: { ...tile.indices[0]!, size: 2 } }),
    ),
    /outside its region/,
  ],
  [
    "an output that varies where its spec does not",
    { ...good, outputs: [{ ...good.outputs[0]!, shape: [4], spec: spec([]) }] },
    /varies over sp/,
  ],
  [
    "an output of another shape",
    { ...good, outputs: [{ ...good.outputs[0]!, shape: [9] }] },
    /f32\[8\].* in all, declared f32\[9\]/,
  ],
])("%s", (_, p, message) => {
  expect(check(p).join("\n")).toMatch(message);
});
