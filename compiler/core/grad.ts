/**
 * Reverse-mode differentiation: every `vjp` and `pullback` of a program becomes the equations that compute it.
 *
 *   (y) = vjp 1 (x = a) { f }      the equations of f, which leave behind what the way back needs
 *   (dx) = pullback 1 (dy)         the equations of f transposed, from the last to the first: a rule for each op (grad/rules.ts)
 *
 * Derivatives of derivatives are expanded from the inside out: what is differentiated is plain by then, but for the rules
 * and checkpoints that wait for an outer derivative. Those that none waits for are the functions themselves.
 */
import type { Diagnostic } from "../base/diagnostic.ts";
import { invariant } from "../base/invariant.ts";
import { builder, type Ids } from "./build.ts";
import { renameAtom, renameEqn } from "./copy.ts";
import { alias, bindOut, type Grad, isActive, type Linear } from "./grad/context.ts";
import { linearize } from "./grad/linearize.ts";
import { plainBlock } from "./grad/plain.ts";
import { contribute, sweep, takeCotangent, zerosOf } from "./grad/transpose.ts";
import type { Block, Eqn, Program, PullbackEqn, RuleEqn, VjpEqn } from "./ir.ts";
import type { TypingContext } from "./typing.ts";
import { mapEqn, nextId } from "./walk.ts";

/** The same program without derivative equations. What has no derivative is the elaborator's to have told. */
export function grad(p: Program): Program {
  const { block, diagnostics } = expandDerivatives(p.body, { axes: p.mesh.axes }, { next: nextId(p) });
  invariant(diagnostics.length === 0, diagnostics.map((d) => d.message).join("; "));
  return { ...p, body: block };
}

/** A block with its derivatives expanded, and what has none. Sizes may be symbolic: then only the diagnostics are of use. */
export function expandDerivatives(
  b: Block,
  typing: TypingContext,
  ids: Ids,
): { readonly block: Block; readonly diagnostics: readonly Diagnostic[] } {
  const g: Grad = { typing, ids, names: new Map(), aliases: new Map(), diagnostics: [], linearize };
  const block = plainBlock(g, expand({ ...g, vjps: new Map() }, b));
  return { block, diagnostics: g.diagnostics };
}

type Vjp = { readonly e: VjpEqn; readonly body: Linear };
type Expanding = Grad & { readonly vjps: Map<number, Vjp> };

function expand(x: Expanding, b: Block): Block {
  const eqns: Eqn[] = [];
  for (const old of b.eqns) {
    const e = renameEqn(x.names, old);
    if (e.kind === "vjp") forward(x, e, eqns);
    else if (e.kind === "pullback") backward(x, e, eqns);
    else if (e.kind === "rule") eqns.push(expandRule(x, e));
    else
      eqns.push(
        mapEqn(
          e,
          (a) => a,
          (r) => expand(x, r),
        ),
      );
  }
  return { eqns, results: b.results.map((a) => renameAtom(x.names, a)) };
}
/** The pullback may take back what the rule's forward part began: that part comes first. */
function expandRule(x: Expanding, e: RuleEqn): RuleEqn {
  const primal = expand(x, e.primal),
    forward = expand(x, e.forward);
  return { ...e, primal, forward, pullback: { ...e.pullback, body: expand(x, e.pullback.body) } };
}

function forward(x: Expanding, e: VjpEqn, to: Eqn[]): void {
  for (const [i, v] of e.params.entries()) to.push(alias(v, e.args[i]!));
  const body = linearize({ ...x, asked: e.span }, expand(x, e.body), new Set(e.params.map((v) => v.id)));
  to.push(...body.eqns);
  for (const [i, out] of e.outs.entries()) bindOut(x, to, out, body.results[i]!);
  x.vjps.set(e.id, { e, body });
}
function backward(x: Expanding, p: PullbackEqn, to: Eqn[]): void {
  const vjp = x.vjps.get(p.of);
  invariant(vjp, `pullback of vjp ${p.of}, which is not there`);
  const { e, body } = vjp;
  const s = sweep({ ...builder(x.typing, x.ids, p.span), eqns: to }, x.aliases);
  for (const [i, ct] of p.args.entries())
    if (isActive(body.active, body.results[i]!)) contribute(s, body.results[i]!, ct);
  body.pull(s);
  for (const [i, out] of p.outs.entries()) {
    const param = e.params[i]!;
    bindOut(x, to, out, takeCotangent(s, param) ?? zerosOf(s.b, param.type));
  }
}
