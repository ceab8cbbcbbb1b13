/**
 * A call of a function with a derivative rule: forward the rule's value, backward its pullback, put in place.
 *
 * What a function parameter closes over has as its cotangent the gradient of the number that the pullback gives for that
 * parameter, found by differentiating the pullback's own equations.
 */
import { lit } from "../build.ts";
import { copyBlock } from "../copy.ts";
import type { Atom, Block, Eqn, RuleEqn, Var } from "../ir.ts";
import { freeVars } from "../walk.ts";
import { alias, fail, type Grad, isActive, type Pull, within } from "./context.ts";
import { reaches } from "./reach.ts";
import {
  contribute,
  isReached,
  origin,
  type Sweep,
  sweep,
  takeCotangent,
  takeParts,
  widened,
  zerosOf,
} from "./transpose.ts";

export function linearizeRule(g: Grad, e: RuleEqn, active: Set<number>, to: Eqn[]): Pull | undefined {
  const closed = closedOver(e, active);
  if (!e.args.some((a) => isActive(active, a)) && closed.length === 0) return undefined;
  to.push(...e.forward.eqns);
  const { results } = e.forward;
  for (const [i, out] of e.outs.entries()) {
    to.push(alias(out, results[i]!));
    active.add(out.id);
  }
  return (s) => {
    if (!e.outs.some((v) => isReached(s, v))) return;
    const inside: Sweep = { ...s, b: within(s.b, e) };
    const cotangents = e.outs.map((v) => takeCotangent(inside, v) ?? zerosOf(inside.b, v.type));
    const given = [...results.slice(e.outs.length), ...cotangents];
    const names = new Map(
      e.pullback.params.map((v, i): [number, Atom] => [v.id, widened(inside.b, given[i]!, v.type.varying)]),
    );
    const body = copyBlock(g.ids, e.pullback.body, names);
    const shares = closed.length > 0 ? differentiated(g, inside, e, body, closed) : plainly(inside, body);
    for (const [i, a] of e.args.entries()) if (isActive(active, a)) contribute(inside, a, shares[i]!);
  };
}
function plainly(s: Sweep, body: Block): readonly Atom[] {
  s.b.eqns.push(...body.eqns);
  return body.results;
}

/** What derivatives flow from into the value besides the arguments: the function closes over it through its parameters. */
const closedOver = (e: RuleEqn, active: ReadonlySet<number>): readonly Var[] =>
  [...freeVars(e.primal)].filter(
    (v) => active.has(v.id) && !e.args.some((a) => a.kind === "var" && a.id === v.id) && reaches(e.primal, v),
  );

/** The pullback, and with it the gradients of its numbers for functions, which go to what these close over. */
function differentiated(g: Grad, s: Sweep, e: RuleEqn, body: Block, closed: readonly Var[]): readonly Atom[] {
  const through = g.linearize(g, body, new Set(closed.map((v) => v.id)));
  s.b.eqns.push(...through.eqns);
  const own = sweep(s.b, s.aliases);
  for (const number of through.results.slice(e.args.length))
    if (isActive(through.active, number))
      contribute(own, number, widened(s.b, lit(1, number.type.dtype), number.type.varying));
  through.pull(own);
  const sources = closed.map((v) => origin(s.aliases, v)).filter((a) => a.kind === "var");
  const missing = sources.filter((v) => !isReached(own, v)).map((v) => v.name ?? "an array");
  if (missing.length > 0) fail(g, "GY7302", e, { name: e.name, functions: e.functions, closed: missing });
  for (const v of sources) for (const part of takeParts(own, v)) contribute(s, v, part);
  return through.results;
}
