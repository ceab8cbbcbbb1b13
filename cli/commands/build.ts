import { join } from "node:path";
import { Option } from "commander";
import type { Declare } from "../command.ts";
import { cannot } from "../exit.ts";
import { prepareFolder, writeAtomic } from "../files.ts";
import { machineFlag, type ProgramFlags, programFlags } from "../shared.ts";

type Options = ProgramFlags & { readonly target: "wgsl" | "cuda"; readonly out: string };

const EXAMPLES = `
Examples:
  $ gyre build ring.gyre --target wgsl --out dist --mesh sp=8 --dims B=1,S=2048,H=8,D=64
    writes attention.schedule.json, attention.KERNEL.wgsl for each kernel, and attention.ts, the typed binding`;

/** `gyre build`: kernels, schedule and binding as files. */
export const buildCommand: Declare = (gyre, io, done) => {
  const command = gyre
    .command("build")
    .description("write the kernels, the schedule and the TypeScript binding")
    .argument("<file>", "a Gyre program");
  machineFlag(programFlags(command))
    .addOption(new Option("--target <target>", "the kernels' language").choices(["wgsl", "cuda"]).makeOptionMandatory())
    .requiredOption("--out <dir>", "the folder to write into")
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: Options) => {
      if (options.target === "cuda") throw cannot("the CUDA target is not supported yet", "use --target wgsl");
      const { compileFile } = await import("../program.ts");
      const compiled = await compileFile(file, options, io);
      if (typeof compiled === "number") {
        done(compiled);
        return;
      }
      prepareFolder(options.out);
      const { bindings } = await import("../../compiler/emit/bindings.ts");
      const { schedule, kernels, program } = compiled;
      const { name, doc } = program;
      const texts: Readonly<Record<string, string>> = {
        [`${name}.schedule.json`]: `${JSON.stringify(schedule)}\n`,
        ...Object.fromEntries(kernels.map((k) => [`${name}.${k.name}.wgsl`, k.text])),
        [`${name}.ts`]: await bindings({ schedule, kernels, ...(doc === undefined ? {} : { doc }) }),
      };
      const files = Object.entries(texts).map(([leaf, text]) => {
        const path = join(options.out, leaf);
        writeAtomic(path, text);
        return path;
      });
      if (options.json) io.out(`${JSON.stringify({ files }, null, 2)}\n`);
      else for (const path of files) io.err(`wrote ${path}\n`);
    });
};
