/**
 * The compiler: source text to kernels and a schedule. This file alone knows the order of the passes.
 *
 *   text ─parse, elaborate→ Core ─grad→ Core without derivatives ─simplify, combine, ring products,
 *        collect ahead, decompose, add on arrival→ Core for one device
 *        ─fuse, flatten, split-k, in place, pack→ Tile ─bounds, merge→ Tile ─map, lower→ Lane ─emit→ a dialect
 *                                                         ─plan→ Schedule
 *
 * No I/O: sources come through `read`, results are values. Errors of the program are diagnostics; anything thrown is a
 * bug of the compiler (InvariantError).
 */
import { type Diagnostic, isError } from "./base/diagnostic.ts";
import { invariant } from "./base/invariant.ts";
import { type Machine, usualMachine } from "./base/machine.ts";
import { check as checkCore } from "./core/check.ts";
import { combine } from "./core/combine.ts";
import { decompose } from "./core/decompose.ts";
import { type EntryOptions, elaborateEntry } from "./core/elaborate.ts";
import { withoutEmpty } from "./core/empty.ts";
import { grad } from "./core/grad.ts";
import type { Program } from "./core/ir.ts";
import { collectAhead } from "./core/overlap/ahead.ts";
import { addOnArrival } from "./core/overlap/arrivals.ts";
import { ringProducts } from "./core/overlap/products.ts";
import { simplify } from "./core/simplify.ts";
import type { Dialect, KernelText, TensorView } from "./emit/text.ts";
import { choiceOf } from "./lane/allowed.ts";
import { check as checkLane } from "./lane/check.ts";
import { chooseMapping, givenMapping, rankMappings } from "./lane/choose.ts";
import { chooseSimd } from "./lane/chooseSimd.ts";
import type { LaneProgram } from "./lane/ir.ts";
import { lowerKernel } from "./lane/lower.ts";
import type { Mapping, MappingChoice, MapTarget } from "./lane/map.ts";
import { givenSimd, rankSimd } from "./lane/rankSimd.ts";
import type { TeamTarget } from "./lane/team/target.ts";
import { lowerTeam, variantsFor } from "./lane/team.ts";
import { type PassTimes, runPass } from "./pass.ts";
import { checkSchedule } from "./schedule/check.ts";
import { describe, fillingOf } from "./schedule/describe.ts";
import { plan } from "./schedule/plan.ts";
import type { Decision, Schedule, Kernel as ScheduledKernel } from "./schedule/schedule.ts";
import { type Target, type TargetName, targets } from "./targets.ts";
import { deriveBounds } from "./tile/bounds.ts";
import { check as checkTile } from "./tile/check.ts";
import { flattenSums } from "./tile/flatten.ts";
import { fuse } from "./tile/fuse.ts";
import { initialContents } from "./tile/initials.ts";
import { writeInPlace } from "./tile/inplace.ts";
import type { DeviceProgram, Kernel } from "./tile/ir.ts";
import { kernelKey, meaningOf } from "./tile/meaning.ts";
import { mergeKernels } from "./tile/merge.ts";
import { packInputs } from "./tile/pack.ts";
import { type Filling, type SplitLoop, splitLongLoops } from "./tile/splitk.ts";

export type CompileOptions = EntryOptions & {
  /** What kernels are made for, a row of targets.ts; `software` (a CPU behind WebGPU) where it is left out. */
  readonly target?: TargetName;
  /**
   * Whether threads may hand values to each other in subgroups (default: yes on `software`, no on `gpu`): a number says how many
   * threads each has at least, a power of two; `true` says four.
   */
  readonly subgroups?: boolean | number;
  /** Whether the device has f16 of its own, WebGPU's `shader-f16` (default: no; two share a word then). */
  readonly f16?: boolean;
  /** Bytes of memory that a workgroup has; what every adapter has where it is left out. Used by the target `gpu`. */
  readonly workgroupMemory?: number;
  /** Whether the engine has WebAssembly's relaxed SIMD, with its multiply-add (default: no; used by the target `cpu`). */
  readonly relaxedSimd?: boolean;
  /** Inputs whose memory the program may overwrite. */
  readonly donate?: readonly string[];
  /** The most storage buffers a kernel may bind; the target's where it is left out (8 on WebGPU, what every adapter has). */
  readonly maxBuffers?: number;
  /** `false` plans without overlap, to see what it is worth: every transfer is waited for as soon as it was started. */
  readonly overlap?: boolean;
  /** What is weighed by where transfers can be hidden; nodes of eight H100s where it is left out. */
  readonly machine?: Machine;
  /** Bytes that a schedule may take on each device; where it takes more, it hides less. */
  readonly memory?: number;
  /** Mappings in the place of the default ones, by the key of a kernel: what a tuner found. One that is not legal is left aside. */
  readonly mappings?: Readonly<Record<string, MappingChoice>>;
  /** What is not to be done, to see what it is worth: ways to hide transfers, or long loops in parts. */
  readonly without?: readonly OptionalPass[];
  /** For tests: every loop that can be is gone through in about so many parts, whatever that costs. */
  readonly parts?: number;
};
type OverlapPass = "ring products" | "collect ahead" | "ways round" | "add on arrival";
export type OptionalPass = OverlapPass | "split-k";

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
  const name = options.target ?? "software";
  const { mapping, dialect, emit, processors, ...most }: Target = targets[name];
  const { machine = usualMachine } = options;
  const team = most.team && teamFor(most.team, options);
  const maxBuffers = options.maxBuffers ?? most.maxBuffers;
  const features = { relaxedSimd: options.relaxedSimd === true, f16: options.f16 === true };
  const mapper = mapperFor(mapping, options.subgroups !== false);
  /** Kernels as they are mapped where nobody said how, each lowered once. */
  const known = new Map<string, LaneProgram>();
  const lower = (k: Kernel, alone: () => Mapping): LaneProgram => {
    const key = JSON.stringify([k.name, k.buffers.map((b) => b.name), meaningOf(k)]);
    const program = known.get(key) ?? lowered(k, alone, team, undefined);
    known.set(key, program);
    return program;
  };
  const groupsOf = (k: Kernel): number => lower(deriveBounds(k), () => mapper.choose(k)).groups;
  const filling = processors === undefined ? undefined : fillingOf(processors, groupsOf, written.mesh, machine);
  const made = toTile(written, { ...options, maxBuffers }, times, filling);
  const diagnostics = [...before, ...made.diagnostics];
  if (!made.tile) return { diagnostics };
  const { program, device, tile } = made;
  const given = tile.kernels.map((k) => mapper.given(k, options.mappings?.[kernelKey(k)]));
  const mapped = [...given];
  const mappingOf = (i: number): Mapping => (mapped[i] ??= mapper.choose(tile.kernels[i]!));
  // Where there are teams, threads that work alone are few.
  if (!team) runPass(times, "map", () => tile.kernels.forEach((_, i) => void mappingOf(i)));
  const lanes = runPass(
    times,
    "lower",
    () =>
      tile.kernels.map((k, i) => {
        const choice = given[i];
        return choice ? lowered(k, () => choice, team, choice.team) : lower(k, () => mappingOf(i));
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
      const lane = runPass([], "lower", () => lowered(k, () => mapping, team, mapping.team), checkLane);
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
        tile.kernels.map((k) => {
          const alone = mapper.rank(k);
          const teams = team ? [...variantsFor(k, team)].map(({ choice }) => ({ ...alone[0]!, team: choice })) : [];
          const single = teams.length > 0 ? alone.map((m) => ({ ...m, team: null })) : alone;
          const first = team && "reason" in lowerTeam(k, team, undefined, () => alone[0]!) ? single.slice(0, 1) : [];
          const all = [...first, ...teams, ...single.slice(first.length)];
          return { key: kernelKey(k), name: k.name, all: all.map((m) => variant(k, m)) };
        }),
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

/**
 * As far as kernels over named axes. Where a limit of memory is given that the schedule would not keep, what takes memory to be
 * faster is left out one after another; the first that fits is taken, else the smallest.
 */
function toTile(
  written: Program,
  options: CompileOptions,
  times: PassTimes,
  filling?: Filling,
): ReturnType<typeof toKernels> {
  const first = toKernels(written, options, times, filling);
  const { memory, without = [] } = options;
  if (memory === undefined || !first.tile) return first;
  const bytesOf = (made: Planned): number => {
    const groups = made.tile.kernels.map(() => [1, 1, 1] as const);
    return planner(made, groups, options)(options.donate ?? []).memory.bytes;
  };
  let best = { made: first, bytes: bytesOf(first) };
  for (let k = 1; k <= COSTLY.length && best.bytes > memory; k++) {
    const made = toKernels(written, { ...options, without: [...without, ...COSTLY.slice(0, k)] }, times, filling);
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
):
  | {
      readonly tile?: undefined;
      readonly chosen?: undefined;
      readonly splits?: undefined;
      readonly diagnostics: readonly Diagnostic[];
    }
  | {
      readonly program: Program;
      readonly device: Program;
      readonly tile: DeviceProgram;
      readonly chosen: readonly Decision[];
      readonly splits: readonly SplitLoop[];
      readonly diagnostics: readonly Diagnostic[];
    } {
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
  const flat = runPass(times, "flatten", () => flattenSums(fused.program), checkTile);
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

/** What is planned: kernels, and what was decided before there was a schedule. */
type Planned = {
  readonly tile: DeviceProgram;
  readonly chosen: readonly Decision[];
  readonly splits: readonly SplitLoop[];
};

/** Plans the launches of kernels, which have so many workgroups, with inputs that may be overwritten. */
function planner(
  { tile, chosen, splits }: Planned,
  groups: readonly ScheduledKernel["groups"][],
  { machine = usualMachine, memory, overlap = true }: CompileOptions,
): (donate: readonly string[]) => Schedule {
  const meta = tile.kernels.map((k, i) => describe(k, groups[i]!));
  return (donate) =>
    plan(tile, meta, { donate, overlap, machine, chosen, splits, ...(memory !== undefined && { memory }) });
}

/** How kernels are mapped for a target: as is best, as was asked where that is legal, and in all the ways there are. */
type Mapper = {
  readonly choose: (k: Kernel) => Mapping;
  readonly given: (k: Kernel, choice: MappingChoice | undefined) => Mapping | undefined;
  readonly rank: (k: Kernel) => readonly Mapping[];
};
function mapperFor(mapping: Target["mapping"], subgroups: boolean): Mapper {
  if ("simd" in mapping) {
    return { choose: (k) => chooseSimd(k, mapping), given: givenSimd, rank: (k) => rankSimd(k, mapping, chooseSimd) };
  }
  const target: MapTarget = { ...mapping, spread: mapping.spread && subgroups };
  return {
    choose: (k) => chooseMapping(k, target),
    given: (k, choice) => givenMapping(k, choice, target),
    rank: (k) => rankMappings(k, target),
  };
}

/** What a target's teams can do on the device at hand; a GPU behind WebGPU says what it has. */
const teamFor = (team: TeamTarget, { subgroups, workgroupMemory }: CompileOptions): TeamTarget =>
  team.pattern === "matrices"
    ? team
    : {
        ...team,
        exchange: typeof subgroups === "number" ? subgroups : subgroups === true ? 4 : 1,
        ...(workgroupMemory !== undefined && { sharedBytes: workgroupMemory }),
      };

/**
 * For a team of threads (`choice`, or null for none) where the target has them and all of the kernel has a rule; else for each
 * thread alone.
 */
function lowered(
  kernel: Kernel,
  mapping: () => Mapping,
  team: TeamTarget | undefined,
  choice: Mapping["team"],
): LaneProgram {
  const together = team && choice !== null ? lowerTeam(kernel, team, choice, mapping) : undefined;
  if (together && !("reason" in together)) return together;
  const alone = lowerKernel(kernel, mapping());
  return together ? { ...alone, notes: [...alone.notes, `each thread alone: ${together.reason}`] } : alone;
}

function withBounds(program: DeviceProgram): DeviceProgram["kernels"] {
  const initials = initialContents(program);
  return program.kernels.map((k, i) => deriveBounds(k, initials[i]));
}
