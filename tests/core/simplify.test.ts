import fc from "fast-check";
import { expect, test } from "vitest";
import { type Builder, branch, emit, fold, i32, lit, mesh, program, spec, tiles } from "../../compiler/core/build.ts";
import { check } from "../../compiler/core/check.ts";
import { decompose } from "../../compiler/core/decompose.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import type { Atom, Binary, FoldEqn, Program, Unary } from "../../compiler/core/ir.ts";
import type { NDArray } from "../../compiler/core/ndarray.ts";
import { simplify } from "../../compiler/core/simplify.ts";
import { eachEqn } from "../../compiler/core/walk.ts";
import { numbers, randomArray } from "./programs.ts";

const sp = spec(["sp"]);
const m = mesh({ sp: 2 });
/** A program of one array, 4 numbers on each of 2 devices. */
const of = (body: (b: Builder, x: Atom) => Atom): Program =>
  program(m, [{ path: "x", shape: [8], spec: sp }], [sp], (b, x) => [body(b, x!)]);
function left(p: Program): string[] {
  const q = simplify(p);
  expect(check(q)).toEqual([]);
  const found: string[] = [];
  eachEqn(q.body, (e) => found.push(e.kind === "op" ? e.op : e.kind));
  return found;
}
const un = (b: Builder, op: Unary, x: Atom): Atom => emit(b, op, {}, x);
const bin = (b: Builder, op: Binary, x: Atom, y: Atom): Atom => emit(b, op, {}, x, y);
const full = (b: Builder, value: number): Atom => emit(b, "full", { shape: [4] }, lit(value));

test.each<[string, (b: Builder, x: Atom) => Atom, string[]]>([
  ["x * 1 is x", (b, x) => bin(b, "mul", x, lit(1)), []],
  ["x + 0 is not x: x may be -0", (b, x) => bin(b, "add", x, lit(0)), ["add"]],
  ["x - 0 is x", (b, x) => bin(b, "sub", x, lit(0)), []],
  ["an array of one number is the number", (b, x) => bin(b, "mul", x, full(b, 1)), []],
  ["--x is x", (b, x) => un(b, "neg", un(b, "neg", x)), []],
  ["constants are computed", (b, x) => bin(b, "mul", x, bin(b, "add", lit(2), lit(3))), ["mul"]],
  [
    "what is computed twice is computed once",
    (b, x) => bin(b, "add", un(b, "exp", x), un(b, "exp", x)),
    ["exp", "add"],
  ],
  [
    "a slice of all, wherever it begins, and an update of all",
    (b, x) => {
      const part = emit(b, "dynamic_slice", { dim: 0, size: 4 }, un(b, "neg", x), lit(3, "i32"));
      return emit(b, "dynamic_update", { dim: 0 }, un(b, "exp", x), part, lit(1, "i32"));
    },
    ["neg"],
  ],
  ["dead code goes", (b, x) => [un(b, "exp", x), x][1]!, []],
  ["reshapes join", (b, x) => emit(b, "reshape", { shape: [4] }, emit(b, "reshape", { shape: [2, 2] }, x)), []],
  [
    "transposes join",
    (b, x) => {
      const y = emit(b, "reshape", { shape: [2, 2] }, un(b, "neg", x));
      const t = emit(b, "transpose", { perm: [1, 0] }, emit(b, "transpose", { perm: [1, 0] }, y));
      return emit(b, "reshape", { shape: [4] }, t);
    },
    ["neg"],
  ],
  ["a decided select", (b, x) => emit(b, "select", {}, lit(1, "bool"), x, un(b, "neg", x)), []],
  [
    "a decided branch",
    (b, x) =>
      branch(
        b,
        lit(0, "bool"),
        () => [x],
        (b) => [un(b, "neg", x)],
      )[0]!,
    ["neg"],
  ],
  [
    "a loop of one step",
    (b, x) =>
      fold(b, 1, [x], (b, step, [c]) => [
        bin(b, "mul", c!, emit(b, "cast", { dtype: "f32" }, bin(b, "add", step, i32(2)))),
      ])[0]!,
    ["mul"],
  ],
  [
    "a carry that stays",
    (b, x) => fold(b, 3, [x, x], (b, _, [c, k]) => [bin(b, "add", c!, k!), k!])[0]!,
    ["add", "fold"],
  ],
  [
    "a carry that feeds only itself",
    (b, x) => fold(b, 3, [x, x], (b, _, [c, k]) => [un(b, "exp", c!), un(b, "neg", k!)])[0]!,
    ["exp", "fold"],
  ],
  [
    "arithmetic of places leaves the loop",
    (b, x) =>
      fold(b, 3, [x], (b, _, [c]) => {
        const me = bin(b, "mul", emit(b, "axis_index", { axes: ["sp"] }), i32(7));
        return [bin(b, "mul", c!, emit(b, "cast", { dtype: "f32" }, me))];
      })[0]!,
    ["axis_index", "mul", "cast", "mul", "fold"],
  ],
])("%s", (_, body, ops) => {
  const p = of(body);
  expect(left(p)).toEqual(ops);
  const x = randomArray(5, 8);
  expect(evaluate(simplify(p), [x])).toEqual(evaluate(p, [x]));
});

test("a product that is the same in every step leaves the loop with what it needs; cheap arrays stay", () => {
  const p = simplify(
    of(
      (b, x) =>
        fold(b, 3, [x], (b, _, [c]) => {
          const y = un(b, "exp", x);
          const dot = emit(b, "einsum", { ins: [["i"], ["i"]], out: ["i"] }, y, y);
          return [bin(b, "add", bin(b, "mul", c!, dot), un(b, "neg", x))];
        })[0]!,
    ),
  );
  expect(p.body.eqns.map((e) => (e.kind === "op" ? e.op : e.kind))).toEqual(["exp", "einsum", "fold"]);
  expect((p.body.eqns[2] as FoldEqn).body.eqns.map((e) => e.kind === "op" && e.op)).toEqual(["mul", "neg", "add"]);
});

test("what is dead in tiles goes with its pattern", () => {
  const p = simplify(
    of(
      (b, x) =>
        tiles(b, [{ name: "i", extent: 4, block: 3 }], [[0], [0]], (b, i) => {
          const xs = emit(b, "index", { selectors: [{ kind: "block", index: i! }] }, x);
          return [un(b, "exp", xs), un(b, "neg", xs)];
        })[1]!,
    ),
  );
  expect(check(p)).toEqual([]);
  const [tile] = p.body.eqns;
  expect(tile?.kind === "tiles" && [tile.into.length, tile.outs.length, tile.body.eqns.length]).toEqual([1, 1, 2]);
});

// ── Random programs ──────────────────────────────────────────────────────────────────────────────────────────────

/** Builds a block from a tape of decisions: each adds a value made of those that are there. */
function grow(b: Builder, pool: Atom[], tape: number[], depth: number): void {
  const pick = (): Atom => pool[(tape.pop() ?? 0) % pool.length]!;
  const grown = (b: Builder, extra: readonly Atom[]): Atom[] => {
    const inside = [...pool, ...extra];
    grow(b, inside, tape.splice(0, Math.ceil(tape.length / 3)), depth + 1);
    return inside;
  };
  while (tape.length > 0 && pool.length < 40) {
    const choice = tape.pop()! % 14;
    const x = pick();
    if (choice === 0) pool.push(un(b, (["neg", "floor", "sign", "abs"] as const)[tape.length % 4]!, x));
    else if (choice <= 2)
      pool.push(bin(b, (["add", "sub", "mul", "max", "min"] as const)[tape.length % 5]!, x, pick()));
    else if (choice === 3) pool.push(bin(b, "mul", x, lit(tape.length % 3)));
    else if (choice === 4) pool.push(full(b, tape.length % 3));
    else if (choice === 5) pool.push(emit(b, "select", {}, bin(b, "lt", x, pick()), pick(), x));
    else if (choice === 6)
      pool.push(
        emit(
          b,
          "reshape",
          { shape: [4] },
          emit(b, "transpose", { perm: [1, 0] }, emit(b, "reshape", { shape: [2, 2] }, x)),
        ),
      );
    else if (choice === 7) pool.push(emit(b, "einsum", { ins: [["i"], ["i"]], out: ["i"] }, x, pick()));
    else if (choice === 8 && x.type.varying.length > 0)
      pool.push(emit(b, "ppermute", { axes: ["sp"], route: { kind: "shift", offset: tape.length % 3 } }, x));
    else if (choice === 9 && x.type.varying.length > 0) pool.push(emit(b, "psum", { axes: ["sp"] }, x));
    else if (choice === 10 && x.type.varying.length === 0) pool.push(emit(b, "pvary", { axes: ["sp"] }, x));
    else if (choice === 11 && depth < 2) {
      const init = [x, pick()];
      const count = tape.length % 4;
      const rest = tape.splice(0, Math.ceil(tape.length / 3));
      pool.push(
        ...fold(b, count, init, (b, step, carry) => {
          // The body may be built again after widening, so it must come out the same: a tape of its own.
          const inside = [...pool, ...carry, bin(b, "mul", full(b, 1), emit(b, "cast", { dtype: "f32" }, step))];
          const before = inside.length;
          grow(b, inside, [...rest], depth + 1);
          return [inside.at(-1)!, inside[before] ?? carry[1]!];
        }),
      );
    } else if (choice === 12 && depth < 2) {
      const cond = emit(b, "reduce", { kind: "any", dims: [0], keep: false }, bin(b, "lt", x, lit(tape.length % 2)));
      pool.push(
        branch(
          b,
          tape.length % 5 === 0 ? lit(1, "bool") : cond,
          (b) => [grown(b, []).at(-1)!],
          (b) => [grown(b, [x]).at(-1)!],
        )[0]!,
      );
    } else if (choice === 13) {
      pool.push(
        tiles(b, [{ name: "i", extent: 4, block: 1 + (tape.length % 4) }], [[0]], (b, i) => {
          const xs = emit(b, "index", { selectors: [{ kind: "block", index: i! }] }, x);
          return [bin(b, "add", bin(b, "mul", xs, lit(1)), emit(b, "full", { shape: [i!.size] }, lit(2)))];
        })[0]!,
      );
    }
  }
}
const programs = fc.array(fc.nat(1000), { minLength: 4, maxLength: 80 }).map((tape) =>
  program(
    m,
    [
      { path: "x", shape: [8], spec: sp },
      { path: "y", shape: [4], spec: spec([]) },
    ],
    [sp, sp],
    (b, x, y) => {
      const pool: Atom[] = [x!, y!];
      grow(b, pool, [...tape], 0);
      const out = (a: Atom): Atom => (a.type.varying.length > 0 ? a : emit(b, "pvary", { axes: ["sp"] }, a));
      return [out(pool.at(-1)!), out(pool[Math.floor(pool.length / 2)]!)];
    },
  ),
);

test("simplify keeps the meaning of any program, to the bit", () => {
  fc.assert(
    fc.property(programs, fc.nat(), (p, seed) => {
      expect(check(p)).toEqual([]);
      const q = simplify(p);
      expect(check(q)).toEqual([]);
      const inputs = [randomArray(seed, 8), randomArray(seed + 1, 4)];
      expect(evaluate(q, inputs)).toEqual(evaluate(p, inputs));
      const d = simplify(decompose(q).program);
      expect(check(d)).toEqual([]);
      // A sum of zeros may come out with another sign: the rings add in another order.
      const unsigned = (xs: readonly NDArray[]) => xs.map((x) => numbers(x).map((v) => v + 0));
      expect(unsigned(evaluate(d, inputs))).toEqual(unsigned(evaluate(p, inputs)));
    }),
    { numRuns: 200 },
  );
});
