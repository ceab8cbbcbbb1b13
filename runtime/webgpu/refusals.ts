/** What a WebGPU driver refuses, in the words of `GyreRuntimeError`. */
import type { DeviceInfo, KernelSource } from "../device.ts";
import { GyreRuntimeError } from "../errors.ts";
import { firstLine, OUT_OF_MEMORY_HELP, REPORT } from "../refusals.ts";

type ReportedError = { readonly message: string; readonly constructor: { readonly name: string } };

/** What the driver says outside any call of ours: memory that it could not give, or a rule that we broke. */
export function driverError(device: string, error: ReportedError) {
  if (error.constructor.name === "GPUOutOfMemoryError") {
    return new GyreRuntimeError(
      "out-of-memory",
      `${device} is out of memory: ${firstLine(error.message)}`,
      OUT_OF_MEMORY_HELP,
    );
  }
  return new GyreRuntimeError("internal", `${device} refused a command: ${firstLine(error.message)}`, REPORT);
}

/** The driver's words about a kernel that it refused, with the line of the kernel that it points at. */
export async function shaderError(
  info: DeviceInfo,
  source: KernelSource,
  module: GPUShaderModule,
  refused: GPUError | null,
  error: unknown,
): Promise<GyreRuntimeError> {
  const found = await module.getCompilationInfo().catch(() => undefined);
  const first = found?.messages.find((message) => message.type === "error");
  const where = first?.lineNum ? `:${first.lineNum}:${first.linePos}` : "";
  const line = first?.lineNum ? source.text.split("\n")[first.lineNum - 1] : undefined;
  const words = first?.message ?? refused?.message ?? (error instanceof Error ? error.message : String(error));
  const picture = line === undefined ? "" : `\n  ${line.trim()}`;
  return new GyreRuntimeError(
    "shader",
    `${info.adapter} refused kernel '${source.name}'${where}: ${first ? words : firstLine(words)}${picture}`,
    "try another adapter (`gyre devices`); if the kernel looks right, report it with the program",
    { cause: error },
  );
}
