/** What there is to choose for a program: sizes of mesh axes, parts of axes, functions, layouts, policies. */
import type { Layout } from "../compiler/base/dim.ts";
import type { Found } from "../compiler/core/elaborate/choices.ts";
import type { Signature } from "../compiler/core/elaborate.ts";
import type { Policy, Program } from "../compiler/core/ir.ts";
import { eachEqn, outsOf } from "../compiler/core/walk.ts";
import type { Candidate, Question } from "./candidate.ts";

/** The axes over which something of a program differs between devices; more devices along others would do the same again. */
export function usedAxes(program: Program): ReadonlySet<string> {
  const used = new Set(program.inputs.flatMap(({ port }) => port.spec.flatMap((e) => e.axes)));
  eachEqn(program.body, (e) => {
    for (const out of outsOf(e)) for (const axis of out.type.varying) used.add(axis);
  });
  // A part of an axis that is in parts stands for the axis.
  return new Set([...used].map((axis) => axis.split(".")[0]!));
}

/**
 * The ways to deal out the devices over the mesh axes; those that use few axes come first. Axes that are not in `used` get
 * one device.
 */
export function meshes(
  q: Question,
  { mesh }: Signature,
  used: ReadonlySet<string> = new Set(mesh.axes.map((a) => a.name)),
): readonly Candidate["mesh"][] {
  const fixed = mesh.axes.flatMap(({ name }) => {
    const size = q.mesh[name] ?? (used.has(name) ? undefined : 1);
    return size === undefined ? [] : [[name, size] as const];
  });
  const taken = fixed.reduce((n, [, size]) => n * size, 1);
  const open = mesh.axes.map((a) => a.name).filter((name) => !fixed.some(([f]) => f === name));
  if (q.devices % taken !== 0 || (open.length === 0 && taken !== q.devices)) return [];
  const given = Object.fromEntries(fixed);
  const inOrder = (sizes: Readonly<Record<string, number>>) =>
    Object.fromEntries(mesh.axes.map(({ name }) => [name, sizes[name]!]));
  const wide = (m: Candidate["mesh"]): number => Object.values(m).filter((n) => n > 1).length;
  return factorings(q.devices / taken, open.length)
    .map((sizes) => inOrder({ ...given, ...Object.fromEntries(open.map((name, i) => [name, sizes[i]!])) }))
    .sort((a, b) => wide(a) - wide(b));
}

/** The ways to write n as a product of so many numbers, in order. */
export function factorings(n: number, count: number): readonly (readonly number[])[] {
  if (count === 0) return n === 1 ? [[]] : [];
  if (count === 1) return [[n]];
  return divisors(n).flatMap((d) => factorings(n / d, count - 1).map((rest) => [d, ...rest]));
}
const divisors = (n: number): readonly number[] => {
  const small = Array.from({ length: Math.floor(Math.sqrt(n)) }, (_, i) => i + 1).filter((d) => n % d === 0);
  return [...small, ...small.map((d) => n / d).filter((d) => !small.includes(d))].sort((a, b) => a - b);
};

/** A function for every exchangeable one that is called, and the parts of axes that it needs. */
export type Ways = Pick<Candidate, "exchanges" | "splits">;

/** The ways to call on a mesh, as it is written first. */
export function waysToCall(q: Question, found: Found, mesh: Candidate["mesh"]): readonly Ways[] {
  const asWritten: Ways = { exchanges: q.fixed.exchanges ?? {}, splits: q.fixed.splits ?? {} };
  if (q.fixed.exchanges) return [asWritten];
  const ways = [asWritten];
  for (const group of q.exchangeable) {
    const calls = found.calls.filter(
      (call) => group.some((f) => f.name === call.name) && devicesAlong(call.axes, mesh) > 1,
    );
    if (calls.length === 0) continue;
    const written = [...new Set(calls.map((call) => call.name))];
    // Axes that a call has one of, and could have in parts.
    const single = [...new Set(calls.flatMap((call) => (call.axes.length === 1 ? call.axes : [])))];
    for (const { name, axes } of group) {
      const exchanges = Object.fromEntries(written.filter((w) => w !== name).map((w) => [w, name]));
      const parts = axes.length === 1 || single.length === 0 ? [{}] : inParts(single, mesh, axes.length);
      for (const splits of parts)
        if (Object.keys(exchanges).length + Object.keys(splits).length > 0)
          ways.push({ exchanges, splits: { ...asWritten.splits, ...splits } });
    }
  }
  return ways;
}
/** On a mesh; a part of an axis counts as the axis. */
const devicesAlong = (axes: readonly string[], mesh: Candidate["mesh"]): number =>
  [...new Set(axes.map((axis) => axis.split(".")[0]!))].reduce((n, axis) => n * (mesh[axis] ?? 1), 1);

/** The ways to part every one of some axes in so many, none of them of size 1 unless the axis is too small. */
function inParts(axes: readonly string[], mesh: Candidate["mesh"], count: number): readonly Candidate["splits"][] {
  return axes.reduce<readonly Candidate["splits"][]>(
    (all, axis) => {
      const every = factorings(mesh[axis] ?? 1, count);
      const real = every.filter((sizes) => sizes.every((n) => n > 1));
      return all.flatMap((splits) =>
        (real.length > 0 ? real : every.slice(0, 1)).map((sizes) => ({ ...splits, [axis]: sizes })),
      );
    },
    [{}],
  );
}

const LAYOUTS: readonly Layout[] = ["contiguous", "striped", "zigzag"];
/** Layouts of the dimensions that are split on a mesh; none where the program does not ask for positions. */
export function layoutsOf(
  q: Question,
  signature: Signature,
  found: Found,
  mesh: Candidate["mesh"],
): readonly Candidate["layouts"][] {
  const asWritten = q.fixed.layouts ?? {};
  if (q.fixed.layouts || !found.positions) return [asWritten];
  return [
    asWritten,
    ...[...writtenLayouts(signature, (axes) => devicesAlong(axes, mesh) > 1)].flatMap(([dim, written]) =>
      LAYOUTS.filter((layout) => written.size > 1 || !written.has(layout)).map((layout): Candidate["layouts"] => ({
        ...asWritten,
        [dim]: layout,
      })),
    ),
  ];
}
/** How the split dimensions of inputs and results lie in the source, by name. */
export function writtenLayouts(
  signature: Signature,
  counts: (axes: readonly string[]) => boolean = (axes) => axes.length > 0,
): ReadonlyMap<string, ReadonlySet<Layout>> {
  const found = new Map<string, Set<Layout>>();
  for (const p of [...signature.inputs, ...signature.outputs])
    for (const [i, name] of p.written.entries()) {
      const { axes, layout } = p.spec[i]!;
      if (counts(axes) && signature.dims.includes(name)) found.set(name, (found.get(name) ?? new Set()).add(layout));
    }
  return found;
}

const POLICIES: readonly Policy[] = ["nothing_saveable", "dots_saveable", "everything_saveable"];
export const policiesOf = (q: Question, found: Found): readonly (Policy | undefined)[] =>
  q.fixed.policy || found.policies.length === 0
    ? [q.fixed.policy]
    : [undefined, ...POLICIES.filter((p) => found.policies.length > 1 || p !== found.policies[0])];
