/**
 * `fold`: a loop with a carried value.
 *
 * The type of the carry is a fixed point: an initial value of open type (`zeros`, `full(c)`, a plain number) takes the type
 * of the body's next value, and the axes over which the carry varies grow until they hold. The body is elaborated until
 * nothing changes; what a trial made and said is dropped, all but the last.
 */
import { type Dim, dimAtoms, dimDiv } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Atom, FoldEqn, Index, Type, Var } from "../ir.ts";
import { broadcastShapes } from "../typing.ts";
import { operand, toAtom } from "./arithmetic.ts";
import {
  asValue,
  type Context,
  dimAtom,
  emit,
  fail,
  freshVar,
  known,
  poison,
  push,
  sameDim,
  scalarType,
  union,
  widen,
} from "./context.ts";
import { filled, fitValue } from "./fit.ts";
import { blockDim } from "./indexing.ts";
import { bindPattern, define, frame } from "./scope.ts";
import { typeNode } from "./types.ts";
import {
  arrayOf,
  describe,
  errorValue,
  leaves,
  printCoreType,
  refill,
  type Scope,
  sameStructure,
  tupleOf,
  type Value,
} from "./value.ts";

/** What is thought of one leaf of the carry: a type, once there is one. `fixed`: the initial value has it. */
type Guess = { readonly type: Type | undefined; readonly fixed: boolean };
type Bind = (c: Context, s: Scope) => void;
/** `rest`: binds the name to what is left when the steps are done. */
type Over = { readonly over: FoldEqn["over"]; readonly count: Dim; readonly bind: Bind; readonly rest?: Bind };
const maxTrials = 12;

export function foldExpr(c: Context, env: Scope, e: Ast.Fold): Value {
  const over = overOf(c, env, e);
  const raw = c.knot.expr(c, env, e.init);
  const init = e.type ? fitValue(c, typeNode(c, env, e.type), raw, e.init.span, "the carry") : raw;
  const inits = leaves(init);
  const odd = inits.find((v) => ["fn", "axis", "type", "string"].includes(v.kind));
  if (odd) return fail(c, "GY5003", e.init.span, { found: describe(odd) });
  if (!over || init.kind === "error" || inits.some((v) => v.kind === "error")) {
    // Nothing to go on with, but the body may hold errors of its own.
    const scope = frame(env);
    define(scope, e.index.name, errorValue);
    bindPattern(c, scope, e.pattern, errorValue);
    c.knot.expr({ ...c, eqns: [] }, scope, e.body);
    return errorValue;
  }
  let guesses: readonly Guess[] = inits.map((v) =>
    v.kind === "array" ? { type: v.atom.type, fixed: true } : { type: undefined, fixed: false },
  );
  const names = patternNames(e.pattern, init);
  for (let trial = 0; ; trial++) {
    const t = tryBody(c, env, e, over, init, guesses, names);
    const next = t.next && sameStructure(init, t.next) ? leaves(t.next) : undefined;
    const refined = next ? guesses.map((g, i) => refine(c, g, next[i]!)) : guesses;
    if (refined.some((g, i) => g !== guesses[i]) && trial < maxTrials) {
      guesses = refined;
      continue;
    }
    const plain = guesses.map((g, i): Guess => (g.type ? g : { ...g, type: numberType(inits[i]!) }));
    if (plain.some((g, i) => g.type && !guesses[i]!.type)) {
      guesses = plain;
      continue;
    }
    c.diagnostics.push(...t.inner.diagnostics);
    if (t.next && !next && !leaves(t.next).some((v) => v.kind === "error"))
      return fail(c, "GY5002", e.body.result.span, { before: describe(init), after: describe(t.next) });
    if (!next || next.some((v) => v.kind === "error")) return errorValue;
    const open = guesses.findIndex((g) => !g.type);
    if (open >= 0) return fail(c, "GY3019", e.init.span, {});
    const types = guesses.map((g) => g.type!);
    const last = finish(c, e, over, init, next, t, types);
    if (!over.rest) return last;
    return afterSteps(c, env, e, over.rest, last);
  }
}

/** One more time the body, for what the steps left: what it collects goes behind what they did. */
function afterSteps(c: Context, env: Scope, e: Ast.Fold, rest: Bind, last: Value): Value {
  const [carry, stacked] = e.collect && last.kind === "tuple" ? last.items : [last];
  const scope = frame(env);
  rest(c, scope);
  bindPattern(c, scope, e.pattern, carry!);
  const value = c.knot.expr(c, scope, e.body);
  if (!stacked || value.kind !== "tuple") return value;
  const [next, one] = value.items as [Value, Value];
  const span = e.body.result.span;
  const ends = leaves(one).map((v) => toAtom(c, v, span, undefined, "collect"));
  const joined = leaves(stacked).map((v, i) => {
    const before = toAtom(c, v, span);
    const end = emit(c, "reshape", { shape: [1, ...ends[i]!.type.shape] }, [ends[i]!], span, "collect");
    return asValue(emit(c, "concat", { dim: 0 }, [before, end], span, "collect"));
  });
  return tupleOf([next, refill(stacked, joined)]);
}

/** What the loop runs over, and how its name is bound in the body. Undefined after an error. */
function overOf(c: Context, env: Scope, e: Ast.Fold): Over | undefined {
  const extent = staticExtent(c, env, e.extent, "the number of steps of a `fold`");
  if (extent === undefined) return undefined;
  if (!e.by) {
    const step = freshVar(c, scalarType("i32"), { from: [], span: e.index.span }, e.index.name);
    const value: Value = { kind: "array", atom: step, affine: { step, perStep: 1, offset: 0 } };
    return {
      over: { kind: "steps", count: extent, step },
      count: extent,
      bind: (_, s) => define(s, e.index.name, value),
    };
  }
  const index = blockIndex(c, env, e.index.name, extent, e.by);
  if (!index) return undefined;
  if (c.outside && !e.collect)
    return {
      over: { kind: "blocks", index },
      count: extent,
      bind: (_, s) => define(s, e.index.name, { kind: "index", index }),
    };
  return blocksAsSteps(c, e, index);
}
/**
 * Outside `tiles`, and where something is collected of each, blocks are steps that slice; a smaller last block is one more time the body. Left to the compiler, and
 * where it is larger than the dimension, a block is all of it.
 */
function blocksAsSteps(c: Context, e: Ast.Fold, index: Index): Over {
  const n = c.compile || typeof index.extent === "number" ? known(c, index.extent) : undefined;
  const by =
    typeof index.block === "object" || typeof index.block === "number" ? known(c, index.block ?? 1) : undefined;
  const whole = index.block === "auto" || index.block === null || (n !== undefined && by !== undefined && n <= by);
  const size: Dim = whole ? index.extent : (index.block as Dim);
  const full = n === undefined || by === undefined || n % by === 0 ? undefined : Math.floor(n / by);
  const count = whole ? 1 : (full ?? dimDiv(index.extent, size));
  const step = freshVar(c, scalarType("i32"), { from: [], span: e.index.span }, e.index.name);
  const block =
    (size: Dim, startOf: (inner: Context) => Atom): Bind =>
    (inner, s) =>
      define(s, e.index.name, { kind: "index", index: { ...index, size }, start: startOf(inner) });
  const bind = block(size, (inner) =>
    emit(inner, "mul", {}, [step, dimAtom(inner, size, "i32", e.span)], e.index.span),
  );
  const over: Over = { over: { kind: "steps", count, step }, count, bind };
  if (whole || full === undefined) return over;
  const done = full * by!;
  return { ...over, rest: block(n! - done, (inner) => dimAtom(inner, done, "i32", e.span)) };
}
export function staticExtent(c: Context, env: Scope, e: Ast.Expr, what: string): Dim | undefined {
  const v = operand(c, c.knot.expr(c, env, e));
  if (v.kind === "int") return v.dim;
  if (v.kind === "unknown") return Number.NaN;
  if (v.kind !== "error") fail(c, "GY3010", e.span, { what, found: describe(v) });
  return undefined;
}
/** An index over blocks of `extent`; undefined after an error. */
export function blockIndex(c: Context, env: Scope, name: string, extent: Dim, by: Ast.BlockSize): Index | undefined {
  const block = by.kind === "auto" ? "auto" : staticExtent(c, env, by, "a block size");
  if (block === undefined) return undefined;
  const n = block === "auto" ? undefined : known(c, block);
  if (n !== undefined && n < 1) {
    fail(c, "GY5012", by.span, { value: n });
    return undefined;
  }
  const id = c.shared.nextId++;
  return { id, name, extent, block, size: blockDim(name, id) };
}

type Trial = {
  readonly inner: Context;
  readonly carry: readonly (Var | undefined)[];
  readonly next: Value | undefined;
  readonly collected: Value | undefined;
};

function tryBody(
  c: Context,
  env: Scope,
  e: Ast.Fold,
  over: Over,
  init: Value,
  guesses: readonly Guess[],
  names: readonly (string | undefined)[],
): Trial {
  const inner: Context = { ...c, eqns: [], diagnostics: [] };
  const carry = guesses.map(
    (g, i) => g.type && freshVar(c, g.type, { from: [], span: e.init.span, why: "the carry of this `fold`" }, names[i]),
  );
  const scope = frame(env);
  over.bind(inner, scope);
  bindPattern(
    inner,
    scope,
    e.pattern,
    refill(
      init,
      carry.map((v): Value => (v ? arrayOf(v) : { kind: "unknown", span: e.init.span })),
    ),
  );
  const body = c.knot.expr(inner, scope, e.body);
  if (!e.collect) return { inner, carry, next: body, collected: undefined };
  if (body.kind === "tuple" && body.items.length === 2)
    return { inner, carry, next: body.items[0]!, collected: body.items[1]! };
  if (body.kind !== "error") fail(inner, "GY5011", e.body.result.span, { found: describe(body) });
  return { inner, carry, next: undefined, collected: undefined };
}

/** What a next value says about a leaf: the same guess where it says nothing new. */
function refine(c: Context, g: Guess, next: Value): Guess {
  const type = leafType(c, next);
  if (!type) return g;
  if (!g.type) return { type, fixed: false };
  const varying = union(c, g.type.varying, type.varying);
  let shape = g.type.shape;
  if (!g.fixed) {
    const joined = broadcastShapes(c.typing, [g.type, type]);
    if (!("problem" in joined) && (joined.length !== shape.length || joined.some((d, i) => !sameDim(c, d, shape[i]!))))
      shape = joined;
  }
  return varying.length === g.type.varying.length && shape === g.type.shape
    ? g
    : { ...g, type: { ...g.type, shape, varying } };
}
function leafType(c: Context, value: Value): Type | undefined {
  const v = operand(c, value);
  return v.kind === "array" ? v.atom.type : numberType(v);
}
/** The type of a plain number whose uses ask for none: a counter that begins at 0 and grows by 1 is an i32. */
function numberType(v: Value): Type | undefined {
  if (v.kind === "int") return scalarType("i32");
  if (v.kind === "float") return scalarType("f32");
  return v.kind === "bool" ? scalarType("bool") : undefined;
}

function finish(
  c: Context,
  e: Ast.Fold,
  over: Over,
  init: Value,
  next: readonly Value[],
  t: Trial,
  types: readonly Type[],
): Value {
  const before = c.diagnostics.length;
  const starts = leaves(init).map((v, i) => initial(c, v, types[i]!, e.init.span));
  const nexts = next.map((v, i) => nextAtom(c, t.inner, v, types[i]!, e, t.carry[i]?.name));
  const collected = t.collected
    ? leaves(t.collected).map((v) => toAtom(t.inner, v, e.body.result.span, undefined, "collect"))
    : [];
  if (c.diagnostics.length > before || [...starts, ...nexts, ...collected].includes(poison)) {
    c.diagnostics.push(...t.inner.diagnostics.filter((d) => !c.diagnostics.includes(d)));
    return errorValue;
  }
  const carry = t.carry as readonly Var[];
  if (over.over.kind === "blocks") {
    const leak = types.find((x) =>
      x.shape.some((d) => hasAtom(d, over.over.kind === "blocks" ? over.over.index.size : 0)),
    );
    if (leak) return fail(c, "GY5009", e.body.result.span, { index: e.index.name, type: printCoreType(leak) });
  }
  for (const [i, v] of carry.entries())
    c.shared.origins.set(v.id, { from: [starts[i]!, nexts[i]!], span: e.init.span });
  const outs = types.map((type, i) =>
    freshVar(c, type, { from: [nexts[i]!, starts[i]!], span: e.span }, carry[i]!.name),
  );
  const stacks = collected.map((a) =>
    freshVar(c, { ...a.type, shape: [over.count, ...a.type.shape] }, { from: [a], span: e.span }),
  );
  push(c, {
    kind: "fold",
    over: over.over,
    carry,
    init: starts,
    body: { eqns: t.inner.eqns, results: [...nexts, ...collected] },
    outs: [...outs, ...stacks],
    span: e.span,
  });
  const last = refill(init, outs.map(arrayOf));
  return t.collected ? tupleOf([last, refill(t.collected, stacks.map(arrayOf))]) : last;
}
const hasAtom = (d: Dim, atom: Dim): boolean =>
  typeof atom !== "number" && dimAtoms(d).some((a) => a.key === dimAtoms(atom)[0]!.key);

/** The initial value at the carry's type: made full, widened. */
function initial(c: Context, v: Value, type: Type, span: Span): Atom {
  if (v.kind === "array") return widen(c, v.atom, type.varying, span);
  const open = v.kind === "unknown";
  if (!open && type.shape.length > 0) {
    fail(c, "GY5002", span, {
      before: describe(v),
      after: `\`${printCoreType(type)}\``,
      help: `begin with \`full(${v.kind === "float" ? (v.value ?? 0) : v.kind === "int" ? "0" : "c"})\`, which takes its type from its use`,
    });
    return poison;
  }
  const scalar = toAtom(c, open ? (v.fill ?? { kind: "int", dim: 0 }) : v, span, type.dtype);
  return scalar === poison ? poison : widen(c, filled(c, scalar, type.shape, span), type.varying, span);
}
/** The next value at the carry's type; a carry that would change its type is reported. */
function nextAtom(c: Context, inner: Context, v: Value, type: Type, e: Ast.Fold, name: string | undefined): Atom {
  const scalar = v.kind !== "array";
  const made = toAtom(inner, v, e.body.result.span, scalar ? type.dtype : undefined);
  if (made === poison) return poison;
  const a = v.kind === "unknown" ? filled(inner, made, type.shape, e.span) : made;
  const same =
    a.type.dtype === type.dtype &&
    a.type.shape.length === type.shape.length &&
    a.type.shape.every((d, i) => sameDim(c, d, type.shape[i]!));
  if (same) return widen(inner, a, type.varying, e.body.result.span);
  fail(
    c,
    "GY5002",
    resultSpan(e),
    {
      before: `\`${printCoreType(type)}\``,
      after: `\`${printCoreType(a.type)}\``,
      ...(name !== undefined && { name }),
    },
    [{ span: e.init.span, message: "the carry begins here" }],
  );
  return poison;
}
const resultSpan = (e: Ast.Fold): Span => e.body.result.span;

/** Names for the leaves of what a pattern is bound to: its own, and those of parts that it does not take apart (`seen_m`). */
function patternNames(p: Ast.Pattern, v: Value): readonly (string | undefined)[] {
  if (p.kind === "tuplePattern" && v.kind === "tuple" && p.items.length === v.items.length)
    return p.items.flatMap((x, i) => patternNames(x, v.items[i]!));
  if (p.kind === "recordPattern" && v.kind === "record")
    return [...v.fields].flatMap(([name, x]) => {
      const field = p.fields.find((f) => f.name.name === name);
      return field ? patternNames(field.pattern, x) : leaves(x).map(() => undefined);
    });
  return p.kind === "namePattern" ? partNames(p.name, v) : leaves(v).map(() => undefined);
}
function partNames(name: string, v: Value): readonly string[] {
  if (v.kind === "tuple") return v.items.flatMap((x, i) => partNames(`${name}_${i}`, x));
  if (v.kind === "record") return [...v.fields].flatMap(([field, x]) => partNames(`${name}_${field}`, x));
  return [name];
}
