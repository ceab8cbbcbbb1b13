/**
 * Equations that are something simpler. Every rule is exact, bit for bit, on floats too: x*1 is x, but x+0 is not x
 * where x is -0, and x*0 is not 0 where x is infinite.
 */
import { dimsEqual } from "../base/dim.ts";
import { sameType } from "./build.ts";
import { inClass } from "./dtype.ts";
import type { Atom, Lit, Op, OpEqn, Ops, Var } from "./ir.ts";
import { type Context, isCollective, type Local, literal, meanings } from "./meaning.ts";
import { item } from "./ndarray.ts";

/** The equation that binds an atom, where it is an op. */
export type Definitions = (a: Atom) => OpEqn | undefined;

/** What the equation comes to: an atom that it is equal to, a simpler equation that binds the same variable, or itself. */
export function simplified(e: OpEqn, defs: Definitions): Atom | OpEqn {
  const plain = withScalars(e, defs);
  const constant = folded(plain);
  if (constant) return constant;
  const rule = rules[plain.op] as Rule<Op> | undefined;
  return rule?.(plain as never, defs) ?? plain;
}

type Eq<P extends Op> = Omit<OpEqn, "op" | "params"> & { readonly op: P; readonly params: Ops[P] };
type Rule<P extends Op> = (e: Eq<P>, defs: Definitions) => Atom | OpEqn | undefined;

/** The atom, if it may stand wherever the equation's variable stands. */
export function asResult(out: Atom, a: Atom | undefined): Atom | undefined {
  if (!a || !sameType(a.type, out.type)) return undefined;
  const { varying } = a.type;
  return varying.length === out.type.varying.length && varying.every((x) => out.type.varying.includes(x))
    ? a
    : undefined;
}
/** The equation by which an atom is a variable whose type has more axes. */
export const widening = (out: Var, a: Atom): OpEqn => ({
  kind: "op",
  op: "pvary",
  params: { axes: out.type.varying.filter((x) => !a.type.varying.includes(x)) },
  args: [a],
  out,
});
const isLit = (a: Atom, value: number): a is Lit => a.kind === "lit" && Object.is(a.value, value);
const sameAtom = (a: Atom, b: Atom): boolean => (a.kind === "var" && b.kind === "var" ? a.id === b.id : a === b);
const isFloat = (a: Atom): boolean => inClass(a.type.dtype, "float");
/** The first operand if the second is the literal. */
const unit = (e: Eq<Op>, value: number): Atom | undefined =>
  isLit(e.args[1]!, value) ? asResult(e.out, e.args[0]) : undefined;
/** Either operand if the other is the literal. */
const unitOfEither = (e: Eq<Op>, value: number): Atom | undefined =>
  unit(e, value) ?? (isLit(e.args[0]!, value) ? asResult(e.out, e.args[1]) : undefined);
const twice: Rule<Op> = (e) => (sameAtom(e.args[0]!, e.args[1]!) ? asResult(e.out, e.args[0]) : undefined);
/** f(f(x)) = x */
const involution: Rule<Op> = (e, defs) => {
  const d = defs(e.args[0]!);
  return d?.op === e.op ? asResult(e.out, d.args[0]) : undefined;
};
const unchanged: Rule<Op> = (e) => asResult(e.out, e.args[0]);
const again = (e: Eq<Op>, args: readonly Atom[], params: object): OpEqn => ({ ...e, args, params }) as unknown as OpEqn;

const rules: { readonly [P in Op]?: Rule<P> } = {
  add: (e) => (isFloat(e.out) ? undefined : unitOfEither(e, 0)),
  sub: (e) => unit(e, 0),
  mul: (e) => unitOfEither(e, 1),
  div: (e) => unit(e, 1),
  pow: (e) => unit(e, 1),
  min: twice,
  max: twice,
  and: (e, defs) => unitOfEither(e, 1) ?? twice(e, defs),
  or: (e, defs) => unitOfEither(e, 0) ?? twice(e, defs),
  neg: involution,
  not: involution,
  cast: unchanged,
  pvary: unchanged,
  unvary: (e, defs) => {
    const d = defs(e.args[0]!);
    return unchanged(e, defs) ?? (d?.op === "pvary" ? asResult(e.out, d.args[0]) : undefined);
  },
  broadcast: unchanged,
  full: unchanged,
  select: (e) => {
    const [c, a, b] = e.args as [Atom, Atom, Atom];
    if (c.kind === "lit") return asResult(e.out, c.value !== 0 ? a : b);
    return sameAtom(a, b) ? asResult(e.out, a) : undefined;
  },
  reshape: (e, defs) => {
    const x = e.args[0]!,
      d = defs(x);
    return unchanged(e, defs) ?? (d?.op === "reshape" ? again(e, d.args, e.params) : undefined);
  },
  transpose: (e, defs) => {
    const { perm } = e.params;
    if (perm.every((p, i) => p === i)) return unchanged(e, defs);
    const d = defs(e.args[0]!);
    if (d?.op !== "transpose") return undefined;
    const both = perm.map((p) => d.params.perm[p]!);
    return (both.every((p, i) => p === i) ? asResult(e.out, d.args[0]) : undefined) ?? again(e, d.args, { perm: both });
  },
  index: (e, defs) => (e.params.selectors.every((s) => s.kind === "all") ? unchanged(e, defs) : undefined),
  // A start is clamped to where the part fits: all of an array begins at 0.
  dynamic_slice: unchanged,
  dynamic_update: (e) => asResult(e.out, e.args[1]),
  concat: (e, defs) => (e.args.length === 1 ? unchanged(e, defs) : undefined),
  reduce: (e, defs) => (e.params.dims.length === 0 ? unchanged(e, defs) : undefined),
};

const stretching: ReadonlySet<Op> = new Set<Op>([
  "add",
  "sub",
  "mul",
  "div",
  "mod",
  "pow",
  "min",
  "max",
  "eq",
  "ne",
  "lt",
  "le",
  "gt",
  "ge",
  "and",
  "or",
  "select",
]);
/** An operand that is one scalar everywhere is the scalar, where another operand has the result's shape. */
function withScalars(e: OpEqn, defs: Definitions): OpEqn {
  if (!stretching.has(e.op) || e.out.type.shape.length === 0) return e;
  const args = [...e.args];
  for (let i = 0; i < args.length; i++) {
    const d = defs(args[i]!);
    if (d?.op !== "full" && !(d?.op === "broadcast" && d.args[0]!.type.shape.length === 0)) continue;
    if (args.some((a, k) => k !== i && dimsEqual(a.type.shape, e.out.type.shape))) args[i] = d.args[0]!;
  }
  return args.every((a, i) => a === e.args[i]) ? e : again(e, args, e.params);
}

const nowhere: Context = {
  size: () => Number.NaN,
  block: () => ({ start: 0, size: 0 }),
  place: () => 0,
};
/** A scalar made of literals is a literal, with the type (and the axes) that it had. */
function folded(e: OpEqn): Lit | undefined {
  if (e.args.length === 0 || isCollective(e.op) || e.out.type.shape.length > 0) return undefined;
  if (!e.args.every((a) => a.kind === "lit") || e.op === "index") return undefined;
  const meaning = meanings[e.op as Local] as (
    args: readonly unknown[],
    params: unknown,
    c: Context,
  ) => Parameters<typeof item>[0];
  const value = item(
    meaning(
      e.args.map((a) => literal(a as Lit)),
      e.params,
      nowhere,
    ),
  );
  return Number.isNaN(value) ? undefined : { kind: "lit", value, type: e.out.type };
}
