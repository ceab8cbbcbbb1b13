import fc from "fast-check";
import { expect, test } from "vitest";
import { type Machine, usualMachine } from "../../compiler/base/machine.ts";
import { emit, mesh, program, spec } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { decompose } from "../../compiler/core/decompose.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type { Mesh, Ops, Program } from "../../compiler/core/ir.ts";
import { ringSize } from "../../compiler/core/mesh-layout.ts";
import { print } from "../../compiler/core/print.ts";
import { eachEqn } from "../../compiler/core/walk.ts";
import { wholeArray } from "./programs.ts";

type Name = "psum" | "pmax" | "pmin" | "all_gather" | "psum_scatter" | "all_to_all";

/** A program that is one collective: x has `rows` × `cols` on each device, split over all axes of the mesh along dim 0. */
function one(m: Mesh, name: Name, params: Ops[Name], rows: number, cols: number): Program {
  const all = m.axes.map((a) => a.name);
  const n = ringSize(m, all);
  // Every output keeps a dim that holds what each device has, so that no two devices' results are mixed up.
  const x = { shape: [n, rows, cols], spec: spec(all, [], []) };
  return program(m, [x], [spec(all, [], [])], (b, x) => {
    const flat = emit(b, "reshape", { shape: [rows, cols] }, x!);
    const y = emit(b, name, params as never, flat);
    return [emit(b, "reshape", { shape: [1, ...y.type.shape] }, y)];
  });
}
const ops = (p: Program): string[] => {
  const found: string[] = [];
  eachEqn(p.body, (e) => e.kind === "op" && found.push(e.op));
  return found;
};
const collective = /^(psum|pmax|pmin|all_gather|psum_scatter|all_to_all)$/;

/** Links of a torus (each direction its own) or of a switch; nodes of so many devices, between which links are slow. */
const machine = (shared: boolean, devicesPerNode: number, latency = 0): Machine => {
  const link = (bandwidth: number) => ({ bandwidth, latency, duplex: true, shared });
  return { ...usualMachine, launch: 0, devicesPerNode, links: { inside: link(1e9), between: link(1e7) } };
};

function expectSame(p: Program, seed = 7, on: Machine = usualMachine): void {
  expect(check(p)).toEqual([]);
  const q = decompose(p, on).program;
  expect(check(q)).toEqual([]);
  expect(ops(q).filter((op) => collective.test(op))).toEqual([]);
  const x = wholeArray(seed, ...p.inputs[0]!.port.shape);
  expect(evaluate(q, [x])).toEqual(evaluate(p, [x]));
}

const meshes = fc.constantFrom(
  { a: 1 },
  { a: 2 },
  { a: 3 },
  { a: 4 },
  { a: 5 },
  { a: 7 },
  { a: 8 },
  { a: 2, b: 2 },
  { a: 2, b: 3 },
  { a: 1, b: 4 },
  { a: 4, b: 2 },
  { a: 2, b: 2, c: 2 },
  { a: 3, b: 1, c: 2 },
);
const names = fc.constantFrom<Name>("psum", "pmax", "pmin", "all_gather", "psum_scatter", "all_to_all");

test("every collective keeps its meaning, on any mesh and along any axes", () => {
  const cases = meshes.chain((sizes) => {
    const axes = fc.shuffledSubarray(Object.keys(sizes), { minLength: 1 });
    return fc.record({
      m: fc.constant(mesh(sizes)),
      axes,
      name: names,
      rows: fc.integer({ min: 1, max: 4 }),
      cols: fc.integer({ min: 1, max: 4 }),
      dims: fc.tuple(fc.nat(1), fc.nat(1)),
      seed: fc.nat(),
      shared: fc.boolean(),
      devicesPerNode: fc.integer({ min: 1, max: 4 }),
      latency: fc.constantFrom(0, 1),
    });
  });
  fc.assert(
    fc.property(cases, ({ m, axes, name, rows, cols, dims: [dim, concat], seed, shared, devicesPerNode, latency }) => {
      const n = ringSize(m, axes);
      const cuts = name === "psum_scatter" || name === "all_to_all";
      const [r, c] = [rows * (cuts && dim === 0 ? n : 1), cols * (cuts && dim === 1 ? n : 1)];
      const params = name === "all_to_all" ? { axes, split: dim, concat } : { axes, dim };
      expectSame(one(m, name, params as Ops[Name], r, c), seed, machine(shared, devicesPerNode, latency));
    }),
    { numRuns: 200 },
  );
});

test.each([
  [4096, 3, 3],
  [5461, 1, 4],
  [12289, 1, 2],
])("a large sum is scattered and gathered: %i x %i on %i", (rows, cols, n) => {
  const p = one(mesh({ a: n }), "psum", { axes: ["a"] }, rows, cols);
  expectSame(p);
  expect(ops(decompose(p, machine(true, 8)).program).filter((op) => op === "ppermute")).toHaveLength(2);
  expectSame(one(mesh({ a: n }), "pmax", { axes: ["a"] }, rows, cols));
});

test("the code does not grow with the ring", () => {
  const lines = (n: number) =>
    print(decompose(one(mesh({ a: n }), "all_to_all", { axes: ["a"], split: 0, concat: 1 }, n, 2)).program).split("\n")
      .length;
  expect(lines(64)).toBe(lines(4));
});

test("on one device collectives are nothing", () => {
  const m = mesh({ a: 1 });
  const p = one(m, "all_gather", { axes: ["a"], dim: 0 }, 2, 2);
  expect(ops(decompose(p).program)).toEqual(["reshape", "unvary", "reshape"]);
});

test("a permute once round is dropped", () => {
  const x = { shape: [4], spec: spec(["a"]) };
  const p = program(mesh({ a: 2 }), [x], [x.spec], (b, x) => [
    emit(b, "ppermute", { axes: ["a"], route: { kind: "shift", offset: -2 } }, x!),
  ]);
  expect(ops(decompose(p).program)).toEqual([]);
});

test("the accumulator of a gather is read by its update alone", () => {
  const p = decompose(one(mesh({ a: 4 }), "all_gather", { axes: ["a"], dim: 0 }, 2, 2)).program;
  const loop = p.body.eqns.find((e) => e.kind === "fold")!;
  const readers =
    loop.kind === "fold" ? loop.body.eqns.filter((e) => e.kind === "op" && e.args.includes(loop.carry[0]!)) : [];
  expect(readers.map((e) => e.kind === "op" && e.op)).toEqual(["dynamic_update"]);
});

test("where links between nodes are slow, everything comes into a node once", () => {
  const p = one(mesh({ a: 8 }), "all_gather", { axes: ["a"], dim: 0 }, 3, 2);
  const { program: q, choices } = decompose(p, machine(true, 4));
  const routes: unknown[] = [];
  eachEqn(q.body, (e) => e.kind === "op" && e.op === "ppermute" && routes.push(e.params.route));
  expect(routes).toEqual([
    { kind: "shift", offset: 4 },
    { kind: "shift", offset: 1, within: 4 },
  ]);
  expect(choices.map((c) => c.what)).toEqual(["by nodes: 2 of them between each other, 4 devices within each"]);
});

test("links with a lane for each direction are used in both", () => {
  const p = one(mesh({ a: 8 }), "psum_scatter", { axes: ["a"], dim: 0 }, 16, 2);
  const { program: q, choices } = decompose(p, machine(false, 8));
  const offsets: number[] = [];
  eachEqn(q.body, (e) => {
    if (e.kind === "op" && e.op === "ppermute" && e.params.route.kind === "shift") offsets.push(e.params.route.offset);
  });
  expect(offsets).toEqual([1, -1]);
  expect(choices).toHaveLength(1);
});

test("where latency is what counts, what is held doubles with each transfer", () => {
  const permutes = (n: number) =>
    ops(
      decompose(one(mesh({ a: n }), "all_gather", { axes: ["a"], dim: 0 }, 1, 2), machine(true, 1, 1)).program,
    ).filter((op) => op === "ppermute" || op === "fold").length;
  expect([2, 3, 8, 9, 1024].map(permutes)).toEqual([1, 1, 3, 4, 10]);
});
