/** The adapter that Gyre takes, as a browser would offer it: `navigator.gpu`, for peers that expect one. */
import { webgpu } from "../../runtime/webgpu/adapters.ts";
import { expectSoon } from "../../runtime/webgpu/poll.ts";

type WebGpuPackage = { readonly create: (options: string[]) => GPU; readonly globals: object };

let offered: Promise<GPU> | undefined;

/** Peers get the driver, the switches and the way of waiting that Gyre's own runtime has. */
export function offerWebGpu(): Promise<GPU> {
  offered ??= (async () => {
    const { devices, why } = await webgpu.find({});
    if (devices.length === 0) throw new Error(`no WebGPU adapter: ${why.join("; ")}`);
    const { create, globals } = (await import("webgpu")) as WebGpuPackage;
    Object.assign(globalThis, globals);
    const gpu = create(["disable-dawn-features=timestamp_quantization"]);
    acceptSharedMemory();
    Object.defineProperty(globalThis, "navigator", { value: { gpu, userAgent: "node" }, configurable: true });
    return gpu;
  })();
  return offered;
}

/** WebAssembly with threads writes from shared memory, which browsers take and node-webgpu refuses. */
function acceptSharedMemory(): void {
  const { writeBuffer } = GPUQueue.prototype;
  GPUQueue.prototype.writeBuffer = function (buffer, at, data, ...rest) {
    const shared = ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer;
    return writeBuffer.call(this, buffer, at, shared ? (data as Uint8Array).slice() : data, ...rest);
  };
}

/** Resolves when the queue is empty. */
export async function drained(queue: GPUQueue): Promise<void> {
  expectSoon();
  await queue.onSubmittedWorkDone();
}
