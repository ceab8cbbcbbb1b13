/**
 * What kernels and device programs mean, in float64: tile by tile, a value is an array over the blocks of its axes, made
 * of others by the ops of core; folds step by step, all devices of the mesh in lockstep.
 */
import { invariant } from "../base/invariant.ts";
import { binary, cast, mapAll, select, unary } from "../core/elementwise.ts";
import type { Binary, DType, Mesh, Unary } from "../core/ir.ts";
import { argmax, collectives, cumsum, reduce } from "../core/meaning.ts";
import { coordinatesOf, deviceCount, placeAlong, places, placesIn, ringSize } from "../core/mesh-layout.ts";
import { broadcastTo, elements, type NDArray, ndarray, reshaped, scalar, stridesOf } from "../core/ndarray.ts";
import { shard, unshard } from "../core/shard.ts";
import { randomUniform } from "../core/threefry.ts";
import { isLeaf, unionOf } from "./build.ts";
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
  readonly steps: Map<number, number>;
  /** What is let, on the blocks at hand: a number for each element of a value's axes, in their order. */
  readonly values: Map<number, NDArray>;
  /** What each fold carries now, and what it came to. */
  readonly carried: Map<number, readonly NDArray[]>;
  readonly results: Map<number, readonly NDArray[]>;
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
    steps: new Map(),
    values: new Map(),
    carried: new Map(),
    results: new Map(),
  };
  const tile = (d: number): void => {
    const axis = kernel.grid[d];
    if (!axis) {
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
function rangeOf(m: Machine, a: Axis): readonly [first: number, end: number] {
  if (a.role === "inner") return [0, a.extent];
  const block = m.blocks.get(a.id);
  invariant(block, `axis ${a.name} is used outside its loop`);
  return block;
}
function sizeOf(m: Machine, a: Axis): number {
  const [first, end] = rangeOf(m, a);
  return end - first;
}

function run(m: Machine, body: readonly Stmt[]): void {
  for (const s of body) {
    if (s.kind === "fold") runFold(m, s);
    else m.values.set(s.value.id, compute(m, s.value));
  }
}
function runFold(m: Machine, f: Fold): void {
  const carries = (values: readonly Value[]): readonly NDArray[] =>
    f.carry.map((c, k) => spread(m, values[k]!, c.axes));
  let state = carries(f.init);
  const step = (): void => {
    m.carried.set(f.id, state);
    run(m, f.body);
    state = carries(f.next);
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
}

function numbersOf(m: Machine, v: Value): NDArray {
  if (isLeaf(v.def)) return compute(m, v);
  const x = m.values.get(v.id);
  invariant(x, `value ${v.name ?? v.id} of ${m.kernel.name} is used before it is let`);
  return x;
}
/** An array over some axes as one over others: of size 1 along those that are new; those that are left out have one element. */
function aligned(m: Machine, x: NDArray, from: readonly Axis[], to: readonly Axis[]): NDArray {
  const own = new Set(from.map((a) => a.id));
  return reshaped(
    x,
    to.map((a) => (own.has(a.id) ? sizeOf(m, a) : 1)),
  );
}
const seen = (m: Machine, v: Value, axes: readonly Axis[]): NDArray => aligned(m, numbersOf(m, v), v.axes, axes);
/** A number for each element of the axes. */
const spread = (m: Machine, v: Value, axes: readonly Axis[]): NDArray =>
  broadcastTo(
    seen(m, v, axes),
    axes.map((a) => sizeOf(m, a)),
  );

function compute(m: Machine, v: Value): NDArray {
  const d = v.def;
  switch (d.kind) {
    case "const":
      return scalar(v.dtype, d.value);
    case "scalar":
      return scalar(v.dtype, m.scalars[d.index]!);
    case "step":
      return scalar(v.dtype, m.steps.get(d.fold)!);
    case "pos":
      return positions(m, d.axis);
    case "edge": {
      const [first, end] = rangeOf(m, d.axis);
      return scalar(v.dtype, d.end === "first" ? first : end - 1);
    }
    case "load": {
      const [x, { name, access }] = [m.buffers[d.buffer]!, m.kernel.buffers[d.buffer]!];
      invariant(access !== "write", "what is loaded was there before");
      const index = d.index.map((i, dim) => {
        const at = seen(m, i, v.axes);
        return d.clamp ? clamped(at, x.shape[dim]!) : at;
      });
      return picked(x, index, `${m.kernel.name} reads outside of ${name}`);
    }
    case "map":
      return applied(
        d.op,
        d.args.map((a) => seen(m, a, v.axes)),
        v.dtype,
      );
    case "cast":
      return cast(numbersOf(m, d.arg), v.dtype);
    case "reduce":
    case "scan": {
      const axes = unionOf(d.arg.axes, [d.axis]);
      const [x, dim] = [spread(m, d.arg, axes), axes.findIndex((a) => a.id === d.axis.id)];
      if (d.kind === "scan") return cumsum(x, dim);
      if (d.op !== "argmax") return reduce(x, d.op, [dim], false);
      return binary("add", argmax(x, dim, false), scalar("i32", rangeOf(m, d.axis)[0]));
    }
    case "at": {
      const index = d.arg.axes.map((axis) => {
        const to = d.bind.find((b) => b.axis.id === axis.id);
        const at = to ? seen(m, to.index, v.axes) : aligned(m, positions(m, axis), [axis], v.axes);
        return binary("sub", at, scalar("i32", rangeOf(m, axis)[0]));
      });
      return picked(numbersOf(m, d.arg), index, `re-indexing leaves a block of ${m.kernel.name}`);
    }
    case "carry":
    case "result": {
      const state = (d.kind === "carry" ? m.carried : m.results).get(d.fold);
      invariant(state, `fold ${d.fold} has no ${d.kind} here`);
      return state[d.place]!;
    }
  }
}
/** The elements of an axis that are at hand. */
function positions(m: Machine, axis: Axis): NDArray {
  const [first] = rangeOf(m, axis);
  return ndarray(
    "i32",
    [sizeOf(m, axis)],
    Array.from({ length: sizeOf(m, axis) }, (_, i) => first + i),
  );
}
function applied(op: MapOp, args: readonly NDArray[], to: DType): NDArray {
  if (op === "random_uniform") return mapAll(to, args, ([key, ...counters]) => randomUniform(key!, counters));
  if (op === "select") return select(args[0]!, args[1]!, args[2]!);
  const value = args.length === 1 ? unary(op as Unary, args[0]!) : binary(op as Binary, args[0]!, args[1]!);
  invariant(value.dtype === to, `${op} gives ${value.dtype}, not ${to}`);
  return value;
}
const clamped = (x: NDArray, size: number): NDArray => ({
  ...x,
  data: x.data.map((i) => Math.max(0, Math.min(i, size - 1))),
});

/** Places in an array of a shape, by an index for each dimension, as these broadcast. */
function placesOf(shape: readonly number[], index: readonly NDArray[], outside: string): NDArray {
  const strides = stridesOf(shape);
  return index
    .map((at, d) => {
      for (const i of at.data) invariant(i >= 0 && i < shape[d]!, outside);
      return binary("mul", at, scalar("i32", strides[d]!));
    })
    .reduce((a, b) => binary("add", a, b), scalar("i32", 0));
}
function picked(x: NDArray, index: readonly NDArray[], outside: string): NDArray {
  const at = placesOf(x.shape, index, outside);
  return { dtype: x.dtype, shape: at.shape, data: at.data.map((i) => x.data[i]!) };
}
function store(m: Machine, out: NDArray, index: readonly Value[], value: Value): void {
  const axes = unionOf(value.axes, ...index.map((i) => i.axes));
  const at = placesOf(
    out.shape,
    index.map((i) => spread(m, i, axes)),
    `${m.kernel.name} stores outside of its array`,
  );
  const numbers = spread(m, value, axes).data;
  at.data.forEach((place, k) => {
    out.data[place] = numbers[k]!;
  });
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
