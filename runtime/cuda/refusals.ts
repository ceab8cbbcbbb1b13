/** What compiles CUDA C++, and what it refuses, in the words of `GyreRuntimeError`. */
import { fail } from "../errors.ts";

/** `arch` is as nvcc spells it: `sm_80`, `sm_90a`. Errors: kind `shader`, with the line that was refused. */
export type CudaCompiler = {
  /** With its version: `NVRTC 13.0`. */
  readonly name: string;
  readonly compile: (text: string, arch: string) => Promise<Uint8Array>;
};

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
