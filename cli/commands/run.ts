import { type Command, Option } from "commander";
import type { Compiled } from "../../compiler/compile.ts";
import type { Program } from "../../compiler/core/ir.ts";
import type { DeviceInfo } from "../../runtime/device.ts";
import type { Tensor } from "../../runtime/dtype.ts";
import type { PartialTensor } from "../../runtime/inputs.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import type { Cluster } from "../../runtime/transport/cluster.ts";
import type { NcclChoice } from "../../runtime/transport/nccl/open.ts";
import type { ClusterFlags } from "../cluster.ts";
import type { Declare } from "../command.ts";
import type { RanOnDevices as Held, Ran } from "../execute.ts";
import { type ExitCode, usage } from "../exit.ts";
import { prepareFolder, writeAtomic } from "../files.ts";
import { count, type InFlag, inFlag, type LinkFlag, linkFlag } from "../flags.ts";
import { colors, type Io } from "../io.ts";
import type { Progress } from "../progress.ts";
import { choiceFlags, machineFlag, memoryFlag, type ProgramFlags, planFlags, programFlags } from "../shared.ts";
import { humanTime, plural } from "../text.ts";

type Options = ProgramFlags &
  ClusterFlags & {
    readonly in?: readonly InFlag[];
    readonly out?: string;
    readonly seed: number;
    readonly verify?: true;
    readonly trace?: string;
    readonly report?: string;
    readonly repeat?: number;
    readonly schedule?: string;
    readonly measure?: string;
    readonly link?: LinkFlag;
    /** False with `--no-tuned`. */
    readonly tuned?: boolean;
  };

const EXAMPLES = `
Examples:
  $ gyre run examples/05-ring-attention.gyre --dims B=1,S=256,H=4,D=32 --verify
  $ gyre run ring.gyre --mesh sp=8 --in batch.npz --in p=weights.safetensors --out results
  $ gyre run ring.gyre --dims B=1,S=2048,H=8,D=64 --repeat 5 --trace trace.json
  $ mpirun -np 4 gyre run ring.gyre --mesh sp=8 --dims B=1,S=2048,H=8,D=64`;

/** `gyre run`: compiles, runs, and prints or writes the results. */
export const runCommand: Declare = (program, io, done) => {
  const command: Command = program
    .command("run")
    .description("compile an entry point, run it on a mesh of devices, print or write the results")
    .argument("<file>", "a Gyre program");
  machineFlag(planFlags(memoryFlag(choiceFlags(programFlags(command)))))
    .option(
      "--in <name=file>",
      "an input from .npy, or the bytes of .txt or .bin; .npz and .safetensors files give every array by name",
      inFlag,
    )
    .option("--out <dir>", "write the results here, as result.npy, result.0.npy, result.FIELD.npy")
    .option("--seed <n>", "for inputs that are not given: random normal numbers, integers are 0", count(0), 0)
    .option("--verify", "run the reference interpreter too, and compare; exit 1 where a result is too far off")
    .option("--trace <file>", "write what ran when as a Chrome trace (opens in Perfetto)")
    .option("--report <file>", "the same and the compiled program as one HTML page that opens offline")
    .option("--repeat <n>", "run n times after a warm-up and print the median", count(1))
    .option("--measure <file>", "add what each kernel took to this file, for simulate --measured")
    .option("--schedule <file>", "run this schedule (JSON) in the place of the compiler's; checked first")
    .option(
      "--link <model>",
      "let transfers take as long as on links of bandwidth=1e9,latency=5e-6 (bytes/s, s), or on those of a machine",
      linkFlag,
    )
    .option("--no-tuned", "map kernels as the compiler does by itself, not as `gyre tune` found")
    .addOption(
      new Option(
        "--transport <way>",
        "how processes of mpirun, srun or torchrun talk, nccl: their GPUs by NCCL (also those of one process); none: each runs by itself",
      )
        .choices(["auto", "mpi", "tcp", "nccl", "none"])
        .default("auto"),
    )
    .option("--mpi-library <file>", "the MPI library, where it is not found: it must be the launcher's")
    .option("--nccl-library <file>", "the NCCL library, where it is not found (libnccl.so.2)")
    .option("--peer-timeout <seconds>", "how long a silent process is waited for", count(1), 30)
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: Options) => done(await run(file, options, io)));
};

/** Here, or with the other processes that were started by a launcher. */
async function run(file: string, options: Options, io: Io): Promise<ExitCode> {
  const { launchOf } = await import("../../runtime/transport/launcher.ts");
  const launch = options.transport === "none" ? undefined : launchOf(io.env);
  if (!launch) return runHere(file, options, io);
  if (options.backend === "reference")
    throw usage(
      "the reference interpreter runs in one process",
      "start it without a launcher, or with --transport none",
    );
  const { together } = await import("../cluster.ts");
  return together(launch, options, io, (cluster, own) => runHere(file, options, own, cluster));
}

async function runHere(file: string, options: Options, io: Io, cluster?: Cluster): Promise<ExitCode> {
  if (options.measure !== undefined && options.backend === "reference")
    throw usage("--measure is for devices: the reference interpreter has no kernels", "leave one of them out");
  if (options.schedule !== undefined && options.backend === "reference")
    throw usage("--schedule is for devices, and the reference interpreter has no schedule", "leave one of them out");
  if (options.link !== undefined && options.backend === "reference")
    throw usage("--link is for devices, and the reference interpreter has no transfers", "leave one of them out");
  const [programs, inputs, results, { progress }, execute] = await Promise.all([
    import("../program.ts"),
    import("../inputs.ts"),
    import("../results.ts"),
    import("../progress.ts"),
    import("../execute.ts"),
  ]);
  const { text } = programs.sourceOf(file);
  const joint = cluster && { ...cluster, ...(await import("../cluster.ts")) };
  await joint?.agree(joint.roster, "command", joint.factsOf(text, options));
  // Of several processes the first makes it, and all write there, wherever they are themselves.
  if (options.out && !(cluster && cluster.launch.rank > 0)) prepareFolder(options.out);
  if (options.out) await joint?.shareFolder(options.out, joint.roster);
  const given = inputs.readInputs(options.in ?? [], cluster !== undefined);
  const names = programs.inputNames(file, options);
  if (names) inputs.checkNames(names, given);
  const shapes = Object.fromEntries([...given].map(([path, { shape }]) => [path, shape]));
  const program = programs.elaborateFile(file, options, io, shapes);
  if (typeof program === "number") return program;
  const ports = program.inputs.map((input) => input.port);
  const matched = inputs.matchInputs(ports, given);
  let made: readonly Tensor[] | undefined;
  const arrays = (): readonly Tensor[] => {
    made ??= execute.allInputs(ports, matched, options.seed);
    return made;
  };

  const partial = () => execute.partialInputs(ports, matched, options.seed);
  const line = joint ? joint.toldToAll(progress(io), joint.roster) : progress(io);
  try {
    const own: TraceEvent[] = [];
    const ran =
      options.backend === "reference"
        ? execute.onReference(program, arrays(), line, options.repeat)
        : await onDevices(file, program, cluster ? partial : arrays, options, line, own, io, cluster);
    if (typeof ran === "number") return ran;
    const trace = joint && (options.trace || options.report) ? await joint.merged(own, joint.roster) : own;
    const { out } = options;
    await cluster?.leave();
    if (cluster && cluster.launch.rank > 0) return 0;
    const written = isOnDevices(ran) ? ran.written : undefined;
    const files = written ?? (out === undefined ? [] : results.writeResults(ran.outputs, out));
    const expected = options.verify ? execute.reference(program, arrays(), line) : undefined;
    const verdicts = (expected?.outputs ?? []).map(({ path, tensor }, i) =>
      results.verdict(path, ran.outputs[i]!.tensor, tensor.data, expected!.dtypes(i)),
    );
    line.done();

    if (options.trace) await writeTrace(options.trace, trace);
    if (options.report) await report(options.report, file, program, ran, trace);
    if (options.measure && isOnDevices(ran)) {
      const { writeMeasured } = await import("../measured.ts");
      const count = writeMeasured(options.measure, ran.compiled, trace, ran.where);
      io.err(`${plural(count, "kernel")} measured: ${options.measure}\n`);
    }
    if (options.json) {
      const verify = options.verify ? { verify: verdicts } : {};
      const { where, times } = ran;
      const all = { entry: program.name, where, results: ran.outputs.map(results.resultJson), ...verify, times, files };
      io.out(`${JSON.stringify(all, null, 2)}\n`);
    } else {
      for (const path of files) io.err(`wrote ${path}\n`);
      if (!options.out) io.out(`${results.summary(ran.outputs, colors(io.outColor))}\n`);
      for (const v of verdicts) io.out(`${results.verdictLine(v, colors(io.outColor))}\n`);
      io.err(`${timesLine(ran.times, ran.where)}\n`);
      if (options.trace) io.err(`wrote ${options.trace}: open it at ui.perfetto.dev\n`);
      if (options.report) io.err(`wrote ${options.report}: open it in a browser\n`);
    }
    return verdicts.every((v) => v.ok) ? 0 : 1;
  } finally {
    line.done();
  }
}

/** Opens the devices first: what they can do decides how kernels are made. */
async function onDevices(
  file: string,
  program: Program,
  arrays: () => readonly (Tensor | PartialTensor)[],
  options: Options,
  line: Progress,
  trace: TraceEvent[],
  io: Io,
  cluster?: Cluster,
): Promise<RanOnDevices | ExitCode> {
  const [{ open }, { compileProgram }, { machineOption, planOptions, refused }, { targetFor }, { linksOf }, execute] =
    await Promise.all([
      import("../../runtime/api.ts"),
      import("../../compiler/compile.ts"),
      import("../program.ts"),
      import("../../runtime/target.ts"),
      import("../machines.ts"),
      import("../execute.ts"),
    ]);
  const { links, diagnostics } = options.link === undefined ? { diagnostics: [] } : linksOf(options.link);
  if (diagnostics.length > 0) return refused(diagnostics, options, io);
  const machine = machineOption(options, io);
  if (typeof machine === "number") return machine;
  const count = program.mesh.axes.reduce((n, axis) => n * axis.size, 1);
  line.at(`opening ${plural(count, "device")}`);
  const session = await open({
    backend: options.backend,
    devices: count,
    ...(links ? { links } : {}),
    ...(cluster ? { cluster } : {}),
    nccl: ncclChoice(options, cluster !== undefined),
  });
  try {
    const { info } = session.devices[0]!;
    const tuned = options.tuned === false ? {} : await mappingsFor(info, io);
    const made = compileProgram(program, {
      ...planOptions(options),
      ...targetFor(info),
      ...machine,
      mappings: tuned,
    });
    if (!made.compiled) return refused(made.diagnostics, options, io);
    if (options.memory !== undefined) {
      const { overLimit } = await import("../memory.ts");
      const over = overLimit(file, options, made.compiled.schedule, machine.machine);
      if (over.length > 0) return refused(over, options, io);
    }
    const { kernels, mapped } = made.compiled;
    if (mapped.length > 0) io.err(`${mapped.length} of ${plural(kernels.length, "kernel")} mapped as tuned\n`);
    const compiled = await scheduled(made.compiled, options.schedule);
    const joint = cluster && { ...cluster, ...(await import("../cluster.ts")) };
    await joint?.agree(joint.roster, "program", joint.planned(program, compiled));
    const traced = [options.trace, options.report, options.measure].some((path) => path !== undefined);
    const ran = await execute.onDevices(session, compiled, arrays, line, {
      ...(options.repeat === undefined ? {} : { repeat: options.repeat }),
      ...(traced ? { trace: (event: TraceEvent) => trace.push(event) } : {}),
      ...(cluster ? { at: cluster.roster.at } : {}),
      read: !cluster || options.out === undefined || options.json === true || options.verify === true,
    });
    // Processes write what their own devices hold.
    const { out } = options;
    const { writeResultsTogether } = await import("../results.ts");
    if (joint) line.at("writing the results");
    const written =
      joint && out !== undefined
        ? await writeResultsTogether(ran.held, out, compiled.schedule.mesh.axes, joint.roster)
        : undefined;
    const names = session.devices.map((d) => d.info.name);
    const devices = joint ? (await joint.roster.exchange(names)).flat() : names;
    const where = [ran.where, ...(joint ? [joint.processes(joint)] : [])].join(", ");
    return { ...ran, written, where: session.way ? `${where} over ${session.way}` : where, compiled, devices };
  } finally {
    session.close();
  }
}

/** Devices of one process copy to each other, unless NCCL is asked for. */
function ncclChoice({ transport, ncclLibrary }: Options, several: boolean): NcclChoice {
  const use = transport === "nccl" ? "always" : transport === "auto" && several ? "auto" : "never";
  return { use, ...(ncclLibrary === undefined ? {} : { library: ncclLibrary }) };
}

/** What `gyre tune` found for a device. */
async function mappingsFor(info: DeviceInfo, io: Io) {
  const { deviceKey, mappingsOf, readTuned } = await import("../tuned.ts");
  return mappingsOf(readTuned(deviceKey(info), io));
}

/** The program with the schedule in the file at `path`, where one is given. */
async function scheduled(compiled: Compiled, path: string | undefined): Promise<Compiled> {
  if (path === undefined) return compiled;
  const { readSchedule } = await import("../edited.ts");
  const schedule = readSchedule(path, compiled.schedule);
  return { ...compiled, schedule, replan: () => schedule };
}

/**
 * What ran besides its results: the page shows it. `devices`: their names, by mesh position. `written`: the files that
 * several processes wrote together.
 */
type RanOnDevices = Held & {
  readonly compiled: Compiled;
  readonly devices: readonly string[];
  readonly written: readonly string[] | undefined;
};
const isOnDevices = (ran: Ran | RanOnDevices): ran is RanOnDevices => "compiled" in ran;

/** The page of the program, with what was measured where it ran on devices. */
async function report(
  path: string,
  file: string,
  program: Program,
  ran: Ran | RanOnDevices,
  events: readonly TraceEvent[],
): Promise<void> {
  const [{ writeReport }, { compileProgram }] = await Promise.all([
    import("../report.ts"),
    import("../../compiler/compile.ts"),
  ]);
  if ("compiled" in ran) return writeReport(path, file, ran.compiled, { ...ran, events });
  const { compiled } = compileProgram(program);
  if (compiled) writeReport(path, file, compiled);
}

async function writeTrace(path: string, events: readonly TraceEvent[]): Promise<void> {
  const { chromeTrace } = await import("../../runtime/trace.ts");
  writeAtomic(path, chromeTrace({ events }));
}

/** `ran in 12.3 ms on 8 devices (SwiftShader)`, or the median of several. */
function timesLine(times: readonly number[], where: string): string {
  if (times.length === 1) return `ran in ${humanTime(times[0]!)} ${where}`;
  const sorted = [...times].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)]!;
  return `ran ${plural(times.length, "time")} ${where}: median ${humanTime(median)}, ${humanTime(sorted[0]!)} to ${humanTime(sorted.at(-1)!)}`;
}
