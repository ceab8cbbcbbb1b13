/**
 * The compiler: source text to kernels and a schedule. This file and passes.ts alone know the order of the passes.
 *
 *   text ─parse, elaborate→ Core
 *        ─grad→ Core without derivatives ─empty, simplify, combine, ring products, collect ahead, decompose,
 *         add on arrival→ Core for one device
 *        ─fuse, flatten, split-k, in place, pack→ Tile ─bounds, merge→ Tile                      (passes.ts)
 *        ─map, lower→ Lane                                                                       (lowering.ts)
 *        ─emit→ a dialect
 *        ─plan→ Schedule
 *
 * No I/O: sources come through `read`, results are values. Errors of the program are diagnostics; anything thrown is a
 * bug of the compiler (InvariantError).
 */
import { type Diagnostic, isError } from "./base/diagnostic.ts";
import { invariant } from "./base/invariant.ts";
import { usualMachine } from "./base/machine.ts";
import { check as checkCore } from "./core/check.ts";
import { elaborateEntry } from "./core/elaborate.ts";
import type { Program } from "./core/ir.ts";
import type { Dialect, KernelText, TensorView } from "./emit/text.ts";
import { choiceOf } from "./lane/allowed.ts";
import { check as checkLane } from "./lane/check.ts";
import type { LaneProgram } from "./lane/ir.ts";
import type { Mapping, MappingChoice } from "./lane/map.ts";
import { loweringFor } from "./lowering.ts";
import type { CompileOptions } from "./options.ts";
import { type PassTimes, runPass } from "./pass.ts";
import { planner, toTile } from "./passes.ts";
import { checkSchedule } from "./schedule/check.ts";
import { fillingOf } from "./schedule/describe.ts";
import type { Schedule } from "./schedule/schedule.ts";
import { type Target, targets } from "./targets.ts";
import { deriveBounds } from "./tile/bounds.ts";
import type { DeviceProgram, Kernel } from "./tile/ir.ts";
import { kernelKey } from "./tile/meaning.ts";

/** A kernel in a dialect, and how to bind and launch it; the runtime's `KernelSource`. */
export type CompiledKernel = {
  readonly name: string;
  readonly dialect: Dialect;
  readonly text: string;
  readonly code?: Uint8Array;
  readonly entry: string;
  readonly access: readonly ("read" | "read_write")[];
  readonly uniformWords: number;
  readonly threads: number;
  readonly sharedBytes: number;
  readonly tensors?: readonly TensorView[];
};

/** Everything that the compiler made, stage by stage. `kernels[k]` is the text of the schedule's kernel k. */
export type Compiled = {
  /** Core as it was written, derivatives asked for but not worked out. */
  readonly written: Program;
  /** The same with its derivatives worked out: the program's meaning, which the reference interpreter runs. */
  readonly program: Program;
  /** Core of one device: simplified, collectives taken apart into permutes. */
  readonly device: Program;
  readonly tile: DeviceProgram;
  /** How a kernel, by its number, is mapped to threads that work alone. */
  readonly mappingOf: (kernel: number) => Mapping;
  readonly lanes: readonly LaneProgram[];
  readonly kernels: readonly CompiledKernel[];
  readonly schedule: Schedule;
  /** The same program, planned so that other inputs may be overwritten. */
  readonly replan: (donate: readonly string[]) => Schedule;
  /** The kernels (by number) that are mapped as `mappings` says. */
  readonly mapped: readonly number[];
  /** How each kernel could be mapped, the default first: for a tuner to measure. */
  readonly variants: () => readonly Variants[];
  /** The same program for other devices. */
  readonly retarget: (target: Partial<CompileOptions>) => Compiled;
  readonly times: PassTimes;
};
/** `key` is what `CompileOptions.mappings` calls the kernel. */
export type Variants = { readonly key: string; readonly name: string; readonly all: readonly Variant[] };
export type Variant = {
  readonly choice: MappingChoice;
  /** The kernel mapped so, and the workgroups that it takes. */
  readonly make: () => { readonly kernel: CompiledKernel; readonly groups: readonly [number, number, number] };
};
export type CompileResult = { readonly compiled?: Compiled; readonly diagnostics: readonly Diagnostic[] };

/** Compiles the entry point of the file at `path`. `read` gives the text of a file, or of `gyre/NAME`. */
export function compile(
  path: string,
  read: (path: string) => string | undefined,
  options: CompileOptions = {},
): CompileResult {
  const times: PassTimes = [];
  const { program, diagnostics } = runPass(
    times,
    "elaborate",
    () => elaborateEntry(path, read, options),
    (r) => (r.program ? checkCore(r.program) : []),
  );
  if (!program || diagnostics.some(isError)) return { diagnostics };
  return compileProgram(program, options, times, diagnostics);
}

/** Compiles a Core program. */
export function compileProgram(
  written: Program,
  options: CompileOptions = {},
  times: PassTimes = [],
  before: readonly Diagnostic[] = [],
): CompileResult {
  const target: Target = targets[options.target ?? "software"];
  const { dialect, emit, processors } = target;
  const { machine = usualMachine, maxBuffers = target.maxBuffers } = options;
  const features = { relaxedSimd: options.relaxedSimd === true, f16: options.f16 === true };
  const lowering = loweringFor(target, options);
  const groupsOf = (k: Kernel): number => lowering.best(deriveBounds(k), () => lowering.choose(k)).groups;
  const filling = processors === undefined ? undefined : fillingOf(processors, groupsOf, written.mesh, machine);
  const made = toTile(written, { ...options, maxBuffers }, times, filling, lowering.pays);
  const diagnostics = [...before, ...made.diagnostics];
  if (!made.tile) return { diagnostics };
  const { program, device, tile } = made;
  const given = tile.kernels.map((k) => lowering.given(k, options.mappings?.[kernelKey(k)]));
  const mapped = [...given];
  const mappingOf = (i: number): Mapping => (mapped[i] ??= lowering.choose(tile.kernels[i]!));
  // Where there are teams, threads that work alone are few.
  if (!lowering.inTeams) runPass(times, "map", () => tile.kernels.forEach((_, i) => void mappingOf(i)));
  const lanes = runPass(
    times,
    "lower",
    () =>
      tile.kernels.map((k, i) => {
        const choice = given[i];
        return choice ? lowering.mapped(k, choice) : lowering.best(k, () => mappingOf(i));
      }),
    (all) => all.flatMap(checkLane),
  );
  const texts = runPass(times, "emit", () => lanes.map((lane) => emit(lane, features)));
  const planned = planner(
    made,
    texts.map((t) => t.groups),
    options,
  );
  const schedule = runPass(times, "plan", () => planned(options.donate ?? []), checkSchedule);
  const spelled = ({ groups: _, ...text }: KernelText, lane: LaneProgram): CompiledKernel => ({
    ...text,
    dialect,
    uniformWords: lane.scalars.length,
    threads: lane.threads,
  });
  const variant = (k: Kernel, mapping: Mapping): Variant => ({
    choice: choiceOf(mapping),
    make: () => {
      const lane = runPass([], "lower", () => lowering.mapped(k, mapping), checkLane);
      const text = emit(lane, features);
      return { kernel: spelled(text, lane), groups: text.groups };
    },
  });
  return {
    compiled: {
      written,
      program,
      device,
      tile,
      mappingOf,
      lanes,
      kernels: texts.map((text, i) => spelled(text, lanes[i]!)),
      schedule,
      retarget(target) {
        const { compiled } = compileProgram(written, { ...options, ...target });
        invariant(compiled, `${written.name} compiles for one target, and not for another`);
        return compiled;
      },
      replan: (donate) => runPass([], "plan", () => planned(donate), checkSchedule),
      mapped: given.flatMap((m, i) => (m ? [i] : [])),
      variants: () =>
        tile.kernels.map((k) => ({
          key: kernelKey(k),
          name: k.name,
          all: lowering.ways(k).map((m) => variant(k, m)),
        })),
      times,
    },
    diagnostics,
  };
}

/**
 * The schedule of a Core program, without its kernels' text: all that a simulation needs, in less time. How many workgroups
 * a launch has is for the text to say; here it is one.
 */
export function scheduleProgram(
  written: Program,
  options: Omit<CompileOptions, "target" | "subgroups"> = {},
): { readonly schedule?: Schedule; readonly diagnostics: readonly Diagnostic[] } {
  const made = toTile(written, options, []);
  const { tile, diagnostics } = made;
  if (!tile) return { diagnostics };
  const groups = tile.kernels.map(() => [1, 1, 1] as const);
  const planned = planner(made, groups, options);
  return { schedule: runPass([], "plan", () => planned(options.donate ?? []), checkSchedule), diagnostics };
}
