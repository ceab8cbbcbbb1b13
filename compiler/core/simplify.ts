/**
 * The same program, said shorter: identities, constants, common subexpressions, loops of one step and branches that are
 * decided unrolled, invariant work moved out of loops, dead code dropped. `eval` gives the same bits.
 */
import { dimKey, dimNumber } from "../base/dim.ts";
import { dce } from "./dce.ts";
import { hoist } from "./hoist.ts";
import { asResult, simplified, widening } from "./identities.ts";
import type { Atom, Block, Eqn, FoldEqn, OpEqn, Program, Var } from "./ir.ts";
import { mapEqn } from "./walk.ts";

/** Each round may uncover more; what several rounds have not found is not worth a further one. */
const rounds = 4;

export function simplify(p: Program): Program {
  let program = p;
  for (let i = 0; i < rounds; i++) {
    const r: Rewriting = { renamed: new Map(), defined: new Map(), changed: false };
    const body = rewriteBlock(r, program.body, undefined);
    program = dce(hoist({ ...program, body }));
    if (!r.changed) break;
  }
  return program;
}

type Rewriting = {
  /** What stands for variables whose equations are gone. */
  readonly renamed: Map<number, Atom>;
  readonly defined: Map<number, OpEqn>;
  changed: boolean;
};
/** Values that are there already, by what computes them; an inner block sees those around it. */
type Available = { readonly found: Map<string, Var>; readonly outer: Available | undefined };
type Writing = { readonly eqns: Eqn[]; readonly available: Available };

function rewriteBlock(r: Rewriting, b: Block, outer: Available | undefined): Block {
  const to: Writing = { eqns: [], available: { found: new Map(), outer } };
  for (const e of b.eqns) rewriteEqn(r, e, to);
  return { eqns: to.eqns, results: b.results.map((a) => current(r, a)) };
}
const current = (r: Rewriting, a: Atom): Atom => (a.kind === "var" ? (r.renamed.get(a.id) ?? a) : a);
function rename(r: Rewriting, from: Var, to: Atom): void {
  r.renamed.set(from.id, to);
  r.changed = true;
}

function rewriteEqn(r: Rewriting, old: Eqn, to: Writing): void {
  const e = old.kind === "fold" ? withoutConstants(r, old) : old;
  const cond = e.kind === "if" ? current(r, e.cond) : undefined;
  if (e.kind === "if" && cond?.kind === "lit") inline(r, cond.value !== 0 ? e.then : e.else, e.outs, to);
  else if (e.kind === "fold" && isOneStep(e)) unroll(r, e, to);
  else if (e.kind === "op") writeOp(r, e, to);
  else writeRegions(r, e, to);
}

/** An equation with its regions rewritten. A tile sees nothing of what is available outside: it computes what it needs. */
function writeRegions(r: Rewriting, e: Eqn, to: Writing): void {
  const around = e.kind === "tiles" ? undefined : to.available;
  const region = (b: Block): Block => rewriteBlock(r, b, around);
  to.eqns.push(mapEqn(e, (a) => current(r, a), region));
}
/** An op with what is known by now put in, unless its value is at hand. */
function writeOp(r: Rewriting, old: OpEqn, to: Writing): void {
  const e = mapEqn(
    old,
    (a) => current(r, a),
    (b) => b,
  ) as OpEqn;
  const simple = simplified(e, (a) => (a.kind === "var" ? r.defined.get(a.id) : undefined));
  const key = simple.kind === "op" ? keyOf(simple) : undefined;
  const before = key === undefined ? undefined : find(to.available, key);
  const known = simple.kind === "op" ? asResult(e.out, before) : simple;
  if (known) rename(r, e.out, known);
  else if (simple.kind === "op") {
    if (simple !== e) r.changed = true;
    if (key !== undefined) to.available.found.set(key, e.out);
    r.defined.set(e.out.id, simple);
    to.eqns.push(simple);
  }
}
function find(scope: Available | undefined, key: string): Var | undefined {
  for (let s = scope; s; s = s.outer) {
    const v = s.found.get(key);
    if (v) return v;
  }
  return undefined;
}
/** Equal keys compute equal values. New constant arrays are not shared: each may become a buffer that is written in place. */
function keyOf(e: OpEqn): string | undefined {
  if (e.op === "full" && e.out.type.shape.length > 0) return undefined;
  const number = (x: number): string => (Object.is(x, -0) ? "-0" : String(x));
  const args = e.args.map((a) =>
    a.kind === "var" ? `v${a.id}` : `${number(a.value)}:${a.type.dtype}:${a.type.varying}`,
  );
  return `${e.op} ${JSON.stringify(e.params, paramKey)} ${args.join(" ")}`;
}
function paramKey(_: string, v: unknown): unknown {
  if (typeof v !== "object" || v === null) return v;
  if ("terms" in v) return dimKey(v as Parameters<typeof dimKey>[0]);
  return "id" in v ? `#${v.id}` : v; // variables and tile indices
}

// ── Regions that run once ────────────────────────────────────────────────────────────────────────────────────────

/** The equations of a block in place, its results bound to `outs`. */
function inline(r: Rewriting, b: Block, outs: readonly Var[], to: Writing): void {
  for (const e of b.eqns) rewriteEqn(r, e, to);
  for (const [i, out] of outs.entries()) bind(r, out, current(r, b.results[i]!), to);
}
/** Makes `a` the value of a variable: by renaming, or widened to the axes that the variable's type has. */
function bind(r: Rewriting, out: Var, a: Atom, to: Writing): void {
  r.changed = true;
  if (asResult(out, a)) {
    rename(r, out, a);
    return;
  }
  to.eqns.push(widening(out, a));
}

const isOneStep = (e: FoldEqn): boolean => e.over.kind === "steps" && dimNumber(e.over.count) === 1;
function unroll(r: Rewriting, e: FoldEqn, to: Writing): void {
  if (e.over.kind === "steps") rename(r, e.over.step, { kind: "lit", value: 0, type: e.over.step.type });
  for (const [i, v] of e.carry.entries()) bind(r, v, current(r, e.init[i]!), to);
  const last = e.outs.slice(0, e.carry.length),
    collected = e.outs.slice(e.carry.length);
  inline(r, e.body, last, to);
  for (const [i, out] of collected.entries()) {
    const args = [current(r, e.body.results[e.carry.length + i]!)];
    to.eqns.push({ kind: "op", op: "reshape", params: { shape: out.type.shape }, args, out });
  }
}

/** The fold without the carries that it hands on as they came: those are their initial values. */
function withoutConstants(r: Rewriting, e: FoldEqn): FoldEqn {
  const constant = e.carry.map((v, i) => {
    const next = e.body.results[i]!;
    return next.kind === "var" && next.id === v.id && asResult(v, current(r, e.init[i]!)) !== undefined;
  });
  if (!constant.includes(true)) return e;
  for (const [i, v] of e.carry.entries()) {
    if (!constant[i]) continue;
    rename(r, v, current(r, e.init[i]!));
    rename(r, e.outs[i]!, current(r, e.init[i]!));
  }
  const rest = <T>(xs: readonly T[]): T[] => xs.filter((_, i) => !constant[i]);
  return {
    ...e,
    carry: rest(e.carry),
    init: rest(e.init),
    outs: rest(e.outs),
    body: { ...e.body, results: rest(e.body.results) },
  };
}
