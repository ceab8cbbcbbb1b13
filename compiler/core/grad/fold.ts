/**
 * `fold`, back through its steps from the last to the first.
 *
 *   forward   (carry, stacks) = fold s < N with carry = init { next, collected, what the way back needs of this step }
 *   backward  fold t < N with (dcarry = cotangent of the last carry, sums = what came to the cotangents of what is
 *             around the loop, carries that are moved back) { step s = N - 1 - t, transposed }
 *
 * residuals.ts says how the way back gets at the values of a step.
 */
import { dimSub } from "../../base/dim.ts";
import { type Builder, emit, fold } from "../build.ts";
import { renameAtom, renameEqn } from "../copy.ts";
import type { Atom, Eqn, FoldEqn, Type, Var } from "../ir.ts";
import { freeVars } from "../walk.ts";
import { blockBuilder, fail, type Grad, isActive, type Linear, type Pull, within } from "./context.ts";
import { planResiduals, type Residuals, reversed, rowAt, startOfMoved, supply } from "./residuals.ts";
import {
  type Aliases,
  contribute,
  dimLit,
  isFloatType,
  isReached,
  origin,
  type Sweep,
  sweep,
  takeCotangent,
  takeParts,
  zerosOf,
} from "./transpose.ts";

/** A fold whose body is made ready, which of its carries derivatives flow through, and into which `init` they flow on. */
type Loop = {
  readonly e: FoldEqn;
  readonly body: Linear;
  readonly flows: readonly boolean[];
  readonly enters: readonly boolean[];
  readonly aliases: Aliases;
};

export function linearizeFold(g: Grad, e: FoldEqn, active: Set<number>, to: Eqn[]): Pull | undefined {
  const { flows, body } = activity(g, e, active);
  const enters = e.init.map((a) => isActive(active, a));
  const outs = e.outs.filter((v, i) => flows[i] ?? (isFloatType(v.type) && isActive(body.active, body.results[i]!)));
  if (outs.length === 0) return undefined;
  for (const v of outs) active.add(v.id);
  if (e.over.kind === "blocks") {
    to.push(e);
    return (s) => {
      if (outs.some((v) => isReached(s, v))) fail(g, "GY7303", e, {});
      for (const v of outs) takeParts(s, v);
    };
  }
  const loop: Loop = { e, body, flows, enters, aliases: g.aliases };
  // Gone back through once, from everything, to see what it reads of the steps. What has no derivative is told when it is
  // asked for, and it may never be.
  const told = g.diagnostics.length;
  const { reads } = trial(g, loop, outs);
  g.diagnostics.length = told;
  const residuals = planResiduals(g, e, body, reads);
  to.push(withStacks(e, body, residuals));
  return (s) => goBack(g, s, loop, residuals);
}

/** The fixed point of which carries derivatives flow through, and the body made ready for it. */
function activity(g: Grad, e: FoldEqn, active: ReadonlySet<number>): { flows: readonly boolean[]; body: Linear } {
  let flows = e.carry.map((v, i) => isFloatType(v.type) && isActive(active, e.init[i]!));
  for (;;) {
    const inside = new Set([...active, ...e.carry.flatMap((v, i) => (flows[i] ? [v.id] : []))]);
    // What stands for the results of regions is found anew each time.
    const body = g.linearize({ ...g, names: new Map(g.names) }, e.body, inside);
    const next = e.carry.map((v, i) => flows[i] || (isFloatType(v.type) && isActive(body.active, body.results[i]!)));
    if (next.every((x, i) => x === flows[i])) return { flows, body };
    flows = next;
  }
}

const withStacks = (e: FoldEqn, body: Linear, r: Residuals): FoldEqn => ({
  ...e,
  body: { eqns: body.eqns, results: [...body.results, ...r.stacks.map((x) => x.value)] },
  outs: [...e.outs, ...r.stacks.map((x) => x.stacked)],
});

// ── One step ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A part of the cotangent of a variable around the loop. */
type Sum = { readonly v: number; readonly key: string; readonly part: Atom };
/** What going back through a step gives: the carries' cotangents, where they have one, and the sums with its shares. */
type Back = { readonly carries: readonly (Atom | undefined)[]; readonly sums: readonly Sum[] };
/** What it starts from: cotangents of the next carries and of what is collected, and the sums so far. */
type Given = Back & { readonly collected: readonly (Atom | undefined)[] };

/** Emits the step transposed. It reads the values of the forward step by their own names. */
function stepBack(b: Builder, { e, body, flows, aliases }: Loop, given: Given): Back {
  const s = sweep(b, aliases);
  for (const { v, key, part } of given.sums) s.pending.set(v, new Map([...(s.pending.get(v) ?? []), [key, part]]));
  for (const [i, ct] of [...given.carries, ...given.collected].entries())
    if (ct && isActive(body.active, body.results[i]!)) contribute(s, body.results[i]!, ct);
  body.pull(s);
  const carries = e.carry.map((v, i) => (flows[i] ? takeCotangent(s, v) : undefined));
  const sums = [...s.pending].flatMap(([v, parts]) => [...parts].map(([key, part]) => ({ v, key, part })));
  return { carries, sums };
}

/** What going back from some of the fold's results comes to need: cotangents of which carries, sums of what, which values. */
type Needs = { readonly carries: readonly boolean[]; readonly sums: readonly Sum[]; readonly reads: readonly Var[] };

function trial(g: Grad, loop: Loop, from: readonly Var[]): Needs {
  const { e } = loop;
  const n = e.carry.length;
  const standIn = (type: Type): Var => ({ kind: "var", id: g.ids.next++, type });
  const reached = (v: Var): boolean => from.some((w) => w.id === v.id);
  let carries: readonly boolean[] = e.carry.map((_, i) => reached(e.outs[i]!));
  for (;;) {
    const b = blockBuilder(g);
    const found = stepBack(b, loop, {
      carries: e.carry.map((v, i) => (carries[i] ? standIn(v.type) : undefined)),
      collected: e.outs.slice(n).map((v) => (reached(v) ? standIn(rowType(v.type)) : undefined)),
      sums: [],
    });
    const more = carries.map((there, i) => there || found.carries[i] !== undefined);
    if (more.every((x, i) => x === carries[i])) return { carries, sums: found.sums, reads: readsOf(b, found) };
    carries = more;
  }
}
const rowType = (t: Type): Type => ({ ...t, shape: t.shape.slice(1) });
const readsOf = (b: Builder, { carries, sums }: Back): readonly Var[] => [
  ...freeVars({ eqns: b.eqns, results: [...carries.filter((a) => a !== undefined), ...sums.map((x) => x.part)] }),
];

// ── The loop ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function goBack(g: Grad, s: Sweep, loop: Loop, residuals: Residuals): void {
  const { e, enters } = loop;
  const n = e.carry.length;
  const from = e.outs.filter((v) => isReached(s, v));
  if (from.length === 0 || e.over.kind !== "steps") return;
  const b = within(s.b, e);
  const needs = trial(g, loop, from);
  const cotangents = e.outs.map((v) => takeCotangent({ ...s, b }, v));
  const carried = e.carry.flatMap((v, i) =>
    needs.carries[i] ? [{ i, init: cotangents[i] ?? zerosOf(b, v.type) }] : [],
  );
  const init = [
    ...carried.map((c) => c.init),
    ...needs.sums.map(({ part }) => zerosOf(b, part.type)),
    ...residuals.moved.map((m) => startOfMoved(b, e, m)),
  ];
  const { count } = e.over;
  const results = fold(b, count, init, (inside, t, slots) => {
    const last = emit(inside, "sub", {}, dimLit(dimSub(count, 1), "i32"), t);
    const sums = needs.sums.map((x, k) => ({ ...x, part: slots[carried.length + k]! }));
    const slot = new Map(carried.map((c, k) => [c.i, slots[k]!]));
    const scratch: Builder = { ...inside, eqns: [] };
    const found = stepBack(scratch, loop, {
      carries: e.carry.map((_, i) => slot.get(i)),
      collected: cotangents.slice(n).map((ct) => ct && rowAt(inside, ct, last)),
      sums,
    });
    const moved = slots.slice(carried.length + sums.length);
    const names = supply(g, inside, e, residuals, { step: last, t, moved });
    inside.eqns.push(...scratch.eqns.map((x) => renameEqn(names.values, reversed(x, e.over, t))));
    const value = (a: Atom): Atom => renameAtom(names.values, a);
    return [
      ...carried.map(({ i }, k) => value(found.carries[i] ?? zerosOf(inside, slots[k]!.type))),
      ...sums.map((x) => value(found.sums.find((y) => y.v === x.v && y.key === x.key)!.part)),
      ...names.moved,
    ];
  });
  const around = new Map(
    [...freeVars({ eqns: [e], results: [] })].map((v) => {
      const of = origin(g.aliases, v);
      return [of.kind === "var" ? of.id : v.id, of];
    }),
  );
  for (const [k, { i }] of carried.entries()) if (enters[i]) contribute({ ...s, b }, e.init[i]!, results[k]!);
  for (const [k, { v }] of needs.sums.entries()) contribute({ ...s, b }, around.get(v)!, results[carried.length + k]!);
}
