/**
 * Kernels of few tiles and long loops: the loop is gone through in parts, by as many workgroups as fill a device, and a second
 * kernel makes one of what the parts came to. It is known as split-K where the loop is the sum of a product.
 *
 *   launch k (x) -> y      becomes      launch k_parts (x) -> c_parts;  launch k (c_parts) -> y
 *
 * loops.ts says which loops can be, choose.ts which is, and cut.ts what the two kernels are. Results are the same bits each time:
 * parts are merged in their order.
 */
import { uniqueName } from "./fuse/names.ts";
import type { ArrayInfo, DeviceProgram, HostStep, Kernel } from "./ir.ts";
import { type Chosen, chooseLoop, type Filling, type Forced } from "./splitk/choose.ts";
import { countOf } from "./splitk/loops.ts";
import type { Source } from "./splitk/reads.ts";

export type { Filling, Forced } from "./splitk/choose.ts";

type Launch = Extract<HostStep, { readonly kind: "launch" }>;

/** What was done with a kernel: the axes that it goes through in parts, how many, and the seconds that saves in a launch. */
export type SplitLoop = {
  readonly kernel: string;
  readonly axes: readonly string[];
  readonly parts: number;
  readonly saves: number;
};

/** The cuts of a kernel, one after another: each is of what the one before left as its second kernel. */
type Cuts = readonly { readonly chosen: Chosen; readonly first: number }[];

/** The program with long loops in parts, where that is faster on such a device; `maxBuffers` is the most that a kernel may bind. */
export function splitLongLoops(
  p: DeviceProgram,
  how: Filling | Forced,
  maxBuffers: number,
): { readonly program: DeviceProgram; readonly splits: readonly SplitLoop[] } {
  const names = {
    kernels: new Set(p.kernels.map((k) => k.name)),
    arrays: new Set(p.arrays.map((a) => a.name)),
  };
  const kernels: Kernel[] = [...p.kernels];
  const arrays: ArrayInfo[] = [...p.arrays];
  const cuts = new Map<number, Cuts>();
  const splits: SplitLoop[] = [];
  for (const [k, kernel] of p.kernels.entries()) {
    const made: { chosen: Chosen; first: number }[] = [];
    // Sums may wait for each other: each is split when those before it are.
    for (let turn = 0; turn < MOST_CUTS; turn++) {
      const chosen = chooseLoop(kernels[k]!, how, maxBuffers);
      if (!chosen) break;
      const { first, second } = chosen.cut;
      const name = uniqueName(names.kernels, first.kernel.name);
      made.push({ chosen, first: kernels.push({ ...first.kernel, name }) - 1 });
      kernels[k] = second.kernel;
      const axes = chosen.loop.axes.flatMap((a, i) => (chosen.parts[i]!.parts > 1 ? [a.name] : []));
      splits.push({ kernel: kernel.name, axes, parts: countOf(chosen.parts), saves: chosen.saves });
    }
    if (made.length > 0) cuts.set(k, made);
  }
  if (cuts.size === 0) return { program: p, splits };

  /** Kernels in the order of their launches: the parts of one just before it. */
  const order = p.kernels.flatMap((_, k) => [...(cuts.get(k) ?? []).map((c) => c.first), k]);
  const place = new Map(order.map((k, i) => [k, i]));

  const launches = (step: Launch, all: Cuts): readonly HostStep[] => {
    const steps: HostStep[] = [];
    let { buffers, updates } = step;
    for (const { chosen, first } of all) {
      const came = chosen.cut.arrays.map(({ name, ...like }) => {
        const id = arrays.length;
        arrays.push({ id, name: uniqueName(names.arrays, name), ...like });
        return id;
      });
      const before = buffers;
      const arrayOf = (s: Source): number => (s.kind === "buffer" ? before[s.index]! : came[s.index]!);
      steps.push({
        kind: "launch",
        kernel: place.get(first)!,
        buffers: chosen.cut.first.sources.map(arrayOf),
        updates: [],
      });
      const { sources } = chosen.cut.second;
      const now = (buffer: number): number => sources.findIndex((s) => s.kind === "buffer" && s.index === buffer);
      updates = updates.map((u) => ({ ...u, buffer: now(u.buffer) }));
      buffers = sources.map(arrayOf);
    }
    return [...steps, { ...step, kernel: place.get(step.kernel)!, buffers, updates }];
  };
  const stepsOf = (s: HostStep): readonly HostStep[] => {
    switch (s.kind) {
      case "launch":
        return launches(s, cuts.get(s.kernel) ?? []);
      case "permute":
        return [s.still === undefined ? s : { ...s, still: place.get(s.still)! }];
      case "loop":
        return [{ ...s, body: s.body.flatMap(stepsOf) }];
    }
  };
  return { program: { ...p, kernels: order.map((k) => kernels[k]!), arrays, steps: p.steps.flatMap(stepsOf) }, splits };
}
const MOST_CUTS = 4;
