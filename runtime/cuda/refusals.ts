/** What compiles CUDA C++, and what it refuses, in the words of `GyreRuntimeError`. */
import { fail, GyreRuntimeError, type RuntimeErrorKind } from "../errors.ts";
import { REPORT } from "../refusals.ts";

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

/** What was tried when a call failed. */
export type Failed = {
  /** The call of the driver. */
  readonly call?: string;
  /** The device in messages, and the GPU under it: `cuda:3`, `NVIDIA H100`. */
  readonly device: string;
  readonly gpu: string;
  /** `launching 'out_lse' on 64 blocks of 128 threads`. */
  readonly doing: string;
};

type Words = { readonly kind: RuntimeErrorKind; readonly says: string; readonly help: string };

const AGAIN =
  "run it again; where it happens again, use smaller dimensions, and see with `gyre devices` whether the GPU answers";
export const OLD_DRIVER_HELP = "install a newer NVIDIA driver: 525 or later, for CUDA 12";
const ILLEGAL: Words = {
  kind: "device-lost",
  says: "a kernel touched memory that is not its own",
  help: "this is most likely a bug of Gyre: please report it with the program that shows it",
};

/** By the driver's number (CUresult). */
const STATUSES: Readonly<Record<number, Words>> = {
  2: {
    kind: "out-of-memory",
    says: "the GPU has not so much free memory",
    help: "use a larger mesh (`--mesh`) over more GPUs, smaller dimensions, or a smaller dtype; `nvidia-smi` shows who else uses it",
  },
  100: {
    kind: "no-device",
    says: "there is no GPU that CUDA can use",
    help: "see `nvidia-smi`, and CUDA_VISIBLE_DEVICES",
  },
  101: { kind: "no-device", says: "there is no such GPU", help: "see `gyre devices`" },
  200: { kind: "shader", says: "the driver cannot read the compiled kernel", help: OLD_DRIVER_HELP },
  209: {
    kind: "shader",
    says: "the kernel was compiled for another GPU",
    help: "compile it for this one: `gyre build --arch`, or leave --compile out",
  },
  214: {
    kind: "device-lost",
    says: "the GPU's memory is damaged (ECC)",
    help: "see `nvidia-smi`; the GPU may have to be reset",
  },
  218: { kind: "shader", says: "the driver cannot compile the kernel", help: OLD_DRIVER_HELP },
  222: {
    kind: "shader",
    says: "the driver is older than the toolkit that compiled the kernel",
    help: OLD_DRIVER_HELP,
  },
  700: ILLEGAL,
  701: {
    kind: "limit",
    says: "the GPU has not the registers or the shared memory for so many threads",
    help: "use smaller blocks in the program's `tiles`",
  },
  702: {
    kind: "device-lost",
    says: "a kernel ran longer than the driver allows",
    help: "use smaller dimensions, or a GPU without a display",
  },
  714: ILLEGAL,
  715: ILLEGAL,
  716: ILLEGAL,
  717: ILLEGAL,
  718: ILLEGAL,
  719: { kind: "device-lost", says: "a kernel failed on the GPU", help: AGAIN },
  802: {
    kind: "no-device",
    says: "the GPU is not ready yet",
    help: "wait for NVIDIA's fabric manager, or start it, and try again",
  },
  803: {
    kind: "no-device",
    says: "the driver and its library are of different versions",
    help: "install the driver again, and restart the machine",
  },
  804: { kind: "no-device", says: "the installed forward compatibility is not for this GPU", help: OLD_DRIVER_HELP },
  999: { kind: "device-lost", says: "the driver does not know what went wrong", help: AGAIN },
};

/** A status of the driver as an error: what was tried, what it means, the driver's own name for it, and what to do. */
export function statusError(f: Failed, status: number, name: string, text: string): GyreRuntimeError {
  const words = STATUSES[status];
  const own = name || `CUDA error ${status}`;
  const says = words?.says ?? (text || "the driver refused");
  const call = f.call === undefined ? own : `${f.call}: ${own}`;
  return new GyreRuntimeError(
    words?.kind ?? "internal",
    `${f.doing} on ${f.device} (${f.gpu}): ${says} (${call})`,
    words?.help ?? REPORT,
  );
}
