/** Devices and single kernels on the stand-in. */
import { onTestFinished } from "vitest";
import type { Device, KernelSource } from "../../runtime/device.ts";
import { openDevices } from "../../runtime/open.ts";
import { type Settings, useStandIn } from "./stand-in.ts";

/** Devices that close when the test ends. */
export async function devices(count: number, settings: Settings = {}, timeoutMs = 20_000): Promise<readonly Device[]> {
  useStandIn(settings);
  const opened = await openDevices("cuda", count, { timeoutMs });
  onTestFinished(() => {
    for (const device of opened) device.close();
    useStandIn();
  });
  return opened;
}

/** A kernel `k` of one block that reads x and writes y, both f32. */
export const kernel = (body: string, more: Partial<KernelSource> = {}): KernelSource => ({
  name: "k",
  dialect: "cuda",
  text: `extern "C" __global__ void k(const float* x, float* y) {\n${body}\n}\n`,
  entry: "k",
  access: ["read", "read_write"],
  uniformWords: 0,
  threads: 64,
  sharedBytes: 0,
  ...more,
});

/** What y is after a launch of one block; it begins as zeros. */
export async function launched(
  device: Device,
  source: KernelSource,
  x: Float32Array,
  elements: number,
): Promise<Float32Array> {
  const compiled = await device.compile(source);
  const [from, to] = [device.alloc(x.byteLength, "x"), device.alloc(4 * elements, "y")];
  device.write(from, 0, x);
  device.launch(compiled, [from, to], new Int32Array(0), [1, 1, 1]);
  return new Float32Array(await device.read(to, 0, 4 * elements));
}
