/**
 * Every collective by rings of `ppermute`: afterwards a program knows no other.
 *
 * The axes of a collective are one ring of n devices, the first axis major. It goes round in the way that is the fastest on
 * the machine (overlap/ways.ts, rings.ts). What comes out the same on every device says so by `unvary`. The size of the code
 * depends on the number of collectives, and where many devices take few steps on the logarithm of n.
 */
import { dimDiv, dimMul, dimNumber } from "../base/dim.ts";
import { type Machine, usualMachine } from "../base/machine.ts";
import { type Builder, builder, emit, fold, type Ids, lit } from "./build.ts";
import { bytesOf, type Choice, isSmallSum, nameOf } from "./cost.ts";
import type { Atom, Block, Eqn, Mesh, OpEqn, Ops, Program, Route, Var } from "./ir.ts";
import { isCollective } from "./meaning.ts";
import { ringSize } from "./mesh-layout.ts";
import {
  gather,
  numeric,
  permuted,
  type Ring,
  reduceScatter,
  sizeOf,
  startOf,
  wholeRing,
  zeros,
} from "./overlap/rings.ts";
import { bestWay, type Kind, plainSeconds, type RingWay } from "./overlap/ways.ts";
import { mapEqn, nextId, outsOf } from "./walk.ts";

/** The program without collectives, and the ways that were chosen for them besides the plain one; `plain`: that one only. */
export function decompose(
  p: Program,
  machine: Machine = usualMachine,
  plain = false,
): { readonly program: Program; readonly choices: readonly Choice[] } {
  const d: Decomposing = { machine, plain, mesh: p.mesh, ids: { next: nextId(p) }, renamed: new Map(), choices: [] };
  return { program: { ...p, body: decomposeBlock(d, p.body, 1) }, choices: d.choices };
}

type Decomposing = {
  readonly machine: Machine;
  readonly plain: boolean;
  readonly mesh: Mesh;
  readonly ids: Ids;
  /** What stands for the results of collectives that are gone. */
  readonly renamed: Map<number, Atom>;
  readonly choices: Choice[];
};

/** The block that a collective is in: how often it runs, and what it binds. */
type Around = Decomposing & { readonly times: number; readonly defs: ReadonlyMap<number, Eqn> };

/** `times`: how often the block runs. */
function decomposeBlock(d: Decomposing, b: Block, times: number): Block {
  const to = builder({ axes: d.mesh.axes }, d.ids);
  const defs = new Map(b.eqns.flatMap((e) => outsOf(e).map((v) => [v.id, e] as const)));
  const atom = (a: Atom): Atom => (a.kind === "var" ? (d.renamed.get(a.id) ?? a) : a);
  for (const old of b.eqns) {
    const often = old.kind === "fold" && old.over.kind === "steps" ? times * (dimNumber(old.over.count) ?? 1) : times;
    const e = mapEqn(old, atom, (region) => decomposeBlock(d, region, often));
    if (e.kind === "op" && isCollective(e.op)) {
      const value = ring({ ...d, times, defs }, { ...to, ...(e.span && { span: e.span }) }, e);
      if (value) d.renamed.set(e.out.id, value);
      else to.eqns.push(e);
    } else to.eqns.push(e);
  }
  return { eqns: to.eqns, results: b.results.map(atom) };
}

/** What the collective gives, in permutes emitted to `b`; undefined where it stays as it is. */
function ring(d: Around, b: Builder, e: OpEqn): Atom | undefined {
  const x = e.args[0]!;
  const around = ({ axes }: { readonly axes: readonly string[] }): Whole => {
    const r = wholeRing(b, axes, ringSize(d.mesh, axes));
    const ahead = (e.op === "all_gather" || e.op === "psum_scatter") && e.params.ahead === true;
    const way = (kind: Kind, bytes: number): RingWay => {
      if (d.plain) return { seconds: 0, kernels: 0, round: "one way", inside: "one way" };
      const best = bestWay(d.machine, d.mesh, kind, axes, bytes, ahead);
      if (ahead) return best;
      const saves = plainSeconds(d.machine, d.mesh, kind, axes, bytes) - best.seconds;
      if (best.nodes || best.round !== "one way")
        d.choices.push({
          about: `${e.op} of ${nameOf(x, d.defs)} over ${axes.join(", ")}`,
          what: wayText(r.n, best),
          saves: saves * d.times,
        });
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
      return same(r, gathered(r, x, e.params.dim));
    }
    case "psum_scatter":
      return scattered(around(e.params), x, e.params.dim, "sum");
    case "all_to_all":
      return exchange(around(e.params), x, e.params);
    default:
      return undefined;
  }
}
function wayText(n: number, { nodes, round, inside }: RingWay): string {
  if (nodes === undefined) return told[round];
  const ways = [...new Set([round, inside])].filter((w) => w !== "one way").map((w) => `, ${told[w]}`);
  return `by nodes: ${n / nodes} of them between each other, ${nodes} devices within each${ways.join("")}`;
}
const told = {
  "one way": "one way round",
  "both ways": "in both directions at once",
  doubling: "doubled in a few steps",
} as const;

/** Whether every device keeps what it has. */
const staysPut = (r: Route, n: number): boolean =>
  r.kind === "shift"
    ? n === 1 || (r.offset % n === 0 && (r.step === undefined || (r.perStep ?? 1) % n === 0))
    : r.pairs.length === n && r.pairs.every(([from, to]) => from === to);

/** `way`: how parts of so many bytes go round. */
type Whole = Ring & { readonly way: (kind: Kind, bytes: number) => RingWay };
const gathered = (r: Whole, x: Atom, dim: number): Atom => gather(r, r.way("gather", bytesOf(x.type)), x, dim);
const scattered = (r: Whole, x: Atom, dim: number, kind: "sum" | "max" | "min"): Atom =>
  reduceScatter(r, r.way("scatter", bytesOf(x.type) / r.n), x, dim, kind);
/** Says that what the devices of the ring have is one value. */
const same = (r: Ring, x: Atom): Atom => emit(r.b, "unvary", { axes: r.axes }, x);

/**
 * The reduction of everyone's x, everywhere. Small: everyone gathers everything and reduces it in ring order, so all
 * come to the same bits. Large: each device reduces a chunk of it, and the chunks are gathered.
 */
function allReduce(r: Whole, x: Atom, kind: "sum" | "max" | "min"): Atom {
  const { b, n } = r;
  if (n === 1) return same(r, x);
  const { shape } = x.type;
  const count = shape.reduce<number>((m, d) => m * numeric(d), 1);
  if (isSmallSum(x.type, n)) {
    const all = gathered(r, emit(b, "reshape", { shape: [1, ...shape] }, x), 0);
    return same(r, emit(b, "reduce", { kind, dims: [0], keep: false }, all));
  }
  const flat = emit(b, "reshape", { shape: [count] }, x);
  const over = (n - (count % n)) % n;
  const padded =
    over === 0 ? flat : emit(b, "concat", { dim: 0 }, flat, emit(b, "full", { shape: [over] }, lit(0, x.type.dtype)));
  const whole = gathered(r, scattered(r, padded, 0, kind), 0);
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
