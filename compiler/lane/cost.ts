/**
 * What a mapping costs, estimated from the kernel's values: how often each is computed by a thread, what it loads, and how
 * long the unrolled text is. Nanoseconds on the target, whose ratios were measured; meant to rank mappings of one kernel.
 */
import { isSlow } from "../core/ops.ts";
import { operandsOf } from "../tile/build.ts";
import type { Axis, Kernel, Value } from "../tile/ir.ts";
import { valuesOf } from "../tile/values.ts";
import { type Facts, factsOf } from "./facts.ts";
import { axesSeen, foldsOf, isWritten, type Mapping, type MapTarget } from "./map.ts";

export type Estimate = {
  /** One launch, with nothing skipped. */
  readonly run: number;
  readonly compile: number;
  /** The longest loop body, in multiply-adds. */
  readonly body: number;
  /** The largest array that a thread keeps, in elements. */
  readonly array: number;
};

/** Estimates mappings of one kernel. What depends only on which axes have rounds is worked out once for each such set. */
export function estimator(kernel: Kernel, target: MapTarget): (mapping: Mapping) => Estimate {
  const values = valuesOf(kernel);
  const known = new Map<string, Shape>();
  return (mapping) => {
    const key = [...mapping.axes.values()].map((m) => (m.loop > 1 ? 2 : m.unroll > 1 ? 1 : 0)).join("");
    let shape = known.get(key);
    if (!shape) known.set(key, (shape = shapeOf(kernel, mapping, values)));
    return estimate(kernel, mapping, target, values, shape);
  };
}
type Shape = { readonly facts: Facts; readonly around: ReadonlyMap<number, readonly Axis[]> };
function shapeOf(kernel: Kernel, mapping: Mapping, values: readonly Value[]): Shape {
  const facts = factsOf(kernel, mapping);
  return { facts, around: loopsAround(values, facts, (axes) => looped(mapping, axes)) };
}
const looped = (mapping: Mapping, axes: readonly Axis[]): readonly Axis[] =>
  axes.filter((a) => (mapping.axes.get(a.id)?.loop ?? 1) > 1);

function estimate(
  kernel: Kernel,
  mapping: Mapping,
  { costs }: MapTarget,
  values: readonly Value[],
  { facts, around }: Shape,
): Estimate {
  /** Rounds whose text is written out for each. */
  const copiesOf = (v: Value, axes: readonly Axis[]): number =>
    axes.reduce((n, a) => {
      const m = mapping.axes.get(a.id);
      return m && isWritten(mapping, m, facts.depth.get(v.id) ?? 0) ? n * m.loop : n;
    }, 1);
  const registersOf = (axes: readonly Axis[]): number =>
    axes.reduce((n, a) => n * (mapping.axes.get(a.id)?.unroll ?? 1), 1);
  const roundsOf = (axes: readonly Axis[]): number => axes.reduce((n, a) => n * (mapping.axes.get(a.id)?.loop ?? 1), 1);
  const withRounds = (axes: readonly Axis[]): readonly Axis[] => looped(mapping, axes);
  const steps = stepsOf(kernel, mapping, values);
  const inArrays = new Set([...facts.accumulated.values()].map((a) => a.sum.id));

  let perThread = 0;
  let text = 0;
  let body = 0;
  let array = 0;
  for (const v of values) {
    const d = v.def;
    const seen = axesSeen(v);
    const registers = registersOf(v.axes);
    const times = (steps.get(v.id) ?? 1) * registers * roundsOf(loopsOf(around.get(v.id) ?? [], v, withRounds));
    const copies = copiesOf(v, seen);
    // What is at a constant index is as near as a variable.
    const [element, access] = copies > 1 ? [costs.update / 2, costs.access / 3] : [costs.element, costs.access];
    const kept = facts.stored.has(v.id) || (d.kind === "carry" && withRounds(v.axes).length > 0);
    if (kept) array = Math.max(array, registers * roundsOf(withRounds(v.axes)));
    if (kept && d.kind !== "carry") {
      perThread += times * 2 * element;
      text += 2 * registers * copies * access;
    }
    if (d.kind === "carry") {
      // Read and written once a step; one in registers is free to read.
      perThread += times * (kept ? 2 * element : costs.update);
      text += registers * copies * (kept ? 2 * access : 1);
    } else if (d.kind === "load") {
      const handed = isSpread(mapping, v);
      const giving = v.axes.some((a) => mapping.axes.get(a.id)?.crosswise) ? costs.exchange : costs.broadcast;
      perThread += times * (handed ? costs.load / 4 + giving : costs.load);
      text += registers * copies * (handed ? costs.access / 4 + 2 : costs.access);
    } else if (d.kind === "map") {
      const slow = isSlow(d.op) || d.op === "div" || d.op === "mod";
      const integer = v.dtype === "i32" && !slow ? 0.5 : 1;
      perThread += times * (slow ? costs.slow : costs.op) * integer;
      text += registers * copies * (slow ? 4 : 1) * integer;
    } else if (d.kind === "reduce" || d.kind === "scan") {
      const rounds = roundsOf(withRounds([d.axis]));
      // A round of a sum over rounds is added to a variable, or to the array that the loop fills.
      const inArray = withRounds(v.axes).length > 0 && rounds > 1 && inArrays.has(v.id);
      const all = (steps.get(v.id) ?? 1) * registersOf(seen) * roundsOf(withRounds(seen));
      perThread += 0.5 * all * costs.op;
      // Written out, a sum that is in no array is a name in each round.
      const changed = inArray ? 2 * element : copies > 1 ? 0 : costs.update;
      if (rounds > 1) perThread += times * rounds * changed;
      text += registersOf(seen) * copies;
      body = Math.max(body, registersOf(seen) * copies);
    } else continue;
    body = Math.max(body, registersOf(v.axes));
  }
  for (const s of kernel.stores) {
    const all = registersOf(s.value.axes);
    perThread += all * roundsOf(withRounds(s.value.axes)) * costs.store;
    text += all * costs.access;
  }
  const waves = Math.ceil(mapping.threads / costs.wide) * Math.max(1, mapping.groups / costs.atOnce);
  const run = waves * perThread + (mapping.groups / costs.atOnce) * costs.group;
  return { run, compile: text * costs.compile, body, array };
}

/** Four threads load a row each and hand them round; load.ts has the same rule. */
function isSpread(mapping: Mapping, v: Value): boolean {
  if (!mapping.spread || v.def.kind !== "load" || v.def.clamp) return false;
  const maps = v.axes.map((a) => mapping.axes.get(a.id)!);
  const last = v.def.index.at(-1)?.def;
  const side = last?.kind === "pos" ? last.axis.id : undefined;
  return (
    maps.every((m) => m.lanes === 1) &&
    maps.some((m) => m.unroll % 4 === 0 && !m.ragged && !(m.vector && m.axis.id === side))
  );
}

/** Steps of the folds around each value: of the innermost fold that it depends on, and of those around that. */
function stepsOf(kernel: Kernel, mapping: Mapping, values: readonly Value[]): ReadonlyMap<number, number> {
  const total = new Map<number, number>();
  const byAxis = new Map<number, number>();
  const walk = (body: Kernel["body"], times: number): void => {
    for (const s of body) {
      if (s.kind !== "fold") continue;
      const over = s.over;
      const own =
        over.kind === "steps" ? over.count : Math.ceil(over.axis.extent / (mapping.axes.get(over.axis.id)?.block ?? 1));
      total.set(s.id, times * own);
      if (over.kind === "blocks") byAxis.set(over.axis.id, times * own);
      walk(s.body, times * own);
    }
  };
  walk(kernel.body, 1);
  const parent = new Map(
    foldsOf(kernel.body).flatMap((f) => f.body.flatMap((s) => (s.kind === "fold" ? [[s.id, f.id] as const] : []))),
  );
  const found = new Map<number, number>();
  for (const v of values) {
    const d = v.def;
    const own =
      d.kind === "carry" || d.kind === "step"
        ? total.get(d.fold)
        : d.kind === "result"
          ? total.get(parent.get(d.fold) ?? -1)
          : d.kind === "pos" || d.kind === "edge"
            ? byAxis.get(d.axis.id)
            : undefined;
    found.set(
      v.id,
      operandsOf(d).reduce((n, a) => Math.max(n, found.get(a.id) ?? 1), own ?? 1),
    );
  }
  return found;
}

/** The loops over rounds in which each value is computed, outermost first: those of what it is computed for. */
function loopsAround(
  values: readonly Value[],
  facts: Facts,
  looped: (axes: readonly Axis[]) => readonly Axis[],
): ReadonlyMap<number, readonly Axis[]> {
  const inPlace = new Set([...facts.accumulated.values()].map((a) => a.sum.id));
  const around = new Map<number, readonly Axis[]>();
  const wider = (v: Value, loops: readonly Axis[]): void => {
    if (loops.length > (around.get(v.id)?.length ?? -1)) around.set(v.id, loops);
  };
  for (const v of [...values].reverse()) {
    const own = looped(v.axes);
    if (facts.stored.has(v.id) || (around.get(v.id)?.length ?? 0) < own.length) around.set(v.id, own);
    const loops = around.get(v.id) ?? own;
    for (const a of operandsOf(v.def)) {
      if (v.def.kind === "reduce") {
        const over = looped([v.def.axis]);
        wider(a, inPlace.has(v.id) ? [...over, ...own] : [...(facts.loopOf.has(v.id) ? own : loops), ...over]);
      } else wider(a, loops);
    }
  }
  return around;
}
/** Of those loops, the ones down to the innermost that the value depends on. */
function loopsOf(
  around: readonly Axis[],
  v: Value,
  looped: (axes: readonly Axis[]) => readonly Axis[],
): readonly Axis[] {
  const own = looped(v.axes);
  let last = -1;
  around.forEach((a, k) => {
    if (own.some((x) => x.id === a.id)) last = k;
  });
  const outer = around.slice(0, last + 1);
  return [...outer, ...own.filter((a) => !outer.some((x) => x.id === a.id))];
}
