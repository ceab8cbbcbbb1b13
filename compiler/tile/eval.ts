/**
 * What kernels and device programs mean, in float64, slowly: the value of each element by its definition, tile by tile,
 * folds step by step; all devices of the mesh in lockstep.
 */
import { invariant } from "../base/invariant.ts";
import { binary, cast, select, unary } from "../core/elementwise.ts";
import type { Binary, DType, Mesh, ReduceKind, Unary } from "../core/ir.ts";
import { collectives } from "../core/meaning.ts";
import { coordinatesOf, deviceCount, placeAlong, places, placesIn, ringSize } from "../core/mesh-layout.ts";
import { elements, item, type NDArray, ndarray, scalar, stridesOf } from "../core/ndarray.ts";
import { shard, unshard } from "../core/shard.ts";
import { randomUniform } from "../core/threefry.ts";
import type { Axis, DeviceProgram, Fold, HostStep, Kernel, MapOp, Stmt, Value } from "./ir.ts";

export type KernelEvalOptions = {
  /** How large blocks are that the mapping may choose; any size means the same. */
  readonly autoBlock?: number;
};

// ── Kernels ──────────────────────────────────────────────────────────────────────────────────────────────────────

type Machine = {
  readonly kernel: Kernel;
  readonly buffers: readonly NDArray[];
  readonly scalars: readonly number[];
  readonly autoBlock: number;
  /** The block at hand of each grid and fold axis: first element and the one after the last. */
  readonly blocks: Map<number, readonly [first: number, end: number]>;
  /** The element at hand of each axis. */
  readonly at: Map<number, number>;
  readonly steps: Map<number, number>;
  /** What each fold carries now, and what it came to: for each place, a value for each element of its axes. */
  readonly carried: Map<number, readonly ReadonlyMap<string, number>[]>;
  readonly results: Map<number, readonly ReadonlyMap<string, number>[]>;
  readonly memo: Map<number, Map<string, number>>;
};

/**
 * Runs a kernel once for all tiles. `buffers[k]`: the contents of its buffer k, for outputs what is there before.
 * Returns the outputs' contents, in their order.
 */
export function evalKernel(
  kernel: Kernel,
  buffers: readonly NDArray[],
  scalars: readonly number[],
  options: KernelEvalOptions = {},
): readonly NDArray[] {
  const outs = new Map<number, NDArray>();
  kernel.buffers.forEach((p, k) => {
    if (p.access !== "read") outs.set(k, { ...buffers[k]!, data: buffers[k]!.data.slice() });
  });
  const m: Machine = {
    kernel,
    buffers,
    scalars,
    autoBlock: options.autoBlock ?? 4,
    blocks: new Map(),
    at: new Map(),
    steps: new Map(),
    carried: new Map(),
    results: new Map(),
    memo: new Map(),
  };
  const tile = (d: number): void => {
    const axis = kernel.grid[d];
    if (!axis) {
      m.memo.clear();
      run(m, kernel.body);
      for (const s of kernel.stores) store(m, outs.get(s.buffer)!, s.index, s.value);
      return;
    }
    eachBlock(m, axis, () => tile(d + 1));
  };
  tile(0);
  return [...outs.entries()].sort(([a], [b]) => a - b).map(([, x]) => x);
}

function eachBlock(m: Machine, axis: Axis, f: () => void): void {
  const size = axis.block === "auto" ? m.autoBlock : axis.block;
  for (let first = 0; first < axis.extent; first += size) {
    m.blocks.set(axis.id, [first, Math.min(first + size, axis.extent)]);
    f();
  }
}
const rangeOf = (m: Machine, a: Axis): readonly [number, number] =>
  a.role === "inner" ? [0, a.extent] : blockOf(m, a);
function blockOf(m: Machine, a: Axis): readonly [number, number] {
  const block = m.blocks.get(a.id);
  invariant(block, `axis ${a.name} is used outside its loop`);
  return block;
}
/** Calls `f` for every element of some axes, in the block at hand. */
function eachElement(m: Machine, axes: readonly Axis[], f: () => void): void {
  const [a, ...rest] = axes;
  if (!a) {
    f();
    return;
  }
  const before = m.at.get(a.id);
  const [first, end] = rangeOf(m, a);
  for (let i = first; i < end; i++) {
    m.at.set(a.id, i);
    eachElement(m, rest, f);
  }
  if (before === undefined) m.at.delete(a.id);
  else m.at.set(a.id, before);
}
const elementKey = (m: Machine, axes: readonly Axis[]): string => axes.map((a) => element(m, a)).join();
function element(m: Machine, a: Axis): number {
  const i = m.at.get(a.id);
  if (i !== undefined) return i;
  const [first, end] = rangeOf(m, a);
  invariant(end - first === 1, `a value needs an element of axis ${a.name}, and none is chosen`);
  return first;
}

function run(m: Machine, body: readonly Stmt[]): void {
  for (const s of body) if (s.kind === "fold") runFold(m, s);
}
/** All values of one carry: one for each element of its axes. */
function table(m: Machine, axes: readonly Axis[], v: Value): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  eachElement(m, axes, () => {
    values.set(elementKey(m, axes), numberAt(m, v));
  });
  return values;
}
function runFold(m: Machine, f: Fold): void {
  let state = f.carry.map((c, k) => table(m, c.axes, f.init[k]!));
  const step = (): void => {
    m.carried.set(f.id, state);
    m.memo.clear();
    run(m, f.body);
    state = f.carry.map((c, k) => table(m, c.axes, f.next[k]!));
  };
  if (f.over.kind === "blocks") eachBlock(m, f.over.axis, step);
  else
    for (let t = 0; t < f.over.count; t++) {
      m.steps.set(f.id, t);
      step();
    }
  if (f.over.kind === "blocks") m.blocks.delete(f.over.axis.id);
  m.carried.delete(f.id);
  m.results.set(f.id, state);
  m.memo.clear();
}

function store(m: Machine, out: NDArray, index: readonly Value[], value: Value): void {
  const seen = new Map<number, Axis>();
  for (const v of [...index, value]) for (const a of v.axes) seen.set(a.id, a);
  for (const a of m.kernel.grid) seen.set(a.id, a);
  const strides = stridesOf(out.shape);
  eachElement(m, [...seen.values()], () => {
    const at = index.map((v, d) => {
      const i = numberAt(m, v);
      invariant(i >= 0 && i < out.shape[d]!, `${m.kernel.name} stores outside of its array`);
      return i * strides[d]!;
    });
    out.data[at.reduce((x, y) => x + y, 0)] = numberAt(m, value);
  });
}

function numberAt(m: Machine, v: Value): number {
  const d = v.def;
  if (d.kind === "const") return d.value;
  if (d.kind === "pos") return element(m, d.axis);
  const key = elementKey(m, v.axes);
  let known = m.memo.get(v.id);
  if (!known) m.memo.set(v.id, (known = new Map()));
  const old = known.get(key);
  if (old !== undefined) return old;
  const value = compute(m, v);
  known.set(key, value);
  return value;
}
function compute(m: Machine, v: Value): number {
  const d = v.def;
  switch (d.kind) {
    case "const":
      return d.value;
    case "scalar":
      return m.scalars[d.index]!;
    case "step":
      return m.steps.get(d.fold)!;
    case "pos":
      return element(m, d.axis);
    case "edge": {
      const [first, end] = rangeOf(m, d.axis);
      return d.end === "first" ? first : end - 1;
    }
    case "load":
      return loaded(
        m,
        d.buffer,
        d.index.map((i) => numberAt(m, i)),
        d.clamp,
      );
    case "map":
      return applied(
        d.op,
        d.args.map((a) => a.dtype),
        v.dtype,
        d.args.map((a) => numberAt(m, a)),
      );
    case "cast":
      return item(cast(scalar(d.arg.dtype, numberAt(m, d.arg)), v.dtype));
    case "reduce": {
      const xs: number[] = [];
      eachElement(m, [d.axis], () => xs.push(numberAt(m, d.arg)));
      return d.op === "argmax" ? rangeOf(m, d.axis)[0] + largest(xs) : joined(d.op, d.arg.dtype, xs);
    }
    case "scan": {
      const xs: number[] = [];
      const last = element(m, d.axis);
      eachElement(m, [d.axis], () => {
        if (element(m, d.axis) <= last) xs.push(numberAt(m, d.arg));
      });
      return joined("sum", d.arg.dtype, xs);
    }
    case "at":
      return elsewhere(m, d);
    case "carry":
    case "result": {
      const state = (d.kind === "carry" ? m.carried : m.results).get(d.fold);
      invariant(state, `fold ${d.fold} has no ${d.kind} here`);
      const value = state[d.place]!.get(elementKey(m, v.axes));
      invariant(value !== undefined, `${d.kind} ${d.place} of fold ${d.fold} has no value at this element`);
      return value;
    }
  }
}
function elsewhere(m: Machine, d: Extract<Value["def"], { kind: "at" }>): number {
  const to = d.bind.map(({ axis, index }) => [axis, numberAt(m, index)] as const);
  const before = to.map(([axis]) => m.at.get(axis.id));
  for (const [axis, i] of to) {
    const [first, end] = rangeOf(m, axis);
    invariant(i >= first && i < end, `re-indexing leaves the block of axis ${axis.name}`);
    m.at.set(axis.id, i);
  }
  const value = numberAt(m, d.arg);
  to.forEach(([axis], k) => {
    if (before[k] === undefined) m.at.delete(axis.id);
    else m.at.set(axis.id, before[k]!);
  });
  return value;
}
function loaded(m: Machine, buffer: number, index: readonly number[], clamp: boolean): number {
  const x = m.buffers[buffer]!;
  invariant(m.kernel.buffers[buffer]!.access !== "write", "what is loaded was there before");
  let at = 0;
  for (const [d, n] of x.shape.entries()) {
    const i = clamp ? Math.max(0, Math.min(index[d]!, n - 1)) : index[d]!;
    invariant(i >= 0 && i < n, `${m.kernel.name} reads outside of ${m.kernel.buffers[buffer]!.name}`);
    at = at * n + i;
  }
  return x.data[at]!;
}
function applied(op: MapOp, from: readonly DType[], to: DType, xs: readonly number[]): number {
  if (op === "random_uniform") return randomUniform(xs[0]!, xs.slice(1));
  const args = xs.map((x, k) => scalar(from[k]!, x));
  if (op === "select") return item(select(args[0]!, args[1]!, args[2]!));
  const value = args.length === 1 ? unary(op as Unary, args[0]!) : binary(op as Binary, args[0]!, args[1]!);
  invariant(value.dtype === to, `${op} gives ${value.dtype}, not ${to}`);
  return item(value);
}
const joins: { readonly [K in ReduceKind]: Binary } = {
  sum: "add",
  prod: "mul",
  max: "max",
  min: "min",
  any: "or",
  all: "and",
};
function neutral(op: ReduceKind, dtype: DType): number {
  if (op === "sum" || op === "any") return 0;
  if (op === "prod" || op === "all") return 1;
  if (dtype === "i32") return op === "max" ? -(2 ** 31) : 2 ** 31 - 1;
  if (dtype === "u32") return op === "max" ? 0 : 2 ** 32 - 1;
  return op === "max" ? -Infinity : Infinity;
}
const joined = (op: ReduceKind, dtype: DType, xs: readonly number[]): number =>
  xs.reduce((x, y) => applied(joins[op], [dtype, dtype], dtype, [x, y]), neutral(op, dtype));
/** The place of the first largest; a NaN counts as largest. */
function largest(xs: readonly number[]): number {
  let best = 0;
  for (const [k, x] of xs.entries()) if (x > xs[best]! || (Number.isNaN(x) && !Number.isNaN(xs[best]!))) best = k;
  return best;
}

// ── Device programs ──────────────────────────────────────────────────────────────────────────────────────────────

/** The global outputs of a program for global inputs; every device of the mesh does each step before the next begins. */
export function evalProgram(
  p: DeviceProgram,
  inputs: readonly NDArray[],
  options: KernelEvalOptions = {},
): readonly NDArray[] {
  const devices = Array.from({ length: deviceCount(p.mesh) }, (_, d) => coordinatesOf(p.mesh, d));
  const held: (NDArray | undefined)[][] = devices.map(() => []);
  devices.forEach((at, d) => {
    p.inputs.forEach(({ port, array }, k) => {
      held[d]![array] = shard(p.mesh, port, inputs[k]!, at);
    });
  });
  const h: Host = { p, options, held, devices, loops: new Map() };
  for (const s of p.steps) step(h, s);
  return p.outputs.map(({ port, array }) =>
    unshard(
      p.mesh,
      port,
      devices.map((at, d) => ({ at, piece: shaped(read(h, d, array), localShape(p.mesh, port.shape, port.spec)) })),
    ),
  );
}
type Host = {
  readonly p: DeviceProgram;
  readonly options: KernelEvalOptions;
  readonly held: (NDArray | undefined)[][];
  readonly devices: readonly (readonly number[])[];
  readonly loops: Map<number, number>;
};
const localShape = (
  mesh: Mesh,
  shape: readonly number[],
  spec: DeviceProgram["outputs"][number]["port"]["spec"],
): readonly number[] => shape.map((n, d) => n / ringSize(mesh, spec[d]!.axes));
const shaped = (x: NDArray, shape: readonly number[]): NDArray => ndarray(x.dtype, shape, x.data);
function read(h: Host, device: number, array: number): NDArray {
  const x = h.held[device]![array];
  invariant(x, `array ${h.p.arrays[array]!.name} is read before it is written`);
  return x;
}

function step(h: Host, s: HostStep): void {
  switch (s.kind) {
    case "launch": {
      const kernel = h.p.kernels[s.kernel]!;
      h.devices.forEach((at, d) => {
        const buffers = kernel.buffers.map((b, k) => {
          const update = s.updates.find((u) => u.buffer === k);
          if (b.access === "read") return shaped(read(h, d, s.buffers[k]!), b.shape);
          return update
            ? shaped(read(h, d, update.from), b.shape)
            : ndarray(b.dtype, b.shape, new Float64Array(elements(b.shape)).fill(Number.NaN));
        });
        const scalars = kernel.scalars.map((x) =>
          x.kind === "step" ? h.loops.get(x.loop)! : placeAlong(h.p.mesh, x.axes, at),
        );
        const outs = evalKernel(kernel, buffers, scalars, h.options);
        let next = 0;
        kernel.buffers.forEach((b, k) => {
          if (b.access !== "read") h.held[d]![s.buffers[k]!] = outs[next++]!;
        });
      });
      return;
    }
    case "permute":
      permute(h, s);
      return;
    case "loop": {
      let state = s.carry.map((c) => h.devices.map((_, d) => read(h, d, c.init)));
      const put = (array: number, xs: readonly NDArray[]): void =>
        xs.forEach((x, d) => {
          h.held[d]![array] = x;
        });
      for (let t = 0; t < s.count; t++) {
        h.loops.set(s.id, t);
        s.carry.forEach((c, k) => {
          put(c.inside, state[k]!);
        });
        for (const inner of s.body) step(h, inner);
        state = s.carry.map((c) => h.devices.map((_, d) => read(h, d, c.next)));
      }
      s.carry.forEach((c, k) => {
        if (c.out !== null) put(c.out, state[k]!);
      });
    }
  }
}
function permute(h: Host, s: Extract<HostStep, { kind: "permute" }>): void {
  const { mesh } = h.p;
  const others = mesh.axes.map((a) => a.name).filter((a) => !s.axes.includes(a));
  const n = ringSize(mesh, s.axes);
  const everyone = placesIn(
    mesh,
    places(mesh, [...others, ...s.axes]),
    mesh.axes.map((a) => a.name),
  );
  const t = s.route.kind === "shift" && s.route.loop !== undefined ? h.loops.get(s.route.loop)! : 0;
  const route =
    s.route.kind === "pairs"
      ? s.route
      : {
          kind: "shift" as const,
          offset: s.route.offset + t * (s.route.loop === undefined ? 0 : (s.route.perStep ?? 1)),
          ...(s.route.within && { within: s.route.within }),
        };
  for (let ring = 0; ring < everyone.length; ring += n) {
    const members = Array.from({ length: n }, (_, k) => everyone[ring + k]!);
    const given = collectives.ppermute(
      members.map((d) => read(h, d, s.input)),
      { axes: s.axes, route },
      0,
    );
    members.forEach((d, k) => {
      h.held[d]![s.output] = given[k]!;
    });
  }
}
