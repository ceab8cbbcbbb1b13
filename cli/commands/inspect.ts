import { Option } from "commander";
import type { Declare } from "../command.ts";
import { colors } from "../io.ts";
import { type ProgramFlags, programFlags } from "../shared.ts";

const STAGES = ["ast", "core", "grad", "device", "kernels", "schedule"] as const;
export type Stage = (typeof STAGES)[number];

type Options = ProgramFlags & { readonly stage?: Stage };

const EXAMPLES = `
Examples:
  $ gyre inspect examples/05-ring-attention.gyre --dims B=1,S=256,H=4,D=32
  $ gyre inspect examples/04-attention-kernel.gyre --stage kernels
  $ gyre inspect ring.gyre --mesh sp=1024 --dims B=1,S=1048576,H=8,D=64 --stage schedule | jq .memory.bytes`;

/** `gyre inspect`: one stage of the compiler, or the schedule as a timeline. */
export const inspectCommand: Declare = (program, io, done) => {
  const command = program
    .command("inspect")
    .description("show what the compiler made: one stage, or the schedule as a timeline")
    .argument("<file>", "a Gyre program");
  programFlags(command)
    .addOption(new Option("--stage <stage>", "show one stage instead").choices(STAGES))
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: Options) => {
      const [{ compileFile, sourceOf, stageText }, { describeSchedule }] = await Promise.all([
        import("../program.ts"),
        import("../timeline.ts"),
      ]);
      const source = sourceOf(file);
      if (options.stage === "ast") {
        done(await stageText.ast(source, options, io));
        return;
      }
      const compiled = await compileFile(source, options, new Map(), io);
      if (!compiled) {
        done(1);
        return;
      }
      if (options.json) io.out(`${JSON.stringify(await stageText.json(compiled, options.stage), null, 2)}\n`);
      else if (options.stage === undefined) io.out(`${describeSchedule(compiled.schedule, colors(io.outColor))}\n`);
      else io.out(`${(await stageText[options.stage](compiled)).trimEnd()}\n`);
    });
};
