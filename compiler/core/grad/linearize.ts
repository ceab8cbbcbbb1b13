/**
 * A block made ready for its backward pass: its own equations, a little changed so that they leave behind what the way
 * back needs, and how cotangents of its results flow back to what it reads.
 *
 * The way back emits equations: it can be run wherever the block's variables are in scope, any number of times.
 */
import { bug } from "../../base/invariant.ts";
import { emit } from "../build.ts";
import { renameAtom, renameEqn } from "../copy.ts";
import type { Block, Eqn, Op, OpEqn, TilesEqn } from "../ir.ts";
import { freeVars } from "../walk.ts";
import { linearizeIf } from "./branches.ts";
import { linearizeCheckpoint } from "./checkpoint.ts";
import { fail, type Grad, isActive, type Linear, type Pull, within } from "./context.ts";
import { linearizeFold } from "./fold.ts";
import { plainEqn } from "./plain.ts";
import { linearizeRule } from "./rule.ts";
import { rules } from "./rules.ts";
import {
  type Contribution,
  contribute,
  isFloatType,
  isReached,
  type OpRule,
  type Sweep,
  summed,
  takeCotangent,
  takeParts,
} from "./transpose.ts";

/** `active`: the variables around the block that derivatives are wanted of. */
export function linearize(g: Grad, b: Block, active: ReadonlySet<number>): Linear {
  const eqns: Eqn[] = [];
  const flows = new Set(active);
  const pulls: Pull[] = [];
  for (const old of b.eqns) {
    const e = renameEqn(g.names, old);
    const pull = linearizeEqn(g, e, flows, eqns);
    if (pull) pulls.push(pull);
    else plainEqn(g, e, eqns);
  }
  const results = b.results.map((a) => renameAtom(g.names, a));
  const pull: Pull = (s) => {
    for (const back of pulls.toReversed()) back(s);
  };
  return { eqns, results, active: flows, pull };
}

/** Emits what comes forward of an equation that derivatives flow through, and marks its results; else undefined. */
function linearizeEqn(g: Grad, e: Eqn, active: Set<number>, to: Eqn[]): Pull | undefined {
  switch (e.kind) {
    case "op":
      return linearizeOp(g, e, active, to);
    case "fold":
      return linearizeFold(g, e, active, to);
    case "if":
      return linearizeIf(g, e, active, to);
    case "tiles":
      return linearizeTiles(g, e, active, to);
    case "rule":
      return linearizeRule(g, e, active, to);
    case "checkpoint":
      return linearizeCheckpoint(g, e, active, to);
    default:
      return bug(`${e.kind} is expanded before what is around it is differentiated`);
  }
}

function linearizeOp(g: Grad, e: OpEqn, active: Set<number>, to: Eqn[]): Pull | undefined {
  const rule = rules[e.op] as OpRule | null;
  const wants = e.args.map((a) => isActive(active, a));
  if (!rule || !wants.includes(true) || !isFloatType(e.out.type)) return undefined;
  to.push(e);
  active.add(e.out.id);
  if (e.op === "optimization_barrier" || (e.op === "pvary" && e.params.axes.length === 0)) {
    g.aliases.set(e.out.id, e.args[0]!);
    return () => {};
  }
  return (s) => {
    if (!isReached(s, e.out)) return;
    const b = within(s.b, e);
    const inside: Sweep = { ...s, b };
    if (e.op === "all_gather") {
      for (const share of scattered(inside, e)) contribute(inside, e.args[0]!, share);
      return;
    }
    const cts = rearranging.has(e.op) ? takeParts(s, e.out) : [takeCotangent(inside, e.out)!];
    for (const ct of cts) {
      const shares = rule({ b, args: e.args, params: e.params, out: e.out, ct, wants });
      for (const [i, share] of shares.entries()) if (share && wants[i]) contribute(inside, e.args[i]!, share);
    }
  };
}
/** Ops that move elements: parts whose sum over devices is a cotangent go through as they are, to be summed later at once. */
const rearranging: ReadonlySet<Op> = new Set<Op>([
  "pvary",
  "cast",
  "reshape",
  "transpose",
  "broadcast",
  "full",
  "index",
  "concat",
  "dynamic_slice",
]);

/**
 * y = all_gather(x): dx is this device's piece of dy. Where devices hold parts whose sum is dy, the sum and the piece are
 * one `psum_scatter`.
 */
function scattered(s: Sweep, { args, params, out }: OpEqn<"all_gather">): readonly Contribution[] {
  const { b } = s;
  const { axes, dim } = params;
  return takeParts(s, out).flatMap((part) => {
    if (axes.every((a) => part.type.varying.includes(a))) return emit(b, "psum_scatter", { axes, dim }, part);
    const others = part.type.varying.filter((a) => !axes.includes(a));
    const shares = rules.all_gather!({ b, args, params, out, ct: summed(b, part, others), wants: [true] });
    return shares.filter((share) => share !== undefined);
  });
}

/** A kernel has no derivative but by a rule; that is told when a cotangent arrives at it. */
function linearizeTiles(g: Grad, e: TilesEqn, active: Set<number>, to: Eqn[]): Pull | undefined {
  if (![...freeVars({ eqns: [e], results: [] })].some((v) => active.has(v.id))) return undefined;
  plainEqn(g, e, to);
  const floats = e.outs.filter((v) => isFloatType(v.type));
  for (const v of floats) active.add(v.id);
  return (s) => {
    if (floats.some((v) => isReached(s, v))) fail(g, "GY7301", e, {});
    for (const v of floats) takeParts(s, v);
  };
}
