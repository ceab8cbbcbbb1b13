/**
 * What the elaborator carries: where equations go, which sizes are known, what has been said to the user.
 * Contexts are derived by spreading (`{ ...c, eqns: [] }`); only the lists and counters in them change.
 */
import type { Diagnostic, Note } from "../../base/diagnostic.ts";
import {
  type Dim,
  type DimAtom,
  type DimTerm,
  dimAtoms,
  dimEqual,
  dimMul,
  dimProduct,
  dimSub,
  dimVar,
  evalDim,
  printDim,
  substituteDim,
} from "../../base/dim.ts";
import { type ArgsOf, type Code, report } from "../../base/messages.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import type { Atom, DType, Eqn, Lit, Op, OpEqn, Ops, Type, Var } from "../ir.ts";
import { isProblem, type Problem, type TypingContext, typeOf, unionAxes } from "../typing.ts";
import type { Chosen } from "./choices.ts";
import {
  type Argument,
  arrayOf,
  axisKey,
  errorValue,
  type FnValue,
  hasBlock,
  isBlockKey,
  isIntParamKey,
  printCoreType,
  type Scope,
  type Value,
} from "./value.ts";

export type Context = {
  /** Sizes are given and Core is wanted; else only errors are. */
  readonly compile: boolean;
  /** A function by itself: its axes are parameters, and how its arrays were split is its callers' to know. */
  readonly alone: boolean;
  readonly typing: TypingContext;
  /** Sizes by the key of their atom: mesh axes where known and, when compiling, dimension variables. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly knot: Knot;
  readonly diagnostics: Diagnostic[];
  /** Where equations go. */
  readonly eqns: Eqn[];
  /** Inside `tiles`: the equations before it, for what is the same in every tile. */
  readonly outside?: Eqn[] | undefined;
  readonly shared: Shared;
  /** What was chosen about the entry; of a function checked alone, nothing. */
  readonly chosen?: Chosen | undefined;
  /** Run-time conditions around: a collective under one that varies would hang. */
  readonly conditions: readonly { readonly axes: readonly string[]; readonly span: Span }[];
  /** How many derivatives are taken of what is elaborated: in the region of a `vjp` one more than around it. */
  readonly differentiated: number;
  /** Calls around, outermost first. */
  readonly calls: readonly {
    readonly decl: Ast.FnDecl | Ast.Lambda | Ast.DerivativeDecl;
    readonly name: string;
    readonly span: Span;
  }[];
};
/** Counters and records that all contexts of one program share. */
type Shared = {
  nextId: number;
  /** Equations made so far, those of discarded trials included; a program that makes too many is refused. */
  made: number;
  /** Where each variable came from, to tell how an axis got into a value. */
  readonly origins: Map<number, Origin>;
};
export type Origin = { readonly from: readonly Atom[]; readonly span: Span; readonly why?: string };

/** The functions that need each other across files. */
export type Knot = {
  readonly expr: (c: Context, env: Scope, e: Ast.Expr) => Value;
  readonly call: (c: Context, f: FnValue, args: readonly Argument[], span: Span) => Value;
  /** Whether a function, checked alone, is free of errors; checks it when first asked. */
  readonly sound: (decl: Ast.FnDecl, env: Scope) => boolean;
  /** The module of the standard library that exports a name. */
  readonly library: (name: string) => string | undefined;
};

export type MeshAxis = { readonly name: string; readonly size?: number };
export const maxEquations = 100_000;
export const maxDepth = 150;

/** A fresh context. `flexible`: dims that hang on `int` parameters count as equal to anything. */
export function makeContext(from: {
  readonly knot: Knot;
  readonly diagnostics: Diagnostic[];
  readonly axes: readonly MeshAxis[];
  readonly sizes?: ReadonlyMap<string, number>;
  readonly compile?: boolean;
  readonly alone?: boolean;
  readonly chosen?: Chosen | undefined;
}): Context {
  const axisSizes = new Map(
    from.axes.flatMap((a) => (a.size === undefined ? [] : [[axisKey(a.name), a.size] as const])),
  );
  const flexible = (d: Dim) => typeof d !== "number" && dimAtoms(d).some((a) => isIntParamKey(a.key));
  const known = (d: Dim) => substituteDim(d, (atom) => axisSizes.get(atom.key));
  const difference = (a: Dim, b: Dim): Dim => (dimEqual(a, b) ? 0 : dimSub(known(a), known(b)));
  const surely = (a: Dim, b: Dim): boolean => difference(a, b) === 0;
  const same = (a: Dim, b: Dim): boolean =>
    Number.isNaN(a) || Number.isNaN(b) || surely(a, b) || flexible(difference(a, b));
  return {
    compile: from.compile ?? false,
    alone: from.alone ?? false,
    typing: { axes: from.axes.map((a) => ({ name: a.name, size: dimVar(a.name, axisKey(a.name)) })), same, surely },
    sizes: new Map([...axisSizes, ...(from.sizes ?? [])]),
    knot: from.knot,
    diagnostics: from.diagnostics,
    eqns: [],
    shared: { nextId: 0, made: 0, origins: new Map() },
    chosen: from.chosen,
    conditions: [],
    differentiated: 0,
    calls: [],
  };
}

/** Gives a diagnostic, with the calls that led here as notes, and stands for the value that could not be made. */
export function fail<C extends Code>(
  c: Context,
  code: C,
  span: Span,
  args: ArgsOf<C>,
  notes: readonly Note[] = [],
): Value {
  c.diagnostics.push(report(code, span, args, [...notes, ...callNotes(c, span)]));
  return errorValue;
}
function callNotes(c: Context, span: Span): readonly Note[] {
  const around = c.calls.filter(
    (k) => k.name !== "" && !(k.span.source === span.source && k.span.start <= span.start && span.end <= k.span.end),
  );
  const shown = around.length > 2 ? [around.at(-1)!, around[0]!] : [...around].reverse();
  return shown.map((k) => ({ span: k.span, message: `in this call of \`${k.name}\`` }));
}

/** Whether `part` is what one device has of `whole`, which is split over one of the axes, or over all of them. */
export function isShardOf(c: Context, part: Dim, whole: Dim): boolean {
  const sizes = c.typing.axes.map((a) => a.size);
  return [...sizes, dimProduct(sizes)].some((n) => n !== 1 && sameDim(c, dimMul(part, n), whole));
}

// --- Sizes -----------------------------------------------------------------------------------------------------------

/** The number that a dim comes to, where the sizes known so far decide it and it is whole. */
export function known(c: Context, d: Dim): number | undefined {
  if (typeof d === "number") return Number.isNaN(d) ? undefined : d;
  const v = evalDim(d, (atom) => c.sizes.get(atom.key));
  return v.kind === "value" ? v.value : undefined;
}
export const sameDim = (c: Context, a: Dim, b: Dim): boolean => c.typing.same!(a, b);

// --- Emission --------------------------------------------------------------------------------------------------------

/** What stands for the result of an op that has no type. It is silently passed on. */
export const poison: Var = { kind: "var", id: -1, type: { dtype: "f32", shape: [], varying: [] } };
export const asValue = (a: Atom): Value => (a === poison ? errorValue : arrayOf(a));

export const scalarType = (dtype: DType): Type => ({ dtype, shape: [], varying: [] });
export const lit = (value: number, dtype: DType): Lit => ({ kind: "lit", value, type: scalarType(dtype) });

export function freshVar(c: Context, type: Type, origin?: Origin, name?: string): Var {
  const id = c.shared.nextId++;
  if (origin) c.shared.origins.set(id, origin);
  return name === undefined ? { kind: "var", id, type } : { kind: "var", id, type, name };
}

/** Adds `v = op [params] args` and gives v. A problem becomes a diagnostic at `span`; `shown` is how the user wrote the op. */
export function emit<P extends Op>(
  c: Context,
  op: P,
  params: Ops[P],
  args: readonly Atom[],
  span: Span,
  shown: string = op,
): Atom {
  if (args.includes(poison)) return poison;
  const type = typeOf(
    op,
    args.map((a) => a.type),
    params,
    c.typing,
  );
  if (isProblem(type)) {
    explain(c, type, args, span, shown);
    return poison;
  }
  const out = freshVar(c, type, { from: args, span, why: `\`${shown}\`` });
  push(c, { kind: "op", op, params, args, out, span } as unknown as OpEqn);
  return out;
}
export function push(c: Context, eqn: Eqn): void {
  if (c.shared.made++ === maxEquations) fail(c, "GY2013", eqn.span ?? c.calls[0]!.span, {});
  if (c.shared.made <= maxEquations) c.eqns.push(eqn);
}
/** Widens a value to vary over at least `axes`. */
export function widen(c: Context, a: Atom, axes: readonly string[], span: Span): Atom {
  const missing = axes.filter((x) => !a.type.varying.includes(x));
  return missing.length === 0 ? a : emit(c, "pvary", { axes: missing }, [a], span);
}
export const union = (c: Context, ...sets: readonly (readonly string[])[]): readonly string[] =>
  unionAxes(c.typing, ...sets);

/** The same value under the user's name for it, where it has none. */
export function named(c: Context, v: Value, name: string): Value {
  if (v.kind !== "array" || v.atom.kind !== "var" || v.atom.name !== undefined) return v;
  const last = c.eqns.at(-1);
  if (last?.kind !== "op" || last.out !== v.atom) return v;
  const out: Var = { ...v.atom, name };
  c.eqns[c.eqns.length - 1] = { ...last, out } as OpEqn;
  return { ...v, atom: out };
}

/** Turns what typing found into the user's terms. */
export function explain(c: Context, p: Problem, args: readonly Atom[], span: Span, shown: string): void {
  const types = args.map((a) => a.type);
  switch (p.problem) {
    case "dtypes":
      fail(c, "GY3001", span, { op: shown, a: p.a, b: p.b });
      return;
    case "class":
      fail(c, "GY3002", span, { op: shown, dtype: p.dtype, wants: p.wants });
      return;
    case "broadcast":
      fail(c, "GY3003", span, {
        op: shown,
        a: printCoreType(types.length === 2 ? types[0]! : p.a),
        b: printCoreType(types.length === 2 ? types[1]! : p.b),
        at: -p.dim,
        sizes: [printDim(p.a.shape.at(p.dim) ?? 1), printDim(p.b.shape.at(p.dim) ?? 1)],
      });
      return;
    case "rank":
      fail(c, "GY3004", span, {
        op: shown,
        type: `\`${printCoreType(p.type)}\``,
        wants: p.wants === 0 ? "a scalar" : `${p.wants} dimension${p.wants === 1 ? "" : "s"}`,
      });
      return;
    case "dim-range":
      fail(c, "GY3005", span, { dim: p.dim, rank: p.rank });
      return;
    case "sizes":
      fail(c, "GY3006", span, { op: shown, what: p.what, a: printDim(p.a), b: printDim(p.b) });
      return;
    case "varying":
    case "axis":
      fail(c, "GY4002", span, { axis: p.axis, axes: c.typing.axes.map((a) => a.name) });
      return;
    case "malformed":
      fail(c, "GY3007", span, { what: `${shown}: ${p.what}` });
      return;
  }
}

/**
 * A static whole number as a run-time scalar. Where it is the size of a block, which at the edge of an array may be
 * smaller than written, it is counted: the sum of a block of ones.
 */
export function dimAtom(c: Context, d: Dim, dtype: DType, span: Span): Atom {
  if (!hasBlock(d) || typeof d === "number") return lit(known(c, d) ?? 0, dtype);
  let sum: Atom | undefined;
  for (const t of d.terms) {
    // up * (blocks above) / (blocks below) / down
    let up = t.num;
    let down = t.den;
    let product: Atom | undefined;
    const inBlocks = t.powers.filter((p) => dimAtoms({ terms: [single(p.atom)] }).some((a) => isBlockKey(a.key)));
    for (const p of t.powers) {
      if (inBlocks.includes(p)) continue;
      const size = known(c, { terms: [single(p.atom)] }) ?? 1;
      if (p.exp > 0) up *= size ** p.exp;
      else down *= size ** -p.exp;
    }
    const times = (a: Atom, op: "mul" | "div") => {
      product = product ? emit(c, op, {}, [product, a], span) : a;
    };
    if (up !== 1 || !inBlocks.some((p) => p.exp > 0)) times(lit(up, dtype), "mul");
    for (const p of [...inBlocks].sort((a, b) => b.exp - a.exp)) {
      const size = blockSize(c, p.atom, dtype, span);
      for (let n = 0; n < Math.abs(p.exp); n++) times(size, p.exp > 0 ? "mul" : "div");
    }
    if (down !== 1) times(lit(down, dtype), "div");
    sum = sum ? emit(c, "add", {}, [sum, product!], span) : product!;
  }
  return sum ?? lit(0, dtype);
}
const single = (atom: DimAtom): DimTerm => ({ num: 1, den: 1, powers: [{ atom, exp: 1 }] });
/** One name in a dim of blocks: a block's own size, or an operation that has no normal form. */
function blockSize(c: Context, atom: DimAtom, dtype: DType, span: Span): Atom {
  if (!atom.derived) {
    const ones = emit(c, "full", { shape: [{ terms: [single(atom)] }] }, [lit(1, dtype)], span);
    return emit(c, "reduce", { kind: "sum", dims: [0], keep: false }, [ones], span);
  }
  const { op, a, b } = atom.derived;
  const whole = emit(
    c,
    op === "floordiv" ? "div" : op,
    {},
    [dimAtom(c, a, "i32", span), dimAtom(c, b, "i32", span)],
    span,
  );
  return dtype === "i32" ? whole : emit(c, "cast", { dtype }, [whole], span);
}

/** A result whose sizes must be whole numbers, as a value; when compiling, a size that is none is reported. */
export function checkWhole(c: Context, a: Atom, span: Span): Value {
  if (a === poison || !c.compile) return asValue(a);
  for (const d of a.type.shape) {
    if (typeof d === "number") continue;
    if (evalDim(d, (atom) => c.sizes.get(atom.key)).kind === "inexact")
      return fail(c, "GY6004", span, {
        dim: printDim(d),
        sizes: dimAtoms(d).map((x) => `${x.name} = ${c.sizes.get(x.key)}`),
      });
  }
  return asValue(a);
}
