/** From a file and flags to a compiled program. Diagnostics are told here; what comes back is right. */
import { type Diagnostic, isError } from "../compiler/base/diagnostic.ts";
import type { Source } from "../compiler/base/source.ts";
import type { Compiled } from "../compiler/compile.ts";
import {
  checkFiles,
  type EntryOptions,
  elaborateEntry,
  entrySignature,
  inferDims,
} from "../compiler/core/elaborate.ts";
import type { Program } from "../compiler/core/ir.ts";
import type { CompileOptions } from "../compiler/options.ts";
import type { Dialect } from "../runtime/device.ts";
import type { Target } from "../runtime/target.ts";
import { tell } from "./diagnostics.ts";
import { type ExitCode, usage } from "./exit.ts";
import { readText } from "./files.ts";
import { nearest } from "./flags.ts";
import type { Io } from "./io.ts";
import { machineOf } from "./machines.ts";
import type { ProgramFlags } from "./shared.ts";
import { exchangeableGroups, readSource } from "./sources.ts";

/** The file that a command was given. Errors: it cannot be read (exit 1). */
export const sourceOf = (path: string): Source => ({ path, text: readText(path) });

/** All diagnostics of files and of what they import, at the sizes of the flags where there are some. Errors: a file cannot be read. */
export function check(paths: readonly string[], flags: ProgramFlags): readonly Diagnostic[] {
  for (const path of paths) sourceOf(path);
  const all = checkFiles(paths, readSource);
  const sized = flags.entry !== undefined || flags.dims !== undefined || flags.mesh !== undefined;
  if (!sized || all.some(isError)) return all;
  // With sizes, what hangs on them is checked too; sizes that are not given stay open.
  const options = entryFlags(flags);
  return paths.flatMap((path) =>
    elaborateEntry(path, readSource, options).diagnostics.filter((d) => d.code !== "GY6001" && d.code !== "GY6002"),
  );
}

export const anyError = (all: readonly Diagnostic[]): boolean => all.some(isError);

/** What the flags say of the schedule. */
export const planOptions = ({ overlap, memory }: ProgramFlags): Pick<CompileOptions, "overlap" | "memory"> => ({
  overlap: overlap !== false,
  ...(memory !== undefined && { memory }),
});

/**
 * The program at the sizes of the flags and of the given inputs' shapes, compiled; or the exit code, after telling what
 * is wrong. Errors: the file cannot be read.
 */
export async function compileFile(
  path: string,
  flags: ProgramFlags,
  io: Io,
  shapes: Shapes = {},
  target?: Target,
): Promise<Compiled | ExitCode> {
  const options = entryOptions(path, flags, io, shapes);
  const machine = machineOption(flags, io);
  if (typeof options === "number") return options;
  if (typeof machine === "number") return machine;
  const { compile } = await import("../compiler/compile.ts");
  const { compiled, diagnostics } = compile(path, readSource, {
    ...options,
    ...planOptions(flags),
    ...(target ?? (await targetOf(flags.backend))),
    ...machine,
  });
  return compiled ? told(compiled, diagnostics, io) : refused(diagnostics, flags, io);
}

/** The machine that was asked for, as the compiler takes it; or the exit code, after telling what is wrong with it. */
export function machineOption(flags: ProgramFlags, io: Io): Pick<CompileOptions, "machine"> | ExitCode {
  if (flags.machine === undefined) return {};
  const { machine, diagnostics } = machineOf(flags.machine);
  return machine ? { machine } : refused(diagnostics, flags, io);
}

/** The same as far as Core as it is written. */
export function elaborateFile(path: string, flags: ProgramFlags, io: Io, shapes: Shapes = {}): Program | ExitCode {
  const options = entryOptions(path, flags, io, shapes);
  if (typeof options === "number") return options;
  const { program, diagnostics } = elaborateEntry(path, readSource, options);
  return program ? told(program, diagnostics, io) : refused(diagnostics, flags, io);
}

/** The paths of an entry's inputs; undefined where there is no such entry, which is told when it is compiled. */
export function inputNames(path: string, flags: ProgramFlags): readonly string[] | undefined {
  const { signature } = entrySignature(path, readSource, entryFlags(flags));
  return signature?.inputs.map((port) => port.path);
}

/** What the flags say of the entry. */
export function entryFlags(flags: Omit<ProgramFlags, "backend">): EntryOptions {
  const { split = {}, layout, use, remat } = flags;
  const whole = Object.entries(split).map(([axis, sizes]) => [axis, sizes.reduce((n, size) => n * size, 1)] as const);
  const meshSizes = { ...flags.mesh, ...Object.fromEntries(whole) };
  const options = { entry: flags.entry, dims: flags.dims ?? {}, meshSizes };
  if (!flags.split && !layout && !use && !remat) return options;
  const exchangeable = use ? exchangeableGroups() : [];
  for (const name of Object.entries(use ?? {}).flat()) {
    const names = exchangeable.flatMap((group) => group.map((f) => f.name));
    if (names.includes(name)) continue;
    const near = nearest(name, names);
    throw usage(
      `${name} is no exchangeable function${near ? ` (did you mean ${near}?)` : ""}`,
      `there are ${names.join(", ")}`,
    );
  }
  return {
    ...options,
    choices: {
      splits: split,
      ...(layout && { layouts: layout }),
      ...(use && { exchanges: use, exchangeable }),
      ...(remat && { policy: remat }),
    },
  };
}

/** Shapes of given inputs, by path. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

function entryOptions(path: string, flags: ProgramFlags, io: Io, shapes: Shapes): EntryOptions | ExitCode {
  sourceOf(path);
  const options = entryFlags(flags);
  if (Object.keys(shapes).length === 0) return options;
  const { signature } = entrySignature(path, readSource, options);
  if (!signature) return options; // what is wrong is told when it is compiled
  const inputs = Object.fromEntries(signature.inputs.flatMap(({ path: p }) => (shapes[p] ? [[p, shapes[p]]] : [])));
  const { dims, diagnostics } = inferDims(signature, inputs, options.dims);
  return anyError(diagnostics) ? refused(diagnostics, flags, io) : { ...options, dims };
}

/** How kernels are made for a backend: for the device that would run them; as they are made by default where there is none. */
async function targetOf(backend: string): Promise<Target> {
  if (backend === "reference") return {};
  const [{ firstDevice }, { targetFor }] = await Promise.all([
    import("../runtime/open.ts"),
    import("../runtime/target.ts"),
  ]);
  const device = await firstDevice(backend);
  if (device) return targetFor(device);
  return backend.startsWith("cuda") ? { target: "cuda" } : backend === "cpu" ? { target: "cpu" } : {};
}

/** How kernels are made in a dialect, for the device of this machine that would run them where there is one; CUDA's for `arch`. */
export async function targetIn(dialect: Dialect, arch: string): Promise<Target> {
  if (dialect !== "cuda") return targetOf(dialect === "wasm" ? "cpu" : "webgpu");
  const { targetOfArch } = await import("../runtime/target.ts");
  return { target: targetOfArch(arch) };
}

/** Warnings are told, and the result goes on. */
function told<T>(result: T, diagnostics: readonly Diagnostic[], io: Io): T {
  tell(io, diagnostics, {});
  return result;
}

/** Codes that say that the flags do not fit the program: a size that is missing, a name that it does not have. */
const FLAGS = /^GY60(01|02|05|06|08|09|10)$/;

/** Tells what is wrong; gives the exit code. */
export function refused(diagnostics: readonly Diagnostic[], flags: ProgramFlags, io: Io): ExitCode {
  tell(io, diagnostics, { json: flags.json === true });
  return diagnostics.filter(isError).every((d) => FLAGS.test(d.code)) ? 2 : 1;
}
