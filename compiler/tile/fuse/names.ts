/** Names for readers: kernels after what the user calls their results, or after what they compute. */
import type { Atom, Eqn, OpEqn, TilesEqn } from "../../core/ir.ts";

/** A name that WGSL and people can read, unlike all that were given before. */
export function uniqueName(taken: Set<string>, hint: string): string {
  const base = cleanName(hint);
  let name = base;
  for (let k = 1; taken.has(name); k++) name = `${base}_${k}`;
  taken.add(name);
  return name;
}
/** Letters, digits and single underscores, beginning with a letter. */
function cleanName(hint: string): string {
  const clean = hint.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
  return clean === "" ? "value" : /^[0-9]/.test(clean) ? `x${clean}` : clean;
}

const words: Partial<Record<OpEqn["op"], string>> = {
  einsum: "product",
  argmax: "argmax",
  cumsum: "running_sum",
  full: "fill",
  iota: "count",
  dynamic_update: "update",
  dynamic_slice: "slice",
  concat: "join",
  transpose: "transpose",
  reshape: "reshape",
  broadcast: "spread",
  index: "take",
  select: "choose",
  random_uniform: "random",
};
/** What an equation does, in a word. */
const wordFor = (e: OpEqn): string => (e.op === "reduce" ? e.params.kind : (words[e.op] ?? e.op));

/** The name of a kernel that computes `out`: its variable's, else that of the work in it. */
export function kernelName(out: OpEqn, members: readonly OpEqn[], body: readonly Eqn[]): string {
  if (out.out.name) return out.out.name;
  const work = members.find((e) => e.op === "einsum") ?? members.find((e) => e.op === "reduce" || e.op === "cumsum");
  if (work) return work.out.name ?? wordFor(work);
  const hinted = [...body].reverse().find((e) => e.kind === "op" && e.out.name !== undefined && e !== out);
  return hinted && body.length > 2 && hinted.kind === "op" ? hinted.out.name! : wordFor(out);
}

const nameOf = (a: Atom): string | undefined => (a.kind === "var" ? a.name : undefined);
/** What the user calls a result of a `tiles`, outside of it or in its body. */
export const tilesResultName = (e: TilesEqn, k: number): string | undefined =>
  e.outs[k]!.name ?? nameOf(e.body.results[k]!);
/** The name of the kernel of a `tiles`: its results', else its indices'. */
export function tilesName(e: TilesEqn): string {
  const known = new Set(e.outs.flatMap((_, k) => tilesResultName(e, k) ?? []));
  return known.size > 0 ? [...known].join("_") : `tiles_${e.indices.map((i) => i.name).join("_")}`;
}
