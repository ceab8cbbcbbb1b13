/**
 * Arrays without elements are taken out: nothing after it has to know of a dimension of size 0. What is made of none alone is
 * not made; what joins none of them (a sum, a product over a dimension of size 0) is the number that it comes to; a loop of no
 * steps gives what it began with. Inputs and results have elements: the elaborator sees to that.
 */
import { dimNumber } from "../base/dim.ts";
import { bug } from "../base/invariant.ts";
import { asResult, widening } from "./identities.ts";
import type { Atom, Block, Eqn, FoldEqn, OpEqn, Program, Type, Var } from "./ir.ts";
import { reduce } from "./meaning.ts";
import { item } from "./ndarray.ts";
import { eachEqn, mapEqn, outsOf } from "./walk.ts";

export function withoutEmpty(p: Program): Program {
  let found = false;
  eachEqn(p.body, (e) => {
    found ||= outsOf(e).some((v) => isEmpty(v)) || isIdle(e);
  });
  return found ? { ...p, body: block(p.body, new Map()) } : p;
}

const none = (d: Type["shape"][number]): boolean => dimNumber(d) === 0;
const isEmpty = (a: Atom): boolean => a.type.shape.some(none);
/** A loop of no steps. */
const isIdle = (e: Eqn): boolean =>
  e.kind === "fold" && none(e.over.kind === "steps" ? e.over.count : e.over.index.extent);

/** What stands for a variable whose equation is gone; inner blocks see that of the blocks around them. */
type Renamed = Map<number, Atom>;
const current = (renamed: Renamed, a: Atom): Atom => (a.kind === "var" ? (renamed.get(a.id) ?? a) : a);

function block(b: Block, renamed: Renamed): Block {
  const eqns = b.eqns.flatMap((e) => rewrite(e, renamed));
  return { eqns, results: b.results.map((a) => current(renamed, a)) };
}

function rewrite(old: Eqn, renamed: Renamed): readonly Eqn[] {
  if (outsOf(old).every(isEmpty)) return [];
  if (old.kind === "fold" && isIdle(old)) return old.carry.flatMap((_, i) => bind(old.outs[i]!, old.init[i]!, renamed));
  const e = mapEqn(
    full(old),
    (a) => current(renamed, a),
    (b) => block(b, renamed),
  );
  return e.kind === "op" && e.args.some(isEmpty) ? ofNothing(e, renamed) : [e];
}

/** The equation without those of its results, and of its carries, that have no elements. */
function full(e: Eqn): Eqn {
  const keep = <T>(xs: readonly T[], vars: readonly Var[]): T[] => xs.filter((_, i) => !isEmpty(vars[i]!));
  const kept = (b: Block, outs: readonly Var[]): Block => ({ ...b, results: keep(b.results, outs) });
  switch (e.kind) {
    case "fold": {
      const outs = keep(e.outs, e.outs);
      const next: FoldEqn = { ...e, carry: keep(e.carry, e.carry), init: keep(e.init, e.carry), outs };
      return { ...next, body: kept(e.body, e.outs) };
    }
    case "if":
      return { ...e, outs: keep(e.outs, e.outs), then: kept(e.then, e.outs), else: kept(e.else, e.outs) };
    case "tiles":
      return { ...e, outs: keep(e.outs, e.outs), into: keep(e.into, e.outs), body: kept(e.body, e.outs) };
    default:
      return e;
  }
}

/** An op that has elements where some of its operands have none. */
function ofNothing(e: OpEqn, renamed: Renamed): readonly Eqn[] {
  switch (e.op) {
    case "concat":
      return [{ ...e, args: e.args.filter((a) => !isEmpty(a)) }];
    case "dynamic_update":
      return bind(e.out, e.args[0]!, renamed);
    case "reduce": {
      const nothing = { dtype: e.out.type.dtype, shape: [0], data: new Float64Array(0) };
      return everywhere(e, item(reduce(nothing, e.params.kind, [0], false)), renamed);
    }
    // A product over nothing; and where an element is asked for that there is not, any will do.
    case "einsum":
    case "argmax":
    case "index":
    case "dynamic_slice":
      return everywhere(e, 0, renamed);
    default:
      return bug(`${e.op} of an array without elements has elements`);
  }
}

/** One number, as the value of the equation. */
function everywhere({ out, span }: OpEqn, value: number, renamed: Renamed): readonly Eqn[] {
  const { dtype, shape, varying } = out.type;
  const number: Atom = { kind: "lit", value, type: { dtype, shape: [], varying } };
  if (shape.length === 0) return bind(out, number, renamed);
  return [{ kind: "op", op: "full", params: { shape }, args: [number], out, ...(span && { span }) }];
}

/** Makes an atom the value of a variable: by renaming, or widened to the axes that the variable's type has. */
function bind(out: Var, from: Atom, renamed: Renamed): readonly Eqn[] {
  const a = current(renamed, from);
  if (isEmpty(out)) return [];
  if (asResult(out, a)) {
    renamed.set(out.id, a);
    return [];
  }
  return [widening(out, a)];
}
