/** Random device programs, and what they mean: every array on every device, each written once. */
import { bytesOf } from "../../compiler/schedule/values.ts";
import type { DeviceProgram, HostRoute, HostStep, Kernel, Scalar } from "../../compiler/tile/ir.ts";
import { deviceCount, peers, ringPlace } from "../../runtime/route.ts";
import { fakeKernel } from "../runtime/fake.ts";
import { permute, programBuilder } from "./programs.ts";

export type Random = (below: number) => number;

/** Mulberry32. */
export function randomFrom(seed: number): Random {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const SHAPES = [[6], [6], [6], [4], [2, 3]] as const;

/** A program with loops in loops, routes of all kinds, carries that swap, stay or repeat, in-place updates, dead code. */
export function randomProgram(seed: number): DeviceProgram {
  const random = randomFrom(seed);
  const some = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const sp = 1 + random(4);
  const dp = 1 + random(2);
  const b = programBuilder(`random${seed}`, { dp, sp });
  const shapes: (readonly number[])[] = [];
  let kernels = 0;
  let loops = 0;
  const sameShape = (known: readonly number[], array: number) =>
    known.filter((a) => shapes[a]!.join() === shapes[array]!.join());
  const fresh = (shape: readonly number[]) => {
    shapes.push(shape);
    return b.array(`a${shapes.length - 1}`, shape);
  };

  const route = (around: readonly number[]): { axes: string[]; route: HostRoute } => {
    const axes = some([["sp"], ["sp"], ["dp"], ["dp", "sp"]]);
    const ring = axes.reduce((n, a) => n * (a === "sp" ? sp : dp), 1);
    const kind = random(5);
    if (kind === 0) {
      const to = Array.from({ length: ring }, (_, i) => i).sort(() => random(3) - 1);
      const pairs = to.map((t, from) => [from, t] as const).filter(() => random(3) > 0);
      return { axes, route: { kind: "pairs", pairs } };
    }
    if (kind === 1 && around.length > 0) {
      return { axes, route: { kind: "shift", offset: random(3) - 1, loop: some(around), perStep: random(3) - 1 } };
    }
    const parts = [1, 2, 3, 4].filter((n) => ring % n === 0);
    if (kind === 2) return { axes, route: { kind: "shift", offset: random(4) - 1, within: some(parts) } };
    return { axes, route: { kind: "shift", offset: random(4) - 1 } };
  };

  const launchStep = (known: readonly number[], around: readonly number[], made: number[]): HostStep => {
    const reads = Array.from({ length: random(3) }, () => some(known));
    const from = some(known);
    const updates = random(3) === 0;
    const outs = Array.from({ length: updates ? 1 + random(2) : 1 + random(2) }, (_, k) =>
      fresh(updates && k === 0 ? shapes[from]! : some(SHAPES)),
    );
    const buffers = [...reads, ...outs];
    const access = buffers.map((_, k) =>
      k < reads.length ? ("read" as const) : updates && k === reads.length ? ("update" as const) : ("write" as const),
    );
    const scalars: Scalar[] = [];
    if (random(2) === 0) scalars.push({ kind: "axis_index", axes: some([["sp"], ["dp"], ["dp", "sp"]]) });
    if (around.length > 0 && random(2) === 0) scalars.push({ kind: "step", loop: some(around) });
    const kernel = b.kernel(`k${kernels++}`, access, [], scalars);
    made.push(...outs);
    return { kind: "launch", kernel, buffers, updates: updates ? [{ buffer: reads.length, from }] : [] };
  };

  const block = (known: readonly number[], around: readonly number[], depth: number): [HostStep[], number[]] => {
    const made: number[] = [];
    const steps: HostStep[] = [];
    for (let n = 1 + random(5); n > 0; n--) {
      const all = [...known, ...made];
      const kind = random(8);
      if (kind < 4) steps.push(launchStep(all, around, made));
      else if (kind < 6 || depth === 0) {
        const input = some(all);
        const output = fresh(shapes[input]!);
        const r = route(around);
        steps.push(permute(input, output, r.route, r.axes));
        made.push(output);
      } else {
        const id = loops++;
        const carry = Array.from({ length: 1 + random(3) }, () => {
          const init = some(all);
          return { init, inside: fresh(shapes[init]!) };
        });
        const [body, inner] = block([...all, ...carry.map((c) => c.inside)], [...around, id], depth - 1);
        const whole = carry.map((c) => {
          const fromBody = sameShape(inner, c.init);
          const any = sameShape([...all, ...carry.map((x) => x.inside), ...inner], c.init);
          const next = fromBody.length > 0 && random(4) > 0 ? some(fromBody) : some(any);
          return { ...c, next, out: random(3) === 0 ? null : fresh(shapes[c.init]!) };
        });
        steps.push({ kind: "loop", id, count: some([0, 1, 2, 3, 4, 5]), carry: whole, body });
        made.push(...whole.flatMap((c) => (c.out === null ? [] : [c.out])));
      }
    }
    return [steps, made];
  };

  const inputs = Array.from({ length: 1 + random(3) }, (_, k) => {
    const shape = some(SHAPES);
    shapes.push(shape);
    return b.input(`in${k}`, shape, "sp");
  });
  const [steps, made] = block(inputs, [], 2);
  const pool = [...inputs, ...made, ...made];
  const outputs = Array.from({ length: 1 + random(3) }, () => some(pool));
  for (const [k, array] of outputs.entries()) b.output(array, `out${k}`, "sp");
  const program = b.finish(steps);
  return withShapes(program, shapes);
}

/** Gives each kernel's buffers the shapes of the arrays it is launched with. */
function withShapes(program: DeviceProgram, shapes: readonly (readonly number[])[]): DeviceProgram {
  const of = new Map<number, readonly number[]>();
  const visit = (steps: readonly HostStep[]) => {
    for (const s of steps) {
      if (s.kind === "launch") of.set(s.kernel, s.buffers);
      else if (s.kind === "loop") visit(s.body);
    }
  };
  visit(program.steps);
  const kernels = program.kernels.map(
    (k, i): Kernel => ({ ...k, buffers: k.buffers.map((b, j) => ({ ...b, shape: shapes[of.get(i)![j]!]! })) }),
  );
  return { ...program, kernels };
}

/** What input `path` is on device `position`, in words. */
export const inputWords = (path: string, position: number, length: number): Uint32Array =>
  Uint32Array.from({ length }, (_, i) => (hash(path) * 31 + position * 1009 + i * 7919) >>> 0);
const hash = (text: string) => [...text].reduce((h, c) => (h * 33 + c.charCodeAt(0)) >>> 0, 5381);

/** Runs the program as it is written, on all devices in step: `result[k][position]` is output k. */
export function evalProgram(program: DeviceProgram): Uint32Array[][] {
  const { mesh } = program;
  const positions = Array.from({ length: deviceCount(mesh) }, (_, p) => p);
  const info = new Map(program.arrays.map((a) => [a.id, a]));
  const length = (a: number) => bytesOf(info.get(a)!.dtype, info.get(a)!.shape) / 4;
  const arrays = new Map<number, Uint32Array[]>();
  for (const { port, array } of program.inputs) {
    arrays.set(
      array,
      positions.map((p) => inputWords(port.path, p, length(array))),
    );
  }
  const get = (a: number) => arrays.get(a)!;
  const run = (steps: readonly HostStep[], loops: ReadonlyMap<number, number>): void => {
    for (const step of steps) {
      if (step.kind === "launch") {
        const { name, buffers, scalars } = program.kernels[step.kernel]!;
        const access = buffers.map((b) => b.access);
        step.buffers.forEach((a, k) => {
          if (access[k] === "read") return;
          const from = step.updates.find((u) => u.buffer === k)?.from;
          arrays.set(
            a,
            positions.map((p) => (from === undefined ? new Uint32Array(length(a)) : get(from)[p]!.slice())),
          );
        });
        for (const p of positions) {
          const words = scalars.map((s) => (s.kind === "step" ? loops.get(s.loop)! : ringPlace(mesh, s.axes, p)));
          fakeKernel(
            name,
            access,
            words,
            step.buffers.map((a) => get(a)[p]!),
          );
        }
      } else if (step.kind === "permute") {
        const all = positions.map((p) => peers(mesh, step.axes, step.route, p, (id) => loops.get(id)!));
        arrays.set(
          step.output,
          positions.map((p) => {
            const { from } = all[p]!;
            return from === undefined ? new Uint32Array(length(step.output)) : get(step.input)[from]!.slice();
          }),
        );
      } else {
        let carried = step.carry.map((c) => get(c.init));
        for (let i = 0; i < step.count; i++) {
          step.carry.forEach((c, k) => {
            arrays.set(c.inside, carried[k]!);
          });
          run(step.body, new Map(loops).set(step.id, i));
          carried = step.carry.map((c) => get(c.next));
        }
        step.carry.forEach((c, k) => {
          if (c.out !== null) arrays.set(c.out, carried[k]!);
        });
      }
    }
  };
  run(program.steps, new Map());
  return program.outputs.map((o) => get(o.array));
}
