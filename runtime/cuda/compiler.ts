/** From CUDA C++ to a cubin: by NVRTC where it is found, else by nvcc. */
import { fail } from "../errors.ts";

/** `arch` is as nvcc spells it: `sm_80`, `sm_90a`. Errors: kind `shader`, with the line that was refused. */
export type CudaCompiler = {
  /** With its version: `NVRTC 13.0`. */
  readonly name: string;
  readonly compile: (text: string, arch: string) => Promise<Uint8Array>;
};

export const NO_COMPILER_HELP =
  "install the CUDA toolkit 11.8 or later (or its NVRTC alone), or name them: GYRE_NVRTC the library, GYRE_NVCC the command";

let found: Promise<CudaCompiler | undefined> | undefined;

/** The compiler of this machine, looked for once. Errors: kind `no-device` where there is none. */
export async function cudaCompiler(): Promise<CudaCompiler> {
  found ??= find();
  return (
    (await found) ??
    fail(
      "no-device",
      "there is neither NVRTC nor nvcc on this machine, so kernels cannot be compiled",
      NO_COMPILER_HELP,
    )
  );
}

async function find(): Promise<CudaCompiler | undefined> {
  const [{ findNvrtc }, { findNvcc }] = await Promise.all([import("./nvrtc.ts"), import("./nvcc.ts")]);
  return (await findNvrtc()) ?? (await findNvcc());
}

/** What a compiler says of text that it refused: the first error, with its line. */
export function refused(compiler: string, arch: string, log: string, text: string): never {
  const first = log.split("\n").find((line) => /error|fatal|undefined/i.test(line)) ?? log.trim().split("\n")[0] ?? "";
  const at = Number(/\((\d+)\)|:(\d+):/.exec(first)?.slice(1).find(Boolean) ?? 0);
  const line = at > 0 ? text.split("\n")[at - 1] : undefined;
  return fail(
    "shader",
    `${compiler} refused a kernel for ${arch}: ${first.trim()}${line === undefined ? "" : `\n  ${line.trim()}`}`,
    "an older toolkit may not know this GPU: use CUDA 11.8 or later; if the kernel looks right, report it with the program",
  );
}
