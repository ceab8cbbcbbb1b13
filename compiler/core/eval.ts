/**
 * What a Core program means: all devices of the mesh in lockstep, in float64.
 *
 * Every variable holds one array for each place along the axes over which its type varies, so what is the same on all
 * devices is computed once. Blocks are made into closures before they run; bodies of tiles and blocked folds see the
 * actual size of each block, a smaller last one included.
 */
import { type Dim, dimNumber, evalDim, type SymDim } from "../base/dim.ts";
import { bug, invariant } from "../base/invariant.ts";
import { isHalf, rounded } from "./half.ts";
import type { Atom, Block, DType, Eqn, FoldEqn, IfEqn, Index, Mesh, OpEqn, Program, TilesEqn, Var } from "./ir.ts";
import { type Collective, type Context, collectives, isCollective, type Local, literal, meanings } from "./meaning.ts";
import { places, placesIn, projection, ringSize } from "./mesh-layout.ts";
import { copy, elements, item, type NDArray, scalar, stacked, stridesOf } from "./ndarray.ts";
import { shard, unshard } from "./shard.ts";

export type EvalOptions = {
  /** Called after each step of a fold and each tile, with the number of them that are done. */
  readonly onStep?: (done: number) => void;
  /** Asked at each step; once it says true, evaluation ends with {@link EvaluationStopped}. */
  readonly shouldStop?: () => boolean;
  /** Casts to 16-bit floats do not round: what computes the same in another order then comes out the same. */
  readonly exact?: boolean;
};
/** Thrown where `shouldStop` asked for it. */
export class EvaluationStopped extends Error {
  override readonly name = "EvaluationStopped";
}

/** The global results of a well-formed program with numeric sizes, for one global array for each input. */
export function evaluate(p: Program, inputs: readonly NDArray[], options: EvalOptions = {}): readonly NDArray[] {
  invariant(inputs.length === p.inputs.length, `${inputs.length} arrays for ${p.inputs.length} inputs`);
  const m = machine(p.mesh, options);
  p.inputs.forEach(({ port, local }, i) => {
    const { varying } = local.type;
    m.values[m.slot(local)] = places(m.mesh, varying).map((at) => shard(p.mesh, port, inputs[i]!, at));
  });
  const run = compileBlock(m, p.body);
  const axes = p.outputs.map(({ spec }, i) => [
    ...new Set([...p.body.results[i]!.type.varying, ...spec.flatMap((e) => e.axes)]),
  ]);
  const results = p.body.results.map((a, i) => reader(m, a, axes[i]!));
  run();
  return p.outputs.map((port, i) => {
    const value = results[i]!();
    const at = places(m.mesh, axes[i]!);
    return unshard(
      p.mesh,
      port,
      value.map((piece, k) => ({ at: at[k]!, piece })),
    );
  });
}

/** One array for each place along the axes that the variable varies over, the first axis major. */
type Value = readonly NDArray[];
type Run = () => void;

type Machine = {
  readonly mesh: Mesh;
  /** The current value of each variable, by slot. */
  readonly values: Value[];
  readonly slot: (v: Var) => number;
  readonly context: Context;
  /** Sets the elements of a tile index that are at hand. */
  readonly setBlock: (i: Index, start: number, size: number) => void;
  /** Counts a step, and stops where that is asked for. */
  readonly tick: () => void;
};

function machine(mesh: Mesh, { onStep, shouldStop, exact = false }: EvalOptions): Machine {
  const slots = new Map<number, number>();
  const sizes = new Map<string, number>();
  const blocks = new Map<number, { readonly start: number; readonly size: number }>();
  const compiled = new Map<SymDim, () => number>();
  const sizeOf = (d: Dim): number => {
    if (typeof d === "number") return d;
    let f = compiled.get(d);
    if (!f) compiled.set(d, (f = compileDim(d, sizes)));
    return f();
  };
  let done = 0;
  return {
    mesh,
    values: [],
    slot: (v) => {
      const old = slots.get(v.id);
      if (old !== undefined) return old;
      slots.set(v.id, slots.size);
      return slots.size - 1;
    },
    context: {
      size: sizeOf,
      block: (i) => blocks.get(i.id)!,
      place: () => 0,
      exact,
    },
    setBlock: (i, start, size) => {
      blocks.set(i.id, { start, size });
      if (typeof i.size !== "number") for (const { atom } of i.size.terms[0]!.powers) sizes.set(atom.key, size);
    },
    tick: () => {
      onStep?.(++done);
      if (shouldStop?.()) throw new EvaluationStopped("evaluation was stopped");
    },
  };
}

/** A dim as a function of the sizes of its atoms; a lone atom, which is what blocks have, without any arithmetic. */
function compileDim(d: SymDim, sizes: ReadonlyMap<string, number>): () => number {
  const constant = dimNumber(d);
  if (constant !== undefined) return () => constant;
  const [term] = d.terms;
  const [power] = term?.powers ?? [];
  const plain =
    term &&
    power &&
    d.terms.length === 1 &&
    term.powers.length === 1 &&
    term.num === 1 &&
    term.den === 1 &&
    power.exp === 1;
  if (plain && !power.atom.derived) {
    const { key } = power.atom;
    return () => sizes.get(key)!;
  }
  return () => {
    const value = evalDim(d, (atom) => sizes.get(atom.key));
    invariant(value.kind === "value", "a size that is a number by now");
    return value.value;
  };
}

// ── Atoms ────────────────────────────────────────────────────────────────────────────────────────────

const isIdentity = (p: Int32Array, length: number): boolean => p.length === length && p.every((k, i) => k === i);

/** Where an atom's arrays are, and which of them each place along `varying` reads. */
type Source = { readonly values: Value[]; readonly slot: number; readonly at: Int32Array };
function source(m: Machine, a: Atom, varying: readonly string[]): Source {
  if (a.kind === "lit") return { values: [[literal(a)]], slot: 0, at: projection(m.mesh, varying, []) };
  return { values: m.values, slot: m.slot(a), at: projection(m.mesh, varying, a.type.varying) };
}
/** Reads an atom as a value that varies over `varying`. */
function reader(m: Machine, a: Atom, varying: readonly string[]): () => Value {
  const { values, slot, at } = source(m, a, varying);
  if (isIdentity(at, ringSize(m.mesh, a.type.varying))) return () => values[slot]!;
  const picks = Array.from(at);
  return () => {
    const value = values[slot]!;
    return picks.map((k) => value[k]!);
  };
}

// ── Equations ────────────────────────────────────────────────────────────────────────────────────────────────────

function compileBlock(m: Machine, b: Block): Run {
  const steps = b.eqns.map((e) => compileEqn(m, e));
  return () => {
    for (let i = 0; i < steps.length; i++) steps[i]!();
  };
}
function compileEqn(m: Machine, e: Eqn): Run {
  switch (e.kind) {
    case "op":
      return isCollective(e.op) ? compileCollective(m, e) : compileLocal(m, e);
    case "fold":
      return compileFold(m, e);
    case "if":
      return compileIf(m, e);
    case "tiles":
      return compileTiles(m, e);
    default:
      return bug(`${e.kind} has a value when derivatives are expanded`);
  }
}

/** What gives 16-bit numbers rounds them. */
function settled({ context }: Machine, dtype: DType): (x: NDArray) => NDArray {
  if (context.exact || !isHalf(dtype)) return (x) => x;
  return (x) => ({ ...x, data: x.data.map((v) => rounded(v, dtype)) });
}

function compileLocal(m: Machine, e: OpEqn): Run {
  const { varying } = e.out.type;
  const meaning = meanings[e.op as Local] as (args: readonly NDArray[], params: unknown, c: Context) => NDArray;
  const slot = m.slot(e.out);
  const { values, context } = m;
  const { params } = e;
  const settle = settled(m, e.out.type.dtype);
  if (e.op === "axis_index") {
    const at = places(m.mesh, varying);
    const value = at.map((c) => meaning([], params, { ...context, place: (axes) => placesIn(m.mesh, [c], axes)[0]! }));
    return () => {
      values[slot] = value;
    };
  }
  const sources = e.args.map((a) => source(m, a, varying));
  const n = ringSize(m.mesh, varying),
    count = sources.length;
  const args = new Array<NDArray>(count);
  return () => {
    const out = new Array<NDArray>(n);
    for (let k = 0; k < n; k++) {
      for (let i = 0; i < count; i++) {
        const s = sources[i]!;
        args[i] = s.values[s.slot]![s.at[k]!]!;
      }
      out[k] = settle(meaning(args, params, context));
    }
    values[slot] = out;
  };
}

/** Devices that differ along `axes` alone are one ring: their arrays meet, and each gets what is its. */
function compileCollective(m: Machine, e: OpEqn): Run {
  const { axes } = e.params as { readonly axes: readonly string[] };
  const x = e.args[0]!;
  const others = m.mesh.axes
    .map((a) => a.name)
    .filter((a) => !axes.includes(a) && (x.type.varying.includes(a) || e.out.type.varying.includes(a)));
  const n = ringSize(m.mesh, axes);
  const everyone = places(m.mesh, [...others, ...axes]);
  const from = placesIn(m.mesh, everyone, x.type.varying),
    to = placesIn(m.mesh, everyone, e.out.type.varying);
  const meaning = collectives[e.op as Collective] as (xs: Value, params: unknown, step: number) => Value;
  const settle = settled(m, e.out.type.dtype);
  const operand = reader(m, x, x.type.varying);
  const stepVar = e.op === "ppermute" && e.params.route.kind === "shift" ? e.params.route.step : undefined;
  const step = stepVar ? reader(m, stepVar, []) : undefined;
  const slot = m.slot(e.out),
    size = ringSize(m.mesh, e.out.type.varying);
  return () => {
    const xs = operand();
    const out = new Array<NDArray>(size);
    const t = step ? item(step()[0]!) : 0;
    for (let ring = 0; ring < everyone.length; ring += n) {
      const given = meaning(
        Array.from({ length: n }, (_, p) => xs[from[ring + p]!]!),
        e.params,
        t,
      );
      for (let p = 0; p < n; p++) out[to[ring + p]!] = settle(given[p]!);
    }
    m.values[slot] = out;
  };
}

function compileFold(m: Machine, e: FoldEqn): Run {
  const { values } = m;
  const body = compileBlock(m, e.body);
  const carry = e.carry.map((v) => m.slot(v)),
    outs = e.outs.map((v) => m.slot(v));
  const init = e.init.map((a, i) => reader(m, a, e.carry[i]!.type.varying));
  const next = e.carry.map((v, i) => reader(m, e.body.results[i]!, v.type.varying));
  const last = e.carry.map((v, i) => reader(m, v, e.outs[i]!.type.varying));
  const collected = e.outs.slice(carry.length);
  const each = collected.map((v, i) => reader(m, e.body.results[carry.length + i]!, v.type.varying));
  const start = steps(m, e.over);
  const assign = (to: readonly number[], all: readonly Value[]): void => {
    for (let i = 0; i < to.length; i++) values[to[i]!] = all[i]!;
  };
  return () => {
    assign(
      carry,
      init.map((read) => read()),
    );
    const kept: Value[][] = collected.map(() => []);
    const { count, begin } = start();
    for (let t = 0; t < count; t++) {
      begin(t);
      body();
      for (let i = 0; i < each.length; i++) kept[i]!.push(each[i]!());
      assign(
        carry,
        next.map((read) => read()),
      );
      m.tick();
    }
    assign(
      outs,
      last.map((read) => read()),
    );
    collected.forEach((v, i) => {
      const shape = v.type.shape.slice(1).map(m.context.size);
      const n = ringSize(m.mesh, v.type.varying);
      values[outs[carry.length + i]!] = Array.from({ length: n }, (_, k) =>
        stacked(
          kept[i]!.map((x) => x[k]!),
          v.type.dtype,
          shape,
        ),
      );
    });
  };
}
/** The steps of a loop: how many there are now, and what binds the t-th one's step or block. */
function steps(
  m: Machine,
  over: FoldEqn["over"],
): () => { readonly count: number; readonly begin: (t: number) => void } {
  if (over.kind === "blocks") return blocksOf(m, over.index);
  const slot = m.slot(over.step);
  const begin = (t: number): void => {
    m.values[slot] = [scalar("i32", t)];
  };
  return () => ({ count: m.context.size(over.count), begin });
}

/** How large the blocks of an index are that leaves it to the compiler: any size means the same. */
const anyBlock = 64;
function blocksOf(m: Machine, index: Index): () => { readonly count: number; readonly begin: (t: number) => void } {
  const element = index.element && m.slot(index.element);
  return () => {
    const extent = m.context.size(index.extent);
    const block = index.block === null ? 1 : index.block === "auto" ? anyBlock : m.context.size(index.block);
    return {
      count: Math.ceil(extent / block),
      begin: (t) => {
        m.setBlock(index, t * block, Math.min(block, extent - t * block));
        if (element !== undefined) m.values[element] = [scalar("i32", t)];
      },
    };
  };
}

/** Where the condition is the same on all devices one branch runs; else both do, in lockstep, and each device takes its own. */
function compileIf(m: Machine, e: IfEqn): Run {
  const cond = reader(m, e.cond, e.cond.type.varying);
  const branches = [e.then, e.else].map((b) => ({
    run: compileBlock(m, b),
    results: b.results.map((a, i) => reader(m, a, e.outs[i]!.type.varying)),
  })) as [{ run: Run; results: (() => Value)[] }, { run: Run; results: (() => Value)[] }];
  const outs = e.outs.map((v) => ({ slot: m.slot(v), at: projection(m.mesh, v.type.varying, e.cond.type.varying) }));
  return () => {
    const c = cond().map((x) => item(x) !== 0);
    const [yes, no] = branches;
    const only = c.every((x) => x) ? yes : c.some((x) => x) ? undefined : no;
    if (only) {
      only.run();
      const all = only.results.map((read) => read());
      for (const [i, { slot }] of outs.entries()) m.values[slot] = all[i]!;
      return;
    }
    yes.run();
    no.run();
    for (const [i, { slot, at }] of outs.entries()) {
      const a = yes.results[i]!(),
        b = no.results[i]!();
      m.values[slot] = Array.from(at, (p, k) => (c[p] ? a[k]! : b[k]!));
    }
  };
}

function compileTiles(m: Machine, e: TilesEqn): Run {
  const body = compileBlock(m, e.body);
  const loops = e.indices.map((i) => blocksOf(m, i));
  const results = e.outs.map((v, k) => compileTileResult(m, e, v, k));
  return () => {
    for (const r of results) r.begin();
    const now = loops.map((loop) => loop());
    const nest = (d: number): void => {
      const loop = now[d];
      if (!loop) {
        body();
        for (let i = 0; i < results.length; i++) results[i]!.store();
        m.tick();
        return;
      }
      for (let t = 0; t < loop.count; t++) {
        loop.begin(t);
        nest(d + 1);
      }
    };
    nest(0);
    for (const r of results) r.end();
  };
}
/** One result of tiles: arrays are made, each tile's value is put where the pattern says, and the arrays are bound. */
function compileTileResult(m: Machine, e: TilesEqn, out: Var, k: number): { begin: Run; store: Run; end: Run } {
  const pattern = e.into[k]!.map((p) => (p.kind === "all" ? undefined : e.indices.find((i) => i.id === p.id)!));
  const read = reader(m, e.body.results[k]!, out.type.varying);
  const n = ringSize(m.mesh, out.type.varying),
    slot = m.slot(out);
  let arrays: NDArray[] = [],
    strides: number[] = [],
    valueStrides: number[] = [];
  return {
    begin: () => {
      const shape = out.type.shape.map(m.context.size);
      strides = stridesOf(shape);
      // The value's dimensions are those of the pattern, in order, without the indices of single elements.
      valueStrides = strides.filter((_, d) => pattern[d] === undefined || pattern[d].block !== null);
      arrays = Array.from({ length: n }, () => ({
        dtype: out.type.dtype,
        shape,
        data: new Float64Array(elements(shape)),
      }));
    },
    store: () => {
      const value = read();
      let start = 0;
      for (let d = 0; d < pattern.length; d++)
        if (pattern[d]) start += m.context.block(pattern[d]!).start * strides[d]!;
      for (let i = 0; i < n; i++) {
        const piece = value[i]!;
        copy(
          piece.shape,
          { data: piece.data, start: 0, strides: stridesOf(piece.shape) },
          { data: arrays[i]!.data, start, strides: valueStrides },
        );
      }
    },
    end: () => {
      m.values[slot] = arrays;
    },
  };
}
