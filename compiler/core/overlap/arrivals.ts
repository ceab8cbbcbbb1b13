/**
 * Sums that travel: what is added to an array that comes from another device is computed beside the transfer, and added
 * when it is there, where that hides more than one kernel for both saves.
 *
 *   a = ppermute sum                              a = ppermute sum
 *   sum' = tiles … fold with (acc = a[i]) …       part = tiles … fold with (acc = 0) …
 *                                                 sum' = a + part
 *
 *   sum' = a + einsum(x, w)                       sum' = a + optimization_barrier einsum(x, w)
 *
 * In one kernel, the sum goes on in registers from what came; apart, it costs a launch and another pass over memory.
 */
import { dimNumber, dimsEqual } from "../../base/dim.ts";
import { launchSeconds, type Machine } from "../../base/machine.ts";
import { type Builder, builder, emit, fresh, lit } from "../build.ts";
import { bytesOf, type Choice, secondsOf, transferSeconds } from "../cost.ts";
import type { Atom, Block, Eqn, FoldEqn, OpEqn, Program, TilesEqn, Var } from "../ir.ts";
import { freeVars, mapEqn, nextId, outsOf } from "../walk.ts";
import type { State } from "./state.ts";

/** The program with such sums taken apart where that pays on `machine`, and what was chosen. */
export function addOnArrival(p: Program, machine: Machine): { program: Program; choices: readonly Choice[] } {
  const s: State = { machine, mesh: p.mesh, ids: { next: nextId(p) }, choices: [] };
  return { program: { ...p, body: rewrite(s, p.body, 1) }, choices: s.choices };
}

function rewrite(s: State, b: Block, times: number): Block {
  const eqns = b.eqns.map((e) => {
    if (e.kind === "op" || e.kind === "tiles") return e;
    const steps = e.kind === "fold" && e.over.kind === "steps" ? (dimNumber(e.over.count) ?? 1) : 1;
    return mapEqn(
      e,
      (a) => a,
      (inner) => rewrite(s, inner, times * steps),
    );
  });
  const apart = chosen(s, eqns, times);
  if (apart.size === 0) return { ...b, eqns };
  const to = builder({ axes: s.mesh.axes }, s.ids);
  for (const e of eqns) {
    const sums = apart.get(e);
    if (!sums) to.eqns.push(e);
    else if (e.kind === "tiles") emitTiles(to, e, sums);
    else emitAdd(to, e as OpEqn<"add">, sums[0]!);
  }
  return { eqns: to.eqns, results: b.results };
}

/** A sum of what came (`came`, which is operand or what result `place` goes on from) and of what is computed here. */
type Sum = { readonly came: Var; readonly place: number };

/** The equations to take apart, and their sums; none where nothing is gained. */
function chosen(s: State, eqns: readonly Eqn[], times: number): ReadonlyMap<Eqn, readonly Sum[]> {
  const permutes = eqns.filter((e): e is OpEqn<"ppermute"> => e.kind === "op" && e.op === "ppermute");
  if (permutes.length === 0) return new Map();
  const { found, beside, freed } = candidates(s.machine, eqns, permutes);
  if (found.size === 0) return found;
  const m = s.machine;
  const sums = [...found].flatMap(([e, of]) => of.map((sum) => ({ e, ...sum })));
  const seconds = (of: readonly OpEqn<"ppermute">[]): number => {
    const all = of.map((e) => transferSeconds(m, s.mesh, { axes: e.params.axes }, bytesOf(e.out.type)));
    return all.reduce((sum, t) => sum + t.onLink, 0) + Math.max(0, ...all.map((t) => t.latency));
  };
  const extra = sums.reduce((sum, { came }) => sum + launchSeconds(m, 0, 2 * bytesOf(came.type)), 0);
  const coming = seconds(permutes.filter((e) => sums.some((x) => x.came.id === e.out.id)));
  const together = Math.max(Math.max(beside, coming) + freed, seconds(permutes));
  const apart = Math.max(Math.max(beside + freed, coming) + extra, seconds(permutes));
  if (apart >= together) return new Map();
  for (const { e, came } of sums)
    s.choices.push({
      about: nameOf(permutes.find((x) => x.out.id === came.id)!.args[0]!),
      what: `on its way beside ${e.kind === "tiles" ? "the kernel of its next part" : "the next product"}, and added on arrival`,
      saves: ((together - apart) * times) / sums.length,
    });
  return found;
}
/**
 * Sums that could be taken apart, and seconds of kernels: `beside`, of those that need nothing that comes, `freed`, of those
 * that go on from what comes and need not.
 */
function candidates(m: Machine, eqns: readonly Eqn[], permutes: readonly OpEqn<"ppermute">[]) {
  const found = new Map<Eqn, readonly Sum[]>();
  const arrived = new Set(permutes.map((e) => e.out.id));
  const late = new Set(arrived);
  const readers = new Map<number, number>();
  const reads = new Map(eqns.map((e) => [e, [...freeVars({ eqns: [e], results: [] })]]));
  for (const v of [...reads.values()].flat()) readers.set(v.id, (readers.get(v.id) ?? 0) + 1);
  /** What an element-wise op would share its kernel with: the products that it alone reads. */
  const products = new Map<number, number>();
  const under = (v: Var): number => (readers.get(v.id) === 1 ? (products.get(v.id) ?? 0) : 0);
  let [beside, freed] = [0, 0];
  for (const e of eqns) {
    if (arrived.has(outsOf(e)[0]?.id ?? -1)) continue;
    const own = reads.get(e)!;
    const seconds = secondsOf(m, e);
    if (!own.some((v) => late.has(v.id))) {
      beside += seconds;
      if (e.kind === "op")
        products.set(
          e.out.id,
          own.reduce((sum, v) => sum + under(v), seconds),
        );
      continue;
    }
    const sums =
      e.kind === "tiles" ? sumsOf(e, arrived) : e.kind === "op" && e.op === "add" ? addOf(e, arrived, under) : [];
    if (sums.length > 0 && !own.some((v) => late.has(v.id) && !sums.some((x) => x.came.id === v.id))) {
      found.set(e, sums);
      const product = e.kind === "op" ? own.reduce((sum, v) => sum + under(v), 0) : 0;
      beside -= product;
      freed += product + seconds;
    }
    for (const v of outsOf(e)) late.add(v.id);
  }
  return { found, beside, freed };
}
const nameOf = (a: Atom): string => (a.kind === "var" && a.name ? a.name : "a sum");

/** What comes and is added to a product, or to what only work on elements leads to from one. */
function addOf(e: OpEqn, arrived: ReadonlySet<number>, under: (v: Var) => number): readonly Sum[] {
  return [0, 1].flatMap((place): Sum[] => {
    const [came, z] = [e.args[place]!, e.args[1 - place]!];
    return came.kind === "var" && z.kind === "var" && arrived.has(came.id) && under(z) > 0 ? [{ came, place }] : [];
  });
}
function emitAdd(b: Builder, e: OpEqn<"add">, { place }: Sum): void {
  const part = emit(b, "optimization_barrier", { id: b.ids.next++ }, e.args[1 - place]!);
  b.eqns.push({ ...e, args: e.args.with(1 - place, part) });
}

// --- Tiles that go on from what came ------------------------------------------------------------------------------------

/** The results of `t` that are sums which begin at something that came, read for nothing else. */
function sumsOf(t: TilesEqn, arrived: ReadonlySet<number>): readonly Sum[] {
  const inside = t.body.eqns;
  return [...freeVars(t.body)].flatMap((came): Sum[] => {
    if (!arrived.has(came.id)) return [];
    const [first, ...more] = readersIn(t.body, came);
    if (more.length > 0 || first === "results" || first?.kind !== "op" || first.op !== "index") return [];
    const [begin, ...others] = readersIn(t.body, first.out);
    if (others.length > 0 || begin === "results" || begin?.kind !== "fold" || !inside.includes(begin)) return [];
    const k = begin.init.findIndex((a) => a.kind === "var" && a.id === first.out.id);
    if (k < 0 || begin.init.filter((a) => a === begin.init[k]).length > 1 || !isSum(begin, k)) return [];
    const place = t.body.results.findIndex((a) => a.kind === "var" && a.id === begin.outs[k]!.id);
    const used = readersIn(t.body, begin.outs[k]!);
    const out = t.outs[place];
    if (!out || used.length !== 1 || used[0] !== "results" || !sameElements(t, place, first)) return [];
    return dimsEqual(out.type.shape, came.type.shape) && out.type.dtype === came.type.dtype ? [{ came, place }] : [];
  });
}
/** Who reads a variable in a block, equations of inner blocks as the one that holds them. */
const readersIn = (b: Block, v: Var): readonly (Eqn | "results")[] => [
  ...b.eqns.filter((e) => [...freeVars({ eqns: [e], results: [] })].some((x) => x.id === v.id)),
  ...b.results.flatMap((a) => (a.kind === "var" && a.id === v.id ? (["results"] as const) : [])),
];
/** Whether carry k is only ever added to, in the loop or in a loop inside of it. */
function isSum(e: FoldEqn, k: number): boolean {
  const c = e.carry[k]!;
  const next = e.body.results[k]!;
  const [reader, ...more] = readersIn(e.body, c);
  if (!reader || reader === "results" || more.length > 0 || next.kind !== "var") return false;
  if (reader.kind === "op" && reader.op === "add")
    return reader.out.id === next.id && reader.args.filter((a) => a.kind === "var" && a.id === c.id).length === 1;
  if (reader.kind !== "fold") return false;
  const j = reader.init.findIndex((a) => a.kind === "var" && a.id === c.id);
  return j >= 0 && !freeIn(reader.body, c) && reader.outs[j]?.id === next.id && isSum(reader, j);
}
const freeIn = (b: Block, v: Var): boolean => [...freeVars(b)].some((x) => x.id === v.id);

/** Whether each tile reads of an array just what it writes of result `place`. */
function sameElements(t: TilesEqn, place: number, { params, args }: OpEqn<"index">): boolean {
  const into = t.into[place]!;
  return (
    into.length === params.selectors.length &&
    into.every((to, d) => {
      const s = params.selectors[d]!;
      if (to.kind === "all") return s.kind === "all";
      const index = t.indices.find((i) => i.id === to.id)!;
      if (s.kind === "block") return s.index.id === index.id;
      const at = s.kind === "at" ? args[s.arg] : undefined;
      return at?.kind === "var" && index.element?.id === at.id;
    })
  );
}

/** The tiles with sums that begin at 0, and what came added to them. */
function emitTiles(b: Builder, t: TilesEqn, sums: readonly Sum[]): void {
  const came = new Set(sums.map((x) => x.came.id));
  const eqns = t.body.eqns.flatMap((e): readonly Eqn[] => {
    if (e.kind !== "op" || e.op !== "index" || e.args[0]?.kind !== "var" || !came.has(e.args[0].id)) return [e];
    const zeros = fresh(b.ids, { ...e.out.type, varying: [] });
    const full: Eqn = {
      kind: "op",
      op: "full",
      params: { shape: e.out.type.shape },
      args: [lit(0, e.out.type.dtype)],
      out: zeros,
    };
    const axes = e.out.type.varying;
    return [full, { kind: "op", op: "pvary", params: { axes }, args: [zeros], out: e.out }];
  });
  const outs = t.outs.map((v, k) => (sums.some((x) => x.place === k) ? fresh(b.ids, v.type, v.name) : v));
  b.eqns.push({ ...t, body: { ...t.body, eqns }, outs });
  for (const { came: a, place } of sums) {
    const out = t.outs[place]!;
    b.eqns.push({ kind: "op", op: "add", params: {}, args: [a, outs[place]!], out });
  }
}
