/**
 * `npm run cuda:report`: compiles the kernels of the standard library by nvcc and prints what ptxas says of each, for sm_80
 * and sm_90a. Registers that are spilled fail, and so do arrays in local memory (the stack), and products of warpgroups that
 * are made to wait for each other. Needs no GPU. `-- NAME…` takes only programs whose titles have a name.
 */
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { emitCudaModule } from "../../compiler/emit/cuda.ts";
import { nvcc, nvccPath } from "../../runtime/cuda/nvcc.ts";
import { targetOfArch } from "../../runtime/target.ts";
import { occupancy, parsePtxas } from "./occupancy.ts";
import { type ReportedProgram, reported } from "./programs.ts";

const ARCHS = ["sm_80", "sm_90a"];

const path = await nvccPath();
if (path === undefined) {
  console.log("skipped: there is no nvcc. Install NVIDIA's CUDA toolkit (12 or later), or name its nvcc in GYRE_NVCC");
  process.exit(0);
}

const names = process.argv.slice(2);
const chosen = reported.filter((p) => names.length === 0 || names.some((name) => p.title.includes(name)));
let faults = 0;
console.log("| program | kernel | arch | threads | registers | spilled | stack | shared | occupancy |");
console.log("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
for (const program of chosen) for (const arch of ARCHS) faults += await report(program, arch, path);
console.log(
  faults === 0
    ? "\nno kernel spills, has arrays in local memory, or makes products wait"
    : `\n${faults} of them: spilled registers, arrays in local memory, products that wait`,
);
process.exit(faults === 0 ? 0 : 1);

/** Prints a row for each kernel; how many of them are not as they should be. */
async function report(p: ReportedProgram, arch: string, command: string): Promise<number> {
  const options = { entry: p.entry, dims: p.dims, meshSizes: p.mesh ?? {}, target: targetOfArch(arch) };
  const { compiled, diagnostics } = compile(p.file, readSource, options);
  if (!compiled) throw new Error(`${p.title}: ${diagnostics.map((d) => d.message).join("; ")}`);
  const { said } = await nvcc(command, emitCudaModule(compiled.lanes), arch, ["-Xptxas", "-v"]);
  const all = parsePtxas(said);
  const waits = said.match(/Potential Performance Loss: [^\n]*/g) ?? [];
  for (const what of waits) console.log(`${p.title}: ${what}`);
  let faults = waits.length;
  for (const k of compiled.kernels) {
    const found = all.get(k.entry);
    if (!found) throw new Error(`${p.title}: ptxas says nothing of ${k.entry}`);
    const used = { ...found, sharedBytes: found.sharedBytes + k.sharedBytes };
    if (used.spillBytes > 0 || used.stackBytes > 0) faults++;
    const share = `${Math.round(100 * occupancy(arch, k.threads, used))} %`;
    const cells = [k.threads, used.registers, used.spillBytes, used.stackBytes, used.sharedBytes, share];
    console.log(`| ${p.title} | ${k.name} | ${arch} | ${cells.join(" | ")} |`);
  }
  return faults;
}
