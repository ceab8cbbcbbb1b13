/**
 * Masks on blocks. For every sequential loop over blocks: the blocks on which a condition holds nowhere are skipped
 * where that provably changes nothing, and a `where` whose condition holds throughout a block is not tested there.
 */
import { isFloat } from "../core/dtype.ts";
import { idleWithout } from "./idle.ts";
import { both, known, type Maker, truth, truthOf } from "./intervals.ts";
import type { Bounds, Fold, Kernel, Stmt, Value } from "./ir.ts";
import { printScalar } from "./printScalar.ts";
import { dependsOn } from "./values.ts";

/** The kernel with what is known of its masks written on its folds. `initials`: numbers that buffers hold at first. */
export function deriveBounds(kernel: Kernel, initials: ReadonlyMap<number, number> = new Map()): Kernel {
  const counter = { next: largestId(kernel.body) + 1000 };
  return { ...kernel, body: kernel.body.map((s) => (s.kind === "fold" ? boundFold(s, kernel, counter, initials) : s)) };
}

function boundFold(fold: Fold, kernel: Kernel, counter: { next: number }, initials: ReadonlyMap<number, number>): Fold {
  const body = fold.body.map((s) => (s.kind === "fold" ? boundFold(s, kernel, counter, initials) : s));
  const inner: Fold = { ...fold, body };
  if (fold.over.kind !== "blocks") return inner;
  const axis = fold.over.axis;
  const maker: Maker = { made: [], nextId: counter.next, known: new Map() };
  const here = body.flatMap((s) => (s.kind === "let" ? [s.value] : []));
  const conditions = outermost(here).filter((v) => v.axes.some((a) => a.id === axis.id));
  const notes: string[] = [];

  const initial = (v: Value): number | undefined => (v.def.kind === "load" ? initials.get(v.def.buffer) : undefined);
  let run: Value = truth(maker, true);
  for (const c of conditions) {
    const { may } = truthOf(maker, c);
    if (known(may) === 1 || !idleWithout(inner, c, initial)) continue;
    run = both(maker, run, may);
  }
  if (known(run) !== 1) notes.push(`blocks of ${axis.name} run only where ${printScalar(run, kernel)}`);

  const full: { select: Value; when: Value }[] = [];
  for (const v of here) {
    if (!isFloat(v.dtype) || v.def.kind !== "map" || v.def.op !== "select" || !dependsOn(v.def.args[0]!, axis))
      continue;
    const { must } = truthOf(maker, v.def.args[0]!);
    if (known(must) === 0) continue;
    full.push({ select: v, when: must });
    notes.push(
      `blocks of ${axis.name} need no mask${v.name ? ` for ${v.name}` : ""} where ${printScalar(must, kernel)}`,
    );
  }
  counter.next = maker.nextId;
  if (notes.length === 0) return inner;
  const bounds: Bounds = { prelude: maker.made, full, notes, ...(known(run) === 1 ? {} : { run }) };
  return { ...inner, bounds };
}

/** Conditions that are not part of a larger one. */
function outermost(values: readonly Value[]): readonly Value[] {
  const parts = new Set<number>();
  for (const v of values)
    if (v.dtype === "bool" && v.def.kind === "map")
      for (const a of v.def.args) if (a.dtype === "bool" && v.def.op !== "select") parts.add(a.id);
  return values.filter((v) => v.dtype === "bool" && !parts.has(v.id) && v.def.kind === "map" && intervalable(v));
}
/** Conditions are worth a look when they compare integers somewhere. */
const intervalable = (v: Value): boolean =>
  v.def.kind === "map" && v.def.args.some((a) => a.dtype === "i32" || (a.dtype === "bool" && intervalable(a)));

function largestId(body: readonly Stmt[]): number {
  let largest = 0;
  const see = (v: Value): void => {
    largest = Math.max(largest, v.id);
  };
  const walk = (stmts: readonly Stmt[]): void => {
    for (const s of stmts)
      if (s.kind === "let") see(s.value);
      else {
        [...s.carry, ...s.init, ...s.next, ...s.results].forEach(see);
        walk(s.body);
      }
  };
  walk(body);
  return largest;
}
