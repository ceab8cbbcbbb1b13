import { join } from "node:path";
import { Option } from "commander";
import type { Compiled, CompiledKernel } from "../../compiler/compile.ts";
import type { Dialect } from "../../runtime/device.ts";
import type { Declare } from "../command.ts";
import { usage } from "../exit.ts";
import { prepareFolder, writeAtomic } from "../files.ts";
import { arch } from "../flags.ts";
import { choiceFlags, machineFlag, memoryFlag, type ProgramFlags, planFlags, programFlags } from "../shared.ts";

type Options = ProgramFlags & {
  readonly target: Dialect;
  readonly out: string;
  readonly arch: string;
  readonly compile?: true;
};

const EXAMPLES = `
Examples:
  $ gyre build ring.gyre --target wgsl --out dist --mesh sp=8 --dims B=1,S=2048,H=8,D=64
    writes attention.schedule.json, attention.KERNEL.wgsl for each kernel, and attention.ts, the typed binding
  $ gyre build ring.gyre --target wasm --out dist --mesh sp=8 --dims B=1,S=2048,H=8,D=64
    the same as WebAssembly modules, which run on CPUs: attention.KERNEL.wasm, with .wat beside for people
  $ gyre build ring.gyre --target cuda --arch sm_90a --compile --out dist --mesh sp=8 --dims B=1,S=2048,H=8,D=64
    writes attention.cu with all kernels, and attention.cubin, in the place of the WGSL files`;

/** `gyre build`: kernels, schedule and binding as files. */
export const buildCommand: Declare = (gyre, io, done) => {
  const command = gyre
    .command("build")
    .description("write the kernels, the schedule and the TypeScript binding")
    .argument("<file>", "a Gyre program");
  machineFlag(planFlags(memoryFlag(choiceFlags(programFlags(command)))))
    .addOption(
      new Option("--target <target>", "the kernels' language").choices(["wgsl", "wasm", "cuda"]).makeOptionMandatory(),
    )
    .requiredOption("--out <dir>", "the folder to write into")
    .option(
      "--arch <arch>",
      "with --target cuda: the GPUs it is for, sm_80 or later, as nvcc names them",
      arch,
      "sm_80",
    )
    .option("--compile", "with --target cuda: compile the kernels too, by NVRTC or nvcc")
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: Options) => {
      if (options.compile && options.target !== "cuda")
        throw usage("--compile is for --target cuda: the others are compiled where they run", "leave it out");
      const { compileFile, targetIn } = await import("../program.ts");
      const compiled = await compileFile(file, options, io, {}, await targetIn(options.target, options.arch));
      if (typeof compiled === "number") {
        done(compiled);
        return;
      }
      if (options.memory !== undefined) {
        const [{ overLimit }, { refused }] = await Promise.all([import("../memory.ts"), import("../program.ts")]);
        const over = overLimit(file, options, compiled.schedule);
        if (over.length > 0) return done(refused(over, options, io));
      }
      prepareFolder(options.out);
      const { bindings } = await import("../../compiler/emit/bindings.ts");
      const { schedule, kernels, program } = compiled;
      const { name, doc } = program;
      const facts = { schedule, kernels, ...(doc === undefined ? {} : { doc }), cubin: options.compile === true };
      const contents: Readonly<Record<string, string | Uint8Array>> = {
        [`${name}.schedule.json`]: `${JSON.stringify(schedule)}\n`,
        ...(options.target === "cuda"
          ? await cudaFiles(compiled, options)
          : Object.fromEntries(kernels.flatMap((k) => kernelFiles(`${name}.${k.name}`, k)))),
        [`${name}.ts`]: await bindings(facts),
      };
      const files = Object.entries(contents).map(([leaf, content]) => {
        const path = join(options.out, leaf);
        writeAtomic(path, content);
        return path;
      });
      if (options.json) io.out(`${JSON.stringify({ files }, null, 2)}\n`);
      else for (const path of files) io.err(`wrote ${path}\n`);
    });
};

/** `ENTRY.NAME.wgsl`; or `ENTRY.NAME.wasm`, and `.wat`, which says for people what is in it. */
const kernelFiles = (name: string, { text, code }: CompiledKernel): readonly [string, string | Uint8Array][] =>
  code
    ? [
        [`${name}.wasm`, code],
        [`${name}.wat`, text],
      ]
    : [[`${name}.wgsl`, text]];

/** `NAME.cu`, and with --compile `NAME.cubin`. */
async function cudaFiles(compiled: Compiled, options: Options): Promise<Readonly<Record<string, string | Uint8Array>>> {
  const { emitCudaModule } = await import("../../compiler/emit/cuda.ts");
  const { name } = compiled.program;
  const text = emitCudaModule(compiled.lanes, { name, arch: options.arch, schedule: compiled.schedule });
  if (!options.compile) return { [`${name}.cu`]: text };
  const { cudaCompiler } = await import("../../runtime/cuda/compiler.ts");
  const { compile } = await cudaCompiler();
  return { [`${name}.cu`]: text, [`${name}.cubin`]: await compile(text, options.arch) };
}
