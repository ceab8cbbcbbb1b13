/** From CUDA C++ to a cubin: by NVRTC where it is found, else by nvcc. */
import { fail } from "../errors.ts";
import type { CudaCompiler } from "./refusals.ts";

const NO_COMPILER_HELP =
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
