/**
 * Results that take the place of what they are computed from: a kernel whose loops begin with the elements of an array, and
 * which stores a result of the same shape at the same places, needs one buffer for both where nobody reads the old array
 * any more. What a loop of the program carries through such a kernel stays where it is.
 *
 *   launch k (x, acc) -> next      acc0 = load acc [i]; (r) = fold … with (a = acc0) {…}; store next [i] = r
 *
 * becomes
 *
 *   launch k (x) -> (next updated), next over acc
 *
 * Every element is read before it is written, by the thread that writes it:
 *   - a thread stores when its folds are done, and what it stores reads the old array through them alone;
 *   - the array is read at the index that the result is stored at, and that tells the elements of the grid apart.
 */

import { operandsOf } from "./build.ts";
import type { DeviceProgram, HostStep, Kernel, Stmt, Store, Value } from "./ir.ts";
import { readdressed } from "./pack/readdress.ts";

type Launch = Extract<HostStep, { kind: "launch" }>;
type Load = Extract<Value["def"], { kind: "load" }>;

/** The program with such results in place. Each kernel is launched once, as fuse.ts leaves them. */
export function writeInPlace(p: DeviceProgram): DeviceProgram {
  const kernels = [...p.kernels];
  /** `own`: arrays that are the block's to overwrite; `liveOut`: those that are read after it. */
  const block = (body: readonly HostStep[], own: Set<number>, liveOut: ReadonlySet<number>): readonly HostStep[] => {
    const lastUse = new Map(body.flatMap((step, i) => readsOf(step, p.kernels).map((array) => [array, i] as const)));
    const sent = new Set(body.flatMap((step) => (step.kind === "permute" ? [step.input] : [])));
    return body.map((step, i): HostStep => {
      const spent = (array: number): boolean =>
        own.has(array) && lastUse.get(array) === i && !liveOut.has(array) && !sent.has(array);
      const now = step.kind === "launch" ? launch(kernels, step, spent) : step;
      for (const array of makes(step)) own.add(array);
      if (now.kind !== "loop") return now;
      const inside = new Set(now.carry.map((c) => c.inside));
      return { ...now, body: block(now.body, inside, new Set(now.carry.map((c) => c.next))) };
    });
  };
  const steps = block(p.steps, new Set(), new Set(p.outputs.map((o) => o.array)));
  return { ...p, kernels, steps };
}

/** The arrays that a step reads; of a loop, all that is read in it. */
function readsOf(step: HostStep, kernels: readonly Kernel[]): readonly number[] {
  switch (step.kind) {
    case "launch": {
      const { buffers } = kernels[step.kernel]!;
      return [...step.buffers.filter((_, k) => buffers[k]!.access === "read"), ...step.updates.map((u) => u.from)];
    }
    case "permute":
      return [step.input];
    case "loop":
      return [...step.carry.flatMap((c) => [c.init, c.next]), ...step.body.flatMap((s) => readsOf(s, kernels))];
  }
}
const makes = (step: HostStep): readonly number[] =>
  step.kind === "launch"
    ? step.buffers
    : step.kind === "permute"
      ? [step.output]
      : step.carry.flatMap((c) => (c.out === null ? [] : [c.out]));

function launch(kernels: Kernel[], step: Launch, spent: (array: number) => boolean): Launch {
  const kernel = kernels[step.kernel]!;
  const over = new Map<number, number>();
  for (const [read, written] of replaceable(kernel)) {
    const array = step.buffers[read]!;
    const once = step.buffers.filter((a) => a === array).length === 1 && step.updates.every((u) => u.from !== array);
    if (spent(array) && once && !over.has(written) && ![...over.values()].includes(read)) over.set(written, read);
  }
  if (over.size === 0) return step;
  const gone = new Set(over.values());
  const kept = [...kernel.buffers.keys()].filter((k) => !gone.has(k));
  const places = new Map(kept.map((k, buffer) => [k, { buffer, offset: 0 }]));
  for (const [written, read] of over) places.set(read, places.get(written)!);
  const buffers = kept.map((k) =>
    over.has(k) ? { ...kernel.buffers[k]!, access: "update" as const } : kernel.buffers[k]!,
  );
  kernels[step.kernel] = readdressed(kernel, buffers, (k) => places.get(k)!);
  const updates = [
    ...step.updates.map((u) => ({ ...u, buffer: places.get(u.buffer)!.buffer })),
    ...[...over].map(([written, read]) => ({ buffer: places.get(written)!.buffer, from: step.buffers[read]! })),
  ];
  return { ...step, buffers: kept.map((k) => step.buffers[k]!), updates };
}

/** Pairs of a buffer that is read and one that may be written in its place, as far as the kernel is concerned. */
function replaceable(kernel: Kernel): readonly (readonly [read: number, written: number])[] {
  if (!kernel.body.some((s) => s.kind === "fold")) return [];
  const loads = loadsIn(kernel.body);
  // What stores read otherwise than through a fold.
  const late = new Set<number>();
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    if (v.def.kind === "load") late.add(v.def.buffer);
    operandsOf(v.def).forEach(see);
  };
  for (const s of kernel.stores) [...s.index, s.value].forEach(see);
  const fits = (store: Store, read: number): boolean => {
    const [from, to] = [kernel.buffers[read]!, kernel.buffers[store.buffer]!];
    if (from.access !== "read" || late.has(read) || from.dtype !== to.dtype) return false;
    if (String(from.shape) !== String(to.shape)) return false;
    const own = loads.filter((d) => d.buffer === read);
    return own.every((d) => !d.clamp && d.index.every((v, k) => sameLeaf(v, store.index[k]!)));
  };
  return kernel.stores.flatMap((store) =>
    kernel.buffers[store.buffer]!.access === "write" && tellsApart(store.index, kernel)
      ? [...kernel.buffers.keys()].flatMap((read) => (fits(store, read) ? [[read, store.buffer] as const] : []))
      : [],
  );
}
const loadsIn = (body: readonly Stmt[]): readonly Load[] =>
  body.flatMap((s) => (s.kind === "fold" ? loadsIn(s.body) : s.value.def.kind === "load" ? [s.value.def] : []));

const sameLeaf = ({ def: x }: Value, { def: y }: Value): boolean =>
  (x.kind === "pos" && y.kind === "pos" && x.axis.id === y.axis.id) ||
  (x.kind === "const" && y.kind === "const" && x.value === y.value);

/** Whether no two elements of the grid, nor two of a thread, have the same index: it has each of their axes, plainly. */
function tellsApart(index: readonly Value[], kernel: Kernel): boolean {
  const axes = new Set(index.flatMap((v) => (v.def.kind === "pos" ? [v.def.axis.id] : [])));
  return (
    index.every((v) => v.def.kind === "pos" || v.def.kind === "const") &&
    kernel.grid.every((a) => a.extent === 1 || axes.has(a.id))
  );
}
