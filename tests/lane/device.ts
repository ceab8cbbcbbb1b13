/** One launch of a kernel on a device. */
import { type NDArray, ndarray } from "../../compiler/core/ndarray.ts";
import { emitCuda } from "../../compiler/emit/cuda.ts";
import { emitWgsl } from "../../compiler/emit/wgsl.ts";
import type { LaneProgram } from "../../compiler/lane/ir.ts";
import type { Device } from "../../runtime/device.ts";
import { deviceBytes, fromDevice, hostArray, toDevice } from "../../runtime/dtype.ts";

/** The contents of the buffers after all workgroups ran, in their order. Outputs begin as zeros. */
export async function launch(
  device: Device,
  program: LaneProgram,
  contents: readonly NDArray[],
  scalars: readonly number[],
): Promise<NDArray[]> {
  const dialect = device.info.backend === "cuda" ? "cuda" : "wgsl";
  const { groups, ...text } = dialect === "cuda" ? emitCuda(program) : emitWgsl(program);
  const kernel = await device.compile({
    ...text,
    dialect,
    uniformWords: program.scalars.length,
    threads: program.threads,
  });
  const count = (x: NDArray): number => x.shape.reduce((n, m) => n * m, 1);
  const buffers = contents.map((x, k) => {
    const buffer = device.alloc(deviceBytes(x.dtype, count(x)), program.buffers[k]!.name);
    if (program.buffers[k]!.access === "read") {
      const host = hostArray(x.dtype, count(x));
      host.set([...x.data]);
      device.write(buffer, 0, toDevice(host, x.dtype));
    }
    return buffer;
  });
  device.launch(kernel, buffers, Uint32Array.from(scalars), groups);
  const after: NDArray[] = [];
  for (const [k, x] of contents.entries()) {
    const bytes = await device.read(buffers[k]!, 0, deviceBytes(x.dtype, count(x)));
    after.push(ndarray(x.dtype, x.shape, fromDevice(bytes, x.dtype, count(x))));
  }
  for (const b of buffers) device.free(b);
  return after;
}
