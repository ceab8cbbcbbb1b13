/** Fits values to types: arguments to parameters (finding dims on the way), bodies to results, branches to each other. */
import { type Dim, dimAtoms, printDim, solveDim, substituteDim } from "../../base/dim.ts";
import { q } from "../../base/say.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { isFloat } from "../dtype.ts";
import type { Atom, Type } from "../ir.ts";
import { operand, toAtom } from "./arithmetic.ts";
import { axesOf } from "./axes.ts";
import { asValue, type Context, emit, fail, isShardOf, lit, sameDim } from "./context.ts";
import { hasHoles } from "./types.ts";
import {
  arrayOf,
  describe,
  errorValue,
  type FnNode,
  type FnValue,
  intValue,
  isHoleKey,
  leaves,
  printType,
  type TypeNode,
  type Value,
} from "./value.ts";

/** The expression whose value a body gives. */
export const lastExpr = (e: Ast.Expr): Ast.Expr => (e.kind === "block" ? lastExpr(e.result) : e);

/** Where a part of a tree is written, by its path (`state.step`): in a record or a tuple that is spelled out, or the whole. */
export function partSpan(e: Ast.Expr, path: string): Span {
  const whole = lastExpr(e);
  const [name, ...rest] = path.split(".");
  const part =
    whole.kind === "tuple"
      ? whole.items[Number(name)]
      : whole.kind === "record"
        ? whole.fields.findLast((f) => f.name.name === name)?.value
        : undefined;
  return part ? partSpan(part, rest.join(".")) : whole.span;
}

/** Dims that arguments have fixed, by the key of their atom. */
export type Bindings = Map<string, Dim>;
type Fit = {
  readonly c: Context;
  readonly bindings: Bindings;
  readonly span: Span;
  /** Scalar types take arrays too. */
  readonly elementwise: boolean;
  /** Dims to compare once more is known. */
  readonly later: { readonly pattern: Dim; readonly actual: Dim }[];
};
/** A value of the type, or undefined where it does not fit. */
type Fitted = Value | undefined;

const substitute = (b: Bindings, d: Dim): Dim =>
  substituteDim(d, (atom) => (isHoleKey(atom.key) ? b.get(atom.key) : undefined));
export function substituteType(b: Bindings, t: TypeNode): TypeNode {
  if (b.size === 0) return t;
  switch (t.kind) {
    case "array":
      return { ...t, shape: t.shape.map((d) => substitute(b, d)) };
    case "tuple":
      return { ...t, items: t.items.map((x) => substituteType(b, x)) };
    case "record":
      return { ...t, fields: new Map([...t.fields].map(([k, x]) => [k, substituteType(b, x)])) };
    case "fn":
      return { ...t, params: t.params.map((x) => substituteType(b, x)), result: substituteType(b, t.result) };
    default:
      return t;
  }
}

/**
 * Fits a value to a type; reports `code` where it does not fit. `what` names the place ("argument `q` of `f`").
 * Names of dims in the type that are not bound yet are bound by the value. `spanOf`: where a part of the value is written.
 */
export function fitValue(
  c: Context,
  type: TypeNode,
  value: Value,
  span: Span,
  what: string,
  bindings: Bindings = new Map(),
  elementwise = false,
  spanOf: (path: string) => Span = () => span,
): Value {
  if (value.kind === "error" || type.kind === "error") return value.kind === "error" ? value : errorValue;
  const before = c.diagnostics.length;
  const fitted = fitOrNot(c, type, value, span, bindings, elementwise);
  if (fitted) return fitted;
  if (c.diagnostics.length > before) return errorValue;
  const odd = firstMisfit(c, type, value, span, bindings, elementwise);
  return fail(c, "GY3008", spanOf(odd.path), {
    what: `${odd.path && `${q(odd.path)} of `}${what}`,
    expected: printType(odd.type),
    found: describe(odd.value),
    ...holeNames(odd.type, odd.value, bindings),
    hint: hintFor(c, odd.type, odd.value),
  });
}
/** Of a tree that does not fit, the first part that does not; the whole where its structure is another. */
function firstMisfit(
  c: Context,
  type: TypeNode,
  value: Value,
  span: Span,
  bindings: Bindings,
  elementwise: boolean,
  path = "",
): { readonly type: TypeNode; readonly value: Value; readonly path: string } {
  const parts: readonly (readonly [string, TypeNode, Value | undefined])[] =
    type.kind === "tuple" && value.kind === "tuple" && type.items.length === value.items.length
      ? type.items.map((t, i) => [`${i}`, t, value.items[i]])
      : type.kind === "record" && value.kind === "record" && type.fields.size === value.fields.size
        ? [...type.fields].map(([name, t]) => [name, t, value.fields.get(name)])
        : [];
  if (parts.some(([, , v]) => v === undefined)) return { type, value, path };
  // Dims that one part fixes hold in the next.
  const found = new Map(bindings);
  for (const [name, t, v] of parts)
    if (!fitOrNot({ ...c, eqns: [], diagnostics: [] }, t, v!, span, found, elementwise))
      return firstMisfit(c, t, v!, span, found, elementwise, path === "" ? name : `${path}.${name}`);
  return { type, value, path };
}
/** The value at the type; undefined, and mostly nothing said, where it does not fit. */
export function fitOrNot(
  c: Context,
  type: TypeNode,
  value: Value,
  span: Span,
  bindings: Bindings = new Map(),
  elementwise = false,
): Value | undefined {
  const f: Fit = { c, bindings, span, elementwise, later: [] };
  const fitted = fitTo(f, type, value);
  return fitted && f.later.every((l) => dimFits({ ...f, later: [] }, l.pattern, l.actual)) ? fitted : undefined;
}
/** "S = 8": what the names in an expected type stand for. `own`: names that stand there mean something else to who gives the value. */
function holeNames(t: TypeNode, v: Value, b: Bindings): { readonly where: readonly string[]; readonly own: boolean } {
  const dims = (x: TypeNode): readonly Dim[] =>
    x.kind === "array"
      ? x.shape
      : x.kind === "tuple"
        ? x.items.flatMap(dims)
        : x.kind === "record"
          ? [...x.fields.values()].flatMap(dims)
          : [];
  const atoms = new Map(dims(t).flatMap((d) => dimAtoms(d).map((a) => [a.key, a] as const)));
  const known = [...atoms.values()].flatMap((a) => {
    const d = b.get(a.key);
    return d === undefined || printDim(d) === a.name ? [] : [{ name: a.name, d }];
  });
  const found = leaves(v).flatMap((x) => (x.kind === "array" ? x.atom.type.shape : []));
  const theirs = new Set([...known.map(({ d }) => d), ...found].flatMap((d) => dimAtoms(d).map((a) => a.name)));
  return {
    where: known.map(({ name, d }) => `${name} = ${printDim(d)}`),
    own: known.some(({ name }) => theirs.has(name)),
  };
}
function hintFor(c: Context, t: TypeNode, v: Value): string | undefined {
  if (t.kind === "fn") {
    const names = ["a", "b", "c", "d", "e", "f", "g", "h"].slice(0, t.params.length).join(", ");
    if (v.kind === "array") {
      const at = names.slice(0, Math.max(1, 3 * v.atom.type.shape.length - 2));
      return `a function looks up what it needs of an array, as in \`|${at}| x[${at}]\``;
    }
    return v.kind === "bool" || v.kind === "float" || v.kind === "int"
      ? `a function that gives it is \`|${names}| …\``
      : undefined;
  }
  if (t.kind === "record" && v.kind === "record") {
    const missing = [...t.fields.keys()].filter((name) => !v.fields.has(name));
    const extra = [...v.fields.keys()].filter((name) => !t.fields.has(name));
    const say = (names: readonly string[], verb: string) =>
      names.length > 0 ? [`${verb} ${names.map(q).join(", ")}`] : [];
    const changes = [...say(missing, "add"), ...say(extra, "leave out")];
    return changes.length > 0 ? changes.join("; ") : undefined;
  }
  if (t.kind !== "array")
    return t.kind === "int" && v.kind === "array"
      ? "an `int` is known at compile time: a literal, a dimension, `size(x, d)` or arithmetic on them"
      : undefined;
  if (v.kind === "fn") return "a function stands here where what it gives is needed: call it, as in `f(…)`";
  if (v.kind === "array" && v.atom.type.dtype !== t.dtype && v.atom.type.shape.length === t.shape.length)
    return `convert with \`cast(x, ${t.dtype})\``;
  if ((v.kind === "int" || v.kind === "float") && t.shape.length > 0)
    return `an array full of one number is \`full(${printType(t)}, c)\``;
  if (v.kind === "array" && isTurned(c, t.shape, v.atom.type.shape)) return "`x.T` swaps the last two dimensions";
  if (v.kind === "array" && differsByShards(c, t, v.atom.type))
    return "inside a `shard_map` an array is what one device holds of it: a split dimension has the size `S/axis`";
  return undefined;
}

/** Whether a shape is the other with its last two dimensions swapped. */
function isTurned(c: Context, a: readonly Dim[], b: readonly Dim[]): boolean {
  const turned = [...b.slice(0, -2), ...b.slice(-2).reverse()];
  return a.length >= 2 && a.length === b.length && a.every((d, i) => sameDim(c, d, turned[i]!));
}
/** Whether shapes differ, and only in that one has the whole of what the other has a device's part of. */
function differsByShards(c: Context, t: { readonly shape: readonly Dim[] }, of: Type): boolean {
  if (t.shape.length !== of.shape.length) return false;
  const differing = t.shape.flatMap((d, i) => (sameDim(c, d, of.shape[i]!) ? [] : [[d, of.shape[i]!] as const]));
  return differing.length > 0 && differing.every(([a, b]) => isShardOf(c, a, b) || isShardOf(c, b, a));
}

function fitTo(f: Fit, t: TypeNode, value: Value): Fitted {
  if (value.kind === "error" || t.kind === "error") return errorValue;
  switch (t.kind) {
    case "array":
      return fitArray(f, t, value);
    case "tuple": {
      if (value.kind === "unknown")
        return { kind: "tuple", items: t.items.map((x) => fitTo(f, x, value) ?? errorValue) };
      if (value.kind !== "tuple" || value.items.length !== t.items.length) return undefined;
      const items = t.items.map((x, i) => fitTo(f, x, value.items[i]!));
      return items.includes(undefined) ? undefined : { kind: "tuple", items: items as Value[] };
    }
    case "record": {
      if (value.kind === "unknown")
        return {
          kind: "record",
          fields: new Map([...t.fields].map(([k, x]) => [k, fitTo(f, x, value) ?? errorValue])),
        };
      if (value.kind !== "record" || value.fields.size !== t.fields.size) return undefined;
      const fields = new Map<string, Value>();
      for (const [name, x] of t.fields) {
        const field = value.fields.get(name);
        const fitted = field && fitTo(f, x, field);
        if (!fitted) return undefined;
        fields.set(name, fitted);
      }
      return { kind: "record", fields };
    }
    case "fn":
      return value.kind === "fn" ? adapt(f, t, value) : value.kind === "unknown" ? value : undefined;
    case "int": {
      const v = operand(f.c, value);
      return v.kind === "int" && value.kind !== "axis" ? intValue(v.dim) : v.kind === "unknown" ? v : undefined;
    }
    case "axis":
      return axesOf(value);
    case "dtype":
      return value.kind === "type" && value.type.kind === "array" && value.type.shape.length === 0 ? value : undefined;
  }
}
function adapt(f: Fit, type: FnNode, fn: FnValue): Fitted {
  const required = requiredParams(fn);
  if (required > type.params.length) {
    fail(f.c, "GY3022", f.span, { type: printType(type), gives: type.params.length, wants: required });
    return errorValue;
  }
  return { kind: "fn", fn: "adapted", inner: fn, type: substituteType(f.bindings, type) as FnNode, given: f.span };
}
/** How many arguments a function cannot do without. */
export function requiredParams(fn: FnValue): number {
  switch (fn.fn) {
    case "lambda":
      return fn.lambda.params.length;
    case "decl":
      return fn.decl.params.filter((p) => !p.default).length;
    case "builtin":
    case "pullback":
      return 1;
    case "grad":
    case "checkpoint":
    case "deeper":
      return requiredParams(fn.of);
    case "adapted":
    case "opaque":
      return fn.type.params.length;
  }
}

function fitArray(f: Fit, t: Extract<TypeNode, { kind: "array" }>, value: Value): Fitted {
  const v = operand(f.c, value);
  switch (v.kind) {
    case "array": {
      const type = v.atom.type;
      if (type.dtype !== t.dtype) return undefined;
      if (t.shape.length === 0 && f.elementwise) return v;
      if (type.shape.length !== t.shape.length) return undefined;
      const beyond = t.varying && type.varying.find((a) => !t.varying?.includes(a));
      if (beyond !== undefined) {
        fail(f.c, "GY4020", f.span, { axis: beyond, stated: t.varying ?? [] });
        return errorValue;
      }
      return t.shape.every((d, i) => dimFits(f, d, type.shape[i]!)) ? v : undefined;
    }
    case "int":
    case "float":
    case "bool": {
      const fits =
        v.kind === "bool" ? t.dtype === "bool" : t.dtype !== "bool" && (v.kind === "int" || isFloat(t.dtype));
      // A static truth value stays one: an `if` on it is decided at compile time.
      if (!fits || t.shape.length > 0) return undefined;
      return v.kind === "bool" ? v : asValue(toAtom(f.c, v, f.span, t.dtype));
    }
    case "unknown": {
      const shape = t.shape.map((d) => substitute(f.bindings, d));
      if (shape.some(hasHoles)) return v;
      return arrayOf(filled(f.c, v.fill ? toAtom(f.c, v.fill, f.span, t.dtype) : lit(0, t.dtype), shape, f.span));
    }
    default:
      return undefined;
  }
}
/** A scalar everywhere in an array of a shape. */
export const filled = (c: Context, a: Atom, shape: readonly Dim[], span: Span): Atom =>
  shape.length === 0 ? a : emit(c, "full", { shape }, [a], span, "full");

/** Whether an actual dim is what the pattern says; binds the pattern's one unknown name where there is one. */
function dimFits(f: Fit, pattern: Dim, actual: Dim): boolean {
  const wanted = substitute(f.bindings, pattern);
  if (!hasHoles(wanted)) return sameDim(f.c, wanted, actual);
  const solved = solveDim(wanted, actual, (atom) => isHoleKey(atom.key));
  if (solved) f.bindings.set(solved.atom.key, solved.value);
  else f.later.push({ pattern, actual });
  return true;
}
