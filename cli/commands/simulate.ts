import type { Declare } from "../command.ts";
import { count } from "../flags.ts";
import { colors } from "../io.ts";
import { choiceFlags, memoryFlag, type ProgramFlags, planFlags, programFlags } from "../shared.ts";
import { plural } from "../text.ts";

type Options = ProgramFlags & { readonly machine: string; readonly nodes?: number; readonly measured?: string };

const EXAMPLES = `
Machines are files: a name is looked up in the folder machines/ of the package, a path is a file of your own. An unknown
name lists those that there are. docs/guide/simulation.md says what a machine file holds and what is modelled.

Examples:
  $ gyre simulate examples/05-ring-attention.gyre --machine h100-nvlink8 --dims B=1,S=1048576,H=32,D=128 --mesh sp=8
  $ gyre simulate ring.gyre --machine h100-nvlink8 --nodes 128 --mesh sp=1024 --dims B=1,S=100000000,H=32,D=128
  $ gyre simulate ring.gyre --machine ./mine.json --dims B=1,S=65536,H=8,D=64 --json | jq .seconds`;

/** `gyre simulate`: the schedule on a machine that one does not have. */
export const simulateCommand: Declare = (program, io, done) => {
  const command = program
    .command("simulate")
    .description("run the schedule on a model of a machine, without devices: time, communication, balance, memory")
    .argument("<file>", "a Gyre program")
    .requiredOption("--machine <name>", "a machine by name, as in h100-nvlink8, or a machine file by path")
    .option("--nodes <n>", "how many nodes the machine has; as many as the mesh fills, where it is left out", count(1));
  command.option(
    "--measured <file>",
    "take the times of kernels from this file, which run --measure wrote, where it has them",
  );
  planFlags(memoryFlag(choiceFlags(programFlags(command))))
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: Options) => {
      const [{ compileFile, refused }, { machineOf }, { simulateOn }, { describeSimulation }] = await Promise.all([
        import("../program.ts"),
        import("../machines.ts"),
        import("../simulate.ts"),
        import("../simulation.ts"),
      ]);
      const { machine, diagnostics } = machineOf(options.machine);
      if (!machine) return done(refused(diagnostics, options, io));
      const compiled = await compileFile(file, options, io, {}, { target: "gpu" });
      if (typeof compiled === "number") return done(compiled);
      const measured = options.measured
        ? (await import("../measured.ts")).readMeasured(options.measured, compiled)
        : undefined;
      const result = simulateOn(compiled.schedule, machine, options.nodes, options.memory, measured);
      const known = measured ? { measured: measured.size } : {};
      if (options.json) {
        const { spans: _, ...numbers } = result.simulation;
        const { nodes, memory } = result;
        io.out(`${JSON.stringify({ machine: machine.name, nodes, ...known, ...numbers, memory }, null, 2)}\n`);
      } else {
        if (measured)
          io.out(
            `${measured.size} of ${plural(compiled.schedule.kernels.length, "kernel")} as measured, the others by the machine's rates\n`,
          );
        io.out(`${describeSimulation(compiled.schedule, result, colors(io.outColor), io.columns)}\n`);
      }
      if (options.memory === undefined) return;
      const [{ overLimit }, { tell }] = await Promise.all([import("../memory.ts"), import("../diagnostics.ts")]);
      const over = overLimit(file, options, compiled.schedule, machine);
      tell(io, over, {});
      if (over.length > 0) done(1);
    });
};
