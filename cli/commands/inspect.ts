import { Option } from "commander";
import type { Dialect } from "../../runtime/device.ts";
import type { Declare } from "../command.ts";
import { arch } from "../flags.ts";
import { colors } from "../io.ts";
import { choiceFlags, machineFlag, memoryFlag, type ProgramFlags, planFlags, programFlags } from "../shared.ts";
import type { Stage } from "../stages.ts";

type Options = ProgramFlags & {
  readonly stage?: Stage | "ast";
  readonly target?: Dialect;
  readonly arch: string;
  readonly html?: string;
};

const EXAMPLES = `
Examples:
  $ gyre inspect examples/05-ring-attention.gyre --dims B=1,S=256,H=4,D=32
  $ gyre inspect examples/01-sharded-matmul.gyre --stage kernels
  $ gyre inspect examples/01-sharded-matmul.gyre --stage kernels --target cuda
  $ gyre inspect examples/05-ring-attention.gyre --dims B=1,S=256,H=4,D=32 --html ring.html
  $ gyre inspect ring.gyre --mesh sp=1024 --dims B=1,S=1048576,H=8,D=64 --json | jq .memory.bytes`;

/** `gyre inspect`: one stage of the compiler, or the schedule as a timeline. */
export const inspectCommand: Declare = (program, io, done) => {
  const command = program
    .command("inspect")
    .description("show what the compiler made: one stage, or the schedule as a timeline")
    .argument("<file>", "a Gyre program");
  machineFlag(planFlags(memoryFlag(choiceFlags(programFlags(command)))))
    .addOption(
      new Option("--stage <stage>", "show one stage instead").choices([
        "ast",
        "core",
        "grad",
        "device",
        "kernels",
        "schedule",
      ]),
    )
    .addOption(
      new Option("--target <target>", "show what is made for it, whatever devices there are").choices([
        "wgsl",
        "wasm",
        "cuda",
      ]),
    )
    .option("--arch <arch>", "with --target cuda: the GPUs they are for, as nvcc names them", arch, "sm_80")
    .option("--html <file>", "write all stages, the timeline and memory as one HTML page that opens offline")
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: Options) => {
      const json = (value: unknown) => io.out(`${JSON.stringify(value, null, 2)}\n`);
      if (options.stage === "ast") {
        const { astOf } = await import("../ast.ts");
        const { module, text, diagnostics } = astOf(file);
        const { tell } = await import("../diagnostics.ts");
        tell(io, diagnostics, {});
        if (options.json) json(module);
        else io.out(text);
        done(diagnostics.length > 0 ? 1 : 0);
        return;
      }
      const [{ compileFile, targetIn }, { stageJson, stageText }, { describeSchedule }] = await Promise.all([
        import("../program.ts"),
        import("../stages.ts"),
        import("../schedule.ts"),
      ]);
      const compiled = await compileFile(
        file,
        options,
        io,
        {},
        options.target && (await targetIn(options.target, options.arch)),
      );
      if (typeof compiled !== "number" && options.html !== undefined) {
        const { writeReport } = await import("../report.ts");
        writeReport(options.html, file, compiled);
        io.err(`wrote ${options.html}: open it in a browser\n`);
        if (!options.json && !options.stage) return;
      }
      if (typeof compiled === "number") done(compiled);
      else if (options.json) json(stageJson(compiled, options.stage));
      else if (options.stage) io.out(`${(await stageText(compiled, options.stage)).trimEnd()}\n`);
      else io.out(`${describeSchedule(compiled.schedule, colors(io.outColor), io.columns)}\n`);
      if (typeof compiled !== "number" && options.memory !== undefined) {
        const [{ overLimit }, { tell }] = await Promise.all([import("../memory.ts"), import("../diagnostics.ts")]);
        const over = overLimit(file, options, compiled.schedule);
        tell(io, over, {});
        if (over.length > 0) done(1);
      }
    });
};
