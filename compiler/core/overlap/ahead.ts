/**
 * Gathers and scattered sums that kernels can pass beside. Round a ring in a loop, everything would wait for them; these are
 * done in few steps, without a loop, so that the schedule can put them between the kernels that need nothing of it. In a loop
 * over layers, what the next one needs is gathered beside the kernels of this one:
 *
 *   fold l < n with (x) {                    g = all_gather w[0]
 *     g = all_gather w[l]              →     fold l < n with (x, g) {
 *     x' = … g …                               g' = all_gather w[min(l + 1, n - 1)]      the last is not done
 *     (x')                                     x' = … g …
 *   }                                          (x', g')
 *                                            }
 */
import { dimNumber } from "../../base/dim.ts";
import type { Machine } from "../../base/machine.ts";
import { type Builder, builder, emit, fresh, i32 } from "../build.ts";
import { copyBlock } from "../copy.ts";
import { type Choice, nameOf } from "../cost.ts";
import type { Atom, Block, Eqn, FoldEqn, OpEqn, Program, Var } from "../ir.ts";
import { mapEqn, nextId, outsOf } from "../walk.ts";
import { gainsOf, isMovable, type Movable } from "./beside.ts";
import type { State } from "./state.ts";

/** The program with such collectives marked `ahead`, gathers moved to the step before, and what was chosen. */
export function collectAhead(p: Program, machine: Machine): { program: Program; choices: readonly Choice[] } {
  const s: State = { machine, mesh: p.mesh, ids: { next: nextId(p) }, choices: [] };
  return { program: { ...p, body: rewrite(s, p.body, 1).block }, choices: s.choices };
}

/** A gather that a step does for the next one, and what makes its operand. */
type Moved = { readonly gather: OpEqn<"all_gather">; readonly cone: readonly OpEqn[] };

/** `times`: how often the block runs; `loop`: whose body it is. */
function rewrite(s: State, b: Block, times: number, loop?: FoldEqn): { block: Block; moved: readonly Moved[] } {
  const gains = gainsOf(s.machine, s.mesh, b, loop);
  const moved: Moved[] = [];
  const defs = new Map(b.eqns.flatMap((e) => outsOf(e).map((v) => [v.id, e] as const)));
  const eqns = b.eqns.flatMap((e): readonly Eqn[] => {
    if (e.kind === "fold" && e.over.kind === "steps") return rewriteFold(s, e, times);
    if (!isMovable(e)) {
      if (e.kind === "op" || e.kind === "tiles") return [e];
      const region = (inner: Block): Block => rewrite(s, inner, times).block;
      return [mapEqn(e, (a) => a, region)];
    }
    const { saves, next } = gains(e);
    if (saves <= 0) return [e];
    const what = next
      ? "of the next step, beside the kernels of this one"
      : "in few steps, between kernels that need nothing of it";
    s.choices.push({
      about: `${e.op} of ${nameOf(e.args[0]!, defs)} over ${e.params.axes.join(", ")}`,
      what,
      saves: saves * times,
    });
    if (!next || e.op !== "all_gather") return [ahead(e)];
    moved.push({ gather: e, cone: next });
    return [];
  });
  return { block: { ...b, eqns }, moved };
}
const ahead = (e: Movable): Eqn => ({ ...e, params: { ...e.params, ahead: true } }) as Movable;

function rewriteFold(s: State, e: FoldEqn, times: number): readonly Eqn[] {
  const count = e.over.kind === "steps" ? (dimNumber(e.over.count) ?? 1) : 1;
  const { block, moved } = rewrite(s, e.body, times * count, e);
  if (moved.length === 0 || e.over.kind !== "steps") return [{ ...e, body: block }];
  const { step } = e.over;
  const before = builder({ axes: s.mesh.axes }, s.ids);
  const inside = builder({ axes: s.mesh.axes }, s.ids);
  const following = emit(inside, "min", {}, emit(inside, "add", {}, step, i32(1)), i32(count - 1));
  const init = moved.map((m) => gatherAt(before, m, step, i32(0)));
  const next = moved.map((m) => gatherAt(inside, m, step, following));
  const outs = moved.map(({ gather }) => fresh(s.ids, gather.out.type));
  const n = e.carry.length;
  const loop: FoldEqn = {
    ...e,
    carry: [...e.carry, ...moved.map(({ gather }) => gather.out)],
    init: [...e.init, ...init],
    body: {
      // Behind what this step itself sends, which is wanted sooner.
      eqns: [...block.eqns, ...inside.eqns],
      results: [...block.results.slice(0, n), ...next, ...block.results.slice(n)],
    },
    outs: [...e.outs.slice(0, n), ...outs, ...e.outs.slice(n)],
  };
  return [...before.eqns, loop];
}
/** The gather as it is at another step. */
function gatherAt(b: Builder, { gather, cone }: Moved, step: Var, at: Atom): Atom {
  const made = copyBlock(b.ids, { eqns: [...cone, ahead(gather)], results: [gather.out] }, new Map([[step.id, at]]));
  b.eqns.push(...made.eqns);
  return made.results[0]!;
}
