/** Random programs mean the same before and after fusion, on meshes of one to four devices. */
import fc from "fast-check";
import { test } from "vitest";
import { type Builder, emit, fold, i32, lit, mesh, program, spec } from "../../compiler/core/build.ts";
import type { Atom, Program, Var } from "../../compiler/core/ir.ts";
import { expectSame, matmul } from "./support.ts";

/** A random program is a list of choices; each step takes from what there is by numbers modulo what there are. */
type Choice = { readonly op: number; readonly a: number; readonly b: number; readonly n: number };
const choice: fc.Arbitrary<Choice> = fc.record({ op: fc.nat(16), a: fc.nat(40), b: fc.nat(40), n: fc.nat(12) });
const depth = (n: number) => fc.array(choice, { minLength: 1, maxLength: n });

const pick = <T>(from: readonly T[], k: number): T => from[k % from.length]!;
const rank = (v: Var): number => v.type.shape.length;
const size = (v: Var, d: number): number => v.type.shape[d] as number;
const shapeOf = (v: Var): readonly number[] => v.type.shape as readonly number[];
const elements = (v: Var): number => shapeOf(v).reduce((x, y) => x * y, 1);

/** One more value, or nothing where the choice does not fit. All values stay within a few thousand. */
function step(b: Builder, known: readonly Var[], { op, a, b: k, n }: Choice, ring: number): Var | undefined {
  const x = pick(known, a);
  const dim = rank(x) > 0 ? n % rank(x) : 0;
  const peers = known.filter((v) => String(shapeOf(v)) === String(shapeOf(x)));
  const y = pick(peers, k);
  const all = x.type.shape.map(() => ({ kind: "all" as const }));
  switch (op) {
    case 0:
      return emit(b, "add", {}, x, y);
    case 1:
      return emit(b, "mul", {}, emit(b, "tanh", {}, x), y);
    case 2:
      return emit(b, "tanh", {}, x);
    case 3:
      return rank(x) === 0
        ? undefined
        : emit(b, "reduce", { kind: pick(["sum", "max", "min"] as const, k), dims: [dim], keep: n % 2 === 0 }, x);
    case 4:
      return rank(x) < 2 ? undefined : emit(b, "transpose", { perm: [...all.keys()].reverse() }, x);
    case 5: {
      if (rank(x) === 0) return undefined;
      const rest = elements(x) / size(x, 0);
      return emit(b, "reshape", { shape: n % 2 ? [elements(x)] : [rest, size(x, 0)] }, x);
    }
    case 6:
      return rank(x) === 0 || size(x, dim) < 2
        ? undefined
        : emit(
            b,
            "index",
            { selectors: all.with(dim, { kind: "slice", start: 1, size: size(x, dim) - 1 } as never) },
            x,
          );
    case 7:
      return rank(x) === 0 || elements(x) > 60 ? undefined : emit(b, "concat", { dim }, x, y);
    case 8: {
      const other = known.find((v) => rank(v) === 2 && rank(x) === 2 && size(v, 0) === size(x, 1));
      return other && emit(b, "tanh", {}, matmul(b, x, other));
    }
    case 9: {
      const at = emit(b, "mod", {}, emit(b, "mul", {}, emit(b, "iota", { size: 3 }), i32(n)), i32(5));
      return rank(x) === 0 || elements(x) > 60
        ? undefined
        : emit(b, "index", { selectors: all.with(dim, { kind: "gather", arg: 1 } as never) }, x, at);
    }
    case 10:
      return rank(x) === 0 ? undefined : emit(b, "tanh", {}, emit(b, "cumsum", { dim }, x));
    case 11: {
      const start = emit(b, "sub", {}, emit(b, "axis_index", { axes: ["sp"] }), i32((n % 4) - 1));
      return rank(x) === 0 || size(x, dim) < 2
        ? undefined
        : emit(b, "dynamic_slice", { dim, size: Math.ceil(size(x, dim) / 2) }, x, start);
    }
    case 12: {
      if (rank(x) === 0) return undefined;
      const row = emit(b, "dynamic_slice", { dim, size: 1 }, n % 2 ? x : y, i32(k % 4));
      return emit(b, "dynamic_update", { dim }, x, row, i32(n % 5));
    }
    case 13:
      return emit(
        b,
        "ppermute",
        { axes: ["sp"], route: { kind: "shift", offset: n % (ring + 1) } },
        emit(b, "pvary", { axes: ["sp"] }, x),
      );
    case 14: {
      const index = emit(
        b,
        "cast",
        { dtype: "f32" },
        emit(b, "argmax", { dim, keep: true }, rank(x) > 0 ? x : emit(b, "reshape", { shape: [1] }, x)),
      );
      return emit(b, "add", {}, index, x);
    }
    case 15:
      return rank(x) !== 1
        ? undefined
        : emit(b, "add", {}, x, emit(b, "index", { selectors: [{ kind: "all" }, { kind: "new" }] }, y));
    default:
      return emit(b, "select", {}, emit(b, "lt", {}, x, lit(0)), emit(b, "exp", {}, x), lit(0.5));
  }
}
function grow(b: Builder, start: readonly Var[], choices: readonly Choice[], ring: number): readonly Var[] {
  const known = [...start];
  for (const c of choices) {
    const v = step(b, known, c, ring);
    if (v && elements(v) <= 120) known.push(v);
  }
  return known;
}

/** What a program of random steps gives: its last values, and a loop over more of the same. */
function randomProgram(
  ring: number,
  before: readonly Choice[],
  inside: readonly Choice[],
  after: readonly Choice[],
): Program {
  const inputs = [[ring * 4, 3], [ring * 3, 4], [ring * 4]].map((shape) => ({
    shape,
    spec: spec(["sp"], ...shape.slice(1).map(() => [])),
  }));
  const body = (b: Builder, ...xs: Var[]): Atom[] => {
    const known = grow(b, xs, before, ring);
    const carried = [pick(known, before.length), known.at(-1)!];
    const outs = fold(b, 3, carried, (c, _, carry) => {
      const more = grow(c, [...carry, ...known.slice(0, 3)], inside, ring);
      // A carry keeps its shape: the last value that has it comes next.
      return carry.map((v) => more.findLast((w) => String(shapeOf(w)) === String(shapeOf(v)))!);
    });
    const all = grow(b, [...known, ...outs], after, ring);
    return [...outs, ...all.slice(-2)].map((v) =>
      emit(b, "pvary", { axes: ["sp"] }, emit(b, "reshape", { shape: [elements(v)] }, v)),
    );
  };
  return program(
    mesh({ sp: ring }),
    inputs,
    [0, 1, 2, 3].map(() => spec(["sp"])),
    body,
  );
}

test("fusion keeps the meaning of programs", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), depth(12), depth(6), depth(6), (ring, before, inside, after) => {
      expectSame(randomProgram(ring, before, inside, after));
    }),
    { numRuns: Number(process.env.FUSE_RUNS ?? 60), seed: Number(process.env.FUSE_SEED ?? 7) },
  );
}, 120_000);
