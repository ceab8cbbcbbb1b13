/**
 * What the rules of differentiation work with: cotangents on their way from a block's results to what the block reads.
 *
 * The cotangent of a variable has the variable's type, varying axes included. What contributes to it may vary over more:
 * every device then has a part, and the whole is the sum over those axes. That sum is taken once, when the cotangent is
 * asked for, after contributions that vary alike have been added up.
 */
import { type Dim, dimEqual, dimNumber } from "../../base/dim.ts";
import { invariant } from "../../base/invariant.ts";
import { type Builder, emit, lit } from "../build.ts";
import { isFloat } from "../dtype.ts";
import type { Atom, DType, Op, Ops, Type, Var } from "../ir.ts";
import { unionAxes } from "../typing.ts";

/**
 * A cotangent's share: an array that broadcasting may have made larger than the operand, or of another float dtype; or
 * one that touches some rows only, told as how it is added to what is there already (of the operand's shape).
 */
export type Contribution =
  | Atom
  | { readonly kind: "into"; readonly varying: readonly string[]; readonly addTo: (sum: Atom) => Atom };

/** A backward sweep: where its equations go, and the cotangents found so far. */
export type Sweep = {
  readonly b: Builder;
  /** By variable: sums of contributions that vary alike, by those axes. */
  readonly pending: Map<number, Map<string, Atom>>;
  /** Variables that are others under a new name: what goes to them goes to those. */
  readonly aliases: Aliases;
};
export type Aliases = ReadonlyMap<number, Atom>;
export const sweep = (b: Builder, aliases: Aliases = new Map()): Sweep => ({ b, pending: new Map(), aliases });

/** What an atom is a name for. */
export function origin(aliases: Aliases, a: Atom): Atom {
  const of = a.kind === "var" ? aliases.get(a.id) : undefined;
  return of ? origin(aliases, of) : a;
}

export const isFloatType = (t: Type): boolean => isFloat(t.dtype);

/** A dim as a literal. Where sizes are not known yet only types matter, and any number will do. */
export const dimLit = (d: Dim, dtype: DType): Atom => lit(dimNumber(d) ?? 1, dtype);

/** Zeros of a type. */
export function zerosOf(b: Builder, type: Type, varying: readonly string[] = type.varying): Atom {
  const zero = lit(0, type.dtype);
  return widened(b, type.shape.length === 0 ? zero : emit(b, "full", { shape: type.shape }, zero), varying);
}

/** The atom, varying over `axes` at least. */
export function widened(b: Builder, a: Atom, axes: readonly string[]): Atom {
  const missing = axes.filter((x) => !a.type.varying.includes(x));
  return missing.length > 0 ? emit(b, "pvary", { axes: missing }, a) : a;
}

/** `ct` summed over the dimensions along which an operand of `shape` was stretched, and in the operand's dtype. */
export function unbroadcast(b: Builder, ct: Atom, to: Type): Atom {
  const extra = ct.type.shape.length - to.shape.length;
  invariant(extra >= 0, "a cotangent has fewer dimensions than what it is of");
  const stretched = to.shape.flatMap((d, i) => (d === 1 && !dimEqual(ct.type.shape[i + extra]!, 1) ? [i + extra] : []));
  let x = ct;
  if (stretched.length > 0) x = emit(b, "reduce", { kind: "sum", dims: stretched, keep: true }, x);
  if (extra > 0) {
    const dims = Array.from({ length: extra }, (_, i) => i);
    x = emit(b, "reduce", { kind: "sum", dims, keep: false }, x);
  }
  return x.type.dtype === to.dtype ? x : emit(b, "cast", { dtype: to.dtype }, x);
}

/** Adds a contribution to the cotangent of what `name` names. Literals need none. */
export function contribute(s: Sweep, name: Atom, c: Contribution): void {
  const to = origin(s.aliases, name);
  if (to.kind === "lit") return;
  const sums = s.pending.get(to.id) ?? new Map<string, Atom>();
  s.pending.set(to.id, sums);
  const varying = unionAxes(s.b.context, to.type.varying, c.kind === "into" ? c.varying : c.type.varying);
  const key = varying.join();
  const old = sums.get(key);
  if (c.kind === "into") {
    sums.set(key, c.addTo(old ?? zerosOf(s.b, to.type, varying)));
    return;
  }
  const part = widened(s.b, unbroadcast(s.b, c, to.type), varying);
  sums.set(key, old ? emit(s.b, "add", {}, old, part) : part);
}

/** Whether anything contributed to the cotangent of `v`. */
export const isReached = (s: Sweep, v: Var): boolean => s.pending.has(v.id);

/** The sums of what contributed to the cotangent of `v`, each varying over its own axes; nothing remains pending. */
export function takeParts(s: Sweep, v: Var): readonly Atom[] {
  const parts = [...(s.pending.get(v.id)?.values() ?? [])];
  s.pending.delete(v.id);
  return parts;
}

/** The cotangent of `v`, of `v`'s type; undefined where nothing contributed to it. */
export function takeCotangent(s: Sweep, v: Var): Atom | undefined {
  const whole = takeParts(s, v).map((part) => summed(s.b, part, v.type.varying));
  return whole.length === 0 ? undefined : whole.reduce((a, c) => emit(s.b, "add", {}, a, c));
}

/** `part` summed over the axes that are not among `varying`. */
export function summed(b: Builder, part: Atom, varying: readonly string[]): Atom {
  const axes = part.type.varying.filter((a) => !varying.includes(a));
  return axes.length > 0 ? emit(b, "psum", { axes }, part) : part;
}

/** What a rule is given: an equation, the cotangent of its result (of the result's type), and which operands want one. */
export type RuleCall<P extends Op = Op> = {
  readonly b: Builder;
  readonly args: readonly Atom[];
  readonly params: Ops[P];
  readonly out: Var;
  readonly ct: Atom;
  readonly wants: readonly boolean[];
};
/** Gives a contribution for each operand, undefined where there is none. */
export type OpRule<P extends Op = Op> = (r: RuleCall<P>) => readonly (Contribution | undefined)[];
/** A rule for each of some ops; null: nothing flows back (whole numbers and booleans, places, what is a constant by its meaning). */
export type Rules<P extends Op = Op> = { readonly [K in P]: OpRule<K> | null };
