/**
 * Collectives beside the products that they feed or that feed them: each is computed in as many parts as its ring has
 * devices, and a part is on its way while the one before it is multiplied.
 *
 *   y = einsum(all_gather x, w)      fold t in n with (y = 0, x):  y[part of source] = einsum(x, w);  x = ppermute x
 *                                    where the gathered dimension is summed:  y += einsum(x, part of w)
 *   y = psum_scatter(einsum(x, w))   y = my part for the farthest;  n - 1 times:  y = ppermute y + the next part
 *   y = psum(einsum(x, w))           the same, then all_gather y
 *
 * Between collective and product may stand whatever works on rows one by one (parts.ts). Several products of one gather
 * take their parts in one loop. This is done where the machine is faster that way.
 */
import { dimNumber } from "../../base/dim.ts";
import type { Machine } from "../../base/machine.ts";
import { type Builder, builder, emit, fold, lit } from "../build.ts";
import { bytesOf, type Choice, isSmallSum, nameOf, secondsOf, transferSeconds } from "../cost.ts";
import type { Atom, Block, Eqn, FoldEqn, OpEqn, Program, Var } from "../ir.ts";
import { ringSize } from "../mesh-layout.ts";
import { freeVars, mapEqn, nextId, outsOf } from "../walk.ts";
import { gainsOf, isMovable } from "./beside.ts";
import { cutOf, emitPart, labelAt, rowsOfResult, slice, startOf } from "./parts.ts";
import type { State } from "./state.ts";
import { bestWay } from "./ways.ts";

/** The program with such loops where they pay on `machine`, and what was chosen. */
export function ringProducts(p: Program, machine: Machine): { program: Program; choices: readonly Choice[] } {
  const s: State = { machine, mesh: p.mesh, ids: { next: nextId(p) }, choices: [] };
  return { program: { ...p, body: rewrite(s, p.body, 1) }, choices: s.choices };
}

/** What stands in the place of some equations: it is emitted where `at` stood, and binds `outs` anew. */
type Plan = {
  readonly about: string;
  readonly what: string;
  readonly saves: number;
  readonly gone: ReadonlySet<Eqn>;
  readonly at: Eqn;
  readonly outs: readonly Var[];
  readonly emit: (b: Builder) => readonly Atom[];
};

/** `times`: how often the block runs; `loop`: whose body it is. */
function rewrite(s: State, b: Block, times: number, loop?: FoldEqn): Block {
  const region =
    (e: Eqn) =>
    (inner: Block): Block =>
      e.kind === "fold" && e.over.kind === "steps"
        ? rewrite(s, inner, times * (dimNumber(e.over.count) ?? 1), e)
        : rewrite(s, inner, times);
  const facts = factsOf(b);
  const gains = gainsOf(s.machine, s.mesh, b, loop);
  const plans = b.eqns.flatMap((e) => {
    const plan = e.kind === "op" ? planOf(s, facts, e) : undefined;
    // What passes beside other kernels as well as beside its product stays whole.
    return plan && plan.saves > (isMovable(e) ? gains(e).saves : 0) ? [plan] : [];
  });
  const taken = new Set<Eqn>();
  const starts = new Map<Eqn, Plan>();
  for (const plan of plans.sort((x, y) => y.saves - x.saves)) {
    if ([...plan.gone].some((e) => taken.has(e))) continue;
    for (const e of plan.gone) taken.add(e);
    starts.set(plan.at, plan);
    s.choices.push({ about: plan.about, what: plan.what, saves: plan.saves * times });
  }
  const to = builder({ axes: s.mesh.axes }, s.ids);
  const renamed = new Map<number, Atom>();
  const atom = (a: Atom): Atom => (a.kind === "var" ? (renamed.get(a.id) ?? a) : a);
  const named = (block: Block): Block => ({
    eqns: block.eqns.map((e) => mapEqn(e, atom, named)),
    results: block.results.map(atom),
  });
  for (const e of b.eqns) {
    const plan = starts.get(e);
    if (plan) {
      const own = builder(to.context, s.ids, e.kind === "op" ? e.span : undefined);
      const made = plan.emit(own);
      const results = plan.outs.map((out, i) => asType(own, made[i]!, out));
      to.eqns.push(...own.eqns.map((x) => mapEqn(x, atom, named)));
      for (const [i, out] of plan.outs.entries()) renamed.set(out.id, results[i]!);
    }
    if (taken.has(e)) continue;
    const inner = e.kind === "op" || e.kind === "tiles" ? (block: Block) => block : region(e);
    to.eqns.push(mapEqn(e, atom, (block) => named(inner(block))));
  }
  return { eqns: to.eqns, results: b.results.map(atom) };
}
/** The value as one of the type that the program gives it. */
function asType(b: Builder, a: Atom, out: Var): Atom {
  const less = a.type.varying.filter((x) => !out.type.varying.includes(x));
  const narrow = less.length > 0 ? emit(b, "unvary", { axes: less }, a) : a;
  const more = out.type.varying.filter((x) => !narrow.type.varying.includes(x));
  return more.length > 0 ? emit(b, "pvary", { axes: more }, narrow) : narrow;
}

// --- What a block is -------------------------------------------------------------------------------------------------

type Facts = {
  readonly block: Block;
  readonly place: ReadonlyMap<Eqn, number>;
  readonly defs: ReadonlyMap<number, Eqn>;
  /** Who reads each variable, regions included; `results` where the block gives it. */
  readonly readers: ReadonlyMap<number, readonly (Eqn | "results")[]>;
};
function factsOf(block: Block): Facts {
  const place = new Map(block.eqns.map((e, i) => [e, i]));
  const defs = new Map<number, Eqn>();
  const readers = new Map<number, (Eqn | "results")[]>();
  const read = (id: number, by: Eqn | "results"): void => {
    const known = readers.get(id);
    if (known) known.push(by);
    else readers.set(id, [by]);
  };
  for (const e of block.eqns) {
    for (const v of outsOf(e)) defs.set(v.id, e);
    for (const v of freeVars({ eqns: [e], results: [] })) read(v.id, e);
  }
  for (const a of block.results) if (a.kind === "var") read(a.id, "results");
  return { block, place, defs, readers };
}
const readersOf = (f: Facts, v: Var) => f.readers.get(v.id) ?? [];
/** Where a value is there: after this equation of the block; -1 for what comes from outside. */
const placeOf = (f: Facts, a: Atom): number => {
  const e = a.kind === "var" ? f.defs.get(a.id) : undefined;
  return e ? f.place.get(e)! : -1;
};

function planOf(s: State, f: Facts, e: OpEqn): Plan | undefined {
  const ring = e.op === "all_gather" || e.op === "psum_scatter" || e.op === "psum" ? e.params.axes : undefined;
  const n = ring ? ringSize(s.mesh, ring) : 1;
  if (n === 1) return undefined;
  const plan = e.op === "all_gather" ? gathered(s, f, e, n) : scattered(s, f, e as Scatter, n);
  return plan;
}

// --- A gather before products -----------------------------------------------------------------------------------------

type Use = { readonly e: OpEqn<"einsum">; readonly place: number; readonly label: string };

/** Everything that is made of a gathered value by its rows, down to products; undefined where something else reads it. */
function usesOf(f: Facts, g: OpEqn<"all_gather">) {
  const rows = new Map<number, number>([[g.out.id, g.params.dim]]);
  const chain: OpEqn[] = [];
  const uses: Use[] = [];
  const queue = [g.out];
  for (let v = queue.shift(); v; v = queue.shift()) {
    const dim = rows.get(v.id)!;
    for (const e of readersOf(f, v)) {
      if (e === "results" || e.kind !== "op") return undefined;
      if (e.op === "einsum") {
        const places = e.args.flatMap((a, i) => (a.kind === "var" && a.id === v.id ? [i] : []));
        const label = places.length === 1 ? labelAt(e, places[0]!, dim) : undefined;
        if (label === undefined || uses.some((u) => u.e === e)) return undefined;
        uses.push({ e, place: places[0]!, label });
      } else {
        if (chain.includes(e)) continue;
        const out = rowsOfResult(
          e,
          e.args.findIndex((a) => a.kind === "var" && a.id === v.id),
          dim,
        );
        if (out === undefined) return undefined;
        rows.set(e.out.id, out);
        chain.push(e);
        queue.push(e.out);
      }
    }
  }
  // An operand that is itself made of the gather must be cut where the rows are.
  for (const e of chain) {
    const cut = cutOf(e, rows.get(e.out.id)!)!;
    if (e.args.some((a, i) => a.kind === "var" && rows.has(a.id) && rows.get(a.id) !== cut[i])) return undefined;
  }
  if (uses.some(({ e, place }) => e.args.some((a, i) => i !== place && a.kind === "var" && rows.has(a.id))))
    return undefined;
  return uses.length > 0 ? { rows, chain: chain.sort((a, b) => f.place.get(a)! - f.place.get(b)!), uses } : undefined;
}

function gathered(s: State, f: Facts, g: OpEqn<"all_gather">, n: number): Plan | undefined {
  const found = usesOf(f, g);
  if (!found) return undefined;
  const { rows, chain, uses } = found;
  const inside = new Set(rows.keys());
  // All parts are computed in one loop: behind what the products read besides, before anybody reads what they give.
  const others = [...chain, ...uses.map((u) => u.e)].flatMap((e) =>
    e.args.filter((a) => a.kind === "var" && !inside.has(a.id)),
  );
  const place = Math.max(Math.min(...uses.map((u) => f.place.get(u.e)!)), ...others.map((a) => placeOf(f, a) + 1));
  const isRead = (u: Use): boolean => readersOf(f, u.e.out).some((e) => e !== "results" && f.place.get(e)! < place);
  const at = f.block.eqns[place];
  if (!at || uses.some(isRead)) return undefined;
  const { axes, dim } = g.params;
  const x = g.args[0]!;
  const size = dimNumber(x.type.shape[dim]!);
  if (size === undefined) return undefined;
  const sums = (u: Use): boolean => !u.e.params.out.includes(u.label);
  // Sums whose order differs from device to device are not one value.
  if (uses.some((u) => sums(u) && axes.some((a) => !u.e.out.type.varying.includes(a)))) return undefined;

  const m = s.machine;
  const link = transferSeconds(m, s.mesh, { axes }, bytesOf(x.type));
  const whole = uses.reduce((sum, u) => sum + secondsOf(m, u.e), 0);
  // A part reads all of a sum so far, and writes it; or it writes its rows.
  const part = uses.reduce((sum, u) => {
    const rest = u.e.args.reduce((bytes, a, i) => bytes + (i === u.place ? 0 : bytesOf(a.type)), 0);
    const again = sums(u) ? 2 * bytesOf(u.e.out.type) + rest / n : rest + bytesOf(u.e.out.type) / n;
    return sum + partSeconds(m, u.e, n, again);
  }, 0);
  const hop = link.onLink + link.latency;
  const plain = bestWay(m, s.mesh, "gather", axes, bytesOf(x.type)).seconds + whole;
  const once = (n - 1) * Math.max(hop, part) + part;
  const half = Math.ceil(n / 2);
  const slower = (2 / link.bothWays) * link.onLink + link.latency;
  const twice = hop + half * Math.max(slower, 2 * part);
  const both = twice < once && n > 2;
  return {
    about: `all_gather of ${nameOf(x, f.defs)} over ${axes.join(", ")}`,
    what: `in ${n} parts round ${both ? "the ring in both directions" : "a ring"}, beside the parts of ${uses.length > 1 ? `${uses.length} products` : "the product"}`,
    saves: plain - Math.min(once, twice),
    gone: new Set<Eqn>([g, ...chain, ...uses.map((u) => u.e)]),
    at,
    outs: uses.map((u) => u.e.out),
    emit: (b) => {
      const step = (to: Builder, ys: readonly Atom[], cur: Atom, start: Atom): readonly Atom[] => {
        const made = new Map<number, Atom>([[g.out.id, cur]]);
        const rowsAt = (a: Atom, d: number): Atom =>
          (a.kind === "var" ? made.get(a.id) : undefined) ?? slice(to, a, d, size, start);
        for (const e of chain) made.set(e.out.id, emitPart(to, e, rows.get(e.out.id)!, size, rowsAt));
        return uses.map(({ e, label }, k) => {
          const args = e.args.map((a, i) => {
            const d = e.params.ins[i]!.indexOf(label);
            return d < 0 ? a : rowsAt(a, d);
          });
          const product = emit({ ...to, ...(e.span && { span: e.span }) }, "einsum", e.params, ...args);
          const row = e.params.out.indexOf(label);
          return row < 0
            ? emit(to, "add", {}, ys[k]!, product)
            : emit(to, "dynamic_update", { dim: row }, ys[k]!, product, start);
        });
      };
      const ring = { axes, n };
      const send = (to: Builder, v: Atom, shift: number): Var =>
        emit(to, "ppermute", { axes, route: { kind: "shift", offset: shift } }, v);
      const zeros = uses.map(({ e }) => emit(b, "full", { shape: e.out.type.shape }, lit(0, e.out.type.dtype)));
      if (!both) {
        const outs = fold(b, n, [...zeros, x], (to, t, carry) => {
          const cur = carry.at(-1)!;
          const ys = step(to, carry.slice(0, -1), cur, startOf(to, ring, 0, size, { step: t, sign: -1 }));
          return [...ys, send(to, cur, 1)];
        });
        return outs.slice(0, -1);
      }
      const outs = fold(b, Math.floor(n / 2), [...zeros, x, send(b, x, -1)], (to, t, carry) => {
        const [left, right] = carry.slice(-2) as [Var, Var];
        const here = step(to, carry.slice(0, -2), left, startOf(to, ring, 0, size, { step: t, sign: -1 }));
        const there = step(to, here, right, startOf(to, ring, 1, size, { step: t, sign: 1 }));
        return [...there, send(to, left, 1), send(to, right, -1)];
      });
      if (n % 2 === 0) return outs.slice(0, -2);
      return step(b, outs.slice(0, -2), outs.at(-2)!, startOf(b, ring, -Math.floor(n / 2), size));
    },
  };
}

/** One of n parts of a product, which reads and writes so many bytes besides its own part of an operand. */
function partSeconds(m: Machine, e: OpEqn<"einsum">, n: number, bytes: number): number {
  const whole = secondsOf({ ...m, launch: 0, memory: { ...m.memory, bandwidth: Number.POSITIVE_INFINITY } }, e);
  return m.launch + Math.max(whole / n, bytes / (m.memory.bandwidth * m.efficiency.memory));
}

// --- A sum over devices after products ---------------------------------------------------------------------------------

type Scatter = OpEqn<"psum_scatter"> | OpEqn<"psum">;

/** What is computed by rows of dim `dim` of `v`, as far as only the sum needs it: down to products, and what stays whole. */
function treeOf(f: Facts, v: Var, dim: number) {
  const rows = new Map<number, number>();
  const products: OpEqn<"einsum">[] = [];
  const eqns: OpEqn[] = [];
  const visit = (a: Atom, d: number): void => {
    const e = a.kind === "var" ? f.defs.get(a.id) : undefined;
    if (e?.kind !== "op" || readersOf(f, e.out).length !== 1 || rows.has(e.out.id)) return;
    const cut = cutOf(e, d);
    if (!cut) return;
    if (e.op === "einsum") {
      const first = cut.findIndex((x) => x !== null);
      if (first < 0 || cut.some((x, i) => x !== null && labelAt(e, i, x) !== e.params.out[d])) return;
      products.push(e);
    } else for (const [i, x] of e.args.entries()) if (cut[i] !== null) visit(x, cut[i]!);
    rows.set(e.out.id, d);
    eqns.push(e);
  };
  visit(v, dim);
  return { rows, products, eqns };
}

function scattered(s: State, f: Facts, e: Scatter, n: number): Plan | undefined {
  const z = e.args[0]!;
  if (z.kind !== "var") return undefined;
  const divides = (d: number): boolean => (dimNumber(z.type.shape[d]!) ?? 1) % n === 0;
  const dims = e.op === "psum_scatter" ? [e.params.dim] : [...z.type.shape.keys()].filter(divides);
  const trees = dims.map((dim) => ({ dim, ...treeOf(f, z, dim) })).filter((t) => t.products.length > 0);
  const [tree] = trees.sort((a, b) => b.products.length - a.products.length || a.dim - b.dim);
  if (!tree) return undefined;
  const { dim, rows, products, eqns } = tree;
  const { axes } = e.params;
  const size = dimNumber(z.type.shape[dim]!)! / n;
  if (e.op === "psum" && isSmallSum(z.type, n)) return undefined;
  const m = s.machine;
  const bytes = bytesOf(z.type) / n;
  const link = transferSeconds(m, s.mesh, { axes }, bytes);
  const whole = products.reduce((sum, x) => sum + secondsOf(m, x), 0);
  const part = products.reduce((sum, x) => {
    // Operands that have no such rows are read anew for each part.
    const cut = cutOf(x, rows.get(x.out.id)!)!;
    const read = x.args.reduce((sum, a, i) => sum + bytesOf(a.type) / (cut[i] === null ? 1 : n), 0);
    return sum + partSeconds(m, x, n, read + bytesOf(x.out.type) / n);
  }, 0);
  const hop = link.onLink + link.latency;
  const add = m.launch + (3 * bytes) / (m.memory.bandwidth * m.efficiency.memory);
  const plain = whole + bestWay(m, s.mesh, "scatter", axes, bytes).seconds;
  const saves = plain - (part + (n - 1) * (Math.max(hop, part) + add));
  return {
    about: `${e.op} of ${nameOf(z, f.defs)} over ${axes.join(", ")}`,
    what: `in ${n} parts round a ring, beside the parts of ${products.length > 1 ? `${products.length} products` : "the product"}`,
    saves,
    gone: new Set<Eqn>([e, ...eqns]),
    at: e,
    outs: [e.out],
    emit: (b) => {
      const ring = { axes, n };
      const partAt = (to: Builder, start: Atom): Atom => {
        const made = new Map<number, Atom>();
        const rowsAt = (a: Atom, d: number): Atom => {
          const known = a.kind === "var" ? made.get(a.id) : undefined;
          const def = a.kind === "var" && rows.get(a.id) === d ? f.defs.get(a.id) : undefined;
          if (known || def?.kind !== "op") return known ?? slice(to, a, d, size, start);
          const value = emitPart(to, def, d, size, rowsAt);
          made.set(def.out.id, value);
          return value;
        };
        return rowsAt(z, dim);
      };
      const first = partAt(b, startOf(b, ring, -1, size));
      const [sum] = fold(b, n - 1, [first], (to, t, [acc]) => {
        const came = emit(to, "ppermute", { axes, route: { kind: "shift", offset: 1 } }, acc!);
        const own = partAt(to, startOf(to, ring, -2, size, { step: t, sign: -1 }));
        return [emit(to, "add", {}, came, own)];
      });
      return e.op === "psum" ? [emit(b, "all_gather", { axes, dim }, sum!)] : [sum!];
    },
  };
}
