/**
 * Every collective by rings of `ppermute`: afterwards a program knows no other.
 *
 * The axes of a collective are one ring of n devices, the first axis major. It goes round in the way that is the fastest on
 * the machine (overlap/ways.ts): one way, both ways, or by nodes. Each result is built in an accumulator that is read only
 * by the `dynamic_update` that replaces it, so it can be updated where it lies. What comes out the same on every device
 * says so by `unvary`. The size of the code depends on nothing but the number of collectives.
 */
import { type Dim, dimDiv, dimMul, dimNumber } from "../base/dim.ts";
import { invariant } from "../base/invariant.ts";
import { type Machine, usualMachine } from "../base/machine.ts";
import { type Builder, builder, emit, fold, type Ids, i32, lit } from "./build.ts";
import { bytesOf, type Choice, isSmallSum } from "./cost.ts";
import type { Atom, Block, Mesh, OpEqn, Ops, Program, ReduceKind, Route, Var } from "./ir.ts";
import { isCollective } from "./meaning.ts";
import { ringSize } from "./mesh-layout.ts";
import { bestWay, plainSeconds, type RingWay } from "./overlap/ways.ts";
import { mapEqn, nextId } from "./walk.ts";

/** The program without collectives, and the ways that were chosen for them besides the plain one. */
export function decompose(
  p: Program,
  machine: Machine = usualMachine,
): { readonly program: Program; readonly choices: readonly Choice[] } {
  const d: Decomposing = { machine, mesh: p.mesh, ids: { next: nextId(p) }, renamed: new Map(), choices: [] };
  return { program: { ...p, body: decomposeBlock(d, p.body, 1) }, choices: d.choices };
}

type Decomposing = {
  readonly machine: Machine;
  readonly mesh: Mesh;
  readonly ids: Ids;
  /** What stands for the results of collectives that are gone. */
  readonly renamed: Map<number, Atom>;
  readonly choices: Choice[];
};

/** `times`: how often the block runs. */
function decomposeBlock(d: Decomposing, b: Block, times: number): Block {
  const to = builder({ axes: d.mesh.axes }, d.ids);
  const atom = (a: Atom): Atom => (a.kind === "var" ? (d.renamed.get(a.id) ?? a) : a);
  for (const old of b.eqns) {
    const often = old.kind === "fold" && old.over.kind === "steps" ? times * (dimNumber(old.over.count) ?? 1) : times;
    const e = mapEqn(old, atom, (region) => decomposeBlock(d, region, often));
    if (e.kind === "op" && isCollective(e.op)) {
      const value = ring({ ...d, times }, { ...to, ...(e.span && { span: e.span }) }, e);
      if (value) d.renamed.set(e.out.id, value);
      else to.eqns.push(e);
    } else to.eqns.push(e);
  }
  return { eqns: to.eqns, results: b.results.map(atom) };
}

/** What the collective gives, in permutes emitted to `b`; undefined where it stays as it is. */
function ring(d: Decomposing & { readonly times: number }, b: Builder, e: OpEqn): Atom | undefined {
  const x = e.args[0]!;
  const around = ({ axes }: { readonly axes: readonly string[] }): Whole => {
    const r = whole(b, axes, ringSize(d.mesh, axes));
    const way = (kind: "gather" | "scatter", bytes: number): RingWay => {
      const best = bestWay(d.machine, d.mesh, kind, axes, bytes);
      const saves = plainSeconds(d.machine, d.mesh, axes, bytes) - best.seconds;
      if (best.nodes || best.both)
        d.choices.push({ about: `${e.op} over ${axes.join(", ")}`, what: wayText(r.n, best), saves: saves * d.times });
      return best;
    };
    return { ...r, way };
  };
  switch (e.op) {
    case "ppermute": {
      const { axes, route } = e.params;
      return staysPut(route, ringSize(d.mesh, axes)) ? x : undefined;
    }
    case "psum":
      return allReduce(around(e.params), x, "sum");
    case "pmax":
      return allReduce(around(e.params), x, "max");
    case "pmin":
      return allReduce(around(e.params), x, "min");
    case "all_gather": {
      const r = around(e.params);
      return same(r, gather(r, x, e.params.dim));
    }
    case "psum_scatter":
      return reduceScatter(around(e.params), x, e.params.dim, "sum");
    case "all_to_all":
      return exchange(around(e.params), x, e.params);
    default:
      return undefined;
  }
}
function wayText(n: number, { nodes, both, bothInside }: RingWay): string {
  if (nodes === undefined) return "in both directions at once";
  const ways = both || bothInside ? ", in both directions at once" : "";
  return `by nodes: ${n / nodes} of them between each other, ${nodes} devices within each${ways}`;
}

/** Whether every device keeps what it has. */
const staysPut = (r: Route, n: number): boolean =>
  r.kind === "shift"
    ? n === 1 || (r.offset % n === 0 && (r.step === undefined || (r.perStep ?? 1) % n === 0))
    : r.pairs.length === n && r.pairs.every(([from, to]) => from === to);

/**
 * Where code is emitted, and round which ring: n places of the ring of `axes`. `place`: a device's place among them; `hop`:
 * the route to the device that is so far further round.
 */
type Ring = {
  readonly b: Builder;
  readonly axes: readonly string[];
  readonly n: number;
  readonly place: (b: Builder) => Atom;
  readonly hop: (shift: number) => Route;
};
/** `way`: how parts of so many bytes go round. */
type Whole = Ring & { readonly way: (kind: "gather" | "scatter", bytes: number) => RingWay };

const whole = (b: Builder, axes: readonly string[], n: number): Ring => ({
  b,
  axes,
  n,
  place: (b) => emit(b, "axis_index", { axes }),
  hop: (shift) => ({ kind: "shift", offset: shift }),
});
/** The devices with the same place in their nodes, of `inside` devices each, and those of a node. */
const between = (r: Ring, inside: number): Ring => ({
  ...r,
  n: r.n / inside,
  place: (b) => emit(b, "div", {}, r.place(b), i32(inside)),
  hop: (shift) => ({ kind: "shift", offset: shift * inside }),
});
const within = (r: Ring, inside: number): Ring => ({
  ...r,
  n: inside,
  place: (b) => emit(b, "mod", {}, r.place(b), i32(inside)),
  hop: (shift) => ({ kind: "shift", offset: shift, within: inside }),
});

const sizeOf = (a: Atom, dim: number): Dim => a.type.shape[dim]!;
const numeric = (d: Dim): number => {
  const value = dimNumber(d);
  invariant(value !== undefined, "collectives are made into rings when sizes are numbers");
  return value;
};
const permuted = (r: Ring, b: Builder, x: Atom, route: Route): Var => emit(b, "ppermute", { axes: r.axes, route }, x);
const zeros = (b: Builder, x: Atom, dim: number, size: Dim): Var =>
  emit(b, "full", { shape: x.type.shape.with(dim, size) }, lit(0, x.type.dtype));
/** ((place + offset ± t) mod n) * size + more, an i32: where the rows of that device start. */
function startOf(
  r: Ring,
  b: Builder,
  t: { readonly step: Var; readonly sign: 1 | -1 } | undefined,
  offset: number,
  size: Dim,
  more = 0,
): Atom {
  const me = r.place(b);
  const moved = t ? emit(b, t.sign > 0 ? "add" : "sub", {}, me, t.step) : me;
  const place = offset === 0 && !t ? moved : emit(b, "mod", {}, emit(b, "add", {}, moved, i32(offset)), i32(r.n));
  const start = emit(b, "mul", {}, place, i32(numeric(size)));
  return more === 0 ? start : emit(b, "add", {}, start, i32(more));
}
/** Says that what the devices of the ring have is one value. */
const same = (r: Ring, x: Atom): Atom => emit(r.b, "unvary", { axes: r.axes }, x);

/** Everyone's x along `dim`, in ring order. */
function gather(r: Whole, x: Atom, dim: number): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const { nodes, both, bothInside } = r.way("gather", bytesOf(x.type));
  if (nodes === undefined) return gatherRound(r, x, dim, both);
  // [nodes, …] of the same place, then [places, nodes, …], and both to where the rows are.
  const { shape } = x.type;
  const one = gatherRound(between(r, nodes), emit(b, "reshape", { shape: [1, ...shape] }, x), 0, both);
  const all = gatherRound(within(r, nodes), emit(b, "reshape", { shape: [1, ...one.type.shape] }, one), 0, bothInside);
  const rest = shape.map((_, d) => d + 2);
  const perm = [...rest.slice(0, dim), 1, 0, ...rest.slice(dim)];
  const ordered = emit(b, "transpose", { perm }, all);
  return emit(b, "reshape", { shape: shape.with(dim, dimMul(shape[dim]!, n)) }, ordered);
}
/**
 * Round one ring:
 *
 *   out[me] = x;  for t in 0 … n-2: cur ← from the device before; out[me - t - 1] = cur
 *
 * In both directions, the device behind sends as well, and (n - 1) / 2 steps do; of an even n the last one has one sender.
 */
function gatherRound(r: Ring, x: Atom, dim: number, both: boolean): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const c = sizeOf(x, dim);
  const put = (b: Builder, out: Atom, came: Atom, at: Atom): Var => emit(b, "dynamic_update", { dim }, out, came, at);
  const own = put(b, zeros(b, x, dim, dimMul(c, n)), x, startOf(r, b, undefined, 0, c));
  if (!both) {
    const [out] = fold(b, n - 1, [own, x], (b, step, [out, cur]) => {
      const came = permuted(r, b, cur!, r.hop(1));
      return [put(b, out!, came, startOf(r, b, { step, sign: -1 }, -1, c)), came];
    });
    return out!;
  }
  const [out, last] = fold(b, Math.floor((n - 1) / 2), [own, x, x], (b, step, [out, left, right]) => {
    const before = permuted(r, b, left!, r.hop(1));
    const behind = permuted(r, b, right!, r.hop(-1));
    const one = put(b, out!, before, startOf(r, b, { step, sign: -1 }, -1, c));
    return [put(b, one, behind, startOf(r, b, { step, sign: 1 }, 1, c)), before, behind];
  });
  return n % 2 === 1 ? out! : put(b, out!, permuted(r, b, last!, r.hop(1)), startOf(r, b, undefined, n / 2, c));
}

type Reduction = Extract<ReduceKind, "sum" | "max" | "min">;
const combine = { sum: "add", max: "max", min: "min" } as const;

/** The device's own chunk of the reduction of everyone's x along `dim`. */
function reduceScatter(r: Whole, x: Atom, dim: number, kind: Reduction): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const { nodes, both, bothInside } = r.way("scatter", bytesOf(x.type) / n);
  if (nodes === undefined) return reduceRound(r, x, dim, kind, both);
  // [places, nodes, …, chunk, …]: to each place in a node what is its, then to each node.
  const { shape } = x.type;
  const chunk = dimDiv(shape[dim]!, n);
  const apart = emit(
    b,
    "reshape",
    { shape: [...shape.slice(0, dim), n / nodes, nodes, chunk, ...shape.slice(dim + 1)] },
    x,
  );
  const rest = apart.type.shape.map((_, d) => d).filter((d) => d !== dim && d !== dim + 1);
  const ordered = emit(b, "transpose", { perm: [dim + 1, dim, ...rest] }, apart);
  const mine = reduceRound(within(r, nodes), ordered, 0, kind, bothInside);
  const own = reduceRound(between(r, nodes), mine, 1, kind, both);
  return emit(b, "reshape", { shape: shape.with(dim, chunk) }, own);
}
/**
 * Round one ring:
 *
 *   acc = x[me - 1];  for t in 0 … n-2: acc ← from the device before; acc = acc ∘ x[me - 2 - t]
 *
 * In both directions, half of each chunk goes one way and half the other; chunks of an odd size go one way.
 */
function reduceRound(r: Ring, x: Atom, dim: number, kind: Reduction, both: boolean): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const size = dimDiv(sizeOf(x, dim), n);
  const halves = both && numeric(size) % 2 === 0 ? ([1, -1] as const) : ([1] as const);
  const part = numeric(size) / halves.length;
  const rows = (b: Builder, start: Atom): Var => emit(b, "dynamic_slice", { dim, size: part }, x, start);
  const first = halves.map((sign, k) => rows(b, startOf(r, b, undefined, -sign, size, k * part)));
  const all = fold(b, n - 1, first, (b, step, acc) => {
    const came = halves.map((sign, k) => permuted(r, b, acc[k]!, r.hop(sign)));
    return halves.map((sign, k) => {
      const t = { step, sign: sign > 0 ? (-1 as const) : (1 as const) };
      return emit(b, combine[kind], {}, came[k]!, rows(b, startOf(r, b, t, -2 * sign, size, k * part)));
    });
  });
  return all.length === 1 ? all[0]! : emit(b, "concat", { dim }, ...all);
}

/**
 * The reduction of everyone's x, everywhere. Small: everyone gathers everything and reduces it in ring order, so all
 * come to the same bits. Large: each device reduces a chunk of it, and the chunks are gathered.
 */
function allReduce(r: Whole, x: Atom, kind: Reduction): Atom {
  const { b, n } = r;
  if (n === 1) return same(r, x);
  const { shape } = x.type;
  const count = shape.reduce<number>((m, d) => m * numeric(d), 1);
  if (isSmallSum(x.type, n)) {
    const all = gather(r, emit(b, "reshape", { shape: [1, ...shape] }, x), 0);
    return same(r, emit(b, "reduce", { kind, dims: [0], keep: false }, all));
  }
  const flat = emit(b, "reshape", { shape: [count] }, x);
  const over = (n - (count % n)) % n;
  const padded =
    over === 0 ? flat : emit(b, "concat", { dim: 0 }, flat, emit(b, "full", { shape: [over] }, lit(0, x.type.dtype)));
  const whole = gather(r, reduceScatter(r, padded, 0, kind), 0);
  const cut = over === 0 ? whole : emit(b, "index", { selectors: [{ kind: "slice", start: 0, size: count }] }, whole);
  return same(r, emit(b, "reshape", { shape }, cut));
}
/**
 * Device p gets piece p (along `split`) of everyone's x, joined along `concat` in ring order:
 *
 *   out[me] = x[me];  for t in 0 … n-2: out[me - t - 1] ← x[me + t + 1] sent t + 1 further round
 */
function exchange(r: Ring, x: Atom, { split, concat }: Ops["all_to_all"]): Atom {
  const { b, n } = r;
  if (n === 1) return x;
  const size = dimDiv(sizeOf(x, split), n);
  const mine = emit(b, "dynamic_slice", { dim: split, size }, x, startOf(r, b, undefined, 0, size));
  const c = sizeOf(mine, concat);
  const place = (b: Builder, out: Atom, piece: Atom, at: Atom): Var =>
    emit(b, "dynamic_update", { dim: concat }, out, piece, at);
  const own = place(b, zeros(b, mine, concat, dimMul(c, n)), mine, startOf(r, b, undefined, 0, c));
  const [out] = fold(b, n - 1, [own], (b, step, [out]) => {
    const piece = emit(b, "dynamic_slice", { dim: split, size }, x, startOf(r, b, { step, sign: 1 }, 1, size));
    const came = permuted(r, b, piece, { kind: "shift", offset: 1, step, perStep: 1 });
    return [place(b, out!, came, startOf(r, b, { step, sign: -1 }, -1, c))];
  });
  return out!;
}
