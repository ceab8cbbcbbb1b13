/**
 * Kernels that read more arrays than a device binds: some of their inputs are joined to one array, by a kernel of its
 * own, and read at an offset. With at most 4 buffers,
 *
 *   launch k (a, b, c, d, e) -> out        v = load b [i]
 *
 * becomes
 *
 *   launch join (a, b, c) -> joined
 *   launch k (d, e, joined) -> out         v = load joined [elements(a) + i]
 *
 * Arrays are joined where the last of them is made: outside of the loops that they come into from outside.
 */
import { uniqueName } from "./fuse/names.ts";
import type { ArrayInfo, BufferParam, DeviceProgram, HostStep, Kernel } from "./ir.ts";
import { fewer, type Input } from "./pack/choose.ts";
import { elementsOf, joinKernel } from "./pack/join.ts";
import { type Place, readdressed } from "./pack/readdress.ts";

type Launch = Extract<HostStep, { kind: "launch" }>;
/** The steps of the program, or of a loop in it, so far; `turns`: how often they are done. */
type Level = { readonly steps: HostStep[]; readonly turns: number };
type State = {
  readonly most: number;
  readonly arrays: ArrayInfo[];
  readonly kernels: Kernel[];
  readonly names: { readonly arrays: Set<string>; readonly kernels: Set<string> };
  /** The level at which each array is made. */
  readonly madeAt: Map<number, number>;
  /** What arrays came to that were joined before, by their numbers. */
  readonly joined: Map<string, number>;
};

/**
 * The program with no more than `most` buffers in a kernel, where joining inputs of one dtype can do that; other kernels
 * stay as they are. Each kernel is launched once, as fuse.ts leaves them.
 */
export function packInputs(p: DeviceProgram, most: number): DeviceProgram {
  // A join reads two arrays at least, and writes one.
  if (most < 3 || p.kernels.every((k) => k.buffers.length <= most)) return p;
  const s: State = {
    most,
    arrays: [...p.arrays],
    kernels: [...p.kernels],
    names: { arrays: new Set(p.arrays.map((a) => a.name)), kernels: new Set(p.kernels.map((k) => k.name)) },
    madeAt: new Map(p.inputs.map((i) => [i.array, 0])),
    joined: new Map(),
  };
  const steps = packSteps(s, p.steps, [], 1);
  return { ...p, arrays: s.arrays, kernels: s.kernels, steps };
}

function packSteps(s: State, steps: readonly HostStep[], around: readonly Level[], turns: number): readonly HostStep[] {
  const levels = [...around, { steps: [], turns }];
  const here = levels.at(-1)!.steps;
  for (const step of steps) {
    switch (step.kind) {
      case "launch":
        here.push(packLaunch(s, step, levels));
        for (const array of step.buffers) if (!s.madeAt.has(array)) s.madeAt.set(array, around.length);
        break;
      case "permute":
        s.madeAt.set(step.output, around.length);
        here.push(step);
        break;
      case "loop": {
        for (const c of step.carry) s.madeAt.set(c.inside, levels.length);
        const body = packSteps(s, step.body, levels, turns * step.count);
        for (const c of step.carry) if (c.out !== null) s.madeAt.set(c.out, around.length);
        here.push({ ...step, body });
      }
    }
  }
  return here;
}

function packLaunch(s: State, step: Launch, levels: readonly Level[]): Launch {
  const kernel = s.kernels[step.kernel]!;
  if (kernel.buffers.length <= s.most) return step;
  const reads = kernel.buffers.flatMap((b, k) => (b.access === "read" ? [k] : []));
  const writes = kernel.buffers.flatMap((b, k) => (b.access === "read" ? [] : [k]));
  const viewsOf = (array: number): readonly BufferParam[] =>
    reads.flatMap((k) => (step.buffers[k] === array ? [kernel.buffers[k]!] : []));
  // In one order everywhere: kernels that read the same join the same.
  const numbers = [...new Set(reads.map((k) => step.buffers[k]!))].sort((x, y) => x - y);
  const arrays = numbers.map((array): Input => {
    const { dtype, shape } = s.arrays[array]!;
    const loop = s.madeAt.get(array)!;
    const row = rowOf(viewsOf(array));
    return { kind: "array", array, dtype, elements: elementsOf(shape), row, loop, turns: levels[loop]!.turns };
  });
  const chosen = fewer(arrays, s.most - writes.length);
  if (!chosen) return step;

  const params: BufferParam[] = [];
  const buffers: number[] = [];
  const places = new Map<number, Place>();
  const names = new Set<string>();
  const bind = (array: number, param: BufferParam): void => {
    params.push({ ...param, name: uniqueName(names, param.name) });
    buffers.push(array);
  };
  for (const input of chosen) {
    let offset = 0;
    for (const { array, elements } of arraysIn(input)) {
      for (const k of reads) if (step.buffers[k] === array) places.set(k, { buffer: buffers.length, offset });
      offset += elements;
    }
    const array = arrayOf(s, input, levels);
    const [view, ...others] = input.kind === "array" ? viewsOf(array) : [];
    const same = view && others.every((b) => String(b.shape) === String(view.shape));
    const { dtype, elements, row } = input;
    const shape = row === undefined ? [elements] : [elements / row, row];
    bind(array, same ? view : { name: view?.name ?? s.arrays[array]!.name, dtype, shape, access: "read" });
  }
  for (const k of writes) {
    places.set(k, { buffer: buffers.length, offset: 0 });
    bind(step.buffers[k]!, kernel.buffers[k]!);
  }
  s.kernels[step.kernel] = readdressed(kernel, params, (k) => places.get(k)!);
  return { ...step, buffers, updates: step.updates.map((u) => ({ ...u, buffer: places.get(u.buffer)!.buffer })) };
}
const arraysIn = (x: Input): readonly Extract<Input, { kind: "array" }>[] =>
  x.kind === "array" ? [x] : x.parts.flatMap(arraysIn);

/** The length of the rows that an array has wherever it is seen. */
function rowOf(views: readonly BufferParam[]): number | undefined {
  const row = views[0]!.shape.at(-1);
  return row !== undefined && row > 1 && views.every((b) => b.shape.at(-1) === row) ? row : undefined;
}

/** The array of an input, joined where that is to be done: several steps of it where the parts are too many for one kernel. */
function arrayOf(s: State, x: Input, levels: readonly Level[]): number {
  if (x.kind === "array") return x.array;
  const [first, ...others] = x.parts.map((part) => arrayOf(s, part, levels));
  let joined = first!;
  for (let k = 0; k < others.length; k += s.most - 2)
    joined = join(s, [joined, ...others.slice(k, k + s.most - 2)], x.loop, levels[x.loop]!.steps);
  return joined;
}
function join(s: State, arrays: readonly number[], level: number, steps: HostStep[]): number {
  const key = arrays.join();
  const known = s.joined.get(key);
  if (known !== undefined) return known;
  const parts = arrays.map((a) => s.arrays[a]!);
  const kernel = joinKernel(uniqueName(s.names.kernels, "join"), parts);
  const { shape, dtype } = kernel.buffers.at(-1)!;
  const array = s.arrays.length;
  s.arrays.push({ id: array, name: uniqueName(s.names.arrays, "joined"), dtype, shape });
  s.madeAt.set(array, level);
  s.joined.set(key, array);
  steps.push({ kind: "launch", kernel: s.kernels.push(kernel) - 1, buffers: [...arrays, array], updates: [] });
  return array;
}
