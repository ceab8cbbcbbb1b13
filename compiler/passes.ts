/**
 * From a Core program to kernels over named axes, and from those to a schedule: the passes that know no target, in their
 * order. What a target says here is only how many buffers a kernel may bind, how many workgroups fill a device, and whether it
 * pays there to add at places.
 */
import { type Diagnostic, isError } from "./base/diagnostic.ts";
import { usualMachine } from "./base/machine.ts";
import { check as checkCore } from "./core/check.ts";
import { combine } from "./core/combine.ts";
import { decompose } from "./core/decompose.ts";
import { withoutEmpty } from "./core/empty.ts";
import { grad } from "./core/grad.ts";
import type { Program } from "./core/ir.ts";
import { collectAhead } from "./core/overlap/ahead.ts";
import { addOnArrival } from "./core/overlap/arrivals.ts";
import { ringProducts } from "./core/overlap/products.ts";
import { simplify } from "./core/simplify.ts";
import type { CompileOptions, OptionalPass, OverlapPass } from "./options.ts";
import { type PassTimes, runPass } from "./pass.ts";
import { describe } from "./schedule/describe.ts";
import { plan } from "./schedule/plan.ts";
import type { Decision, Schedule, Kernel as ScheduledKernel } from "./schedule/schedule.ts";
import { targets } from "./targets.ts";
import { deriveBounds } from "./tile/bounds.ts";
import { check as checkTile } from "./tile/check.ts";
import { flattenSums } from "./tile/flatten.ts";
import { fuse } from "./tile/fuse.ts";
import { hoistFromLoops } from "./tile/hoist.ts";
import { initialContents } from "./tile/initials.ts";
import { writeInPlace } from "./tile/inplace.ts";
import type { DeviceProgram } from "./tile/ir.ts";
import { mergeKernels } from "./tile/merge.ts";
import { packInputs } from "./tile/pack.ts";
import { type Filling, type SplitLoop, splitLongLoops } from "./tile/splitk.ts";
import { type Pays, sumHits } from "./tile/sumHits.ts";

/** What is planned: kernels, and what was decided before there was a schedule. */
type Planned = {
  readonly tile: DeviceProgram;
  readonly chosen: readonly Decision[];
  readonly splits: readonly SplitLoop[];
};
/** `program`: without derivatives; `device`: Core of one device. Without them where a diagnostic says why. */
type Kernels =
  | { readonly tile?: undefined; readonly diagnostics: readonly Diagnostic[] }
  | (Planned & {
      readonly program: Program;
      readonly device: Program;
      readonly diagnostics: readonly Diagnostic[];
    });

/**
 * As far as kernels over named axes. Where a limit of memory is given that the schedule would not keep, what takes memory to be
 * faster is left out one after another; the first that fits is taken, else the smallest.
 */
export function toTile(
  written: Program,
  options: CompileOptions,
  times: PassTimes,
  filling?: Filling,
  pays?: Pays,
): Kernels {
  const first = toKernels(written, options, times, filling, pays);
  const { memory, without = [] } = options;
  if (memory === undefined || !first.tile) return first;
  const bytesOf = (made: Planned): number => {
    const groups = made.tile.kernels.map(() => [1, 1, 1] as const);
    return planner(made, groups, options)(options.donate ?? []).memory.bytes;
  };
  let best = { made: first, bytes: bytesOf(first) };
  for (let k = 1; k <= COSTLY.length && best.bytes > memory; k++) {
    const made = toKernels(written, { ...options, without: [...without, ...COSTLY.slice(0, k)] }, times, filling, pays);
    const bytes = made.tile ? bytesOf(made) : Number.POSITIVE_INFINITY;
    if (made.tile && bytes < best.bytes) best = { made, bytes };
  }
  return best.made;
}
/** What takes arrays of its own. */
const COSTLY: readonly OptionalPass[] = ["split-k", "collect ahead", "add on arrival", "ring products"];

function toKernels(
  written: Program,
  options: CompileOptions,
  times: PassTimes,
  filling?: Filling,
  pays: Pays = () => false,
): Kernels {
  const maxBuffers = options.maxBuffers ?? targets.gpu.maxBuffers;
  const program = runPass(times, "grad", () => grad(written), checkCore);
  const some = runPass(times, "empty", () => withoutEmpty(program), checkCore);
  const simple = runPass(times, "simplify", () => simplify(some), checkCore);
  const few = runPass(times, "combine", () => combine(simple), checkCore);
  const machine = options.machine ?? usualMachine;
  const overlapped = (name: OverlapPass, pass: typeof ringProducts, p: Program) =>
    options.without?.includes(name)
      ? { program: p, choices: [] }
      : runPass(
          times,
          name,
          () => pass(p, machine),
          (r) => checkCore(r.program),
        );
  const products = overlapped("ring products", ringProducts, few);
  const early = overlapped("collect ahead", collectAhead, products.program);
  const rings = runPass(
    times,
    "decompose",
    () => decompose(early.program, machine, options.without?.includes("ways round")),
    (r) => checkCore(r.program),
  );
  const again = runPass(times, "simplify", () => simplify(rings.program), checkCore);
  const arrivals = overlapped("add on arrival", addOnArrival, again);
  const device = arrivals.program;
  const chosen = [...products.choices, ...early.choices, ...rings.choices, ...arrivals.choices];
  const fused = runPass(
    times,
    "fuse",
    () => fuse(device, { maxBuffers }),
    (r) => (r.diagnostics.length > 0 ? [] : checkTile(r.program)),
  );
  const { diagnostics } = fused;
  if (diagnostics.some(isError)) return { diagnostics };
  const hoisted = runPass(times, "hoist", () => hoistFromLoops(fused.program), checkTile);
  const hits = runPass(times, "hits", () => sumHits(hoisted, pays), checkTile);
  const flat = runPass(times, "flatten", () => flattenSums(hits), checkTile);
  const how = options.parts === undefined ? filling : { parts: options.parts };
  const split =
    !how || options.without?.includes("split-k")
      ? { program: flat, splits: [] }
      : runPass(
          times,
          "split-k",
          () => splitLongLoops(flat, how, maxBuffers),
          (r) => checkTile(r.program),
        );
  const placed = runPass(times, "in place", () => writeInPlace(split.program), checkTile);
  const packed = runPass(times, "pack", () => packInputs(placed, maxBuffers), checkTile);
  const bounded = runPass(times, "bounds", () => ({ ...packed, kernels: withBounds(packed) }));
  const tile = runPass(times, "merge", () => mergeKernels(bounded), checkTile);
  return { program, device, tile, chosen, splits: split.splits, diagnostics };
}

function withBounds(program: DeviceProgram): DeviceProgram["kernels"] {
  const initials = initialContents(program);
  return program.kernels.map((k, i) => deriveBounds(k, initials[i]));
}

/** Plans the launches of kernels, which have so many workgroups, with inputs that may be overwritten. */
export function planner(
  { tile, chosen, splits }: Planned,
  groups: readonly ScheduledKernel["groups"][],
  { machine = usualMachine, memory, overlap = true }: CompileOptions,
): (donate: readonly string[]) => Schedule {
  const meta = tile.kernels.map((k, i) => describe(k, groups[i]!));
  return (donate) =>
    plan(tile, meta, { donate, overlap, machine, chosen, splits, ...(memory !== undefined && { memory }) });
}
