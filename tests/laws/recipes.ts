/**
 * Functions on the devices of a mesh at random, as equations of Core: a recipe is a list of steps, each of which makes a
 * new value of earlier ones. Values are f32[N, N], f32[N] or scalars and stay of moderate size; what they vary over
 * follows from the steps. Nothing here has a kink but at points that random numbers do not meet.
 */
import fc from "fast-check";
import { type Builder, branch, emit, fold, fresh, i32, lit } from "../../compiler/core/build.ts";
import type { Atom, Block, Policy, Selector, Var } from "../../compiler/core/ir.ts";
import { ringSize } from "../../compiler/core/mesh-layout.ts";

/** Every device of a mesh of up to 8 gets a whole number of rows. */
export const N = 8;
export const axes = ["a", "b"] as const;
/** How devices may be laid out along the two axes. */
export const layouts = [
  { a: 1, b: 1 },
  { a: 2, b: 1 },
  { a: 2, b: 2 },
  { a: 1, b: 4 },
  { a: 4, b: 2 },
  { a: 8, b: 1 },
];

type Axes = readonly ("a" | "b")[];
/** `x` and `y` choose among the values so far. */
export type Step =
  | { readonly kind: "unary"; readonly how: number; readonly x: number }
  | { readonly kind: "binary"; readonly how: number; readonly x: number; readonly y: number }
  | { readonly kind: "reduce"; readonly how: number; readonly x: number; readonly dim: number }
  | { readonly kind: "product"; readonly how: number; readonly x: number; readonly y: number }
  | { readonly kind: "move"; readonly how: number; readonly x: number; readonly y: number }
  | { readonly kind: "collective"; readonly how: number; readonly axes: Axes; readonly x: number }
  | {
      readonly kind: "fold";
      readonly count: number;
      readonly carries: readonly number[];
      /** Which carry, if any, moves on round a ring. */
      readonly ring: { readonly axes: Axes; readonly offset: number; readonly perStep: number } | null;
      readonly collect: boolean;
      readonly body: readonly Step[];
    }
  | {
      readonly kind: "if";
      readonly x: number;
      readonly y: number;
      readonly then: readonly Step[];
      readonly else: readonly Step[];
    }
  | { readonly kind: "checkpoint"; readonly policy: Policy; readonly body: readonly Step[] }
  | { readonly kind: "rule"; readonly x: number; readonly y: number }
  | { readonly kind: "vjp"; readonly x: number; readonly body: readonly Step[] };

const any = fc.nat(1000);
const someAxes: fc.Arbitrary<Axes> = fc.constantFrom<Axes>(["a"], ["b"], ["a", "b"], ["b", "a"]);
const leaves: fc.Arbitrary<Step>[] = [
  fc.record({ kind: fc.constant("unary" as const), how: any, x: any }),
  fc.record({ kind: fc.constant("binary" as const), how: any, x: any, y: any }),
  fc.record({ kind: fc.constant("reduce" as const), how: any, x: any, dim: any }),
  fc.record({ kind: fc.constant("product" as const), how: any, x: any, y: any }),
  fc.record({ kind: fc.constant("move" as const), how: any, x: any, y: any }),
  fc.record({ kind: fc.constant("collective" as const), how: any, axes: someAxes, x: any }),
];
/** Steps whose regions are nested at most `depth` deep. */
function step(depth: number): fc.Arbitrary<Step> {
  if (depth === 0) return fc.oneof(...leaves);
  const body = steps(depth - 1, 3);
  const ring = fc.record({
    axes: someAxes,
    offset: fc.integer({ min: -2, max: 2 }),
    perStep: fc.integer({ min: -1, max: 1 }),
  });
  return fc.oneof(
    ...leaves,
    fc.record({
      kind: fc.constant("fold" as const),
      count: fc.integer({ min: 1, max: 4 }),
      carries: fc.array(any, { minLength: 1, maxLength: 3 }),
      ring: fc.option(ring),
      collect: fc.boolean(),
      body,
    }),
    fc.record({ kind: fc.constant("if" as const), x: any, y: any, then: body, else: body }),
    fc.record({
      kind: fc.constant("checkpoint" as const),
      policy: fc.constantFrom<Policy>("nothing_saveable", "everything_saveable", "dots_saveable"),
      body,
    }),
    fc.record({ kind: fc.constant("rule" as const), x: any, y: any }),
    fc.record({ kind: fc.constant("vjp" as const), x: any, body }),
  );
}
export const steps = (depth: number, most: number): fc.Arbitrary<readonly Step[]> =>
  fc.array(step(depth), { minLength: 1, maxLength: most });

// ── From a recipe to equations ───────────────────────────────────────────────────────────────────────────────────────

/** Where a step is: the loop's step, if any, and whether devices are together, so that they may exchange values. */
type Place = { readonly step?: Var; readonly together: boolean };

const rank = (a: Atom): number => a.type.shape.length;
const pick = (values: readonly Atom[], k: number, least = 0): Atom | undefined => {
  const fit = values.filter((v) => rank(v) >= least);
  return fit[k % Math.max(1, fit.length)];
};
const mul = (b: Builder, x: Atom, y: Atom | number): Var => emit(b, "mul", {}, x, typeof y === "number" ? lit(y) : y);
const add = (b: Builder, x: Atom, y: Atom | number): Var => emit(b, "add", {}, x, typeof y === "number" ? lit(y) : y);
const all: Selector = { kind: "all" };

/** A value as one of the shape of another: the mean over leading dimensions, or stretched. */
function like(b: Builder, x: Atom, shape: readonly unknown[]): Atom {
  const extra = rank(x) - shape.length;
  if (extra === 0) return x;
  const target = shape.map(() => N);
  if (extra < 0) return emit(b, "broadcast", { shape: target }, x);
  const dims = Array.from({ length: extra }, (_, i) => i);
  return mul(b, emit(b, "reduce", { kind: "sum", dims, keep: false }, x), N ** -extra);
}
const widened = (b: Builder, x: Atom, on: readonly string[]): Atom => {
  const missing = on.filter((a) => !x.type.varying.includes(a));
  return missing.length > 0 ? emit(b, "pvary", { axes: missing }, x) : x;
};

/** The values after the steps, those at the beginning included. */
export function follow(
  b: Builder,
  recipe: readonly Step[],
  values: readonly Atom[],
  at: Place = { together: true },
): readonly Atom[] {
  const all = [...values];
  for (const s of recipe) all.push(...made(b, s, all, at));
  return all;
}

function made(b: Builder, s: Step, values: readonly Atom[], at: Place): readonly Atom[] {
  const x = "x" in s ? pick(values, s.x)! : values[0]!;
  switch (s.kind) {
    case "unary":
      return [unary(b, s.how, x)];
    case "binary":
      return [binary(b, s.how, x, pick(values, s.y)!)];
    case "reduce":
      return [reduce(b, s.how, x, s.dim)];
    case "product":
      return [product(b, s.how, x, pick(values, s.y)!)];
    case "move":
      return [move(b, s.how, x, pick(values, s.y)!, at)];
    case "collective":
      return [at.together ? collective(b, s.how, s.axes, x, at) : emit(b, "sin", {}, x)];
    case "fold":
      return loop(b, s, values, at);
    case "if":
      return [choice(b, s, values, at)];
    case "checkpoint": {
      const inside: Builder = { ...b, eqns: [] };
      const results = follow(inside, s.body, values, at).slice(values.length);
      const outs = results.map((r) => fresh(b.ids, r.type));
      b.eqns.push({ kind: "checkpoint", policy: s.policy, body: { eqns: inside.eqns, results }, outs });
      return outs;
    }
    case "rule":
      return [rule(b, x, pick(values, s.y)!)];
    case "vjp": {
      if (!at.together) return [x];
      const { outs, pull } = vjp(b, [x], (inside, [p]) => {
        const last = follow(inside, s.body, [...values, p!, mul(inside, p!, p!)], at).at(-1)!;
        return [mul(inside, last, p!)];
      });
      const [dx] = pull(
        b,
        outs.map((o) => emit(b, "cos", {}, o)),
      );
      return [mul(b, dx!, 0.1)];
    }
  }
}

function unary(b: Builder, how: number, x: Atom): Atom {
  const positive = (): Atom => add(b, emit(b, "sigmoid", {}, x), 0.5);
  const forms: readonly (() => Atom)[] = [
    () => emit(b, "sin", {}, x),
    () => emit(b, "tanh", {}, x),
    () => emit(b, "log", {}, positive()),
    () => emit(b, "rsqrt", {}, positive()),
    () => emit(b, "exp", {}, emit(b, "neg", {}, positive())),
    () => mul(b, x, x),
  ];
  return forms[how % forms.length]!();
}
function binary(b: Builder, how: number, x: Atom, y: Atom): Atom {
  const forms: readonly (() => Atom)[] = [
    () => add(b, x, y),
    () => mul(b, emit(b, "sin", {}, x), y),
    () => emit(b, "div", {}, x, add(b, emit(b, "sigmoid", {}, y), 1)),
    () => emit(b, "max", {}, x, emit(b, "sin", {}, y)),
    () => emit(b, "select", {}, emit(b, "gt", {}, emit(b, "iota", { size: N }), i32(4)), y, emit(b, "cos", {}, x)),
  ];
  return forms[how % forms.length]!();
}
function reduce(b: Builder, how: number, x: Atom, k: number): Atom {
  if (rank(x) === 0) return emit(b, "sin", {}, x);
  const dim = k % rank(x);
  const forms: readonly (() => Atom)[] = [
    () => mul(b, emit(b, "reduce", { kind: "sum", dims: [dim], keep: false }, x), 1 / N),
    () => emit(b, "sub", {}, x, emit(b, "reduce", { kind: "max", dims: [dim], keep: true }, x)),
    () => emit(b, "tanh", {}, emit(b, "reduce", { kind: "prod", dims: [dim], keep: false }, x)),
    () => mul(b, emit(b, "cumsum", { dim }, x), 1 / N),
    () => emit(b, "reduce", { kind: "min", dims: [dim], keep: false }, x),
  ];
  return forms[how % forms.length]!();
}
function product(b: Builder, how: number, x: Atom, y: Atom): Atom {
  const [X, Y] = [like(b, x, [N, N]), like(b, y, [N, N])];
  const forms = ["mk,kn->mn", "mk,nk->mn", "ij,ij->i", "ij,ji->", "ii,ij->j", "ij->ji", "ij,jk->ki"];
  const [ins, out] = forms[how % forms.length]!.split("->") as [string, string];
  const labels = ins.split(",").map((s) => [...s]);
  return mul(b, emit(b, "einsum", { ins: labels, out: [...out] }, ...[X, Y].slice(0, labels.length)), 1 / N);
}
/** Slices, rows, gathers and updates; where they start hangs on the loop's step or on the device. */
function move(b: Builder, how: number, x: Atom, y: Atom, at: Place): Atom {
  const X = like(b, x, [N, N]);
  const start = at.step ?? (y.type.varying.length > 0 ? emit(b, "axis_index", { axes: y.type.varying }) : i32(3));
  const table = (): Atom => emit(b, "mod", {}, emit(b, "mul", {}, emit(b, "iota", { size: N }), i32(3)), i32(5));
  const forms: readonly (() => Atom)[] = [
    () => emit(b, "transpose", { perm: [1, 0] }, X),
    () => emit(b, "index", { selectors: [{ kind: "at", arg: 1 }, all] }, X, start),
    () => emit(b, "index", { selectors: [all, { kind: "at", arg: 1 }] }, X, start),
    () => emit(b, "index", { selectors: [{ kind: "gather", arg: 1 }, all] }, X, table()),
    () =>
      emit(
        b,
        "index",
        {
          selectors: [
            { kind: "gather", arg: 1 },
            { kind: "gather", arg: 2 },
          ],
        },
        X,
        table(),
        emit(b, "iota", { size: N }),
      ),
    () => {
      const half = (from: number): Atom =>
        emit(b, "index", { selectors: [{ kind: "slice", start: from, size: N / 2 }, all] }, X);
      return emit(b, "concat", { dim: 0 }, half(N / 2), half(0));
    },
    () => emit(b, "reshape", { shape: [N, N] }, emit(b, "reshape", { shape: [N * N] }, X)),
    () => {
      const rows = emit(b, "dynamic_slice", { dim: 0, size: N / 2 }, X, start);
      return emit(b, "dynamic_update", { dim: 0 }, like(b, y, [N, N]), rows, i32(1));
    },
  ];
  return forms[how % forms.length]!();
}
function collective(b: Builder, how: number, over: Axes, x: Atom, at: Place): Atom {
  const X = widened(b, like(b, x, [N, N]), over);
  const n = ringSize({ name: "", axes: b.context.axes as { name: string; size: number }[] }, over);
  const place = (): Atom => emit(b, "mul", {}, emit(b, "axis_index", { axes: over }), i32(N / n));
  const forms: readonly (() => Atom)[] = [
    () => mul(b, emit(b, "psum", { axes: over }, X), 1 / n),
    () =>
      emit(b, "ppermute", { axes: over, route: { kind: "shift", offset: 1, ...(at.step && { step: at.step }) } }, X),
    () => emit(b, "ppermute", { axes: over, route: { kind: "pairs", pairs: [[0, n - 1]] } }, X),
    () => emit(b, "pmax", { axes: over }, X),
    () => {
      const own = emit(b, "dynamic_slice", { dim: 0, size: N / n }, X, place());
      return emit(b, "all_gather", { axes: over, dim: 0 }, own);
    },
    () => {
      const own = mul(b, emit(b, "psum_scatter", { axes: over, dim: 1 }, X), 1 / n);
      return emit(b, "dynamic_update", { dim: 1 }, X, own, place());
    },
    () => emit(b, "reshape", { shape: [N, N] }, emit(b, "all_to_all", { axes: over, split: 0, concat: 1 }, X)),
    () => X,
  ];
  return forms[how % forms.length]!();
}

/** The carries' next values are bounded functions of what the body makes; its last value is what is collected. */
function loop(b: Builder, s: Extract<Step, { kind: "fold" }>, values: readonly Atom[], at: Place): readonly Atom[] {
  const ring = at.together ? s.ring : null;
  const init = s.carries.map((k, i) => {
    const x = pick(values, k)!;
    return ring && i === 0 ? widened(b, x, ring.axes) : x;
  });
  const outs = fold(b, s.count, init, (inside, step, carry) => {
    const made = follow(inside, s.body, [...values, ...carry], { ...at, step });
    const results = carry.map((c, i): Atom => {
      if (ring && i === 0) {
        const { axes, offset, perStep } = ring;
        const moves = perStep === 0 ? {} : { step, perStep };
        return emit(inside, "ppermute", { axes, route: { kind: "shift", offset, ...moves } }, c);
      }
      const next = made[made.length - 1 - i]!;
      return emit(inside, "tanh", {}, add(inside, c, like(inside, next, c.type.shape)));
    });
    return s.collect ? [...results, made.at(-1)!] : results;
  });
  const carries = outs.slice(0, init.length);
  const [stacked] = outs.slice(init.length);
  if (!stacked) return carries;
  const last = { kind: "at" as const, arg: 1 };
  const rest = stacked.type.shape.slice(1).map(() => all);
  const mean = mul(b, emit(b, "reduce", { kind: "sum", dims: [0], keep: false }, stacked), 1 / s.count);
  return [...carries, mean, emit(b, "index", { selectors: [last, ...rest] }, stacked, i32(s.count - 1))];
}

function choice(b: Builder, s: Extract<Step, { kind: "if" }>, values: readonly Atom[], at: Place): Atom {
  const x = pick(values, s.x)!;
  const cond = emit(b, "gt", {}, like(b, pick(values, s.y)!, []), lit(0.05));
  const inside: Place = { ...at, together: at.together && cond.type.varying.length === 0 };
  const side = (recipe: readonly Step[]) => (inner: Builder) => [
    like(inner, follow(inner, recipe, values, inside).at(-1)!, x.type.shape),
  ];
  return branch(b, cond, side(s.then), side(s.else))[0]!;
}

/** A region that can be differentiated with respect to its parameters, and how to ask for their cotangents. */
export function vjp(b: Builder, args: readonly Atom[], body: (b: Builder, params: readonly Var[]) => readonly Atom[]) {
  const id = b.ids.next++;
  const inside: Builder = { ...b, eqns: [] };
  const params = args.map((a) => fresh(b.ids, a.type));
  const results = body(inside, params);
  const outs = results.map((r) => fresh(b.ids, r.type));
  b.eqns.push({ kind: "vjp", id, params, args, body: { eqns: inside.eqns, results }, outs });
  const pull = (b: Builder, cts: readonly Atom[]): readonly Var[] => {
    const found = args.map((a) => fresh(b.ids, a.type));
    b.eqns.push({ kind: "pullback", of: id, args: cts, outs: found });
    return found;
  };
  return { outs, pull };
}

/** z = sin(x c) with a rule of its own, where c, a number, is what a function parameter closes over: dx = dz c cos(x c). */
function rule(b: Builder, of: Atom, y: Atom): Atom {
  const x = emit(b, "pvary", { axes: [] }, of); // an array of its own, though c may be the same
  const c = like(b, y, []);
  const region = (make: (b: Builder) => readonly Atom[]): Block => {
    const inside: Builder = { ...b, eqns: [] };
    const results = make(inside);
    return { eqns: inside.eqns, results };
  };
  const primal = region((i) => [emit(i, "sin", {}, mul(i, x, c))]);
  const forward = region((i) => {
    const product = mul(i, x, c);
    return [emit(i, "sin", {}, product), emit(i, "cos", {}, product)];
  });
  const z = fresh(b.ids, primal.results[0]!.type);
  const params = [...forward.results.slice(1), z].map((a) => fresh(b.ids, a.type));
  const [slope, dz] = params as [Var, Var];
  const body = region((i) => {
    const dxc = mul(i, slope, dz);
    const shares = mul(i, mul(i, dxc, x), c);
    const dims = shares.type.shape.map((_, d) => d);
    const number = dims.length === 0 ? shares : emit(i, "reduce", { kind: "sum", dims, keep: false }, shares);
    return [mul(i, dxc, c), number];
  });
  b.eqns.push({
    kind: "rule",
    name: "scaled_sine",
    args: [x],
    primal,
    forward,
    pullback: { params, body },
    functions: ["scale"],
    outs: [z],
  });
  return z;
}
