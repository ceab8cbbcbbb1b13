import type { Declare } from "../command.ts";
import { count } from "../flags.ts";
import type { PlanOptions } from "../planned.ts";
import { choiceFlags, memoryFlag, programFlags } from "../shared.ts";

const EXAMPLES = `
What is tried: sizes of mesh axes, layouts of split dimensions, functions of the standard library that give the same, parts
of axes for them, and policies of checkpoints. What flags say is kept. docs/guide/planning.md says more.

Examples:
  $ gyre plan examples/05-ring-attention.gyre --machine h100-nvlink8 --devices 16 --dims B=1,S=1048576,H=32,D=128
  $ gyre plan train.gyre --machine ./mine.json --nodes 4 --mesh tp=8 --dims B=4,S=131072 --memory 60GB
  $ gyre plan train.gyre --machine h100-nvlink8 --devices 64 --limit 300 --json | jq .best[0].flags`;

/** `gyre plan`: ways to run a program, ranked by simulated time. */
export const planCommand: Declare = (program, io, done) => {
  const command = program
    .command("plan")
    .description("rank ways to run a program on a machine by simulated time, and say why the first is first")
    .argument("<file>", "a Gyre program")
    .requiredOption("--machine <name>", "a machine by name, as in h100-nvlink8, or a machine file by path")
    .option("--nodes <n>", "how many nodes the machine has", count(1))
    .option(
      "--devices <n>",
      "how many devices to use; all of --nodes, or those of the mesh, where it is left out",
      count(1),
    )
    .option("--limit <seconds>", "try no more after so long", count(1), 60)
    .option("--top <n>", "how many ways to tell", count(1), 8);
  memoryFlag(choiceFlags(programFlags(command)))
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: PlanOptions) => {
      const { plan } = await import("../plan.ts");
      done(await plan(file, options, io));
    });
};
